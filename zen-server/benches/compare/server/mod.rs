//! The servers that are compared: one thread each, the same answers.

mod bare;
mod on_reactor;
mod peer_mio;
mod peer_tokio;

use std::fmt;
use std::io;
use std::net::TcpListener;

use clap::ValueEnum;

/// A way to write the server.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// An epoll loop written by hand: the reference
    Bare,
    /// A protocol on the reactor of this repository, with limits on
    Reactor,
    /// The service of this package on the reactor, as `zen-server` runs it
    ZenServer,
    /// mio, edge-triggered, no second read when a read was short
    Mio,
    /// tokio's single-threaded runtime
    Tokio,
}

impl Kind {
    /// What the others are compared with.
    pub const REFERENCE: Kind = Kind::Bare;

    /// The reference and those of `chosen`, or all where none is.
    pub fn reference_and(chosen: &[Kind]) -> Vec<Kind> {
        let wanted = |kind: &Kind| chosen.is_empty() || chosen.contains(kind) || *kind == Kind::REFERENCE;
        Kind::value_variants().iter().copied().filter(wanted).collect()
    }

    /// Serves for ever.
    pub fn serve(self, listener: TcpListener) -> io::Result<()> {
        match self {
            Kind::Bare => bare::serve(listener),
            Kind::Reactor => on_reactor::serve(listener),
            Kind::ZenServer => on_reactor::serve_as_the_program_does(listener),
            Kind::Mio => peer_mio::serve(listener),
            Kind::Tokio => peer_tokio::serve(listener),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Bare => "bare",
            Kind::Reactor => "reactor",
            Kind::ZenServer => "zen-server",
            Kind::Mio => "mio",
            Kind::Tokio => "tokio",
        })
    }
}
