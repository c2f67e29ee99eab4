//! Layer 1: what registering, waiting and waking cost on every backend, beside mio and polling.
//!
//! ```text
//! cargo bench -p zen-reactor --bench readiness                        everything, about three minutes
//! cargo bench -p zen-reactor --bench readiness -- --quick             the same with little patience and much noise
//! cargo bench -p zen-reactor --bench readiness -- --on poll           beside a mio and a polling that use poll(2)
//! cargo bench -p zen-reactor --bench readiness -- --only instructions one measurement: instructions, calls, time, wake, curve
//! cargo bench -p zen-reactor --bench readiness -- --json              for programs
//! cargo bench -p zen-reactor --bench readiness -- --only curve --draw curve.svg
//! ```
//!
//! On one kernel interface the kernel's part is the same for all. What a library adds is counted (`counts.rs`): instructions
//! and system calls repeat exactly. Time (`time.rs`) is compared in short turns on one processor, and under 3 % is a tie.
//! `curve.rs` is libevent's classic: few active descriptors among many, which is what select, poll and epoll differ in.

mod contender;
mod counts;
mod curve;
mod drawing;
mod latency;
mod operation;
#[path = "../shared/mod.rs"]
mod shared;
mod time;

use std::io;
use std::path::PathBuf;
use std::process::{Command as Program, ExitCode};
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use contender::Kind;
use operation::Operation;
use shared::counting::Count;
use shared::machine;
use shared::report::Report;

// A mio on poll(2) beside a polling on epoll(7) would be called by one name.
const _: () = assert!(cfg!(mio_unsupported_force_poll_poll) == cfg!(polling_test_poll_backend));

#[derive(Parser)]
#[command(
    about = "Compares layer 1 with mio and polling on the same kernel interface",
    args_conflicts_with_subcommands = true
)]
struct Options {
    /// Only these measurements, separated by commas
    #[arg(long, value_name = "NAMES", value_enum, value_delimiter = ',')]
    only: Vec<Measurement>,
    /// The kernel interface for mio and polling. For poll they are compiled once more, beside the others
    #[arg(long, value_enum, default_value = "epoll")]
    on: Interface,
    /// Short turns, few of them: shows that it works, and large differences
    #[arg(long)]
    quick: bool,
    /// Prints one JSON document instead of tables
    #[arg(long)]
    json: bool,
    /// Draws the curve into this file
    #[arg(long, value_name = "FILE.svg")]
    draw: Option<PathBuf>,
    /// Given by `cargo bench`. Without it (`cargo test --benches`) it is only checked that everything works
    #[arg(long, hide = true)]
    bench: bool,
    /// Only checks that everything works
    #[arg(long)]
    test: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Does one thing so many times, to be counted from outside
    Repeat {
        #[arg(value_enum)]
        operation: Operation,
        contender: Kind,
        times: u64,
        /// Given by `cargo bench`
        #[arg(long, hide = true)]
        bench: bool,
    },
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum Interface {
    Epoll,
    Poll,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum Measurement {
    /// User instructions of an operation (callgrind)
    Instructions,
    /// System calls of an operation (strace)
    Calls,
    /// Processor time of an operation
    Time,
    /// From one thread's wake to the end of another one's wait
    Wake,
    /// Few active descriptors among many
    Curve,
}

/// How much patience there is.
struct Plan {
    /// How long one contender is measured before another's turn comes.
    turn: Duration,
    turns: usize,
    /// How often an operation is counted.
    counted: u64,
}

impl Plan {
    const FULL: Plan = Plan { turn: Duration::from_millis(10), turns: 25, counted: 2_000 };
    const QUICK: Plan = Plan { turn: Duration::from_millis(2), turns: 5, counted: 200 };
    /// Whether everything works.
    const CHECK: Plan = Plan { turn: Duration::ZERO, turns: 1, counted: 10 };
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("readiness: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<ExitCode> {
    if let Some(Command::Repeat { operation, contender, times, .. }) = options.command {
        counts::repeat(operation, contender, times)?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.on == Interface::Poll && contender::PEERS_STAND_ON != reactor::Backend::Poll {
        return on_poll();
    }
    machine::raise_descriptor_limit()?;
    let (plan, chosen) = match options {
        Options { test: true, .. } | Options { bench: false, .. } => {
            (&Plan::CHECK, Measurement::value_variants())
        }
        Options { only, quick, .. } => {
            let plan = if *quick { &Plan::QUICK } else { &Plan::FULL };
            (plan, if only.is_empty() { Measurement::value_variants() } else { only })
        }
    };
    let mut report = Report::new(options.json);
    for measurement in chosen {
        match measurement {
            Measurement::Instructions => counts::measure(Count::Instructions, plan, &mut report)?,
            Measurement::Calls => counts::measure(Count::Calls, plan, &mut report)?,
            Measurement::Time => time::measure(plan, &mut report)?,
            Measurement::Wake => latency::measure(plan, &mut report)?,
            Measurement::Curve => {
                let lines = curve::measure(plan, &mut report)?;
                let picture = drawing::draw(&lines).map_err(io::Error::other)?;
                if let Some(path) = &options.draw {
                    std::fs::write(path, picture)?;
                }
            }
        }
    }
    report.finish();
    Ok(ExitCode::SUCCESS)
}

/// This program once more, with a mio and a polling that were compiled for poll(2), as they are on systems that have nothing
/// better. They take no features for that, but conditions of the compiler.
fn on_poll() -> io::Result<ExitCode> {
    let this = std::env::current_exe()?;
    let target =
        this.ancestors().nth(3).ok_or_else(|| io::Error::other("this program is not in a target folder"))?;
    let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    let status = Program::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .env("RUSTFLAGS", flags + " --cfg mio_unsupported_force_poll_poll --cfg polling_test_poll_backend")
        .env("CARGO_TARGET_DIR", target.join("peers-on-poll"))
        .args(["bench", "--quiet", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .args(["--bench", "readiness", "--"])
        .args(std::env::args().skip(1).filter(|argument| argument != "--bench")) // cargo gives it again
        .status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
