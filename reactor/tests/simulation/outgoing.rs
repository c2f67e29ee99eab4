//! Connections that the loop opens: a client, and a proxy between two connections.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use reactor::event_loop::{CloseReason, ConnectionId, Context, Protocol, Reactor, Spawner, Watermarks};
use reactor::simulation::{self, Simulation};

use super::{Ends, address, assert_begins, elsewhere, is_over, live, wind_up};

/// Asks, and closes when it has the answer.
struct Asker {
    ends: Ends,
    answer: Rc<Cell<Vec<u8>>>,
}

impl Protocol for Asker {
    type Message = ();

    fn opened(&mut self, cx: &mut Context<'_, ()>) {
        cx.write(b"Simple is better than?");
    }

    fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
        if !input.ends_with(b".") {
            return 0;
        }
        self.answer.set(input.to_vec());
        cx.close();
        input.len()
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, ()>) {
        self.ends.note("", reason);
    }
}

fn ask(simulation: &Simulation, somebody_is_there: bool, losses: bool) -> io::Result<()> {
    let (ends, answer) = (Ends::default(), Rc::default());
    let mut reactor = Reactor::<Asker>::builder().build()?;
    let server = somebody_is_there.then(|| simulation.serve(elsewhere()));
    if let Some(server) = &server {
        server.await_bytes(22);
        server.send(b"Complex.");
    }
    if losses {
        simulation.allow_losses();
    }
    let asker = Asker { ends: ends.clone(), answer: Rc::clone(&answer) };
    let refused = match reactor.connect(elsewhere(), asker) {
        Ok(_) => {
            live(simulation, &mut reactor, || ends.count() == 1)?;
            ends.all()[0].contains("ConnectionRefused")
        }
        // The attempt may fail at once as well as later.
        Err(error) => error.kind() == io::ErrorKind::ConnectionRefused,
    };
    if let (Some(server), false) = (&server, losses) {
        assert_eq!((ends.all(), answer.take()), (vec!["Finished".to_owned()], b"Complex.".to_vec()));
        assert_eq!(server.received(), b"Simple is better than?");
    }
    assert_eq!(refused, server.is_none());
    wind_up(simulation, reactor, &ends)
}

/// One of the two ends of a proxied connection. It stops reading with each piece, until the other end has sent that.
struct End {
    link: Rc<Link>,
    side: usize,
    /// That our peer has finished, and that the other end's has.
    finished: [bool; 2],
}

struct Link {
    ends: Ends,
    ids: [Cell<Option<ConnectionId>>; 2],
    spawner: Spawner<End>,
}

enum Tell {
    Bytes(Vec<u8>),
    More,
    Finished,
    Broken,
}

impl End {
    fn new(link: &Rc<Link>, side: usize) -> End {
        End { link: Rc::clone(link), side, finished: [false; 2] }
    }

    fn tell(&self, what: Tell, cx: &mut Context<'_, Tell>) {
        if let Some(other) = self.link.ids[1 - self.side].get() {
            assert!(cx.send(other, what).is_ok(), "the mailbox is full");
        }
    }

    fn finish(&mut self, whose: usize, cx: &mut Context<'_, Tell>) {
        self.finished[whose] = true;
        if self.finished == [true; 2] {
            cx.close();
        }
    }
}

impl Protocol for End {
    type Message = Tell;

    fn opened(&mut self, cx: &mut Context<'_, Tell>) {
        self.link.ids[self.side].set(Some(cx.id()));
        if self.side == 0 {
            cx.pause_reading();
            self.link.spawner.connect(elsewhere(), End::new(&self.link, 1));
        } else if self.link.ids[0].get().is_some() {
            self.tell(Tell::More, cx);
        } else {
            cx.abort(); // the client went away meanwhile
        }
    }

    fn received(&mut self, input: &[u8], cx: &mut Context<'_, Tell>) -> usize {
        cx.pause_reading();
        self.tell(Tell::Bytes(input.to_vec()), cx);
        input.len()
    }

    fn eof(&mut self, cx: &mut Context<'_, Tell>) {
        self.tell(Tell::Finished, cx);
        self.finish(0, cx);
    }

    fn message(&mut self, message: Tell, cx: &mut Context<'_, Tell>) {
        match message {
            Tell::Bytes(bytes) => {
                cx.write(&bytes);
                cx.notify_drained();
            }
            Tell::More => cx.resume_reading(),
            Tell::Finished => {
                cx.close_write();
                self.finish(1, cx);
            }
            Tell::Broken => cx.abort(),
        }
    }

    fn drained(&mut self, cx: &mut Context<'_, Tell>) {
        self.tell(Tell::More, cx);
    }

    fn closed(&mut self, reason: &CloseReason, cx: &mut Context<'_, Tell>) {
        self.link.ends.note(["client ", "target "][self.side], reason);
        self.link.ids[self.side].set(None);
        if self.finished != [true; 2] {
            self.tell(Tell::Broken, cx);
        }
    }
}

fn proxy(ends: &Ends) -> io::Result<Reactor<End>> {
    // So high that it never stops reading from whom it has much to tell.
    let mut reactor = Reactor::builder().watermarks(Watermarks { high: 1 << 20, low: 0 }).build()?;
    let (ends, spawner) = (ends.clone(), reactor.spawner());
    reactor.listen(address(), move |_| {
        let link = Link { ends: ends.clone(), ids: Default::default(), spawner: spawner.clone() };
        Some(End::new(&Rc::new(link), 0))
    })?;
    Ok(reactor)
}

const QUESTION: &[u8] = b"Flat is better than?";
const ANSWER: &[u8] = b"Nested. And sparse is better than dense.";

fn passed_on(simulation: &Simulation, losses: bool) -> io::Result<()> {
    let ends = Ends::default();
    let mut reactor = proxy(&ends)?;
    let (client, server) = (simulation.connect(address()), simulation.serve(elsewhere()));
    client.send(QUESTION);
    client.finish();
    server.await_bytes(QUESTION.len());
    server.send(ANSWER);
    server.finish();
    if losses {
        simulation.allow_losses();
        live(simulation, &mut reactor, || is_over(&client))?;
        assert_begins(QUESTION, &server.received());
        assert_begins(ANSWER, &client.received());
        // An end is orderly only if it is the end.
        let whole = client.received() == ANSWER || client.received().is_empty();
        assert!(client.is_reset() || whole, "{client:?} {ends:?}");
    } else {
        live(simulation, &mut reactor, || is_over(&client) && is_over(&server) && ends.count() == 2)?;
        assert_eq!((server.received(), client.received()), (QUESTION.to_vec(), ANSWER.to_vec()));
        assert!(ends.all().iter().all(|end| end.ends_with("Finished")), "{ends:?}");
    }
    wind_up(simulation, reactor, &ends)
}

/// Who is reset on one side is reset on the other.
fn reset_is_passed_on(simulation: &Simulation) -> io::Result<()> {
    let ends = Ends::default();
    let mut reactor = proxy(&ends)?;
    let (client, server) = (simulation.connect(address()), simulation.serve(elsewhere()));
    client.send(QUESTION);
    server.await_bytes(3);
    server.send(ANSWER);
    server.reset();
    live(simulation, &mut reactor, || is_over(&client) && ends.count() == 2)?;
    assert!(client.is_reset());
    assert_begins(QUESTION, &server.received());
    assert_begins(ANSWER, &client.received());
    wind_up(simulation, reactor, &ends)
}

#[test]
fn every_attempt_to_connect_is_answered() {
    println!("{} runs", simulation::explore(2, |simulation| ask(simulation, true, false)));
}

#[test]
fn thousands_of_attempts_to_connect_are_answered() {
    simulation::seeds(0..3_000, |simulation| ask(simulation, true, false));
}

#[test]
fn an_attempt_to_connect_to_nobody_is_refused_at_once_or_later() {
    println!("{} runs", simulation::explore(3, |simulation| ask(simulation, false, false)));
}

#[test]
fn an_attempt_to_connect_that_is_lost_leaves_nothing_behind() {
    simulation::seeds(0..3_000, |simulation| ask(simulation, true, true));
}

#[test]
fn a_proxy_passes_everything_on() {
    println!("{} runs", simulation::explore(1, |simulation| passed_on(simulation, false)));
}

#[test]
fn a_proxy_passes_everything_on_under_thousands_of_seeds() {
    simulation::seeds(0..2_000, |simulation| passed_on(simulation, false));
}

#[test]
fn a_proxy_that_loses_connections_leaves_nothing_behind() {
    simulation::seeds(0..6_000, |simulation| passed_on(simulation, true));
}

#[test]
fn a_proxy_passes_a_reset_on() {
    simulation::seeds(0..2_000, reset_is_passed_on);
}
