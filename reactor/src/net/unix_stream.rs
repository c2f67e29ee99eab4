//! A connected Unix socket.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use super::socket::{Socket, read_and_write, source};
use super::unix;
use crate::sys;

/// A connection within this machine: bytes both ways, as over [`TcpStream`](super::TcpStream).
///
/// Dropping it closes the connection; deregister it before.
///
/// ```
/// use std::io::{Read, Write};
/// use reactor::{Events, Interest, Poll, Token, net::UnixStream};
///
/// let (mut near, mut far) = UnixStream::pair()?;
/// let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
/// poll.registry().register(&mut far, Token(0), Interest::READABLE)?;
/// near.write_all(b"nested")?;
/// poll.poll(&mut events, None)?;
/// assert_eq!(far.read(&mut [0; 8])?, 6);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixStream {
    inner: Socket,
}

impl UnixStream {
    /// Connects to whom listens at a path. There is no way to go, so it is connected when this returns.
    ///
    /// # Errors
    /// `WouldBlock` while the listener's backlog is full, and no event will tell of room: try again later. `NotFound`,
    /// `ConnectionRefused` (nobody listens there any more), and what else connect(2) says. The error holds a
    /// [`reactor::Error`](crate::Error) that names the path.
    ///
    /// ```
    /// use reactor::net::{UnixListener, UnixStream};
    /// let path = std::env::temp_dir().join(format!("connect-{}", std::process::id()));
    /// assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    /// let listener = UnixListener::bind(&path)?;
    /// let stream = UnixStream::connect(&path)?;
    /// assert_eq!(stream.peer_addr()?.as_pathname(), Some(path.as_path()));
    /// std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&unix::from_path(path.as_ref())?)
    }

    /// Connects to an address; [`UnixListener::bind_addr`](super::UnixListener::bind_addr) has an example.
    ///
    /// # Errors
    /// As [`connect`](UnixStream::connect).
    pub fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        let socket = sys::stream_socket(libc::AF_UNIX)?;
        unix::connect(socket.as_fd(), address)?;
        Ok(UnixStream::from(socket))
    }

    /// Takes over a stream of std, which must be nonblocking already.
    ///
    /// ```
    /// let (stream, _) = std::os::unix::net::UnixStream::pair()?;
    /// stream.set_nonblocking(true)?;
    /// let stream = reactor::net::UnixStream::from_std(stream);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn from_std(stream: net::UnixStream) -> UnixStream {
        OwnedFd::from(stream).into()
    }

    /// Two that are connected to each other.
    ///
    /// # Errors
    /// No descriptor left.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use reactor::net::UnixStream;
    /// let (mut near, mut far) = UnixStream::pair()?;
    /// assert_eq!(far.read(&mut [0; 8]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    /// near.write_all(b"complex")?;
    /// assert_eq!(far.read(&mut [0; 8])?, 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let [one, other] = sys::stream_pair()?;
        Ok((UnixStream::from(one), UnixStream::from(other)))
    }

    /// This side; unnamed if it was the one to connect.
    ///
    /// # Errors
    /// What getsockname(2) says.
    ///
    /// ```
    /// # let (stream, _) = reactor::net::UnixStream::pair()?;
    /// assert!(stream.local_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        unix::to_std(&sys::local_address(self.inner.as_fd())?)
    }

    /// The other side.
    ///
    /// # Errors
    /// `NotConnected`, and what else getpeername(2) says.
    ///
    /// ```
    /// # let (stream, _) = reactor::net::UnixStream::pair()?;
    /// assert!(stream.peer_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        unix::to_std(&sys::peer_address(self.inner.as_fd())?)
    }

    /// The pending error (`SO_ERROR`), which asking clears.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    ///
    /// ```
    /// # let (stream, _) = reactor::net::UnixStream::pair()?;
    /// assert!(stream.take_error()?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.take_error()
    }

    /// Ends one direction or both: `Write` lets the peer read on to the end of the stream, and it may still answer.
    ///
    /// # Errors
    /// `NotConnected`, and what else shutdown(2) says.
    ///
    /// ```
    /// use std::{io::Read, net::Shutdown};
    /// # let (stream, mut peer) = reactor::net::UnixStream::pair()?;
    /// stream.shutdown(Shutdown::Write)?;
    /// assert_eq!(peer.read(&mut [0; 8])?, 0); // the end of the stream
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        sys::shutdown(self.inner.as_fd(), how)
    }

    /// Runs I/O of your own on its descriptor, so that backends which emulate edges hear of it. Whoever calls recvmsg(2) (to be
    /// passed descriptors, say) without it may miss events there.
    ///
    /// # Errors
    /// Those of `f`, which should be `WouldBlock` when the call would have blocked.
    ///
    /// ```
    /// # let (stream, _) = reactor::net::UnixStream::pair()?;
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

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unix::describe("UnixStream", self.inner.as_fd(), f)
    }
}

descriptor_traits!(UnixStream, net::UnixStream);
source!(UnixStream);
read_and_write!(UnixStream);
