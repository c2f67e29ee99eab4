//! What an operator should know, as it happens.

use std::fmt;
use std::io;
use std::time::Duration;

use super::protocol::ConnectionId;
use crate::net::Address;

/// Something an operator should know. `Display` says it in one line.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// A protocol panicked; its connection was closed, the others go on.
    Panicked {
        /// Which connection.
        id: ConnectionId,
        /// What the panic said.
        message: &'a str,
    },
    /// Accepting failed for lack of something; the listener rests and tries again. Told once until it works again.
    AcceptFailed {
        /// Which listener.
        listener: &'a Address,
        /// What the kernel said.
        error: &'a io::Error,
        /// How long it rests.
        pause: Duration,
    },
    /// A connection was closed as soon as it was accepted.
    Refused {
        /// Where it came from.
        peer: &'a Address,
        /// Why.
        why: Refusal<'a>,
    },
    /// A source failed and was removed.
    SourceFailed {
        /// What it, or the kernel, said.
        error: &'a io::Error,
    },
    /// For so many turns in a row events came and nothing moved: a busy loop.
    Spinning {
        /// How many events.
        events: u64,
        /// In how many turns.
        turns: u64,
    },
}

/// Why a connection was refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refusal<'a> {
    /// [`Limits::connections_per_peer`](super::Limits::connections_per_peer)
    TooManyFromPeer,
    /// The listener's function gave no protocol.
    NoProtocol,
    /// The listener's function panicked.
    Panicked(&'a str),
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Panicked { id, message } => {
                write!(f, "connection {id} closed: its protocol panicked: {message}")
            }
            Notice::AcceptFailed { listener, error, pause } => {
                write!(f, "cannot accept at {listener}: {error}; trying again in {pause:?}")
            }
            Notice::Refused { peer, why: Refusal::TooManyFromPeer } => {
                write!(f, "refused {peer}: too many connections from this address")
            }
            Notice::Refused { peer, why: Refusal::NoProtocol } => write!(f, "refused {peer}"),
            Notice::Refused { peer, why: Refusal::Panicked(message) } => {
                write!(f, "refused {peer}: the listener's function panicked: {message}")
            }
            Notice::SourceFailed { error } => write!(f, "a source was removed: {error}"),
            Notice::Spinning { events, turns } => {
                write!(f, "busy loop: {events} events in {turns} turns, and no progress")
            }
        }
    }
}

/// Who hears of it.
pub(super) struct Observer(pub(super) Box<dyn FnMut(&Notice<'_>)>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
