//! epoll(7), as Linux has it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use super::waiting::{Event, timespec};

/// What a registration may ask for beside poll(2)'s flags.
#[allow(clippy::cast_sign_loss)]
mod flags {
    pub(crate) const EDGE: u32 = libc::EPOLLET as u32;
    /// Of the sets that watch a descriptor, not all are told.
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
