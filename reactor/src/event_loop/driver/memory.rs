//! The in-memory driver: a test plays the peer, and time passes when the test says so.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::clock;
use crate::event_loop::limits::{Limits, Watermarks};
use crate::event_loop::output::{Front, Output};
use crate::event_loop::outside::{Due, Outside, later};
use crate::event_loop::protocol::{CloseReason, ConnectionId, Limit, Protocol};
use crate::event_loop::session::{Demand, Session};

/// A protocol and, in place of a socket, a test: the quickest way to see what a protocol answers.
///
/// Sessions behave as on a socket: what is not consumed is kept, output beyond the watermarks pauses reading, the end of the
/// stream comes after everything else. Files cannot be sent from memory. There are
/// no turns: a protocol that produces without end needs a [window](InMemory::set_window).
///
/// ```
/// use reactor::event_loop::{CloseReason, Context, InMemory, Protocol, Timer};
/// use std::time::Duration;
///
/// /// Answers every byte with a dot, a second later.
/// struct Slow;
/// impl Protocol for Slow {
///     type Message = ();
///     fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
///         cx.pause_reading();
///         cx.start_timer(Duration::from_secs(1));
///         1.min(input.len())
///     }
///     fn timer(&mut self, _: Timer, cx: &mut Context<'_, ()>) {
///         cx.write(b".");
///         cx.resume_reading();
///     }
/// }
///
/// let mut peer = InMemory::new(Slow);
/// peer.input(b"ab");
/// peer.end();
/// assert_eq!(peer.take_output(), b"");
/// peer.advance(Duration::from_secs(1));
/// assert_eq!(peer.take_output(), b".");
/// peer.advance(Duration::from_secs(1));
/// assert_eq!(peer.take_output(), b".");
/// assert!(matches!(peer.closed(), Some(CloseReason::Finished)));
/// ```
#[derive(Debug)]
pub struct InMemory<P: Protocol> {
    session: Session<P>,
    outside: Outside<P::Message>,
    /// What the call in progress writes.
    output: Output,
    /// What arrived while the protocol did not want it.
    unread: VecDeque<u8>,
    ended: bool,
    /// What the peer has taken.
    taken: Vec<u8>,
    /// How much more the peer takes.
    window: usize,
    now: Instant,
    reason: Option<CloseReason>,
    half_closed: bool,
}

impl<P: Protocol> InMemory<P> {
    /// A connection that stands: the protocol was `opened`.
    pub fn new(protocol: P) -> InMemory<P> {
        InMemory::with(protocol, Limits::default(), Watermarks::default())
    }

    /// The same under limits and watermarks. Of the limits, those on bytes apply.
    pub fn with(protocol: P, limits: Limits, watermarks: Watermarks) -> InMemory<P> {
        let now = clock::now();
        let mut memory = InMemory {
            session: Session::new(protocol),
            outside: Outside::new(limits, watermarks.clamped(), usize::MAX, now),
            output: Output::default(),
            unread: VecDeque::new(),
            ended: false,
            taken: Vec::new(),
            window: usize::MAX,
            now,
            reason: None,
            half_closed: false,
        };
        memory.outside.enter(ConnectionId::new(0, 0), -1);
        memory.session.open(&mut memory.output, &mut memory.outside);
        memory.settle();
        memory
    }

    /// The peer sends bytes.
    pub fn input(&mut self, bytes: &[u8]) {
        self.unread.extend(bytes);
        self.settle();
    }

    /// The peer finishes sending.
    pub fn end(&mut self) {
        self.ended = true;
        self.settle();
    }

    /// The connection breaks.
    pub fn reset(&mut self) {
        let unsent = self.session.state.queued();
        self.close(CloseReason::of_error(std::io::ErrorKind::ConnectionReset.into(), unsent));
    }

    /// A message arrives.
    pub fn message(&mut self, message: P::Message) {
        if self.reason.is_none() {
            self.session.message(message, &mut self.output, &mut self.outside);
            self.settle();
        }
    }

    /// Time passes: timers that become due ring, one by one, each at its time.
    pub fn advance(&mut self, time: Duration) {
        let end = later(self.now, time);
        while let Some(next) = self.outside.wheel.next_deadline().filter(|&next| next <= end) {
            self.set_now(next.max(self.now));
            while let Some((timer, due)) = self.outside.wheel.pop_due(self.now) {
                if let Due::Protocol(_) = due {
                    self.session.timer(timer, &mut self.output, &mut self.outside);
                    self.settle();
                }
            }
        }
        self.set_now(end);
    }

    fn set_now(&mut self, now: Instant) {
        self.now = now;
        self.outside.set_now(now);
    }

    /// From now on the peer takes at most so many more bytes; the rest stays unsent.
    pub fn set_window(&mut self, bytes: usize) {
        self.window = bytes;
        self.settle();
    }

    /// What the peer received since it was last asked.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.taken)
    }

    /// Bytes that wait for the peer.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.session.state.queued()
    }

    /// Bytes the peer sent that the protocol has not consumed.
    #[must_use]
    pub fn unconsumed(&self) -> usize {
        self.session.state.held() + self.unread.len()
    }

    /// Whether this side finished sending, and the peer received everything.
    #[must_use]
    pub fn is_write_closed(&self) -> bool {
        self.half_closed || self.reason.is_some()
    }

    /// Why the connection ended, if it did.
    #[must_use]
    pub fn closed(&self) -> Option<&CloseReason> {
        self.reason.as_ref()
    }

    /// The protocol itself.
    #[must_use]
    pub fn protocol(&self) -> &P {
        self.session.protocol()
    }

    /// Does what a socket and a loop would do, until nothing is left to do.
    fn settle(&mut self) {
        while self.reason.is_none() {
            self.transmit();
            let moved = self.session.go_on(&mut self.output, &mut self.outside)
                || self.offer_unread()
                || self.drain()
                || self.session.take_own_mail(&mut self.output, &mut self.outside);
            if !moved && !self.obey() {
                return;
            }
        }
    }

    fn transmit(&mut self) {
        let more = self.session.state.more_or_insert(&mut self.outside.spare);
        more.output.append(&mut self.output);
        more.output.mend();
        while self.window > 0 && !more.output.is_empty() {
            let mut pieces = [std::io::IoSlice::new(&[])];
            let run: &[u8] = match more.output.plain() {
                Some(bytes) => bytes,
                None => match more.output.front(&mut pieces) {
                    Front::Pieces(_) => &pieces[0],
                    Front::File { .. } => panic!("files cannot be sent from memory"),
                },
            };
            let sent = run.len().min(self.window);
            self.taken.extend_from_slice(&run[..sent]);
            self.window -= if self.window == usize::MAX { 0 } else { sent };
            more.output.advance(sent);
        }
        self.outside.release(&mut self.session.state);
        self.session.sent(&self.outside);
    }

    fn offer_unread(&mut self) -> bool {
        if !self.session.state.wants_input() {
            return false;
        }
        if !self.unread.is_empty() {
            let bytes: Vec<u8> = self.unread.drain(..).collect();
            self.session.input(&bytes, &mut self.output, &mut self.outside);
            true
        } else if self.ended {
            self.session.end(&mut self.output, &mut self.outside);
            true
        } else {
            false
        }
    }

    fn drain(&mut self) -> bool {
        let due = self.session.is_drained_due(&self.outside);
        self.session.tell_drained(&mut self.output, &mut self.outside);
        due
    }

    /// Does what the session demands; `true` if that was something.
    fn obey(&mut self) -> bool {
        match self.session.state.demand() {
            Demand::Continue if self.session.state.is_overfull(self.outside.limits.output_bytes) => {
                self.close(CloseReason::Limit(Limit::OutputBytes));
            }
            Demand::Continue => return false,
            Demand::HalfClose => {
                self.half_closed = true;
                self.session.state.write_closed();
            }
            Demand::Close => self.close(self.session.orderly_reason()),
            Demand::Abort => self.close(CloseReason::Aborted),
            Demand::Stop(limit) => self.close(CloseReason::Limit(limit)),
        }
        true
    }

    fn close(&mut self, reason: CloseReason) {
        if self.reason.is_none() {
            self.session.finish(&reason, &mut self.output, &mut self.outside);
            self.output.clear();
            self.reason = Some(reason);
        }
    }
}
