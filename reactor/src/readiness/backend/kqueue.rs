//! kqueue(2): the readiness interface of the BSDs and of Apple's systems.
//!
//! # What the kernel offers
//! The kernel keeps a set of *knotes*, each named by an identifier and a filter ("descriptor 5 is readable"). One call, kevent,
//! changes the set and waits, and a wait returns only what happened. Compare `epoll.rs`, where a descriptor is one entry with
//! flags: here its two directions are two knotes, which are added, told and ended each by itself. Edge (`EV_CLEAR`), level and
//! silence after the first event (`EV_DISPATCH`) are native, and changes from other threads reach a wait in progress.
//!
//! # Quirks
//! a. Two knotes are two events. Those of one batch are merged, as other backends tell them; told in two batches, they stay
//!    two. Both ended: hung up. Test: `both_directions_of_a_batch_are_one_event`.
//! b. "Once" is once for each knote. So when a one-shot was told, the rest of its knotes are disabled before the wait returns.
//!    Test: `a_one_shot_for_both_directions_is_told_once`.
//! c. "Re-adding an existing event will modify the parameters of the original event" (kqueue(2), "EV_ADD"): nothing is refused,
//!    and the trigger is not among what is modified. So a table remembers what is registered, and to change a registration is
//!    to delete and add. Tests: `a_second_registration_is_refused_by_name`,
//!    `reregistering_replaces_token_interest_and_trigger`.
//! d. A call that makes several changes stops at the first that fails, unless each is asked for a receipt (`EV_RECEIPT`): then
//!    all are tried, and each tells in `data` what came of it, also that it succeeded (`EV_ERROR` with zero; mio#911). `ENOENT`,
//!    of a delete, is for the table to judge. `EINTR` is none: "all changes contained in the changelist have been applied".
//!    Test: `a_knote_that_is_gone_already_is_no_error`.
//! e. A close removes the knotes of its number, silently and whatever duplicates there are. So a number that the table knows is
//!    asked about before it is refused. Test: `a_number_closed_and_given_out_again_can_be_registered`.
//! f. The write filter is added first: on one implementation the end of the stream, seen by the read filter as it was added, was
//!    lost when the write filter followed.
//! g. A pipe whose other end is gone refuses the write filter with `EPIPE` (NetBSD: `EBADF`), and nobody would ever hear that a
//!    write does not block, but fails. So the read filter, which tells of the end, tells this as well; where it was not asked
//!    for, a stand-in (`always_ready.rs`) does. Test: `a_pipe_without_a_reader_is_told_as_such`.
//! h. A file counts as readable until its offset is at its end, and a device without a queue is refused. They get stand-ins
//!    too, and sockets are not asked what they are. Test: `a_regular_file_is_always_ready`.
//! i. Out-of-band data is no event of the read filter, and FreeBSD and NetBSD have no other: there PRIORITY alone is refused, and
//!    beside other interests unheard. Test: `priority_is_heard_or_refused`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::always_ready::AlwaysReady;
use super::knotes::{Knotes, Watch, filters};
use super::{Rearm, Registration, Selector};
use crate::readiness::event::Event;
use crate::readiness::interest::Interest;
use crate::readiness::timeout::Deadline;
use crate::readiness::waker::WakerFd;
use crate::sys::kqueue_flags::{ADD, DELETE, DISABLE, ENABLE};
use crate::sys::{self, Kevent};

// # State

/// A kqueue, and what is registered in it.
#[derive(Debug)]
pub(crate) struct Kqueue {
    kqueue: OwnedFd,
    /// Held while the kernel's set is changed, so that both change together; never while waiting.
    knotes: Mutex<Knotes>,
    /// The waiting thread's own: what the kernel fills in.
    told: Mutex<Vec<Kevent>>,
    /// What stands in for what kqueue does not take (quirks g, h).
    always_ready: AlwaysReady,
}

// # New

impl Kqueue {
    pub(crate) fn new() -> io::Result<Kqueue> {
        let (knotes, told) = Default::default();
        Ok(Kqueue { kqueue: sys::kqueue_create()?, knotes, told, always_ready: AlwaysReady::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Knotes> {
        self.knotes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes changes, each for itself (quirk d).
    fn change(&self, changes: &mut [Kevent]) -> io::Result<()> {
        match changes {
            [] => Ok(()),
            _ => match sys::kqueue_change(&self.kqueue, changes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                result => result,
            },
        }
    }

    /// Makes one change.
    fn change_one(&self, change: Kevent) -> io::Result<()> {
        let mut change = [change];
        self.change(&mut change)?;
        change[0].result()
    }

    /// Replaces the knotes of `fd`: those of `old` by those of `new`, or, with an error, by none.
    fn replace(&self, fd: RawFd, old: Option<&Watch>, new: Option<&Watch>) -> io::Result<()> {
        let deletes = old.into_iter().flat_map(|watch| watch.changes(fd, DELETE));
        let adds = new.into_iter().flat_map(|watch| watch.changes(fd, ADD | watch.mode()));
        let mut changes: Vec<Kevent> = deletes.clone().chain(adds).collect();
        self.change(&mut changes)?;
        let (deleted, added) = changes.split_at(deletes.count());
        let is_gone = !deleted.is_empty() && deleted.iter().all(|receipt| receipt.result().is_err()); // quirk e
        let receipts = if is_gone { &deleted[..1] } else { added };
        let result = receipts.iter().try_for_each(Kevent::result);
        if let (Err(_), Some(new)) = (&result, new) {
            self.change(&mut new.changes(fd, DELETE).collect::<Vec<_>>())?;
        }
        result
    }

    /// Registers what kqueue takes. Its events will tell `besides` as well.
    fn add(&self, fd: RawFd, registration: Registration, besides: u32) -> io::Result<()> {
        let mut knotes = self.lock();
        if knotes.place(fd).as_ref().is_some_and(|watch| self.is_there(fd, watch)) {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        let watch = knotes.next(registration, besides);
        self.replace(fd, None, Some(&watch))?;
        *knotes.place(fd) = Some(watch);
        Ok(())
    }

    /// Whether the knotes of a registration are still there: asked by a change that changes nothing (quirk e).
    fn is_there(&self, fd: RawFd, watch: &Watch) -> bool {
        let as_it_is = if watch.is_spent() { DISABLE } else { ENABLE };
        watch.changes(fd, as_it_is).any(|change| self.change_one(change).is_ok())
    }

    /// Registers a pipe that is broken (quirk g), or hands back the error that says something else.
    fn add_broken(&self, fd: BorrowedFd<'_>, registration: Registration, error: io::Error) -> io::Result<()> {
        let is_broken = match error.raw_os_error() {
            Some(libc::EPIPE) => true,
            Some(libc::EBADF) => sys::is_open(fd.as_raw_fd()),
            _ => false,
        };
        let Registration { interest, .. } = registration;
        if !is_broken || !interest.is_writable() {
            return Err(error);
        }
        let with = |interest| Registration { interest, ..registration };
        let fails = sys::OUT | sys::ERR;
        if interest.is_readable() {
            return self.add(fd.as_raw_fd(), with(Interest::READABLE), fails);
        }
        self.always_ready
            .register(fd, |stand_in| self.add(stand_in.as_raw_fd(), with(Interest::WRITABLE), fails))
    }
}

impl AsFd for Kqueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.kqueue.as_fd()
    }
}

impl Selector for Kqueue {
    // # Register

    fn register(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        if filters(registration.interest).next().is_none() {
            return Err(io::ErrorKind::Unsupported.into()); // quirk i
        }
        if registration.rearm == Rearm::ByTime && sys::is_always_ready(fd)? {
            return self
                .always_ready
                .register(fd, |stand_in| self.add(stand_in.as_raw_fd(), registration, 0));
        }
        match self.add(fd.as_raw_fd(), registration, 0) {
            Err(error) => self.add_broken(fd, registration, error),
            Ok(()) => {
                self.always_ready.forget(fd);
                Ok(())
            }
        }
    }

    // # Reregister

    fn reregister(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        let mut knotes = self.lock();
        let Some(old) = knotes.place(fd.as_raw_fd()).take() else {
            drop(knotes);
            self.deregister(fd)?; // its stand-in, if it has one
            return self.register(fd, registration);
        };
        let new = knotes.next(registration, 0);
        let result = self.replace(fd.as_raw_fd(), Some(&old), Some(&new));
        if result.is_ok() {
            *knotes.place(fd.as_raw_fd()) = Some(new);
        }
        drop(knotes);
        result.or_else(|error| self.add_broken(fd, registration, error))
    }

    // # Deregister

    fn deregister(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let mut knotes = self.lock();
        if let Some(watch) = knotes.place(fd.as_raw_fd()).take() {
            return self.replace(fd.as_raw_fd(), Some(&watch), None);
        }
        drop(knotes); // the list of stand-ins is locked before it
        let stand_in = self.always_ready.deregister(fd)?;
        self.deregister(stand_in.fd())
    }

    // # Wait

    fn wait(&self, ready: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        ready.clear();
        ready.reserve(1);
        let deadline = Deadline::after(timeout);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut limit = timeout;
        loop {
            sys::kqueue_wait(&self.kqueue, &mut told, ready.capacity(), limit)?;
            if told.is_empty() {
                return Ok(());
            }
            let mut knotes = self.lock();
            let mut rest_of_one_shots = knotes.deliver(&told, ready);
            self.change(&mut rest_of_one_shots)?; // quirk b
            if !ready.is_empty() {
                return Ok(());
            }
            limit = deadline.left(); // it told of former registrations only
        }
    }

    // # Wake

    fn wake(&self, waker: &WakerFd) -> io::Result<()> {
        waker.write() // an edge each time: nothing to drain, nothing to re-arm
    }

    // # Clock

    // None: kevent takes its timeout in nanoseconds.

    fn has_native_edge(&self) -> bool {
        true
    }
}

/// Wakers that need no descriptor: the kernel has a filter that a thread triggers.
#[cfg(has_evfilt_user)]
impl Kqueue {
    /// A new waker's number.
    pub(crate) fn add_waker(&self, key: u64) -> io::Result<usize> {
        let mut knotes = self.lock();
        let number = knotes.add_waker(key);
        self.change_one(Kevent::of_waker(number, ADD))?;
        Ok(number)
    }

    pub(crate) fn trigger(&self, waker: usize) -> io::Result<()> {
        self.change_one(Kevent::trigger(waker))
    }

    pub(crate) fn remove_waker(&self, waker: usize) -> io::Result<()> {
        let mut knotes = self.lock();
        knotes.remove_waker(waker);
        self.change_one(Kevent::of_waker(waker, DELETE))
    }
}

// # Tests

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::interest::Trigger;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

    fn registration(key: u64, interest: Interest, trigger: Trigger) -> Registration {
        Registration { key, interest, trigger, rearm: Rearm::ByOwner }
    }

    /// What is told now: keys and flags.
    fn now(kqueue: &Kqueue) -> Vec<(u64, u32)> {
        let mut ready = Vec::with_capacity(8);
        kqueue.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        ready.iter().map(|event| (event.key(), event.flags())).collect()
    }

    /// Quirk a.
    #[test]
    fn both_directions_of_a_batch_are_one_event() {
        let kqueue = Kqueue::new().unwrap();
        let (near, mut far) = UnixStream::pair().unwrap();
        far.write_all(b"simple").unwrap();
        for trigger in [Trigger::Level, Trigger::Edge, Trigger::OneShot] {
            kqueue.register(near.as_fd(), registration(1, BOTH, trigger)).unwrap();
            assert_eq!(now(&kqueue), [(1, sys::IN | sys::OUT)]);
            kqueue.deregister(near.as_fd()).unwrap();
        }
        drop(far);
        kqueue.register(near.as_fd(), registration(2, BOTH, Trigger::Level)).unwrap();
        assert_eq!(now(&kqueue), [(2, sys::IN | sys::RDHUP | sys::OUT | sys::WRHUP | sys::HUP)]);
    }

    /// Quirk e: also when the number's former owner had been told for the only time.
    #[test]
    fn a_number_closed_and_given_out_again_can_be_registered() {
        let kqueue = Kqueue::new().unwrap();
        for (key, trigger) in (1..).zip([Trigger::Edge, Trigger::OneShot, Trigger::OneShot, Trigger::Level]) {
            let (near, mut far) = UnixStream::pair().unwrap();
            let new = registration(key, Interest::READABLE, trigger);
            kqueue.register(near.as_fd(), new).unwrap();
            let twice = kqueue.register(near.as_fd(), new).unwrap_err();
            assert_eq!(twice.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(now(&kqueue), []);
            far.write_all(b"simple").unwrap();
            assert_eq!(now(&kqueue), [(key, sys::IN)]);
            // As if the number had been given to another by now: the kernel has no knotes of it, the table has.
            let mut deletes = [Kevent::change(near.as_raw_fd(), sys::Filter::Read, DELETE, 0)];
            kqueue.change(&mut deletes).unwrap();
            deletes[0].result().unwrap();
            kqueue.register(near.as_fd(), new).unwrap();
            kqueue.change(&mut [Kevent::change(near.as_raw_fd(), sys::Filter::Read, DELETE, 0)]).unwrap();
            assert_eq!(kqueue.reregister(near.as_fd(), new).unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }

    /// Quirk d (mio#911).
    #[test]
    fn a_knote_that_is_gone_already_is_no_error() {
        let kqueue = Kqueue::new().unwrap();
        let (near, mut far) = UnixStream::pair().unwrap();
        kqueue.register(near.as_fd(), registration(1, BOTH, Trigger::Edge)).unwrap();
        kqueue.change(&mut [Kevent::change(near.as_raw_fd(), sys::Filter::Write, DELETE, 0)]).unwrap();
        kqueue.reregister(near.as_fd(), registration(2, Interest::READABLE, Trigger::Edge)).unwrap();
        far.write_all(b"simple").unwrap();
        assert_eq!(now(&kqueue), [(2, sys::IN)]);
    }

    /// Quirk g.
    #[test]
    fn a_pipe_without_a_reader_is_told_as_such() {
        let kqueue = Kqueue::new().unwrap();
        let [reader, writer] = sys::pipe().unwrap();
        drop(reader);
        kqueue.register(writer.as_fd(), registration(1, Interest::WRITABLE, Trigger::Level)).unwrap();
        assert_eq!(now(&kqueue), [(1, sys::OUT | sys::ERR)]);
        assert!(
            kqueue.register(writer.as_fd(), registration(2, Interest::WRITABLE, Trigger::Level)).is_err()
        );
        kqueue.reregister(writer.as_fd(), registration(3, BOTH, Trigger::Edge)).unwrap();
        let told = now(&kqueue);
        assert!(matches!(told[..], [(3, flags)] if flags & (sys::OUT | sys::ERR) == sys::OUT | sys::ERR));
        assert_eq!(now(&kqueue), []);
        kqueue.deregister(writer.as_fd()).unwrap();
        assert_eq!(kqueue.deregister(writer.as_fd()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    /// Quirk i.
    #[test]
    fn priority_is_heard_or_refused() {
        let kqueue = Kqueue::new().unwrap();
        let (near, _far) = UnixStream::pair().unwrap();
        let result = kqueue.register(near.as_fd(), registration(1, Interest::PRIORITY, Trigger::Level));
        assert_eq!(result.is_ok(), cfg!(has_evfilt_except));
        let _ = kqueue.deregister(near.as_fd());
        kqueue.register(near.as_fd(), registration(1, Interest::PRIORITY | BOTH, Trigger::Level)).unwrap();
        assert_eq!(now(&kqueue), [(1, sys::OUT)]);
    }

    /// An event that the kernel had handed over before its registration was replaced.
    #[test]
    fn an_event_of_a_former_registration_is_dropped() {
        let kqueue = Kqueue::new().unwrap();
        let (mut near, mut far) = UnixStream::pair().unwrap();
        kqueue.register(near.as_fd(), registration(1, Interest::READABLE, Trigger::Edge)).unwrap();
        far.write_all(b"simple").unwrap();
        let mut told = Vec::new();
        sys::kqueue_wait(&kqueue.kqueue, &mut told, 8, None).unwrap();
        assert_eq!(told.len(), 1);
        near.read_exact(&mut [0; 6]).unwrap();
        kqueue.reregister(near.as_fd(), registration(2, Interest::READABLE, Trigger::Edge)).unwrap();
        let mut ready = Vec::with_capacity(8);
        assert!(kqueue.lock().deliver(&told, &mut ready).is_empty());
        assert!(ready.is_empty());
    }

    #[cfg(has_evfilt_user)]
    #[test]
    fn a_wakers_number_is_given_out_again() {
        let kqueue = Kqueue::new().unwrap();
        let [one, two] = [1, 2].map(|key| kqueue.add_waker(key).unwrap());
        assert_ne!(one, two);
        kqueue.trigger(one).unwrap();
        kqueue.remove_waker(one).unwrap();
        assert_eq!(now(&kqueue), []);
        assert_eq!(kqueue.add_waker(3).unwrap(), one);
        kqueue.trigger(one).unwrap();
        kqueue.trigger(two).unwrap();
        kqueue.trigger(two).unwrap();
        let mut told = now(&kqueue);
        told.sort_unstable();
        assert_eq!(told, [(2, sys::IN), (3, sys::IN)]);
        assert!(kqueue.trigger(7).is_err());
    }
}
