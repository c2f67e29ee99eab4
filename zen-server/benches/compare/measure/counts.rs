//! User instructions and system calls per request: what repeats exactly.
//!
//! Two runs of each server, one with more requests than the other; the difference is the requests'. strace slows a server
//! down, so more requests wait for it in each turn of its loop and it waits less often than it would alone: compare servers
//! with each other, not these figures with the world.

use std::io;

use super::{Plan, SCENARIOS, Scenario};
use crate::Result;
use crate::load::{Load, Until};
use crate::process::Server;
use crate::server::Kind;
use crate::shared::counting::{Count, Scratch};
use crate::shared::report::{Figure, Report};

pub fn measure(count: Count, kinds: &[Kind], plan: &Plan, report: &mut Report) -> Result {
    let decimals = match count {
        Count::Instructions => {
            let note = "callgrind, difference of two runs";
            report.section("instructions", "user instructions per request", note);
            0
        }
        Count::Calls => {
            report.section("calls", "system calls per request", "strace, difference of two runs");
            2
        }
    };
    if let Some(why) = count.missing() {
        report.skipped(&why);
        return Ok(());
    }
    for scenario in &SCENARIOS {
        for &kind in kinds {
            let value = per_request(count, kind, scenario, plan.requests)?;
            report.figure(Figure::new(scenario.name, kind, value, decimals));
        }
    }
    report.end_of_section();
    Ok(())
}

/// What each request adds to the count: from one run with some requests and one with more.
fn per_request(count: Count, kind: Kind, scenario: &Scenario, requests: u64) -> io::Result<f64> {
    let output = Scratch::new("compare");
    let tool = count.command(output.path());
    let run = |requests| -> io::Result<(u64, u64)> {
        let server = Server::start_under(&tool, kind, None)?;
        let answered = Load::connect(server.address, scenario.connections, scenario.depth)?
            .run(Until::Answered(requests))?;
        server.stop()?;
        Ok((answered, count.total(output.path())?))
    };
    let (few, count_of_few) = run(requests / 4)?;
    let (many, count_of_many) = run(requests)?;
    Ok((count_of_many - count_of_few) as f64 / (many - few) as f64)
}
