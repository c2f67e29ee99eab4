//! Resident bytes per idle connection.
//!
//! Each connection asks a few questions first and then stays silent: what a server keeps for a client that has been served,
//! not for one it has never heard of. The kernel's part, some 7.6 KB for both ends, is not in it.

use super::{Plan, Scenario};
use crate::Result;
use crate::load::{Load, Until};
use crate::process::Server;
use crate::server::Kind;
use crate::shared::machine;
use crate::shared::report::{Figure, Report};

/// Descriptors that are no connections.
const OTHERS: usize = 100;

pub fn measure(kinds: &[Kind], plan: &Plan, report: &mut Report) -> Result {
    let limit = machine::raise_descriptor_limit()?.saturating_sub(OTHERS);
    let connections = plan.idle_connections.min(limit);
    let idle = Scenario { name: "bytes", connections, depth: 1 };
    let title = format!("resident bytes per idle connection, of {connections}");
    report.section("memory", &title, "user memory, each connection having been answered before");
    for &kind in kinds {
        let server = Server::start(kind, None)?;
        // Code, buffers and the heap's first pages are the same for one connection and for ten thousand.
        Load::connect(server.address, 4, 16)?.run(Until::Answered(10_000))?;
        let before = server.resident_bytes()?;
        let load = Load::connect(server.address, idle.connections, idle.depth)?;
        let after = server.resident_bytes()?;
        drop(load);
        let value = after.saturating_sub(before) as f64 / connections as f64;
        report.figure(Figure::new(idle.name, kind, value, 0));
    }
    report.end_of_section();
    Ok(())
}
