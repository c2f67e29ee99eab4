//! The zen service itself on the simulated kernel: what the server says, under every whim of a kernel, in no time.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use reactor::event_loop::{Limits, Reactor};
use reactor::simulation::{self, Peer, Simulation};
use zen_server::services::zen::{APHORISMS, Conversation, LONGEST_QUESTION, Service};

/// Turns until whatever is alive when the world has become calm must have ended.
const CALM_TURNS: usize = 1_000;

fn address() -> SocketAddr {
    ([127, 0, 0, 1], 1060).into()
}

fn server(delay: Option<Duration>) -> io::Result<Reactor<Conversation>> {
    let limits = Limits { idle: Some(Duration::from_secs(60)), ..Limits::default() };
    let mut reactor = Reactor::builder().limits(limits).build()?;
    let service = Service::new(delay);
    reactor.listen(address(), move |_| Some(service.converse(None)))?;
    Ok(reactor)
}

/// Lets it all come to its end, at last in a calm, and looks that nothing is left.
fn end(simulation: &Simulation, mut reactor: Reactor<Conversation>, clients: &[Peer<'_>]) -> io::Result<()> {
    let is_over = || clients.iter().all(|client| client.is_finished() || client.is_reset());
    match simulation.run_within(100, &mut reactor, is_over) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
        result => result?,
    }
    simulation.calm();
    simulation.run_within(CALM_TURNS, &mut reactor, is_over)?;
    reactor.shutdown(Duration::ZERO);
    for _ in 0..CALM_TURNS {
        if reactor.is_shut_down() {
            break;
        }
        reactor.turn(None)?;
    }
    drop(reactor);
    assert_eq!(simulation.open_sockets(), 0);
    Ok(())
}

/// Puts all three questions, the last when the others are answered, and then a wrong one.
fn ask<'a>(simulation: &'a Simulation) -> Peer<'a> {
    let client = simulation.connect(address());
    let [first, second, third] = APHORISMS;
    client.send(format!("{}{}", first.0, second.0).as_bytes());
    client.await_bytes(first.1.len() + second.1.len());
    client.send(third.0.as_bytes());
    client.send(b"What?");
    client.finish();
    client
}

const ANSWERS: &str = "Ugly.Implicit.Complex.Error: unknown aphorism.";

fn answered(simulation: &Simulation, clients: usize, delay: Option<Duration>) -> io::Result<()> {
    let reactor = server(delay)?;
    let clients: Vec<Peer<'_>> = (0..clients).map(|_| ask(simulation)).collect();
    end(simulation, reactor, &clients)?;
    for client in clients {
        assert_eq!(String::from_utf8_lossy(&client.received()), ANSWERS);
        assert!(client.is_finished() && client.is_done(), "{client:?}");
    }
    Ok(())
}

/// Where connections are lost, what was received is a beginning of the answers.
fn honest(simulation: &Simulation) -> io::Result<()> {
    let reactor = server(None)?;
    simulation.allow_losses();
    let clients = [ask(simulation), ask(simulation)];
    end(simulation, reactor, &clients)?;
    for client in clients {
        assert!(ANSWERS.as_bytes().starts_with(&client.received()), "{client:?}");
    }
    Ok(())
}

/// Who does not come to an end with a question is told so, and hung up on.
fn too_long(simulation: &Simulation) -> io::Result<()> {
    simulation.calm(); // one byte at a time, this would take thousands of turns
    let reactor = server(None)?;
    let client = simulation.connect(address());
    client.send(b"??");
    client.send(&vec![b'a'; LONGEST_QUESTION + 1]);
    end(simulation, reactor, std::slice::from_ref(&client))?;
    let unknown = "Error: unknown aphorism.";
    assert_eq!(
        String::from_utf8_lossy(&client.received()),
        format!("{unknown}{unknown}Error: question too long.")
    );
    Ok(())
}

#[test]
fn every_run_of_two_choices_is_answered() {
    println!("{} runs", simulation::explore(2, |simulation| answered(simulation, 1, None)));
}

#[test]
fn five_clients_are_answered_under_thousands_of_seeds() {
    simulation::seeds(0..1_000, |simulation| answered(simulation, 5, None));
}

#[test]
fn expensive_answers_come_in_order() {
    let delay = Some(Duration::from_millis(300));
    simulation::seeds(0..1_000, |simulation| answered(simulation, 2, delay));
}

#[test]
fn what_a_lost_connection_received_is_a_beginning_of_the_answers() {
    simulation::seeds(0..2_000, honest);
}

#[test]
fn a_question_without_end_is_told_so() {
    simulation::seeds(0..1, too_long);
}
