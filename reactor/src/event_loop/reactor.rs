//! The loop: one turn after the other.
//!
//! Here is only whose turn it is. What a connection does with its turn stands in [`connection`](super::connection), how
//! connections come in [`admission`](super::admission), how they and the loop end in [`ending`](super::ending).

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use super::builder::Builder;
use super::connection::{Connection, Verdict};
use super::driver::readiness::Readiness;
use super::ending::Stopping;
use super::listener::{Listener, Reserve};
use super::mailbox::{Handle, Letter, Mailbox};
use super::notice::{Notice, Observer};
use super::outside::{Counters, Due, Mail, Outside, Receiver};
use super::peers::Peers;
use super::protocol::{CloseReason, ConnectionId, Protocol, message_of};
use super::source::Watched;
use super::spawner::Spawner;
use super::timer::Timer;
use crate::clock;
use crate::error::Error;
use crate::readiness::backend::{CLOCK_KEY, Selector};
use crate::readiness::event::Event;
use crate::readiness::{Backend, Trigger};

// A key has 56 bits of index and generation (see `ConnectionId`) and 8 that say what the index is of.
pub(super) const CONNECTION: u64 = 0;
pub(super) const LISTENER: u64 = 1;
pub(super) const SOURCE: u64 = 2;
pub(super) const BELL: u64 = 3;

pub(super) fn key(kind: u64, index: usize, generation: u32) -> u64 {
    kind << 56 | ConnectionId::new(index, generation).key()
}

/// Turns without progress, in a row, before the loop says that it spins.
const SPINNING: u64 = 1024;

/// An event loop: connections that speak the protocol `P`, their timers and their mail.
///
/// It belongs to one thread. Others reach it through a [`Handle`], and a program that wants several cores builds one loop
/// in each thread. Dropped, it closes its sockets without a word to the protocols (the kernel's instance itself goes with the
/// last handle). After fork(2) a child must not use its parent's loop (they would share the kernel's state): build loops
/// after forking.
///
/// ```
/// use reactor::event_loop::{Context, Protocol, Reactor};
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use std::time::Duration;
///
/// struct Echo;
/// impl Protocol for Echo {
///     type Message = ();
///     fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
///         cx.write(input);
///         input.len()
///     }
/// }
///
/// let mut reactor = Reactor::builder().build()?;
/// let listener = reactor.listen(([127, 0, 0, 1], 0), |_| Some(Echo))?;
/// let address = reactor.local_address(listener).unwrap().to_string();
/// let handle = reactor.handle();
/// let client = std::thread::spawn(move || {
///     let mut stream = TcpStream::connect(address).unwrap();
///     stream.write_all(b"hello").unwrap();
///     let mut answer = [0; 5];
///     stream.read_exact(&mut answer).unwrap();
///     handle.shutdown(Duration::from_secs(1));
///     answer
/// });
/// reactor.run()?;
/// assert_eq!(&client.join().unwrap(), b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Reactor<P: Protocol> {
    pub(super) connections: Slab<Connection<P>>,
    /// The generation of the next connection.
    pub(super) generation: u32,
    pub(super) driver: Readiness,
    pub(super) outside: Outside<P::Message>,
    pub(super) peers: Peers,
    pub(super) listeners: Slab<Listener<P>>,
    pub(super) reserve: Reserve,
    pub(super) sources: Slab<Watched<P>>,
    pub(super) closures: Slab<Closure<P>>,
    pub(super) mailbox: Arc<Mailbox<P>>,
    pub(super) letters: VecDeque<Letter<P>>,
    pub(super) spawner: Spawner<P>,
    pub(super) measure_waits: bool,
    pub(super) observer: Option<Observer>,

    /// What the last wait reported, and how much of it is dispatched.
    pub(super) batch: Vec<Event>,
    pub(super) dispatched: usize,
    /// Who goes on without an event.
    pub(super) queue: VecDeque<ConnectionId>,
    /// Who is freed at the end of the turn.
    pub(super) dead: Vec<ConnectionId>,

    /// For when the kernel's clock is set, where there is one.
    pub(super) armed: Option<Instant>,
    /// Where there is no clock: the deadline that bounds the wait.
    pub(super) timeout_for: Option<Instant>,
    /// Whether timers may be due: so said the last wait, with or without a clock, and the next turn begins with them.
    pub(super) clock_rang: bool,
    /// Whether limits on time are being watched.
    pub(super) sweeping: bool,
    /// Listeners rest because there are as many connections as allowed.
    pub(super) full: bool,
    pub(super) stopping: Option<Stopping>,
    pub(super) spin: Spin,
}

pub(super) type Closure<P> = Box<dyn FnOnce(&mut Reactor<P>)>;

/// Turns with events but without progress, in a row.
#[derive(Debug, Default)]
pub(super) struct Spin {
    turns: u64,
    events: u64,
}

impl<P: Protocol + 'static> Reactor<P> {
    /// A loop to be built.
    pub fn builder() -> Builder<P> {
        Builder::new()
    }

    // ---------------------------------------------------------------------------------------------------- the turn

    /// Turns until a [`shutdown`](Reactor::shutdown) is complete. Whoever then listens, connects or adopts begins again.
    ///
    /// # Errors
    /// The kernel refused a wait, which it does only to a broken program.
    pub fn run(&mut self) -> io::Result<()> {
        while !self.is_shut_down() {
            self.turn(None)?;
        }
        Ok(())
    }

    /// One turn: waits for something to happen, for `limit` at most (`None`: as long as it takes), and deals with it. The
    /// picture in the guide shows exactly these seven steps, in this order; what follows them is looking after itself.
    ///
    /// # Errors
    /// The kernel refused the wait.
    pub fn turn(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.fire_due_timers();
        let timeout = self.arm_clock(limit)?;
        self.wait(timeout)?;
        let queued_before = self.queue.len();
        self.dispatch_ready();
        self.resume_those_over_budget(queued_before);
        self.deliver_mail();
        self.reap_closed();
        self.look_for_spinning();
        Ok(())
    }

    /// Step 1. One by one, because a timer that rings may cancel the next; and no more than were running, so that timers
    /// started here wait for the next turn.
    fn fire_due_timers(&mut self) {
        if !std::mem::take(&mut self.clock_rang) {
            return;
        }
        self.outside.forget_now(); // it may be that of the turn before, which took its time
        let now = self.outside.now();
        let running = self.outside.wheel.len();
        self.guarded_each(running, |reactor| reactor.outside.wheel.pop_due(now), Reactor::fire);
    }

    /// Step 2. The kernel's clock is set anew only when the earliest deadline came nearer: one that went away makes it ring
    /// once in vain, which is cheaper than a system call for every timer cancelled.
    fn arm_clock(&mut self, limit: Option<Duration>) -> io::Result<Option<Duration>> {
        // What a timer just ended is freed at the end of this turn, be it the loop itself: that must not wait for an event.
        let ending = !self.dead.is_empty() || self.is_shut_down();
        let busy = ending || !self.queue.is_empty() || self.has_mail();
        // A busy loop arms the clock too: it may be busy for ever.
        let limit = if busy { Some(Duration::ZERO) } else { limit };
        if !std::mem::take(&mut self.outside.deadline_moved) {
            return Ok(limit);
        }
        let Some(deadline) = self.outside.wheel.next_deadline() else { return Ok(limit) };
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return Ok(limit);
        }
        if self.driver.selector.arm_clock(deadline)? {
            self.armed = Some(deadline);
            return Ok(limit);
        }
        // No clock: a timeout for the wait, and a look at the time when it ends.
        (self.timeout_for, self.outside.deadline_moved) = (Some(deadline), true);
        let until = deadline.saturating_duration_since(clock::now());
        Ok(Some(limit.map_or(until, |limit| limit.min(until))))
    }

    /// Step 3. A signal ends the wait early, with nothing to dispatch. A batch that came back full had no room for somebody:
    /// the next may be twice as large.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if self.dispatched < self.batch.len() {
            return Ok(()); // events are left: this is a turn within a turn, or a panic of the program ended the last one
        }
        if self.batch.len() == self.batch.capacity() {
            self.batch.reserve(self.batch.capacity() + 1);
        }
        let began = self.measure_waits.then(clock::now);
        match self.driver.selector.wait(&mut self.batch, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.batch.clear(),
            result => result.map_err(|source| {
                Error::Wait { backend: self.driver.selector.backend().name(), source }.into_io()
            })?,
        }
        self.outside.forget_now();
        if let Some(began) = began {
            let waited = self.outside.now() - began;
            self.outside.counters.waited += waited;
        }
        self.outside.counters.turns += 1;
        self.outside.counters.events += self.batch.len() as u64;
        self.dispatched = 0;
        if let Some(deadline) = self.timeout_for.take() {
            self.clock_rang |= deadline <= self.outside.now();
        }
        Ok(())
    }

    /// Step 4.
    fn dispatch_ready(&mut self) {
        if !self.batch.is_empty() {
            self.guarded(Reactor::dispatch_next);
        }
    }

    /// Step 5. One more share for whoever was in the queue before this turn's events, and no second one for those who just
    /// had theirs.
    fn resume_those_over_budget(&mut self, queued_before: usize) {
        if queued_before > 0 {
            let again = |reactor: &mut Reactor<P>, id| {
                reactor.with_connection(id, |connection, driver, outside| connection.again(driver, outside));
            };
            self.guarded_each(queued_before, |reactor| reactor.queue.pop_front(), again);
        }
    }

    /// Step 6. What is sent in here waits for the next turn.
    fn deliver_mail(&mut self) {
        if !self.has_mail() {
            return;
        }
        if self.mailbox.is_rung() {
            self.letters.extend(self.mailbox.take());
        }
        let (mail, letters, wishes) = (self.outside.mail.len(), self.letters.len(), self.spawner.len());
        self.guarded_each(mail, |reactor| reactor.outside.mail.pop_front(), Reactor::send_off);
        self.guarded_each(letters, |reactor| reactor.letters.pop_front(), Reactor::open_letter);
        self.guarded_each(wishes, |reactor| reactor.spawner.next(), Reactor::spawn);
    }

    /// Step 7. Until here an event of this turn could still mean a connection that ended in it; now places and descriptors
    /// are free for new ones.
    fn reap_closed(&mut self) {
        if self.dead.is_empty() {
            return;
        }
        let dead = self.dead.len();
        self.guarded_each(dead, |reactor| reactor.dead.pop(), Reactor::free);
        self.resume_listening();
    }

    /// Runs `step` until it says that nothing is left. A panic ends the connection that was being called, and the phase goes
    /// on: one guard for all, because one for each call would cost 50 instructions a request.
    pub(super) fn guarded(&mut self, mut step: impl FnMut(&mut Reactor<P>) -> bool) {
        while let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| while step(self) {})) {
            self.survive(panic);
        }
        self.outside.leave();
    }

    /// Takes at most so many things, one after the other, and does with each what is to be done, guarded.
    fn guarded_each<T>(
        &mut self,
        mut most: usize,
        take: impl Fn(&mut Reactor<P>) -> Option<T>,
        each: impl Fn(&mut Reactor<P>, T),
    ) {
        self.guarded(|reactor| {
            reactor.outside.leave();
            let next = if most > 0 { take(reactor) } else { None };
            most = most.saturating_sub(1);
            next.map(|thing| each(reactor, thing)).is_some()
        });
    }

    /// A panic of a connection's protocol ends that connection. One of the program's own closures is the program's own.
    #[cold]
    fn survive(&mut self, panic: Box<dyn Any + Send>) {
        let id = self.outside.id;
        if id == ConnectionId::NONE {
            panic::resume_unwind(panic);
        }
        self.outside.counters.panics += 1;
        let message = message_of(&*panic);
        self.notify(&Notice::Panicked { id, message: &message });
        self.close(id, CloseReason::Panicked(message));
        // What was thrown may throw again when it is dropped.
        let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(panic)));
    }

    // -------------------------------------------------------------------------------------------------- dispatching

    /// Deals with the next event of the batch; `false` when there is none.
    #[inline]
    fn dispatch_next(&mut self) -> bool {
        let Some(event) = self.batch.get(self.dispatched) else { return false };
        let (key, flags) = (event.key(), event.flags());
        self.dispatched += 1;
        if key >> 56 == CONNECTION {
            let id = ConnectionId::from_key(key);
            if !self
                .with_connection(id, |connection, driver, outside| connection.ready(flags, driver, outside))
            {
                self.outside.counters.stale += 1;
            }
        } else {
            self.dispatch_other(key, flags);
        }
        true
    }

    #[cold]
    fn dispatch_other(&mut self, key: u64, flags: u32) {
        self.outside.leave();
        let index = ConnectionId::from_key(key).index();
        match key >> 56 {
            _ if key == CLOCK_KEY => {
                (self.clock_rang, self.outside.deadline_moved) = (true, true);
                self.armed = None;
            }
            LISTENER => self.accept_some(index),
            SOURCE => self.source_ready(Event::new(key, flags)),
            _ => {} // the bell: the mailbox phase looks for itself
        }
    }

    /// Calls a connection and does what it leaves to be done; `false` if it is not there any more.
    #[inline]
    pub(super) fn with_connection(
        &mut self,
        id: ConnectionId,
        call: impl FnOnce(&mut Connection<P>, &mut Readiness, &mut Outside<P::Message>) -> Verdict,
    ) -> bool {
        let connection = match self.connections.get_mut(id.index()) {
            Some(connection) if connection.is(id) => connection,
            _ => return false,
        };
        self.outside.enter(id, connection.number());
        match call(connection, &mut self.driver, &mut self.outside) {
            Verdict::Keep => {}
            Verdict::Again => {
                if connection.enqueue() {
                    self.queue.push_back(id);
                }
            }
            Verdict::Close(reason) => self.close(id, *reason),
        }
        true
    }

    fn fire(&mut self, (timer, due): (Timer, Due)) {
        match due {
            Due::Protocol(id) => {
                self.outside.counters.timers += 1;
                self.with_connection(id, |connection, driver, outside| {
                    connection.timer(timer, driver, outside)
                });
            }
            Due::Deadline(id) => {
                self.with_connection(id, |connection, _, outside| connection.deadline(outside));
            }
            Due::Closure(place) => {
                self.outside.counters.timers += 1;
                let run = self.closures.remove(place as usize);
                run(self);
            }
            Due::Listener(place) => self.end_rest(place as usize),
            Due::Sweep => self.sweep(),
            Due::Grace => self.end_grace(),
        }
    }

    // -------------------------------------------------------------------------------------------------------- mail

    fn has_mail(&self) -> bool {
        !self.outside.mail.is_empty()
            || !self.letters.is_empty()
            || self.mailbox.is_rung()
            || self.spawner.len() > 0
    }

    fn open_letter(&mut self, letter: Letter<P>) {
        self.outside.note_progress();
        match letter {
            Letter::Mail(mail) => self.send_off(mail),
            Letter::Run(run) => run(self),
            Letter::Shutdown(grace) => self.shutdown(grace),
        }
    }

    fn send_off(&mut self, Mail { to, message }: Mail<P::Message>) {
        match to {
            Receiver::One(id) => self.deliver(id, message),
            Receiver::Many(to, clone) => {
                // Guarded by itself, or what comes behind this message would overtake it where somebody panics.
                let mut receivers = to.iter();
                self.guarded(|reactor| {
                    reactor.outside.leave();
                    receivers.next().map(|&id| reactor.deliver(id, clone(&message))).is_some()
                });
            }
        }
    }

    fn deliver(&mut self, id: ConnectionId, message: P::Message) {
        let delivered = self
            .with_connection(id, |connection, driver, outside| connection.message(message, driver, outside));
        match delivered {
            true => self.outside.counters.messages += 1,
            false => self.outside.counters.undeliverable += 1,
        }
    }

    // --------------------------------------------------------------------------------------------------- for the program

    /// A way into the loop from other threads.
    #[must_use]
    pub fn handle(&self) -> Handle<P> {
        Handle::new(Arc::clone(&self.mailbox))
    }

    /// A way into the loop from callbacks of the same thread: to open connections.
    #[must_use]
    pub fn spawner(&self) -> Spawner<P> {
        self.spawner.clone()
    }

    /// Runs `run` once, at least `after` from now.
    ///
    /// ```
    /// # use reactor::event_loop::{Context, Protocol, Reactor};
    /// # use std::time::Duration;
    /// # struct Silent;
    /// # impl Protocol for Silent {
    /// #     type Message = ();
    /// #     fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize { input.len() }
    /// # }
    /// let mut reactor = Reactor::<Silent>::builder().build()?;
    /// reactor.after(Duration::from_millis(1), |reactor| reactor.shutdown(Duration::ZERO));
    /// reactor.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn after(&mut self, after: Duration, run: impl FnOnce(&mut Reactor<P>) + 'static) -> Timer {
        self.outside.forget_now(); // between turns it may be long ago
        let place = self.closures.insert(Box::new(run));
        self.outside.start(after, Due::Closure(place as u32), None)
    }

    /// Stops what [`after`](Reactor::after) started. `false` if it ran or was cancelled before.
    pub fn cancel(&mut self, timer: Timer) -> bool {
        match self.outside.wheel.cancel(timer, None) {
            Some(Due::Closure(place)) => {
                drop(self.closures.remove(place as usize));
                true
            }
            _ => false,
        }
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// How many timers run: those of the protocols and of the program, and the loop's own. An idle loop without connections has
    /// none.
    #[must_use]
    pub fn timers(&self) -> usize {
        self.outside.wheel.len()
    }

    /// The backend in use, never [`Backend::Auto`].
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.driver.selector.backend()
    }

    /// How connections are watched; see [`Builder::trigger`](super::Builder::trigger).
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        self.driver.trigger
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.outside.counters
    }

    /// Tells the observer, if there is one.
    pub(super) fn notify(&mut self, notice: &Notice<'_>) {
        if let Some(Observer(observer)) = &mut self.observer {
            observer(notice);
        }
    }

    /// Events without any effect, turn after turn, are a defect, here or in the kernel. (What sources do is out of our sight,
    /// and counts as progress.) Said once, and again each time it has gone on twice as long.
    #[inline]
    fn look_for_spinning(&mut self) {
        if self.batch.is_empty() || self.outside.has_progressed() {
            self.spin.turns = 0;
        } else {
            self.count_idle_turn();
        }
    }

    #[cold]
    fn count_idle_turn(&mut self) {
        if self.spin.turns == 0 {
            self.spin.events = 0;
        }
        self.outside.counters.idle_turns += 1;
        self.spin.turns += 1;
        self.spin.events += self.batch.len() as u64;
        let Spin { turns, events } = self.spin;
        if turns >= SPINNING && turns.is_power_of_two() {
            self.notify(&Notice::Spinning { events, turns });
        }
    }
}

impl<P: Protocol> Drop for Reactor<P> {
    fn drop(&mut self) {
        self.mailbox.close();
        let _ = self.driver.selector.let_go(); // all that it watches is closed next; there is nobody to tell
        while self.spawner.next().is_some() {} // a protocol that waits there may hold the spawner, and so itself
    }
}

impl<P: Protocol> fmt::Debug for Reactor<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("backend", &self.driver.selector.backend())
            .field("connections", &self.connections.len())
            .field("counters", &self.outside.counters)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::Context;
    use crate::readiness::backend::{Rearm, Registration};
    use crate::readiness::{Interest, Trigger};
    use std::cell::RefCell;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::rc::Rc;

    struct Silent;

    impl Protocol for Silent {
        type Message = ();
        fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize {
            input.len()
        }
    }

    /// What was closed without being deregistered may ring for ever, and nobody is there to do something about it.
    #[test]
    fn events_without_effect_are_told_as_a_busy_loop() {
        for &backend in &Backend::available()[1..] {
            let told = Rc::new(RefCell::new(Vec::new()));
            let notes = Rc::clone(&told);
            let note = move |notice: &Notice<'_>| notes.borrow_mut().push(notice.to_string());
            let mut reactor = Reactor::<Silent>::builder().backend(backend).on_notice(note).build().unwrap();
            let (socket, _peer) = UnixStream::pair().unwrap();
            let (interest, trigger, rearm) = (Interest::WRITABLE, Trigger::Level, Rearm::ByOwner);
            let nobody = Registration { key: key(CONNECTION, 7, 7), interest, trigger, rearm };
            reactor.driver.selector.register(socket.as_fd(), nobody).unwrap();
            for turn in 1..=2 * SPINNING {
                reactor.turn(None).unwrap();
                let times = usize::from(turn >= SPINNING) + usize::from(turn >= 2 * SPINNING);
                assert_eq!(told.borrow().len(), times, "{backend}, turn {turn}: {told:?}");
            }
            assert_eq!(
                (reactor.counters().stale, reactor.counters().idle_turns),
                (2 * SPINNING, 2 * SPINNING)
            );
        }
    }
}
