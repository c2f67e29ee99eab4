//! Other descriptors in the same loop: a terminal, a datagram socket, a child's pipe.

use std::io;
use std::os::fd::BorrowedFd;
use std::panic::{self, AssertUnwindSafe};
use std::time::Instant;

use super::notice::Notice;
use super::outside::{Mail, Outside, Receiver};
use super::protocol::{ConnectionId, Protocol, message_of};
use super::reactor::{Reactor, SOURCE, key};
use crate::readiness::backend::{Rearm, Registration, Selector};
use crate::readiness::event::Event;
use crate::readiness::{Interest, Trigger};

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

impl<P: Protocol + 'static> Reactor<P> {
    /// Watches another descriptor.
    ///
    /// # Errors
    /// The backend cannot watch it, or it is watched already.
    pub fn add_source(&mut self, source: impl Source<P::Message> + 'static) -> io::Result<SourceId> {
        self.watch(What::Source(Box::new(source)))
    }

    /// Ends the watching of a source and drops it. `false` if it was removed before.
    pub fn remove_source(&mut self, source: SourceId) -> bool {
        let place = ConnectionId::from_key(source.0).index();
        if self.sources.get(place).is_none_or(|watched| watched.key != source.0) {
            return false;
        }
        let watched = self.sources.remove(place);
        if let Some(descriptor) = watched.what.descriptor() {
            let _ = self.driver.selector.deregister(descriptor); // it may have been closed by its owner
        }
        true
    }

    pub(super) fn watch(&mut self, what: What<P>) -> io::Result<SourceId> {
        let generation = self.generation;
        self.generation = self.generation.wrapping_add(1);
        let entry = self.sources.vacant_entry();
        let key = key(SOURCE, entry.key(), generation);
        let interest = what.interest();
        if let Some(descriptor) = what.descriptor() {
            self.driver.selector.register(descriptor, of_source(key, interest))?;
        }
        entry.insert(Watched { key, interest, what });
        Ok(SourceId(key))
    }

    /// A source is ready. It is taken out of the table while it is called, because it may want the whole loop.
    pub(super) fn source_ready(&mut self, event: Event) {
        let place = ConnectionId::from_key(event.key()).index();
        let Some(watched) = self.sources.get_mut(place).filter(|watched| watched.key == event.key()) else {
            self.outside.counters.stale += 1;
            return;
        };
        let mut what = std::mem::replace(&mut watched.what, What::Busy);
        let result = self.call_source(&mut what, &event);
        let id = SourceId(event.key());
        // It may have been removed meanwhile, by itself.
        let Some(watched) = self.sources.get_mut(place).filter(|watched| watched.key == id.0) else {
            if let Some(descriptor) = what.descriptor() {
                let _ = self.driver.selector.deregister(descriptor);
            }
            return;
        };
        watched.what = what;
        match result {
            Ok(true) => {
                self.remove_source(id);
            }
            Ok(false) => self.update_source(place, id),
            Err(error) => self.source_failed(id, &error),
        }
    }

    /// Calls it; `true` if it wants to be removed.
    fn call_source(&mut self, what: &mut What<P>, event: &Event) -> io::Result<bool> {
        self.outside.note_progress(); // what it does is out of our sight
        match what {
            What::Source(source) => {
                let mut cx = SourceContext { outside: &mut self.outside, remove: false };
                match panic::catch_unwind(AssertUnwindSafe(|| source.ready(event, &mut cx))) {
                    Ok(result) => result.map(|()| cx.remove),
                    Err(panic) => {
                        self.outside.counters.panics += 1;
                        Err(io::Error::other(format!("it panicked: {}", message_of(&*panic))))
                    }
                }
            }
            #[cfg(feature = "signal-hook")]
            What::Signal(signal) => signal.ready(self).map(|()| false),
            What::Busy => Ok(false),
        }
    }

    /// Its interest may have changed.
    fn update_source(&mut self, place: usize, id: SourceId) {
        let watched = &mut self.sources[place];
        let interest = watched.what.interest();
        if interest == watched.interest {
            return;
        }
        watched.interest = interest;
        if let Some(descriptor) = watched.what.descriptor() {
            if let Err(error) = self.driver.selector.reregister(descriptor, of_source(id.0, interest)) {
                self.source_failed(id, &error);
            }
        }
    }

    fn source_failed(&mut self, id: SourceId, error: &io::Error) {
        self.remove_source(id);
        self.notify(&Notice::SourceFailed { error });
    }
}

fn of_source(key: u64, interest: Interest) -> Registration {
    Registration { key, interest, trigger: Trigger::Level, rearm: Rearm::ByTime }
}
