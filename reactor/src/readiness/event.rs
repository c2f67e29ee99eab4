//! What a wait reports.
//!
//! One bit may hold more than one truth (the end of the stream is readable), so ask for all that matter:
//!
//! ```
//! use reactor::event::Event;
//! fn react(event: &Event) {
//!     if event.is_readable() { /* read until WouldBlock */ }
//!     if event.is_writable() { /* write what is unsent */ }
//!     if event.is_error() || event.is_write_closed() { /* ask take_error, give up what is unsent */ }
//! }
//! ```
//!
//! What each state of a source looks like on Linux to who asked for all three interests, with every backend (a test makes this
//! table from what the kernel really tells):
#![doc = include_str!("truth_table.md")]

use std::fmt;

use super::Token;
use crate::sys;

pub use super::events::{Events, Iter};
pub use super::source::Source;
pub use crate::sys::Event;

impl Event {
    /// The token given at registration.
    #[inline]
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // it was made from a usize
    pub fn token(&self) -> Token {
        Token(self.key() as usize)
    }

    /// There is something to read (data, a connection to accept, priority data, or the end of the stream).
    #[inline]
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.has(sys::IN | sys::PRI)
    }

    /// There is room to write, or a connection attempt ended: check `take_error` to learn how.
    #[inline]
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.has(sys::OUT)
    }

    /// The source has an error to tell: `take_error`.
    #[inline]
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.has(sys::ERR)
    }

    /// The peer will send nothing more. What it sent before may still be waiting to be read.
    #[inline]
    #[must_use]
    pub fn is_read_closed(&self) -> bool {
        self.has(sys::HUP) || (self.has(sys::IN) && self.has(sys::RDHUP))
    }

    /// Writing is over: both directions are shut down, or the source failed.
    #[inline]
    #[must_use]
    pub fn is_write_closed(&self) -> bool {
        self.has(sys::HUP | sys::WRHUP)
            || (self.has(sys::OUT) && self.has(sys::ERR))
            || self.flags() == sys::ERR
    }

    /// There is priority (out-of-band) data.
    #[inline]
    #[must_use]
    pub fn is_priority(&self) -> bool {
        self.has(sys::PRI)
    }

    #[inline]
    fn has(&self, flags: u32) -> bool {
        self.flags() & flags != 0
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("token", &self.token())
            .field("readable", &self.is_readable())
            .field("writable", &self.is_writable())
            .field("error", &self.is_error())
            .field("read_closed", &self.is_read_closed())
            .field("write_closed", &self.is_write_closed())
            .field("priority", &self.is_priority())
            .finish()
    }
}
