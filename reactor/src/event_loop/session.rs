//! One connection without I/O: a protocol, where the conversation stands, and what is kept of it.
//!
//! Whatever moves the bytes (an event loop, a blocking thread, a test) pushes in what happened: [`input`](Session::input),
//! [`end`](Session::end), [`timer`](Session::timer), [`message`](Session::message), [`sent`](Session::sent). Answers appear
//! in the [`Output`] it lends, and [`demand`](Session::demand), [`wants_input`](Session::wants_input) say what to do next.
//! The rules of a conversation stand here once:
//!
//! * What a protocol leaves unconsumed is kept and offered again: at once while it consumes something, else when more comes
//!   or when what stopped it (a pause, no room) ends.
//! * The end of the stream is ordered like a byte: told after everything kept was offered, never while stopped, once.
//! * Nothing is said to a protocol after `closed`.

use std::mem;

use super::output::Output;
use super::outside::{Mail, Outside, Receiver};
use super::protocol::{CloseReason, Context, Limit, Protocol};
use super::timer::{Owner, Timer};

/// A protocol and its state.
#[derive(Debug)]
pub(crate) struct Session<P> {
    protocol: P,
    pub(crate) state: SessionState,
}

/// Where one conversation stands: 16 bytes while nothing is left over.
#[derive(Debug, Default)]
pub(crate) struct SessionState {
    more: Option<Box<More>>,
    /// See `Context::set_scanned`. A request of more than 4 GiB is searched again from there.
    scanned: u32,
    flags: u16,
    /// For whoever moves the bytes: the session does not look at it.
    pub(crate) driver: u16,
}

/// The protocol was told `opened`.
const OPENED: u16 = 1;
/// The protocol paused reading.
const PAUSED: u16 = 1 << 1;
/// What is unsent reached the high-water mark and has not yet fallen to the low one.
const FULL: u16 = 1 << 2;
/// Input is kept that a pause or lack of room kept from being offered.
const STALLED: u16 = 1 << 3;
/// The peer finished sending,
const ENDED: u16 = 1 << 4;
/// and the protocol was told.
const EOF_TOLD: u16 = 1 << 5;
/// The protocol asked for `drained`.
const NOTIFY_DRAINED: u16 = 1 << 6;
/// The protocol asked for FIN after what is unsent,
const CLOSE_WRITE: u16 = 1 << 7;
/// and it was sent.
const WRITE_CLOSED: u16 = 1 << 8;
/// The protocol asked for the end, after what is unsent is flushed.
const CLOSE: u16 = 1 << 9;
/// The protocol asked for the end at once.
const ABORT: u16 = 1 << 10;
/// The request is longer than allowed.
const TOO_LONG: u16 = 1 << 11;
/// The protocol was told `closed`, or panicked.
const OVER: u16 = 1 << 12;
/// The loop shuts down: at the next moment without a request in progress the connection is closed.
const LEAVING: u16 = 1 << 13;

/// What keeps input from a protocol.
const STOPPED: u16 = PAUSED | FULL | CLOSE | ABORT | TOO_LONG | OVER;

/// What a connection owns only while it must: left-over bytes of either direction, and its timers.
#[derive(Debug, Default)]
pub(crate) struct More {
    held: Vec<u8>,
    /// How much of `held` is consumed.
    consumed: usize,
    /// The epoch in which the request in `held` began or last made progress.
    request_since: u32,
    /// See `discard`.
    discarded: usize,
    pub(crate) output: Output,
    pub(crate) timers: Owner,
}

impl More {
    /// Throws away what the peer still sends to a closing connection; how much that was in all.
    pub(crate) fn discard(&mut self, bytes: usize) -> usize {
        self.discarded += bytes;
        self.discarded
    }

    /// Whether no bytes are left over.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.output.is_empty()
    }

    /// Bytes of memory it keeps for reuse.
    pub(crate) fn capacity(&self) -> usize {
        self.held.capacity() + self.output.capacity()
    }
}

/// Memory for left-over bytes that nobody needs right now: a stall costs no allocation.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    #[expect(clippy::vec_box, reason = "the boxes are what is used again")]
    boxes: Vec<Box<More>>,
}

impl Spare {
    /// How many are kept,
    const KEPT: usize = 64;
    /// and how many bytes of memory each may have.
    const LARGEST: usize = 256 * 1024;

    fn take(&mut self) -> Box<More> {
        self.boxes.pop().unwrap_or_default()
    }

    pub(crate) fn keep(&mut self, more: Box<More>) {
        if self.boxes.len() < Spare::KEPT && more.capacity() <= Spare::LARGEST {
            self.boxes.push(more);
        }
    }
}

/// What whoever moves the bytes must do next.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// Go on: send what is unsent, read if input is wanted.
    Continue,
    /// All is sent: send FIN, then tell `write_closed`.
    HalfClose,
    /// All is sent: end it in order.
    Close,
    /// End it now, with RST.
    Abort,
    /// End it: a limit was reached.
    Stop(Limit),
}

impl<P: Protocol> Session<P> {
    #[inline]
    pub(crate) fn new(protocol: P) -> Session<P> {
        Session { protocol, state: SessionState::default() }
    }

    pub(crate) fn protocol(&self) -> &P {
        &self.protocol
    }

    /// Calls one method of the protocol, then looks whether there is still room.
    #[inline]
    fn call<R>(
        &mut self,
        output: &mut Output,
        outside: &mut Outside<P::Message>,
        method: impl FnOnce(&mut P, &mut Context<'_, P::Message>) -> R,
    ) -> R {
        let result = method(&mut self.protocol, &mut Context { state: &mut self.state, output, outside });
        if self.state.queued() + output.len() >= outside.watermarks.high {
            self.state.flags |= FULL;
        }
        result
    }

    /// The connection stands.
    pub(crate) fn open(&mut self, output: &mut Output, outside: &mut Outside<P::Message>) {
        self.state.flags |= OPENED;
        self.call(output, outside, |protocol, cx| protocol.opened(cx));
    }

    /// Bytes arrived.
    #[inline]
    pub(crate) fn input(&mut self, bytes: &[u8], output: &mut Output, outside: &mut Outside<P::Message>) {
        match &mut self.state.more {
            Some(more) if !more.held.is_empty() => {
                more.held.extend_from_slice(bytes);
                self.offer_held(output, outside);
            }
            _ => {
                let consumed = self.offer(bytes, output, outside);
                if consumed < bytes.len() {
                    self.hold(&bytes[consumed..], outside);
                }
            }
        }
    }

    /// Offers bytes for as long as some are consumed and nothing stops it; how many were consumed.
    #[inline]
    fn offer(&mut self, bytes: &[u8], output: &mut Output, outside: &mut Outside<P::Message>) -> usize {
        let mut rest = bytes;
        loop {
            outside.scanned = mem::take(&mut self.state.scanned);
            let claimed = self.call(output, outside, |protocol, cx| protocol.received(rest, cx));
            if claimed >= rest.len() {
                outside.counters.overclaimed += u64::from(claimed > rest.len());
                return bytes.len();
            }
            rest = &rest[claimed..];
            if claimed == 0 || self.state.is_stopped() {
                return bytes.len() - rest.len();
            }
        }
    }

    /// Keeps what was not consumed of a first offer.
    #[cold]
    fn hold(&mut self, rest: &[u8], outside: &mut Outside<P::Message>) {
        let epoch = outside.epoch;
        let more = self.state.more_or_insert(&mut outside.spare);
        more.held.extend_from_slice(rest);
        more.request_since = epoch;
        self.judge_held(outside);
    }

    /// Offers what is kept.
    #[cold]
    fn offer_held(&mut self, output: &mut Output, outside: &mut Outside<P::Message>) {
        let Some(more) = &mut self.state.more else { return };
        let (held, from) = (mem::take(&mut more.held), mem::take(&mut more.consumed));
        let consumed = self.offer(&held[from..], output, outside);
        let more = self.state.more_or_insert(&mut outside.spare);
        (more.held, more.consumed) = (held, from + consumed);
        if consumed > 0 {
            more.request_since = outside.epoch;
            more.reclaim();
        }
        self.judge_held(outside);
    }

    /// Bytes are kept: is that because the protocol was stopped, or because it wants more? Only the second can be too much.
    fn judge_held(&mut self, outside: &Outside<P::Message>) {
        let held = self.state.held();
        if held == 0 {
            return;
        }
        if self.state.is_stopped() {
            self.state.flags |= STALLED;
        } else if held > outside.limits.request_bytes {
            self.state.flags |= TOO_LONG;
        }
    }

    /// The peer finished sending.
    pub(crate) fn end(&mut self, output: &mut Output, outside: &mut Outside<P::Message>) {
        self.state.flags |= ENDED;
        // What was kept during a pause that is over comes first, if nobody has offered it since.
        if !self.go_on(output, outside) {
            self.tell_eof(output, outside);
        }
    }

    fn tell_eof(&mut self, output: &mut Output, outside: &mut Outside<P::Message>) {
        if self.state.is_stopped() {
            self.state.flags |= STALLED;
        } else if !self.state.has(EOF_TOLD) {
            self.state.flags |= EOF_TOLD;
            self.call(output, outside, |protocol, cx| protocol.eof(cx));
        }
    }

    /// If what stopped the protocol has ended: offers again what is kept, then tells the end of the stream. `true` if there
    /// was something to do, so that new output may have appeared.
    #[inline]
    pub(crate) fn go_on(&mut self, output: &mut Output, outside: &mut Outside<P::Message>) -> bool {
        if !self.state.has(STALLED) || self.state.is_stopped() {
            return false;
        }
        self.state.flags &= !STALLED;
        if self.state.held() > 0 {
            if let Some(more) = &mut self.state.more {
                more.request_since = outside.epoch; // the clock of the request stood still
            }
            self.offer_held(output, outside);
        }
        if self.state.has(ENDED) {
            self.tell_eof(output, outside);
        }
        true
    }

    /// A timer of the protocol rang.
    pub(crate) fn timer(&mut self, timer: Timer, output: &mut Output, outside: &mut Outside<P::Message>) {
        if !self.state.is_closing() {
            self.call(output, outside, |protocol, cx| protocol.timer(timer, cx));
        }
    }

    /// A message came.
    pub(crate) fn message(
        &mut self,
        message: P::Message,
        output: &mut Output,
        outside: &mut Outside<P::Message>,
    ) {
        if !self.state.is_closing() {
            self.call(output, outside, |protocol, cx| protocol.message(message, cx));
        }
    }

    /// Where there is nobody else: delivers a message that the protocol sent to itself; `false` if there was none.
    pub(crate) fn take_own_mail(&mut self, output: &mut Output, outside: &mut Outside<P::Message>) -> bool {
        let Some(Mail { to, message }) = outside.mail.pop_front() else { return false };
        let me = match &to {
            Receiver::One(id) => *id == outside.id,
            Receiver::Many(ids, _) => ids.contains(&outside.id),
        };
        if me {
            self.message(message, output, outside);
        }
        true
    }

    /// Bytes went out, or were queued: looks whether there is room again.
    #[inline]
    pub(crate) fn sent(&mut self, outside: &Outside<P::Message>) {
        if self.state.has(FULL) && self.state.queued() <= outside.watermarks.low {
            self.state.flags &= !FULL;
        }
    }

    /// Calls `drained` if it was asked for and is due.
    pub(crate) fn tell_drained(&mut self, output: &mut Output, outside: &mut Outside<P::Message>) {
        if self.is_drained_due(outside) {
            self.state.flags &= !NOTIFY_DRAINED;
            self.call(output, outside, |protocol, cx| protocol.drained(cx));
        }
    }

    pub(crate) fn is_drained_due(&self, outside: &Outside<P::Message>) -> bool {
        self.state.has(NOTIFY_DRAINED)
            && !self.state.is_closing() // after a half-close nothing can be added, and yet it may be awaited
            && self.state.queued() <= outside.watermarks.low
    }

    /// Ends it: drops what is kept and the timers, and makes the last call.
    pub(crate) fn finish(
        &mut self,
        reason: &CloseReason,
        output: &mut Output,
        outside: &mut Outside<P::Message>,
    ) {
        if self.state.has(OVER) {
            return;
        }
        self.give_up(outside);
        if !matches!(reason, CloseReason::Panicked(_)) {
            self.call(output, outside, |protocol, cx| protocol.closed(reason, cx));
            outside.drop_timers(&mut self.state);
        }
    }

    /// Ends it without a word to the protocol.
    fn give_up(&mut self, outside: &mut Outside<P::Message>) {
        self.state.flags |= OVER;
        outside.drop_timers(&mut self.state);
        self.state.more = None;
    }

    /// Why it ends, if it ends now in order.
    pub(crate) fn orderly_reason(&self) -> CloseReason {
        match self.state.held() {
            bytes if bytes > 0 && self.state.has(EOF_TOLD) => CloseReason::MidRequest(bytes),
            _ => CloseReason::Finished,
        }
    }
}

impl SessionState {
    #[inline]
    fn has(&self, flags: u16) -> bool {
        self.flags & flags != 0
    }

    /// Nothing left over and nothing special asked for: the usual case.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.flags == OPENED && self.more.is_none()
    }

    #[inline]
    pub(crate) fn may_write(&self) -> bool {
        !self.has(CLOSE_WRITE | CLOSE | ABORT | OVER)
    }

    /// Whether the protocol wants, or was told, the end.
    pub(crate) fn is_closing(&self) -> bool {
        self.has(CLOSE | ABORT | OVER)
    }

    /// Whether the protocol must not be given input now.
    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        self.has(STOPPED)
    }

    /// Whether the kernel should be asked for input.
    #[inline]
    pub(crate) fn wants_input(&self) -> bool {
        !self.has(STOPPED | ENDED)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.has(PAUSED)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.has(ENDED)
    }

    /// What to do next, once everything that can be sent now was sent.
    pub(crate) fn demand(&self) -> Demand {
        let all_sent = self.queued() == 0;
        if self.has(ABORT) {
            Demand::Abort
        } else if self.has(TOO_LONG) {
            Demand::Stop(Limit::RequestBytes)
        } else if self.has(CLOSE) || self.is_said_and_done() || (self.has(LEAVING) && !self.is_busy()) {
            if all_sent { Demand::Close } else { Demand::Continue }
        } else if self.has(CLOSE_WRITE) && !self.has(WRITE_CLOSED) && all_sent {
            Demand::HalfClose
        } else {
            Demand::Continue
        }
    }

    /// Whether both directions ended.
    fn is_said_and_done(&self) -> bool {
        self.has(WRITE_CLOSED) && self.has(EOF_TOLD)
    }

    /// Whether a request is in progress: partly here, being worked on, or not yet wholly answered.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_paused() || self.held() > 0 || self.queued() > 0
    }

    /// Whether the peer keeps us waiting for the rest of a request, and since which epoch.
    pub(crate) fn waiting_for_request_since(&self) -> Option<u32> {
        let more = self.more.as_ref().filter(|more| !more.held.is_empty())?;
        (!self.is_stopped() && !self.has(STALLED | ENDED)).then_some(more.request_since)
    }

    pub(crate) fn pause(&mut self, pause: bool) {
        if pause {
            self.flags |= PAUSED;
            return;
        }
        if self.has(PAUSED) && self.held() > 0 && !self.has(EOF_TOLD) {
            self.flags |= STALLED;
        }
        self.flags &= !PAUSED;
    }

    pub(crate) fn notify_drained(&mut self) {
        self.flags |= NOTIFY_DRAINED;
    }

    pub(crate) fn close(&mut self) {
        self.flags |= CLOSE;
    }

    pub(crate) fn close_write(&mut self) {
        self.flags |= CLOSE_WRITE;
    }

    /// FIN was sent.
    pub(crate) fn write_closed(&mut self) {
        self.flags |= WRITE_CLOSED;
    }

    pub(crate) fn abort(&mut self) {
        self.flags |= ABORT;
    }

    pub(crate) fn leave(&mut self) {
        self.flags |= LEAVING;
    }

    #[inline]
    pub(crate) fn set_scanned(&mut self, of_the_rest: usize) {
        self.scanned = u32::try_from(of_the_rest).unwrap_or(u32::MAX);
    }

    /// Input kept.
    pub(crate) fn held(&self) -> usize {
        self.more.as_ref().map_or(0, |more| more.held.len() - more.consumed)
    }

    /// Output kept.
    #[inline]
    pub(crate) fn queued(&self) -> usize {
        self.more.as_ref().map_or(0, |more| more.output.len())
    }

    /// Whether more than `most` bytes of memory are held for the peer.
    pub(crate) fn is_overfull(&self, most: usize) -> bool {
        self.more.as_ref().is_some_and(|more| more.output.memory() > most)
    }

    #[inline]
    pub(crate) fn more(&self) -> Option<&More> {
        self.more.as_deref()
    }

    #[inline]
    pub(crate) fn more_mut(&mut self) -> Option<&mut More> {
        self.more.as_deref_mut()
    }

    pub(crate) fn more_or_insert(&mut self, spare: &mut Spare) -> &mut More {
        self.more.get_or_insert_with(|| spare.take())
    }

    pub(crate) fn take_more(&mut self) -> Option<Box<More>> {
        self.more.take()
    }
}

impl More {
    /// Drops what is consumed from the front of `held`, once that is most of it.
    fn reclaim(&mut self) {
        if self.consumed == self.held.len() {
            self.held.clear();
            self.consumed = 0;
        } else if self.consumed > self.held.len() / 2 {
            self.held.drain(..self.consumed);
            self.consumed = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event_loop::limits::{Limits, Watermarks};
    use crate::event_loop::outside::Due;
    use crate::event_loop::protocol::ConnectionId;

    /// Consumes what it is told to, and notes its calls.
    #[derive(Default)]
    struct Told {
        consumes: usize,
        calls: Vec<String>,
        answers: Vec<u8>,
    }

    impl Protocol for Told {
        type Message = u8;
        fn received(&mut self, input: &[u8], cx: &mut Context<'_, u8>) -> usize {
            self.calls.push(String::from_utf8_lossy(input).into_owned());
            cx.write(&self.answers);
            let consumed = self.consumes.min(input.len());
            self.consumes -= consumed;
            consumed
        }
        fn eof(&mut self, cx: &mut Context<'_, u8>) {
            self.calls.push("eof".to_owned());
            cx.close();
        }
        fn drained(&mut self, _: &mut Context<'_, u8>) {
            self.calls.push("drained".to_owned());
        }
        fn closed(&mut self, reason: &CloseReason, cx: &mut Context<'_, u8>) {
            self.calls.push(reason.to_string());
            cx.start_timer(Duration::ZERO);
        }
    }

    struct Bench {
        session: Session<Told>,
        output: Output,
        outside: Outside<u8>,
    }

    impl Bench {
        fn new(limits: Limits) -> Bench {
            let marks = Watermarks { high: 100, low: 10 };
            let mut bench = Bench {
                session: Session::new(Told::default()),
                output: Output::default(),
                outside: Outside::new(limits, marks, 10, crate::clock::now()),
            };
            bench.outside.enter(ConnectionId::new(0, 0), -1);
            bench.session.open(&mut bench.output, &mut bench.outside);
            bench
        }

        fn input(&mut self, bytes: &[u8]) {
            self.session.input(bytes, &mut self.output, &mut self.outside);
        }

        fn calls(&mut self) -> Vec<String> {
            mem::take(&mut self.session.protocol.calls)
        }
    }

    #[test]
    fn a_conversation_at_rest_costs_sixteen_bytes() {
        assert_eq!(size_of::<SessionState>(), 16);
        assert_eq!(size_of::<Session<()>>(), 16);
    }

    #[test]
    fn whoever_has_nothing_left_over_owns_nothing() {
        let mut bench = Bench::new(Limits::default());
        assert!(bench.session.state.is_plain());
        bench.input(b"ab");
        assert_eq!((bench.session.state.held(), bench.session.state.is_plain()), (2, false));
        bench.session.protocol.consumes = 3;
        bench.input(b"c");
        assert_eq!(bench.calls(), ["ab", "abc"]);
        bench.outside.release(&mut bench.session.state);
        assert!(bench.session.state.is_plain());
        bench.input(b"d");
        assert_eq!(bench.outside.spare.boxes.len(), 0, "the memory is used again");
    }

    #[test]
    fn input_is_offered_while_something_is_consumed_and_nothing_stops_it() {
        let mut bench = Bench::new(Limits::default());
        bench.session.protocol.consumes = 1;
        bench.input(b"abc");
        assert_eq!(bench.calls(), ["abc", "bc"]);
        bench.session.protocol.consumes = 2;
        bench.session.state.pause(true);
        assert!(!bench.session.go_on(&mut bench.output, &mut bench.outside));
        assert!(!bench.session.state.wants_input());
        bench.session.state.pause(false);
        assert!(bench.session.go_on(&mut bench.output, &mut bench.outside));
        assert_eq!(bench.calls(), ["bc"]);
        assert!(!bench.session.go_on(&mut bench.output, &mut bench.outside), "once");
    }

    #[test]
    fn no_room_stops_input_and_its_end_until_the_low_mark() {
        let mut bench = Bench::new(Limits::default());
        (bench.session.protocol.answers, bench.session.protocol.consumes) = (vec![0; 100], 1);
        bench.input(b"ab");
        bench.session.end(&mut bench.output, &mut bench.outside);
        assert_eq!(bench.calls(), ["ab"]);
        for (sent, goes_on) in [(89, false), (1, true)] {
            let more = bench.session.state.more_or_insert(&mut bench.outside.spare);
            more.output.append(&mut bench.output);
            more.output.advance(sent);
            bench.session.sent(&bench.outside);
            assert_eq!(bench.session.go_on(&mut bench.output, &mut bench.outside), goes_on);
        }
        assert_eq!(bench.calls(), ["b"], "and the answer filled it again, so the end waits");
        assert_eq!(bench.session.state.demand(), Demand::Continue);
    }

    #[test]
    fn the_end_in_the_middle_of_a_request_is_not_an_end_in_order() {
        let mut bench = Bench::new(Limits::default());
        bench.input(b"abc");
        bench.session.end(&mut bench.output, &mut bench.outside);
        assert_eq!(bench.calls(), ["abc", "eof"]);
        assert_eq!(bench.session.state.demand(), Demand::Close);
        assert!(matches!(bench.session.orderly_reason(), CloseReason::MidRequest(3)));
    }

    #[test]
    fn a_request_may_be_as_long_as_allowed_and_no_longer() {
        let mut bench = Bench::new(Limits { request_bytes: 3, ..Limits::default() });
        bench.input(b"abc");
        assert_eq!(bench.session.state.demand(), Demand::Continue);
        bench.input(b"d");
        assert_eq!(bench.session.state.demand(), Demand::Stop(Limit::RequestBytes));
        assert!(bench.session.state.is_stopped());
    }

    #[test]
    fn the_last_call_is_made_once_and_leaves_no_timer_behind() {
        let mut bench = Bench::new(Limits::default());
        bench.outside.start(Duration::ZERO, Due::Sweep, Some(&mut bench.session.state));
        for _ in 0..2 {
            bench.session.finish(&CloseReason::Reset, &mut bench.output, &mut bench.outside);
        }
        assert_eq!(bench.calls(), ["reset by the peer"]);
        assert_eq!(bench.outside.wheel.len(), 0);
        bench.session.message(1, &mut bench.output, &mut bench.outside);
        bench.session.tell_drained(&mut bench.output, &mut bench.outside);
        assert_eq!(bench.calls(), [""; 0]);
        assert!(!bench.session.state.may_write());
    }

    #[test]
    fn after_a_panic_there_is_no_last_call() {
        let mut bench = Bench::new(Limits::default());
        let reason = CloseReason::Panicked("oh".to_owned());
        bench.session.finish(&reason, &mut bench.output, &mut bench.outside);
        bench.session.finish(&CloseReason::Finished, &mut bench.output, &mut bench.outside);
        assert_eq!(bench.calls(), [""; 0]);
    }

    #[test]
    fn whoever_leaves_does_so_at_the_next_moment_of_rest() {
        let mut bench = Bench::new(Limits::default());
        bench.session.state.pause(true);
        bench.session.state.leave();
        assert_eq!(bench.session.state.demand(), Demand::Continue, "a request is in progress");
        bench.session.state.pause(false);
        assert_eq!(bench.session.state.demand(), Demand::Close);
    }

    #[test]
    fn spare_memory_is_bounded() {
        let mut spare = Spare::default();
        let large = More { held: Vec::with_capacity(Spare::LARGEST + 1), ..More::default() };
        spare.keep(Box::new(large));
        assert_eq!(spare.boxes.len(), 0);
        (0..2 * Spare::KEPT).for_each(|_| spare.keep(Box::default()));
        assert_eq!(spare.boxes.len(), Spare::KEPT);
    }
}
