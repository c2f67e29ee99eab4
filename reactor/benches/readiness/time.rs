//! Processor time of an operation, on one processor.
//!
//! Those on the same kernel interface are alive together and take turns of some milliseconds in random order; each turn is
//! compared with the reference's turn of the same round, and what is reported is the median of these ratios. The reference
//! takes part a second time: how far it is from 1 is what a difference means today. It is the thread's own time, so that
//! somebody else's turn on the processor is not counted.

use std::io;
use std::time::Duration;

use clap::ValueEnum;
use rustix::time::{ClockId, clock_gettime};

use crate::Plan;
use crate::contender::Kind;
use crate::operation::{Operation, Prepared};
use crate::shared::report::{Figure, Report};
use crate::shared::statistics::{median_and_spread, shuffle};
use crate::shared::{machine, progress};

pub fn measure(plan: &Plan, report: &mut Report) -> io::Result<()> {
    machine::pin_to(machine::last_core()?)?;
    for mut kinds in Kind::by_interface() {
        let reference = kinds[0];
        kinds.insert(1, reference);
        let title = format!("processor time of an operation on {reference}: µs, then the others' ÷ this");
        report.section("time", &title, "medians ± half the distance of the quartiles; under .03 is a tie");
        for &operation in Operation::value_variants() {
            progress::show(&format!("time on {reference}: {operation}"));
            let (micros, ratios) = compare(operation, &kinds, plan)?;
            report.figure(Figure::new(format!("{reference} (µs)"), operation, micros, 2));
            for (place, mut ratios) in ratios.into_iter().enumerate() {
                let name =
                    if place == 0 { format!("{reference} again") } else { kinds[place + 1].to_string() };
                let (median, spread) = median_and_spread(&mut ratios);
                report.figure(Figure::new(name, operation, median, 3).with_spread(spread));
            }
        }
        report.end_of_section();
    }
    Ok(())
}

/// The first one's microseconds, and of each other its ratios to them.
fn compare(operation: Operation, kinds: &[Kind], plan: &Plan) -> io::Result<(f64, Vec<Vec<f64>>)> {
    let mut contenders: Vec<Prepared> =
        kinds.iter().map(|&kind| operation.prepare(kind)).collect::<io::Result<_>>()?;
    let times = repetitions(&mut contenders[0], plan.turn)?;
    let mut order: Vec<usize> = (0..kinds.len()).collect();
    let mut of_reference = Vec::new();
    let mut ratios = vec![Vec::new(); kinds.len() - 1];
    for _ in 0..plan.turns {
        let mut micros = vec![0.0; kinds.len()];
        shuffle(&mut order);
        for &which in &order {
            micros[which] =
                turn(&mut contenders[which], times)?.as_nanos() as f64 / 1000.0 / f64::from(times);
        }
        of_reference.push(micros[0]);
        ratios
            .iter_mut()
            .zip(&micros[1..])
            .for_each(|(ratios, micros_of)| ratios.push(micros_of / micros[0]));
    }
    Ok((median_and_spread(&mut of_reference).0, ratios))
}

/// How often it has to be done to fill a turn.
fn repetitions(operation: &mut Prepared, length: Duration) -> io::Result<u32> {
    let mut times = 4;
    while turn(operation, times)? < length {
        times *= 2;
    }
    Ok(times)
}

/// The time that it takes to do it so many times.
fn turn(operation: &mut Prepared, times: u32) -> io::Result<Duration> {
    let start = thread_time();
    (0..times).try_for_each(|_| operation.once())?;
    Ok(thread_time() - start)
}

/// How long this thread has been running, in the program and in the kernel.
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
