//! What the comparison asks of the kernel beyond the standard library, and all its `unsafe`.
//!
//! Thin like the reactor's own `sys.rs`: the bare server and the client are written on these calls directly, so nothing here
//! may cost more than the call.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Turns `-1` into the error that `errno` names.
fn check(result: impl Into<i64>) -> io::Result<usize> {
    usize::try_from(result.into()).map_err(|_| io::Error::last_os_error())
}

// ------------------------------------------------------------------------------------------------------------ epoll

/// What epoll(7) reports: flags and the key given at registration.
pub use libc::epoll_event as Event;

pub const IN: u32 = libc::EPOLLIN as u32;
pub const OUT: u32 = libc::EPOLLOUT as u32;

/// An epoll instance, level-triggered.
pub struct Epoll(OwnedFd);

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: takes no pointers; the descriptor it returns is new and owned by nobody else.
        unsafe {
            let fd = check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?;
            Ok(Epoll(OwnedFd::from_raw_fd(fd as i32)))
        }
    }

    pub fn add(&self, fd: &impl AsFd, key: u64, flags: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, key, flags)
    }

    pub fn modify(&self, fd: &impl AsFd, key: u64, flags: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, key, flags)
    }

    fn control(&self, operation: i32, fd: &impl AsFd, key: u64, flags: u32) -> io::Result<()> {
        let mut event = Event { events: flags, u64: key };
        let fd = fd.as_fd().as_raw_fd();
        // SAFETY: `event` lives until the call returns and the kernel keeps no pointer to it.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &raw mut event) }).map(drop)
    }

    /// Replaces what `events` held by what is ready, at most its capacity. A timeout is no events; signals are ignored.
    #[inline]
    pub fn wait(&self, events: &mut Vec<Event>, timeout_millis: i32) -> io::Result<()> {
        events.clear();
        let room = i32::try_from(events.capacity()).unwrap_or(i32::MAX);
        // SAFETY: `events` has room for `room` entries.
        let ready =
            check(unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), room, timeout_millis) });
        match ready {
            // SAFETY: the kernel initialised exactly the first `ready` entries (epoll_wait(2), "RETURN VALUE").
            Ok(ready) => unsafe { events.set_len(ready) },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

// ------------------------------------------------------------------------------------------------------------ bytes

/// recv(2).
#[inline]
pub fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buffer` is writable for its length.
    check(unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) } as i64)
}

/// send(2) without SIGPIPE.
#[inline]
pub fn send(socket: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` is readable for its length.
    check(unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) }
        as i64)
}

// --------------------------------------------------------------------------------------------------------- processes

/// Has the kernel kill this process when the one that started it is gone (prctl(2)).
pub fn die_with_parent() -> io::Result<()> {
    // SAFETY: this option takes a number only.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }).map(drop)
}

/// Asks a process to end (SIGTERM).
pub fn terminate(pid: u32) -> io::Result<()> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::kill(pid as libc::pid_t, libc::SIGTERM) }).map(drop)
}

/// The CPU time a process has used, all its threads together, in nanoseconds where /proc/PID/stat has hundredths of a second.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut clock = 0;
    // SAFETY: `clock` is writable.
    let error = unsafe { libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error)); // returned, not in errno
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

// ------------------------------------------------------------------------------------------------------- allocations

/// The system's allocator, counting what it hands out.
pub struct Counting;

/// How often memory was allocated or reallocated. The harness reads it from outside (`process.rs`), so that asking does not
/// go through the server that is measured.
pub static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator with the arguments it came with, whose contract is the same; counting
// allocates nothing and cannot unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(old, layout) }
    }
}

/// Where the counter lives in this process.
pub fn address_of_counter() -> u64 {
    ptr::from_ref(&ALLOCATIONS).addr() as u64
}
