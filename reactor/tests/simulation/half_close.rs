//! Half-close, both ways: who finished sending goes on reading, and who is finished with goes on being sent to.

use std::io;

use reactor::event_loop::{CloseReason, Context, Protocol, Reactor};
use reactor::simulation::{self, Simulation};

use super::{Ends, address, is_over, live, wind_up};

/// Collects everything, and only when the peer has finished sends it back, turned around.
struct Mirror {
    ends: Ends,
    said: Vec<u8>,
}

impl Protocol for Mirror {
    type Message = ();

    fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize {
        self.said.extend(input);
        input.len()
    }

    fn eof(&mut self, cx: &mut Context<'_, ()>) {
        self.said.reverse();
        cx.write(&self.said);
        cx.close();
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, ()>) {
        self.ends.note("", reason);
    }
}

/// The client finishes first.
fn theirs_first(simulation: &Simulation) -> io::Result<()> {
    let ends = Ends::default();
    let mut reactor = Reactor::<Mirror>::builder().build()?;
    let noted = ends.clone();
    reactor.listen(address(), move |_| Some(Mirror { ends: noted.clone(), said: Vec::new() }))?;
    let client = simulation.connect(address());
    client.send(b"stressed ");
    client.send(b"desserts");
    client.finish();
    live(simulation, &mut reactor, || is_over(&client) && ends.count() == 1)?;
    assert_eq!(String::from_utf8_lossy(&client.received()), "stressed desserts");
    assert!(client.is_finished() && !client.is_reset());
    assert_eq!(ends.all(), ["Finished"]);
    wind_up(simulation, reactor, &ends)
}

/// Says what it has to say, finishes, and then counts what it hears.
struct Greeter {
    ends: Ends,
    heard: usize,
}

impl Protocol for Greeter {
    type Message = ();

    fn opened(&mut self, cx: &mut Context<'_, ()>) {
        cx.write(b"hello");
        cx.close_write();
    }

    fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize {
        self.heard += input.len();
        input.len()
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, ()>) {
        self.ends.note(&format!("{} ", self.heard), reason);
    }
}

/// The loop's side finishes first.
fn ours_first(simulation: &Simulation) -> io::Result<()> {
    let ends = Ends::default();
    let mut reactor = Reactor::<Greeter>::builder().build()?;
    let noted = ends.clone();
    reactor.listen(address(), move |_| Some(Greeter { ends: noted.clone(), heard: 0 }))?;
    let client = simulation.connect(address());
    client.await_bytes(5);
    client.send(&[b'.'; 30]);
    client.finish();
    live(simulation, &mut reactor, || client.is_done() && ends.count() == 1)?;
    assert_eq!(String::from_utf8_lossy(&client.received()), "hello");
    assert!(client.is_finished() && !client.is_reset());
    assert_eq!(ends.all(), ["30 Finished"]);
    wind_up(simulation, reactor, &ends)
}

#[test]
fn who_has_finished_is_answered() {
    println!("{} runs", simulation::explore(2, theirs_first));
}

#[test]
fn thousands_who_have_finished_are_answered() {
    simulation::seeds(0..2_000, theirs_first);
}

#[test]
fn who_is_finished_with_is_heard() {
    println!("{} runs", simulation::explore(2, ours_first));
}

#[test]
fn thousands_who_are_finished_with_are_heard() {
    simulation::seeds(0..2_000, ours_first);
}
