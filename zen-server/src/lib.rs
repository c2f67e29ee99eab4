//! The zen servers of the classic networking texts.
//!
//! *What to say* is in [`services`], one file per service, each written once as a
//! [`Protocol`](reactor::event_loop::Protocol): no socket, no thread, no loop in it. *Who waits* is decided by whoever runs
//! it; the program `zen-server` runs it on a [`Reactor`](reactor::event_loop::Reactor).
//!
//! Besides, [`events`] holds the sentences in which a server reports on its clients, [`peer`] remembers a client's address
//! in seven bytes, and [`command_line`] the manners that all programs of this workspace share.
#![warn(missing_docs)]
#![deny(rustdoc::broken_intra_doc_links)]
#![forbid(unsafe_code)]

pub mod command_line;
pub mod events;
pub mod peer;
pub mod services;
