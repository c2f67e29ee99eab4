//! Waking: descriptors that become readable because a thread or a clock says so.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
#[cfg(any(has_eventfd, has_timerfd))]
use std::os::fd::{AsRawFd, FromRawFd};
#[cfg(has_timerfd)]
use std::{ptr, time::Duration};

#[cfg(has_timerfd)]
use super::waiting::timespec;

/// What a thread rings and another waits for: readable from `add` to `drain`.
#[cfg(has_eventfd)]
pub(crate) type Bell = EventFd;
#[cfg(not(has_eventfd))]
pub(crate) type Bell = SelfPipe;

/// A counter in the kernel that is readable while it is not zero (eventfd(2)).
#[cfg(has_eventfd)]
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

#[cfg(has_eventfd)]
impl EventFd {
    pub(crate) fn new() -> io::Result<EventFd> {
        // SAFETY: takes no pointers; the descriptor it returns is new and owned by nobody else.
        unsafe {
            Ok(EventFd(OwnedFd::from_raw_fd(syscall!(eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?)))
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Adds one. `WouldBlock` when the counter is at its maximum.
    pub(crate) fn add(&self) -> io::Result<()> {
        #[cfg(all(test, loom))]
        crate::sync::model::kernel_call();
        let one = 1u64.to_ne_bytes();
        // SAFETY: `one` is eight readable bytes (eventfd(2): a write takes exactly eight).
        unsafe { syscall!(write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len())) }.map(drop)
    }

    /// Sets it to zero. `WouldBlock` when it was.
    pub(crate) fn drain(&self) -> io::Result<()> {
        drain_bell(self.fd())
    }
}

/// Silences a [`Bell`] by the descriptor that is waited for. `WouldBlock` when it was silent.
#[cfg(has_eventfd)]
pub(crate) fn drain_bell(bell: BorrowedFd<'_>) -> io::Result<()> {
    #[cfg(all(test, loom))]
    crate::sync::model::kernel_call();
    let mut count = [0u8; 8];
    // SAFETY: `count` is eight writable bytes.
    unsafe { syscall!(read(bell.as_raw_fd(), count.as_mut_ptr().cast(), count.len())) }.map(drop)
}

/// What there was before eventfd(2): a pipe whose both ends are the process's own. Each byte in it is a ring.
#[cfg(not(has_eventfd))]
#[derive(Debug)]
pub(crate) struct SelfPipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

#[cfg(not(has_eventfd))]
impl SelfPipe {
    pub(crate) fn new() -> io::Result<SelfPipe> {
        let [reader, writer] = super::pipe()?;
        Ok(SelfPipe { reader, writer })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// Adds a byte. `WouldBlock` when the pipe is full.
    pub(crate) fn add(&self) -> io::Result<()> {
        super::write(self.writer.as_fd(), b"!").map(drop)
    }

    /// Empties it. `WouldBlock` when it was empty.
    pub(crate) fn drain(&self) -> io::Result<()> {
        drain_bell(self.fd())
    }
}

/// Silences a [`Bell`] by the descriptor that is waited for. `WouldBlock` when it was silent.
#[cfg(not(has_eventfd))]
pub(crate) fn drain_bell(bell: BorrowedFd<'_>) -> io::Result<()> {
    let mut bytes = [0u8; 512];
    let mut read = super::read(bell, &mut bytes)?;
    while read == bytes.len() {
        read = super::read(bell, &mut bytes).or_else(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Ok(0),
            _ => Err(error),
        })?;
    }
    Ok(())
}

/// A clock as a descriptor: readable once the time set has passed (timerfd_create(2)).
#[cfg(has_timerfd)]
#[derive(Debug)]
pub(crate) struct TimerFd(OwnedFd);

#[cfg(has_timerfd)]
impl TimerFd {
    pub(crate) fn new() -> io::Result<TimerFd> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: takes no pointers; the descriptor it returns is new and owned by nobody else.
        unsafe { Ok(TimerFd(OwnedFd::from_raw_fd(syscall!(timerfd_create(libc::CLOCK_MONOTONIC, flags))?))) }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Rings once after `delay` (at least a nanosecond, because zero would disarm it). Setting it also forgets an expiration
    /// nobody read.
    pub(crate) fn set(&self, delay: Duration) -> io::Result<()> {
        let value = timespec(delay.max(Duration::from_nanos(1)));
        let once = libc::itimerspec { it_interval: timespec(Duration::ZERO), it_value: value };
        // SAFETY: `once` outlives the call, and a null old value is allowed.
        unsafe { syscall!(timerfd_settime(self.0.as_raw_fd(), 0, &raw const once, ptr::null_mut())) }
            .map(drop)
    }
}
