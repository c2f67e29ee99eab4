//! The `polling` crate: somebody else's portable readiness interface, over epoll, kqueue or event ports.
//!
//! # What the kernel offers
//! Whatever the crate found: it hides the kernel's interface and promises what all of them have in common. The set of watched
//! descriptors is kept (`Poller::add`, `modify`, `delete`), a wait returns those that are ready, and each is reported *once*:
//! then it is silent until it is armed by another `modify`. From that the three triggers are made with the memory that
//! `watch_list.rs` is to select and poll: before each wait, what changed is handed to the poller, and what was reported has
//! changed. So level costs a system call for each event, and edges and one-shots, which are silent after an event anyway, cost
//! one when they are armed again. Compare `epoll.rs` for what the same kernel gives to who asks it directly.
//!
//! # Quirks
//! a. An event says readable and writable; of what else poll(2) tells, the crate passes on what the system below happens to
//!    have. So poll(2) is asked about whoever was reported, and tells what exactly there is.
//!    Test: `all_backends_tell_the_same_flags`.
//! b. Who asks for readable is reported for urgent data as well, asked for or not, and armed again would be reported again at
//!    once. So whoever was reported stays with poll(2), which waits for it beside the poller, until there is something to tell.
//!    Test: `urgent_data_nobody_asked_for_does_not_spin_an_idle_wait`.
//! c. The crate's wait goes on after a signal and tells nobody. So the waiting is done by poll(2) on the poller's descriptor,
//!    which is ready when one of its sources is; the crate only collects, without waiting. Test: `a_signal_is_told_as_interrupted`.
//! d. The key `usize::MAX` is the crate's. It is given the descriptor's number; the caller's keys are in the watch list.
//!    Test: `every_bit_of_a_token_comes_back`.
//! e. The poller's descriptor says nothing of a level that waits to be armed again, so it does not stand for all that is
//!    watched and is not handed out. Test: `the_descriptor_of_a_poll_stands_for_all_it_watches`.
//! f. Regular files are refused with EPERM where epoll is below, and are ready by their offset where kqueue is. Each gets a
//!    stand-in (`always_ready.rs`). Test: `a_regular_file_is_always_ready`.
//! g. Where kqueue is below there is no interest in priority data, and an edge that told what is readable hears of no hang-up
//!    before the next I/O, as with select (quirk c there). No test: it takes such a system.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use polling::Poller;

use super::always_ready::{AlwaysReady, StandIn};
use super::watch_list::{Delivery, WatchList, index, wanted};
use super::{Rearm, Registration, Selector};
use crate::readiness::event::Event;
use crate::readiness::rearm::Listed;
use crate::readiness::timeout::Deadline;
use crate::readiness::waker::WakerFd;
use crate::sys;

// # State

/// The poller, and what it does not remember.
#[derive(Debug)]
pub(crate) struct Polling {
    list: Listed,
    poller: Poller,
    /// What the poller refuses because it is always ready (quirk f).
    always_ready: AlwaysReady,
    /// The waiting thread's own.
    round: Mutex<Round>,
}

/// What one round through the kernel needs.
struct Round {
    /// What poll(2) waits for: the poller, the interruption, and then whoever was reported and not told of yet (quirks a, b).
    entries: Vec<libc::pollfd>,
    /// What the poller is collected into.
    reported: polling::Events,
    /// Those that the poller would not arm, and why.
    refused: Vec<(RawFd, io::Error)>,
}

/// Where those begin that were reported.
const REPORTED: usize = 2;

// # New

impl Polling {
    pub(crate) fn new() -> io::Result<Polling> {
        let (list, poller) = (Listed::new(WatchList::new()?), Poller::new()?);
        let round = Mutex::new(Round {
            entries: [poller.as_raw_fd(), list.interruption()].map(|fd| sys::poll_entry(fd, sys::IN)).into(),
            reported: polling::Events::with_capacity(NonZeroUsize::MIN),
            refused: Vec::new(),
        });
        Ok(Polling { list, poller, always_ready: AlwaysReady::default(), round })
    }

    /// Starts watching what the poller accepts.
    fn watch(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        if cfg!(has_kqueue) && sys::is_always_ready(fd)? {
            return Err(io::Error::from_raw_os_error(libc::EPERM)); // as if it refused them there, too
        }
        sys::poller_add(&self.poller, fd, event(fd.as_raw_fd(), wanted(registration.interest)))?;
        // The poller did not know it: whatever had this number was closed without being deregistered.
        self.list.forget(fd);
        self.list.register(fd, registration).inspect_err(|_| drop(self.poller.delete(fd)))
    }

    /// Watches for something else. Whether it is watched at all, the poller knows best.
    fn watch_anew(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        self.poller.modify(fd, event(fd.as_raw_fd(), wanted(registration.interest)))?;
        self.list.reregister(fd, registration)
    }

    /// Forgets a stand-in, which is closed with that.
    fn give_back(&self, stand_in: Option<StandIn>) {
        if let Some(stand_in) = stand_in {
            self.list.forget(stand_in.fd());
        }
    }
}

impl Selector for Polling {
    // # Register

    // The poller is told at once, because it may refuse; and again before the next wait, with all else that changed.
    fn register(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        match self.watch(fd, registration) {
            Err(error) if is_refused(&error) => {
                self.always_ready.register(fd, |stand_in| self.watch(stand_in, for_a_stand_in(registration)))
            }
            Err(error) => Err(error),
            Ok(()) => {
                self.give_back(self.always_ready.forget(fd));
                Ok(())
            }
        }
    }

    // # Reregister

    fn reregister(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        match self.watch_anew(fd, registration) {
            Err(error) if is_refused(&error) => self
                .always_ready
                .reregister(fd, |stand_in| self.watch_anew(stand_in, for_a_stand_in(registration))),
            result => result,
        }
    }

    // # Deregister

    fn deregister(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        match self.poller.delete(fd) {
            Err(error) if is_refused(&error) => {
                self.always_ready.deregister(fd).map(|stand_in| self.give_back(Some(stand_in)))
            }
            // The wait in progress may have found out between the two steps, and have forgotten it already.
            result => result.and_then(|()| match self.list.deregister(fd) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                result => result,
            }),
        }
    }

    // # Wait

    fn wait(&self, ready: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        ready.clear();
        ready.reserve(1);
        let deadline = Deadline::after(timeout);
        let mut round = self.round.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let limit = self.list.enter(deadline.left(), |fd, flags| round.arm(&self.poller, fd, flags));
            let limit = if round.refused.is_empty() { limit } else { Some(Duration::ZERO) };
            let result = sys::poll(&mut round.entries, limit);
            // From here to the end of the delivery nobody comes or goes, so what is collected is about who is there.
            let mut delivery = self.list.leave()?;
            round.remove_closed(&mut delivery)?;
            if result? > 0 {
                round.collect(&self.poller, &mut delivery, ready.capacity())?;
                round.report(&mut delivery, ready);
            }
            drop(delivery);
            if !ready.is_empty() || deadline.is_over() {
                return Ok(());
            }
        }
    }

    // # Wake

    fn wake(&self, waker: &WakerFd) -> io::Result<()> {
        waker.write() // it is armed always, and drained when it is told
    }

    // # Clock

    // None: a wait is told its timeout on every call anyway.
}

impl Round {
    /// Hands over what `fd` is armed for. What is armed for nothing was reported, and is silent without being told.
    fn arm(&mut self, poller: &Poller, fd: RawFd, flags: u32) {
        self.take_back(|entry| entry.fd == fd);
        if flags != 0 {
            let armed = sys::borrow(fd, |borrowed| poller.modify(borrowed, event(fd, flags)));
            self.refused.extend(armed.unwrap_or_else(Err).err().map(|error| (fd, error)));
        }
    }

    /// Takes back from poll(2) whom it was asked about because they were reported.
    fn take_back(&mut self, mut is_done: impl FnMut(&libc::pollfd) -> bool) {
        let mut place = 0..;
        self.entries.retain(|entry| place.next() < Some(REPORTED) || !is_done(entry));
    }

    /// What was closed without being deregistered is dropped; what was refused for another reason is tried again.
    fn remove_closed(&mut self, delivery: &mut Delivery<'_>) -> io::Result<()> {
        let mut result = Ok(());
        for (fd, error) in self.refused.drain(..) {
            let is_closed =
                error.raw_os_error() == Some(libc::EBADF) || error.kind() == io::ErrorKind::NotFound;
            if !is_closed {
                delivery.spend(fd);
                result = Err(error);
            } else if delivery.is_unchanged(fd) {
                delivery.remove(fd);
            }
        }
        result
    }

    /// Lets the poller report, and poll(2) say of whoever was reported what there is (quirk a).
    fn collect(&mut self, poller: &Poller, delivery: &mut Delivery<'_>, room: usize) -> io::Result<()> {
        if self.entries[0].revents == 0 {
            return Ok(());
        }
        let room = NonZeroUsize::new(room).unwrap_or(NonZeroUsize::MIN);
        if self.reported.capacity() != room {
            self.reported = polling::Events::with_capacity(room);
        }
        self.reported.clear();
        let collected = poller.wait(&mut self.reported, Some(Duration::ZERO));
        for event in self.reported.iter() {
            let fd = RawFd::try_from(event.key).unwrap_or(-1); // it was made from one
            match delivery.armed(fd) {
                0 => {} // it has changed, so it will be armed again; or all was told after an earlier event
                flags => self.entries.push(sys::poll_entry(fd, flags)),
            }
        }
        collected?; // who was reported before it failed is among the entries of the next wait
        sys::poll(&mut self.entries, Some(Duration::ZERO)).map(drop)
    }

    /// Tells, as long as there is room, what poll(2) said. The poller has those again.
    fn report(&mut self, delivery: &mut Delivery<'_>, ready: &mut Vec<Event>) {
        self.take_back(|entry| {
            let is_told = entry.revents != 0 && ready.len() < ready.capacity();
            if is_told {
                ready.extend(delivery.deliver(entry.fd, sys::poll_answer(entry)));
                delivery.spend(entry.fd);
            }
            is_told
        });
    }
}

/// Quirk f: whether it may be that a stand-in is registered instead.
fn is_refused(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM) || error.kind() == io::ErrorKind::NotFound
}

/// What never changes has no second edge, after no matter what time.
fn for_a_stand_in(registration: Registration) -> Registration {
    Registration { rearm: Rearm::ByOwner, ..registration }
}

/// What is armed, in the poller's words.
fn event(fd: RawFd, flags: u32) -> polling::Event {
    let mut event = polling::Event::new(index(fd), flags & sys::IN != 0, flags & sys::OUT != 0); // quirk d
    event.set_priority(flags & sys::PRI != 0);
    event.set_interrupt(flags & sys::HUP != 0);
    event
}

impl std::fmt::Debug for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries.iter().skip(REPORTED).map(|entry| entry.fd)).finish()
    }
}

// # Tests

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::interest::Interest;
    use crate::readiness::interest::Trigger;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn level(key: u64) -> Registration {
        let (interest, trigger, rearm) = (Interest::READABLE, Trigger::Level, Rearm::ByOwner);
        Registration { key, interest, trigger, rearm }
    }

    fn now(polling: &Polling) -> Vec<u64> {
        let mut ready = Vec::with_capacity(8);
        polling.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        ready.iter().map(Event::key).collect()
    }

    #[test]
    fn a_number_given_out_again_is_free_of_the_file_it_was() {
        let polling = Polling::new().unwrap();
        let file = File::open("/").unwrap();
        polling.register(file.as_fd(), level(1)).unwrap();
        assert_eq!(now(&polling), [1]);
        // As if the file had been closed and its number given to a socket.
        polling.give_back(polling.always_ready.forget(file.as_fd()));
        assert_eq!(now(&polling), []);
        assert!(polling.deregister(file.as_fd()).is_err());
    }

    /// A wait that arms what the poller just forgot takes it for closed. The one that deregisters it is not to blame.
    #[test]
    fn who_deregisters_while_a_wait_finds_the_source_gone_has_deregistered_it() {
        let polling = Polling::new().unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        polling.register(ours.as_fd(), level(1)).unwrap();
        polling.list.enter(Some(Duration::ZERO), |_, _| {});
        polling.list.leave().unwrap().remove(ours.as_raw_fd());
        polling.deregister(ours.as_fd()).unwrap();
        assert_eq!(polling.deregister(ours.as_fd()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    /// Quirk b. (The poller is told behind the backend's back to report what nobody asked for.)
    #[test]
    fn what_was_reported_for_nothing_is_taken_back_with_an_event_a_change_or_the_registration() {
        let polling = Polling::new().unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let asked = || polling.round.lock().unwrap().entries.len() - REPORTED;
        let report_for_nothing = || {
            let key = index(ours.as_raw_fd());
            assert_eq!((now(&polling), asked()), (vec![], 0));
            polling.poller.modify(&ours, polling::Event::writable(key)).unwrap();
            assert_eq!((now(&polling), asked()), (vec![], 1));
            assert_eq!((now(&polling), asked()), (vec![], 1));
        };
        polling.register(ours.as_fd(), level(1)).unwrap();
        report_for_nothing();
        theirs.write_all(b"simple").unwrap();
        assert_eq!((now(&polling), asked()), (vec![1], 0));
        (&ours).read_exact(&mut [0; 6]).unwrap();
        report_for_nothing();
        polling.reregister(ours.as_fd(), level(2)).unwrap();
        report_for_nothing();
        polling.deregister(ours.as_fd()).unwrap();
        assert_eq!((now(&polling), asked()), (vec![], 0));
    }
}
