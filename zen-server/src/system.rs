//! What this program asks of Linux and not every system has. It is the only place here that names systems: the library has a
//! table of its own, and what is missing here concerns the models of blocking processes.
//!
//! The program is made for Linux. Elsewhere it compiles, and the model `reactor` is at home; a model that needs what is missing
//! says so when it starts.

use std::io;
use std::os::fd::AsFd;

use rustix::net::{RecvFlags, SendFlags, SocketFlags};

/// A socket that is made is closed on exec. (Where the kernel cannot be asked so, it does not matter: this program executes
/// no other.)
#[cfg(not(target_vendor = "apple"))]
pub const CLOSED_ON_EXEC: SocketFlags = SocketFlags::CLOEXEC;
#[cfg(target_vendor = "apple")]
pub const CLOSED_ON_EXEC: SocketFlags = SocketFlags::empty();

/// The same of a descriptor that is received.
#[cfg(not(target_vendor = "apple"))]
pub const RECEIVED_CLOSED_ON_EXEC: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(target_vendor = "apple")]
pub const RECEIVED_CLOSED_ON_EXEC: RecvFlags = RecvFlags::empty();

/// No SIGPIPE from this call. (Where it cannot be asked so, it is enough that Rust programs ignore the signal.)
#[cfg(not(target_vendor = "apple"))]
pub const WITHOUT_SIGPIPE: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub const WITHOUT_SIGPIPE: SendFlags = SendFlags::empty();

/// Has the kernel kill this process when its parent dies (`PR_SET_PDEATHSIG`, prctl(2)).
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?)
}
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub fn die_with_parent() -> io::Result<()> {
    let problem = "this system's kernel does not end the children of a dead parent";
    Err(io::Error::new(io::ErrorKind::Unsupported, problem))
}

/// Whether a socket listens (`SO_ACCEPTCONN`, socket(7)); an error if it is no socket.
#[cfg(not(target_vendor = "apple"))]
pub fn listens(socket: impl AsFd) -> io::Result<bool> {
    Ok(rustix::net::sockopt::socket_acceptconn(socket)?)
}
/// Whether a socket listens: it has no peer. An error if it is no socket.
#[cfg(target_vendor = "apple")]
pub fn listens(socket: impl AsFd) -> io::Result<bool> {
    match rustix::net::getpeername(socket) {
        Ok(peer) => Ok(peer.is_none()),
        Err(rustix::io::Errno::NOTCONN) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
