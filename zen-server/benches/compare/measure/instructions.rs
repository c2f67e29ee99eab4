//! User instructions per request, counted by callgrind: the same on every run, whatever else the machine does.
//!
//! Two runs, one with more requests than the other; the difference is the requests'. What the kernel executes is not in it.

use std::fs;
use std::io;

use super::{Plan, SCENARIOS, Scratch, missing, per_request};
use crate::Result;
use crate::process::Server;
use crate::report::{Figure, Report};
use crate::server::Kind;

pub fn measure(kinds: &[Kind], plan: &Plan, report: &mut Report) -> Result {
    report.section("instructions", "user instructions per request", "callgrind, difference of two runs");
    if let Some(why) = missing("valgrind", "counting instructions") {
        report.skipped(&why);
        return Ok(());
    }
    let output = Scratch::new("callgrind");
    let option = format!("--callgrind-out-file={}", output.path().display());
    let tool = ["valgrind", "--quiet", "--tool=callgrind", &option];
    for scenario in &SCENARIOS {
        for &kind in kinds {
            let value = per_request(plan.requests, scenario, |run| {
                let server = Server::start_under(&tool, kind, None)?;
                let answered = run(&server)?;
                server.stop()?;
                Ok((answered, total(&fs::read_to_string(output.path())?)?))
            })?;
            report.figure(Figure::new(scenario.name, kind, value, 0));
        }
    }
    report.end_of_section();
    Ok(())
}

/// The line `totals: N` (or `summary: N`) of callgrind's file.
fn total(file: &str) -> io::Result<u64> {
    let line = file.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    total.ok_or_else(|| io::Error::other("callgrind's file ends without totals"))
}
