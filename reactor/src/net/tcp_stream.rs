//! A TCP connection.

use std::fmt;
use std::io;
use std::net::{self, Shutdown, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use super::socket::{Socket, read_and_write, source};
use super::{at, inet};
use crate::sys::{self, RawAddress};

/// A TCP connection.
///
/// Dropping it closes the connection; deregister it before.
///
/// ```
/// use reactor::{Events, Interest, Poll, Token, net::TcpStream};
///
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let mut stream = TcpStream::connect(listener.local_addr()?)?;
/// let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
/// poll.registry().register(&mut stream, Token(0), Interest::WRITABLE)?;
/// poll.poll(&mut events, None)?; // the attempt has ended: but how?
/// assert!(stream.take_error()?.is_none());
/// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpStream {
    inner: Socket,
}

impl TcpStream {
    /// Starts to connect and returns at once. To learn how it ended: register it for
    /// [`WRITABLE`](crate::Interest::WRITABLE), wait for an event, then ask [`take_error`](TcpStream::take_error); if there is
    /// none, [`peer_addr`](TcpStream::peer_addr) succeeds once connected and says `NotConnected` before (the event was
    /// spurious: wait on). Writable alone does not mean connected.
    ///
    /// # Errors
    /// What can be known at once, such as no route or no descriptor left. The error holds a [`reactor::Error`](crate::Error)
    /// that names the address.
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use reactor::net::TcpStream;
    /// /// To be called when `stream` was told to be writable: connected, not yet, or why not.
    /// fn finish_connect(stream: &TcpStream) -> std::io::Result<bool> {
    ///     if let Some(error) = stream.take_error()? {
    ///         return Err(error);
    ///     }
    ///     match stream.peer_addr() {
    ///         Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
    ///         result => result.map(|_| true),
    ///     }
    /// }
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = TcpStream::connect(listener.local_addr()?)?;
    /// # while !finish_connect(&stream)? {}
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
        let connect = || {
            let raw = RawAddress::inet(addr);
            let socket = sys::stream_socket(raw.family())?;
            match sys::connect(socket.as_fd(), &raw) {
                Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
                _ => Ok(TcpStream::from(socket)),
            }
        };
        connect().map_err(at("connect to", addr))
    }

    /// Takes over a stream of std, which must be nonblocking already.
    ///
    /// ```
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let stream = std::net::TcpStream::connect(listener.local_addr()?)?;
    /// stream.set_nonblocking(true)?;
    /// let stream = reactor::net::TcpStream::from_std(stream);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn from_std(stream: net::TcpStream) -> TcpStream {
        OwnedFd::from(stream).into()
    }

    /// The other side.
    ///
    /// # Errors
    /// `NotConnected`, and what else getpeername(2) says.
    ///
    /// ```
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = reactor::net::TcpStream::connect(listener.local_addr()?)?;
    /// # let (peer, _) = listener.accept()?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet(sys::peer_address(self.inner.as_fd())?)
    }

    /// This side.
    ///
    /// # Errors
    /// What getsockname(2) says.
    ///
    /// ```
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = reactor::net::TcpStream::connect(listener.local_addr()?)?;
    /// # let (peer, _) = listener.accept()?;
    /// assert_eq!(stream.local_addr()?, peer.peer_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(sys::local_address(self.inner.as_fd())?)
    }

    /// Ends one direction or both. `Write` sends a FIN after what is queued: the peer reads on to the end of the stream, and
    /// may still answer.
    ///
    /// # Errors
    /// `NotConnected`, and what else shutdown(2) says.
    ///
    /// ```
    /// use std::{io::Read, net::Shutdown};
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = reactor::net::TcpStream::connect(listener.local_addr()?)?;
    /// # let (mut peer, _) = listener.accept()?;
    /// stream.shutdown(Shutdown::Write)?;
    /// assert_eq!(peer.read(&mut [0; 8])?, 0); // the end of the stream
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        sys::shutdown(self.inner.as_fd(), how)
    }

    /// Whether small writes leave at once (`TCP_NODELAY`) or are gathered while the peer's acknowledgement is awaited.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    ///
    /// ```
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = reactor::net::TcpStream::connect(listener.local_addr()?)?;
    /// # let (peer, _) = listener.accept()?;
    /// stream.set_nodelay(true)?;
    /// assert!(stream.nodelay()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        sys::set_no_delay(self.inner.as_fd(), nodelay)
    }

    /// The value of `TCP_NODELAY`; see [`set_nodelay`](TcpStream::set_nodelay).
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn nodelay(&self) -> io::Result<bool> {
        sys::no_delay(self.inner.as_fd())
    }

    /// Sets the time to live of the packets it sends (`IP_TTL`).
    ///
    /// # Errors
    /// What setsockopt(2) says.
    ///
    /// ```
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = reactor::net::TcpStream::connect(listener.local_addr()?)?;
    /// # let (peer, _) = listener.accept()?;
    /// stream.set_ttl(64)?;
    /// assert_eq!(stream.ttl()?, 64);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        sys::set_time_to_live(self.inner.as_fd(), ttl)
    }

    /// The time to live of the packets it sends (`IP_TTL`); see [`set_ttl`](TcpStream::set_ttl).
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn ttl(&self) -> io::Result<u32> {
        sys::time_to_live(self.inner.as_fd())
    }

    /// The pending error (`SO_ERROR`), which asking clears: why a connection attempt failed, for one.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    ///
    /// ```
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = reactor::net::TcpStream::connect(listener.local_addr()?)?;
    /// # let (peer, _) = listener.accept()?;
    /// assert!(stream.take_error()?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.take_error()
    }

    /// Reads without taking: the next read gets the same bytes again (`MSG_PEEK`).
    ///
    /// # Errors
    /// `WouldBlock`, and what else recv(2) says.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let client = std::net::TcpStream::connect(listener.local_addr()?)?;
    /// # let (mut peer, _) = listener.accept()?;
    /// # let mut stream = reactor::net::TcpStream::from_std(client);
    /// peer.write_all(b"flat")?;
    /// assert_eq!(stream.peek(&mut [0; 8])?, 4);
    /// assert_eq!(stream.read(&mut [0; 8])?, 4);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.peek(buf)
    }

    /// Runs I/O of your own on its descriptor, so that backends which emulate edges hear of it. Whoever calls recvmsg(2) or
    /// the like without it may miss events there.
    ///
    /// # Errors
    /// Those of `f`, which should be `WouldBlock` when the call would have blocked.
    ///
    /// ```
    /// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let stream = reactor::net::TcpStream::connect(listener.local_addr()?)?;
    /// let result = stream.try_io(|| {
    ///     // a call of another library on `stream.as_raw_fd()`
    ///     # Err::<(), _>(std::io::Error::from(std::io::ErrorKind::WouldBlock))
    /// });
    /// # assert!(result.is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_io<F, T>(&self, f: F) -> io::Result<T>
    where
        F: FnOnce() -> io::Result<T>,
    {
        self.inner.try_io(f)
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::describe("TcpStream", self.inner.as_fd(), self.peer_addr().ok(), f)
    }
}

descriptor_traits!(TcpStream, net::TcpStream);
source!(TcpStream);
read_and_write!(TcpStream);
