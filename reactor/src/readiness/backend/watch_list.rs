//! The memory that select(2), poll(2) and the `polling` crate lack.
//!
//! The first two are told on every call what to watch, and forget it as they return; the third forgets each source as it
//! reports it. So their backends remember it here: a table keyed by descriptor, and a list of what changed in it since the last
//! wait, so that the kernel's copy (bitmaps in `select.rs`, an array in `poll.rs`, the poller's set in `polling.rs`) is patched
//! and never rebuilt.
//!
//! # Edges
//! None of the three has them (the poller not on every system). A descriptor is *armed* for what its owner asked; what an edge
//! reported is disarmed, and left out of the next wait until it is armed again:
//! * by its owner's I/O ([`Rearm::ByOwner`]): our sockets tell after each call (`../rearm.rs` says in which direction);
//! * by time ([`Rearm::ByTime`]): I/O on a raw descriptor passes us by, so it is armed again after [`REST`]. A raw descriptor
//!   that stays ready is therefore reported a thousand times a second at most: more than an edge, and never less;
//! * for reading, by time as well, after each loan of a socket's descriptor: who asks for the number may read from it past us.
//!   (Not for writing. There is room most of the time, so that whoever only looks at the number would be told of it for ever.)
//!
//! A waker alone stays armed ([`Rearm::Never`]): its ring is taken out as it is told, so that the next one is news by itself.
//! To disarm it would cost a wake three system calls and a round of the wait more, 10 µs in place of 2.8.
//!
//! What is lost against a kernel with edges: news about a source whose last report was answered by no I/O at all.
//!
//! A hang-up (`POLLHUP`, `POLLERR`) cannot be masked: poll(2) reports it whatever was asked. So once an edge reported one, the
//! descriptor is left out of the wait as a whole, or the next wait would return at once, for ever. It stays in the table:
//! hung-up is a state, not a removal.
//!
//! # Changes while another thread waits
//! The kernel looks at its copy of a moment ago. A change interrupts the wait through a descriptor that is part of every wait
//! and never reported; what the kernel answers about a changed descriptor is not believed but asked again. `deregister` also
//! waits until the kernel was left: it holds a reference to all it watches, so the caller's `close` would close nothing yet.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::{Rearm, Registration};
use crate::clock;
use crate::readiness::event::Event;
use crate::readiness::interest::{Interest, Trigger};
use crate::readiness::waker::WakerFd;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::sys;

/// How long an edge of a raw descriptor rests before it may fire again.
const REST: Duration = Duration::from_millis(1);

/// What comes unasked, and cannot be masked.
const HANG_UP: u32 = sys::HUP | sys::ERR;

#[derive(Debug)]
pub(crate) struct WatchList {
    state: Mutex<State>,
    /// Told when a wait has left the kernel.
    left: Condvar,
    /// Part of every wait, never reported.
    interruption: WakerFd,
}

#[derive(Debug, Default)]
struct State {
    /// Indexed by descriptor: the kernel gives out the lowest number that is free, so there are few holes.
    slots: Vec<Slot>,
    /// The descriptors whose slots say `changed`.
    changed: Vec<RawFd>,
    /// Raw descriptors whose edges rest, and until when. All rest equally long, so the first to end is in front.
    resting: VecDeque<(Instant, RawFd)>,
    /// A thread is in the kernel.
    waiting: bool,
    /// How often one has come back from there.
    returns: u64,
    /// How many threads wait for the next return: without any, the condition variable need not be told.
    leaving: usize,
    /// `interruption` is readable.
    interrupted: bool,
}

#[derive(Debug, Default)]
struct Slot {
    watch: Option<Watch>,
    /// Since the kernel's copy was patched.
    changed: bool,
}

#[derive(Debug)]
struct Watch {
    registration: Registration,
    /// The flags to wait for now; none: left out. `HANG_UP` stands for itself.
    armed: u32,
    /// The end of its rest, if it rests.
    rests_until: Option<Instant>,
}

/// A registration in poll(2)'s words.
pub(super) fn wanted(interest: Interest) -> u32 {
    let mut flags = HANG_UP;
    if interest.is_readable() {
        flags |= sys::IN | sys::RDHUP;
    }
    if interest.is_writable() {
        flags |= sys::OUT;
    }
    if interest.is_priority() {
        flags |= sys::PRI;
    }
    flags
}

impl WatchList {
    pub(crate) fn new() -> io::Result<WatchList> {
        let (state, left) = (Mutex::default(), Condvar::new());
        Ok(WatchList { state, left, interruption: WakerFd::new()? })
    }

    /// The descriptor to include in every wait.
    pub(super) fn interruption(&self) -> RawFd {
        self.interruption.fd().as_raw_fd()
    }

    /// `AlreadyExists` if it is watched, `EBADF` if it is not open (epoll says the same).
    pub(super) fn register(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        if !sys::is_open(fd.as_raw_fd()) {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        let watch = Watch::new(fd, registration)?;
        let mut state = self.lock();
        let slot = state.slot(fd.as_raw_fd());
        if slot.watch.is_some() {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        slot.watch = Some(watch);
        self.changed(&mut state, fd.as_raw_fd())
    }

    /// `NotFound` if it is not watched.
    pub(super) fn reregister(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        let watch = Watch::new(fd, registration)?;
        let mut state = self.lock();
        let Some(old) = state.watch(fd.as_raw_fd()) else {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        };
        *old = watch;
        self.changed(&mut state, fd.as_raw_fd())
    }

    /// `NotFound` if it is not watched.
    pub(super) fn deregister(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let mut state = self.lock();
        if state.slot(fd.as_raw_fd()).watch.take().is_none() {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        self.changed(&mut state, fd.as_raw_fd())?;
        let returns = state.returns;
        while state.waiting && state.returns == returns {
            state.leaving += 1;
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.leaving -= 1;
        }
        Ok(())
    }

    /// Stops watching, if it is watched, without a word to the wait in progress: for who takes it out of the poller's set, of
    /// which that wait is.
    #[cfg(has_polling)]
    pub(super) fn forget(&self, fd: BorrowedFd<'_>) {
        self.lock().slot(fd.as_raw_fd()).watch = None;
    }

    /// An edge may fire again in this direction, because its owner did I/O.
    pub(crate) fn rearm(&self, fd: BorrowedFd<'_>, direction: Interest) {
        let mut state = self.lock();
        let Some(watch) = state.watch(fd.as_raw_fd()) else { return };
        let armed = watch.armed | (wanted(direction) & wanted(watch.registration.interest));
        if watch.registration.trigger == Trigger::Edge && armed != watch.armed {
            watch.armed = armed;
            // What could fail is the interruption, and an eventfd that is open has no reason to.
            let _ = self.changed(&mut state, fd.as_raw_fd());
        }
    }

    /// A descriptor that its owner armed so far is in the hands of somebody who may read from it out of our sight.
    pub(crate) fn lent(&self, fd: BorrowedFd<'_>) {
        let mut state = self.lock();
        let Some(watch) = state.watch(fd.as_raw_fd()) else { return };
        let to_be_armed = !watch.armed & watch.armed_by_time();
        if watch.registration.trigger == Trigger::Edge && to_be_armed != 0 && watch.rests_until.is_none() {
            state.rest(fd.as_raw_fd());
            // A wait in progress has to learn when the rest ends. (As in `rearm`, it does not matter if this fails.)
            let _ = self.changed(&mut state, fd.as_raw_fd());
        }
    }

    /// Before the kernel is entered: hands over what changed (a descriptor and its flags, none: leave it out), and says how
    /// long to wait at most.
    pub(super) fn enter(
        &self,
        timeout: Option<Duration>,
        mut patch: impl FnMut(RawFd, u32),
    ) -> Option<Duration> {
        let mut state = self.lock();
        let timeout = if state.resting.is_empty() { timeout } else { state.end_rests(timeout) };
        let State { slots, changed, waiting, .. } = &mut *state;
        for &fd in &*changed {
            let slot = &mut slots[index(fd)];
            slot.changed = false;
            patch(fd, slot.watch.as_ref().map_or(0, |watch| watch.armed));
        }
        changed.clear();
        *waiting = true;
        timeout
    }

    /// After the kernel was left. Until what this returns is dropped, nothing changes.
    #[inline]
    pub(super) fn leave(&self) -> io::Result<Delivery<'_>> {
        let mut state = self.lock();
        state.waiting = false;
        state.returns = state.returns.wrapping_add(1);
        if state.leaving > 0 {
            self.left.notify_all();
        }
        if mem::take(&mut state.interrupted) {
            self.interruption.drain()?;
        }
        Ok(Delivery(state))
    }

    /// Notes a change for the next wait, and ends the one in progress.
    fn changed(&self, state: &mut State, fd: RawFd) -> io::Result<()> {
        state.note(fd);
        if state.waiting && !mem::replace(&mut state.interrupted, true) {
            self.interruption.write()?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wait that has left the kernel and tells what it heard.
pub(super) struct Delivery<'a>(MutexGuard<'a, State>);

impl Delivery<'_> {
    /// What the kernel said about `fd` as an event, if it is still to be believed and reported.
    #[inline]
    pub(super) fn deliver(&mut self, fd: RawFd, flags: u32) -> Option<Event> {
        let Slot { watch, changed } = self.0.slots.get(index(fd))?;
        match watch {
            _ if *changed => None, // meanwhile it may be somebody else's number: the next round asks again
            Some(watch) if watch.registration.trigger == Trigger::Level && flags & sys::INVALID == 0 => {
                Some(Event::new(watch.registration.key, flags))
            }
            _ => self.deliver_and_note(fd, flags),
        }
    }

    /// The same where what was told is to be remembered.
    fn deliver_and_note(&mut self, fd: RawFd, flags: u32) -> Option<Event> {
        if flags & sys::INVALID != 0 {
            self.remove(fd);
            return None;
        }
        let watch = self.0.watch(fd)?;
        let Registration { key, trigger, rearm, .. } = watch.registration;
        match trigger {
            Trigger::Level => Some(Event::new(key, flags)),
            Trigger::OneShot => {
                watch.armed = 0;
                self.0.note(fd);
                Some(Event::new(key, flags))
            }
            Trigger::Edge if rearm == Rearm::Never => {
                // A ring that was not taken out, because of a signal, is told again.
                let _ = sys::borrow(fd, sys::drain_bell);
                Some(Event::new(key, flags))
            }
            Trigger::Edge => {
                let flags = watch.told_whole(fd, flags);
                watch.disarm(flags);
                self.0.note(fd);
                if rearm == Rearm::ByTime {
                    self.0.rest(fd);
                }
                Some(Event::new(key, flags))
            }
        }
    }

    /// Forgets a descriptor that was closed without being deregistered, as epoll does by itself.
    pub(super) fn remove(&mut self, fd: RawFd) {
        self.0.slot(fd).watch = None;
        self.0.note(fd);
    }

    /// Whether `fd` is still to be believed to be the one that the kernel was asked about.
    pub(super) fn is_unchanged(&mut self, fd: RawFd) -> bool {
        !self.0.slot(fd).changed
    }
}

/// What it takes where the kernel's copy reports a descriptor once.
#[cfg(has_polling)]
impl Delivery<'_> {
    /// What `fd` was armed for when the kernel was asked; none if that is no longer to be believed.
    pub(super) fn armed(&mut self, fd: RawFd) -> u32 {
        match self.0.slot(fd) {
            Slot { watch: Some(watch), changed: false } => watch.armed,
            _ => 0,
        }
    }

    /// `fd` was reported: it is handed over again before the next wait.
    pub(super) fn spend(&mut self, fd: RawFd) {
        self.0.note(fd);
    }
}

impl State {
    fn slot(&mut self, fd: RawFd) -> &mut Slot {
        let index = index(fd);
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, Slot::default);
        }
        &mut self.slots[index]
    }

    fn watch(&mut self, fd: RawFd) -> Option<&mut Watch> {
        self.slots.get_mut(index(fd))?.watch.as_mut()
    }

    /// Puts `fd` on the list of changes, once.
    fn note(&mut self, fd: RawFd) {
        if !mem::replace(&mut self.slot(fd).changed, true) {
            self.changed.push(fd);
        }
    }

    fn rest(&mut self, fd: RawFd) {
        let end = clock::now() + REST;
        if let Some(watch) = self.watch(fd) {
            watch.rests_until = Some(end);
            self.resting.push_back((end, fd));
        }
    }

    /// Arms those whose rest is over, and shortens `timeout` to the end of the next rest.
    fn end_rests(&mut self, timeout: Option<Duration>) -> Option<Duration> {
        while let Some(&(end, fd)) = self.resting.front() {
            let rest = end.saturating_duration_since(clock::now());
            if !rest.is_zero() {
                return Some(timeout.map_or(rest, |timeout| timeout.min(rest)));
            }
            self.resting.pop_front();
            let Some(watch) = self.watch(fd) else { continue };
            if watch.rests_until == Some(end) {
                watch.rests_until = None;
                watch.armed |= watch.armed_by_time();
                self.note(fd);
            }
        }
        timeout
    }
}

impl Watch {
    fn new(fd: BorrowedFd<'_>, mut registration: Registration) -> io::Result<Watch> {
        let Registration { interest, trigger, rearm, .. } = registration;
        if trigger == Trigger::Edge && rearm == Rearm::ByTime && sys::is_always_ready(fd)? {
            registration.rearm = Rearm::ByOwner; // its state never changes, so its first edge is its last
        }
        Ok(Watch { registration, armed: wanted(interest), rests_until: None })
    }

    /// The flags of a hang-up together with all that it makes ready. The kernel was asked for what is armed only, and a
    /// connection that is over can be both read and written.
    fn told_whole(&self, fd: RawFd, flags: u32) -> u32 {
        let wanted = wanted(self.registration.interest);
        if flags & HANG_UP == 0 || self.armed == wanted {
            return flags;
        }
        let mut all = [sys::poll_entry(fd, wanted)];
        match sys::poll(&mut all, Some(Duration::ZERO)) {
            Ok(_) => flags | (sys::poll_answer(&all[0]) & !sys::INVALID),
            Err(_) => flags, // what is known is told
        }
    }

    /// What is armed when a rest ends.
    fn armed_by_time(&self) -> u32 {
        let wanted_of_all = wanted(self.registration.interest);
        match self.registration.rearm {
            Rearm::ByTime => wanted_of_all,
            Rearm::ByOwner | Rearm::Never => wanted_of_all & wanted(Interest::READABLE | Interest::PRIORITY),
        }
    }

    /// Disarms what was told.
    fn disarm(&mut self, flags: u32) {
        if flags & HANG_UP != 0 {
            self.armed = 0;
        }
        if flags & (sys::IN | sys::RDHUP) != 0 {
            self.armed &= !(sys::IN | sys::RDHUP);
        }
        self.armed &= !(flags & (sys::OUT | sys::PRI));
    }
}

/// The indices from `start` to the end, then those before it: so that in a batch that is cut short nobody is always last.
pub(super) fn in_turn(indices: Range<usize>, start: usize) -> impl Iterator<Item = usize> {
    let start = start.clamp(indices.start, indices.end);
    (start..indices.end).chain(indices.start..start)
}

/// A descriptor as an index. It was borrowed, so it is not negative.
pub(super) fn index(fd: RawFd) -> usize {
    usize::try_from(fd).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn edge(key: u64) -> Registration {
        let interest = Interest::READABLE | Interest::WRITABLE;
        Registration { key, interest, trigger: Trigger::Edge, rearm: Rearm::ByOwner }
    }

    /// One round through a kernel that answers `answers`.
    fn round(list: &WatchList, answers: &[(RawFd, u32)]) -> (Vec<(RawFd, u32)>, Vec<u64>) {
        let mut patches = Vec::new();
        list.enter(Some(Duration::ZERO), |fd, flags| patches.push((fd, flags)));
        let mut delivery = list.leave().unwrap();
        let events = answers.iter().filter_map(|&(fd, flags)| delivery.deliver(fd, flags));
        (patches, events.map(|event| event.key()).collect())
    }

    /// Copying the whole set on every wait is what makes a poll loop slow twice over.
    #[test]
    fn only_what_changed_is_handed_to_the_kernel_again() {
        let list = WatchList::new().unwrap();
        let sockets: Vec<_> = (0..50).map(|_| UnixStream::pair().unwrap().0).collect();
        for (key, socket) in (0..).zip(&sockets) {
            list.register(socket.as_fd(), edge(key)).unwrap();
        }
        assert_eq!(round(&list, &[]).0.len(), 50);
        assert_eq!(round(&list, &[]).0.len(), 0);
        list.reregister(sockets[7].as_fd(), edge(7)).unwrap();
        list.reregister(sockets[7].as_fd(), edge(7)).unwrap();
        assert_eq!(round(&list, &[]).0, [(sockets[7].as_raw_fd(), wanted(edge(0).interest))]);
    }

    #[test]
    fn an_answer_about_a_descriptor_that_changed_meanwhile_is_not_believed() {
        let list = WatchList::new().unwrap();
        let socket = UnixStream::pair().unwrap().0;
        let fd = socket.as_raw_fd();
        list.register(socket.as_fd(), edge(1)).unwrap();
        list.enter(None, |_, _| {});
        list.reregister(socket.as_fd(), edge(2)).unwrap(); // as another thread would, during the wait
        assert!(list.leave().unwrap().deliver(fd, sys::IN).is_none());
        assert_eq!(round(&list, &[(fd, sys::IN)]).1, [2]);
        list.deregister(socket.as_fd()).unwrap();
        assert_eq!(round(&list, &[(fd, sys::IN)]).1, []);
    }

    #[test]
    fn a_change_during_a_wait_interrupts_it_once() {
        let list = WatchList::new().unwrap();
        let socket = UnixStream::pair().unwrap().0;
        list.register(socket.as_fd(), edge(1)).unwrap();
        assert!(!is_interrupted(&list), "nobody waits");
        list.enter(None, |_, _| {});
        list.reregister(socket.as_fd(), edge(2)).unwrap();
        list.reregister(socket.as_fd(), edge(3)).unwrap();
        assert!(is_interrupted(&list));
        drop(list.leave().unwrap());
        assert!(!is_interrupted(&list), "it was drained on the way out");
    }

    fn is_interrupted(list: &WatchList) -> bool {
        let mut entry = [sys::poll_entry(list.interruption(), sys::IN)];
        sys::poll(&mut entry, Some(Duration::ZERO)).unwrap() == 1
    }

    #[test]
    fn a_raw_descriptor_rests_and_is_then_armed_again() {
        let list = WatchList::new().unwrap();
        let socket = UnixStream::pair().unwrap().0;
        let fd = socket.as_raw_fd();
        list.register(socket.as_fd(), Registration { rearm: Rearm::ByTime, ..edge(1) }).unwrap();
        let told = clock::now();
        assert_eq!(round(&list, &[(fd, sys::IN)]).1, [1]);
        let mut armed = None;
        while armed != Some(wanted(edge(1).interest)) {
            let limit = list.enter(None, |_, flags| armed = Some(flags));
            assert!(limit.is_none_or(|limit| limit <= REST), "a wait is longer than the rest");
            drop(list.leave().unwrap());
        }
        assert!(clock::now() - told >= REST);
        assert_eq!(list.enter(None, |_, _| {}), None, "nobody rests");
    }

    #[test]
    fn a_loan_during_a_wait_ends_it_and_arms_for_reading_only() {
        let list = WatchList::new().unwrap();
        let socket = UnixStream::pair().unwrap().0;
        let fd = socket.as_raw_fd();
        list.register(socket.as_fd(), edge(1)).unwrap();
        list.lent(socket.as_fd());
        assert_eq!(list.enter(None, |_, _| {}), None, "it is armed already");
        assert_eq!(list.leave().unwrap().deliver(fd, sys::IN | sys::OUT).map(|event| event.key()), Some(1));
        assert_eq!(list.enter(None, |_, _| {}), None, "nobody rests");
        list.lent(socket.as_fd());
        assert!(list.lock().interrupted);
        drop(list.leave().unwrap());
        let mut armed = 0;
        while armed & sys::IN == 0 {
            let limit = list.enter(None, |_, flags| armed = flags);
            assert!(limit.is_none_or(|limit| limit <= REST), "a wait is longer than the rest");
            drop(list.leave().unwrap());
        }
        assert_eq!(armed & sys::OUT, 0);
    }

    /// tokio#8054: two directions with one state between them wake each other without end.
    #[test]
    fn what_happens_in_one_direction_leaves_the_other_as_it_was() {
        let list = WatchList::new().unwrap();
        let socket = UnixStream::pair().unwrap().0;
        let fd = socket.as_raw_fd();
        let armed = || list.lock().watch(fd).unwrap().armed & (sys::IN | sys::OUT);
        list.register(socket.as_fd(), edge(1)).unwrap();
        round(&list, &[(fd, sys::OUT)]);
        assert_eq!(armed(), sys::IN, "told of room, it still waits for input");
        list.rearm(socket.as_fd(), Interest::READABLE);
        assert_eq!(armed(), sys::IN, "reading is no reason to tell of room again");
        round(&list, &[(fd, sys::IN)]);
        list.rearm(socket.as_fd(), Interest::WRITABLE);
        assert_eq!(armed(), sys::OUT, "nor writing to tell of input");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Told(u32),
        Read,
        Write,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let flags = [sys::IN, sys::OUT, sys::IN | sys::RDHUP, sys::HUP, sys::ERR, sys::IN | sys::OUT];
        let told = proptest::sample::select(flags.to_vec()).prop_map(Step::Told);
        proptest::collection::vec(prop_oneof![told, Just(Step::Read), Just(Step::Write)], 0..40)
    }

    proptest! {
        /// After any history: I/O in a direction arms that direction, a hang-up that was told leaves nothing armed (else
        /// the next wait would return at once), and nothing is armed that nobody asked for.
        #[test]
        fn io_arms_and_telling_disarms(steps in steps()) {
            let list = WatchList::new().unwrap();
            let socket = UnixStream::pair().unwrap().0;
            let fd = socket.as_raw_fd();
            list.register(socket.as_fd(), edge(1)).unwrap();
            for step in steps {
                match step {
                    Step::Told(flags) => {
                        let mut state = list.lock();
                        let watch = state.watch(fd).unwrap();
                        watch.disarm(flags);
                        prop_assert_eq!(watch.armed & flags, 0);
                        prop_assert!(flags & HANG_UP == 0 || watch.armed == 0);
                    }
                    Step::Read => list.rearm(socket.as_fd(), Interest::READABLE),
                    Step::Write => list.rearm(socket.as_fd(), Interest::WRITABLE),
                }
                let armed = list.lock().watch(fd).unwrap().armed;
                prop_assert_eq!(armed & !wanted(edge(1).interest), 0);
                match step {
                    Step::Read => prop_assert_eq!(armed & sys::IN, sys::IN),
                    Step::Write => prop_assert_eq!(armed & sys::OUT, sys::OUT),
                    Step::Told(_) => {}
                }
            }
        }

        #[test]
        fn everybody_has_a_turn(first in 0usize..3, length in 0usize..20, start in 0usize..30) {
            let indices = first..first + length;
            let mut places: Vec<_> = in_turn(indices.clone(), start).collect();
            prop_assert!(!indices.contains(&start) || places[0] == start);
            places.sort_unstable();
            prop_assert!(places.into_iter().eq(indices));
        }
    }

    #[cfg(loom)]
    mod models {
        use super::*;
        use crate::readiness::backend::{AnySelector, Backend, Callers, Selector};
        use crate::readiness::waker::Waker;
        use crate::sync::model::{check, waits_begun, waits_over};
        use loom::sync::atomic::{AtomicBool, Ordering};
        use loom::thread;
        use std::sync::Arc;

        fn selector() -> Arc<AnySelector> {
            Arc::new(Backend::Poll.open(Callers::AnyThread).unwrap())
        }

        /// A descriptor that is readable.
        fn readable() -> WakerFd {
            let bell = WakerFd::new().unwrap();
            bell.write().unwrap();
            bell
        }

        fn level(key: u64) -> Registration {
            let interest = Interest::READABLE;
            Registration { key, interest, trigger: Trigger::Level, rearm: Rearm::ByOwner }
        }

        /// The keys that one wait tells of.
        fn wait(selector: &AnySelector) -> Vec<u64> {
            let mut ready = Vec::with_capacity(8);
            selector.wait(&mut ready, None).unwrap();
            ready.iter().map(|event| event.key()).collect()
        }

        /// Nothing but the interruption ends these waits, and when all is over none is left for the next one.
        #[test]
        fn each_change_by_another_thread_reaches_the_wait_and_none_ends_two() {
            check(|| {
                let list = Arc::new(WatchList::new().unwrap());
                let changing = [1, 2].map(|key| {
                    let (list, bell) = (Arc::clone(&list), WakerFd::new().unwrap());
                    thread::spawn(move || {
                        list.register(bell.fd(), level(key)).unwrap();
                        bell
                    })
                });
                let mut told = 0;
                while told < changing.len() {
                    list.enter(None, |_, _| told += 1);
                    if told < changing.len() {
                        sys::poll(&mut [sys::poll_entry(list.interruption(), sys::IN)], None).unwrap();
                    }
                    drop(list.leave().unwrap());
                }
                changing.into_iter().for_each(|thread| drop(thread.join().unwrap()));
                let mut next = [sys::poll_entry(list.interruption(), sys::IN)];
                let left = sys::poll(&mut next, Some(Duration::ZERO)).unwrap();
                assert_eq!(left, 0, "a wait during which nothing changed would end at once");
            });
        }

        #[test]
        fn a_registration_from_another_thread_is_told_by_the_wait_in_progress() {
            check(|| {
                let selector = selector();
                let registering = {
                    let selector = Arc::clone(&selector);
                    thread::spawn(move || {
                        let bell = readable();
                        selector.register(bell.fd(), level(7)).unwrap();
                        bell
                    })
                };
                assert_eq!(wait(&selector), [7]);
                drop(registering.join().unwrap());
            });
        }

        /// Two threads say something and wake; a wake that gets lost would leave the other asleep for ever.
        #[test]
        fn what_is_said_before_a_wake_is_heard() {
            check(|| {
                let selector = selector();
                let waker = Arc::new(Waker::of(Arc::clone(&selector), 9).unwrap());
                let said = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
                let waking = said.clone().map(|said| {
                    let waker = Arc::clone(&waker);
                    thread::spawn(move || {
                        said.store(true, Ordering::Relaxed);
                        waker.wake().unwrap();
                    })
                });
                while !said.iter().all(|said| said.load(Ordering::Relaxed)) {
                    assert_eq!(wait(&selector), [9]);
                }
                waking.into_iter().for_each(|thread| thread.join().unwrap());
            });
        }

        /// The owner closes a source after `deregister`: then the kernel must hold it no more, and nobody hears of it.
        #[test]
        fn what_is_deregistered_is_neither_told_nor_held_by_the_kernel() {
            check(|| {
                let (selector, bell) = (selector(), WakerFd::new().unwrap());
                selector.register(bell.fd(), level(1)).unwrap();
                let gone = Arc::new(AtomicBool::new(false));
                let leaving = {
                    let (selector, gone) = (Arc::clone(&selector), Arc::clone(&gone));
                    thread::spawn(move || {
                        let begun = waits_begun();
                        selector.deregister(bell.fd()).unwrap();
                        assert!(waits_over() >= begun, "a wait that may hold the descriptor is not over");
                        gone.store(true, Ordering::Relaxed);
                        bell.write().unwrap(); // would be told, if it were still watched
                        let last = readable();
                        selector.register(last.fd(), level(2)).unwrap();
                        last
                    })
                };
                assert_eq!(wait(&selector), [2]);
                assert!(gone.load(Ordering::Relaxed));
                drop(leaving.join().unwrap());
            });
        }
    }
}
