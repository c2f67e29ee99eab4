//! The event loop, and layer 1, on the simulated kernel: thousands of worlds, and in each of them the answers are right.
//!
//! Every scenario keeps four promises. *Safety*: each peer received exactly what it should have, or an honest beginning of it
//! together with a reason why it ended. *Liveness*: when the kernel has stopped being unkind, whatever is still alive ends within
//! [`CALM_TURNS`]. *Nothing is left behind*: no connection, no socket. And *no turn without progress*: the simulated kernel
//! itself fails a wait when nobody does anything about what it tells. The small scenarios are gone through exhaustively, up to a
//! number of unkind choices; the large ones by seeds.
#![cfg(feature = "sim")]

mod backpressure;
mod conversation;
mod finding;
mod half_close;
mod kernel;
mod layer1;
mod mail;
mod outgoing;
mod resets;
mod shutdown;
mod time;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use reactor::event_loop::{CloseReason, Protocol, Reactor};
use reactor::simulation::{Peer, Simulation};

/// How long the world is unkind, at most.
const UNKIND_TURNS: usize = 60;

/// How many turns whatever is alive then may still need, in flows that hold one byte.
const CALM_TURNS: usize = 1000;

/// How long a shutdown may take. Nothing in here needs so long, so whoever is aborted at its end hung.
const GRACE: Duration = Duration::from_secs(3600);

/// Where the loop listens.
fn address() -> SocketAddr {
    ([127, 0, 0, 1], 1060).into()
}

/// Where others listen.
fn elsewhere() -> SocketAddr {
    ([127, 0, 0, 1], 1061).into()
}

/// Writes down how connections ended.
#[derive(Clone, Debug, Default)]
struct Ends(Rc<RefCell<Vec<String>>>);

impl Ends {
    fn note(&self, who: &str, reason: &CloseReason) {
        self.0.borrow_mut().push(format!("{who}{reason:?}"));
    }

    fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    fn count(&self) -> usize {
        self.0.borrow().len()
    }
}

/// Turns the loop while the world is unkind, for a while, and then in a calm: there it must come to be so.
fn live<P: Protocol + 'static>(
    simulation: &Simulation,
    reactor: &mut Reactor<P>,
    mut so: impl FnMut() -> bool,
) -> io::Result<()> {
    match simulation.run_within(UNKIND_TURNS, reactor, &mut so) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
        result => return result,
    }
    simulation.calm();
    simulation.run_within(CALM_TURNS, reactor, so)
}

/// Turns the loop until nothing happens any more: whoever plans has to go on.
fn rest<P: Protocol + 'static>(reactor: &mut Reactor<P>) -> io::Result<()> {
    loop {
        match reactor.turn(None) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            result => result?,
        }
    }
}

/// Ends the loop, in a calm, and looks that nothing is left of it.
fn wind_up<P: Protocol + 'static>(
    simulation: &Simulation,
    mut reactor: Reactor<P>,
    ends: &Ends,
) -> io::Result<()> {
    simulation.calm();
    let began = simulation.now();
    reactor.shutdown(GRACE);
    for _ in 0..CALM_TURNS {
        if reactor.is_shut_down() {
            break;
        }
        reactor.turn(None)?;
    }
    assert!(reactor.is_shut_down(), "{} connections are left", reactor.connections());
    assert!(simulation.now() - began < GRACE, "it hung until the grace was over: {ends:?}");
    drop(reactor);
    simulation.settle();
    assert_eq!(simulation.open_sockets(), 0);
    Ok(())
}

/// Whether a peer heard the end, in one way or the other.
fn is_over(peer: &Peer<'_>) -> bool {
    peer.is_finished() || peer.is_reset() || peer.is_refused()
}

/// What was received is a beginning of what should have been.
fn assert_begins(whole: &[u8], received: &[u8]) {
    let (whole, received) = (String::from_utf8_lossy(whole), String::from_utf8_lossy(received));
    assert!(whole.starts_with(&*received), "{received:?} is no beginning of {whole:?}");
}
