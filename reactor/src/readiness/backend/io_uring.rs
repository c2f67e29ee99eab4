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
//!    `close` would close nothing yet; and what is closed without being deregistered stays open. When a process is killed, the
//!    kernel empties its ring only after it is gone: a port may be taken for some milliseconds more.
//!    Test: `a_close_after_deregistering_in_another_thread_is_a_close`.
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
use std::time::{Duration, Instant};

use super::operations::Operations;
use super::slots::{Slots, Watch};
use super::{Callers, Rearm, Registration, Selector};
use crate::readiness::event::Event;
use crate::readiness::interest::{Interest, Trigger};
use crate::readiness::timeout::Deadline;
use crate::readiness::waker::WakerFd;
use crate::sys::{self, EventFd, Ring};

/// Room for what is submitted in one system call, and for what completes meanwhile (quirk e).
const SUBMISSIONS: u32 = 256;
const COMPLETIONS: u32 = 4096;

/// Attempts in a row to get something from a kernel that is short of memory, a millisecond apart.
const ATTEMPTS: usize = 100;

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
    operations: Operations,
    /// A thread is in the kernel. Meanwhile no other hands over or takes anything.
    waiting: bool,
    /// It was interrupted.
    interrupted: bool,
    /// How many threads wait for it to come back.
    leaving: usize,
}

/// The lock again, after a wait in the kernel, and what came of it.
type Back<'a> = (MutexGuard<'a, State>, io::Result<u32>);

// # New

impl IoUring {
    pub(crate) fn new(callers: Callers) -> io::Result<IoUring> {
        IoUring::with_room(SUBMISSIONS, COMPLETIONS, callers)
    }

    fn with_room(submissions: u32, completions: u32, callers: Callers) -> io::Result<IoUring> {
        let one_thread = callers == Callers::OneThread;
        let ring = Ring::new(submissions, completions, one_thread);
        // A kernel that does not know of quirk c does without.
        let ring = ring.or_else(|_| Ring::new(submissions, completions, false))?;
        let interruption = if one_thread { None } else { Some(EventFd::new()?) };
        let operations = Operations::new(ring, interruption);
        let state = State { operations, waiting: false, interrupted: false, leaving: 0 };
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
        let sys::Nature { is_always_ready, file } = sys::nature(fd)?;
        let watch = Watch { registration, file, exclusive, always_ready: is_always_ready };
        let mut state = self.lock()?;
        note(&mut state.operations.slots, fd.as_raw_fd(), watch)?;
        state.interrupt()
    }

    /// Enters the kernel to wait there, without the lock.
    fn enter<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        limit: Option<Duration>,
    ) -> io::Result<Back<'a>> {
        let entrance = state.operations.entrance();
        (state.waiting, state.interrupted) = (true, false);
        drop(state);
        let result = entrance.enter(limit);
        let mut state = self.lock()?;
        state.waiting = false;
        let result = state.operations.came_back(result);
        state.operations.slots.set_fresh(true);
        if state.leaving > 0 {
            self.left.notify_all();
        }
        Ok((state, result))
    }

    /// Waits until the kernel has let go of what is held (quirk a). If it has no memory for that, not for ever: then it lets go
    /// with a wait to come, and what is closed meanwhile is closed late.
    fn release<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        is_held: impl Fn(&Slots) -> bool,
    ) -> io::Result<()> {
        let mut shortages = 0;
        while is_held(&state.operations.slots) && shortages < ATTEMPTS {
            if !state.waiting {
                state.operations.slots.set_fresh(false);
                state.operations.hand_over_cancels()?;
                state.operations.enter(None)?;
                shortages = if state.operations.shortage().is_some() { shortages + 1 } else { 0 };
                continue;
            }
            if state.operations.slots.has_cancels() {
                state.interrupt()?; // it hands them over
            }
            state.leaving += 1;
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.leaving -= 1;
        }
        state.operations.settle();
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

impl State {
    /// Has the wait in progress begin anew, with what changed.
    fn interrupt(&mut self) -> io::Result<()> {
        if self.waiting && !mem::replace(&mut self.interrupted, true) {
            self.operations.interrupt()?;
        }
        Ok(())
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
        state.operations.slots.deregister(fd)?;
        self.release(state, |slots| slots.is_held(fd))
    }

    fn let_go(&self) -> io::Result<()> {
        let mut state = self.lock()?;
        state.operations.slots.clear();
        self.release(state, Slots::is_any_held)
    }

    // # Wait

    fn wait(&self, ready: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        ready.clear();
        ready.reserve(1);
        let deadline = Deadline::after(timeout);
        let mut state = self.lock()?;
        let mut shortages = 0;
        state.operations.begin();
        loop {
            state.operations.hand_over()?;
            let has_news = state.operations.news() > 0;
            let limit = if has_news { Some(Duration::ZERO) } else { deadline.left() };
            let mut result = Ok(0);
            if !has_news || state.operations.has_work() {
                (state, result) = self.enter(state, limit)?;
            }
            while state.operations.has_work() && state.operations.news() < ready.capacity() {
                let result = state.operations.enter(Some(Duration::ZERO)); // quirk c
                if result.is_err() || state.operations.shortage().is_some() {
                    break; // the next round asks again
                }
            }
            state.operations.report(ready);
            if !ready.is_empty() || deadline.is_over() {
                return Ok(());
            }
            shortages = if state.operations.shortage().is_some() { shortages + 1 } else { 0 };
            if let (Some(error), ATTEMPTS) = (state.operations.shortage(), shortages) {
                return Err(error);
            }
            // Quirk f.
            if result? > 0 && state.operations.completed() == 0 && limit != Some(Duration::ZERO) {
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
        self.lock()?.operations.set_clock(deadline); // it rides along with the next wait
        Ok(true)
    }

    fn has_native_edge(&self) -> bool {
        true
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
    use crate::clock;
    use crate::readiness::backend::CLOCK_KEY;
    use std::collections::BTreeSet;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::thread;

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

    impl IoUring {
        fn callers(&self) -> Callers {
            let is_shared = self.state.lock().unwrap().operations.is_interruptible();
            if is_shared { Callers::AnyThread } else { Callers::OneThread }
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
                    ring.state.lock().unwrap().operations.slots.generation(ours.as_raw_fd())
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
            if ring.callers() == Callers::OneThread {
                return;
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
                let mut ready = Vec::with_capacity(8);
                ring.wait(&mut ready, None).unwrap();
                assert_eq!((ready.len(), ready[0].key(), ready[0].flags()), (1, 1, sys::IN), "{trigger:?}");
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
                let slots = &ring.state.lock().unwrap().operations.slots;
                assert!(!slots.is_any_held() && !slots.has_cancels() && slots.news() <= 1);
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

    #[test]
    fn of_two_rings_that_watch_a_listener_exclusively_one_is_told() {
        with_each(8, 16, |first| {
            let second = IoUring::with_room(8, 16, first.callers()).unwrap();
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            for (key, ring) in [(1, &first), (2, &second)] {
                ring.register_exclusively(listener.as_fd(), key).unwrap();
                assert_eq!(now(ring), []);
            }
            for _ in 0..4 {
                let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let told = [now(&first), now(&second)].concat();
                assert_eq!(told.len(), 1, "{told:?}");
                drop((client, listener.accept().unwrap()));
                assert_eq!([now(&first), now(&second)].concat(), [], "who was told is armed again");
            }
            for ring in [&first, &second] {
                ring.deregister(listener.as_fd()).unwrap();
            }
        });
    }

    /// As if the kernel had said that completions were lost.
    #[test]
    fn with_another_ring_everybody_is_heard() {
        with_each(8, 16, |ring| {
            let (ours, mut theirs) = pair();
            let (told, mut other) = pair();
            let (brief, mut far) = pair();
            ring.register(ours.as_fd(), readable(1, Trigger::Edge)).unwrap();
            ring.register(told.as_fd(), readable(2, Trigger::OneShot)).unwrap();
            ring.register(brief.as_fd(), readable(3, Trigger::Edge)).unwrap();
            ring.arm_clock(clock::now() + Duration::from_millis(50)).unwrap();
            other.write_all(b"simple").unwrap();
            assert_eq!(wait(&ring, None), [2]);
            let lost = Err(io::Error::from_raw_os_error(libc::EBADR));
            ring.state.lock().unwrap().operations.came_back(lost).unwrap();
            ring.deregister(brief.as_fd()).unwrap();
            drop(brief);
            assert_eq!(far.read(&mut [0; 1]).unwrap(), 0, "a close is a close");
            assert_eq!(now(&ring), []);
            theirs.write_all(b"simple").unwrap();
            assert_eq!(wait(&ring, None), [1]);
            assert_eq!(wait(&ring, None), [CLOCK_KEY]);
            ring.deregister(ours.as_fd()).unwrap();
        });
    }
}
