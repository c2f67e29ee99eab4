//! Shutdown in the middle: whoever was being answered is answered, nobody else is waited for, and it takes no longer than it may.

use std::io;
use std::time::Duration;

use reactor::simulation::{self, Simulation};

use super::conversation::server;
use super::{Ends, address, assert_begins, is_over, wind_up};

const QUESTIONS: &[u8] = b"one\nthree\nseven\n";
const ANSWERS: &[u8] = b"3\n5\n5\n";

/// Begins after so many turns.
fn drained(simulation: &Simulation, turns: usize) -> io::Result<()> {
    let ends = Ends::default();
    let mut reactor = server(&ends)?;
    let clients = [simulation.connect(address()), simulation.connect(address())];
    for client in &clients {
        client.send(QUESTIONS);
    }
    for _ in 0..turns {
        reactor.turn(Some(Duration::from_millis(1)))?;
    }
    reactor.shutdown(super::GRACE);
    for _ in 0..turns {
        if !reactor.is_shut_down() {
            reactor.turn(Some(Duration::from_millis(1)))?;
        }
    }
    wind_up(simulation, reactor, &ends)?;
    for client in &clients {
        assert_begins(ANSWERS, &client.received());
        assert!(client.received().is_empty() || client.received().ends_with(b"\n"), "half an answer");
        assert!(is_over(client), "{client:?}");
    }
    // What had arrived when the shutdown began may be half a question.
    let known = |end: &String| end == "Finished" || end.starts_with("MidRequest");
    assert!(ends.all().iter().all(known), "{ends:?}");
    Ok(())
}

/// Somebody who does not end is not waited for longer than agreed.
fn grace(simulation: &Simulation) -> io::Result<()> {
    let ends = Ends::default();
    let mut reactor = server(&ends)?;
    let client = simulation.connect(address());
    client.send(b"one\nthr");
    client.await_bytes(2);
    simulation.run(&mut reactor, || client.is_done())?;
    let (grace, began) = (Duration::from_secs(7), simulation.now());
    reactor.shutdown(grace);
    while !reactor.is_shut_down() {
        reactor.turn(None)?;
    }
    let took = simulation.now() - began;
    assert!(took < grace + Duration::from_secs(5), "{took:?}");
    drop(reactor);
    simulation.settle();
    assert!(is_over(&client), "{client:?}");
    assert_eq!(simulation.open_sockets(), 0);
    Ok(())
}

#[test]
fn a_shutdown_after_every_number_of_turns_leaves_nothing_behind() {
    for turns in 0..12 {
        simulation::explore(1, |simulation| drained(simulation, turns));
    }
}

#[test]
fn thousands_of_shutdowns_leave_nothing_behind() {
    for turns in [1, 4, 7, 11] {
        simulation::seeds(0..750, |simulation| drained(simulation, turns));
    }
}

#[test]
fn a_shutdown_takes_no_longer_than_its_grace() {
    println!("{} runs", simulation::explore(1, grace));
    simulation::seeds(0..1_000, grace);
}
