//! The loop under a load: opens connections, waits, and stops in time.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use reactor::Backend;
use reactor::event_loop::{Limits, Reactor};
use reactor::net::Address;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::caller::Caller;
use super::desk::{Desk, Slot, When};
use super::failure::Kind;
use super::plan::Plan;
use super::report::Report;
use super::tally::Tally;

/// Connections opened in one turn: those that stand already are not kept waiting while thousands more are opened.
const OPENINGS: usize = 1024;
/// How often somebody who watches hears of the progress, at least.
const GLANCE: Duration = Duration::from_millis(100);

/// Runs a load against a server, to its end or to the first SIGINT or SIGTERM.
///
/// `watch` is called again and again with the counts so far and the time since the start.
///
/// # Errors
/// The loop itself cannot run. What goes wrong with connections is counted.
pub fn run(
    plan: &Plan,
    address: &Address,
    backend: Backend,
    mut watch: impl FnMut(&Tally, Duration),
) -> io::Result<Report> {
    let limits = Limits { connect_time: Some(plan.timeout), ..Limits::default() };
    let mut reactor = Reactor::<Caller>::builder().backend(backend).limits(limits).build()?;
    let signal = note_signals(&mut reactor)?;
    let desk = Desk::new(plan.clone(), Instant::now);
    let start = Instant::now();
    if let Some(duration) = plan.duration {
        let desk = Rc::clone(&desk);
        reactor.after(duration, move |_| desk.close());
    }
    while desk.is_busy() && signal.get().is_none() {
        open_waiting(&mut reactor, &desk, address);
        let limit = if desk.is_somebody_waiting() { Duration::ZERO } else { GLANCE };
        reactor.turn(Some(limit))?;
        desk.read(|tally| watch(tally, start.elapsed()));
    }
    Ok(Report {
        plan: plan.clone(),
        address: address.clone(),
        backend: reactor.backend(),
        elapsed: start.elapsed(),
        signal: signal.get(),
        gave_up: desk.gave_up(),
        tally: desk.take_tally(),
    })
}

/// Which signal came, if one did.
fn note_signals(reactor: &mut Reactor<Caller>) -> io::Result<Rc<Cell<Option<i32>>>> {
    let noted = Rc::new(Cell::new(None));
    for signal in [SIGINT, SIGTERM] {
        let noted = Rc::clone(&noted);
        reactor.on_signal(signal, move |_| noted.set(Some(signal)))?;
    }
    Ok(noted)
}

/// Connects those who queue up.
///
/// Not with the loop's `Spawner`, which opens connections in the middle of a turn: there, those that ended in the same turn
/// still have their descriptors, and a load would need twice as many as it has callers.
fn open_waiting(reactor: &mut Reactor<Caller>, desk: &Rc<Desk>, address: &Address) {
    for (slot, when) in desk.take_waiting(OPENINGS) {
        match when {
            When::Now => open(reactor, desk, address, slot),
            When::Rested => {
                let (desk, address) = (Rc::clone(desk), address.clone());
                reactor.after(Desk::REST, move |reactor| open(reactor, &desk, &address, slot));
            }
        }
    }
}

fn open(reactor: &mut Reactor<Caller>, desk: &Rc<Desk>, address: &Address, slot: Slot) {
    if desk.is_closing() {
        return desk.leave();
    }
    let caller = Caller::new(desk, slot);
    let slot = caller.slot();
    if let Err(error) = reactor.connect(address.clone(), caller) {
        desk.not_connected(slot, Kind::of_error(&error), &error);
    }
}
