//! Tests a protocol on a simulated kernel: ten thousand worlds in about a second, in each of which the answers must be right.
//!
//! ```console
//! $ cargo run --release -p zen-examples --features sim --example ten_thousand_seeds
//! 10000 seeds: answered in all of them
//! 5497 runs with at most 2 unkind choices: answered in all of them
//! $ cargo run --release -p zen-examples --features sim --example ten_thousand_seeds -- --hasty
//! ```
//!
//! The protocol adds up the numbers of a line. `--hasty` is what one writes first: it takes what one call brings for a line. With
//! a client on the same machine that works for years; here the first seeds find it, and what is printed repeats the run.
//! `reactor::simulation` is the manual.

use std::io;
use std::time::Instant;

use clap::Parser;
use reactor::event_loop::{Context, Protocol, Reactor};
use reactor::simulation::{self, Simulation};
use zen_examples::parse;

/// Tests a protocol on a simulated kernel
#[derive(Parser)]
struct Options {
    /// How many seeds to try
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// How many choices may be unkind where all runs are gone through
    #[arg(long, default_value_t = 2)]
    unkind: usize,
    /// Make the beginner's mistake
    #[arg(long)]
    hasty: bool,
}

/// Answers each line of numbers with their sum.
struct Sums {
    hasty: bool,
}

impl Protocol for Sums {
    type Message = ();

    fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
        let end =
            if self.hasty { Some(input.len() - 1) } else { input.iter().position(|byte| *byte == b'\n') };
        let Some(end) = end else { return 0 };
        let line = String::from_utf8_lossy(&input[..end]);
        let sum: u64 = line.split_whitespace().filter_map(|word| word.parse::<u64>().ok()).sum();
        cx.write(format!("{sum}\n").as_bytes());
        end + 1
    }
}

/// Two clients, one of whom asks its second question only when the first is answered.
fn adds_up(simulation: &Simulation, hasty: bool) -> io::Result<()> {
    let mut reactor = Reactor::<Sums>::builder().build()?;
    let address = ([127, 0, 0, 1], 1060).into();
    reactor.listen(address, move |_| Some(Sums { hasty }))?;
    let (patient, quick) = (simulation.connect(address), simulation.connect(address));
    patient.send(b"1 2 3\n");
    patient.await_bytes(2);
    patient.send(b"10 20 30\n");
    patient.finish();
    quick.send(b"4\n5 6\n");
    quick.finish();
    simulation.run(&mut reactor, || patient.is_finished() && quick.is_finished())?;
    assert_eq!(String::from_utf8_lossy(&patient.received()), "6\n60\n");
    assert_eq!(String::from_utf8_lossy(&quick.received()), "4\n11\n");
    Ok(())
}

fn main() {
    let Options { seeds, unkind, hasty } = parse();
    let began = Instant::now();
    let runs = simulation::seeds(0..seeds, |simulation| adds_up(simulation, hasty));
    println!("{runs} seeds: answered in all of them");
    eprintln!("({:.1?})", began.elapsed());
    let runs = simulation::explore(unkind, |simulation| adds_up(simulation, hasty));
    println!("{runs} runs with at most {unkind} unkind choices: answered in all of them");
}
