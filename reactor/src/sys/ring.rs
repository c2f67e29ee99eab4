//! The ring of io_uring(7): two queues in memory shared with the kernel, and the call that enters it.
//!
//! The `io-uring` crate maps the queues and knows their layout. Here is what we ask for through them: polls, their
//! cancellation, a clock. Nothing is decided: who fills the queue says what, and who empties it gets what came.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, opcode};

use super::waiting::timespec;

/// A ring and its two queues.
pub(crate) struct Ring {
    ring: IoUring,
    /// What the kernel reads when it takes a timeout from the queue. (In a box, because the ring may move meanwhile.)
    timeout: Box<Timespec>,
    /// What it was made with.
    room: (u32, u32),
    one_thread: bool,
}

/// What came of an operation.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Completion {
    /// The key the operation was given.
    pub(crate) key: u64,
    /// Flags of poll(2), or an error number below zero.
    pub(crate) result: i32,
    /// The operation goes on, and more will come of it.
    pub(crate) more: bool,
}

impl Ring {
    /// io_uring_setup(2), with room for so many operations to submit and so many completions. With `one_thread` no other
    /// thread than this one may enter the ring, and the kernel does its share of the work only there
    /// (`IORING_SETUP_DEFER_TASKRUN`, Linux 6.1). `EINVAL` before Linux 5.18.
    pub(crate) fn new(submissions: u32, completions: u32, one_thread: bool) -> io::Result<Ring> {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(completions).setup_submit_all();
        if one_thread {
            builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
        }
        let ring = builder.build(submissions)?;
        Ok(Ring { ring, timeout: Box::default(), room: (submissions, completions), one_thread })
    }

    /// Begins anew, with another ring of the kernel's. What this one holds is let go first: left to itself, a ring is emptied by a
    /// thread of the kernel's, tenths of a second after it was closed, and its files are open until then. (That a cancellation
    /// may be of everything is new in Linux 5.19. If it fails, it takes that long.)
    pub(crate) fn replace(&mut self) -> io::Result<()> {
        let next = Ring::new(self.room.0, self.room.1, self.one_thread)?;
        if !self.has_room() {
            let _ = self.entrance().enter(Some(Duration::ZERO));
        }
        if self.has_room() {
            let everything = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
            // SAFETY: it refers to no memory.
            unsafe { self.push(&everything) }
            let _ = self.entrance().enter(Some(Duration::ZERO));
        }
        *self = next;
        Ok(())
    }

    /// Whether there is room for another operation.
    pub(crate) fn has_room(&mut self) -> bool {
        !self.ring.submission().is_full()
    }

    /// Queues a poll for `flags` (Linux's own, beyond poll(2)'s too): one that goes on after it told (`IORING_POLL_ADD_MULTI`)
    /// or one that ends then. From its submission to its last completion it holds the file open.
    pub(crate) fn poll(&mut self, fd: RawFd, flags: u32, goes_on: bool, key: u64) {
        let poll = opcode::PollAdd::new(Fd(fd), flags).multi(goes_on).build();
        // SAFETY: it refers to no memory.
        unsafe { self.push(&poll.user_data(key)) }
    }

    /// Queues the cancellation of the operation with the key `of`. It has a completion, with `key`, only if it fails.
    pub(crate) fn cancel(&mut self, of: u64, key: u64) {
        let cancel = opcode::AsyncCancel::new(of).build().flags(Flags::SKIP_SUCCESS);
        // SAFETY: it refers to no memory.
        unsafe { self.push(&cancel.user_data(key)) }
    }

    /// Queues a timeout that completes after so long. One at a time: it is to be submitted before the next is queued.
    pub(crate) fn timeout(&mut self, after: Duration, key: u64) {
        *self.timeout = rounded(after);
        let timeout = opcode::Timeout::new(&raw const *self.timeout).build();
        // SAFETY: the kernel reads the time when it takes this from the queue, and nothing after that. It is in a box that
        // lives as long as the queue; should another timeout be queued before, it reads that one's time: a wrong time, but
        // a time.
        unsafe { self.push(&timeout.user_data(key)) }
    }

    /// # Safety
    /// The memory that `operation` refers to stays until the kernel is done with it.
    unsafe fn push(&mut self, operation: &Entry) {
        // SAFETY: the caller's promise.
        let result = unsafe { self.ring.submission().push(operation) };
        assert!(result.is_ok(), "the queue was said to have room");
    }

    /// What is to be submitted now: for a call that needs no more of the ring than its number.
    pub(crate) fn entrance(&mut self) -> Entrance {
        let queued = self.ring.submission().len();
        Entrance { ring: self.ring.as_raw_fd(), queued: u32::try_from(queued).unwrap_or(u32::MAX) }
    }

    /// Whether there is something for the kernel to do that it does only when it is entered: to take what is queued, to do its
    /// share of what happened (where that is left for this thread), to hand out completions that found no room.
    pub(crate) fn has_work(&mut self) -> bool {
        let submission = self.ring.submission();
        !submission.is_empty() || submission.taskrun() || submission.cq_overflow()
    }

    /// Takes the next completion out of its queue.
    #[inline]
    pub(crate) fn next_completion(&mut self) -> Option<Completion> {
        self.ring.completion().next().map(|entry| Completion {
            key: entry.user_data(),
            result: entry.result(),
            more: io_uring::cqueue::more(entry.flags()),
        })
    }

    /// Waits until the kernel is done with what it is just completing, in whatever thread.
    pub(crate) fn settle(&self) {
        // io_uring_register(2) is done under the ring's lock, and so are the completions of a batch together with what follows
        // them (files are put down). What it is asked does not matter: here it is to forget what it was never told.
        let _ = self.ring.submitter().unregister_eventfd();
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("fd", &self.ring.as_raw_fd()).finish_non_exhaustive()
    }
}

/// The way into a ring, open to any thread while others fill and empty its queues.
#[derive(Debug)]
#[must_use]
pub(crate) struct Entrance {
    ring: RawFd,
    queued: u32,
}

impl Entrance {
    /// io_uring_enter(2): submits what is queued, does the kernel's share of the work, and waits for a completion, for `limit`
    /// at most (`None`: for ever; zero: not at all). The number of operations submitted; if there were none, `ETIME` after the
    /// limit, and `EINTR` after a signal. (If there were some, both go without saying.)
    pub(crate) fn enter(self, limit: Option<Duration>) -> io::Result<u32> {
        let wanted = u32::from(limit != Some(Duration::ZERO));
        let limit = limit.map(rounded);
        let args = limit.as_ref().map_or(SubmitArgs::new(), |limit| SubmitArgs::new().timespec(limit));
        let flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        // SAFETY: `args` is the kernel's own type, and it and the limit it refers to outlive the call. A number that is no
        // ring is refused.
        let submitted = unsafe {
            syscall!(syscall(
                libc::SYS_io_uring_enter,
                self.ring,
                self.queued,
                wanted,
                flags.bits(),
                ptr::from_ref(&args),
                size_of_val(&args),
            ))?
        };
        Ok(u32::try_from(submitted).unwrap_or(u32::MAX))
    }
}

/// A duration as the ring takes it.
fn rounded(duration: Duration) -> Timespec {
    let limit = timespec(duration);
    Timespec::new().sec(limit.tv_sec.unsigned_abs()).nsec(u32::try_from(limit.tv_nsec).unwrap_or(0))
}

/// How many fork(2)s are between this process and the one that asked first. (Of an earlier one nobody needs to know.)
pub(crate) fn forks() -> u32 {
    static FORKS: AtomicU32 = AtomicU32::new(0);
    static COUNTING: Once = Once::new();
    extern "C" fn forked() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the handler runs in the child and does nothing but add to a number: that is safe whatever the other threads of
    // its parent were doing. (It fails only for want of memory; then a child goes unnoticed.)
    COUNTING.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(forked));
    });
    FORKS.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// libuv#4308, #4492: a thread of the kernel that polls the queue keeps a processor busy (`IORING_SETUP_SQPOLL`).
    #[test]
    fn no_ring_has_a_thread_of_the_kernel() {
        for one_thread in [false, true] {
            match Ring::new(8, 16, one_thread) {
                Ok(ring) => assert!(!ring.ring.params().is_setup_sqpoll()),
                Err(error) => eprintln!("skipped: no ring here: {error}"),
            }
        }
    }
}
