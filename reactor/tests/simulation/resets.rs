//! Resets at any place: one connection ends, with a reason, and its neighbours do not notice.

use std::io;

use reactor::event_loop::{CloseReason, Context, Protocol, Reactor};
use reactor::simulation::{self, Simulation};

use super::conversation::server;
use super::{Ends, address, assert_begins, is_over, live, wind_up};

/// One client goes away in the middle; another one is answered.
fn client_resets(simulation: &Simulation, when_received: usize, abruptly: bool) -> io::Result<()> {
    let ends = Ends::default();
    let mut reactor = server(&ends)?;
    let (rude, polite) = (simulation.connect(address()), simulation.connect(address()));
    rude.send(b"one\nthree\nse");
    rude.await_bytes(when_received);
    if abruptly {
        rude.reset()
    } else {
        rude.close()
    }
    polite.send(b"and\nyou\n");
    polite.finish();
    live(simulation, &mut reactor, || rude.is_done() && is_over(&polite) && ends.count() == 2)?;
    assert_begins(b"3\n5\n", &rude.received());
    assert_eq!(String::from_utf8_lossy(&polite.received()), "3\n3\n");
    let mut all = ends.all();
    all.sort();
    // Who was reset before it was accepted is accepted all the same; that it was reset shows then.
    let is_known = |end: &String| {
        ["Finished", "MidRequest(2)", "Reset"].contains(&end.as_str()) || end.starts_with("Unsent")
    };
    assert!(all.len() == 2 && all.iter().all(is_known), "{all:?}");
    assert!(all.iter().any(|end| end == "Finished"), "{all:?}");
    if !abruptly && when_received == 4 {
        assert_eq!(all, ["Finished", "MidRequest(2)"]);
    }
    wind_up(simulation, reactor, &ends)
}

/// Aborts at the word.
struct Touchy(Ends);

impl Protocol for Touchy {
    type Message = ();

    fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
        if input.contains(&b'!') {
            cx.write(b"never sent");
            cx.abort();
        } else {
            cx.write(input);
        }
        input.len()
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, ()>) {
        self.0.note("", reason);
    }
}

/// The loop's side resets.
fn server_resets(simulation: &Simulation) -> io::Result<()> {
    let ends = Ends::default();
    let mut reactor = Reactor::<Touchy>::builder().build()?;
    let noted = ends.clone();
    reactor.listen(address(), move |_| Some(Touchy(noted.clone())))?;
    let client = simulation.connect(address());
    client.send(b"so then");
    client.await_bytes(7);
    client.send(b"!");
    live(simulation, &mut reactor, || client.is_reset() && ends.count() == 1)?;
    assert_eq!(String::from_utf8_lossy(&client.received()), "so then");
    assert_eq!(ends.all(), ["Aborted"]);
    wind_up(simulation, reactor, &ends)
}

#[test]
fn a_reset_at_every_place_leaves_the_neighbour_alone() {
    for when_received in [0, 1, 4] {
        let runs = simulation::explore(1, |simulation| client_resets(simulation, when_received, true));
        println!("{runs} runs");
    }
}

#[test]
fn thousands_of_resets_leave_the_neighbours_alone() {
    for when_received in [0, 1, 4] {
        simulation::seeds(0..1_000, |simulation| client_resets(simulation, when_received, true));
    }
}

#[test]
fn thousands_who_close_in_the_middle_of_a_request_leave_the_neighbours_alone() {
    for when_received in [0, 4] {
        simulation::seeds(0..1_000, |simulation| client_resets(simulation, when_received, false));
    }
}

#[test]
fn an_aborted_connection_is_reset_and_leaves_nothing_behind() {
    println!("{} runs", simulation::explore(2, server_resets));
}

#[test]
fn thousands_of_aborted_connections_leave_nothing_behind() {
    simulation::seeds(0..2_000, server_resets);
}
