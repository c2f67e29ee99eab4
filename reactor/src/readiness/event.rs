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
//! The guide's chapter [What is told](crate::guide::what_is_told) has tables of what each state of a source looks like with every
//! backend, and of how often it is told with every trigger.

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

    /// Asynchronous I/O with a file ended: `EVFILT_AIO`, where kqueue(2) has it.
    #[inline]
    #[must_use]
    pub fn is_aio(&self) -> bool {
        self.has(sys::AIO)
    }

    /// A list of asynchronous I/O ended: `EVFILT_LIO`, which only FreeBSD has.
    #[inline]
    #[must_use]
    pub fn is_lio(&self) -> bool {
        self.has(sys::LIO)
    }

    #[inline]
    fn has(&self, flags: u32) -> bool {
        self.flags() & flags != 0
    }
}

impl fmt::Debug for Event {
    /// `{:#?}` shows the flags too that all this was read from.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_details = f.alternate();
        let mut event = f.debug_struct("Event");
        event
            .field("token", &self.token())
            .field("readable", &self.is_readable())
            .field("writable", &self.is_writable())
            .field("error", &self.is_error())
            .field("read_closed", &self.is_read_closed())
            .field("write_closed", &self.is_write_closed())
            .field("priority", &self.is_priority())
            .field("aio", &self.is_aio())
            .field("lio", &self.is_lio());
        if with_details {
            event.field("details", &Flags(self.flags()));
        }
        event.finish()
    }
}

/// The flags of an event by their names in poll(2), whichever backend told them, and what poll(2) has no name for.
struct Flags(u32);

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (sys::IN, "POLLIN"),
            (sys::PRI, "POLLPRI"),
            (sys::OUT, "POLLOUT"),
            (sys::ERR, "POLLERR"),
            (sys::HUP, "POLLHUP"),
            (sys::RDHUP, "POLLRDHUP"),
            (sys::WRHUP, "WRHUP"),
            (sys::AIO, "AIO"),
            (sys::LIO, "LIO"),
        ];
        let set: Vec<&str> =
            names.iter().filter(|(flag, _)| self.0 & flag != 0).map(|(_, name)| *name).collect();
        f.write_str(if set.is_empty() { "(none)" } else { "" })?;
        f.write_str(&set.join("|"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_event_says_of_itself_names_the_flags_on_request() {
        let event = Event::new(7, sys::IN | sys::RDHUP);
        assert!(format!("{event:?}").ends_with("aio: false, lio: false }"));
        assert!(format!("{event:#?}").contains("details: POLLIN|POLLRDHUP,"), "{event:#?}");
        assert!(format!("{:#?}", Event::new(7, 0)).contains("details: (none),"));
    }

    /// No backend of this system tells of these, but a kernel queue may.
    #[test]
    fn asynchronous_input_and_output_is_told_as_nothing_else() {
        let (aio, lio) = (Event::new(1, sys::AIO), Event::new(1, sys::LIO));
        assert!(aio.is_aio() && !aio.is_lio() && lio.is_lio() && !lio.is_aio());
        assert!(!aio.is_readable() && !aio.is_writable() && !aio.is_write_closed());
    }
}
