//! A Unix datagram socket.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use super::socket::{Socket, source};
use super::unix;
use crate::sys::{self, RawAddress};

/// Messages within this machine. Unlike [UDP](super::UdpSocket)'s, they arrive, in order, and a receiver that does not keep
/// up makes senders wait.
///
/// ```
/// use reactor::{Events, Interest, Poll, Token, net::UnixDatagram};
///
/// let (near, mut far) = UnixDatagram::pair()?;
/// let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
/// poll.registry().register(&mut far, Token(0), Interest::READABLE)?;
/// near.send(b"practicality")?;
/// near.send(b"purity")?;
/// poll.poll(&mut events, None)?;
/// assert_eq!(far.recv(&mut [0; 64])?, 12);
/// assert_eq!(far.recv(&mut [0; 64])?, 6);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixDatagram {
    inner: Socket,
}

impl UnixDatagram {
    /// Receives at a path, where nothing may stand yet, and which stays when the socket is closed.
    ///
    /// # Errors
    /// As of [`UnixListener::bind`](super::UnixListener::bind).
    ///
    /// ```
    /// use reactor::net::UnixDatagram;
    /// let path = std::env::temp_dir().join(format!("datagram-{}", std::process::id()));
    /// let socket = UnixDatagram::bind(&path)?;
    /// assert_eq!(UnixDatagram::unbound()?.send_to(b"rare", &path)?, 4);
    /// assert_eq!(socket.recv(&mut [0; 8])?, 4);
    /// std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_addr(&unix::from_path(path.as_ref())?)
    }

    /// Receives at an address: the only way to a name in the abstract namespace, which leaves nothing behind.
    ///
    /// # Errors
    /// As [`bind`](UnixDatagram::bind).
    ///
    /// ```
    /// use reactor::net::UnixDatagram;
    /// # #[cfg(target_os = "linux")] {
    /// use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    /// let name = SocketAddr::from_abstract_name(format!("datagram {}", std::process::id()))?;
    /// let socket = UnixDatagram::bind_addr(&name)?;
    /// assert_eq!(socket.local_addr()?.as_abstract_name(), name.as_abstract_name());
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixDatagram> {
        unix::bind(sys::datagram_socket(libc::AF_UNIX)?, address).map(UnixDatagram::from)
    }

    /// Takes over a socket of std, which must be nonblocking already.
    ///
    /// ```
    /// let (socket, _) = std::os::unix::net::UnixDatagram::pair()?;
    /// socket.set_nonblocking(true)?;
    /// let socket = reactor::net::UnixDatagram::from_std(socket);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn from_std(socket: net::UnixDatagram) -> UnixDatagram {
        OwnedFd::from(socket).into()
    }

    /// [Sends](UnixDatagram::send) to that path from now on, and hears nobody else.
    ///
    /// # Errors
    /// `NotFound`, `ConnectionRefused` (nobody receives there any more), and what else connect(2) says. The error holds a
    /// [`reactor::Error`](crate::Error) that names the path.
    ///
    /// ```
    /// # use reactor::net::UnixDatagram;
    /// # let path = std::env::temp_dir().join(format!("datagram-connect-{}", std::process::id()));
    /// # let peer = UnixDatagram::bind(&path)?;
    /// let socket = UnixDatagram::unbound()?;
    /// socket.connect(&path)?;
    /// assert_eq!(socket.send(b"special cases")?, 13);
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        unix::connect(self.inner.as_fd(), &unix::from_path(path.as_ref())?)
    }

    /// One without an address: it can send, and nobody can answer.
    ///
    /// # Errors
    /// No descriptor left.
    ///
    /// ```
    /// let socket = reactor::net::UnixDatagram::unbound()?;
    /// assert!(socket.local_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn unbound() -> io::Result<UnixDatagram> {
        sys::datagram_socket(libc::AF_UNIX).map(UnixDatagram::from)
    }

    /// Two that are connected to each other.
    ///
    /// # Errors
    /// No descriptor left.
    ///
    /// ```
    /// let (near, far) = reactor::net::UnixDatagram::pair()?;
    /// near.send(b"")?;
    /// assert_eq!(far.recv(&mut [0; 8])?, 0); // an empty message, not an end
    /// assert_eq!(far.recv(&mut [0; 8]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let [one, other] = sys::datagram_pair()?;
        Ok((UnixDatagram::from(one), UnixDatagram::from(other)))
    }

    /// Where it receives.
    ///
    /// # Errors
    /// What getsockname(2) says.
    ///
    /// ```
    /// # let (socket, _) = reactor::net::UnixDatagram::pair()?;
    /// assert!(socket.local_addr()?.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        unix::to_std(&sys::local_address(self.inner.as_fd())?)
    }

    /// Whom it is connected to.
    ///
    /// # Errors
    /// `NotConnected`, and what else getpeername(2) says.
    ///
    /// ```
    /// let socket = reactor::net::UnixDatagram::unbound()?;
    /// assert_eq!(socket.peer_addr().unwrap_err().kind(), std::io::ErrorKind::NotConnected);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        unix::to_std(&sys::peer_address(self.inner.as_fd())?)
    }

    /// The next datagram's length and sender. What `buf` has no room for is lost.
    ///
    /// # Errors
    /// `WouldBlock` if none is waiting; `ConnectionReset` if the peer it was connected to closed; and what else recvfrom(2)
    /// says.
    ///
    /// ```
    /// # let (socket, peer) = reactor::net::UnixDatagram::pair()?;
    /// peer.send(b"ambiguity")?;
    /// let (length, sender) = socket.recv_from(&mut [0; 64])?;
    /// assert!(length == 9 && sender.is_unnamed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, sender) = self.inner.receive_from(buf)?;
        Ok((length, unix::to_std(&sender)?))
    }

    /// The next datagram's length. What `buf` has no room for is lost.
    ///
    /// # Errors
    /// As [`recv_from`](UnixDatagram::recv_from).
    ///
    /// ```
    /// # let (socket, peer) = reactor::net::UnixDatagram::pair()?;
    /// peer.send(b"the temptation to guess")?;
    /// assert_eq!(socket.recv(&mut [0; 14])?, 14); // " to guess" is lost
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.receive(buf)
    }

    /// Sends a datagram to whom receives at that path: how many bytes went, which is all of them.
    ///
    /// # Errors
    /// `WouldBlock` while the receiver has no room, of which backends without edges tell again and again that this socket is
    /// writable, which is true; `NotFound`, `ConnectionRefused`, and what else sendto(2) says.
    ///
    /// ```
    /// # use reactor::net::UnixDatagram;
    /// # let path = std::env::temp_dir().join(format!("datagram-send-{}", std::process::id()));
    /// # let receiver = UnixDatagram::bind(&path)?;
    /// assert_eq!(UnixDatagram::unbound()?.send_to(b"refuse", &path)?, 6);
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.inner.send_to(buf, &RawAddress::unix_address(&unix::from_path(path.as_ref())?))
    }

    /// Sends a datagram to the peer that it is [connected](UnixDatagram::connect) to.
    ///
    /// # Errors
    /// `WouldBlock` while the peer has no room; `NotConnected`; `ConnectionRefused` if the peer is gone; and what else send(2)
    /// says.
    ///
    /// ```
    /// # let (socket, _peer) = reactor::net::UnixDatagram::pair()?;
    /// assert_eq!(socket.send(b"one obvious way")?, 15);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.inner.send(buf)
    }

    /// The pending error (`SO_ERROR`), which asking clears.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    ///
    /// ```
    /// # let (socket, _peer) = reactor::net::UnixDatagram::pair()?;
    /// assert!(socket.take_error()?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.take_error()
    }

    /// Ends one direction or both, on this side and on its peer's.
    ///
    /// # Errors
    /// `NotConnected`, and what else shutdown(2) says.
    ///
    /// ```
    /// # let (socket, peer) = reactor::net::UnixDatagram::pair()?;
    /// socket.shutdown(std::net::Shutdown::Read)?;
    /// assert_eq!(peer.send(b"now").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
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
    /// # let (socket, _) = reactor::net::UnixDatagram::pair()?;
    /// let result = socket.try_io(|| {
    ///     // a call of another library on `socket.as_raw_fd()`
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

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unix::describe("UnixDatagram", self.inner.as_fd(), f)
    }
}

descriptor_traits!(UnixDatagram, net::UnixDatagram);
source!(UnixDatagram);
