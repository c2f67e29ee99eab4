//! The simulated kernel as a backend: to test with.
//!
//! # What the kernel offers
//! It is no kernel: sockets, a network and a clock in memory (`sys/simulated/`), where everything that a kernel is free to do
//! is a choice that a [`simulation`](crate::simulation) makes, remembers and can repeat. All three triggers, and a clock.
//!
//! # Quirks
//! a. It is one per thread, and knows only the sockets of its thread. A waker works from any thread, but then what happens is
//!    not decided by choices alone. Test: `a_wake_ends_a_wait`.
//! b. Whether it has edges is a choice as well: a loop must be right with both. Test: `every_run_of_three_choices_is_answered`.
//! c. A wait that nothing can end is an error, not for ever. Test: `a_wait_for_nothing_is_an_error`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{CLOCK_KEY, Registration, Selector};
use crate::clock;
use crate::readiness::event::Event;
use crate::readiness::interest::Trigger;
use crate::readiness::waker::WakerFd;
use crate::sys::{self, simulated};

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
        let Registration { key, interest, trigger, rearm: _ } = registration;
        let wanted = if interest.is_readable() { sys::IN } else { 0 }
            | if interest.is_writable() { sys::OUT } else { 0 };
        let (edge, one_shot) = (trigger == Trigger::Edge, trigger == Trigger::OneShot);
        let watch = simulated::Watch { key, wanted, edge, one_shot, loaded: true };
        ask(|kernel| kernel.watch(self.number, fd.as_raw_fd(), watch, anew))
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
        let until = timeout.and_then(|timeout| clock::now().checked_add(timeout));
        for looks in 0.. {
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
