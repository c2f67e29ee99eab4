//! Ending a wait from another thread.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::backend::{AnySelector, Rearm, Registration, Selector};
use super::registry::Registry;
use super::{Interest, Token, Trigger};
use crate::sys::Bell;

/// Ends a [`poll`](crate::Poll::poll) from another thread.
///
/// The event it causes carries its token and is readable; there is nothing to drain. Several wakes before one poll may become
/// one event, and a wake while nobody polls ends the next poll. A poll may have several wakers. Dropping a waker takes back a
/// wake that was not reported yet: keep it, usually in an [`Arc`], as long as there is a poll to wake.
///
/// ```
/// use std::{sync::Arc, thread};
/// use reactor::{Events, Poll, Token, Waker};
///
/// let mut poll = Poll::new()?;
/// let waker = Arc::new(Waker::new(poll.registry(), Token(9))?);
/// let other = Arc::clone(&waker);
/// let thread = thread::spawn(move || other.wake());
///
/// let mut events = Events::with_capacity(8);
/// poll.poll(&mut events, None)?; // for ever, if it were not for the waker
/// assert_eq!(events.iter().next().unwrap().token(), Token(9));
/// # thread.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Waker {
    selector: Arc<AnySelector>,
    kind: Kind,
}

/// What it is to its selector.
#[derive(Debug)]
enum Kind {
    Fd(WakerFd),
    /// kqueue has a filter for it.
    #[cfg(has_evfilt_user)]
    Number(usize),
}

impl Waker {
    /// A waker for the poll of this registry.
    ///
    /// # Errors
    /// There is no descriptor left (`EMFILE`), or the kernel has no room (epoll_ctl(2), `ENOSPC`).
    ///
    /// ```
    /// use reactor::{Poll, Token, Waker};
    /// let poll = Poll::new()?;
    /// let for_mail = Waker::new(poll.registry(), Token(0))?;
    /// let for_shutdown = Waker::new(poll.registry(), Token(1))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(registry: &Registry, token: Token) -> io::Result<Waker> {
        Waker::of(Arc::clone(registry.selector()), token.0 as u64)
    }

    /// A waker whose event carries this key.
    pub(crate) fn of(selector: Arc<AnySelector>, key: u64) -> io::Result<Waker> {
        #[cfg(has_evfilt_user)]
        if let Some(kqueue) = selector.as_kqueue() {
            let kind = Kind::Number(kqueue.add_waker(key)?);
            return Ok(Waker { selector, kind });
        }
        let fd = WakerFd::new()?;
        let (interest, trigger, rearm) = (Interest::READABLE, Trigger::Edge, Rearm::Never);
        selector.register(fd.fd(), Registration { key, interest, trigger, rearm })?;
        Ok(Waker { selector, kind: Kind::Fd(fd) })
    }

    /// Wakes. May be called from any thread.
    ///
    /// # Errors
    /// None that are known; what the kernel says about a write to an eventfd.
    ///
    /// ```
    /// use reactor::{Events, Poll, Token, Waker};
    /// let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
    /// let waker = Waker::new(poll.registry(), Token(0))?;
    /// waker.wake()?;
    /// waker.wake()?;
    /// poll.poll(&mut events, None)?; // ends at once
    /// assert_eq!(events.iter().count(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wake(&self) -> io::Result<()> {
        match &self.kind {
            Kind::Fd(fd) => self.selector.wake(fd),
            #[cfg(has_evfilt_user)]
            Kind::Number(number) => {
                self.selector.as_kqueue().map_or(Ok(()), |kqueue| kqueue.trigger(*number))
            }
        }
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        // The descriptor has no duplicate, so all that can go wrong is that the kernel forgot it already.
        let _ = match &self.kind {
            Kind::Fd(fd) => self.selector.deregister(fd.fd()),
            #[cfg(has_evfilt_user)]
            Kind::Number(number) => {
                self.selector.as_kqueue().map_or(Ok(()), |kqueue| kqueue.remove_waker(*number))
            }
        };
    }
}

/// The descriptor behind a waker: it is registered like any other source, and writing to it is what wakes.
#[derive(Debug)]
pub(crate) struct WakerFd(Bell);

impl WakerFd {
    pub(crate) fn new() -> io::Result<WakerFd> {
        Bell::new().map(WakerFd)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd()
    }

    /// Adds one to the counter, whatever signals arrive: nobody would ring a second time. When it is full (after 2^64 - 2
    /// wakes nobody drained), starts over.
    pub(crate) fn write(&self) -> io::Result<()> {
        loop {
            match self.0.add() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.drain()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Sets the counter to zero, whatever signals arrive: not drained, it would end every wait to come.
    pub(crate) fn drain(&self) -> io::Result<()> {
        loop {
            match self.0.drain() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()), // it is zero
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}
