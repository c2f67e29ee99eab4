//! CPU time per request, in pairs.
//!
//! A machine changes its mind from second to second: frequency, neighbours, caches. So no server is measured for long and
//! then the next. All of them are alive, pinned to the client's core, and take turns of a fraction of a second in random
//! order; every third turn is the reference's, and a turn is compared with the reference's turns just before and just after
//! it. What is reported is the median of these ratios. The reference takes part a second time under the name of `bare again`,
//! as a process of its own: how far it is from 1 is what a difference means today.

use std::io;
use std::time::Duration;

use super::{Plan, SCENARIOS, Scenario};
use crate::Result;
use crate::load::{Load, Until};
use crate::process::Server;
use crate::server::Kind;
use crate::shared::machine;
use crate::shared::report::{Figure, Report};
use crate::shared::statistics::{median_and_spread, shuffle};

struct Candidate {
    name: String,
    server: Server,
    ratios: Vec<f64>,
}

pub fn measure(kinds: &[Kind], plan: &Plan, report: &mut Report) -> Result {
    let core = machine::last_core()?;
    machine::pin_to(core)?;
    let reference = Server::start(Kind::REFERENCE, Some(core))?;
    let mut candidates = Vec::new();
    for &kind in kinds {
        let name = if kind == Kind::REFERENCE { format!("{kind} again") } else { kind.to_string() };
        candidates.push(Candidate { name, server: Server::start(kind, Some(core))?, ratios: Vec::new() });
    }

    let title = format!("server CPU time per request ÷ that of {}, on core {core}", Kind::REFERENCE);
    report.section("cpu", &title, "medians ± half the distance of the quartiles; under .03 is a tie");
    for scenario in &SCENARIOS {
        let nanos = compare(&reference, &mut candidates, scenario, plan)?;
        let value = nanos / 1000.0;
        report.figure(Figure::new(scenario.name, format!("{} (µs)", Kind::REFERENCE), value, 2));
        for candidate in &mut candidates {
            let (median, spread) = median_and_spread(&mut candidate.ratios);
            report.figure(Figure::new(scenario.name, &candidate.name, median, 3).with_spread(spread));
            candidate.ratios.clear();
        }
    }
    report.end_of_section();
    Ok(())
}

/// Fills in the candidates' ratios; returns the reference's nanoseconds per request.
fn compare(
    reference: &Server,
    candidates: &mut [Candidate],
    scenario: &Scenario,
    plan: &Plan,
) -> io::Result<f64> {
    let mut turns: Vec<usize> = (0..plan.slices).flat_map(|_| 0..candidates.len()).collect();
    shuffle(&mut turns);
    let mut before = slice(reference, scenario, plan.slice)?;
    let mut of_reference = vec![before];
    for pair in turns.chunks(2) {
        let mut measured = Vec::new();
        for &turn in pair {
            measured.push((turn, slice(&candidates[turn].server, scenario, plan.slice)?));
        }
        let after = slice(reference, scenario, plan.slice)?;
        for (turn, nanos) in measured {
            candidates[turn].ratios.push(nanos / f64::midpoint(before, after));
        }
        of_reference.push(after);
        before = after;
    }
    Ok(median_and_spread(&mut of_reference).0)
}

/// One turn: the server's CPU nanoseconds per request. Connecting is over before the clock is read.
fn slice(server: &Server, scenario: &Scenario, length: Duration) -> io::Result<f64> {
    let mut load = Load::connect(server.address, scenario.connections, scenario.depth)?;
    load.run(Until::Elapsed(length / 10))?;
    let start = server.cpu_time()?;
    let answered = load.run(Until::Elapsed(length))?;
    let used = server.cpu_time()? - start;
    Ok(used.as_nanos() as f64 / answered as f64)
}
