//! What a ring watches, and which of its polls stands for what.
//!
//! A ring knows no set of descriptors: it knows operations, each of which ends in its own time, maybe long after nobody wants
//! it any more. So this table, keyed by descriptor, says what is watched; which poll in the kernel, if one, stands for it; and
//! what that poll has told but the loop has not heard. It makes no system call: it says what is to be submitted ([`Step`]) and
//! is told what completed, so every order of the two can be tested.
//!
//! # Keys
//! The caller's key may be any number, and belongs to somebody else once it was deregistered. So polls have keys of our own:
//! the descriptor and a *generation*, counted for each poll of that descriptor. What completes under an older generation is
//! late, and dropped.
//!
//! # Triggers
//! * *Edge* is one poll that goes on (multishot): it tells what is ready when it is armed, and then at each wake-up.
//! * *Level* is a poll that ends when it tells, and is armed anew before the next wait: what is still so is told at once.
//! * *One-shot* is the same, but not armed anew.
//!
//! A poll also tells of the peer's end of sending (`POLLRDHUP`), asked or not; where nobody asked, one that ends with that
//! would be armed and end without pause. So who does not read is watched by a poll that goes on, which a next one replaces.
//!
//! # Doubt
//! A poll tells of a wake-up as it was: what woke it, not what is so now. epoll looks again as it reports. To tell the same,
//! news are *doubtful*, for the backend to ask, if they may differ from what is so:
//! * what came between two waits, because the loop may have read it since (if it is an edge only on request: an event loop
//!   tries to read anyway, and to ask would cost it as much);
//! * urgent data, because the wake-up for plain data says it is urgent, too;
//! * an error without a hang-up, because the wake-up of an error says nothing else.
//!
//! What came during a wait is fresh. So a loop that has time to wait asks nothing, and one that has not asks once for many.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::RawFd;

use super::watch_list::{index, wanted};
use super::{Registration, Trigger};
use crate::readiness::event::Event;
use crate::sys;

/// The table.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Indexed by descriptor: the kernel gives out the lowest number that is free, so there are few holes.
    slots: Vec<Slot>,
    /// Polls nobody wants any more, to be cancelled.
    unwanted: VecDeque<u64>,
    /// Descriptors to be armed, whose slots say `noted`.
    noted: VecDeque<RawFd>,
    /// Descriptors with something to tell, whose slots say `heard`.
    heard: VecDeque<RawFd>,
    /// How many polls live in the kernel.
    alive: usize,
    /// What is told now is fresh.
    is_fresh: bool,
    /// An edge that came between two waits is not doubtful.
    trusts_edges: bool,
}

#[derive(Debug, Default)]
struct Slot {
    watch: Option<Watch>,
    /// Of the last poll.
    generation: u32,
    /// Polls that live in the kernel: as long as there is one, the kernel holds the file open.
    alive: u32,
    /// What was told and not heard yet, and whether some of it came between two waits.
    told: u32,
    is_old: bool,
    /// The last poll lives and is wanted.
    armed: bool,
    /// A one-shot that was told.
    spent: bool,
    noted: bool,
    heard: bool,
}

/// What is watched.
#[derive(Copy, Clone, Debug)]
pub(super) struct Watch {
    pub(super) registration: Registration,
    /// What tells its file from others, as long as that is open.
    pub(super) file: u32,
    /// Of several rings that watch a descriptor, not all are to be told.
    pub(super) exclusive: bool,
    /// There is nothing to wait for: a poll would end at once, each time.
    pub(super) always_ready: bool,
}

/// What is to be submitted next.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Cancel { of: u64 },
    Poll { fd: RawFd, flags: u32, goes_on: bool, key: u64 },
}

/// Something to report.
#[derive(Debug)]
pub(super) struct News {
    pub(super) fd: RawFd,
    pub(super) event: Event,
    /// It may be more than is so now, or less: these flags are to be asked for.
    pub(super) doubt: Option<u32>,
}

/// The key of a poll.
fn key(fd: RawFd, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(fd.unsigned_abs())
}

/// The descriptor in a key; of a key that is no poll's, something beyond all descriptors.
fn index_in(key: u64) -> usize {
    key as u32 as usize
}

impl Watch {
    /// What the kernel is asked for.
    fn flags(&self) -> u32 {
        let mut flags = wanted(self.registration.interest);
        if self.registration.interest.is_priority() {
            flags |= sys::RDBAND; // `POLLPRI` alone lets no wake-up through: `IO_ASYNC_POLL_COMMON` in the kernel's poll.c
        }
        if self.exclusive {
            flags |= sys::EXCLUSIVE;
        }
        flags
    }

    /// Whether its poll goes on after it told.
    fn goes_on(&self) -> bool {
        self.registration.trigger == Trigger::Edge || !self.registration.interest.is_readable()
    }
}

impl Slots {
    pub(super) fn new(trusts_edges: bool) -> Slots {
        Slots { trusts_edges, ..Slots::default() }
    }

    // ------------------------------------------------------------------------------------------------ who is watched

    /// `AlreadyExists` if it is watched; unless that was another file, which was closed without being deregistered.
    pub(super) fn register(&mut self, fd: RawFd, watch: Watch) -> io::Result<()> {
        let index = index(fd);
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        if let Some(other) = self.slots[index].watch {
            if other.file == watch.file {
                return Err(io::Error::from_raw_os_error(libc::EEXIST));
            }
            self.forget(fd);
        }
        let slot = &mut self.slots[index];
        (slot.watch, slot.spent) = (Some(watch), false);
        self.note(fd);
        Ok(())
    }

    /// `NotFound` if it is not watched.
    pub(super) fn reregister(&mut self, fd: RawFd, watch: Watch) -> io::Result<()> {
        self.deregister(fd)?;
        self.register(fd, watch)
    }

    /// `NotFound` if it is not watched. The kernel may still hold it: [`is_held`](Slots::is_held).
    pub(super) fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        let Some(slot) = self.slots.get_mut(index(fd)).filter(|slot| slot.watch.is_some()) else {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        };
        slot.watch = None;
        (slot.told, slot.is_old) = (0, false);
        self.disarm(fd);
        Ok(())
    }

    /// Deregisters all.
    pub(super) fn clear(&mut self) {
        for fd in 0..RawFd::try_from(self.slots.len()).unwrap_or(RawFd::MAX) {
            let _ = self.deregister(fd); // most are not registered
        }
    }

    /// Whether a poll lives that holds the descriptor's file open.
    pub(super) fn is_held(&self, fd: RawFd) -> bool {
        self.slots.get(index(fd)).is_some_and(|slot| slot.alive > 0)
    }

    /// Whether any poll lives.
    pub(super) fn is_any_held(&self) -> bool {
        self.alive > 0
    }

    /// The ring was replaced: no poll lives, and what was armed is to be armed again.
    pub(super) fn start_over(&mut self) {
        self.unwanted.clear();
        self.alive = 0;
        for fd in 0..RawFd::try_from(self.slots.len()).unwrap_or(RawFd::MAX) {
            let slot = &mut self.slots[index(fd)];
            slot.alive = 0;
            if mem::take(&mut slot.armed) {
                self.note(fd);
            }
        }
    }

    /// How often a poll was armed for it.
    #[cfg(test)]
    pub(super) fn generation(&self, fd: RawFd) -> u32 {
        self.slots[index(fd)].generation
    }

    // -------------------------------------------------------------------------------------------- what is submitted

    /// The next thing to submit, which from now on counts as submitted.
    pub(super) fn next_step(&mut self) -> Option<Step> {
        loop {
            if let Some(step) = self.next_cancel() {
                return Some(step);
            }
            let fd = self.noted.pop_front()?;
            let slot = &mut self.slots[index(fd)];
            slot.noted = false;
            let Some(watch) = slot.watch.filter(|_| !slot.spent) else { continue };
            if watch.always_ready {
                self.tell(fd, sys::IN | sys::OUT);
            } else if slot.armed {
                self.disarm(fd); // first goes the one before
                self.note(fd);
            } else {
                return Some(self.arm(fd, watch));
            }
        }
    }

    /// Whether there are cancellations to submit.
    pub(super) fn has_cancels(&self) -> bool {
        !self.unwanted.is_empty()
    }

    /// The next of them.
    pub(super) fn next_cancel(&mut self) -> Option<Step> {
        self.unwanted.pop_front().map(|of| Step::Cancel { of })
    }

    fn arm(&mut self, fd: RawFd, watch: Watch) -> Step {
        let slot = &mut self.slots[index(fd)];
        slot.generation = slot.generation.wrapping_add(1);
        (slot.told, slot.is_old) = (0, false); // by the one before; this one tells what is so now
        slot.armed = true;
        slot.alive += 1;
        self.alive += 1;
        Step::Poll { fd, flags: watch.flags(), goes_on: watch.goes_on(), key: key(fd, slot.generation) }
    }

    fn disarm(&mut self, fd: RawFd) {
        let slot = &mut self.slots[index(fd)];
        if mem::take(&mut slot.armed) {
            self.unwanted.push_back(key(fd, slot.generation));
        }
    }

    /// Puts it on the list of those to be armed, once.
    fn note(&mut self, fd: RawFd) {
        if !mem::replace(&mut self.slots[index(fd)].noted, true) {
            self.noted.push_back(fd);
        }
    }

    // -------------------------------------------------------------------------------------------------- what is told

    /// A poll told something (flags of poll(2), or an error below zero), and goes on or not.
    pub(super) fn completed(&mut self, key: u64, result: i32, goes_on: bool) {
        let Some(slot) = self.slots.get_mut(index_in(key)) else { return };
        if !goes_on {
            slot.alive = slot.alive.saturating_sub(1);
            self.alive = self.alive.saturating_sub(1);
        }
        let (Some(watch), true) = (slot.watch, slot.armed && slot.generation == (key >> 32) as u32) else {
            return; // it is late
        };
        slot.armed = goes_on;
        let fd = index_in(key) as RawFd;
        match u32::try_from(result) {
            Ok(flags) => {
                let is_news = self.tell(fd, flags);
                // An edge's goes on, but for want of room; the others are noted when this was heard.
                if !goes_on && (watch.registration.trigger == Trigger::Edge || !is_news) {
                    self.note(fd);
                }
            }
            // It was closed without being deregistered, and forgotten, as epoll does by itself.
            Err(_) if result == -libc::EBADF => self.forget(fd),
            // The thread that armed it is gone, or the kernel is short of memory.
            Err(_) if [libc::ECANCELED, libc::EAGAIN, libc::ENOMEM, libc::ENOBUFS].contains(&-result) => {
                self.note(fd);
            }
            // It cannot be waited for: a file with three queues or more, or with none. Silence would be worse.
            Err(_) => {
                self.tell(fd, sys::ERR | sys::HUP);
            }
        }
    }

    /// Whether there is something in it that is to be told.
    fn tell(&mut self, fd: RawFd, flags: u32) -> bool {
        let slot = &mut self.slots[index(fd)];
        slot.told |= slot.watch.map_or(0, |watch| flags & wanted(watch.registration.interest));
        slot.is_old |= !self.is_fresh;
        if slot.told != 0 && !mem::replace(&mut slot.heard, true) {
            self.heard.push_back(fd);
        }
        slot.told != 0
    }

    /// How much there is to report, at most.
    pub(super) fn news(&self) -> usize {
        self.heard.len()
    }

    /// What is told from now on came during a wait, or did not.
    pub(super) fn set_fresh(&mut self, is_fresh: bool) {
        self.is_fresh = is_fresh;
    }

    /// The next thing to report.
    pub(super) fn next_news(&mut self) -> Option<News> {
        loop {
            let fd = self.heard.pop_front()?;
            let slot = &mut self.slots[index(fd)];
            slot.heard = false;
            let (told, is_old) = (mem::take(&mut slot.told), mem::take(&mut slot.is_old));
            let (Some(watch), true) = (slot.watch, told != 0) else { continue };
            let Registration { key, interest, trigger, .. } = watch.registration;
            match trigger {
                Trigger::Edge => {}
                Trigger::Level => self.note(fd),
                Trigger::OneShot => {
                    slot.spent = true;
                    self.disarm(fd);
                }
            }
            let is_bare_error = told & (sys::ERR | sys::HUP) == sys::ERR;
            let is_trusted = self.trusts_edges && trigger == Trigger::Edge;
            let is_doubtful = (is_old && !is_trusted) || interest.is_priority() || is_bare_error;
            let doubt = (is_doubtful && !watch.always_ready).then(|| wanted(interest));
            return Some(News { fd, event: Event::new(key, told), doubt });
        }
    }

    /// Nothing of what was to be reported is so: it goes on as if it had not been told.
    pub(super) fn was_nothing(&mut self, fd: RawFd) {
        if mem::take(&mut self.slots[index(fd)].spent) {
            self.note(fd);
        }
    }

    /// Forgets a descriptor that is not open any more.
    pub(super) fn forget(&mut self, fd: RawFd) {
        let _ = self.deregister(fd); // it may have been meanwhile
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::backend::Rearm;
    use crate::readiness::interest::Interest;
    use proptest::prelude::*;

    const READABLE: Interest = Interest::READABLE;
    const WRITABLE: Interest = Interest::WRITABLE;

    fn watch(key: u64, interest: Interest, trigger: Trigger) -> Watch {
        let registration = Registration { key, interest, trigger, rearm: Rearm::ByOwner };
        Watch { registration, file: 1, exclusive: false, always_ready: false }
    }

    /// Hands over what there is: the keys of the polls.
    fn polls(slots: &mut Slots) -> Vec<u64> {
        let mut keys = Vec::new();
        while let Some(step) = slots.next_step() {
            if let Step::Poll { key, .. } = step {
                keys.push(key);
            }
        }
        keys
    }

    fn news(slots: &mut Slots) -> Vec<(u64, u32)> {
        let mut all = Vec::new();
        while let Some(news) = slots.next_news() {
            all.push((news.event.key(), news.event.flags()));
        }
        all
    }

    #[test]
    fn what_completes_under_an_older_generation_is_late() {
        let mut slots = Slots::default();
        slots.register(5, watch(1, READABLE, Trigger::Edge)).unwrap();
        let first = polls(&mut slots)[0];
        slots.reregister(5, watch(2, READABLE, Trigger::Edge)).unwrap();
        slots.completed(first, sys::IN as i32, true);
        assert_eq!(slots.next_step(), Some(Step::Cancel { of: first }));
        let second = polls(&mut slots)[0];
        slots.completed(first, -libc::ECANCELED, false);
        assert_eq!(news(&mut slots), []);
        slots.completed(second, sys::IN as i32, true);
        assert_eq!(news(&mut slots), [(2, sys::IN)]);
    }

    /// tokio#6133: a count that had wrapped took what was old for news.
    #[test]
    fn a_completion_is_late_however_many_polls_came_after_it() {
        let mut slots = Slots::default();
        slots.register(5, watch(0, READABLE, Trigger::Edge)).unwrap();
        let first = polls(&mut slots)[0];
        for key in 1..=1 << 16 {
            slots.reregister(5, watch(key, READABLE, Trigger::Edge)).unwrap();
            assert_eq!(polls(&mut slots).len(), 1);
            slots.completed(first, sys::IN as i32, true);
            assert_eq!(slots.news(), 0, "it was the first of {key}");
        }
    }

    /// libuv#4598: with the queue of completions full, a poll that should go on ends.
    #[test]
    fn an_edge_whose_poll_ended_for_want_of_room_is_armed_again() {
        let mut slots = Slots::default();
        slots.register(5, watch(1, READABLE, Trigger::Edge)).unwrap();
        for _ in 0..3 {
            let poll = polls(&mut slots)[0];
            slots.completed(poll, sys::IN as i32, false);
            assert_eq!(news(&mut slots), [(1, sys::IN)]);
        }
    }

    #[test]
    fn what_is_told_twice_before_it_is_heard_is_heard_once() {
        let mut slots = Slots::default();
        slots.register(5, watch(1, READABLE | WRITABLE, Trigger::Edge)).unwrap();
        let poll = polls(&mut slots)[0];
        slots.completed(poll, sys::OUT as i32, true);
        slots.completed(poll, sys::IN as i32, true);
        assert_eq!(news(&mut slots), [(1, sys::IN | sys::OUT)]);
    }

    /// What it told may be over, and what the next one tells is taken for fresh.
    #[test]
    fn what_a_poll_told_that_was_replaced_is_dropped() {
        let mut slots = Slots::default();
        slots.register(5, watch(1, WRITABLE, Trigger::Level)).unwrap();
        let poll = polls(&mut slots)[0];
        slots.completed(poll, sys::OUT as i32, true);
        assert_eq!(news(&mut slots), [(1, sys::OUT)]);
        slots.completed(poll, sys::OUT as i32, true);
        assert_eq!(polls(&mut slots).len(), 1);
        assert_eq!(news(&mut slots), []);
    }

    /// Armed as one that ends, it would be armed and end without pause.
    #[test]
    fn who_does_not_read_is_not_told_of_the_end_and_stays_armed() {
        for trigger in [Trigger::Edge, Trigger::Level, Trigger::OneShot] {
            let mut slots = Slots::default();
            slots.register(5, watch(1, WRITABLE, trigger)).unwrap();
            let Some(Step::Poll { goes_on: true, key, .. }) = slots.next_step() else {
                panic!("{trigger:?}")
            };
            slots.completed(key, sys::RDHUP as i32, true);
            assert_eq!((slots.news(), slots.next_step()), (0, None));
            slots.completed(key, (sys::RDHUP | sys::OUT) as i32, true);
            assert_eq!(news(&mut slots), [(1, sys::OUT)]);
        }
    }

    #[test]
    fn a_poll_that_ended_for_want_of_something_is_armed_again() {
        for error in [libc::ECANCELED, libc::ENOMEM, libc::EAGAIN] {
            let mut slots = Slots::default();
            slots.register(5, watch(1, READABLE, Trigger::OneShot)).unwrap();
            let poll = polls(&mut slots)[0];
            slots.completed(poll, -error, false);
            assert_eq!((slots.news(), polls(&mut slots).len()), (0, 1));
        }
    }

    #[test]
    fn what_cannot_be_waited_for_is_told_as_over_and_what_is_closed_is_forgotten() {
        let mut slots = Slots::default();
        slots.register(5, watch(1, READABLE, Trigger::Edge)).unwrap();
        let poll = polls(&mut slots)[0];
        slots.completed(poll, -libc::EINVAL, false);
        assert_eq!(news(&mut slots), [(1, sys::ERR | sys::HUP)]);
        assert_eq!(polls(&mut slots), []);

        slots.reregister(5, watch(2, READABLE, Trigger::Edge)).unwrap();
        let poll = polls(&mut slots)[0];
        slots.completed(poll, -libc::EBADF, false);
        assert_eq!((slots.news(), slots.is_held(5)), (0, false));
        slots.register(5, watch(3, READABLE, Trigger::Edge)).unwrap();
    }

    #[test]
    fn only_what_may_differ_from_what_is_so_now_is_doubtful() {
        let is_doubted = |trusts_edges, interest, trigger, flags: u32, is_fresh| {
            let mut slots = Slots::new(trusts_edges);
            slots.register(5, watch(1, interest, trigger)).unwrap();
            let poll = polls(&mut slots)[0];
            slots.set_fresh(is_fresh);
            slots.completed(poll, flags as i32, true);
            slots.set_fresh(true);
            slots.completed(poll, flags as i32, true);
            slots.next_news().unwrap().doubt.is_some()
        };
        for trigger in [Trigger::Edge, Trigger::Level, Trigger::OneShot] {
            for trusts_edges in [false, true] {
                let is_trusted = trusts_edges && trigger == Trigger::Edge;
                let urgent = READABLE | Interest::PRIORITY;
                assert!(!is_doubted(trusts_edges, READABLE, trigger, sys::IN, true));
                assert_eq!(is_doubted(trusts_edges, READABLE, trigger, sys::IN, false), !is_trusted);
                assert!(is_doubted(trusts_edges, urgent, trigger, sys::IN | sys::PRI, true));
                assert!(is_doubted(trusts_edges, READABLE, trigger, sys::ERR, true));
                assert!(!is_doubted(trusts_edges, READABLE, trigger, sys::ERR | sys::HUP | sys::IN, true));
            }
        }
    }

    #[test]
    fn a_number_that_came_back_as_another_file_is_free() {
        let mut slots = Slots::default();
        slots.register(5, watch(1, READABLE, Trigger::Edge)).unwrap();
        let dead = polls(&mut slots)[0];
        slots.register(5, watch(2, READABLE, Trigger::Edge)).unwrap_err();
        slots.register(5, Watch { file: 2, ..watch(3, READABLE, Trigger::Edge) }).unwrap();
        assert_eq!(slots.next_step(), Some(Step::Cancel { of: dead }));
        let poll = polls(&mut slots)[0];
        slots.completed(dead, sys::IN as i32, true);
        slots.completed(poll, sys::IN as i32, true);
        assert_eq!(news(&mut slots), [(3, sys::IN)]);
    }

    #[test]
    fn with_another_ring_all_that_is_watched_is_armed_again() {
        let mut slots = Slots::default();
        slots.register(5, watch(1, READABLE, Trigger::Edge)).unwrap();
        slots.register(6, watch(2, READABLE, Trigger::Edge)).unwrap();
        polls(&mut slots);
        slots.deregister(6).unwrap();
        assert!(slots.is_held(5) && slots.is_held(6) && slots.is_any_held());
        slots.start_over();
        assert!(!slots.is_any_held());
        assert_eq!(polls(&mut slots).len(), 1);
        assert!(slots.is_held(5) && !slots.is_held(6));
    }

    #[derive(Clone, Debug)]
    enum Act {
        Register(RawFd, Interest, Trigger),
        Reregister(RawFd, Interest, Trigger),
        Deregister(RawFd),
        HandOver,
        /// One of the polls that live tells something; its last words, if it may go on.
        Tell(prop::sample::Index, u32, bool),
        /// Or, of what is told, nothing is so.
        Wait(bool),
        Replace,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let fd = 3..6;
        let interest = prop::sample::select(vec![READABLE, WRITABLE, READABLE | WRITABLE]);
        let trigger = prop::sample::select(vec![Trigger::Edge, Trigger::Level, Trigger::OneShot]);
        let flags = prop::sample::select(vec![
            sys::IN,
            sys::OUT,
            sys::IN | sys::RDHUP,
            sys::RDHUP,
            sys::HUP,
            sys::ERR,
        ]);
        let watched = (fd.clone(), interest, trigger);
        let act = prop_oneof![
            4 => watched.clone().prop_map(|(fd, interest, trigger)| Act::Register(fd, interest, trigger)),
            2 => watched.prop_map(|(fd, interest, trigger)| Act::Reregister(fd, interest, trigger)),
            2 => fd.prop_map(Act::Deregister),
            4 => Just(Act::HandOver),
            8 => (any::<prop::sample::Index>(), flags, prop::bool::weighted(0.2))
                .prop_map(|(which, flags, ends)| Act::Tell(which, flags, ends)),
            4 => prop::bool::weighted(0.7).prop_map(Act::Wait),
            1 => Just(Act::Replace),
        ];
        prop::collection::vec(act, 0..120)
    }

    /// A poll in the kernel.
    #[derive(Debug)]
    struct Poll {
        fd: RawFd,
        key: u64,
        goes_on: bool,
        cancelled: bool,
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever the order of what the program does and what the kernel does: the table knows what the kernel holds;
        /// what is watched is armed, or has something to tell, or is a one-shot that was told; what is not watched is
        /// cancelled; and only what is watched is told, under its present key.
        #[test]
        fn the_table_and_the_kernel_agree(acts in acts()) {
            let (mut slots, mut kernel, mut next) = (Slots::default(), Vec::<Poll>::new(), 0u64);
            // What is watched: its key, interest and trigger, and whether it was told since.
            let mut watched = std::collections::BTreeMap::<RawFd, (u64, Interest, Trigger, bool)>::new();
            for act in acts {
                next += 1;
                match act {
                    Act::Register(fd, interest, trigger) => {
                        let result = slots.register(fd, watch(next, interest, trigger));
                        prop_assert_eq!(result.is_ok(), !watched.contains_key(&fd));
                        watched.entry(fd).or_insert((next, interest, trigger, false));
                    }
                    Act::Reregister(fd, interest, trigger) => {
                        let result = slots.reregister(fd, watch(next, interest, trigger));
                        prop_assert_eq!(result.is_ok(), watched.contains_key(&fd));
                        watched.entry(fd).and_modify(|all| *all = (next, interest, trigger, false));
                    }
                    Act::Deregister(fd) => {
                        prop_assert_eq!(slots.deregister(fd).is_ok(), watched.remove(&fd).is_some());
                    }
                    Act::HandOver => {
                        while let Some(step) = slots.next_step() {
                            match step {
                                Step::Cancel { of } => {
                                    kernel.iter_mut().filter(|poll| poll.key == of).for_each(|poll| poll.cancelled = true);
                                }
                                Step::Poll { fd, goes_on, key, .. } => {
                                    prop_assert!(kernel.iter().all(|poll| poll.key != key), "a key lives twice");
                                    kernel.push(Poll { fd, key, goes_on, cancelled: false });
                                }
                            }
                        }
                        for poll in &kernel {
                            let rivals = kernel.iter().filter(|other| other.fd == poll.fd && !other.cancelled).count();
                            prop_assert!(rivals <= 1);
                            prop_assert!(poll.cancelled || watched.contains_key(&poll.fd));
                        }
                        for (fd, &(_, _, trigger, told)) in &watched {
                            let is_armed = kernel.iter().any(|poll| poll.fd == *fd && !poll.cancelled);
                            let is_heard = slots.slots[index(*fd)].heard;
                            prop_assert!(is_armed || is_heard || (trigger == Trigger::OneShot && told), "{} is deaf", fd);
                        }
                    }
                    Act::Tell(which, flags, ends) if !kernel.is_empty() => {
                        let which = which.index(kernel.len());
                        let Poll { key, goes_on, cancelled, .. } = kernel[which];
                        let more = goes_on && !ends && !cancelled;
                        let result = if cancelled && ends { -libc::ECANCELED } else { flags as i32 };
                        if !more {
                            kernel.swap_remove(which);
                        }
                        slots.completed(key, result, more);
                    }
                    Act::Tell(..) => {}
                    Act::Wait(is_so) => {
                        while let Some(News { fd, event, .. }) = slots.next_news() {
                            let Some((key, interest, trigger, told)) = watched.get_mut(&fd) else {
                                return Err(TestCaseError::fail("told, but not watched"));
                            };
                            prop_assert_eq!(event.key(), *key);
                            prop_assert!(event.flags() != 0 && event.flags() & !wanted(*interest) == 0);
                            prop_assert!(*trigger != Trigger::OneShot || !*told, "a one-shot was told twice");
                            *told = is_so;
                            if !is_so {
                                slots.was_nothing(fd);
                            }
                        }
                    }
                    Act::Replace => {
                        kernel.clear();
                        slots.start_over();
                    }
                }
                prop_assert_eq!(slots.alive, kernel.len());
                for fd in 3..6 {
                    prop_assert_eq!(slots.is_held(fd), kernel.iter().any(|poll| poll.fd == fd));
                }
                prop_assert!(slots.noted.len() <= 3 && slots.heard.len() <= 3, "the lists grow");
            }
        }
    }
}
