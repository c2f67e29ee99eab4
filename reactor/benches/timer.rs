//! Timers: what starting, cancelling and firing one costs while a million run, beside a sorted map (as smol keeps them).
//!
//! ```text
//! cargo bench -p zen-reactor --bench timer
//! ```
//!
//! The wheel is private to the library, so its source is compiled into this program.

#[path = "../src/event_loop/timer.rs"]
#[allow(dead_code)]
mod timer;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use timer::{Owner, Timer, Wheel};

/// Timers that run at once.
const MANY: usize = 1_000_000;
/// Under `cargo test --benches`, which only wants to know whether it works.
const FEW: usize = 1_000;
/// Delays are spread over this: idle times and request limits.
const LONGEST: Duration = Duration::from_secs(60);

/// What is compared.
trait Timers {
    type Handle: Copy;
    fn start(&mut self, deadline: Instant) -> Self::Handle;
    fn cancel(&mut self, handle: Self::Handle) -> bool;
    fn fire(&mut self, now: Instant) -> usize;
}

impl Timers for Wheel<u64> {
    type Handle = Timer;

    fn start(&mut self, deadline: Instant) -> Timer {
        Wheel::start(self, deadline, 0, None)
    }

    fn cancel(&mut self, timer: Timer) -> bool {
        Wheel::cancel(self, timer, None).is_some()
    }

    fn fire(&mut self, now: Instant) -> usize {
        std::iter::from_fn(|| self.pop_due(now)).count()
    }
}

/// A map sorted by deadline, with a number to tell equal ones apart.
#[derive(Default)]
struct Sorted {
    timers: BTreeMap<(Instant, u64), u64>,
    started: u64,
}

impl Timers for Sorted {
    type Handle = (Instant, u64);

    fn start(&mut self, deadline: Instant) -> Self::Handle {
        self.started += 1;
        self.timers.insert((deadline, self.started), 0);
        (deadline, self.started)
    }

    fn cancel(&mut self, handle: Self::Handle) -> bool {
        self.timers.remove(&handle).is_some()
    }

    fn fire(&mut self, now: Instant) -> usize {
        let mut fired = 0;
        while self.timers.first_entry().is_some_and(|first| first.key().0 <= now) {
            self.timers.pop_first();
            fired += 1;
        }
        fired
    }
}

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let many = if measured { MANY } else { FEW };
    let origin = Instant::now();
    println!("nanoseconds each, {many} timers");
    println!("  {:<12}{:>10}{:>10}{:>10}{:>10}", "", "start", "restart", "cancel", "fire");
    measure("wheel", many, origin, || Wheel::new(origin));
    measure("sorted map", many, origin, Sorted::default);
    all_of_an_owner(many, origin);
}

fn measure<T: Timers>(name: &str, many: usize, origin: Instant, empty: impl Fn() -> T) {
    let delays = spread(many);
    let mut timers = empty();
    let (start, mut handles) =
        timed(many, || delays.iter().map(|&delay| timers.start(origin + delay)).collect::<Vec<_>>());

    // A request comes: its connection's timer is cancelled and started anew, while all the others run.
    let (restart, ()) = timed(many, || {
        for (handle, &delay) in handles.iter_mut().zip(delays.iter().rev()) {
            assert!(timers.cancel(*handle));
            *handle = timers.start(origin + delay);
        }
    });
    let (cancel, cancelled) = timed(many, || handles.iter().filter(|&&handle| timers.cancel(handle)).count());
    assert_eq!(cancelled, many);

    for &delay in &delays {
        timers.start(origin + delay);
    }
    let steps = u32::try_from(LONGEST.as_millis()).expect("a minute") + 1;
    let (fire, fired) = timed(many, || {
        (1..=steps).map(|step| timers.fire(origin + Duration::from_millis(1) * step)).sum::<usize>()
    });
    assert_eq!(fired, many);
    println!("  {name:<12}{start:>10.1}{restart:>10.1}{cancel:>10.1}{fire:>10.1}");
}

/// Closing a connection: its timers end together, four of each.
fn all_of_an_owner(many: usize, origin: Instant) {
    let mut wheel = Wheel::new(origin);
    let mut owners: Vec<Owner> = Vec::new();
    owners.resize_with(many / 4, Owner::default);
    for (number, delay) in spread(many).into_iter().enumerate() {
        wheel.start(origin + delay, 0, Some(&mut owners[number % (many / 4)]));
    }
    let (each, ()) = timed(many, || owners.iter_mut().for_each(|owner| wheel.cancel_all(owner)));
    assert_eq!(wheel.len(), 0);
    println!("  of {} owners, all cancelled by owner: {each:.1}", many / 4);
}

/// Nanoseconds for each of `many`, and the result.
fn timed<R>(many: usize, run: impl FnOnce() -> R) -> (f64, R) {
    let start = Instant::now();
    let result = std::hint::black_box(run());
    (start.elapsed().as_nanos() as f64 / many as f64, result)
}

/// Delays up to the longest in an order without pattern (Marsaglia's xorshift): the same in every run.
fn spread(many: usize) -> Vec<Duration> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut delay = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Duration::from_nanos(state % LONGEST.as_nanos() as u64)
    };
    (0..many).map(|_| delay()).collect()
}
