//! select(2): 4.2BSD's readiness interface, the oldest.
//!
//! # What the kernel offers
//! One call with three bitmaps, one bit for each descriptor number: readable, writable, exceptional. The kernel walks them up
//! to the highest number and overwrites them with its answer, so a wait costs the highest number watched, however few are.
//! Compare `poll.rs`, whose array holds only what is watched. There is only level: edge and one-shot are emulated by
//! `watch_list.rs`.
//!
//! # Quirks
//! a. The C library's `fd_set` ends at 1024 descriptors, and `FD_SET` beyond smashes the stack. Most kernels have no such
//!    limit ("select(2), BUGS"): the bitmaps are our own, as long as the highest descriptor needs. Where the C library
//!    refuses longer ones, so do we, by name. Tests: `a_descriptor_beyond_1024_is_watched`,
//!    `where_select_ends_a_descriptor_beyond_is_refused_by_name`.
//! b. There is no bit for a hang-up, an error or a half-close: they show as readable or writable. So poll(2), with zero
//!    timeout and for the ready descriptors only, tells what exactly there is. Test: `all_backends_tell_the_same_flags`.
//! c. For the same reason a hang-up is noticed only while READABLE is armed, and an error only while READABLE or WRITABLE is;
//!    `poll.rs` notices them always.
//!    Test: `a_hang_up_after_the_end_of_the_stream_is_not_noticed`.
//! d. One descriptor that was closed without being deregistered fails the whole call with `EBADF`. It is looked for, dropped,
//!    and the wait goes on. Test: `a_descriptor_closed_without_deregistering_is_silenced`.
//! e. The kernel does not see changes of the bitmaps while it waits: a registration from another thread interrupts the wait.
//!    Test: `a_registration_from_another_thread_reaches_the_wait_in_progress`.
//! f. Linux writes the time left into the timeout: it gets a copy (`sys::select`).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::watch_list::{Delivery, WatchList, in_turn, index};
use super::{Registration, Selector};
use crate::error::Error;
use crate::readiness::event::Event;
use crate::readiness::rearm::Listed;
use crate::readiness::timeout::Deadline;
use crate::readiness::waker::WakerFd;
use crate::sys;

// # State

/// The bitmaps and what they are made from.
#[derive(Debug)]
pub(crate) struct Select {
    list: Listed,
    /// The waiting thread's own: others change only the list.
    bitmaps: Mutex<Bitmaps>,
}

/// What select(2) is given.
#[derive(Default)]
struct Bitmaps {
    interruption: RawFd,
    /// Readable, writable, exceptional; all equally long, without empty words at the end.
    wanted: [Vec<u64>; 3],
    /// The copy that the kernel overwrites.
    told: [Vec<u64>; 3],
    /// Those that are ready, to ask poll(2) about (quirk b).
    ready: Vec<libc::pollfd>,
    /// The descriptor where the next report starts.
    next: RawFd,
}

/// Which flags the bits of the three bitmaps stand for.
const MEANING: [u32; 3] = [sys::IN | sys::RDHUP, sys::OUT, sys::PRI];

// # New

impl Select {
    pub(crate) fn new() -> io::Result<Select> {
        let list = Listed::new(WatchList::new()?);
        refuse_beyond(sys::SELECT_ENDS_AT, list.interruption())?;
        let mut bitmaps = Bitmaps { interruption: list.interruption(), ..Bitmaps::default() };
        bitmaps.patch(list.interruption(), sys::IN);
        Ok(Select { list, bitmaps: Mutex::new(bitmaps) })
    }
}

impl Selector for Select {
    // # Register

    fn register(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        refuse_beyond(sys::SELECT_ENDS_AT, fd.as_raw_fd())?;
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
        let mut bitmaps = self.bitmaps.lock().unwrap_or_else(PoisonError::into_inner);
        let mut in_vain = 0;
        loop {
            let limit = self.list.enter(left, |fd, flags| bitmaps.patch(fd, flags));
            let result = bitmaps.select(limit);
            let mut delivery = self.list.leave()?;
            match result {
                // Once more if all are open: the number may have been given out again meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::EBADF) && in_vain < 2 => {
                    in_vain = if bitmaps.remove_closed(&mut delivery) { 0 } else { in_vain + 1 };
                    continue;
                }
                Err(error) => return Err(error),
                Ok(0) => {}
                Ok(_) => bitmaps.report(&mut delivery, ready)?,
            }
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

impl Bitmaps {
    /// Makes the bits of `fd` say `flags`.
    fn patch(&mut self, fd: RawFd, flags: u32) {
        let (word, bit) = (index(fd) / 64, 1 << (index(fd) % 64));
        for (map, meaning) in self.wanted.iter_mut().zip(MEANING) {
            if word >= map.len() {
                map.resize(word + 1, 0);
            }
            if flags & meaning != 0 {
                map[word] |= bit;
            } else {
                map[word] &= !bit;
            }
        }
        let longest = self.wanted.iter().map(|map| used(map)).max().unwrap_or(0);
        self.wanted.iter_mut().for_each(|map| map.resize(longest, 0));
    }

    /// Asks the kernel, on a copy. Its answer is in `told`.
    fn select(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        for (copy, map) in self.told.iter_mut().zip(&self.wanted) {
            copy.clone_from(map);
        }
        let highest = RawFd::try_from(self.wanted[0].len() * 64).unwrap_or(RawFd::MAX) - 1;
        let [readable, writable, exceptional] = &mut self.told;
        sys::select(highest, [readable, writable, exceptional], timeout)
    }

    /// Reports what the kernel answered, as long as there is room; the next report goes on from there.
    fn report(&mut self, delivery: &mut Delivery<'_>, events: &mut Vec<Event>) -> io::Result<()> {
        self.ready.clear();
        for fd in members(&self.told).filter(|&fd| fd != self.interruption) {
            self.ready.push(sys::poll_entry(fd, flags(&self.wanted, fd)));
        }
        if self.ready.is_empty() {
            return Ok(());
        }
        sys::poll(&mut self.ready, Some(Duration::ZERO))?; // quirk b
        let start = self.ready.partition_point(|entry| entry.fd < self.next);
        for entry in in_turn(0..self.ready.len(), start).map(|place| &self.ready[place]) {
            if events.len() == events.capacity() {
                self.next = entry.fd;
                break;
            }
            if entry.revents != 0 {
                events.extend(delivery.deliver(entry.fd, sys::poll_answer(entry)));
            }
        }
        Ok(())
    }

    /// Quirk d. Whether there were any.
    fn remove_closed(&mut self, delivery: &mut Delivery<'_>) -> bool {
        let mut found = false;
        for fd in members(&self.wanted) {
            if delivery.is_unchanged(fd) && !sys::is_open(fd) {
                delivery.remove(fd);
                found = true;
            }
        }
        found
    }
}

/// Quirk a: `end` is the first number that this system's select has no bit for, if there is one.
fn refuse_beyond(end: Option<RawFd>, fd: RawFd) -> io::Result<()> {
    match end {
        Some(end) if fd >= end => Err(Error::BeyondSelect { end }.into_io()),
        _ => Ok(()),
    }
}

/// How many words there are up to the last that is not empty.
fn used(map: &[u64]) -> usize {
    map.iter().rposition(|&word| word != 0).map_or(0, |last| last + 1)
}

/// The descriptors in any of the bitmaps, in ascending order.
fn members(maps: &[Vec<u64>; 3]) -> impl Iterator<Item = RawFd> {
    let words = (0..maps[0].len()).map(|word| maps.iter().fold(0, |any, map| any | map[word]));
    words.zip((0..).step_by(64)).flat_map(|(mut word, first)| {
        std::iter::from_fn(move || {
            let bit = (word != 0).then(|| word.trailing_zeros())?;
            word &= word - 1;
            Some(first + bit as RawFd)
        })
    })
}

/// What the bits of `fd` say.
fn flags(maps: &[Vec<u64>; 3], fd: RawFd) -> u32 {
    let (word, bit) = (index(fd) / 64, 1 << (index(fd) % 64));
    let flags_of = |(map, meaning): (&Vec<u64>, u32)| if map[word] & bit != 0 { meaning } else { 0 };
    maps.iter().zip(MEANING).map(flags_of).fold(0, |all, some| all | some)
}

impl std::fmt::Debug for Bitmaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(members(&self.wanted)).finish()
    }
}

// # Tests

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::backend::{Rearm, poll};
    use crate::readiness::interest::Interest;
    use crate::readiness::interest::Trigger;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::net::Shutdown;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    proptest! {
        /// However they were patched, the bitmaps say of each descriptor what was said last, and end with the highest.
        #[test]
        fn the_bitmaps_are_the_sum_of_their_patches(
            patches in proptest::collection::vec(
                (0i32..300, proptest::sample::select(vec![0, MEANING[0], MEANING[1] | MEANING[2]])),
                0..60,
            ),
        ) {
            let mut bitmaps = Bitmaps { interruption: -1, ..Bitmaps::default() };
            let mut model = BTreeMap::new();
            for (fd, flags) in patches {
                bitmaps.patch(fd, flags);
                if flags == 0 { model.remove(&fd) } else { model.insert(fd, flags) };
            }
            let words = model.last_key_value().map_or(0, |(&fd, _)| index(fd) / 64 + 1);
            prop_assert!(bitmaps.wanted.iter().all(|map| map.len() == words));
            let held = members(&bitmaps.wanted).map(|fd| (fd, flags(&bitmaps.wanted, fd)));
            prop_assert!(held.eq(model));
        }
    }

    /// Quirk a.
    #[test]
    fn where_select_ends_a_descriptor_beyond_is_refused_by_name() {
        assert!(refuse_beyond(None, 70_000).is_ok());
        assert!(refuse_beyond(Some(1024), 1023).is_ok());
        let error = refuse_beyond(Some(1024), 1024).unwrap_err();
        let error = Error::Registration {
            operation: "register",
            fd: 1024,
            token: 7,
            backend: "select",
            source: error,
        };
        let text = error.into_io().to_string();
        for part in ["descriptor 1024", "token 7", "select", "stops at 1024", "choose another backend"] {
            assert!(text.contains(part), "{text:?} does not say {part:?}");
        }
    }

    /// Quirk c: the end of the stream was read, so there is nothing to be readable for; select has no other bit.
    #[test]
    fn a_hang_up_after_the_end_of_the_stream_is_not_noticed() {
        fn events(selector: &impl Selector) -> usize {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let (interest, trigger, rearm) = (Interest::READABLE, Trigger::Edge, Rearm::ByOwner);
            selector.register(ours.as_fd(), Registration { key: 1, interest, trigger, rearm }).unwrap();
            let mut ready = Vec::with_capacity(8);
            theirs.shutdown(Shutdown::Write).unwrap();
            selector.wait(&mut ready, None).unwrap();
            assert_eq!(ready.len(), 1);
            drop(theirs);
            selector.wait(&mut ready, Some(Duration::ZERO)).unwrap();
            ready.len()
        }
        assert_eq!(events(&Select::new().unwrap()), 0);
        assert_eq!(events(&poll::Poll::new().unwrap()), 1);
    }
}
