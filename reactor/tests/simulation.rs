//! The event loop on the simulated kernel: thousands of worlds, in each of which the answers are right.
#![cfg(feature = "sim")]

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use reactor::event_loop::{CloseReason, Context, Protocol, Reactor};
use reactor::simulation::{self, Simulation};

fn address() -> SocketAddr {
    ([127, 0, 0, 1], 1060).into()
}

/// Answers each line with its length, and writes down how it ended.
#[derive(Default)]
struct Lengths {
    ends: Rc<RefCell<Vec<String>>>,
}

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
        self.ends.borrow_mut().push(format!("{reason:?}"));
    }
}

fn lines_with_losses(simulation: &Simulation) -> io::Result<()> {
    simulation.allow_losses();
    lines(simulation)
}

fn lines(simulation: &Simulation) -> io::Result<()> {
    let ends = Rc::new(RefCell::new(Vec::new()));
    let mut reactor = Reactor::<Lengths>::builder().build()?;
    let theirs = Rc::clone(&ends);
    reactor.listen(address(), move |_| Some(Lengths { ends: Rc::clone(&theirs) }))?;
    let client = simulation.connect(address());
    client.send(b"simple\ncomplex\n\n");
    client.finish();
    simulation.run(&mut reactor, || client.is_finished() || client.is_reset())?;
    simulation.calm();
    reactor.shutdown(Duration::from_secs(5));
    simulation.run(&mut reactor, || ends.borrow().len() == 1 || client.is_reset())?;
    match ends.borrow().as_slice() {
        // No descriptor for an accept, or the client gone before it: there never was a conversation.
        [] => assert_eq!(client.received(), b""),
        ends => {
            assert_eq!(
                String::from_utf8(client.received()).unwrap(),
                "6\n7\n0\n",
                "{ends:?} {client:?} {:?}",
                reactor.counters()
            );
            assert_eq!(ends, ["Finished"]);
        }
    }
    drop(reactor);
    assert_eq!(simulation.open_sockets(), 0);
    Ok(())
}

#[test]
fn every_run_of_three_choices_is_answered() {
    let runs = simulation::explore(3, lines);
    assert!(runs > 1000, "{runs}");
    println!("{runs} runs");
}

#[test]
fn ten_thousand_seeds_are_answered() {
    assert_eq!(simulation::seeds(0..10_000, lines), 10_000);
}

#[test]
fn connections_lost_before_they_were_accepted_leave_nothing_behind() {
    assert_eq!(simulation::seeds(0..10_000, lines_with_losses), 10_000);
    let runs = simulation::explore(2, lines_with_losses);
    assert!(runs > 500, "{runs}");
}
