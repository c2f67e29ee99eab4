//! A listening TCP socket.

use std::fmt;
use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use super::socket::{Socket, source};
use super::{BACKLOG, TcpStream, at, inet};
use crate::sys::{self, RawAddress};

/// Listens for TCP connections.
///
/// ```
/// use reactor::{Events, Interest, Poll, Token, net::TcpListener};
///
/// let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// let mut poll = Poll::new()?;
/// poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
///
/// let client = std::net::TcpStream::connect(listener.local_addr()?)?;
/// let mut events = Events::with_capacity(8);
/// poll.poll(&mut events, None)?;
/// let (_stream, peer) = listener.accept()?;
/// assert_eq!(peer, client.local_addr()?);
/// assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpListener {
    inner: Socket,
}

impl TcpListener {
    /// Listens at `addr`; port 0 picks a free one. With `SO_REUSEADDR`, so that a restarted server need not wait for its old
    /// connections to be forgotten.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied` (ports below 1024), or no descriptor left. The error holds a
    /// [`reactor::Error`](crate::Error) that names the address.
    ///
    /// ```
    /// use reactor::net::TcpListener;
    /// let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// let error = TcpListener::bind(listener.local_addr()?).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
        let listen = || {
            let raw = RawAddress::inet(addr);
            let socket = sys::stream_socket(raw.family())?;
            sys::set_reuse_address(socket.as_fd())?;
            sys::bind(socket.as_fd(), &raw)?;
            sys::listen(socket.as_fd(), BACKLOG)?;
            Ok(TcpListener::from(socket))
        };
        listen().map_err(at("listen at", addr))
    }

    /// Takes over a listener of std, which must be nonblocking already.
    ///
    /// ```
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// listener.set_nonblocking(true)?;
    /// let listener = reactor::net::TcpListener::from_std(listener);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn from_std(listener: net::TcpListener) -> TcpListener {
        OwnedFd::from(listener).into()
    }

    /// The next connection (nonblocking) and its peer's address.
    ///
    /// # Errors
    /// `WouldBlock` if none is waiting. Others concern that one connection (`ECONNABORTED`) or this process's resources
    /// (`EMFILE`, `ENFILE`): the listener stays good, and the connection stays in the queue, so do not try again at once.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// # let listener = reactor::net::TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// match listener.accept() {
    ///     Ok((stream, peer)) => println!("{peer} is here: {stream:?}"),
    ///     Err(error) if error.kind() == ErrorKind::WouldBlock => println!("that was all"),
    ///     Err(error) => return Err(error),
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.inner.accept()?;
        Ok((TcpStream::from(stream), inet(peer)?))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What getsockname(2) says.
    ///
    /// ```
    /// # let listener = reactor::net::TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// assert_ne!(listener.local_addr()?.port(), 0); // it was picked
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(sys::local_address(self.inner.as_fd())?)
    }

    /// Sets the time to live of the packets it sends (`IP_TTL`).
    ///
    /// # Errors
    /// What setsockopt(2) says.
    ///
    /// ```
    /// # let listener = reactor::net::TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// listener.set_ttl(64)?;
    /// assert_eq!(listener.ttl()?, 64);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        sys::set_time_to_live(self.inner.as_fd(), ttl)
    }

    /// The time to live of the packets it sends (`IP_TTL`); see [`set_ttl`](TcpListener::set_ttl).
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn ttl(&self) -> io::Result<u32> {
        sys::time_to_live(self.inner.as_fd())
    }

    /// The pending error (`SO_ERROR`), which asking clears.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    ///
    /// ```
    /// # let listener = reactor::net::TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
    /// assert!(listener.take_error()?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.take_error()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::describe("TcpListener", self.inner.as_fd(), None, f)
    }
}

descriptor_traits!(TcpListener, net::TcpListener);
source!(TcpListener);
