//! io_uring(7): Linux's queues of operations, of which one is a poll.
//!
//! # What the kernel offers
//! Two queues in memory that both sides see: operations go in by one, completions come out by the other, and one system call
//! (`io_uring_enter`) submits, does the kernel's share of the work, and waits. So whatever changed since the last wait rides
//! along with the next: to arm a thousand polls and wait for them is one call. Compare `epoll.rs`, where each change is a call
//! of its own. A poll may go on after it told something (multishot), and is then as good as an edge.
//!
//! # Quirks
//! a. A poll holds the file open until it ended. So `deregister` cancels it and waits for its last completion, or the caller's
//!    `close` would close nothing yet. Test: `a_close_after_deregistering_in_another_thread_is_a_close`.
//! b. The kernel's share of a poll is done by the thread that submitted it, which is interrupted for it, and a poll is cancelled
//!    when that thread is gone. So only waiting threads submit polls; others leave them a note and wake them.
//!    Test: `what_a_thread_armed_that_is_gone_is_heard`.
//! c. With `IORING_SETUP_DEFER_TASKRUN` it is done only in a wait, which is cheaper; but then no other thread may enter the ring,
//!    not even to cancel. An event loop is one thread and has it; a [`Poll`](crate::Poll) may move about and has not. And each
//!    call does twenty things at most (`IO_LOCAL_TW_DEFAULT_MAX`). Test: `a_small_event_buffer_does_not_starve_quiet_connections`.
//! d. A poll tells what woke it, not what is so: "Doubt" in `slots.rs`. Test: `what_was_read_meanwhile_is_not_told`.
//! e. What finds no room among the completions is kept by the kernel until there is (`IORING_FEAT_NODROP`), but a poll that
//!    should go on ends. It is armed anew. Test: `a_queue_that_overflows_loses_nothing`.
//! f. A call that submitted something and was then interrupted tells how much it submitted, and nothing of the interruption.
//!    Test: `a_signal_during_a_wait_that_submits_is_told`.
//! g. Administrators and sandboxes forbid it. Test: `where_io_uring_is_forbidden_the_error_says_so`.
//! h. After fork(2) parent and child share the queues, and each would take what is the other's. So a child is refused.
//!    Test: `a_child_that_inherited_a_ring_is_refused`.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use super::slots::{News, Slots, Step, Watch};
use super::{CLOCK_KEY, Callers, Rearm, Registration, Selector};
use crate::clock;
use crate::readiness::event::Event;
use crate::readiness::interest::{Interest, Trigger};
use crate::readiness::timeout::Deadline;
use crate::readiness::waker::WakerFd;
use crate::sys::{self, Completion, EventFd, Ring};

/// Room for what is submitted in one system call, and for what completes meanwhile (quirk e).
const SUBMISSIONS: u32 = 256;
const COMPLETIONS: u32 = 4096;

/// Where the key of a poll has its descriptor, those of other operations have one of these numbers.
const NOBODY: u64 = u32::MAX as u64;
const CLOCK: u64 = NOBODY - 1;
const INTERRUPTION: u64 = NOBODY - 2;

/// How long a kernel that is short of memory is left alone.
const RELIEF: Duration = Duration::from_millis(1);

// # State

/// A ring and what it watches.
#[derive(Debug)]
pub(crate) struct IoUring {
    state: Mutex<State>,
    /// Told when a wait has left the kernel.
    left: Condvar,
    /// What `sys::forks` said when it was made.
    forks: u32,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    slots: Slots,
    /// A thread is in the kernel. Meanwhile no other touches the ring.
    waiting: bool,
    /// Ends the wait in progress, from another thread; none if there is no other thread. And whether a poll listens to it,
    /// and whether it was used in this wait.
    interruption: Option<EventFd>,
    listening: bool,
    interrupted: bool,
    /// How many threads wait for the one in the kernel.
    leaving: usize,
    /// When the clock is to ring, if the kernel was not told yet; the key it has there; and whether it rang.
    alarm: Option<Instant>,
    clock: u64,
    rang: bool,
    /// Completions since the kernel was entered.
    completions: usize,
    /// The thread that entered the kernel so far, and whether there was another.
    enterer: Option<ThreadId>,
    crowded: bool,
    /// What is asked about doubtful news, and which of the events it is about. Empty between waits.
    questions: Vec<libc::pollfd>,
    places: Vec<usize>,
}

// # New

impl IoUring {
    pub(crate) fn new(callers: Callers) -> io::Result<IoUring> {
        IoUring::with_room(SUBMISSIONS, COMPLETIONS, callers)
    }

    fn with_room(submissions: u32, completions: u32, callers: Callers) -> io::Result<IoUring> {
        let one_thread = callers == Callers::OneThread;
        let ring = Ring::new(submissions, completions, one_thread);
        let state = State {
            // A kernel that does not know of quirk c does without.
            ring: ring.or_else(|_| Ring::new(submissions, completions, false))?,
            slots: Slots::default(),
            waiting: false,
            interruption: if one_thread { None } else { Some(EventFd::new()?) },
            listening: false,
            interrupted: false,
            leaving: 0,
            alarm: None,
            clock: CLOCK,
            rang: false,
            completions: 0,
            enterer: None,
            crowded: false,
            questions: Vec::new(),
            places: Vec::new(),
        };
        Ok(IoUring { state: Mutex::new(state), left: Condvar::new(), forks: sys::forks() })
    }

    /// Why the kernel gives us no ring, if it does not (quirk g). Asked once; a reason that may pass is none.
    pub(crate) fn refusal() -> Option<&'static str> {
        static REFUSAL: OnceLock<Option<&'static str>> = OnceLock::new();
        let ask = || match Ring::new(1, 2, false).err()?.raw_os_error()? {
            libc::ENOSYS | libc::EPERM | libc::EACCES => {
                Some("is forbidden here (by kernel.io_uring_disabled, or by a sandbox)")
            }
            libc::EINVAL => Some("needs Linux 5.18 or later"),
            _ => None,
        };
        *REFUSAL.get_or_init(ask)
    }

    fn watch(
        &self,
        fd: BorrowedFd<'_>,
        registration: Registration,
        exclusive: bool,
        note: fn(&mut Slots, RawFd, Watch) -> io::Result<()>,
    ) -> io::Result<()> {
        let watch = Watch { registration, exclusive, always_ready: sys::is_always_ready(fd)? };
        let mut state = self.lock()?;
        note(&mut state.slots, fd.as_raw_fd(), watch)?;
        state.interrupt()
    }

    /// Waits until the kernel has let go of what is held (quirk a).
    fn release<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        is_held: impl Fn(&Slots) -> bool,
    ) -> io::Result<()> {
        while is_held(&state.slots) {
            if !state.waiting {
                state.hand_over(Slots::next_cancel)?;
                state.enter(None)?;
                continue;
            }
            if state.slots.has_cancels() {
                state.interrupt()?; // it hands them over
            }
            state.leaving += 1;
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.leaving -= 1;
        }
        if state.crowded {
            state.ring.settle(); // what completes in another thread is seen a moment before that puts the file down
        }
        Ok(())
    }

    fn lock(&self) -> io::Result<MutexGuard<'_, State>> {
        if self.is_inherited() {
            let why = "a ring that was made before fork(2) is the parent's: make the child's after it";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        Ok(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_inherited(&self) -> bool {
        self.forks != sys::forks()
    }
}

impl Selector for IoUring {
    // # Register

    fn register(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        self.watch(fd, registration, false, Slots::register)
    }

    fn register_exclusively(&self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        let (interest, trigger, rearm) = (Interest::READABLE, Trigger::Level, Rearm::ByOwner);
        self.watch(fd, Registration { key, interest, trigger, rearm }, true, Slots::register)
    }

    // # Reregister

    fn reregister(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        self.watch(fd, registration, false, Slots::reregister)
    }

    // # Deregister

    fn deregister(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let (mut state, fd) = (self.lock()?, fd.as_raw_fd());
        state.slots.deregister(fd)?;
        self.release(state, |slots| slots.is_held(fd))
    }

    fn let_go(&self) -> io::Result<()> {
        let mut state = self.lock()?;
        state.slots.clear();
        self.release(state, Slots::is_any_held)
    }

    // # Wait

    fn wait(&self, ready: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        ready.clear();
        ready.reserve(1);
        let deadline = Deadline::after(timeout);
        let mut state = self.lock()?;
        state.slots.next_round();
        loop {
            state.listen()?;
            state.hand_over(Slots::next_step)?;
            let limit = if state.has_news() { Some(Duration::ZERO) } else { deadline.left() };
            let entrance = state.ring.entrance();
            (state.waiting, state.interrupted, state.completions) = (true, false, 0);
            drop(state);
            let result = entrance.enter(limit);
            state = self.lock()?;
            state.waiting = false;
            let result = state.came_back(result);
            while state.ring.has_work() && state.slots.news() < ready.capacity() {
                state.enter(Some(Duration::ZERO))?; // quirk c
            }
            if state.leaving > 0 {
                self.left.notify_all();
            }
            state.report(ready);
            if !ready.is_empty() || deadline.is_over() {
                return Ok(());
            }
            // Quirk f.
            if result? > 0 && state.completions == 0 && limit != Some(Duration::ZERO) {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
    }

    // # Wake

    fn wake(&self, waker: &WakerFd) -> io::Result<()> {
        waker.write() // an edge each time: nothing to drain, nothing to re-arm
    }

    // # Clock

    fn arm_clock(&self, deadline: Instant) -> io::Result<bool> {
        self.lock()?.alarm = Some(deadline); // it rides along with the next wait
        Ok(true)
    }

    fn has_native_edge(&self) -> bool {
        true
    }
}

impl State {
    /// Ends the wait in progress, so that it begins anew with what changed.
    fn interrupt(&mut self) -> io::Result<()> {
        match &self.interruption {
            Some(interruption) if self.waiting && !mem::replace(&mut self.interrupted, true) => {
                interruption.add()
            }
            _ => Ok(()),
        }
    }

    fn listen(&mut self) -> io::Result<()> {
        if let (Some(interruption), false) = (&self.interruption, self.listening) {
            let fd = interruption.fd().as_raw_fd();
            self.make_room()?;
            self.ring.poll(fd, sys::IN, true, INTERRUPTION);
            self.listening = true;
        }
        Ok(())
    }

    /// Queues what is new: the alarm, and what the table says.
    fn hand_over(&mut self, next: fn(&mut Slots) -> Option<Step>) -> io::Result<()> {
        if let Some(deadline) = self.alarm.take() {
            self.make_room()?;
            self.ring.cancel(self.clock, NOBODY);
            self.make_room()?;
            self.clock = self.clock.wrapping_add(1 << 32);
            self.ring.timeout(deadline.saturating_duration_since(clock::now()), self.clock);
        }
        while let Some(step) = next(&mut self.slots) {
            self.make_room()?;
            match step {
                Step::Cancel { of } => self.ring.cancel(of, NOBODY),
                Step::Poll { fd, flags, goes_on, key } => self.ring.poll(fd, flags, goes_on, key),
            }
        }
        Ok(())
    }

    fn make_room(&mut self) -> io::Result<()> {
        while !self.ring.has_room() {
            self.enter(Some(Duration::ZERO))?;
        }
        Ok(())
    }

    /// Enters the kernel with the lock held, for what does not take long.
    fn enter(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let result = self.ring.entrance().enter(limit);
        match self.came_back(result) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes what completed, and bears with errors that pass.
    fn came_back(&mut self, result: io::Result<u32>) -> io::Result<u32> {
        let me = thread::current().id();
        self.crowded |= *self.enterer.get_or_insert(me) != me;
        while let Some(completion) = self.ring.next_completion() {
            self.completed(completion);
        }
        match result.as_ref().err().and_then(io::Error::raw_os_error) {
            Some(libc::ETIME) => Ok(0),
            // Completions were lost for want of memory: with the ring, all that it holds goes.
            Some(libc::EBADR) => {
                self.ring = self.ring.another()?;
                self.listening = false;
                self.slots.start_over();
                Ok(0)
            }
            Some(libc::EAGAIN | libc::EBUSY | libc::ENOMEM | libc::ENOBUFS) => {
                sys::poll(&mut [], Some(RELIEF)).map(|_| 0)
            }
            _ => result,
        }
    }

    /// Every completion passes through here.
    fn completed(&mut self, Completion { key, result, more }: Completion) {
        self.completions += 1;
        match key & NOBODY {
            NOBODY => {} // a cancellation that came too late
            CLOCK => self.rang |= key == self.clock,
            INTERRUPTION => self.listening = more,
            _ => self.slots.completed(key, result, more),
        }
    }

    fn has_news(&self) -> bool {
        self.rang || self.slots.news() > 0
    }

    /// Moves news to `ready`, as long as there is room, and asks about the doubtful ones (quirk d).
    fn report(&mut self, ready: &mut Vec<Event>) {
        if mem::take(&mut self.rang) {
            ready.push(Event::new(CLOCK_KEY, sys::IN));
        }
        while ready.len() < ready.capacity() {
            let Some(News { fd, event, doubt }) = self.slots.next_news() else { break };
            if let Some(flags) = doubt {
                self.questions.push(sys::poll_entry(fd, flags));
                self.places.push(ready.len());
            }
            ready.push(event);
        }
        if !self.questions.is_empty() {
            self.ask(ready);
        }
    }

    fn ask(&mut self, ready: &mut Vec<Event>) {
        let answered = sys::poll(&mut self.questions, Some(Duration::ZERO)).is_ok(); // else what is known is told
        for (question, place) in self.questions.drain(..).zip(self.places.drain(..)).filter(|_| answered) {
            let flags = sys::poll_answer(&question);
            if flags & sys::INVALID != 0 {
                self.slots.forget(question.fd);
            } else if flags == 0 {
                self.slots.was_nothing(question.fd);
            }
            ready[place] = Event::new(ready[place].key(), flags & !sys::INVALID);
        }
        ready.retain(|event| event.flags() != 0);
    }
}

impl Drop for IoUring {
    fn drop(&mut self) {
        if !self.is_inherited() {
            let _ = self.let_go(); // without it the kernel lets go too, but only after a while
        }
    }
}

// # Tests

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    const TRIGGERS: [Trigger; 3] = [Trigger::Edge, Trigger::Level, Trigger::OneShot];

    /// Runs `test` with a ring for one thread and with one for any.
    fn with_each(submissions: u32, completions: u32, test: impl Fn(IoUring)) {
        if let Some(why) = IoUring::refusal() {
            return eprintln!("skipped: io-uring {why}");
        }
        for callers in [Callers::OneThread, Callers::AnyThread] {
            test(IoUring::with_room(submissions, completions, callers).unwrap());
        }
    }

    fn readable(key: u64, trigger: Trigger) -> Registration {
        Registration { key, interest: Interest::READABLE, trigger, rearm: Rearm::ByOwner }
    }

    fn pair() -> (UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        (ours, theirs)
    }

    fn wait(ring: &IoUring, timeout: Option<Duration>) -> Vec<u64> {
        let mut ready = Vec::with_capacity(100);
        ring.wait(&mut ready, timeout).unwrap();
        ready.iter().map(Event::key).collect()
    }

    fn now(ring: &IoUring) -> Vec<u64> {
        wait(ring, Some(Duration::ZERO))
    }

    /// Quirk d: the poll was woken when it was written.
    #[test]
    fn what_was_read_meanwhile_is_not_told() {
        with_each(8, 16, |ring| {
            for trigger in [Trigger::Level, Trigger::OneShot] {
                let (mut ours, mut theirs) = pair();
                ring.register(ours.as_fd(), readable(1, trigger)).unwrap();
                for _ in 0..3 {
                    assert_eq!(now(&ring), []);
                    theirs.write_all(b"simple").unwrap();
                    ours.read_exact(&mut [0; 6]).unwrap();
                }
                assert_eq!(now(&ring), []);
                theirs.write_all(b"simple").unwrap();
                assert_eq!(wait(&ring, None), [1]);
                ring.deregister(ours.as_fd()).unwrap();
            }
        });
    }

    /// Quirk e. (A hundred sources, and room for two operations and four completions.)
    #[test]
    fn a_queue_that_overflows_loses_nothing() {
        with_each(2, 4, |ring| {
            for trigger in TRIGGERS {
                let mut pairs: Vec<_> = (0..100).map(|_| pair()).collect();
                for (key, (ours, _)) in (0..).zip(&pairs) {
                    ring.register(ours.as_fd(), readable(key, trigger)).unwrap();
                }
                for _ in 0..4 {
                    assert_eq!(now(&ring), []);
                    for (_, theirs) in &mut pairs {
                        theirs.write_all(b"simple").unwrap();
                    }
                    let mut heard = BTreeSet::new();
                    while heard.len() < pairs.len() {
                        heard.extend(wait(&ring, None));
                    }
                    for (key, (ours, _)) in (0..).zip(&mut pairs) {
                        ours.read_exact(&mut [0; 6]).unwrap();
                        if trigger == Trigger::OneShot {
                            ring.reregister(ours.as_fd(), readable(key, trigger)).unwrap();
                        }
                    }
                    while !now(&ring).is_empty() {} // edges that were armed again are told again
                }
                let armed = |(ours, _): &(UnixStream, _)| {
                    ring.state.lock().unwrap().slots.generation(ours.as_raw_fd())
                };
                assert!(trigger != Trigger::Edge || pairs.iter().any(|pair| armed(pair) > 1), "no overflow");
                ring.let_go().unwrap();
            }
        });
    }

    /// Quirk b.
    #[test]
    fn what_a_thread_armed_that_is_gone_is_heard() {
        with_each(8, 16, |ring| {
            if ring.state.lock().unwrap().interruption.is_none() {
                return; // it is for one thread
            }
            for trigger in TRIGGERS {
                let (mut ours, mut theirs) = pair();
                thread::scope(|scope| {
                    scope.spawn(|| {
                        ring.register(ours.as_fd(), readable(1, trigger)).unwrap();
                        assert_eq!(now(&ring), []);
                    });
                });
                theirs.write_all(b"simple").unwrap();
                assert_eq!(wait(&ring, None), [1], "{trigger:?}");
                ours.read_exact(&mut [0; 6]).unwrap();
                ring.deregister(ours.as_fd()).unwrap();
                drop(ours);
                assert_eq!(theirs.read(&mut [0; 1]).unwrap(), 0, "a close is a close");
            }
        });
    }

    /// Quirk a.
    #[test]
    fn what_is_closed_after_it_was_let_go_is_closed_at_once() {
        with_each(8, 16, |ring| {
            let pairs: Vec<_> = (0..50).map(|_| pair()).collect();
            for (key, (ours, _)) in (0..).zip(&pairs) {
                ring.register(ours.as_fd(), readable(key, TRIGGERS[key as usize % 3])).unwrap();
            }
            assert_eq!(now(&ring), []);
            drop(ring);
            for (ours, mut theirs) in pairs {
                drop(ours);
                assert_eq!(theirs.read(&mut [0; 1]).unwrap(), 0, "the end is seen at once");
            }
        });
    }

    #[test]
    fn registering_without_end_leaves_nothing_behind() {
        with_each(8, 16, |ring| {
            let (ours, mut theirs) = pair();
            theirs.write_all(b"simple").unwrap();
            for round in 0..3000u64 {
                ring.register(ours.as_fd(), readable(round, TRIGGERS[round as usize % 3])).unwrap();
                if round % 4 != 0 {
                    assert_eq!(now(&ring), [round]);
                }
                if round % 5 == 0 {
                    ring.reregister(ours.as_fd(), readable(round + 1, Trigger::Edge)).unwrap();
                    ring.reregister(ours.as_fd(), readable(round + 2, Trigger::Level)).unwrap();
                }
                ring.deregister(ours.as_fd()).unwrap();
                let state = ring.state.lock().unwrap();
                assert!(!state.slots.is_any_held() && !state.slots.has_cancels() && state.slots.news() <= 1);
            }
            assert_eq!(now(&ring), []);
        });
    }

    #[test]
    fn an_armed_clock_ends_a_wait() {
        with_each(8, 16, |ring| {
            assert!(ring.arm_clock(clock::now()).unwrap());
            assert_eq!(wait(&ring, None), [CLOCK_KEY]);
            assert_eq!(now(&ring), [], "it rings once");
            // A later time does not stay when an earlier one is set, nor the other way round.
            for (first, then) in [(60_000, 1), (1, 2)] {
                for millis in [first, then] {
                    let deadline = clock::now() + Duration::from_millis(millis);
                    assert!(ring.arm_clock(deadline).unwrap());
                    let early = wait(&ring, Some(Duration::ZERO));
                    assert!(early.is_empty() || clock::now() >= deadline);
                }
                assert_eq!(wait(&ring, None), [CLOCK_KEY]);
            }
            assert!(ring.arm_clock(clock::now() + Duration::from_secs(60)).unwrap());
        });
    }

    /// As if the kernel had said that completions were lost.
    #[test]
    fn with_another_ring_everybody_is_heard() {
        with_each(8, 16, |ring| {
            let (ours, mut theirs) = pair();
            let (told, mut other) = pair();
            ring.register(ours.as_fd(), readable(1, Trigger::Edge)).unwrap();
            ring.register(told.as_fd(), readable(2, Trigger::OneShot)).unwrap();
            other.write_all(b"simple").unwrap();
            assert_eq!(wait(&ring, None), [2]);
            ring.state.lock().unwrap().came_back(Err(io::Error::from_raw_os_error(libc::EBADR))).unwrap();
            assert_eq!(now(&ring), []);
            theirs.write_all(b"simple").unwrap();
            assert_eq!(wait(&ring, None), [1]);
            ring.deregister(ours.as_fd()).unwrap();
        });
    }
}
