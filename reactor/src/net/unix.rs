//! What the sockets of this machine's file system share: std's addresses, and how they are shown.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;

use crate::Error;
use crate::sys::{self, RawAddress};

/// A path as an address: at most 107 bytes, without NUL.
pub(super) fn from_path(path: &Path) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(path).map_err(|source| explain("use", &path.display(), source))
}

/// The address that the kernel told of a Unix socket.
pub(super) fn to_std(address: &RawAddress) -> io::Result<SocketAddr> {
    let other = || io::Error::new(io::ErrorKind::InvalidInput, "the socket is no Unix socket");
    address.to_unix_address().ok_or_else(other)
}

/// bind(2), with an error that tells where.
pub(super) fn bind(socket: OwnedFd, address: &SocketAddr) -> io::Result<OwnedFd> {
    match sys::bind(socket.as_fd(), &RawAddress::unix_address(address)) {
        Ok(()) => Ok(socket),
        Err(source) => Err(explain("bind to", &format_args!("{address:?}"), source)),
    }
}

/// connect(2), with an error that tells where. `EINPROGRESS` is fine.
pub(super) fn connect(socket: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    match sys::connect(socket, &RawAddress::unix_address(address)) {
        Err(source) if source.raw_os_error() != Some(libc::EINPROGRESS) => {
            Err(explain("connect to", &format_args!("{address:?}"), source))
        }
        _ => Ok(()),
    }
}

pub(super) fn explain(operation: &'static str, address: &dyn fmt::Display, source: io::Error) -> io::Error {
    Error::Socket { operation, address: address.to_string(), source }.into_io()
}

/// What `{:?}` shows of a Unix socket: its number, where it is, and what it is connected to.
pub(super) fn describe(name: &str, fd: BorrowedFd<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut description = f.debug_struct(name);
    description.field("fd", &fd.as_raw_fd());
    for (field, address) in [("local", sys::local_address(fd)), ("peer", sys::peer_address(fd))] {
        if let Some(address) = address.ok().and_then(|address| address.to_unix_address()) {
            description.field(field, &address);
        }
    }
    description.finish()
}
