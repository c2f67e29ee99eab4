//! Nonblocking sockets.
//!
//! Each is a descriptor and no larger, and turns into its counterpart of std and back. What would block answers
//! [`WouldBlock`](std::io::ErrorKind::WouldBlock) at once; register the socket to hear when to try again.
//!
//! I/O of your own on a socket's number belongs into its `try_io`, so that backends which emulate edges hear of it. Where a
//! library reads without that, they tell of the socket again a millisecond after it asked for the number.

mod address;
mod listen;
pub(crate) mod socket;
mod tcp_listener;
mod tcp_stream;
mod udp_socket;
mod unix;
mod unix_datagram;
mod unix_listener;
mod unix_stream;

pub use address::Address;
pub use listen::listen;
pub use tcp_listener::TcpListener;
pub use tcp_stream::TcpStream;
pub use udp_socket::UdpSocket;
pub use unix_datagram::UnixDatagram;
pub use unix_listener::UnixListener;
pub use unix_stream::UnixStream;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::Error;
use crate::sys::{self, RawAddress};

/// Connections waiting in the kernel to be accepted; it cuts the number to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Adds to an error what was attempted, and where.
fn at(operation: &'static str, address: SocketAddr) -> impl FnOnce(io::Error) -> io::Error {
    move |source| Error::Socket { operation, address: address.to_string(), source }.into_io()
}

/// The Internet address that a socket of this module has.
fn inet(address: RawAddress) -> io::Result<SocketAddr> {
    let other = || io::Error::new(io::ErrorKind::InvalidInput, "the socket has no Internet address");
    address.to_inet().ok_or_else(other)
}

/// What `{:?}` shows of a socket: where it is, what it is connected to, and its number.
fn describe(
    name: &str,
    fd: BorrowedFd<'_>,
    peer: Option<SocketAddr>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let mut description = f.debug_struct(name);
    if let Some(address) = sys::local_address(fd).ok().and_then(|address| address.to_inet()) {
        description.field("addr", &address);
    }
    if let Some(peer) = peer {
        description.field("peer", &peer);
    }
    description.field("fd", &fd.as_raw_fd()).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million connections pay for every byte.
    #[test]
    fn sockets_are_no_larger_than_those_of_std() {
        assert_eq!(size_of::<TcpStream>(), size_of::<std::net::TcpStream>());
        assert_eq!(size_of::<TcpListener>(), size_of::<std::net::TcpListener>());
        assert_eq!(size_of::<UdpSocket>(), size_of::<std::net::UdpSocket>());
        assert_eq!(size_of::<UnixStream>(), size_of::<std::os::unix::net::UnixStream>());
        assert_eq!(size_of::<UnixListener>(), size_of::<std::os::unix::net::UnixListener>());
        assert_eq!(size_of::<UnixDatagram>(), size_of::<std::os::unix::net::UnixDatagram>());
    }
}
