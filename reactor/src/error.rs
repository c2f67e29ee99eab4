//! Errors that say what to do: one type, which rides inside `io::Error`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// What was attempted, on what, and what can be done about it.
///
/// Layer 1 returns [`io::Error`], as mio does; one of these rides inside it ([`io::Error::get_ref`]) with the kind unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A backend refused a registration.
    #[error("cannot {operation} descriptor {fd} (token {token}) with the {backend} backend: {source}{}", hint(.source))]
    Registration {
        /// `register`, `reregister` or `deregister`.
        operation: &'static str,
        /// The descriptor's number.
        fd: RawFd,
        /// The token the caller gave (its key, in the event loop).
        token: u64,
        /// The backend's name.
        backend: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A descriptor's number that this system's select(2) has no bit for. It is the source of a [`Registration`](Error::Registration).
    #[error("this system's select stops at {end} (FD_SETSIZE); choose another backend, such as poll")]
    BeyondSelect {
        /// The first number it cannot watch.
        end: RawFd,
    },
    /// A name that is no backend, or one this machine lacks.
    #[error("no backend {name:?} here; available: {available}")]
    Backend {
        /// The name given.
        name: String,
        /// The names that would have worked, separated by commas.
        available: String,
    },
    /// A backend that this program has, and this machine refuses.
    #[error("{name} {why}; choose another backend: {available}")]
    Refused {
        /// Its name.
        name: &'static str,
        /// What stands in the way.
        why: &'static str,
        /// The names that would have worked, separated by commas.
        available: String,
    },
    /// A listener or a connection could not be made.
    #[error("cannot {operation} {address}: {source}")]
    Socket {
        /// `listen at`, `bind to`, `connect to` or `adopt`.
        operation: &'static str,
        /// The address as text.
        address: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The wait at the heart of a loop failed.
    #[error("cannot wait with the {backend} backend: {source}")]
    Wait {
        /// The backend's name.
        backend: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A system call failed that a connection cannot do without.
    #[error("{call} on descriptor {fd}: {source}")]
    Call {
        /// Its name: `recv`, `send`, `connect`, ….
        call: &'static str,
        /// The descriptor's number.
        fd: RawFd,
        /// What the kernel said.
        source: io::Error,
    },
    /// A count that the loop's keys have no room for.
    #[error("{what}: the loop holds at most {most}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
}

impl Error {
    /// The `io::Error` this rides in: the same kind, one more layer of words.
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match &self {
            Error::Registration { source, .. }
            | Error::Socket { source, .. }
            | Error::Wait { source, .. }
            | Error::Call { source, .. } => source.kind(),
            Error::Backend { .. } | Error::BeyondSelect { .. } => io::ErrorKind::InvalidInput,
            Error::Refused { .. } => io::ErrorKind::Unsupported,
            Error::TooMany { .. } => io::ErrorKind::QuotaExceeded,
        };
        io::Error::new(kind, self)
    }
}

/// Says of an error in which call on which descriptor it happened.
pub(crate) fn in_call(call: &'static str, fd: BorrowedFd<'_>) -> impl FnOnce(io::Error) -> io::Error + use<> {
    let fd = fd.as_raw_fd();
    move |source| Error::Call { call, fd, source }.into_io()
}

/// The number that the kernel gave for an error (errno(3)), however many words of ours are around it; `None` if the error is
/// not the kernel's.
///
/// ```
/// use reactor::net::TcpListener;
/// let one = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
/// let error = TcpListener::bind(one.local_addr()?).unwrap_err();
/// assert_eq!(error.raw_os_error(), None); // a `reactor::Error`, which says where
/// assert_eq!(reactor::errno(&error), Some(98)); // EADDRINUSE
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn errno(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| error.get_ref()?.source()?.downcast_ref().and_then(errno))
}

/// What the user of a backend most likely did to get this error.
fn hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AlreadyExists => {
            "; it is registered already: use reregister, or deregister it before it is closed"
        }
        io::ErrorKind::NotFound => "; it is not registered here: register it first",
        io::ErrorKind::PermissionDenied => "; this kind of file cannot be waited for",
        _ => "",
    }
}
