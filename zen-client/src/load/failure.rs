//! What can go wrong with a request, sorted into kinds to be counted.

use std::io;

use reactor::event_loop::CloseReason;

/// What became of a request that was not answered in full and correctly.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nobody listens there.
    Refused,
    /// The server, or something on the way, broke the connection.
    Reset,
    /// The connection, or the end of the answer, did not come in time.
    TimedOut,
    /// The server hung up in order, but too early.
    ClosedEarly,
    /// Other bytes came than should have, or more.
    WrongAnswer,
    /// This machine had no descriptor (or no memory) left for a connection.
    NoDescriptor,
    /// This machine had no port left for a connection.
    NoPort,
    /// Whatever else the kernel reported.
    Other,
}

impl Kind {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Kind; 8] = [
        Kind::Refused,
        Kind::Reset,
        Kind::TimedOut,
        Kind::ClosedEarly,
        Kind::WrongAnswer,
        Kind::NoDescriptor,
        Kind::NoPort,
        Kind::Other,
    ];

    /// For people.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Kind::Refused => "refused",
            Kind::Reset => "reset",
            Kind::TimedOut => "timed out",
            Kind::ClosedEarly => "closed early",
            Kind::WrongAnswer => "answered wrongly",
            Kind::NoDescriptor => "without a descriptor",
            Kind::NoPort => "without a local port",
            Kind::Other => "failed otherwise",
        }
    }

    /// For programs.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Kind::Refused => "refused",
            Kind::Reset => "reset",
            Kind::TimedOut => "timed_out",
            Kind::ClosedEarly => "closed_early",
            Kind::WrongAnswer => "wrong_answer",
            Kind::NoDescriptor => "no_descriptor",
            Kind::NoPort => "no_port",
            Kind::Other => "other",
        }
    }

    /// What an attempt to connect met.
    pub(super) fn of_error(error: &io::Error) -> Kind {
        match (reactor::errno(error), error.kind()) {
            (Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM), _) => Kind::NoDescriptor,
            (_, io::ErrorKind::AddrNotAvailable) => Kind::NoPort,
            // At a path without a socket nobody listens, either.
            (_, io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Kind::Refused,
            (_, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Kind::Reset,
            (_, io::ErrorKind::TimedOut) => Kind::TimedOut,
            _ => Kind::Other,
        }
    }

    /// What the end of a connection means for its unanswered requests.
    pub(super) fn of_end(reason: &CloseReason) -> Kind {
        match reason {
            CloseReason::Finished | CloseReason::MidRequest(_) => Kind::ClosedEarly,
            // Something was unsent when the connection broke: we do not hang up before everything is answered.
            CloseReason::Reset | CloseReason::Unsent(_) => Kind::Reset,
            CloseReason::TimedOut(_) => Kind::TimedOut,
            CloseReason::Io(error) => Kind::of_error(error),
            _ => Kind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_kernel_has_a_kind() {
        let cases = [
            (libc::ECONNREFUSED, Kind::Refused),
            (libc::ENOENT, Kind::Refused),
            (libc::EMFILE, Kind::NoDescriptor),
            (libc::EADDRNOTAVAIL, Kind::NoPort),
            (libc::ECONNRESET, Kind::Reset),
            (libc::ETIMEDOUT, Kind::TimedOut),
            (libc::ENETUNREACH, Kind::Other),
        ];
        for (code, kind) in cases {
            let bare = io::Error::from_raw_os_error(code);
            assert_eq!(Kind::of_error(&bare), kind, "{bare}");
            let (operation, address) = ("connect to", "somewhere".to_owned());
            let told = reactor::Error::Socket { operation, address, source: bare };
            let explained = io::Error::new(io::Error::from_raw_os_error(code).kind(), told);
            assert_eq!(Kind::of_error(&explained), kind, "{explained}");
        }
    }

    #[test]
    fn every_kind_has_its_place_and_its_own_names() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
            let others = Kind::ALL.iter().filter(|other| other.field() == kind.field());
            assert_eq!(others.count(), 1);
        }
    }
}
