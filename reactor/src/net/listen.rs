//! Opening a socket that listens, for whoever accepts from it.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::{Address, BACKLOG};
use crate::Error;
use crate::sys;

/// Binds a nonblocking stream socket and listens. Port 0 picks one. `[::]` hears IPv4 too. At a path that a dead server left
/// behind, the leftover is removed; removing the path at the end is the caller's business.
///
/// With `reuse_port`, several sockets of this user may listen at the same address, if all of them were opened so: each has a
/// backlog of its own, and the kernel deals connections out by a hash of their addresses (`SO_REUSEPORT`, socket(7)). That
/// is for TCP: a path can be bound once.
///
/// ```
/// use reactor::net::{Address, listen};
/// use std::net::TcpListener;
/// let one = TcpListener::from(listen(&([127, 0, 0, 1], 0).into(), true)?);
/// let other = TcpListener::from(listen(&Address::Inet(one.local_addr()?), true)?);
/// assert_eq!(one.local_addr()?, other.local_addr()?);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The address is in use, not ours, or not allowed. The error holds a [`reactor::Error`](crate::Error) that names it.
pub fn listen(at: &Address, reuse_port: bool) -> io::Result<OwnedFd> {
    let open = || -> io::Result<OwnedFd> {
        let raw = at.to_raw()?;
        let socket = sys::stream_socket(raw.family())?;
        match at {
            Address::Inet(address) => {
                sys::set_reuse_address(socket.as_fd())?;
                if address.ip() == IpAddr::from([0u16; 8]) {
                    sys::set_only_v6(socket.as_fd(), false)?;
                }
                if reuse_port {
                    sys::set_reuse_port(socket.as_fd())?;
                }
            }
            Address::Unix(path) => remove_stale(path),
        }
        sys::bind(socket.as_fd(), &raw)?;
        sys::listen(socket.as_fd(), BACKLOG)?;
        Ok(socket)
    };
    let explain =
        |source| Error::Socket { operation: "listen at", address: at.to_string(), source }.into_io();
    open().map_err(explain)
}

/// Removes a socket's path that a process left behind which did not end in order: nobody answers there. Anything else that
/// stands there stays, and binding reports it.
fn remove_stale(path: &Path) {
    if !matches!(sys::socket_at(path), Ok(Some(_))) {
        return;
    }
    let answer = sys::RawAddress::unix(path).and_then(|raw| {
        let probe = sys::stream_socket(raw.family())?;
        sys::connect(probe.as_fd(), &raw)
    });
    if answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        let _ = sys::unlink(path);
    }
}
