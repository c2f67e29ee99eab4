//! Waiting: one source's readiness, and the system calls that ask for it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

/// One source's readiness, as told by one wait.
///
/// Readiness is a hint: a read may still answer [`WouldBlock`](std::io::ErrorKind::WouldBlock).
///
/// In memory it is the kernel's own `epoll_event`, so that epoll fills a whole batch in place. The flags are those of
/// poll(2), which epoll shares and the other backends translate to.
#[derive(Copy, Clone)]
#[repr(transparent)]
pub struct Event(libc::epoll_event);

impl Event {
    /// An event with the key given at registration and poll(2)'s flags.
    #[inline]
    pub(crate) fn new(key: u64, flags: u32) -> Event {
        Event(libc::epoll_event { events: flags, u64: key })
    }

    /// The key given at registration.
    #[inline]
    pub(crate) fn key(&self) -> u64 {
        self.0.u64
    }

    /// The kernel's flags.
    #[inline]
    pub(crate) fn flags(&self) -> u32 {
        self.0.events
    }
}

/// poll(2)'s flags, whose values epoll(7) shares.
#[allow(clippy::cast_sign_loss)]
mod flags {
    pub(crate) const IN: u32 = libc::EPOLLIN as u32;
    pub(crate) const PRI: u32 = libc::EPOLLPRI as u32;
    pub(crate) const OUT: u32 = libc::EPOLLOUT as u32;
    pub(crate) const ERR: u32 = libc::EPOLLERR as u32;
    pub(crate) const HUP: u32 = libc::EPOLLHUP as u32;
    pub(crate) const RDHUP: u32 = libc::EPOLLRDHUP as u32;
    /// kqueue(2) only, and of no descriptor: asynchronous I/O ended, a list of it ended. Bits that poll(2) leaves free.
    pub(crate) const AIO: u32 = 1 << 16;
    pub(crate) const LIO: u32 = 1 << 17;
    /// poll(2) only: the number is no open descriptor.
    pub(crate) const INVALID: u32 = libc::POLLNVAL as u32;
    pub(crate) const EDGE: u32 = libc::EPOLLET as u32;
    /// epoll(7) only: of the sets that watch a descriptor, not all are told.
    pub(crate) const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;
    pub(crate) const ONE_SHOT: u32 = libc::EPOLLONESHOT as u32;
}
pub(crate) use flags::*;

/// epoll_create1(2).
pub(crate) fn epoll_create() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers; the descriptor it returns is new and owned by nobody else.
    unsafe { Ok(OwnedFd::from_raw_fd(syscall!(epoll_create1(libc::EPOLL_CLOEXEC))?)) }
}

/// epoll_ctl(2) with `EPOLL_CTL_ADD` or `EPOLL_CTL_MOD`.
#[inline]
pub(crate) fn epoll_set(epoll: &OwnedFd, operation: i32, fd: RawFd, event: &Event) -> io::Result<()> {
    let event = ptr::from_ref(event).cast_mut().cast();
    // SAFETY: for these operations the kernel only reads the event, and keeps no pointer to it.
    unsafe { syscall!(epoll_ctl(epoll.as_raw_fd(), operation, fd, event)) }.map(drop)
}

/// epoll_ctl(2) with `EPOLL_CTL_DEL`.
#[inline]
pub(crate) fn epoll_delete(epoll: &OwnedFd, fd: RawFd) -> io::Result<()> {
    // SAFETY: a null event is allowed for this operation since Linux 2.6.9 (epoll_ctl(2), "BUGS").
    unsafe { syscall!(epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, ptr::null_mut())) }.map(drop)
}

/// epoll_wait(2): for so many milliseconds, or for ever if they are -1. Replaces what `events` held by at most its capacity of
/// new ones.
#[inline]
pub(crate) fn epoll_wait(epoll: &OwnedFd, events: &mut Vec<Event>, millis: i32) -> io::Result<()> {
    events.clear();
    // SAFETY: `events` has that much room, of a type that is `repr(transparent)` over the kernel's own.
    let ready = unsafe {
        syscall!(epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr().cast(), room_in(events), millis))?
    };
    // SAFETY: the kernel initialised exactly the first `ready` entries (epoll_wait(2), "RETURN VALUE"), and it was told not to
    // write more than the capacity.
    unsafe { events.set_len(ready as usize) }; // not -1, so not negative
    Ok(())
}

/// epoll_pwait2(2), since Linux 5.11 (else `ENOSYS`): like [`epoll_wait`], for so many nanoseconds. Called directly: the C
/// library has it only since version 2.35.
pub(crate) fn epoll_wait_precisely(
    epoll: &OwnedFd,
    events: &mut Vec<Event>,
    timeout: Duration,
) -> io::Result<()> {
    events.clear();
    let limit = timespec(timeout);
    // SAFETY: as in `epoll_wait`; `limit` outlives the call, and a null signal mask means none.
    let ready = unsafe {
        syscall!(syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            events.as_mut_ptr(),
            room_in(events),
            &raw const limit,
            ptr::null::<libc::sigset_t>(),
            0usize,
        ))?
    };
    // SAFETY: as in `epoll_wait`.
    unsafe { events.set_len(ready as usize) }; // not -1, so not negative
    Ok(())
}

/// The capacity as the kernel takes it. What the cast would cut (2 GiB of events) it refuses anyway, with EINVAL.
#[inline]
#[allow(clippy::cast_possible_truncation)]
fn room_in(events: &Vec<Event>) -> i32 {
    events.capacity() as i32
}

/// An entry of poll(2)'s array. `POLLERR` and `POLLHUP` come whether asked for or not, so they are not passed on.
/// (All flags fit poll(2)'s `short`.)
pub(crate) fn poll_entry(fd: RawFd, flags: u32) -> libc::pollfd {
    libc::pollfd { fd, events: (flags & !(ERR | HUP)) as i16, revents: 0 }
}

/// What the kernel answered in an entry of poll(2)'s array.
pub(crate) fn poll_answer(entry: &libc::pollfd) -> u32 {
    u32::from(entry.revents as u16)
}

/// ppoll(2): how many entries have something to tell.
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    let limit = timeout.map(timespec);
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `fds` is a valid slice of the length given, `limit` is null or outlives the call, a null mask means none.
    let ready = unsafe { syscall!(ppoll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, limit, ptr::null()))? };
    Ok(usize::try_from(ready).unwrap_or(0))
}

/// pselect6(2), called directly: the C library's `fd_set` ends at 1024 descriptors, the kernel's bitmaps do not. The three
/// sets (readable, writable, exceptional) have `highest / 64 + 1` words each.
pub(crate) fn select(highest: RawFd, sets: [&mut [u64]; 3], timeout: Option<Duration>) -> io::Result<usize> {
    let words = usize::try_from(highest).map_or(0, |highest| highest / 64 + 1);
    assert!(sets.iter().all(|set| set.len() >= words), "the bitmaps end before the highest descriptor");
    // The kernel writes the time left into it (select(2), "C library/kernel differences"): our copy, not the caller's.
    let mut limit = timeout.map(timespec);
    let limit = limit.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    let [readable, writable, exceptional] = sets.map(<[u64]>::as_mut_ptr);
    // SAFETY: the kernel reads and writes `highest + 1` bits of each set, which the assertion above covers; `limit` is null
    // or points to a local; a null signal mask means none.
    let ready = unsafe {
        syscall!(syscall(
            libc::SYS_pselect6,
            highest + 1,
            readable,
            writable,
            exceptional,
            limit,
            ptr::null::<libc::c_void>(),
        ))?
    };
    Ok(usize::try_from(ready).unwrap_or(0))
}

/// A duration as the kernel takes it; what lies beyond the kernel's range becomes its longest wait.
pub(super) fn timespec(duration: Duration) -> libc::timespec {
    let longest = libc::time_t::from(i32::MAX);
    match libc::time_t::try_from(duration.as_secs()) {
        Ok(seconds) if seconds < longest => {
            libc::timespec { tv_sec: seconds, tv_nsec: libc::c_long::from(duration.subsec_nanos()) }
        }
        _ => libc::timespec { tv_sec: longest, tv_nsec: 0 },
    }
}

/// Starts a thread (pthread_create(3)).
pub(crate) fn spawn_thread<R: Send + 'static>(
    name: String,
    run: impl FnOnce() -> R + Send + 'static,
) -> io::Result<std::thread::JoinHandle<R>> {
    std::thread::Builder::new().name(name).spawn(run)
}
