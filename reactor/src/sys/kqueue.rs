//! kqueue(2), as the BSDs and Apple's systems have it. They agree on the words and not on the widths of their types, so every
//! constant is widened here, once.
#![allow(clippy::unnecessary_cast)] // what is wide enough on one system is not on the next

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use super::set_close_on_exec;
use super::waiting::timespec;

/// What a knote watches (kqueue(2), "EVFILT_…").
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    Read,
    Write,
    /// Out-of-band data.
    #[cfg(has_evfilt_except)]
    Except,
    /// A thread triggers it.
    #[cfg(has_evfilt_user)]
    User,
}

/// What is to be done with a knote, and what an event says (kqueue(2), "EV_…").
pub(crate) mod kqueue_flags {
    pub(crate) const ADD: u32 = libc::EV_ADD as u32;
    pub(crate) const DELETE: u32 = libc::EV_DELETE as u32;
    pub(crate) const ENABLE: u32 = libc::EV_ENABLE as u32;
    pub(crate) const DISABLE: u32 = libc::EV_DISABLE as u32;
    pub(crate) const CLEAR: u32 = libc::EV_CLEAR as u32;
    pub(crate) const DISPATCH: u32 = libc::EV_DISPATCH as u32;
    pub(crate) const EOF: u32 = libc::EV_EOF as u32;
    pub(crate) const ERROR: u32 = libc::EV_ERROR as u32;
}

/// A change to be made, or what came of it; or an event: `struct kevent`.
#[derive(Copy, Clone)]
#[repr(transparent)]
pub(crate) struct Kevent(libc::kevent);

// SAFETY: the pointer in it, the caller's, is a number here: nobody follows it.
unsafe impl Send for Kevent {}

impl Kevent {
    /// A change of the knote that is named by a descriptor and a filter. `number` comes back with its events.
    pub(crate) fn change(fd: RawFd, filter: Filter, flags: u32, number: usize) -> Kevent {
        Kevent::new(fd as usize, filter, flags, number)
    }

    /// A change of the knote that a thread triggers: told once each time.
    #[cfg(has_evfilt_user)]
    pub(crate) fn of_waker(waker: usize, flags: u32) -> Kevent {
        Kevent::new(waker, Filter::User, flags | kqueue_flags::CLEAR, 0)
    }

    fn new(ident: usize, filter: Filter, flags: u32, number: usize) -> Kevent {
        let (filter, details) = match filter {
            Filter::Read => (libc::EVFILT_READ, 0),
            Filter::Write => (libc::EVFILT_WRITE, 0),
            #[cfg(has_evfilt_except)]
            Filter::Except => (libc::EVFILT_EXCEPT, libc::NOTE_OOB),
            #[cfg(has_evfilt_user)]
            Filter::User => (libc::EVFILT_USER, 0),
        };
        // SAFETY: all zeroes is a valid `kevent`: integers and a pointer that is never followed.
        let mut raw: libc::kevent = unsafe { mem::zeroed() };
        raw.ident = ident as _;
        raw.filter = filter as _;
        raw.flags = (flags | libc::EV_RECEIPT as u32) as _;
        raw.fflags = details as _;
        raw.udata = number as _;
        Kevent(raw)
    }

    /// The change that triggers a user's knote.
    #[cfg(has_evfilt_user)]
    pub(crate) fn trigger(waker: usize) -> Kevent {
        let mut change = Kevent::new(waker, Filter::User, 0, 0);
        change.0.fflags = libc::NOTE_TRIGGER as _;
        change
    }

    pub(crate) fn ident(&self) -> usize {
        self.0.ident as usize
    }

    /// Which filter it is about; `None` if none of ours.
    pub(crate) fn filter(&self) -> Option<Filter> {
        match self.0.filter {
            libc::EVFILT_READ => Some(Filter::Read),
            libc::EVFILT_WRITE => Some(Filter::Write),
            #[cfg(has_evfilt_except)]
            libc::EVFILT_EXCEPT => Some(Filter::Except),
            #[cfg(has_evfilt_user)]
            libc::EVFILT_USER => Some(Filter::User),
            _ => None,
        }
    }

    /// Which asynchronous I/O has ended, if it is about that. Such a knote is not of our making: the call that started the
    /// I/O named this kqueue, and [`number`](Kevent::number) is the caller's own.
    pub(crate) fn asynchronous(&self) -> Option<u32> {
        match self.0.filter {
            #[cfg(has_evfilt_aio)]
            libc::EVFILT_AIO => Some(super::AIO),
            #[cfg(has_evfilt_lio)]
            libc::EVFILT_LIO => Some(super::LIO),
            _ => None,
        }
    }

    pub(crate) fn has(&self, flags: u32) -> bool {
        self.0.flags as u32 & flags != 0
    }

    /// The number given with the change that made the knote.
    pub(crate) fn number(&self) -> usize {
        self.0.udata as usize
    }

    /// Whether the filter has details to tell; with `EOF`, of a socket: its error.
    pub(crate) fn has_details(&self) -> bool {
        self.0.fflags != 0
    }

    /// Of a change: what came of it.
    pub(crate) fn result(&self) -> io::Result<()> {
        match self.0.data as i32 {
            error if self.has(kqueue_flags::ERROR) && error != 0 => Err(io::Error::from_raw_os_error(error)),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for Kevent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} {:#x}", self.ident(), self.filter(), self.0.flags)
    }
}

/// kqueue(2), closed on exec. (A child does not inherit it.)
pub(crate) fn kqueue_create() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers; the descriptor it returns is new and owned by nobody else.
    let kqueue = unsafe { OwnedFd::from_raw_fd(syscall!(kqueue())?) };
    set_close_on_exec(kqueue.as_fd())?;
    Ok(kqueue)
}

/// kevent(2) that makes changes and waits for nothing. Each change, made or not, says what came of it ([`Kevent::result`]): the
/// kernel writes the receipts over the changes.
pub(crate) fn kqueue_change(kqueue: &OwnedFd, changes: &mut [Kevent]) -> io::Result<()> {
    let (first, count) = (changes.as_mut_ptr().cast::<libc::kevent>(), changes.len());
    let at_once = timespec(Duration::ZERO);
    // SAFETY: `changes` is readable and writable for `count` entries (`Kevent` is `repr(transparent)` over the kernel's own
    // type), and the kernel reads each change before it writes a receipt in its place.
    unsafe { syscall!(kevent(kqueue.as_raw_fd(), first, count as _, first, count as _, &raw const at_once)) }
        .map(drop)
}

/// kevent(2) that waits. Replaces what `events` held by at most `room` new ones.
pub(crate) fn kqueue_wait(
    kqueue: &OwnedFd,
    events: &mut Vec<Kevent>,
    room: usize,
    timeout: Option<Duration>,
) -> io::Result<()> {
    events.clear();
    events.reserve(room);
    let room = i32::try_from(room).unwrap_or(i32::MAX);
    let limit = timeout.map(timespec);
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    let (none, first) = (ptr::null(), events.as_mut_ptr().cast());
    // SAFETY: `events` has room for `room` entries (reserved above); no changes; `limit` is null or outlives the call.
    let told = unsafe { syscall!(kevent(kqueue.as_raw_fd(), none, 0, first, room as _, limit))? };
    // SAFETY: the kernel initialised exactly the first `told` entries (kqueue(2), "RETURN VALUES").
    unsafe { events.set_len(usize::try_from(told).unwrap_or(0)) };
    Ok(())
}

/// Whether a device refuses to be watched: it has no queue.
#[cfg(not(has_epoll))]
pub(super) fn kqueue_refuses(device: std::os::fd::BorrowedFd<'_>) -> io::Result<bool> {
    let mut change = [Kevent::change(device.as_raw_fd(), Filter::Read, kqueue_flags::ADD, 0)];
    kqueue_change(&kqueue_create()?, &mut change)?;
    Ok(change[0].result().is_err())
}
