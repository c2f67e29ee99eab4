//! The virtual clock: timers in order and never early, limits on time that hold and end what hangs.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use reactor::event_loop::{CloseReason, Context, Limits, Protocol, Reactor, Timer};
use reactor::simulation::{self, Simulation};

use super::conversation::Lengths;
use super::{CALM_TURNS, Ends, address, is_over, live, wind_up};

const IDLE: Duration = Duration::from_secs(60);
const REQUEST: Duration = Duration::from_secs(5);

/// How long connections live, seen from outside: from the turn in which one is accepted.
#[derive(Clone, Default)]
struct Life(Rc<Cell<Option<Option<Instant>>>>);

impl Life {
    fn begin(&self) {
        self.0.set(Some(None));
    }

    /// To be asked between turns.
    fn look(&self, now: Instant) {
        if self.0.get() == Some(None) {
            self.0.set(Some(Some(now)));
        }
    }

    fn assert_lasted(&self, limit: Duration, now: Instant) {
        let lived = now - self.0.get().flatten().expect("it was accepted");
        // Limits are checked a few times in their span, and the world may stand still meanwhile.
        assert!(lived >= limit && lived < limit * 2, "{lived:?} of {limit:?}");
    }
}

/// A client that says something and goes silent.
fn limited(simulation: &Simulation, limits: Limits, says: &[u8], reason: &str) -> io::Result<()> {
    let ends = Ends::default();
    let mut reactor = Reactor::<Lengths>::builder().limits(limits).build()?;
    let (theirs, life) = (ends.clone(), Life::default());
    let begins = life.clone();
    reactor.listen(address(), move |_| {
        begins.begin();
        Some(Lengths(theirs.clone()))
    })?;
    let client = simulation.connect(address());
    client.send(says);
    live(simulation, &mut reactor, || {
        life.look(simulation.now());
        is_over(&client) && ends.count() == 1
    })?;
    life.assert_lasted(limits.request_time.or(limits.idle).expect("there is a limit"), simulation.now());
    assert_eq!(ends.all(), [reason]);
    wind_up(simulation, reactor, &ends)
}

fn silent_client(simulation: &Simulation) -> io::Result<()> {
    let limits = Limits { idle: Some(IDLE), ..Limits::default() };
    limited(simulation, limits, b"hello\n", "TimedOut(Idle)")
}

fn half_a_request(simulation: &Simulation) -> io::Result<()> {
    let limits = Limits { request_time: Some(REQUEST), ..Limits::default() };
    limited(simulation, limits, b"hello\nhel", "TimedOut(Request)")
}

/// Starts timers, cancels one, and writes down when the others rang.
struct Rings {
    ends: Ends,
    rang: Rc<RefCell<Vec<u64>>>,
    timers: Vec<(Timer, Instant, u64)>,
}

impl Protocol for Rings {
    type Message = ();

    fn opened(&mut self, cx: &mut Context<'_, ()>) {
        for after in [30, 10, 20, 40] {
            let duration = Duration::from_millis(after);
            self.timers.push((cx.start_timer(duration), cx.now() + duration, after));
        }
        assert!(cx.cancel_timer(self.timers[2].0));
    }

    fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize {
        input.len()
    }

    fn timer(&mut self, timer: Timer, cx: &mut Context<'_, ()>) {
        let &(_, due, after) =
            self.timers.iter().find(|(started, ..)| *started == timer).expect("was started");
        assert!(cx.now() >= due, "{after} ms were over {:?} early", due - cx.now());
        self.rang.borrow_mut().push(after);
        cx.write(b".");
        if after == 40 {
            cx.close();
        }
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, ()>) {
        self.ends.note("", reason);
    }
}

fn timers(simulation: &Simulation) -> io::Result<()> {
    let (ends, rang) = (Ends::default(), Rc::<RefCell<Vec<u64>>>::default());
    let mut reactor = Reactor::<Rings>::builder().build()?;
    let (theirs, their_rang) = (ends.clone(), Rc::clone(&rang));
    reactor.listen(address(), move |_| {
        Some(Rings { ends: theirs.clone(), rang: Rc::clone(&their_rang), timers: Vec::new() })
    })?;
    let client = simulation.connect(address());
    client.await_bytes(3);
    client.close();
    live(simulation, &mut reactor, || client.is_done() && ends.count() == 1)?;
    assert_eq!(*rang.borrow(), [10, 30, 40]);
    assert_eq!(ends.all(), ["Finished"]);
    assert_eq!(reactor.timers(), 0);
    wind_up(simulation, reactor, &ends)
}

/// Nobody ends it, so lingering ends by itself.
fn lingering(simulation: &Simulation) -> io::Result<()> {
    let ends = Ends::default();
    let mut reactor = Reactor::<Rings>::builder().build()?;
    let (theirs, life) = (ends.clone(), Life::default());
    let begins = life.clone();
    reactor.listen(address(), move |_| {
        begins.begin();
        Some(Rings { ends: theirs.clone(), rang: Rc::default(), timers: Vec::new() })
    })?;
    let client = simulation.connect(address());
    live(simulation, &mut reactor, || {
        life.look(simulation.now());
        ends.count() == 1
    })?;
    assert!(client.is_finished(), "{client:?}");
    life.assert_lasted(Limits::default().linger_time, simulation.now());
    wind_up(simulation, reactor, &ends)
}

/// The program's own timers and the time of the world agree.
#[test]
fn the_programs_timers_ring_in_virtual_time() {
    simulation::seeds(0..500, |simulation| {
        let mut reactor = Reactor::<Rings>::builder().build()?;
        let began = simulation.now();
        let rang = Rc::new(RefCell::new(None));
        let noted = Rc::clone(&rang);
        let day = Duration::from_secs(24 * 3600);
        reactor.after(day, move |_| *noted.borrow_mut() = Some(()));
        simulation.run_within(CALM_TURNS, &mut reactor, || rang.borrow().is_some())?;
        let passed = simulation.now() - began;
        assert!(passed >= day && passed < day + Duration::from_secs(60), "{passed:?}");
        wind_up(simulation, reactor, &Ends::default())
    });
}

#[test]
fn a_silent_client_is_ended_in_time() {
    println!("{} runs", simulation::explore(2, silent_client));
    simulation::seeds(0..1_000, silent_client);
}

#[test]
fn half_a_request_is_ended_in_time() {
    println!("{} runs", simulation::explore(2, half_a_request));
    simulation::seeds(0..1_000, half_a_request);
}

#[test]
fn timers_ring_in_order_and_never_early() {
    println!("{} runs", simulation::explore(2, timers));
    simulation::seeds(0..1_000, timers);
}

#[test]
fn lingering_ends_by_itself() {
    simulation::seeds(0..1_000, lingering);
}
