//! The settings of a loop.

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;

use slab::Slab;

use super::driver::readiness::Readiness;
use super::limits::{Limits, Watermarks};
use super::listener::Reserve;
use super::mailbox::Mailbox;
use super::notice::{Notice, Observer};
use super::outside::Outside;
use super::peers::Peers;
use super::protocol::{ConnectionId, Protocol};
use super::reactor::{BELL, Reactor, Spin, key};
use super::spawner::Spawner;
use crate::clock;
use crate::readiness::backend::Callers;
use crate::readiness::{Backend, Trigger};

/// Settings of a loop to be built.
///
/// ```
/// use reactor::Backend;
/// use reactor::event_loop::{Limits, Reactor, Watermarks};
/// # use reactor::event_loop::{Context, Protocol};
/// # struct Silent;
/// # impl Protocol for Silent {
/// #     type Message = ();
/// #     fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize { input.len() }
/// # }
/// let reactor = Reactor::<Silent>::builder()
///     .backend(Backend::Poll)
///     .limits(Limits { connections: 1000, ..Limits::default() })
///     .watermarks(Watermarks { high: 1 << 20, low: 1 << 16 })
///     .build()?;
/// assert_eq!(reactor.backend(), Backend::Poll);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct Builder<P: Protocol> {
    backend: Backend,
    limits: Limits,
    watermarks: Watermarks,
    trigger: Option<Trigger>,
    read_budget: usize,
    mailbox: usize,
    measure_waits: bool,
    observer: Option<Observer>,
    protocol: PhantomData<fn() -> P>,
}

impl<P: Protocol + 'static> Builder<P> {
    pub(super) fn new() -> Builder<P> {
        Builder {
            backend: Backend::Auto,
            limits: Limits::default(),
            watermarks: Watermarks::default(),
            trigger: None,
            read_budget: 64 * 1024,
            mailbox: 65_536,
            measure_waits: false,
            observer: None,
            protocol: PhantomData,
        }
    }

    /// What to wait with. Unless set: [`Backend::Auto`].
    pub fn backend(mut self, backend: Backend) -> Builder<P> {
        self.backend = backend;
        self
    }

    /// How connections are watched. Unless set: with [`Trigger::Edge`] where the kernel has edges (epoll, kqueue, io_uring),
    /// else with [`Trigger::Level`]. What is answered does not depend on it; what it costs does:
    ///
    /// * *Edge*: one registration for a connection's whole life. Nothing is announced twice, so the loop remembers what it has
    ///   left unread and where it was refused room.
    /// * *Level*: a registration says what is wanted now: input unless reading is paused, room while output waits, and where
    ///   neither is wanted there is none. Each change of mind is a system call; but nothing can be missed.
    /// * *One-shot*: as with levels, and each event is a registration used up: one more system call for each. It is for
    ///   kernels where several threads wait for the same set. A loop is one thread, so here it serves to compare.
    ///
    /// Listeners, sources and wakers are watched with levels whatever is set.
    ///
    /// ```
    /// use reactor::event_loop::Reactor;
    /// use reactor::{Backend, Trigger};
    /// # use reactor::event_loop::{Context, Protocol};
    /// # struct Silent;
    /// # impl Protocol for Silent {
    /// #     type Message = ();
    /// #     fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize { input.len() }
    /// # }
    /// let reactor = Reactor::<Silent>::builder().trigger(Trigger::Level).build()?;
    /// assert_eq!(reactor.trigger(), Trigger::Level);
    /// let error = Reactor::<Silent>::builder().backend(Backend::Poll).trigger(Trigger::Edge).build().unwrap_err();
    /// assert_eq!(error.to_string(), "poll has no edges of its own for a loop to wait for; choose level or one-shot");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn trigger(mut self, trigger: Trigger) -> Builder<P> {
        self.trigger = Some(trigger);
        self
    }

    /// What peers are allowed. More connections than [`ConnectionId::MOST`] count as so many.
    pub fn limits(mut self, limits: Limits) -> Builder<P> {
        self.limits = Limits { connections: limits.connections.min(ConnectionId::MOST), ..limits };
        self
    }

    /// When unsent output pauses reading. A high mark of zero counts as one byte; a low mark that is not below the high one as
    /// one byte less.
    pub fn watermarks(mut self, marks: Watermarks) -> Builder<P> {
        self.watermarks = marks.clamped();
        self
    }

    /// Bytes read from one connection in one turn: 64 KiB unless set, at least one.
    pub fn read_budget(mut self, bytes: usize) -> Builder<P> {
        self.read_budget = bytes.max(1);
        self
    }

    /// Messages that may wait: 65 536 unless set. Counted separately for those sent from callbacks and from other threads, and
    /// without those that the turn in progress is delivering.
    pub fn mailbox(mut self, messages: usize) -> Builder<P> {
        self.mailbox = messages;
        self
    }

    /// Whether [`Counters::waited`](super::Counters::waited) is measured, which costs two readings of the clock in each turn.
    pub fn measure_waits(mut self, measure: bool) -> Builder<P> {
        self.measure_waits = measure;
        self
    }

    /// Who hears of what an operator should know; see [`Notice`]. Called on the loop's thread: it must be quick.
    pub fn on_notice(mut self, observer: impl FnMut(&Notice<'_>) + 'static) -> Builder<P> {
        self.observer = Some(Observer(Box::new(observer)));
        self
    }

    /// Builds it.
    ///
    /// # Errors
    /// The backend is not available here, or has no edges where edges are [asked for](Builder::trigger) (`Unsupported`); or
    /// descriptors ran out.
    pub fn build(self) -> io::Result<Reactor<P>> {
        let selector = Arc::new(self.backend.open(Callers::OneThread)?);
        let mailbox = Arc::new(Mailbox::new(Arc::clone(&selector), key(BELL, 0, 0), self.mailbox)?);
        Ok(Reactor {
            connections: Slab::new(),
            generation: 0,
            driver: Readiness::new(selector, self.read_budget, self.trigger)?,
            outside: Outside::new(self.limits, self.watermarks, self.mailbox, clock::now()),
            peers: Peers::default(),
            listeners: Slab::new(),
            reserve: Reserve::new(),
            sources: Slab::new(),
            closures: Slab::new(),
            mailbox,
            letters: VecDeque::new(),
            spawner: Spawner::default(),
            measure_waits: self.measure_waits,
            observer: self.observer,
            batch: Vec::with_capacity(256),
            dispatched: 0,
            queue: VecDeque::new(),
            dead: Vec::new(),
            armed: None,
            timeout_for: None,
            clock_rang: false,
            sweeping: false,
            full: false,
            stopping: None,
            spin: Spin::default(),
        })
    }
}
