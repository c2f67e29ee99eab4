//! System calls per request, counted by strace.
//!
//! strace slows a server down, so more requests wait for it in each turn of its loop and it waits less often than it would
//! alone: compare servers with each other, not these figures with the world.

use std::fs;
use std::io;

use super::{Plan, SCENARIOS, Scratch, missing, per_request};
use crate::Result;
use crate::process::Server;
use crate::report::{Figure, Report};
use crate::server::Kind;

pub fn measure(kinds: &[Kind], plan: &Plan, report: &mut Report) -> Result {
    report.section("calls", "system calls per request", "strace, difference of two runs");
    if let Some(why) = missing("strace", "counting system calls") {
        report.skipped(&why);
        return Ok(());
    }
    let output = Scratch::new("strace");
    let path = output.path().display().to_string();
    let tool = ["strace", "-f", "-c", "-o", &path];
    for scenario in &SCENARIOS {
        for &kind in kinds {
            let value = per_request(plan.requests, scenario, |run| {
                let server = Server::start_under(&tool, kind, None)?;
                let answered = run(&server)?;
                server.stop()?;
                Ok((answered, total(&fs::read_to_string(output.path())?)?))
            })?;
            report.figure(Figure::new(scenario.name, kind, value, 2));
        }
    }
    report.end_of_section();
    Ok(())
}

/// The `calls` column of strace's last line: `100.00    0.012345           1     12345         7 total`.
fn total(table: &str) -> io::Result<u64> {
    let line = table.lines().rev().find(|line| line.trim_end().ends_with(" total"));
    let calls = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    calls.ok_or_else(|| io::Error::other("strace's table ends without a total"))
}
