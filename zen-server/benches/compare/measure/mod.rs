//! What is measured, and how much of it.

mod allocations;
mod calls;
mod cpu;
mod instructions;
mod memory;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;

use crate::Result;
use crate::load::{Load, Until};
use crate::process::Server;
use crate::report::Report;
use crate::server::Kind;

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
            Measurement::Instructions => instructions::measure(kinds, plan, report),
            Measurement::Calls => calls::measure(kinds, plan, report),
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

/// What each request adds to a count that ends with the process: from one run with some requests and one with more, so that
/// starting, connecting and ending cancel out.
fn per_request(
    requests: u64,
    scenario: &Scenario,
    mut count: impl FnMut(&mut dyn FnMut(&Server) -> io::Result<u64>) -> io::Result<(u64, u64)>,
) -> io::Result<f64> {
    let mut run = |requests| {
        count(&mut |server| {
            Load::connect(server.address, scenario.connections, scenario.depth)?
                .run(Until::Answered(requests))
        })
    };
    let (few, count_of_few) = run(requests / 4)?;
    let (many, count_of_many) = run(requests)?;
    Ok((count_of_many - count_of_few) as f64 / (many - few) as f64)
}

/// A name for a file that a tool writes into and that is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        Scratch(std::env::temp_dir().join(format!("zen-compare-{}-{name}", std::process::id())))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // it may never have been written
    }
}

/// Whether a tool can be run; else what to tell the reader.
fn missing(tool: &str, kind_of_use: &str) -> Option<String> {
    let found = std::process::Command::new(tool)
        .arg("--version")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
    match found {
        Ok(status) if status.success() => None,
        _ => Some(format!("{kind_of_use} needs `{tool}`, which does not run here")),
    }
}
