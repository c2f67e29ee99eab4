//! Layer 1: who is ready?
//!
//! A program registers *sources* (sockets, descriptors) with a [`Registry`], each with a [`Token`] to recognise it by, and
//! asks [`Poll::poll`] which of them can be read or written without blocking. The names and their meaning are mio's, so whoever
//! knows mio knows this layer. Beyond it there are run-time [`Backend`]s, [`Trigger`]s for level and one-shot, and several
//! [`Waker`]s for one poll.
//!
//! An event loop of your own is a table of connections and a `for` loop. This one echoes:
//!
//! ```no_run
//! use std::io::{Read, Write};
//! use reactor::{Events, Interest, Poll, Token, Trigger, net::TcpListener};
//!
//! fn main() -> std::io::Result<()> {
//!     let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
//!     let mut listener = TcpListener::bind("127.0.0.1:1060".parse().unwrap())?;
//!     poll.registry().register_with(&mut listener, Token(0), Interest::READABLE, Trigger::Level)?;
//!     let (mut streams, mut buffer) = (std::collections::HashMap::new(), [0; 4096]);
//!     for token in 1.. {
//!         poll.poll(&mut events, None)?;
//!         for event in &events {
//!             if event.token() == Token(0) {
//!                 let (mut stream, _) = listener.accept()?;
//!                 poll.registry().register_with(&mut stream, Token(token), Interest::READABLE, Trigger::Level)?;
//!                 streams.insert(Token(token), stream);
//!             } else if let Some(stream) = streams.get_mut(&event.token()) {
//!                 let length = stream.read(&mut buffer).unwrap_or(0);
//!                 if length == 0 || stream.write_all(&buffer[..length]).is_err() {
//!                     poll.registry().deregister(stream)?;
//!                     streams.remove(&event.token());
//!                 }
//!             }
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! (A real one keeps what a write did not take, and waits for [`Interest::WRITABLE`]. That is where
//! [`event_loop`](crate::event_loop) begins.)

pub(crate) mod backend;
pub mod event;
mod events;
mod interest;
mod poll;
pub(crate) mod rearm;
mod registered;
mod registry;
mod source;
pub(crate) mod timeout;
mod token;
pub(crate) mod waker;

pub use backend::Backend;
pub use event::Events;
pub use interest::{Interest, Trigger};
pub use poll::Poll;
pub use registered::Registered;
pub use registry::Registry;
pub use token::Token;
pub use waker::Waker;
