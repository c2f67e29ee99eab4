//! Where sources are registered.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use super::backend::{AnySelector, Backend, Callers, Rearm, Registration, Selector};
use super::event::Source;
use super::{Interest, Token, Trigger};

/// Where sources are registered: the other end of a [`Poll`](crate::Poll).
///
/// It may be used from any thread, also while the poll waits; a registration reaches the wait in progress. A clone is the same
/// registry and may outlive its poll.
///
/// ```
/// use reactor::{Interest, Poll, Token, net::TcpListener};
/// let poll = Poll::new()?;
/// let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
/// poll.registry().deregister(&mut listener)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Registry {
    selector: Arc<AnySelector>,
    /// What a source's `register` and `reregister` ask for: they have no parameter for it.
    trigger: Trigger,
}

impl Registry {
    pub(super) fn new(backend: Backend) -> io::Result<Registry> {
        Ok(Registry { selector: Arc::new(backend.open(Callers::AnyThread)?), trigger: Trigger::Edge })
    }

    /// Starts to watch `source`: each event for it carries `token`. The trigger is [`Trigger::Edge`], and what is ready
    /// already is reported by the next [`poll`](crate::Poll::poll).
    ///
    /// # Errors
    /// `AlreadyExists` if it is registered here, or if a source with its descriptor's number was dropped without being
    /// deregistered; else what the kernel says (epoll_ctl(2)). The error holds a [`reactor::Error`](crate::Error).
    ///
    /// ```
    /// use reactor::{Interest, Poll, Token, net::TcpListener};
    /// let poll = Poll::new()?;
    /// let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// poll.registry().register(&mut listener, Token(7), Interest::READABLE)?;
    /// let twice = poll.registry().register(&mut listener, Token(8), Interest::READABLE).unwrap_err();
    /// assert_eq!(twice.kind(), std::io::ErrorKind::AlreadyExists);
    /// assert!(twice.to_string().contains("(token 8)"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn register<S>(&self, source: &mut S, token: Token, interests: Interest) -> io::Result<()>
    where
        S: Source + ?Sized,
    {
        source.register(self, token, interests)
    }

    /// Like [`register`](Registry::register), with a trigger of the caller's choice.
    ///
    /// # Errors
    /// As [`register`](Registry::register).
    ///
    /// ```
    /// use reactor::{Interest, Poll, Token, Trigger, net::TcpListener};
    /// let poll = Poll::new()?;
    /// let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// poll.registry().register_with(&mut listener, Token(0), Interest::READABLE, Trigger::Level)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn register_with<S>(
        &self,
        source: &mut S,
        token: Token,
        interests: Interest,
        trigger: Trigger,
    ) -> io::Result<()>
    where
        S: Source + ?Sized,
    {
        source.register(&self.with(trigger), token, interests)
    }

    /// Replaces token, interest and trigger (by [`Trigger::Edge`]) of a registered source. What is ready now is reported
    /// again.
    ///
    /// # Errors
    /// `NotFound` if it is not registered here; else what the kernel says (epoll_ctl(2)).
    ///
    /// ```
    /// use reactor::{Interest, Poll, Token, net::TcpListener};
    /// let poll = Poll::new()?;
    /// let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
    /// poll.registry().reregister(&mut listener, Token(1), Interest::READABLE)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn reregister<S>(&self, source: &mut S, token: Token, interests: Interest) -> io::Result<()>
    where
        S: Source + ?Sized,
    {
        source.reregister(self, token, interests)
    }

    /// Like [`reregister`](Registry::reregister), with a trigger of the caller's choice. It is how a
    /// [`OneShot`](Trigger::OneShot) is loaded again.
    ///
    /// # Errors
    /// As [`reregister`](Registry::reregister).
    ///
    /// ```
    /// use reactor::{Interest, Poll, Token, Trigger, net::TcpListener};
    /// let poll = Poll::new()?;
    /// let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// poll.registry().register_with(&mut listener, Token(0), Interest::READABLE, Trigger::OneShot)?;
    /// poll.registry().reregister_with(&mut listener, Token(0), Interest::READABLE, Trigger::OneShot)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn reregister_with<S>(
        &self,
        source: &mut S,
        token: Token,
        interests: Interest,
        trigger: Trigger,
    ) -> io::Result<()>
    where
        S: Source + ?Sized,
    {
        source.reregister(&self.with(trigger), token, interests)
    }

    /// Stops watching. No wait that starts later reports the source; the events of the last wait may still name it.
    ///
    /// Call it before the source is dropped. With select and poll it also waits until a wait in progress in another thread has
    /// noticed, so that closing the descriptor afterwards really closes it.
    ///
    /// # Errors
    /// `NotFound` if it is not registered here; else what the kernel says (epoll_ctl(2)).
    ///
    /// ```
    /// use reactor::{Interest, Poll, Token, net::TcpListener};
    /// let poll = Poll::new()?;
    /// let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// let never_registered = poll.registry().deregister(&mut listener).unwrap_err();
    /// assert_eq!(never_registered.kind(), std::io::ErrorKind::NotFound);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn deregister<S>(&self, source: &mut S) -> io::Result<()>
    where
        S: Source + ?Sized,
    {
        source.deregister(self)
    }

    /// The same registry once more, for another thread.
    ///
    /// # Errors
    /// None so far; the signature is mio's.
    ///
    /// ```
    /// use reactor::Poll;
    /// let poll = Poll::new()?;
    /// let registry = poll.registry().try_clone()?;
    /// std::thread::spawn(move || drop(registry));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_clone(&self) -> io::Result<Registry> {
        Ok(self.with(self.trigger))
    }

    /// The kernel interface behind it. Never [`Backend::Auto`].
    ///
    /// ```
    /// use reactor::{Backend, Poll};
    /// assert_eq!(Poll::with_backend(Backend::Poll)?.registry().backend(), Backend::Poll);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.selector.backend()
    }

    pub(super) fn with(&self, trigger: Trigger) -> Registry {
        Registry { selector: Arc::clone(&self.selector), trigger }
    }

    // What the sources of this crate hand their descriptor to.

    #[inline]
    pub(crate) fn add(
        &self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        rearm: Rearm,
    ) -> io::Result<()> {
        self.selector.register(fd, self.registration(token, interest, rearm))
    }

    #[inline]
    pub(crate) fn change(
        &self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        rearm: Rearm,
    ) -> io::Result<()> {
        self.selector.reregister(fd, self.registration(token, interest, rearm))
    }

    #[inline]
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.selector.deregister(fd)
    }

    #[inline]
    fn registration(&self, token: Token, interest: Interest, rearm: Rearm) -> Registration {
        Registration { key: token.0 as u64, interest, trigger: self.trigger, rearm }
    }

    #[inline]
    pub(super) fn selector(&self) -> &Arc<AnySelector> {
        &self.selector
    }
}

impl AsRawFd for Registry {
    /// epoll's descriptor, to nest it in another loop. select, poll and polling have none that says all: -1.
    fn as_raw_fd(&self) -> RawFd {
        self.selector.as_fd().map_or(-1, |fd| fd.as_raw_fd())
    }
}

impl AsFd for Registry {
    /// The same. [`as_raw_fd`](Registry::as_raw_fd) can say that there is none, this cannot.
    ///
    /// # Panics
    /// With a backend that has no such descriptor.
    ///
    /// ```
    /// use std::os::fd::{AsFd, AsRawFd};
    /// # if reactor::Backend::available().iter().any(|backend| backend.name() == "epoll") {
    /// let poll = reactor::Poll::with_backend("epoll".parse().unwrap())?;
    /// assert_eq!(poll.registry().as_fd().as_raw_fd(), poll.as_raw_fd());
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn as_fd(&self) -> BorrowedFd<'_> {
        let none =
            || panic!("the {} backend has no descriptor that stands for all its sources", self.backend());
        self.selector.as_fd().unwrap_or_else(none)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("backend", &self.backend()).finish()
    }
}
