//! Nonblocking sockets.
//!
//! Each is one of std's sockets and no larger. What would block answers
//! [`WouldBlock`](std::io::ErrorKind::WouldBlock) at once; register the socket to hear when to try again.

mod tcp_listener;
mod tcp_stream;

pub use tcp_listener::TcpListener;
pub use tcp_stream::TcpStream;

use std::io;
use std::net::SocketAddr;

use crate::Error;

/// Adds to an error what was attempted, and where.
fn at(operation: &'static str, address: SocketAddr) -> impl FnOnce(io::Error) -> io::Error {
    move |source| Error::Socket { operation, address: address.to_string(), source }.into_io()
}
