//! What does the reactor cost, beside an event loop written by hand and beside its peers?
//!
//! ```text
//! cargo bench -p zen-server --bench compare                     everything, about four minutes
//! cargo bench -p zen-server --bench compare -- --quick          the same with little patience and much noise
//! cargo bench -p zen-server --bench compare -- --only cpu       one measurement: cpu, instructions, calls, memory, allocations
//! cargo bench -p zen-server --bench compare -- --json           for programs
//! cargo bench -p zen-server --bench compare -- serve bare       one of the servers, to be asked by hand
//! cargo bench -p zen-server --bench compare -- load 127.0.0.1:1060 -c 64 -n 100000 -d 16
//! ```
//!
//! All servers answer the same questions (`zen.rs`) and are this very program, started as child processes; the client that
//! asks is the harness itself. Read `server/bare.rs` first: it is the measure of the others.
//!
//! On loopback 97 % of a request is the kernel's work, the same for all. So the measurements that tell loops apart come
//! without noise: instructions, system calls, bytes and allocations. CPU time (`measure/cpu.rs`) is compared in pairs of
//! slices on one core, and under 3 % is a tie. Throughput is not reported at all: here it is the client's as much as the
//! server's.

mod load;
mod measure;
mod process;
mod server;
#[path = "../../../reactor/benches/shared/mod.rs"]
mod shared;
mod sys;
mod zen;

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use load::{Load, Until};
use measure::{Measurement, Plan};
use server::Kind;
use shared::machine;
use shared::report::Report;

#[global_allocator]
static ALLOCATOR: sys::Counting = sys::Counting;

#[derive(Parser)]
#[command(
    about = "Compares the reactor with a bare epoll loop and its peers",
    args_conflicts_with_subcommands = true
)]
struct Options {
    /// Only these measurements, separated by commas
    #[arg(long, value_name = "NAMES", value_enum, value_delimiter = ',')]
    only: Vec<Measurement>,
    /// Only these servers (the bare loop always runs: the others are compared with it)
    #[arg(long, value_name = "NAMES", value_enum, value_delimiter = ',')]
    servers: Vec<Kind>,
    /// Short slices, few of them: shows that it works, and large differences
    #[arg(long)]
    quick: bool,
    /// Prints one JSON document instead of tables
    #[arg(long)]
    json: bool,
    /// Given by `cargo bench`. Without it (`cargo test --benches`) every server is only checked for its answers
    #[arg(long, global = true, hide = true)]
    bench: bool,
    /// Only checks every server for its answers
    #[arg(long)]
    test: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one of the servers until it is killed
    Serve {
        kind: Kind,
        /// On this port of 127.0.0.1; 0 picks one
        #[arg(short, long, default_value_t = 0)]
        port: u16,
        /// On this processor only
        #[arg(long)]
        core: Option<usize>,
        /// Ends with the process that started it
        #[arg(long, hide = true)]
        attached: bool,
    },
    /// Asks questions until all are answered, and checks the answers
    Load {
        address: SocketAddr,
        /// Connections at once
        #[arg(short, long, default_value_t = 1)]
        connections: usize,
        /// Questions in all
        #[arg(short = 'n', long, default_value_t = 100_000)]
        requests: u64,
        /// Questions under way on each connection
        #[arg(short, long, default_value_t = 1)]
        depth: usize,
    },
}

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match options.command {
        Some(Command::Serve { kind, port, core, attached }) => serve(kind, port, core, attached),
        Some(Command::Load { address, connections, requests, depth }) => {
            load(address, connections, requests, depth)
        }
        None => compare(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn serve(kind: Kind, port: u16, core: Option<usize>, attached: bool) -> Result {
    if attached {
        sys::die_with_parent()?;
    }
    if let Some(core) = core {
        machine::pin_to(core)?;
    }
    machine::raise_descriptor_limit()?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    process::announce(&listener)?;
    kind.serve(listener)?;
    Ok(())
}

fn load(address: SocketAddr, connections: usize, requests: u64, depth: usize) -> Result {
    machine::raise_descriptor_limit()?;
    let mut load = Load::connect(address, connections, depth)?;
    let start = Instant::now();
    let answered = load.run(Until::Answered(requests))?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{answered} answers in {seconds:.2} s, {:.0} a second, all of them right",
        answered as f64 / seconds
    );
    Ok(())
}

fn compare(options: &Options) -> Result {
    machine::raise_descriptor_limit()?;
    let kinds = Kind::reference_and(&options.servers);
    if options.test || !options.bench {
        for &kind in &kinds {
            measure::answers(kind)?;
            println!("{kind}: answers as it should");
        }
        return Ok(());
    }
    let plan = if options.quick { Plan::QUICK } else { Plan::FULL };
    let mut report = Report::new(options.json);
    for &measurement in Measurement::chosen(&options.only) {
        measurement.run(&kinds, &plan, &mut report)?;
    }
    report.finish();
    Ok(())
}
