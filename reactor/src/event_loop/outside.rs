//! What a session sees of the world outside: the time, the timers, the mailbox, and who it is.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::limits::{Limits, Watermarks};
use super::protocol::ConnectionId;
use super::session::{SessionState, Spare};
use super::timer::{Timer, Wheel};
use crate::clock;
use crate::net::Address;
use crate::sys;

/// One per loop, lent to whichever session is being called.
#[derive(Debug)]
pub(crate) struct Outside<M> {
    /// Whose turn it is.
    pub(crate) id: ConnectionId,
    /// Its socket, or -1.
    pub(crate) socket: RawFd,
    pub(crate) limits: Limits,
    pub(crate) watermarks: Watermarks,
    /// Counts the sweeps that look for idle connections; a connection notes it whenever bytes move.
    pub(crate) epoch: u32,
    pub(crate) wheel: Wheel<Due>,
    pub(crate) mail: VecDeque<Mail<M>>,
    pub(crate) mailbox_capacity: usize,
    pub(crate) counters: Counters,
    /// What `Context::scanned` answers.
    pub(crate) scanned: u32,
    /// Whether the earliest deadline may be another than when the clock was set.
    pub(crate) deadline_moved: bool,
    /// What moved up to the last `has_progressed`: bytes, and everything.
    moved: u64,
    progress: u64,
    now: Option<Instant>,
    pub(crate) spare: Spare,
    /// Where writes go that are ignored.
    void: Vec<u8>,
}

/// What a timer of the loop is for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A protocol's own timer.
    Protocol(ConnectionId),
    /// The loop's deadline for a connection: to be established, or to be gone.
    Deadline(ConnectionId),
    /// A closure handed to `Reactor::after`: its place among them.
    Closure(u32),
    /// A listener that paused for lack of descriptors tries again: its place.
    Listener(u32),
    /// The next look for idle connections.
    Sweep,
    /// The end of a shutdown's grace.
    Grace,
}

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Mail<M> {
    pub(crate) to: Receiver<M>,
    pub(crate) message: M,
}

#[derive(Debug)]
pub(crate) enum Receiver<M> {
    One(ConnectionId),
    /// Many, and how to clone the message for each.
    Many(Arc<[ConnectionId]>, fn(&M) -> M),
}

/// What a loop counted since it was built. All counters are full-width and never wrap in practice.
///
/// ```
/// # use reactor::event_loop::{Reactor, Protocol, Context};
/// # struct Silent;
/// # impl Protocol for Silent {
/// #     type Message = ();
/// #     fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize { input.len() }
/// # }
/// let reactor = Reactor::<Silent>::builder().build()?;
/// assert_eq!(reactor.counters().accepted, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Turns made.
    pub turns: u64,
    /// Time spent in waits, if [`Builder::measure_waits`](super::Builder::measure_waits) was set.
    pub waited: Duration,
    /// Events the waits reported.
    pub events: u64,
    /// Events dropped because what they were for was gone.
    pub stale: u64,
    /// Turns with events in which nothing moved (see [`Notice::Spinning`](super::Notice::Spinning)).
    pub idle_turns: u64,
    /// Connections accepted and given a protocol.
    pub accepted: u64,
    /// Connections made, or tried, from this side, and adopted ones.
    pub opened: u64,
    /// Connections closed as soon as they were accepted: too many from one peer, or refused by the listener's function.
    pub refused: u64,
    /// Connections closed as soon as they were accepted, because descriptors ran out.
    pub shed: u64,
    /// Times a listener was said to be ready and nobody was there: another loop had been quicker.
    pub accepts_in_vain: u64,
    /// Connections ended, for whatever reason.
    pub closed: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Timers that rang.
    pub timers: u64,
    /// Messages delivered.
    pub messages: u64,
    /// Messages to connections that were gone.
    pub undeliverable: u64,
    /// Panics caught.
    pub panics: u64,
    /// Times a protocol claimed to have consumed more than it was given.
    pub overclaimed: u64,
}

impl<M> Outside<M> {
    /// `now` is when time begins.
    pub(crate) fn new(
        limits: Limits,
        watermarks: Watermarks,
        mailbox_capacity: usize,
        now: Instant,
    ) -> Outside<M> {
        Outside {
            id: ConnectionId::NONE,
            socket: -1,
            limits,
            watermarks,
            epoch: 0,
            wheel: Wheel::new(now),
            mail: VecDeque::new(),
            mailbox_capacity,
            counters: Counters::default(),
            scanned: 0,
            deadline_moved: false,
            moved: 0,
            progress: 0,
            now: Some(now),
            spare: Spare::default(),
            void: Vec::new(),
        }
    }

    /// From here on the calls are for this connection.
    #[inline]
    pub(crate) fn enter(&mut self, id: ConnectionId, socket: RawFd) {
        self.id = id;
        self.socket = socket;
    }

    /// From here on the calls are for nobody.
    pub(crate) fn leave(&mut self) {
        self.enter(ConnectionId::NONE, -1);
    }

    pub(crate) fn peer(&self) -> io::Result<Address> {
        sys::borrow(self.socket, |socket| sys::peer_address(socket).map(|raw| Address::from(&raw)))?
    }

    #[inline]
    pub(crate) fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(clock::now)
    }

    /// Time went by: the next `now` reads the clock.
    #[inline]
    pub(crate) fn forget_now(&mut self) {
        self.now = None;
    }

    /// Sets the time by hand, where there is no clock.
    pub(crate) fn set_now(&mut self, now: Instant) {
        self.now = Some(now);
    }

    pub(crate) fn start_timer(&mut self, after: Duration, state: &mut SessionState) -> Timer {
        let due = Due::Protocol(self.id);
        self.start(after, due, Some(state))
    }

    /// Starts a timer; a session's own is dropped with it.
    pub(crate) fn start(&mut self, after: Duration, due: Due, state: Option<&mut SessionState>) -> Timer {
        let now = self.now();
        if self.wheel.len() == 0 {
            self.wheel.pop_due(now); // nothing is due, but from here the wheel sees the new timer from close by
        }
        self.deadline_moved = true;
        let deadline = later(now, after);
        match state {
            Some(state) => {
                let more = state.more_or_insert(&mut self.spare);
                self.wheel.start(deadline, due, Some(&mut more.timers))
            }
            None => self.wheel.start(deadline, due, None),
        }
    }

    pub(crate) fn cancel_timer(&mut self, timer: Timer, state: &mut SessionState) -> bool {
        match state.more_mut() {
            Some(more) => self.wheel.cancel(timer, Some(&mut more.timers)).is_some(),
            None => false,
        }
    }

    pub(crate) fn drop_timers(&mut self, state: &mut SessionState) {
        if let Some(more) = state.more_mut() {
            self.wheel.cancel_all(&mut more.timers);
        }
    }

    /// Drops the loop's own timers of a session, and leaves the protocol's.
    pub(crate) fn drop_deadline(&mut self, state: &mut SessionState) {
        if let Some(more) = state.more_mut() {
            self.wheel.cancel_those(&mut more.timers, |due| matches!(due, Due::Deadline(_)));
        }
    }

    pub(crate) fn post(&mut self, mail: Mail<M>) -> Result<(), M> {
        if self.mail.len() >= self.mailbox_capacity {
            return Err(mail.message);
        }
        self.mail.push_back(mail);
        Ok(())
    }

    /// Something moved that no counter counts.
    pub(crate) fn note_progress(&mut self) {
        self.progress = self.progress.wrapping_sub(1);
    }

    /// Whether anything moved since the last time of asking. Mostly it is bytes.
    #[inline]
    pub(crate) fn has_progressed(&mut self) -> bool {
        let before = self.moved;
        self.moved = self.counters.bytes_in + self.counters.bytes_out;
        self.moved != before || self.has_progressed_otherwise()
    }

    #[cold]
    fn has_progressed_otherwise(&mut self) -> bool {
        let Counters { accepted, opened, refused, shed, closed, timers, messages, .. } = self.counters;
        let before = self.progress;
        self.progress = accepted + opened + refused + shed + closed + timers + messages;
        self.progress != before
    }

    /// Takes back the memory for left-over bytes from a session that has none.
    pub(crate) fn release(&mut self, state: &mut SessionState) {
        if !state.more().is_some_and(|more| more.is_empty() && !self.wheel.has_timers(&more.timers)) {
            return;
        }
        self.drop_timers(state); // none run, but the wheel keeps a place for their chain
        if let Some(more) = state.take_more() {
            self.spare.keep(more);
        }
    }

    pub(crate) fn void(&mut self) -> &mut Vec<u8> {
        self.void.clear();
        &mut self.void
    }
}

/// `now + after`, or in thirty years where that has no name.
pub(crate) fn later(now: Instant, after: Duration) -> Instant {
    now.checked_add(after).unwrap_or_else(|| now + Duration::from_secs(60 * 60 * 24 * 365 * 30))
}
