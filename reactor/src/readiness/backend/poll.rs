//! poll(2): System V's readiness interface.
//!
//! # What the kernel offers
//! One call with an array of descriptors and flags, of any length. Nothing stays behind in the kernel: the whole array crosses
//! on every wait and the kernel visits every entry, so a wait costs what is watched, not what happened. Compare `epoll.rs`.
//! There is only level: edge and one-shot are emulated by `watch_list.rs`.
//!
//! # Quirks
//! a. `POLLERR` and `POLLHUP` come whether asked for or not, even for an entry without flags. So what is to be silent is not
//!    in the array at all. Test: `a_hung_up_edge_is_told_once_and_does_not_spin`.
//! b. A descriptor that was closed without being deregistered is told as `POLLNVAL`, on every wait. It is dropped and the wait
//!    goes on; its number may be registered again. Test: `a_descriptor_closed_without_deregistering_is_silenced`.
//! c. The kernel does not see changes of the array while it waits: a registration from another thread interrupts the wait.
//!    Test: `a_registration_from_another_thread_reaches_the_wait_in_progress`.
//! d. `poll` counts milliseconds. Where those do not say it, `ppoll` is asked, if there is one: it counts nanoseconds.
//!    Test: `a_short_timeout_is_not_truncated`.
//! e. Not every system has a flag for a half-close (`POLLRDHUP`). Without it, that shows as readable, and a read says zero.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::watch_list::{Delivery, WatchList, in_turn, index};
use super::{Registration, Selector};
use crate::readiness::event::Event;
use crate::readiness::rearm::Listed;
use crate::readiness::timeout::Deadline;
use crate::readiness::waker::WakerFd;
use crate::sys;

// # State

/// The array and what it is made from.
#[derive(Debug)]
pub(crate) struct Poll {
    list: Listed,
    /// The waiting thread's own: others change only the list.
    array: Mutex<Array>,
}

/// What poll(2) is given.
struct Array {
    /// The first is the interruption; then, in no order, one for each descriptor that is armed.
    entries: Vec<libc::pollfd>,
    /// Indexed by descriptor: where its entry is. Zero, the interruption's place, stands for nowhere.
    places: Vec<usize>,
    /// Where the next report starts.
    next: usize,
}

// # New

impl Poll {
    pub(crate) fn new() -> io::Result<Poll> {
        let list = Listed::new(WatchList::new()?);
        let entries = vec![sys::poll_entry(list.interruption(), sys::IN)];
        Ok(Poll { list, array: Mutex::new(Array { entries, places: Vec::new(), next: 1 }) })
    }
}

impl Selector for Poll {
    // # Register

    fn register(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        self.list.register(fd, registration)
    }

    // # Reregister

    fn reregister(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        self.list.reregister(fd, registration)
    }

    // # Deregister

    fn deregister(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.list.deregister(fd)
    }

    // # Wait

    fn wait(&self, ready: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        ready.clear();
        ready.reserve(1);
        let (deadline, mut left) = (Deadline::after(timeout), timeout);
        let mut array = self.array.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let limit = self.list.enter(left, |fd, flags| array.patch(fd, flags));
            let result = sys::poll(&mut array.entries, limit);
            let mut delivery = self.list.leave()?;
            array.report(result?, &mut delivery, ready);
            drop(delivery);
            if !ready.is_empty() {
                return Ok(());
            }
            left = deadline.left();
            if left == Some(Duration::ZERO) {
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

impl Array {
    /// Makes the entry of `fd` say `flags`; none: takes it out (quirk a), moving the last entry into its place.
    fn patch(&mut self, fd: RawFd, flags: u32) {
        let slot = index(fd);
        if slot >= self.places.len() {
            self.places.resize(slot + 1, 0);
        }
        match self.places[slot] {
            0 if flags == 0 => {}
            0 => {
                self.places[slot] = self.entries.len();
                self.entries.push(sys::poll_entry(fd, flags));
            }
            place if flags == 0 => {
                self.entries.swap_remove(place);
                self.places[slot] = 0;
                if let Some(moved) = self.entries.get(place) {
                    self.places[index(moved.fd)] = place;
                }
            }
            place => self.entries[place] = sys::poll_entry(fd, flags),
        }
    }

    /// Reports the entries that the kernel answered, as long as there is room; the next report goes on from there.
    #[inline(never)]
    fn report(&mut self, answered: usize, delivery: &mut Delivery<'_>, ready: &mut Vec<Event>) {
        let is_interrupted = self.entries[0].revents != 0;
        let answers =
            in_turn(1..self.entries.len(), self.next).filter(|&place| self.entries[place].revents != 0);
        for place in answers.take(answered - usize::from(is_interrupted)) {
            if ready.len() == ready.capacity() {
                self.next = place;
                return;
            }
            let entry = &self.entries[place];
            if let Some(event) = delivery.deliver(entry.fd, sys::poll_answer(entry)) {
                ready.push(event);
            }
        }
    }
}

impl std::fmt::Debug for Array {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries.iter().skip(1).map(|entry| (entry.fd, entry.events))).finish()
    }
}

// # Tests

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// However it was patched, the array holds each armed descriptor once, and nothing else.
        #[test]
        fn the_array_is_the_sum_of_its_patches(
            patches in proptest::collection::vec((3i32..20, proptest::sample::select(vec![0, sys::IN, sys::OUT])), 0..60),
        ) {
            let entries = vec![sys::poll_entry(2, sys::IN)];
            let mut array = Array { entries, places: Vec::new(), next: 1 };
            let mut model = BTreeMap::new();
            for (fd, flags) in patches {
                array.patch(fd, flags);
                if flags == 0 { model.remove(&fd) } else { model.insert(fd, flags) };
            }
            let mut held: Vec<_> = array.entries[1..].iter().map(|entry| (entry.fd, entry.events)).collect();
            held.sort_unstable();
            let wanted = model.into_iter().map(|(fd, flags)| (fd, sys::poll_entry(fd, flags).events));
            prop_assert!(held.into_iter().eq(wanted));
            prop_assert_eq!(array.entries[0].fd, 2);
        }
    }

    /// A hang-up comes unasked, so it must not be passed on as a wish; an entry may well be without any.
    #[test]
    fn an_entry_armed_for_a_hang_up_only_is_in_the_array_without_flags() {
        let mut array = Array { entries: vec![sys::poll_entry(2, sys::IN)], places: Vec::new(), next: 1 };
        array.patch(5, sys::HUP | sys::ERR);
        assert_eq!((array.entries[1].fd, array.entries[1].events), (5, 0));
    }
}
