//! Layer 2: whose turn is it?
//!
//! A [`Protocol`] says what to say; a [`Reactor`] lets one thread hold thousands of such conversations, [`converse`] lets a
//! thread hold one, [`InMemory`] lets a test hold one.
//!
//! What surprises newcomers: coming from asyncio, that nothing is sent before the callback returns; from tokio, that a slow
//! callback stops everyone; from mio, that there are no tokens and no `WouldBlock`; from calloop, that there is no shared
//! `&mut Data` (use `Rc<RefCell<…>>`). And for all: the default [`eof`](Protocol::eof) closes, so whoever answers later
//! overrides it or pauses.
//!
//! Read in this order: [`protocol`](Protocol) (what to say), `session` (one conversation's state), `output` (what is unsent),
//! `connection` (a conversation on a socket), `reactor` (the turn).

pub mod adapter;
mod admission;
mod builder;
mod connection;
mod driver;
mod ending;
mod limits;
mod listener;
mod mailbox;
mod notice;
mod output;
mod outside;
mod peers;
mod protocol;
mod reactor;
mod session;
#[cfg(feature = "signal-hook")]
mod signal;
mod source;
mod spawner;
mod timer;
mod workers;

pub use builder::Builder;
pub use driver::blocking::{Step, converse, converse_observed};
pub use driver::memory::InMemory;
pub use limits::{Limits, Watermarks};
pub use listener::{Incoming, ListenerId};
pub use mailbox::Handle;
pub use notice::{Notice, Refusal};
pub use outside::Counters;
#[cfg(feature = "sim")]
pub(crate) use protocol::message_of;
pub use protocol::{CloseReason, ConnectionId, Context, Limit, Protocol, Timeout};
pub use reactor::Reactor;
pub use source::{Source, SourceContext, SourceId};
pub use spawner::Spawner;
pub use timer::Timer;
pub use workers::Workers;
