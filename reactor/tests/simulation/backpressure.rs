//! Slow readers: what is unsent stays little, who does not read is not read from, and nothing is lost when it goes on.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use reactor::event_loop::{CloseReason, Context, Protocol, Reactor, Timer, Watermarks};
use reactor::simulation::{self, Simulation};

use super::{Ends, address, is_over, live, rest, wind_up};

const MARKS: Watermarks = Watermarks { high: 16, low: 4 };
/// How much more than the high mark may be unsent: one answer.
const PIECE: usize = 10;

/// Answers each byte with ten of it.
struct Tenfold {
    ends: Ends,
    most_unsent: Rc<Cell<usize>>,
}

impl Protocol for Tenfold {
    type Message = ();

    fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
        let mut taken = 0;
        // As much as there is room for: the rest is offered again.
        while taken < input.len() && cx.room() > 0 {
            cx.write(&[input[taken]; PIECE]);
            taken += 1;
        }
        self.most_unsent.set(self.most_unsent.get().max(cx.unsent()));
        taken
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, ()>) {
        self.ends.note("", reason);
    }
}

/// The client asks much, reads nothing until everything rests, then reads it all.
fn slow_reader(simulation: &Simulation) -> io::Result<()> {
    let (ends, most_unsent) = (Ends::default(), Rc::<Cell<usize>>::default());
    let mut reactor = Reactor::<Tenfold>::builder().watermarks(MARKS).build()?;
    let (theirs, most) = (ends.clone(), Rc::clone(&most_unsent));
    reactor
        .listen(address(), move |_| Some(Tenfold { ends: theirs.clone(), most_unsent: Rc::clone(&most) }))?;
    let client = simulation.connect(address());
    client.stop_reading();
    client.send(b"abc");
    rest(&mut reactor)?;
    client.read_again();
    client.send(b"defgh");
    client.finish();
    live(simulation, &mut reactor, || is_over(&client) && ends.count() == 1)?;
    let expected: Vec<u8> = b"abcdefgh".iter().flat_map(|byte| [*byte; PIECE]).collect();
    assert_eq!(String::from_utf8_lossy(&client.received()), String::from_utf8_lossy(&expected));
    assert!(most_unsent.get() < MARKS.high + PIECE, "{most_unsent:?}");
    assert_eq!(ends.all(), ["Finished"]);
    wind_up(simulation, reactor, &ends)
}

/// Writes the numbers up to a hundred, as there is room.
struct Numbers {
    ends: Ends,
    next: u32,
}

impl Numbers {
    fn go_on(&mut self, cx: &mut Context<'_, ()>) {
        while self.next < 100 && cx.room() > 0 {
            cx.write(format!("{} ", self.next).as_bytes());
            self.next += 1;
        }
        if self.next < 100 { cx.notify_drained() } else { cx.close() }
    }
}

impl Protocol for Numbers {
    type Message = ();

    fn opened(&mut self, cx: &mut Context<'_, ()>) {
        self.go_on(cx);
    }

    fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize {
        input.len()
    }

    fn drained(&mut self, cx: &mut Context<'_, ()>) {
        self.go_on(cx);
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, ()>) {
        self.ends.note("", reason);
    }
}

fn producer(simulation: &Simulation) -> io::Result<()> {
    let ends = Ends::default();
    let mut reactor = Reactor::<Numbers>::builder().watermarks(MARKS).build()?;
    let theirs = ends.clone();
    reactor.listen(address(), move |_| Some(Numbers { ends: theirs.clone(), next: 0 }))?;
    let client = simulation.connect(address());
    client.await_bytes(20);
    client.stop_reading();
    rest(&mut reactor)?;
    client.read_again();
    client.await_bytes(290); // all of it
    client.close();
    live(simulation, &mut reactor, || client.is_done() && ends.count() == 1)?;
    let expected: String = (0..100).map(|number| format!("{number} ")).collect();
    assert_eq!(String::from_utf8_lossy(&client.received()), expected);
    assert_eq!(ends.all(), ["Finished"]);
    wind_up(simulation, reactor, &ends)
}

/// Takes a byte, pauses for a while, echoes it, and goes on.
struct Slow {
    ends: Ends,
    paused_for: Option<(Timer, u8)>,
}

impl Protocol for Slow {
    type Message = ();

    fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
        assert!(self.paused_for.is_none(), "called while paused");
        cx.pause_reading();
        self.paused_for = Some((cx.start_timer(Duration::from_millis(5)), input[0]));
        1
    }

    fn timer(&mut self, timer: Timer, cx: &mut Context<'_, ()>) {
        let Some((started, byte)) = self.paused_for.take() else { panic!("it had been cancelled") };
        assert_eq!(timer, started);
        cx.write(&[byte]);
        cx.resume_reading();
    }

    fn eof(&mut self, cx: &mut Context<'_, ()>) {
        assert!(self.paused_for.is_none(), "told of the end while paused");
        cx.close();
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, ()>) {
        self.ends.note("", reason);
    }
}

fn paused(simulation: &Simulation) -> io::Result<()> {
    let ends = Ends::default();
    let mut reactor = Reactor::<Slow>::builder().build()?;
    let theirs = ends.clone();
    reactor.listen(address(), move |_| Some(Slow { ends: theirs.clone(), paused_for: None }))?;
    let client = simulation.connect(address());
    client.send(b"slow");
    client.finish();
    live(simulation, &mut reactor, || is_over(&client) && ends.count() == 1)?;
    assert_eq!(String::from_utf8_lossy(&client.received()), "slow");
    assert_eq!(ends.all(), ["Finished"]);
    wind_up(simulation, reactor, &ends)
}

#[test]
fn a_slow_reader_holds_the_loop_back_and_loses_nothing() {
    println!("{} runs", simulation::explore(1, slow_reader));
}

#[test]
fn thousands_of_slow_readers_lose_nothing() {
    simulation::seeds(0..1_500, slow_reader);
}

#[test]
fn who_writes_as_there_is_room_writes_everything() {
    simulation::seeds(0..1_000, producer);
}

#[test]
fn a_fin_behind_a_paused_read_is_delivered_after_resume() {
    println!("{} runs", simulation::explore(2, paused));
}

#[test]
fn thousands_of_pauses_lose_nothing() {
    simulation::seeds(0..2_000, paused);
}
