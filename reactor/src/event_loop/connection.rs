//! One connection on the readiness driver: a session, its socket, and what moves between the two.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use super::driver::readiness::{self, Readiness};
use super::outside::{Due, Outside};
use super::protocol::{CloseReason, ConnectionId, Limit, Protocol, Timeout};
use super::session::{Demand, Session};
use super::timer::Timer;
use crate::error::in_call;
use crate::readiness::backend::Selector;
use crate::readiness::{Interest, Trigger};
use crate::sys;

/// An entry of the loop's table: 32 bytes beside the protocol's own.
#[derive(Debug)]
pub(crate) struct Connection<P> {
    pub(crate) session: Session<P>,
    pub(crate) socket: OwnedFd,
    pub(crate) generation: u32,
    /// The epoch in which bytes last moved.
    pub(crate) stamp: u32,
    /// Where its peer is counted, if peers are.
    pub(crate) peer: u32,
}

// What the driver remembers of a connection, in the session's `driver` bits.

/// Watched for reading (for good, where there are edges).
const READABLE: u16 = 1;
/// Watched for writing, where there are no edges.
const WRITABLE: u16 = 1 << 1;
/// There may be input in the kernel that no event will announce again.
const UNREAD: u16 = 1 << 2;
/// The kernel took no more at the last attempt.
const BLOCKED: u16 = 1 << 3;
/// Not established yet.
const CONNECTING: u16 = 1 << 4;
/// FIN is sent, the peer's is awaited.
const LINGERING: u16 = 1 << 5;
/// A deadline for the end is set, and since then
const DEADLINE: u16 = 1 << 6;
/// bytes went out.
const PROGRESS: u16 = 1 << 7;
/// In the queue of those who go on later in this turn or in the next.
const QUEUED: u16 = 1 << 8;
/// Closed; freed at the end of the turn.
const DEAD: u16 = 1 << 9;
/// The kernel refused a whole transmission, in spite of all we know.
const REFUSED: u16 = 1 << 10;
/// Watched with one-shots.
const ONE_SHOT: u16 = 1 << 11;
/// The shot was fired: nothing is announced until it is watched anew.
const SPENT: u16 = 1 << 12;

/// What a call leaves to be done with its connection.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Nothing: wait for the next event.
    Keep,
    /// It goes on without an event, when the others had their share.
    Again,
    /// It is over. (Boxed, a verdict fits into two registers: every event returns one.)
    Close(Box<CloseReason>),
}

impl From<CloseReason> for Verdict {
    fn from(reason: CloseReason) -> Verdict {
        Verdict::Close(Box::new(reason))
    }
}

impl<P: Protocol> Connection<P> {
    pub(crate) fn new(protocol: P, socket: OwnedFd, generation: u32, peer: u32, epoch: u32) -> Connection<P> {
        Connection { session: Session::new(protocol), socket, generation, stamp: epoch, peer }
    }

    /// Begins to watch it, and tells the protocol that it stands.
    pub(crate) fn start(
        &mut self,
        id: ConnectionId,
        driver: &mut Readiness,
        outside: &mut Outside<P::Message>,
    ) -> Verdict {
        if let Err(error) = driver.watch(self.socket.as_fd(), id.key(), Interest::READABLE) {
            return CloseReason::Io(error).into();
        }
        self.set(READABLE | one_shot(driver));
        self.session.open(&mut driver.output, outside);
        self.settle(driver, outside)
    }

    /// Begins to watch an attempt to connect.
    pub(crate) fn start_connecting(
        &mut self,
        id: ConnectionId,
        driver: &mut Readiness,
        outside: &mut Outside<P::Message>,
    ) -> Verdict {
        if let Err(error) = driver.watch(self.socket.as_fd(), id.key(), Interest::WRITABLE) {
            return CloseReason::Io(error).into();
        }
        // Blocked, because what a message makes it write waits until the connection stands.
        self.set(
            CONNECTING | BLOCKED | one_shot(driver) | if driver.has_edges() { READABLE } else { WRITABLE },
        );
        if let Some(limit) = outside.limits.connect_time {
            outside.start(limit, Due::Deadline(id), Some(&mut self.session.state));
        }
        Verdict::Keep
    }

    /// The kernel says that it is ready.
    #[inline]
    pub(crate) fn ready(
        &mut self,
        flags: u32,
        driver: &mut Readiness,
        outside: &mut Outside<P::Message>,
    ) -> Verdict {
        if self.has(ONE_SHOT) {
            self.ready_once(flags, driver, outside)
        } else if self.has(CONNECTING | LINGERING | BLOCKED) {
            self.ready_specially(flags, driver, outside)
        } else if flags & !sys::OUT != 0 {
            self.read(flags, driver, outside)
        } else {
            self.settle(driver, outside)
        }
    }

    /// A one-shot is loaded again whatever came of it, unless that was the end.
    #[cold]
    fn ready_once(
        &mut self,
        flags: u32,
        driver: &mut Readiness,
        outside: &mut Outside<P::Message>,
    ) -> Verdict {
        self.set(SPENT);
        let verdict = self.ready_specially(flags, driver, outside);
        if matches!(verdict, Verdict::Close(_)) || !self.has(SPENT) {
            return verdict;
        }
        match self.update_interest(driver, outside) {
            Ok(()) => verdict,
            Err(error) => CloseReason::Io(error).into(),
        }
    }

    #[cold]
    fn ready_specially(
        &mut self,
        flags: u32,
        driver: &mut Readiness,
        outside: &mut Outside<P::Message>,
    ) -> Verdict {
        if self.has(CONNECTING) {
            return self.finish_connecting(flags, driver, outside);
        }
        if self.has(LINGERING) {
            return self.linger(driver, outside);
        }
        if flags & (sys::OUT | sys::ERR | sys::HUP) != 0 {
            self.clear(BLOCKED);
            match self.settle(driver, outside) {
                Verdict::Keep => {}
                verdict => {
                    self.set(UNREAD); // the event told of input too, perhaps
                    return verdict;
                }
            }
        }
        if flags & !sys::OUT != 0 { self.read(flags, driver, outside) } else { Verdict::Keep }
    }

    /// One read, one share of the turn.
    #[inline]
    fn read(&mut self, flags: u32, driver: &mut Readiness, outside: &mut Outside<P::Message>) -> Verdict {
        if !self.session.state.wants_input() {
            return self.ready_in_vain(flags);
        }
        match sys::receive(self.socket.as_fd(), &mut driver.input) {
            Ok(0) => self.session.end(&mut driver.output, outside),
            Ok(received) => {
                self.stamp = outside.epoch;
                outside.counters.bytes_in += received as u64;
                // A short read means drained, unless the end of the stream, or an error, waits behind it.
                if received == driver.input.len() || flags & (sys::RDHUP | sys::HUP | sys::ERR) != 0 {
                    self.set(UNREAD);
                }
                self.session.input(&driver.input[..received], &mut driver.output, outside);
            }
            // The event said otherwise: ask once more, because an edge does not repeat itself.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if flags & sys::IN != 0 {
                    self.set(UNREAD);
                }
            }
            Err(error) if readiness::is_passing(&error) => self.set(UNREAD),
            Err(error) => {
                let error = in_call("recv", self.socket.as_fd())(error);
                return CloseReason::of_error(error, self.session.state.queued()).into();
            }
        }
        self.settle(driver, outside)
    }

    /// An event while no input is wanted: remembered until it is, because an edge does not repeat itself. An error is not
    /// ordered behind anything, so it is not kept waiting.
    #[cold]
    fn ready_in_vain(&mut self, flags: u32) -> Verdict {
        self.set(UNREAD);
        if flags & sys::ERR == 0 {
            return Verdict::Keep;
        }
        let error = readiness::pending_error(&self.socket);
        CloseReason::of_error(error, self.session.state.queued()).into()
    }

    /// It goes on after others had their share.
    pub(crate) fn again(&mut self, driver: &mut Readiness, outside: &mut Outside<P::Message>) -> Verdict {
        self.clear(QUEUED);
        if self.has(LINGERING) {
            return self.linger(driver, outside);
        }
        self.session.tell_drained(&mut driver.output, outside);
        if !driver.output.is_empty() {
            // Sent first, but not in place of reading: a producer without end would never hear the peer.
            let verdict = self.settle(driver, outside);
            if matches!(verdict, Verdict::Close(_)) || !self.has(UNREAD) || !self.session.state.wants_input()
            {
                return verdict;
            }
        }
        if self.has(UNREAD) && self.session.state.wants_input() {
            self.clear(UNREAD);
            // What the event told besides input is forgotten by now. The end of the stream may be behind a short read, and
            // an edge does not repeat itself: only `WouldBlock` says that nothing is left.
            return self.read(sys::RDHUP, driver, outside);
        }
        self.settle(driver, outside)
    }

    pub(crate) fn timer(
        &mut self,
        timer: Timer,
        driver: &mut Readiness,
        outside: &mut Outside<P::Message>,
    ) -> Verdict {
        self.session.timer(timer, &mut driver.output, outside);
        self.settle(driver, outside)
    }

    pub(crate) fn message(
        &mut self,
        message: P::Message,
        driver: &mut Readiness,
        outside: &mut Outside<P::Message>,
    ) -> Verdict {
        self.session.message(message, &mut driver.output, outside);
        self.settle(driver, outside)
    }

    /// After every call of the protocol: sends what can be sent, offers again what that made room for, then does what the
    /// session demands.
    #[inline]
    fn settle(&mut self, driver: &mut Readiness, outside: &mut Outside<P::Message>) -> Verdict {
        if self.session.state.is_plain() && self.session.state.driver == READABLE {
            match self.answer(driver, outside) {
                Ok(true) => return Verdict::Keep,
                Ok(false) => {}
                Err(error) => return self.broken(error, driver),
            }
        }
        self.settle_specially(driver, outside)
    }

    /// The usual case, a third of a turn's instructions cheaper than the general one: nothing is left over, nothing special
    /// is asked for, and the kernel takes the whole answer. `false` if it does not.
    #[inline]
    fn answer(&mut self, driver: &mut Readiness, outside: &mut Outside<P::Message>) -> io::Result<bool> {
        let Some(bytes) = driver.output.plain() else { return Ok(false) };
        if bytes.is_empty() {
            return Ok(true);
        }
        let asked = bytes.len();
        let sent = match sys::send(self.socket.as_fd(), bytes) {
            Ok(sent) => sent,
            Err(error) => return self.not_sent(error),
        };
        self.stamp = outside.epoch;
        outside.counters.bytes_out += sent as u64;
        driver.output.advance(sent);
        if sent < asked {
            self.set(BLOCKED);
        }
        Ok(sent == asked)
    }

    #[cold]
    fn not_sent(&mut self, error: io::Error) -> io::Result<bool> {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.set(BLOCKED | REFUSED),
            _ if readiness::is_passing(&error) => {}
            _ => return Err(in_call("send", self.socket.as_fd())(error)),
        }
        Ok(false)
    }

    #[cold]
    fn broken(&self, error: io::Error, driver: &Readiness) -> Verdict {
        CloseReason::of_error(error, self.session.state.queued() + driver.output.len()).into()
    }

    /// Tries to send everything: nothing is queued that the kernel would have taken.
    fn flush(&mut self, driver: &mut Readiness, outside: &mut Outside<P::Message>) -> io::Result<()> {
        if self.session.state.queued() == 0 && driver.output.is_empty() {
            return Ok(());
        }
        let blocked = self.has(BLOCKED);
        let more = self.session.state.more_or_insert(&mut outside.spare);
        more.output.append(&mut driver.output);
        if !blocked {
            let sent = readiness::transmit(self.socket.as_fd(), &mut more.output)?;
            if sent.bytes > 0 {
                self.stamp = outside.epoch;
                self.set(PROGRESS);
                outside.counters.bytes_out += sent.bytes as u64;
            }
            if sent.bytes == 0 {
                self.set(BLOCKED | REFUSED);
            } else if sent.blocked {
                self.set(BLOCKED);
            }
        }
        self.session.sent(outside);
        Ok(())
    }

    #[cold]
    fn settle_specially(&mut self, driver: &mut Readiness, outside: &mut Outside<P::Message>) -> Verdict {
        if self.has(LINGERING) {
            return Verdict::Keep; // all is said; closing again would begin the lingering anew
        }
        loop {
            if let Err(error) = self.flush(driver, outside) {
                return self.broken(error, driver);
            }
            if !self.session.go_on(&mut driver.output, outside) {
                break;
            }
        }
        if let Some(end) = self.obey(driver, outside) {
            return end;
        }
        if self.session.state.is_overfull(outside.limits.output_bytes) {
            return CloseReason::Limit(Limit::OutputBytes).into();
        }
        if self.session.state.is_closing() && !self.has(CONNECTING) {
            self.set_deadline(outside.limits.flush_time(), outside);
        }
        outside.release(&mut self.session.state);
        if let Err(error) = self.update_interest(driver, outside) {
            return CloseReason::Io(error).into();
        }
        self.next(driver, outside)
    }

    /// Does what the session demands now that everything that can be sent is sent; a verdict if that begins the end.
    fn obey(&mut self, driver: &mut Readiness, outside: &mut Outside<P::Message>) -> Option<Verdict> {
        match self.session.state.demand() {
            Demand::Continue => None,
            Demand::Abort => Some(CloseReason::Aborted.into()),
            Demand::Stop(limit) => Some(CloseReason::Limit(limit).into()),
            Demand::Close if self.has(CONNECTING) => Some(self.session.orderly_reason().into()),
            Demand::Close => Some(self.close_orderly(driver, outside)),
            Demand::HalfClose if self.has(CONNECTING) => None, // shutdown(2) would end the attempt
            Demand::HalfClose => {
                if sys::shutdown_write(self.socket.as_fd()).is_err() {
                    // It says only that there is no connection any more; the socket knows why.
                    return Some(CloseReason::of_error(readiness::pending_error(&self.socket), 0).into());
                }
                self.session.state.write_closed();
                self.obey(driver, outside)
            }
        }
    }

    /// Whether it has something to go on with that no event will announce.
    fn next(&mut self, driver: &Readiness, outside: &Outside<P::Message>) -> Verdict {
        let state = &self.session.state;
        let unread = self.has(UNREAD) && state.wants_input();
        let unsent = state.queued() > 0 && !self.has(BLOCKED);
        if unread && !driver.has_edges() {
            self.clear(UNREAD); // watched again, it is announced again
        }
        if (unread && driver.has_edges()) || unsent || self.session.is_drained_due(outside) {
            Verdict::Again
        } else {
            Verdict::Keep
        }
    }

    /// Where there are no edges: watches for what is wanted now. Nothing wanted means not watched at all, because hang-ups
    /// are reported whether asked for or not, on every wait. Where there are edges, one that may be lost is asked for anew.
    fn update_interest(&mut self, driver: &Readiness, outside: &Outside<P::Message>) -> io::Result<()> {
        let refused = self.has(REFUSED);
        self.clear(REFUSED);
        if driver.has_edges() {
            return if refused { driver.rewatch(self.socket.as_fd(), outside.id.key()) } else { Ok(()) };
        }
        let (from, to) = (self.session.state.driver & (READABLE | WRITABLE), self.wanted());
        if from != to || self.has(SPENT) {
            driver.change(self.socket.as_fd(), outside.id.key(), interest(from), interest(to))?;
            self.clear(READABLE | WRITABLE | SPENT);
            self.set(to);
        }
        Ok(())
    }

    /// What it should be watched for now, as bits.
    fn wanted(&self) -> u16 {
        if self.has(CONNECTING) {
            return WRITABLE;
        }
        let reads = self.has(LINGERING) || self.session.state.wants_input();
        let writes = self.session.state.queued() > 0;
        (if reads { READABLE } else { 0 }) | (if writes { WRITABLE } else { 0 })
    }

    // ------------------------------------------------------------------------------------------ beginnings and ends

    /// Writable is not connected: the socket's error decides, and then whether there is a peer at all.
    fn finish_connecting(
        &mut self,
        flags: u32,
        driver: &mut Readiness,
        outside: &mut Outside<P::Message>,
    ) -> Verdict {
        let failed = |call, error| CloseReason::Io(in_call(call, self.socket.as_fd())(error)).into();
        match sys::take_error(self.socket.as_fd()) {
            Ok(Some(error)) => return failed("connect", error),
            Err(error) => return failed("getsockopt(SO_ERROR)", error),
            Ok(None) => {}
        }
        match sys::peer_address(self.socket.as_fd()) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotConnected && flags & sys::HUP == 0 => {
                return Verdict::Keep;
            }
            Err(error) => return failed("getpeername", error),
        }
        self.clear(CONNECTING | BLOCKED);
        outside.drop_deadline(&mut self.session.state);
        self.stamp = outside.epoch;
        if flags & (sys::IN | sys::RDHUP) != 0 {
            self.set(UNREAD);
        }
        self.session.open(&mut driver.output, outside);
        self.settle(driver, outside)
    }

    /// Everything is sent. If the peer has finished too, that is the end; else FIN, and then what the peer still sends is
    /// read and thrown away: closing with unread input would send RST, and our last words might be lost to it.
    fn close_orderly(&mut self, driver: &mut Readiness, outside: &mut Outside<P::Message>) -> Verdict {
        let linger = !self.session.state.is_ended() && outside.limits.linger_time > Duration::ZERO;
        if !linger || sys::shutdown_write(self.socket.as_fd()).is_err() {
            return self.session.orderly_reason().into();
        }
        self.session.state.close();
        outside.drop_timers(&mut self.session.state);
        self.clear(DEADLINE);
        self.set_deadline(outside.limits.linger_time, outside);
        self.set(LINGERING);
        match self.update_interest(driver, outside) {
            Ok(()) if driver.has_edges() => Verdict::Again, // what is unread already will not be announced
            Ok(()) => Verdict::Keep,
            Err(error) => CloseReason::Io(error).into(),
        }
    }

    /// Throws away one share of what the peer still sends.
    fn linger(&mut self, driver: &mut Readiness, outside: &mut Outside<P::Message>) -> Verdict {
        match sys::receive(self.socket.as_fd(), &mut driver.input) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Verdict::Keep,
            Err(error) if readiness::is_passing(&error) => Verdict::Again,
            Ok(0) | Err(_) => self.session.orderly_reason().into(),
            Ok(received) => {
                let discarded = self.session.state.more_or_insert(&mut outside.spare).discard(received);
                if discarded > outside.limits.linger_bytes {
                    return self.session.orderly_reason().into();
                }
                if driver.has_edges() { Verdict::Again } else { Verdict::Keep }
            }
        }
    }

    /// From here on the end is bounded in time.
    fn set_deadline(&mut self, limit: Duration, outside: &mut Outside<P::Message>) {
        if !self.has(DEADLINE) {
            self.clear(PROGRESS);
            self.set(DEADLINE);
            let due = Due::Deadline(outside.id);
            outside.start(limit, due, Some(&mut self.session.state));
        }
    }

    /// A deadline of the loop passed.
    pub(crate) fn deadline(&mut self, outside: &mut Outside<P::Message>) -> Verdict {
        self.clear(DEADLINE);
        if self.has(CONNECTING) {
            CloseReason::TimedOut(Timeout::Connect).into()
        } else if self.has(LINGERING) {
            self.session.orderly_reason().into()
        } else if self.has(PROGRESS) {
            self.set_deadline(outside.limits.flush_time(), outside);
            Verdict::Keep
        } else {
            CloseReason::Unsent(self.session.state.queued()).into()
        }
    }

    /// The loop shuts down: with the next moment of rest the connection ends, after one more look at what has arrived.
    pub(crate) fn leave(&mut self) -> Verdict {
        if self.has(CONNECTING) {
            return CloseReason::Aborted.into();
        }
        self.session.state.leave();
        self.set(UNREAD);
        Verdict::Again
    }

    /// Which limit of time it has outlived, if one: `idle` and `request` in epochs.
    pub(crate) fn expired(&self, epoch: u32, idle: Option<u32>, request: Option<u32>) -> Option<Timeout> {
        let over =
            |since: u32, limit: Option<u32>| limit.is_some_and(|limit| epoch.wrapping_sub(since) >= limit);
        if self.has(DEAD | CONNECTING | LINGERING) {
            None // the last two have deadlines of their own
        } else if self.session.state.waiting_for_request_since().is_some_and(|since| over(since, request)) {
            Some(Timeout::Request)
        } else {
            over(self.stamp, idle).then_some(Timeout::Idle)
        }
    }

    /// Stops watching it and makes it unreachable; the socket itself is closed when the turn ends.
    pub(crate) fn bury(&mut self, reason: &CloseReason, driver: &Readiness) {
        if self.has(READABLE | WRITABLE) {
            // It is closed at the end of the turn whatever the answer; there is nobody to tell.
            let _ = driver.selector.deregister(self.socket.as_fd());
        }
        if reason.is_abrupt(self.session.state.queued() + driver.output.len()) {
            let _ = sys::set_reset_on_close(self.socket.as_fd());
        }
        self.set(DEAD);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.has(DEAD)
    }

    /// Its id, in this place of the table.
    pub(crate) fn id(&self, index: usize) -> ConnectionId {
        ConnectionId::new(index, self.generation)
    }

    /// Whether it is the one meant, and alive.
    #[inline]
    pub(crate) fn is(&self, id: ConnectionId) -> bool {
        self.generation == id.generation() && !self.has(DEAD)
    }

    /// Marks it as queued; `false` if it was.
    pub(crate) fn enqueue(&mut self) -> bool {
        let fresh = !self.has(QUEUED);
        self.set(QUEUED);
        fresh
    }

    #[inline]
    fn has(&self, bits: u16) -> bool {
        self.session.state.driver & bits != 0
    }

    fn set(&mut self, bits: u16) {
        self.session.state.driver |= bits;
    }

    fn clear(&mut self, bits: u16) {
        self.session.state.driver &= !bits;
    }

    /// Lends the socket's number to the calls of the protocol.
    #[inline]
    pub(crate) fn number(&self) -> i32 {
        self.socket.as_raw_fd()
    }
}

/// The bit of a connection that is watched so.
fn one_shot(driver: &Readiness) -> u16 {
    if driver.trigger == Trigger::OneShot { ONE_SHOT } else { 0 }
}

/// The watched bits as an interest.
fn interest(bits: u16) -> Option<Interest> {
    match (bits & READABLE != 0, bits & WRITABLE != 0) {
        (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
        (true, false) => Some(Interest::READABLE),
        (false, true) => Some(Interest::WRITABLE),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a `slab::Slab` keeps for each place: the value, or the number of the next free place.
    #[allow(dead_code)]
    enum Place<T> {
        Vacant(usize),
        Occupied(T),
    }

    #[test]
    fn an_idle_connection_costs_thirty_two_bytes_of_the_table() {
        assert!(size_of::<Connection<()>>() <= 32, "{}", size_of::<Connection<()>>());
        assert!(size_of::<Place<Connection<()>>>() <= 32, "{}", size_of::<Place<Connection<()>>>());
        assert!(size_of::<Verdict>() <= 16);
    }
}
