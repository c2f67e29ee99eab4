//! Errors that say what to do: one type, which rides inside `io::Error`.

use std::io;
use std::os::fd::RawFd;

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
        /// `listen at`, `connect to` or `adopt`.
        operation: &'static str,
        /// The address as text.
        address: String,
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
            Error::Registration { source, .. } | Error::Socket { source, .. } => source.kind(),
            Error::Backend { .. } => io::ErrorKind::InvalidInput,
            Error::Refused { .. } => io::ErrorKind::Unsupported,
            Error::TooMany { .. } => io::ErrorKind::QuotaExceeded,
        };
        io::Error::new(kind, self)
    }
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
