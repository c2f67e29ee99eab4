//! The simulated kernel as a backend: to test with.
//!
//! # What the kernel offers
//! It is no kernel: sockets, a network and a clock in memory (`sys/simulated/`), where everything that a kernel is free to do
//! is a choice that a [`simulation`](crate::simulation) makes, remembers and can repeat. All three triggers, and a clock.
//!
//! # Quirks
//! a. It is one per thread, and knows only the TCP sockets of its thread: others are refused by name. Test:
//!    `what_is_not_simulated_is_refused_by_name`.
//! b. While it is there, it is the only one: another would wait for sockets that are none. Test:
//!    `where_it_is_there_is_no_other`.
//! c. A waker works from any thread, but then what happens is not decided by choices alone. Test: `a_wake_ends_a_wait`.
//! d. Whether it has edges is a choice as well: a loop must be right with both. Test: `it_has_edges_in_some_runs_only`.
//! e. Time passes only where a wait would wait for it, and then at once. Test: `a_wait_takes_no_time_but_simulated_time`.
//! f. A wait that nothing can end is an error, not for ever. Test: `a_wait_for_nothing_is_an_error`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{CLOCK_KEY, Rearm, Registration, Selector};
use crate::clock;
use crate::readiness::event::Event;
use crate::readiness::interest::Trigger;
use crate::readiness::waker::WakerFd;
use crate::sys::{self, simulated};

/// How often one wait looks at the world while that moves and there is nothing to tell. Should it do so for ever, that shows in
/// the number of turns.
const MOST_LOOKS: u32 = 10_000;

// # State

/// One of the selectors of the kernel that runs on this thread.
#[derive(Debug)]
pub(crate) struct Sim {
    number: u32,
    has_edges: bool,
    /// Wakers that were woken and not reported.
    woken: Mutex<Vec<RawFd>>,
}

// # New

impl Sim {
    pub(crate) fn new() -> io::Result<Sim> {
        let new = simulated::with(|kernel| (kernel.new_selector(), kernel.has_edges()));
        let (number, has_edges) = new.ok_or_else(nobody)?;
        Ok(Sim { number, has_edges, woken: Mutex::default() })
    }

    fn watch(&self, fd: BorrowedFd<'_>, registration: Registration, anew: bool) -> io::Result<()> {
        let Registration { key, interest, trigger, rearm } = registration;
        let wanted = if interest.is_readable() { sys::IN } else { 0 }
            | if interest.is_writable() { sys::OUT } else { 0 };
        let (edge, one_shot) = (trigger == Trigger::Edge, trigger == Trigger::OneShot);
        let (selector, fd, is_waker) = (self.number, fd.as_raw_fd(), rearm == Rearm::Never);
        let watch = simulated::Watch { selector, fd, is_waker, key, wanted, edge, one_shot, loaded: true };
        ask(|kernel| kernel.watch(watch, anew))
    }

    fn woken(&self) -> MutexGuard<'_, Vec<RawFd>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the kernel of this thread.
fn ask<R>(ask: impl FnOnce(&mut simulated::Kernel) -> io::Result<R>) -> io::Result<R> {
    simulated::with(ask).unwrap_or_else(|| Err(nobody()))
}

fn nobody() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "no simulation runs on this thread")
}

impl Selector for Sim {
    // # Register

    fn register(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        self.watch(fd, registration, true)
    }

    // # Reregister

    fn reregister(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        self.watch(fd, registration, false)
    }

    // # Deregister

    fn deregister(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.woken().retain(|woken| *woken != fd.as_raw_fd());
        ask(|kernel| kernel.unwatch(self.number, fd.as_raw_fd()))
    }

    // # Wait

    fn wait(&self, ready: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        ready.clear();
        ask(simulated::Kernel::begin_wait)?;
        let until = timeout.and_then(|timeout| clock::now().checked_add(timeout));
        for looks in 0..MOST_LOOKS {
            let mut woken = self.woken();
            let looked =
                simulated::with(|kernel| kernel.wait(self.number, ready, until, &mut woken, CLOCK_KEY));
            match looked.ok_or_else(nobody)? {
                // The world came to rest while we waited: whoever plans what happens next has to see it.
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock && looks > 0 => break,
                Some(result) => return result,
                None => {}
            }
        }
        Ok(())
    }

    // # Wake

    fn wake(&self, waker: &WakerFd) -> io::Result<()> {
        self.woken().push(waker.fd().as_raw_fd());
        Ok(())
    }

    // # Clock

    fn arm_clock(&self, deadline: Instant) -> io::Result<bool> {
        let armed = simulated::with(|kernel| kernel.arm_clock(self.number, deadline));
        armed.map(|()| true).ok_or_else(nobody)
    }

    fn has_native_edge(&self) -> bool {
        self.has_edges
    }
}

// # Tests

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;
    use crate::net::{TcpListener, UdpSocket, UnixStream};
    use crate::simulation::{explore, seeds};
    use crate::{Backend, Events, Interest, Poll, Token, Waker};

    #[test]
    fn what_is_not_simulated_is_refused_by_name() {
        seeds(0..1, |_| {
            let poll = Poll::new()?;
            let (mut stream, _other) = UnixStream::pair()?;
            let mut socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
            let refused = [
                poll.registry().register(&mut stream, Token(0), Interest::READABLE),
                poll.registry().register(&mut socket, Token(0), Interest::READABLE),
            ];
            for error in refused.map(Result::unwrap_err) {
                assert_eq!(error.kind(), io::ErrorKind::Unsupported);
                assert!(error.to_string().contains("is not simulated"), "{error}");
            }
            let mut of_another = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
            thread::scope(|scope| {
                let elsewhere = scope.spawn(|| {
                    let error = poll.registry().register(&mut of_another, Token(0), Interest::READABLE);
                    assert!(error.unwrap_err().to_string().contains("no simulation runs on this thread"));
                });
                elsewhere.join().unwrap();
            });
            Ok(())
        });
    }

    #[test]
    fn where_it_is_there_is_no_other() {
        assert!("sim".parse::<Backend>().is_err());
        seeds(0..1, |_| {
            assert_eq!(Backend::available(), [Backend::Auto, Backend::Sim]);
            assert_eq!("sim".parse::<Backend>().unwrap(), Backend::Sim);
            assert_eq!(Poll::with_backend(Backend::Sim)?.backend(), Backend::Sim);
            let error = Poll::with_backend(Backend::Poll).unwrap_err();
            assert!(error.to_string().contains("available: auto, sim"), "{error}");
            Ok(())
        });
    }

    #[test]
    fn a_wake_ends_a_wait() {
        explore(2, |_| {
            let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(4));
            let waker = Arc::new(Waker::new(poll.registry(), Token(7))?);
            let other = Arc::clone(&waker);
            thread::spawn(move || other.wake()).join().unwrap()?;
            while let Err(error) = poll.poll(&mut events, None) {
                assert_eq!(error.kind(), io::ErrorKind::Interrupted);
            }
            assert_eq!(events.iter().map(|event| event.token()).collect::<Vec<_>>(), [Token(7)]);
            while poll.poll(&mut events, Some(Duration::ZERO)).is_err() {}
            assert!(events.is_empty(), "it was told already");
            Ok(())
        });
    }

    #[test]
    fn it_has_edges_in_some_runs_only() {
        let mut seen = [false; 2];
        seeds(0..100, |_| {
            seen[usize::from(Sim::new()?.has_native_edge())] = true;
            Ok(())
        });
        assert_eq!(seen, [true; 2]);
    }

    #[test]
    fn a_wait_takes_no_time_but_simulated_time() {
        let (hour, began) = (Duration::from_secs(3600), Instant::now());
        seeds(0..10, |simulation| {
            simulation.calm();
            let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(4));
            let began = simulation.now();
            poll.poll(&mut events, Some(hour))?;
            assert_eq!(simulation.now() - began, hour);
            Ok(())
        });
        assert!(began.elapsed() < hour);
    }

    #[test]
    fn a_wait_for_nothing_is_an_error() {
        seeds(0..1, |simulation| {
            simulation.calm();
            let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(4));
            let error = poll.poll(&mut events, None).unwrap_err();
            assert!(error.to_string().contains("at rest"), "{error}");
            Ok(())
        });
    }
}
