//! Listening sockets, and what becomes of a connection that arrives when nothing is left to hold it.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use crate::net::{self, Address};
use crate::sys;

/// How long a listener pauses when accepting fails for lack of something, doubled up to the longest with each failure.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Who asks for a protocol.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// Where the connection comes from.
    pub peer: &'a Address,
    /// Where it was accepted.
    pub listener: ListenerId,
}

/// Which listener of a loop.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub(crate) usize);

pub(crate) type Make<P> = Box<dyn FnMut(&Incoming<'_>) -> Option<P>>;

pub(crate) struct Listener<P> {
    pub(crate) socket: OwnedFd,
    pub(crate) address: Address,
    pub(crate) make: Make<P>,
    /// The path it made, to be removed with it.
    path: Option<PathBuf>,
    /// Whether the kernel is asked about it,
    pub(crate) watched: bool,
    /// and is to tell one loop of a connection, not every loop that asks.
    pub(crate) exclusive: bool,
    /// Until a timer says otherwise, it accepts nothing.
    pub(crate) resting: bool,
    /// The next pause, if accepting fails again.
    pause: Duration,
}

impl<P> Listener<P> {
    /// Binds and listens.
    pub(crate) fn open(at: &Address, make: Make<P>) -> io::Result<Listener<P>> {
        let mut listener = Listener::adopt(net::listen(at, false)?, make)?;
        if let Address::Unix(path) = at {
            listener.path = Some(path.clone());
        }
        Ok(listener)
    }

    /// Takes over a socket that listens already.
    pub(crate) fn adopt(socket: OwnedFd, make: Make<P>) -> io::Result<Listener<P>> {
        sys::set_nonblocking(socket.as_fd(), true)?;
        let address = Address::from(&sys::local_address(socket.as_fd())?);
        if let Address::Inet(_) = address {
            // All that one call of a protocol writes goes out in one system call: the kernel need not wait for more.
            sys::set_no_delay(socket.as_fd(), true)?;
        }
        Ok(Listener {
            socket,
            address,
            make,
            path: None,
            watched: false,
            exclusive: false,
            resting: false,
            pause: SHORTEST_PAUSE,
        })
    }

    /// How long to rest after a failure; the next rest is twice as long.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }

    /// Whether accepting worked when it was tried last.
    pub(crate) fn is_well(&self) -> bool {
        self.pause == SHORTEST_PAUSE
    }

    /// Accepting works again.
    pub(crate) fn recovered(&mut self) {
        self.pause = SHORTEST_PAUSE;
    }
}

impl<P> Drop for Listener<P> {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = sys::unlink(path); // it may be gone already
        }
    }
}

impl<P> fmt::Debug for Listener<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A descriptor kept in reserve, so that when no other is left a waiting connection can still be accepted and closed: the
/// peer learns at once, and the listener does not report it again and again.
#[derive(Debug)]
pub(crate) struct Reserve(Option<OwnedFd>);

impl Reserve {
    pub(crate) fn new() -> Reserve {
        Reserve(sys::open_null().ok())
    }

    /// Accepts one connection in place of the reserve and closes it. Whether there was one.
    pub(crate) fn shed(&mut self, listener: &OwnedFd) -> bool {
        if self.0.take().is_none() {
            return false;
        }
        let shed = sys::accept(listener.as_fd()).is_ok();
        *self = Reserve::new();
        shed
    }
}

/// What an error of accept(2) means for the listener.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum AcceptError {
    /// Nobody is waiting.
    Nobody,
    /// That one is gone; try the next.
    Skip,
    /// Descriptors ran out.
    NoDescriptors,
    /// Something else ran out, or is wrong: later perhaps.
    Rest,
}

impl AcceptError {
    /// Which it is: accept(2), "ERRORS". Linux passes the new socket's own network errors through it, and says to treat them
    /// like EAGAIN, by trying again.
    pub(crate) fn of(error: &io::Error) -> AcceptError {
        match error.raw_os_error() {
            Some(libc::EAGAIN) => AcceptError::Nobody,
            Some(
                libc::EINTR
                | libc::ECONNABORTED
                | libc::EPROTO
                | libc::EPERM
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH,
            ) => AcceptError::Skip,
            Some(libc::EMFILE | libc::ENFILE) => AcceptError::NoDescriptors,
            _ => AcceptError::Rest,
        }
    }
}
