//! A listening Unix socket.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use super::socket::{Socket, source};
use super::{BACKLOG, UnixStream, unix};
use crate::sys;

/// Listens for connections from this machine, at a path or at a name in the abstract namespace.
///
/// A path stays in the file system when the listener is closed, and then nobody can bind to it again before it is removed.
///
/// ```
/// use reactor::{Events, Interest, Poll, Token, net::UnixListener};
///
/// let path = std::env::temp_dir().join(format!("listener-{}", std::process::id()));
/// let mut listener = UnixListener::bind(&path)?;
/// let mut poll = Poll::new()?;
/// poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
///
/// let _client = std::os::unix::net::UnixStream::connect(&path)?;
/// let mut events = Events::with_capacity(8);
/// poll.poll(&mut events, None)?;
/// let (_stream, peer) = listener.accept()?;
/// assert!(peer.is_unnamed()); // it did not bind
/// assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
/// std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixListener {
    inner: Socket,
}

impl UnixListener {
    /// Listens at a path, where nothing may stand yet. ([`listen`](super::listen) removes what a dead server left behind.)
    ///
    /// # Errors
    /// `AddrInUse` if something stands there, `NotFound` and `PermissionDenied` of the folder, `InvalidInput` for more than
    /// 107 bytes, or no descriptor left. The error holds a [`reactor::Error`](crate::Error) that names the path.
    ///
    /// ```
    /// use reactor::net::UnixListener;
    /// let path = std::env::temp_dir().join(format!("bind-{}", std::process::id()));
    /// let listener = UnixListener::bind(&path)?;
    /// assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    /// std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        UnixListener::bind_addr(&unix::from_path(path.as_ref())?)
    }

    /// Listens at an address: the only way to a name in the abstract namespace, which leaves nothing behind.
    ///
    /// # Errors
    /// As [`bind`](UnixListener::bind).
    ///
    /// ```
    /// use reactor::net::{UnixListener, UnixStream};
    /// # #[cfg(target_os = "linux")] {
    /// use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    /// let name = SocketAddr::from_abstract_name(format!("listener {}", std::process::id()))?;
    /// let listener = UnixListener::bind_addr(&name)?;
    /// let _client = UnixStream::connect_addr(&name)?;
    /// assert!(listener.accept().is_ok());
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        let socket = unix::bind(sys::stream_socket(libc::AF_UNIX)?, address)?;
        sys::listen(socket.as_fd(), BACKLOG)?;
        Ok(UnixListener::from(socket))
    }

    /// Takes over a listener of std, which must be nonblocking already.
    ///
    /// ```
    /// let path = std::env::temp_dir().join(format!("from-std-{}", std::process::id()));
    /// let listener = std::os::unix::net::UnixListener::bind(&path)?;
    /// listener.set_nonblocking(true)?;
    /// let listener = reactor::net::UnixListener::from_std(listener);
    /// std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn from_std(listener: net::UnixListener) -> UnixListener {
        OwnedFd::from(listener).into()
    }

    /// The next connection (nonblocking) and its peer's address, which is unnamed unless the peer took the trouble to bind.
    ///
    /// # Errors
    /// As of [`TcpListener::accept`](super::TcpListener::accept).
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("accept-{}", std::process::id()));
    /// # let listener = reactor::net::UnixListener::bind(&path)?;
    /// assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, peer) = self.inner.accept()?;
        Ok((UnixStream::from(stream), unix::to_std(&peer)?))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What getsockname(2) says.
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("local-addr-{}", std::process::id()));
    /// # let listener = reactor::net::UnixListener::bind(&path)?;
    /// assert_eq!(listener.local_addr()?.as_pathname(), Some(path.as_path()));
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        unix::to_std(&sys::local_address(self.inner.as_fd())?)
    }

    /// The pending error (`SO_ERROR`), which asking clears.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    ///
    /// ```
    /// # let path = std::env::temp_dir().join(format!("take-error-{}", std::process::id()));
    /// # let listener = reactor::net::UnixListener::bind(&path)?;
    /// assert!(listener.take_error()?.is_none());
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.take_error()
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unix::describe("UnixListener", self.inner.as_fd(), f)
    }
}

descriptor_traits!(UnixListener, net::UnixListener);
source!(UnixListener);
