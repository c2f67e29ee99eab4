//! What is measured, and how much of it.

mod allocations;
mod counts;
mod cpu;
mod memory;

use std::time::Duration;

use clap::ValueEnum;

use crate::Result;
use crate::load::{Load, Until};
use crate::process::Server;
use crate::server::Kind;
use crate::shared::counting::Count;
use crate::shared::report::Report;

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Measurement {
    /// CPU time of the server per request, beside the bare loop on the same core
    Cpu,
    /// User instructions per request (callgrind)
    Instructions,
    /// System calls per request (strace)
    Calls,
    /// Resident bytes per idle connection
    Memory,
    /// Allocations per request
    Allocations,
}

impl Measurement {
    /// Those chosen, or all where none is.
    pub fn chosen(only: &[Measurement]) -> &[Measurement] {
        if only.is_empty() { Measurement::value_variants() } else { only }
    }

    pub fn run(self, kinds: &[Kind], plan: &Plan, report: &mut Report) -> Result {
        match self {
            Measurement::Cpu => cpu::measure(kinds, plan, report),
            Measurement::Instructions => counts::measure(Count::Instructions, kinds, plan, report),
            Measurement::Calls => counts::measure(Count::Calls, kinds, plan, report),
            Measurement::Memory => memory::measure(kinds, plan, report),
            Measurement::Allocations => allocations::measure(kinds, plan, report),
        }
    }
}

/// How much patience there is.
pub struct Plan {
    /// How long one server is measured before another's turn comes.
    slice: Duration,
    /// Slices of each server.
    slices: usize,
    /// How many requests the counts that repeat exactly are taken over.
    requests: u64,
    idle_connections: usize,
}

impl Plan {
    pub const FULL: Plan =
        Plan { slice: Duration::from_millis(300), slices: 12, requests: 20_000, idle_connections: 10_000 };
    pub const QUICK: Plan =
        Plan { slice: Duration::from_millis(60), slices: 3, requests: 4_000, idle_connections: 1_000 };
}

/// How the client asks.
struct Scenario {
    name: &'static str,
    connections: usize,
    /// Questions under way on each.
    depth: usize,
}

const SCENARIOS: [Scenario; 3] = [
    Scenario { name: "1 connection", connections: 1, depth: 1 },
    Scenario { name: "64 connections", connections: 64, depth: 1 },
    Scenario { name: "64, pipeline 16", connections: 64, depth: 16 },
];

/// Whether a server answers everything, in each scenario.
pub fn answers(kind: Kind) -> Result {
    let server = Server::start(kind, None)?;
    for scenario in &SCENARIOS {
        Load::connect(server.address, scenario.connections, scenario.depth)?.run(Until::Answered(2_000))?;
    }
    Ok(())
}
