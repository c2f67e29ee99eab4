//! Questions and answers: one client, and several at once.

use std::io;

use reactor::event_loop::{CloseReason, Context, Protocol, Reactor};
use reactor::simulation::{self, Peer, Simulation};

use super::{Ends, address, assert_begins, is_over, live, wind_up};

/// Answers each line with its length.
pub struct Lengths(pub Ends);

impl Protocol for Lengths {
    type Message = ();

    fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
        match input.iter().position(|byte| *byte == b'\n') {
            Some(length) => {
                cx.write(format!("{length}\n").as_bytes());
                length + 1
            }
            None => 0,
        }
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, ()>) {
        self.0.note("", reason);
    }
}

/// A loop that answers lines.
pub fn server(ends: &Ends) -> io::Result<Reactor<Lengths>> {
    let mut reactor = Reactor::builder().build()?;
    let ends = ends.clone();
    reactor.listen(address(), move |_| Some(Lengths(ends.clone())))?;
    Ok(reactor)
}

fn lines(simulation: &Simulation, questions: &str, answers: &str) -> io::Result<()> {
    let ends = Ends::default();
    let mut reactor = server(&ends)?;
    let client = simulation.connect(address());
    client.send(questions.as_bytes());
    client.finish();
    live(simulation, &mut reactor, || is_over(&client) && ends.count() == 1)?;
    assert_eq!(String::from_utf8_lossy(&client.received()), answers);
    assert_eq!(ends.all(), ["Finished"]);
    wind_up(simulation, reactor, &ends)
}

fn lines_with_losses(simulation: &Simulation) -> io::Result<()> {
    let ends = Ends::default();
    let mut reactor = server(&ends)?;
    simulation.allow_losses();
    let client = simulation.connect(address());
    client.send(b"simple\ncomplex\n\n");
    client.finish();
    live(simulation, &mut reactor, || is_over(&client))?;
    wind_up(simulation, reactor, &ends)?;
    match ends.all().as_slice() {
        // No descriptor for an accept, or the client gone before it: there never was a conversation.
        [] => assert_eq!(client.received(), b""),
        // The server's last word may be lost without the server's hearing.
        [end] if end == "Finished" => assert!(client.is_reset() || client.received() == b"6\n7\n0\n"),
        [_] => assert_begins(b"6\n7\n0\n", &client.received()),
        ends => panic!("{ends:?}"),
    }
    Ok(())
}

/// Each client has questions of its own and puts the second when the first is answered.
fn several(clients: usize, simulation: &Simulation) -> io::Result<()> {
    let ends = Ends::default();
    let mut reactor = server(&ends)?;
    let ask = |number: usize| {
        let client = simulation.connect(address());
        client.send(&[vec![b'a'; number], b"\n".to_vec()].concat());
        client.await_bytes(2);
        client.send(b"and\n");
        client.finish();
        client
    };
    let clients: Vec<Peer<'_>> = (0..clients).map(ask).collect();
    let all = || clients.iter().all(is_over) && ends.count() == clients.len();
    live(simulation, &mut reactor, all)?;
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(String::from_utf8_lossy(&client.received()), format!("{number}\n3\n"));
        assert!(client.is_finished() && client.is_done());
    }
    assert!(ends.all().iter().all(|end| end == "Finished"), "{ends:?}");
    wind_up(simulation, reactor, &ends)
}

#[test]
fn every_run_of_three_choices_is_answered() {
    let runs = simulation::explore(3, |simulation| lines(simulation, "ab\n", "2\n"));
    println!("{runs} runs");
}

#[test]
fn thousands_of_seeds_are_answered() {
    simulation::seeds(0..5_000, |simulation| lines(simulation, "simple\ncomplex\n\n", "6\n7\n0\n"));
}

#[test]
fn connections_lost_at_any_place_leave_nothing_behind() {
    simulation::seeds(0..5_000, lines_with_losses);
}

#[test]
fn connections_lost_at_every_place_leave_nothing_behind() {
    let runs = simulation::explore(2, lines_with_losses);
    println!("{runs} runs");
}

#[test]
fn two_clients_are_answered_in_every_order() {
    let runs = simulation::explore(2, |simulation| several(2, simulation));
    println!("{runs} runs");
}

#[test]
fn seven_clients_at_once_are_answered() {
    simulation::seeds(0..1_000, |simulation| several(7, simulation));
}
