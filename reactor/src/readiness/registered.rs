//! A source that cannot be closed while it is registered.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};

use super::event::Source;
use super::registry::Registry;
use super::{Interest, Token, Trigger};

/// A registered source that owns its registration: dropping it deregisters, then closes.
///
/// A kernel's memory of what it watches can outlive the descriptor (epoll's as long as there is a duplicate, in whatever
/// process), and select and poll never learn of a close. Whoever forgets to deregister hears of a number that is somebody
/// else's by now. This type cannot forget. It costs a source the size of a pointer and a little; who keeps millions
/// of them in a table of their own can deregister there, and save it.
///
/// It is used as what it holds. (To put another source in its place, drop it: what is assigned or swapped through
/// [`DerefMut`] is not registered, and what was, leaves without being deregistered.)
///
/// Deregistering fails only if that was done by somebody else, or the descriptor was closed behind its owner's back, or if a
/// [`Source`] of your own fails. When this is dropped there is nobody to tell, so the error is ignored, and the
/// source is closed all the same. To hear of it, take the source out with [`into_inner`](Registered::into_inner).
///
/// ```
/// use std::{io::Write, time::Duration};
/// use reactor::{Events, Interest, Poll, Registered, Token, net::UnixStream};
///
/// let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
/// let (near, mut far) = UnixStream::pair()?;
/// let near = Registered::new(poll.registry(), near, Token(0), Interest::READABLE)?;
/// let duplicate = std::os::fd::AsFd::as_fd(&*near).try_clone_to_owned()?; // a child process may have one
///
/// drop(near);
/// far.write_all(b"is anybody there?")?;
/// poll.poll(&mut events, Some(Duration::ZERO))?;
/// assert!(events.is_empty());
/// # drop(duplicate);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Registered<S: Source> {
    /// There until it is taken out.
    source: Option<S>,
    /// With the trigger of this source.
    registry: Registry,
}

impl<S: Source> Registered<S> {
    /// Registers `source`, with [`Trigger::Edge`].
    ///
    /// # Errors
    /// As [`Registry::register`]. The source is dropped then.
    ///
    /// ```
    /// use reactor::{Interest, Poll, Registered, Token, net::UdpSocket};
    /// let poll = Poll::new()?;
    /// let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// let socket = Registered::new(poll.registry(), socket, Token(0), Interest::READABLE)?;
    /// println!("{:?} receives at {}", *socket, socket.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(
        registry: &Registry,
        source: S,
        token: Token,
        interests: Interest,
    ) -> io::Result<Registered<S>> {
        Registered::with_trigger(registry, source, token, interests, Trigger::Edge)
    }

    /// Registers `source`, with a trigger of the caller's choice.
    ///
    /// # Errors
    /// As [`new`](Registered::new).
    ///
    /// ```
    /// use reactor::{Interest, Poll, Registered, Token, Trigger, net::TcpListener};
    /// let poll = Poll::new()?;
    /// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// let (token, interest) = (Token(0), Interest::READABLE);
    /// let listener = Registered::with_trigger(poll.registry(), listener, token, interest, Trigger::Level)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with_trigger(
        registry: &Registry,
        mut source: S,
        token: Token,
        interests: Interest,
        trigger: Trigger,
    ) -> io::Result<Registered<S>> {
        let registry = registry.with(trigger);
        source.register(&registry, token, interests)?;
        Ok(Registered { source: Some(source), registry })
    }

    /// Replaces token and interest; the trigger stays. What is ready now is reported again.
    ///
    /// # Errors
    /// As [`Registry::reregister`].
    ///
    /// ```
    /// # use reactor::{Interest, Poll, Registered, Token, net::TcpListener};
    /// # let poll = Poll::new()?;
    /// # let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// let mut listener = Registered::new(poll.registry(), listener, Token(0), Interest::READABLE)?;
    /// listener.reregister(Token(1), Interest::READABLE)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn reregister(&mut self, token: Token, interests: Interest) -> io::Result<()> {
        let source = self.source.as_mut().expect(TAKEN_OUT);
        source.reregister(&self.registry, token, interests)
    }

    /// Replaces token, interest and trigger. It is how a [`OneShot`](Trigger::OneShot) is loaded again.
    ///
    /// # Errors
    /// As [`Registry::reregister`].
    ///
    /// ```
    /// # use reactor::{Interest, Poll, Registered, Token, Trigger, net::TcpListener};
    /// # let poll = Poll::new()?;
    /// # let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// let mut listener = Registered::new(poll.registry(), listener, Token(0), Interest::READABLE)?;
    /// listener.reregister_with(Token(0), Interest::READABLE, Trigger::OneShot)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn reregister_with(&mut self, token: Token, interests: Interest, trigger: Trigger) -> io::Result<()> {
        self.registry = self.registry.with(trigger);
        self.reregister(token, interests)
    }

    /// Deregisters, and gives the source back.
    ///
    /// # Errors
    /// As [`Registry::deregister`], except that it is no error if somebody else deregistered it before. With any other, the
    /// source is dropped: closing it is the one way left to make the kernel forget.
    ///
    /// ```
    /// # use reactor::{Interest, Poll, Registered, Token, net::TcpListener};
    /// # let (poll, other_poll) = (Poll::new()?, Poll::new()?);
    /// # let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// let listener = Registered::new(poll.registry(), listener, Token(0), Interest::READABLE)?;
    /// let listener = listener.into_inner()?;
    /// let listener = Registered::new(other_poll.registry(), listener, Token(0), Interest::READABLE)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_inner(mut self) -> io::Result<S> {
        let mut source = self.source.take().expect(TAKEN_OUT);
        match self.registry.deregister(&mut source) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(source),
        }
    }
}

/// Why there always is a source: nobody can call anything afterwards.
const TAKEN_OUT: &str = "only `into_inner` takes the source out, and it consumes";

impl<S: Source> Drop for Registered<S> {
    fn drop(&mut self) {
        if let Some(source) = &mut self.source {
            let _ = self.registry.deregister(source); // the type's documentation says why it is ignored
        }
    }
}

impl<S: Source> Deref for Registered<S> {
    type Target = S;

    #[inline]
    fn deref(&self) -> &S {
        self.source.as_ref().expect(TAKEN_OUT)
    }
}

impl<S: Source> DerefMut for Registered<S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut S {
        self.source.as_mut().expect(TAKEN_OUT)
    }
}

impl<S: Source + fmt::Debug> fmt::Debug for Registered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registered").field(&**self).finish()
    }
}
