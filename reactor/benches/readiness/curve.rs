//! libevent's classic benchmark: few active descriptors among many, and each activity moves on to the next descriptor.
//!
//! So every descriptor has its turn, and all but `active` of them are idle at any time. epoll's wait costs what happened, that
//! of select and poll what is watched: seen over the number of descriptors the one is level, the others climb.

use std::io;
use std::time::Duration;

use crate::Plan;
use crate::contender::{Contender, Kind, PEERS_STAND_ON, Task};
use crate::operation::Counter;
use crate::shared::progress;
use crate::shared::report::{Figure, Report};
use crate::shared::statistics::{median_and_spread, shuffle};
use crate::time::thread_time;

/// Descriptors in all.
const DESCRIPTORS: [usize; 5] = [100, 300, 1_000, 3_000, 10_000];
/// Where this is the measure of patience, not every number needs to be seen.
const FEW_DESCRIPTORS: [usize; 2] = [100, 1_000];
/// How many of them are active at any time.
pub const ACTIVE: [usize; 3] = [1, 10, 100];
/// Turns are few: some waits take milliseconds, and the differences are large.
const TURNS: usize = 9;

/// One contender's cost over the number of descriptors.
pub struct Line {
    pub kind: Kind,
    pub active: usize,
    /// Descriptors, and microseconds for each event.
    pub points: Vec<(usize, f64)>,
}

pub fn measure(plan: &Plan, report: &mut Report) -> io::Result<Vec<Line>> {
    let title = format!("µs of an event, of N descriptors A active; mio and polling on {PEERS_STAND_ON}");
    report.section(
        "curve",
        &title,
        "a write to the next descriptor, the share of a wait, a read; processor time",
    );
    let kinds: Vec<Kind> = Kind::by_interface().into_iter().flatten().collect();
    let line = |active| kinds.iter().map(move |&kind| Line { kind, active, points: Vec::new() });
    let mut lines: Vec<Line> = ACTIVE.into_iter().flat_map(line).collect();
    for &descriptors in if plan.turn.is_zero() { &FEW_DESCRIPTORS[..] } else { &DESCRIPTORS } {
        let counters: Vec<Counter> = (0..descriptors).map(|_| Counter::new()).collect::<io::Result<_>>()?;
        for lines in lines.chunk_by_mut(|one, other| one.active == other.active) {
            let row = format!("N {descriptors}, A {}", lines[0].active);
            progress::show(&format!("curve: {row}"));
            let micros = compare(lines, &counters, plan)?;
            for (line, micros) in lines.iter_mut().zip(micros) {
                line.points.push((descriptors, micros));
                report.figure(Figure::new(line.kind, &row, micros, 2));
            }
        }
    }
    report.end_of_section();
    Ok(lines)
}

/// Microseconds of an event, of each line.
fn compare(lines: &[Line], counters: &[Counter], plan: &Plan) -> io::Result<Vec<f64>> {
    let mut micros = vec![Vec::new(); lines.len()];
    let mut order: Vec<usize> = (0..lines.len()).collect();
    for _ in 0..plan.turns.min(TURNS) {
        shuffle(&mut order);
        for &which in &order {
            let Line { kind, active, .. } = lines[which];
            micros[which].push(kind.give_to(Cascade { counters, active, length: plan.turn })?);
        }
    }
    Ok(micros.iter_mut().map(|micros| median_and_spread(micros).0).collect())
}

/// One turn. The outcome is microseconds of an event.
struct Cascade<'a> {
    counters: &'a [Counter],
    active: usize,
    length: Duration,
}

impl Task for Cascade<'_> {
    type Outcome = f64;

    fn run<C: Contender>(self, mut contender: C) -> io::Result<f64> {
        let Cascade { counters, active, length } = self;
        for (token, counter) in counters.iter().enumerate() {
            contender.register(counter.fd(), token)?;
        }
        for place in 0..active {
            counters[place * counters.len() / active].write()?;
        }
        // The first waits are not like the others: what was registered comes to be known.
        let mut heard = Vec::new();
        wave(&mut contender, counters, &mut heard)?;
        let (start, mut events) = (thread_time(), 0);
        while events < 10 * active || thread_time() - start < length {
            for _ in 0..10 {
                events += wave(&mut contender, counters, &mut heard)?;
            }
        }
        let micros = (thread_time() - start).as_nanos() as f64 / 1000.0 / events as f64;
        // Whoever comes next finds all of them idle, and none registered with somebody who is gone.
        for counter in counters {
            let _ = counter.read(); // most have nothing to be read
            contender.deregister(counter.fd())?;
        }
        Ok(micros)
    }
}

/// One wait; what it tells moves on to the next descriptor. Returns how many events there were.
fn wave(contender: &mut impl Contender, counters: &[Counter], heard: &mut Vec<usize>) -> io::Result<usize> {
    contender.wait(None, |token| heard.push(token))?;
    // All are read before the first moves on: neighbours stay two.
    for &token in &*heard {
        counters[token].read()?;
        contender.was_read(counters[token].fd(), token)?;
    }
    let events = heard.len();
    heard.drain(..).try_for_each(|token| counters[(token + 1) % counters.len()].write())?;
    Ok(events)
}
