//! One connection of a load: asks, verifies the answer, asks again.
//!
//! ```text
//!    opened             last answer here          FIN of the server
//! ─────────────► talking ─────────────► farewell ─────────────────► over
//! ```
//!
//! While *talking* there is always a request under way. The *farewell* (our FIN is sent, the server's awaited) is there to
//! see that nothing comes behind the last answer: "exactly so many bytes" cannot be told without it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, Write};
use std::mem;
use std::rc::Rc;
use std::time::{Duration, Instant};

use reactor::event_loop::{CloseReason, Context, Protocol, Timeout, Timer};

use super::content;
use super::desk::{Desk, Slot, When};
use super::failure::Kind;
use super::plan::Service;

/// Bytes of a request that are made at a time, if it is long.
const SHARE: usize = 16 * 1024;
/// So many bytes may be unsent before no more are made. Below the loop's high-water mark: from there on it reads nothing,
/// and an echo server whose echo nobody reads stops reading, too.
const UNSENT: usize = 32 * 1024;
/// How long the server is given to hang up after us.
const FAREWELL: Duration = Duration::from_secs(2);

/// One connection; see the module.
#[derive(Debug)]
pub struct Caller {
    desk: Rc<Desk>,
    slot: Slot,
    phase: Phase,
    /// Requests still to be begun on this connection.
    quota: u64,
    /// What is under way, the oldest first.
    asked: VecDeque<Request>,
    /// Bytes of the newest request that are not made yet.
    unmade: u64,
    /// Bytes of the oldest request's answer that came.
    heard: u64,
    /// The latency of an answer that counts once the farewell is over.
    last: Option<Duration>,
    timer: Option<Timer>,
}

/// A request under way.
#[derive(Copy, Clone, Debug)]
struct Request {
    number: u64,
    /// When it was begun.
    at: Instant,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Talking,
    Farewell,
    /// Everything is counted.
    Over,
}

type Cx<'a> = Context<'a, Infallible>;

impl Caller {
    /// A caller that is about to be connected.
    #[must_use]
    pub fn new(desk: &Rc<Desk>, slot: Slot) -> Caller {
        let since = slot.since.unwrap_or_else(|| desk.now());
        Caller {
            quota: desk.plan().per_connection(slot.left),
            desk: Rc::clone(desk),
            slot: Slot { since: Some(since), ..slot },
            phase: Phase::Connecting,
            asked: VecDeque::new(),
            unmade: 0,
            heard: 0,
            last: None,
            timer: None,
        }
    }

    /// This caller's slot, as it was before the attempt to connect.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    // ------------------------------------------------------------------------------------------------------- asking

    /// Begins as many requests as may be under way, and makes as much of them as there is room for.
    fn ask(&mut self, cx: &mut Cx<'_>) {
        while cx.unsent() < UNSENT && (self.unmade > 0 || self.begin(cx)) {
            self.make(cx);
        }
        if cx.unsent() >= UNSENT && (self.unmade > 0 || self.may_begin()) {
            cx.notify_drained();
        }
    }

    fn may_begin(&self) -> bool {
        self.quota > 0 && self.asked.len() < self.desk.plan().pipeline && !self.desk.is_closing()
    }

    /// Begins the next request, if one is due.
    fn begin(&mut self, cx: &mut Cx<'_>) -> bool {
        if !self.may_begin() {
            return false;
        }
        self.quota -= 1;
        self.slot.left -= 1;
        let request = Request { number: self.desk.begin(), at: self.desk.now() };
        self.asked.push_back(request);
        if self.asked.len() == 1 {
            self.watch_the_clock(cx);
        }
        self.unmade = match self.desk.plan().service {
            Service::Echo => self.desk.plan().bytes,
            Service::Zen | Service::Bytes => 1, // made at once
        };
        true
    }

    /// Makes a share of the newest request.
    fn make(&mut self, cx: &mut Cx<'_>) {
        let Some(Request { number, .. }) = self.asked.back() else { return };
        let (plan, buffer) = (self.desk.plan(), cx.buffer());
        let before = buffer.len();
        match plan.service {
            Service::Zen => buffer.extend_from_slice(content::question(*number).as_bytes()),
            Service::Bytes => writeln!(buffer, "{}", plan.bytes).expect("a vector takes everything"),
            Service::Echo => {
                let share = self.unmade.min(SHARE as u64) as usize;
                content::append(*number, plan.bytes - self.unmade, share, buffer);
                self.unmade -= share as u64;
            }
        }
        let made = (buffer.len() - before) as u64;
        if plan.service != Service::Echo {
            self.unmade = 0;
        }
        self.desk.count(|tally| tally.sent += made);
    }

    /// Gives the oldest request what is left of its time.
    fn watch_the_clock(&mut self, cx: &mut Cx<'_>) {
        self.forget_the_clock(cx);
        if let Some(request) = self.asked.front() {
            let since = self.desk.now().saturating_duration_since(request.at);
            self.timer = Some(cx.start_timer(self.desk.plan().timeout.saturating_sub(since)));
        }
    }

    fn forget_the_clock(&mut self, cx: &mut Cx<'_>) {
        if let Some(timer) = self.timer.take() {
            cx.cancel_timer(timer);
        }
    }

    // ----------------------------------------------------------------------------------------------------- verifying

    /// Verifies what came of the oldest request's answer; the bytes that belong to it.
    fn verify(&mut self, input: &[u8], cx: &mut Cx<'_>) -> usize {
        let Some(&Request { number, at }) = self.asked.front() else {
            self.fail(Kind::WrongAnswer, || surplus(input), cx);
            return input.len();
        };
        let plan = self.desk.plan();
        let missing = content::length(plan.service, number, plan.bytes) - self.heard;
        let mine = &input[..usize::try_from(missing).map_or(input.len(), |missing| missing.min(input.len()))];
        if let Some((place, expected)) = content::difference(plan.service, number, self.heard, mine) {
            let found = mine[(place - self.heard) as usize];
            let came = show(&mine[(place - self.heard) as usize..]);
            let why =
                || format!("byte {place} of an answer is {found:#04x} instead of {expected:#04x}: {came}");
            self.fail(Kind::WrongAnswer, why, cx);
            return input.len();
        }
        self.heard += mine.len() as u64;
        self.desk.count(|tally| tally.received += mine.len() as u64);
        if mine.len() as u64 == missing {
            self.answered(at, cx);
        }
        mine.len()
    }

    /// The oldest request is answered, in full and correctly.
    fn answered(&mut self, at: Instant, cx: &mut Cx<'_>) {
        let latency = self.desk.now().saturating_duration_since(at);
        self.heard = 0;
        self.asked.pop_front();
        self.watch_the_clock(cx);
        self.ask(cx);
        if self.asked.is_empty() {
            self.last = Some(latency);
            self.take_leave(cx);
        } else {
            self.credit(latency);
        }
    }

    fn credit(&self, latency: Duration) {
        self.desk.count(|tally| {
            tally.answered += 1;
            tally.latency.note(latency);
        });
    }

    fn take_leave(&mut self, cx: &mut Cx<'_>) {
        self.phase = Phase::Farewell;
        cx.close_write();
        self.timer = Some(cx.start_timer(FAREWELL));
    }

    // --------------------------------------------------------------------------------------------------------- ending

    /// Every request under way failed, and the connection is of no use any more.
    fn fail(&mut self, kind: Kind, why: impl FnOnce() -> String, cx: &mut Cx<'_>) {
        self.lose(kind, why);
        cx.abort();
    }

    fn lose(&mut self, kind: Kind, why: impl FnOnce() -> String) {
        let requests = self.asked.len() as u64 + u64::from(self.last.take().is_some());
        self.asked.clear();
        self.phase = Phase::Over;
        if requests > 0 {
            self.desk.count(|tally| tally.fail(kind, requests, why));
        }
    }

    /// How much of the answer there is, for a message.
    fn so_far(&self) -> String {
        let Some(Request { number, .. }) = self.asked.front() else { return String::new() };
        let plan = self.desk.plan();
        let length = content::length(plan.service, *number, plan.bytes);
        format!("with {} of {length} bytes of an answer here", self.heard)
    }
}

impl Protocol for Caller {
    type Message = Infallible;

    fn opened(&mut self, cx: &mut Cx<'_>) {
        self.desk.count(|tally| tally.attempts += 1);
        if let Some(since) = self.slot.since.take() {
            self.desk.connected(since);
        }
        self.phase = Phase::Talking;
        self.ask(cx);
        if self.asked.is_empty() {
            self.take_leave(cx); // the time was up before the connection stood
        }
    }

    fn received(&mut self, input: &[u8], cx: &mut Cx<'_>) -> usize {
        let mut verified = 0;
        while verified < input.len() && self.phase != Phase::Over {
            verified += self.verify(&input[verified..], cx);
        }
        input.len()
    }

    fn drained(&mut self, cx: &mut Cx<'_>) {
        if self.phase == Phase::Talking {
            self.ask(cx);
        }
    }

    fn eof(&mut self, cx: &mut Cx<'_>) {
        if self.phase == Phase::Talking {
            let why = format!("the server hung up {}", self.so_far());
            self.lose(Kind::ClosedEarly, || why);
        }
        cx.close();
    }

    fn timer(&mut self, _: Timer, cx: &mut Cx<'_>) {
        self.timer = None;
        if self.phase == Phase::Talking {
            let why = format!("the time was up {}", self.so_far());
            self.fail(Kind::TimedOut, || why, cx);
        }
        cx.abort(); // a server that does not hang up is left alone
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Cx<'_>) {
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::Connecting => {
                let (kind, error) = (Kind::of_end(reason), why_not_connected(reason));
                return self.desk.not_connected(self.slot, kind, &error);
            }
            Phase::Talking => {
                let why = format!("{reason}, {}", self.so_far());
                self.lose(Kind::of_end(reason), || why);
            }
            // What matters of the last answer is here, however the connection ended.
            Phase::Farewell => {
                if let Some(latency) = self.last.take() {
                    self.credit(latency);
                }
            }
            Phase::Over => {}
        }
        self.desk.go_on(self.slot, When::Now);
    }
}

/// What the kernel said to an attempt to connect, or the loop's word for it.
fn why_not_connected(reason: &CloseReason) -> io::Error {
    match reason {
        CloseReason::Io(error) => io::Error::new(error.kind(), error.to_string()),
        CloseReason::TimedOut(Timeout::Connect) => {
            io::Error::new(io::ErrorKind::TimedOut, "no connection in the time allowed")
        }
        reason => io::Error::other(reason.to_string()),
    }
}

fn surplus(input: &[u8]) -> String {
    format!("more came than was asked for: {}", show(input))
}

/// The beginning of what came, harmless on a terminal.
fn show(bytes: &[u8]) -> String {
    const SHOWN: usize = 32;
    let more = if bytes.len() > SHOWN { "…" } else { "" };
    format!("\"{}\"{more}", bytes[..bytes.len().min(SHOWN)].escape_ascii())
}
