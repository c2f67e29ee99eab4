//! A reactor written by hand: who is ready, whose turn is it, and what is under `await`.
//!
//! *What to say* is a [`Protocol`](event_loop::Protocol), written once and without any I/O. *Who waits* is a choice made
//! afterwards: a blocking thread ([`converse`](event_loop::converse)) or an event loop
//! ([`Reactor`](event_loop::Reactor)) over select(2), poll(2), epoll(7), io_uring(7) or kqueue(2), picked at run time.
//!
//! The source reads from the ground up, and a module uses only what stands above it in this list:
//!
//! | module | the question it answers |
//! |---|---|
//! | `sys`, `clock` | how do we ask the kernel, and what time is it? |
//! | [`readiness`] | layer 1: who is ready? (mio's vocabulary) |
//! | [`net`], [`unix`] | nonblocking sockets, pipes, raw descriptors |
//! | [`event_loop`] | layer 2: whose turn is it? |
//! | [`guide`] | the same as chapters, with pictures |
#![warn(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(rustdoc::broken_intra_doc_links)]

#[cfg(not(unix))]
compile_error!("zen-reactor needs a Unix: it waits with select, poll, epoll or kqueue");

#[macro_use]
mod sys;
mod clock;
mod error;
mod sync;

pub mod event_loop;
pub mod guide;
pub mod net;
pub mod readiness;
#[cfg(feature = "sim")]
pub mod simulation;
pub mod unix;

pub use error::{Error, errno};
pub use readiness::{Backend, Events, Interest, Poll, Registered, Registry, Token, Trigger, Waker, event};

pub mod features {
    //! What the features of this package bring.
    //!
    //! | feature | what it brings |
    //! |---|---|
    //! | `io-uring` (on, unless switched off) | the backend of that name, on Linux |
    //! | `sim` | a simulated kernel, to test protocols with |
    //! | `signal-hook` | signals as events of the loop: [`Reactor::on_signal`](crate::event_loop::Reactor#method.on_signal) |
    //! | `os-poll`, `os-ext`, `net`, `log` | nothing: they are mio's, so that a program can depend on this package in mio's place |
    //!
    //! That is one line of `Cargo.toml`, and no change to the program:
    //!
    //! ```toml
    //! mio = { package = "zen-reactor", version = "0.1", features = ["os-poll", "os-ext", "net"] }
    //! ```
    //!
    //! In mio, without the first three there is no [`Poll`](crate::Poll) that works, no [`unix`](crate::unix) and no
    //! [`net`](crate::net); here they are always there. With the last, mio logs each registration; this library writes no log.
}
