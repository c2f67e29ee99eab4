//! epoll(7): Linux's readiness interface.
//!
//! # What the kernel offers
//! The kernel keeps the set of watched descriptors (`epoll_ctl`) and a wait returns only those that are ready: its cost
//! grows with what happened, not with what is watched. Compare `poll.rs`, where the whole set crosses on every wait. Edge,
//! level and one-shot are all native, and registrations from other threads reach a wait in progress.
//!
//! # Quirks
//! a. The set holds open file *descriptions*, not descriptors (epoll(7), "Questions and answers", 6): after `close` of one
//!    of two duplicates, events keep coming for a number nobody owns. So a source is deregistered before it is closed.
//!    Test: `a_closed_descriptor_with_a_living_duplicate_keeps_firing`.
//! b. Regular files are refused with EPERM, although they are always ready. Each gets a stand-in (`always_ready.rs`).
//!    Test: `a_regular_file_is_always_ready`.
//! c. `EPOLLERR` and `EPOLLHUP` come whether asked for or not; `EPOLLRDHUP` must be asked for.
//!    Test: `all_backends_tell_the_same_flags`.
//! d. `epoll_wait` counts milliseconds in an `int`. Where that does not say it, `epoll_pwait2` (Linux 5.11) does: it counts
//!    nanoseconds, but copies a structure and costs 40 instructions more.
//!    Test: `a_short_timeout_is_not_truncated`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::always_ready::AlwaysReady;
use super::{CLOCK_KEY, Registration, Selector};
use crate::clock;
use crate::readiness::event::Event;
use crate::readiness::interest::Trigger;
use crate::readiness::timeout::Deadline;
use crate::readiness::waker::WakerFd;
use crate::sys::{self, TimerFd};

// # State

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Epoll {
    epoll: OwnedFd,
    /// What epoll refuses because it is always ready (quirk b).
    always_ready: AlwaysReady,
    /// Made when first armed.
    clock: OnceLock<TimerFd>,
}

// # New

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        Ok(Epoll {
            epoll: sys::epoll_create()?,
            always_ready: AlwaysReady::default(),
            clock: OnceLock::new(),
        })
    }

    /// A clock that is watched.
    fn new_clock(&self) -> io::Result<TimerFd> {
        let clock = TimerFd::new()?;
        let event = Event::new(CLOCK_KEY, sys::IN | sys::EDGE);
        self.set(libc::EPOLL_CTL_ADD, clock.fd(), &event)?;
        Ok(clock)
    }

    /// Quirk d.
    fn wait_precisely(&self, ready: &mut Vec<Event>, timeout: Duration) -> io::Result<()> {
        static MISSING: AtomicBool = AtomicBool::new(false);
        if !MISSING.load(Ordering::Relaxed) {
            match sys::epoll_wait_precisely(&self.epoll, ready, timeout) {
                Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                    MISSING.store(true, Ordering::Relaxed)
                }
                result => return result,
            }
        }
        self.wait_in_millis(ready, Deadline::after(Some(timeout)))
    }

    /// Rounded up, and as often as it takes: 24.8 days at a time.
    fn wait_in_millis(&self, ready: &mut Vec<Event>, deadline: Deadline) -> io::Result<()> {
        loop {
            sys::epoll_wait(&self.epoll, ready, deadline.left().map_or(-1, sys::to_millis))?;
            if !ready.is_empty() || deadline.is_over() {
                return Ok(());
            }
        }
    }

    /// Quirk b; other errors stay what they are.
    #[cold]
    fn register_stand_in(&self, error: io::Error, fd: BorrowedFd<'_>, event: &Event) -> io::Result<()> {
        match error.raw_os_error() {
            Some(libc::EPERM) => {
                self.always_ready.register(fd, |stand_in| self.set(libc::EPOLL_CTL_ADD, stand_in, event))
            }
            _ => Err(error),
        }
    }

    /// epoll_ctl(2), to add or to modify.
    #[inline]
    fn set(&self, operation: i32, fd: BorrowedFd<'_>, event: &Event) -> io::Result<()> {
        sys::epoll_set(&self.epoll, operation, fd.as_raw_fd(), event)
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl Selector for Epoll {
    // # Register

    #[inline]
    fn register(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        let event = wanted(registration);
        match self.set(libc::EPOLL_CTL_ADD, fd, &event) {
            Err(error) => self.register_stand_in(error, fd, &event),
            Ok(()) => {
                drop(self.always_ready.forget(fd));
                Ok(())
            }
        }
    }

    fn register_exclusively(&self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        // RDHUP may not be asked for besides (epoll_ctl(2), "EPOLLEXCLUSIVE"), and a socket that listens has none.
        let event = Event::new(key, sys::IN | sys::EXCLUSIVE);
        self.set(libc::EPOLL_CTL_ADD, fd, &event)
    }

    // # Reregister

    #[inline]
    fn reregister(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        let event = wanted(registration);
        match self.set(libc::EPOLL_CTL_MOD, fd, &event) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                self.always_ready.reregister(fd, |stand_in| self.set(libc::EPOLL_CTL_MOD, stand_in, &event))
            }
            result => result,
        }
    }

    // # Deregister

    #[inline]
    fn deregister(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        match sys::epoll_delete(&self.epoll, fd.as_raw_fd()) {
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                self.always_ready.deregister(fd).map(drop)
            }
            result => result,
        }
    }

    // # Wait

    #[inline]
    fn wait(&self, ready: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        let millis = match timeout {
            None => -1,
            Some(timeout) => match sys::whole_millis(timeout) {
                Some(millis) => millis,
                None => return self.wait_precisely(ready, timeout),
            },
        };
        sys::epoll_wait(&self.epoll, ready, millis)
    }

    // # Wake

    fn wake(&self, waker: &WakerFd) -> io::Result<()> {
        waker.write() // an edge each time: nothing to drain, nothing to re-arm
    }

    // # Clock

    fn arm_clock(&self, deadline: Instant) -> io::Result<bool> {
        let clock = match self.clock.get() {
            Some(clock) => clock,
            // No descriptor is left, perhaps because of those whom the timer is to end: a timeout does as well.
            None => match self.new_clock() {
                Ok(clock) => self.clock.get_or_init(|| clock),
                Err(_) => return Ok(false),
            },
        };
        clock.set(deadline.saturating_duration_since(clock::now()))?;
        Ok(true)
    }

    fn has_native_edge(&self) -> bool {
        true
    }
}

/// A registration in epoll's words.
#[inline]
fn wanted(registration: Registration) -> Event {
    let Registration { key, interest, trigger, rearm: _ } = registration;
    let mut flags = match trigger {
        Trigger::Edge => sys::EDGE,
        Trigger::Level => 0,
        Trigger::OneShot => sys::ONE_SHOT,
    };
    if interest.is_readable() {
        flags |= sys::IN | sys::RDHUP; // quirk c
    }
    if interest.is_writable() {
        flags |= sys::OUT;
    }
    if interest.is_priority() {
        flags |= sys::PRI;
    }
    Event::new(key, flags)
}

// # Tests

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::backend::Rearm;
    use crate::readiness::interest::Interest;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn level(key: u64) -> Registration {
        let (interest, trigger, rearm) = (Interest::READABLE, Trigger::Level, Rearm::ByOwner);
        Registration { key, interest, trigger, rearm }
    }

    fn now(epoll: &Epoll) -> Vec<u64> {
        let mut ready = Vec::with_capacity(8);
        epoll.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        ready.iter().map(Event::key).collect()
    }

    /// Quirk a. (An epoll of its own is closed with the events, so nobody else is disturbed.)
    #[test]
    fn a_closed_descriptor_with_a_living_duplicate_keeps_firing() {
        let epoll = Epoll::new().unwrap();
        let (near, mut far) = UnixStream::pair().unwrap();
        let duplicate = near.try_clone().unwrap();
        epoll.register(near.as_fd(), level(1)).unwrap();
        far.write_all(b"simple").unwrap();
        drop(near);
        assert_eq!(now(&epoll), [1]);
        drop(duplicate);
        assert_eq!(now(&epoll), []);
    }

    #[test]
    fn a_number_given_out_again_is_free_of_the_file_it_was() {
        let epoll = Epoll::new().unwrap();
        let file = std::fs::File::open("/").unwrap();
        epoll.register(file.as_fd(), level(1)).unwrap();
        assert_eq!(now(&epoll), [1]);
        // As if the file had been closed and its number given to a socket.
        epoll.always_ready.forget(file.as_fd());
        assert_eq!(now(&epoll), []);
        assert!(epoll.deregister(file.as_fd()).is_err());
    }

    #[test]
    fn an_armed_clock_ends_a_wait() {
        let epoll = Epoll::new().unwrap();
        assert!(epoll.arm_clock(clock::now()).unwrap());
        let mut ready = Vec::with_capacity(8);
        epoll.wait(&mut ready, None).unwrap();
        assert_eq!(ready[0].key(), CLOCK_KEY);
        assert_eq!(now(&epoll), [], "an edge: nothing to read");
        assert!(epoll.arm_clock(clock::now() + Duration::from_secs(60)).unwrap());
    }
}
