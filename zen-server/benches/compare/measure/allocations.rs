//! Allocations per request, once the connections are there: every server here runs on an allocator that counts.

use super::{Plan, SCENARIOS};
use crate::Result;
use crate::load::{Load, Until};
use crate::process::Server;
use crate::server::Kind;
use crate::shared::report::{Figure, Report};

pub fn measure(kinds: &[Kind], plan: &Plan, report: &mut Report) -> Result {
    report.section("allocations", "allocations per request", "in steady state");
    for scenario in &SCENARIOS {
        for &kind in kinds {
            let server = Server::start(kind, None)?;
            let mut load = Load::connect(server.address, scenario.connections, scenario.depth)?;
            load.run(Until::Answered(plan.requests))?;
            let before = server.allocations()?;
            let answered = load.run(Until::Answered(plan.requests))?;
            let value = (server.allocations()? - before) as f64 / answered as f64;
            report.figure(Figure::new(scenario.name, kind, value, 3));
        }
    }
    report.end_of_section();
    Ok(())
}
