//! What the servers say: one file per service, each a [`Protocol`] written once.
//!
//! | service | port | a client sends | the server answers |
//! |---|---|---|---|
//! | [`zen`] | 1060 | a question that ends with `?` | an answer that ends with `.` |
//! | [`bytes`] | 2000 | a decimal count | that many bytes |
//! | [`echo`] | 1061 | bytes | the same bytes |
//!
//! A service is made once for each thread that serves, and makes a protocol for each connection. Who waits for the
//! connections is not its business: [`Serve`] is all that the models see of it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use reactor::event_loop::Protocol;

pub mod bytes;
pub mod echo;
#[doc(hidden)]
pub mod panics;
mod shared;
pub mod zen;

pub use shared::{Book, Settings, Tally, Totals};

/// A service as those see it who wait for its clients.
pub trait Serve: Sized + 'static {
    /// One connection's side of the service.
    type Conversation: Protocol<Message = Infallible> + 'static;

    /// The port of the classic texts.
    const PORT: u16;

    /// What a request is called in a report.
    const REQUEST: &'static str;

    /// The byte that ends a request, if one does.
    const TERMINATOR: Option<u8>;

    /// The service for one thread.
    fn start(settings: &Settings) -> Rc<Self>;

    /// The protocol for one more connection, from `peer` (`None`: over a Unix socket).
    fn converse(self: &Rc<Self>, peer: Option<SocketAddr>) -> Self::Conversation;
}
