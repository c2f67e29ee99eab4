//! Any descriptor as a source.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use crate::event::Source;
use crate::readiness::backend::Rearm;
use crate::sys;
use crate::{Interest, Registry, Token};

/// Any descriptor as a source: a pipe, a terminal, a timer, another library's socket.
///
/// It owns nothing: the caller keeps the descriptor open while it is registered, deregisters it before closing it, and should
/// have made it nonblocking. Regular files, and what else never blocks, are always ready: with [`Level`](crate::Trigger::Level)
/// every poll reports them, else one poll for each registration.
///
/// With an edge, read or write until `WouldBlock` as usual. Backends without edges of their own (select, poll, polling) cannot see
/// that I/O, so a descriptor that stays ready is reported again after a millisecond.
///
/// ```
/// use std::{io::Write, os::fd::AsRawFd, os::unix::net::UnixStream};
/// use reactor::{Events, Interest, Poll, Token, unix::SourceFd};
///
/// let (mut near, far) = UnixStream::pair()?;
/// let mut poll = Poll::new()?;
/// poll.registry().register(&mut SourceFd(&far.as_raw_fd()), Token(0), Interest::READABLE)?;
/// near.write_all(b"simple")?;
/// let mut events = Events::with_capacity(8);
/// poll.poll(&mut events, None)?;
/// assert!(events.iter().next().unwrap().is_readable());
/// poll.registry().deregister(&mut SourceFd(&far.as_raw_fd()))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct SourceFd<'a>(pub &'a RawFd);

impl Source for SourceFd<'_> {
    #[inline]
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        sys::borrow(*self.0, |mut fd| fd.register(registry, token, interests))?
    }

    #[inline]
    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        sys::borrow(*self.0, |mut fd| fd.reregister(registry, token, interests))?
    }

    #[inline]
    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        sys::borrow(*self.0, |mut fd| fd.deregister(registry))?
    }
}

/// Any descriptor, borrowed: as [`SourceFd`], except that it cannot be closed as long as the borrow lasts. That is only as
/// long as the call: to register it for good and close it never before it is deregistered, own it, in a
/// [`Registered`](crate::Registered).
///
/// ```
/// use std::os::{fd::AsFd, unix::net::UnixStream};
/// use reactor::{Interest, Poll, Token};
///
/// let (stream, _peer) = UnixStream::pair()?;
/// let poll = Poll::new()?;
/// poll.registry().register(&mut stream.as_fd(), Token(0), Interest::READABLE)?;
/// poll.registry().deregister(&mut stream.as_fd())?;
/// # Ok::<(), std::io::Error>(())
/// ```
impl Source for BorrowedFd<'_> {
    #[inline]
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        registry.add(*self, token, interests, Rearm::ByTime)
    }

    #[inline]
    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        registry.change(*self, token, interests, Rearm::ByTime)
    }

    #[inline]
    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.remove(*self)
    }
}

/// Any descriptor, owned: for a [`Registered`](crate::Registered), which deregisters it before it is closed.
///
/// ```
/// use std::os::{fd::OwnedFd, unix::net::UnixStream};
/// use reactor::{Interest, Poll, Registered, Token};
///
/// let (stream, _peer) = UnixStream::pair()?;
/// let poll = Poll::new()?;
/// let stream = Registered::new(poll.registry(), OwnedFd::from(stream), Token(0), Interest::READABLE)?;
/// # Ok::<(), std::io::Error>(())
/// ```
impl Source for OwnedFd {
    #[inline]
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.as_fd().register(registry, token, interests)
    }

    #[inline]
    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.as_fd().reregister(registry, token, interests)
    }

    #[inline]
    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.as_fd().deregister(registry)
    }
}
