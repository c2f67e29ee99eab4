//! The client's side of the zen servers' conversation.
//!
//! [`Conversation`] is a [`Protocol`](reactor::event_loop::Protocol) like the server's: no socket and no loop in it. The
//! program `zen-client` runs it on a [`Reactor`](reactor::event_loop::Reactor).
//!
//! [`load`] holds very many conversations at once, verifies every answer, and measures.
#![warn(missing_docs)]
#![deny(rustdoc::broken_intra_doc_links)]
#![forbid(unsafe_code)]

pub mod conversation;
pub mod load;
pub mod shuffle;

pub use conversation::{Conversation, Failure, Told};
