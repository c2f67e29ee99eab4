//! epoll(7), as Linux has it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::waiting::{Event, timespec, to_millis};

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
pub(crate) fn epoll_set(epoll: &OwnedFd, operation: i32, fd: RawFd, mut event: Event) -> io::Result<()> {
    // SAFETY: `event` lives until the call returns and the kernel keeps no pointer to it.
    unsafe { syscall!(epoll_ctl(epoll.as_raw_fd(), operation, fd, (&raw mut event).cast())) }.map(drop)
}

/// epoll_ctl(2) with `EPOLL_CTL_DEL`.
pub(crate) fn epoll_delete(epoll: &OwnedFd, fd: RawFd) -> io::Result<()> {
    // SAFETY: a null event is allowed for this operation since Linux 2.6.9 (epoll_ctl(2), "BUGS").
    unsafe { syscall!(epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, ptr::null_mut())) }.map(drop)
}

/// epoll_wait(2) for no timeout or zero, epoll_pwait2(2) for any other, `epoll_wait` with milliseconds rounded up where the
/// kernel lacks it (before 5.11). Replaces what `events` held by at most its capacity of new ones.
pub(crate) fn epoll_wait(
    epoll: &OwnedFd,
    events: &mut Vec<Event>,
    timeout: Option<Duration>,
) -> io::Result<()> {
    static NO_PWAIT2: AtomicBool = AtomicBool::new(false);
    events.clear();
    let (epoll, room) = (epoll.as_raw_fd(), i32::try_from(events.capacity()).unwrap_or(i32::MAX));
    let millis = match timeout {
        None => -1,
        Some(Duration::ZERO) => 0,
        Some(timeout) if !NO_PWAIT2.load(Ordering::Relaxed) => {
            let limit = timespec(timeout);
            // SAFETY: `events` has room for `room` entries, `limit` outlives the call, and a null signal mask means none.
            let result = unsafe {
                syscall!(syscall(
                    libc::SYS_epoll_pwait2,
                    epoll,
                    events.as_mut_ptr(), // `Event` is `repr(transparent)` over the kernel's own type
                    room,
                    &raw const limit,
                    ptr::null::<libc::sigset_t>(),
                    0usize,
                ))
            };
            match result {
                Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                    NO_PWAIT2.store(true, Ordering::Relaxed);
                    to_millis(timeout)
                }
                Err(error) => return Err(error),
                // SAFETY: the kernel initialised exactly the first `ready` entries (epoll_wait(2), "RETURN VALUE"), and
                // it was told not to write more than the capacity.
                Ok(ready) => unsafe {
                    events.set_len(usize::try_from(ready).unwrap_or(0));
                    return Ok(());
                },
            }
        }
        Some(timeout) => to_millis(timeout),
    };
    // SAFETY: `events` has room for `room` entries.
    let ready = unsafe { syscall!(epoll_wait(epoll, events.as_mut_ptr().cast(), room, millis))? };
    // SAFETY: as above: exactly the first `ready` entries are initialised.
    unsafe { events.set_len(usize::try_from(ready).unwrap_or(0)) };
    Ok(())
}
