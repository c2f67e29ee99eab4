//! The wait at the heart of a loop.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use super::backend::{Backend, Selector};
use super::event::Events;
use super::registry::Registry;

/// Waits for any of many sources: the heart of a loop.
///
/// Sources are registered with its [`registry`](Poll::registry), each with a [`Token`](crate::Token); then
/// [`poll`](Poll::poll) says who is ready. An event is a hint: be prepared for
/// [`WouldBlock`](std::io::ErrorKind::WouldBlock).
///
/// [`Registry::register`] asks for *edges*: after an event, read or write until `WouldBlock`, or nothing more may be heard.
/// [`Registry::register_with`] asks for something else.
///
/// ```
/// use std::{io::Read, io::Write, time::Duration};
/// use reactor::{Events, Interest, Poll, Token, net::TcpStream};
///
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let mut stream = TcpStream::connect(listener.local_addr()?)?;
/// listener.accept()?.0.write_all(b"beautiful")?;
///
/// let mut poll = Poll::new()?;
/// let mut events = Events::with_capacity(16);
/// poll.registry().register(&mut stream, Token(1), Interest::READABLE)?;
/// poll.poll(&mut events, Some(Duration::from_secs(10)))?;
/// let event = events.iter().next().unwrap();
/// assert!(event.token() == Token(1) && event.is_readable());
/// let mut buffer = [0; 64];
/// assert_eq!(stream.read(&mut buffer)?, 9);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Poll {
    registry: Registry,
}

impl Poll {
    /// With the kernel interface that `REACTOR_BACKEND` names, or else the best there is.
    ///
    /// # Errors
    /// `REACTOR_BACKEND` names none that is available, or there is no descriptor left (`EMFILE`).
    ///
    /// ```
    /// let poll = reactor::Poll::new()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new() -> io::Result<Poll> {
        Poll::with_backend(Backend::Auto)
    }

    /// With this kernel interface. They differ in cost, not in what they report.
    ///
    /// # Errors
    /// As [`new`](Poll::new).
    ///
    /// ```
    /// use reactor::{Backend, Poll};
    /// let poll = Poll::with_backend(Backend::Select)?;
    /// assert_eq!(poll.backend(), Backend::Select);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with_backend(backend: Backend) -> io::Result<Poll> {
        Ok(Poll { registry: Registry::new(backend)? })
    }

    /// Where its sources are registered.
    ///
    /// ```
    /// let poll = reactor::Poll::new()?;
    /// let for_another_thread = poll.registry().try_clone()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The kernel interface behind it. Never [`Backend::Auto`].
    ///
    /// ```
    /// use reactor::{Backend, Poll};
    /// assert_ne!(Poll::new()?.backend(), Backend::Auto);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.registry.backend()
    }

    /// Waits until a source is ready, for `timeout` at most (`None`: for ever; zero: not at all), and replaces what `events`
    /// held. After a timeout they are empty.
    ///
    /// A timeout is never cut short: it is rounded up to what the kernel counts (a nanosecond; a millisecond on Linux before
    /// 5.11). (But after three years a wait may end without events, however long it was to be.) When a wait filled `events`,
    /// their capacity doubles, so that a crowd of busy sources cannot keep the quiet ones from being heard.
    ///
    /// # Errors
    /// [`Interrupted`](std::io::ErrorKind::Interrupted) if a signal handler ran: call it again with what is left of the time.
    /// Others mean that something is wrong with the program (`EBADF`, `ENOMEM`).
    ///
    /// ```
    /// use std::time::Duration;
    /// use reactor::{Events, Poll};
    /// let mut events = Events::with_capacity(8);
    /// Poll::new()?.poll(&mut events, Some(Duration::from_micros(50)))?;
    /// assert!(events.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn poll(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.registry.selector().wait(events.ready(), timeout)?;
        events.grow_if_full();
        Ok(())
    }
}

impl AsRawFd for Poll {
    /// epoll's descriptor, to nest it in another loop: it is readable while a source is ready. select, poll and polling have none
    /// that says all: -1.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// use reactor::{Backend, Poll};
    /// assert!(Poll::with_backend(Backend::Epoll)?.as_raw_fd() > 0);
    /// assert_eq!(Poll::with_backend(Backend::Poll)?.as_raw_fd(), -1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn as_raw_fd(&self) -> RawFd {
        self.registry.as_raw_fd()
    }
}
