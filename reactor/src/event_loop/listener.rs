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
pub struct ListenerId(pub(crate) u64);

pub(crate) type Make<P> = Box<dyn FnMut(&Incoming<'_>) -> Option<P>>;

pub(crate) struct Listener<P> {
    /// What the kernel is given to tell it by; set when it gets its place.
    pub(crate) key: u64,
    pub(crate) socket: OwnedFd,
    pub(crate) address: Address,
    pub(crate) make: Make<P>,
    /// The path it made, to be removed with it, and what it put there.
    path: Option<(PathBuf, (u64, u64))>,
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
            listener.path = sys::socket_at(path)?.map(|socket| (path.clone(), socket));
        }
        Ok(listener)
    }

    /// Takes over a socket that listens already.
    pub(crate) fn adopt(socket: OwnedFd, make: Make<P>) -> io::Result<Listener<P>> {
        if !sys::is_listening(socket.as_fd())? {
            // It would be ready again and again, and accepting would fail each time.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket does not listen"));
        }
        sys::set_nonblocking(socket.as_fd(), true)?;
        let address = Address::from(&sys::local_address(socket.as_fd())?);
        if let Address::Inet(_) = address {
            // All that one call of a protocol writes goes out in one system call: the kernel need not wait for more.
            sys::set_no_delay(socket.as_fd(), true)?;
        }
        Ok(Listener {
            key: 0,
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
        // It may be gone already, or be another server's by now.
        if let Some((path, socket)) = &self.path {
            if sys::socket_at(path).is_ok_and(|there| there.as_ref() == Some(socket)) {
                let _ = sys::unlink(path);
            }
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

    /// Accepts one connection in place of the reserve and closes it.
    pub(crate) fn shed(&mut self, listener: &OwnedFd) -> io::Result<()> {
        self.0 = None;
        let shed = sys::accept(listener.as_fd()).map(drop);
        self.refill();
        shed
    }

    /// Somebody else may have been faster the last time.
    pub(crate) fn refill(&mut self) {
        if self.0.is_none() {
            *self = Reserve::new();
        }
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

/// What concerns only the connection that was to be accepted: accept(2), "ERRORS". Linux passes the new socket's own network
/// errors through it, and says to treat them like EAGAIN, by trying again.
const OF_THE_NEWCOMER: &[i32] = &[
    libc::EINTR,
    libc::ECONNABORTED,
    libc::EPROTO,
    libc::EPERM,
    libc::ENETDOWN,
    libc::ENOPROTOOPT,
    libc::EHOSTDOWN,
    #[cfg(has_enonet)]
    libc::ENONET,
    libc::EHOSTUNREACH,
    libc::EOPNOTSUPP,
    libc::ENETUNREACH,
];

impl AcceptError {
    /// Which it is.
    pub(crate) fn of(error: &io::Error) -> AcceptError {
        match error.raw_os_error() {
            Some(libc::EAGAIN) => AcceptError::Nobody,
            Some(libc::EMFILE | libc::ENFILE) => AcceptError::NoDescriptors,
            Some(code) if OF_THE_NEWCOMER.contains(&code) => AcceptError::Skip,
            _ => AcceptError::Rest,
        }
    }
}
