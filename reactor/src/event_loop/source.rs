//! Other descriptors in the same loop: a terminal, a datagram socket, a child's pipe.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use super::outside::{Mail, Outside, Receiver};
use super::protocol::{ConnectionId, Protocol};
use crate::readiness::Interest;
use crate::readiness::event::Event;

/// A descriptor the loop watches for its owner, level-triggered: `ready` is called on every turn in which it is ready, so it
/// need not read everything, and the descriptor need not be nonblocking.
///
/// ```no_run
/// use reactor::event_loop::{Source, SourceContext};
/// use reactor::{Interest, event::Event};
/// use std::io::{self, BufRead};
/// use std::os::fd::{AsFd, BorrowedFd};
///
/// /// Ends with standard input.
/// struct Typed(io::Stdin);
///
/// impl<M> Source<M> for Typed {
///     fn descriptor(&self) -> BorrowedFd<'_> { self.0.as_fd() }
///     fn ready(&mut self, _: &Event, cx: &mut SourceContext<'_, M>) -> io::Result<()> {
///         let mut line = String::new();
///         match self.0.lock().read_line(&mut line)? {
///             0 => cx.remove(),
///             _ => println!("typed: {}", line.trim()),
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Source<M> {
    /// What to watch: always the same descriptor.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// What to watch it for. Asked again after each `ready`.
    fn interest(&self) -> Interest {
        Interest::READABLE
    }

    /// It is ready.
    ///
    /// # Errors
    /// An error, or a panic, removes the source; [`Notice::SourceFailed`](super::Notice::SourceFailed) tells of it.
    fn ready(&mut self, event: &Event, cx: &mut SourceContext<'_, M>) -> io::Result<()>;
}

/// Which source of a loop.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceId(pub(crate) u64);

/// What a source may do while it is called.
#[derive(Debug)]
pub struct SourceContext<'a, M> {
    pub(crate) outside: &'a mut Outside<M>,
    pub(crate) remove: bool,
}

impl<M> SourceContext<'_, M> {
    /// Sends a message to a connection; see [`Context::send`](super::Context::send).
    ///
    /// # Errors
    /// The mailbox is full: the message is handed back.
    pub fn send(&mut self, to: ConnectionId, message: M) -> Result<(), M> {
        self.outside.post(Mail { to: Receiver::One(to), message })
    }

    /// Ends the watching: the source is dropped after this call.
    pub fn remove(&mut self) {
        self.remove = true;
    }

    /// The time of this turn.
    pub fn now(&mut self) -> Instant {
        self.outside.now()
    }
}

/// An entry of the loop's table of other descriptors.
pub(super) struct Watched<P: Protocol> {
    pub(super) key: u64,
    pub(super) interest: Interest,
    pub(super) what: What<P>,
}

pub(super) enum What<P: Protocol> {
    Source(Box<dyn Source<P::Message>>),
    #[cfg(feature = "signal-hook")]
    Signal(super::signal::Signal<P>),
    /// Being called.
    Busy,
}

impl<P: Protocol> What<P> {
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            What::Source(source) => Some(source.descriptor()),
            #[cfg(feature = "signal-hook")]
            What::Signal(signal) => Some(signal.descriptor()),
            What::Busy => None,
        }
    }

    pub(super) fn interest(&self) -> Interest {
        match self {
            What::Source(source) => source.interest(),
            _ => Interest::READABLE,
        }
    }
}
