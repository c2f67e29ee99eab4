//! How long it takes from one thread's wake until another one's wait is over.
//!
//! Two threads, each with a poll of its own, wake each other in turn; half of a round trip is a wake. On one processor that is
//! a switch between threads; on two, the wake of a sleeping processor, which costs more than anything a library does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::Plan;
use crate::contender::{Contender, Kind, Task};
use crate::shared::report::{Figure, Report};
use crate::shared::statistics::{median_and_spread, shuffle};
use crate::shared::{machine, progress};

pub fn measure(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let (first, last) = (machine::cores()?[0], machine::last_core()?);
    for kinds in Kind::by_interface() {
        let reference = kinds[0];
        let title = format!(
            "from wake to the end of a wait in another thread on {reference}: µs, then the others' ÷ this"
        );
        report.section("wake", &title, "medians ± half the distance of the quartiles; under .03 is a tie");
        let mut places = vec![("on one processor", last)];
        if first != last {
            places.push(("on two processors", first));
        }
        for (place, other) in places {
            machine::pin_to(last)?;
            progress::show(&format!("wake on {reference}, {place}"));
            compare(&kinds, other, place, plan, report)?;
        }
        report.end_of_section();
    }
    Ok(())
}

fn compare(kinds: &[Kind], other: usize, place: &str, plan: &Plan, report: &mut Report) -> io::Result<()> {
    let mut turns: Vec<usize> = (0..kinds.len()).collect();
    let (mut of_reference, mut ratios) = (Vec::new(), vec![Vec::new(); kinds.len()]);
    for _ in 0..plan.turns {
        let mut micros = vec![0.0; kinds.len()];
        shuffle(&mut turns);
        for &which in &turns {
            micros[which] =
                kinds[which].give_to(Pair { kind: kinds[which], core: other, length: plan.turn })?;
        }
        of_reference.push(micros[0]);
        ratios.iter_mut().zip(&micros).for_each(|(ratios, of)| ratios.push(of / micros[0]));
    }
    let micros = median_and_spread(&mut of_reference).0;
    report.figure(Figure::new(format!("{} (µs)", kinds[0]), place, micros, 2));
    for (kind, ratios) in kinds.iter().zip(&mut ratios).skip(1) {
        let (median, spread) = median_and_spread(ratios);
        report.figure(Figure::new(kind, place, median, 3).with_spread(spread));
    }
    Ok(())
}

/// Two threads that wake each other: this one, and one on the processor `core`. The outcome is microseconds.
struct Pair {
    kind: Kind,
    core: usize,
    length: Duration,
}

/// What the two need of each other.
type Wake = Box<dyn Fn() -> io::Result<()> + Send>;

impl Task for Pair {
    type Outcome = f64;

    fn run<C: Contender + 'static>(self, mut contender: C) -> io::Result<f64> {
        let Pair { kind, core, length } = self;
        let (to_us, from_other) = channel();
        let over = Arc::new(AtomicBool::new(false));
        let other = Other { wake_us: Box::new(contender.waker()?), to_us, over: Arc::clone(&over) };
        let other = thread::spawn(move || {
            machine::pin_to(core)?;
            kind.give_to(other)
        });
        let wake_other: Wake = from_other.recv().map_err(io::Error::other)?;
        let (start, mut times) = (Instant::now(), 0u32);
        while times < 4 || start.elapsed() < length {
            for _ in 0..4 {
                wake_other()?;
                wait(&mut contender)?;
            }
            times += 4;
        }
        let micros = start.elapsed().as_nanos() as f64 / 1000.0 / f64::from(2 * times);
        over.store(true, Ordering::Release);
        wake_other()?;
        other.join().map_err(|_| io::Error::other("the other thread panicked"))??;
        Ok(micros)
    }
}

/// The other one.
struct Other {
    wake_us: Wake,
    to_us: Sender<Wake>,
    over: Arc<AtomicBool>,
}

impl Task for Other {
    type Outcome = ();

    fn run<C: Contender + 'static>(self, mut contender: C) -> io::Result<()> {
        let waker = Box::new(contender.waker()?);
        self.to_us.send(waker).map_err(|_| io::Error::other("the first thread is gone"))?;
        loop {
            wait(&mut contender)?;
            if self.over.load(Ordering::Acquire) {
                return Ok(());
            }
            (self.wake_us)()?;
        }
    }
}

/// Waits for a wake.
fn wait<C: Contender>(contender: &mut C) -> io::Result<()> {
    let mut woken = false;
    contender.wait(None, |_| woken = true)?;
    assert!(woken || !C::WAKES_WITH_EVENT);
    Ok(())
}
