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

use super::content::{self, Answer};
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
    /// What is to be echoed, while it is not wholly made.
    making: Option<Answer>,
    /// The latency of an answer that counts once the farewell is over.
    last: Option<Duration>,
    timer: Option<Timer>,
}

/// A request under way.
#[derive(Debug)]
struct Request {
    /// When it was begun.
    at: Instant,
    /// What must come back, from the byte on that is due next,
    answer: Answer,
    /// and how many bytes of that are missing.
    missing: u64,
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
            making: None,
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
        while cx.unsent() < UNSENT && (self.making.is_some() || self.begin(cx)) {
            self.make(cx);
        }
        if self.making.is_some() || self.may_begin() {
            cx.notify_drained();
        }
    }

    fn may_begin(&self) -> bool {
        self.quota > 0 && self.asked.len() < self.desk.plan().pipeline && !self.desk.is_closing()
    }

    /// Begins the next request, if one is due. One that is to be echoed is made later, in shares.
    fn begin(&mut self, cx: &mut Cx<'_>) -> bool {
        if !self.may_begin() {
            return false;
        }
        self.quota -= 1;
        self.slot.left -= 1;
        let (plan, number, before) = (self.desk.plan(), self.desk.begin(), cx.unsent());
        let answer = Answer::new(plan.service, number);
        match plan.service {
            Service::Zen => cx.write(content::question(number).as_bytes()),
            Service::Bytes => writeln!(cx.buffer(), "{}", plan.bytes).expect("a vector takes everything"),
            Service::Echo => self.making = Some(answer.clone()),
        }
        self.desk.count(|tally| tally.sent += (cx.unsent() - before) as u64);
        let missing = content::length(plan.service, number, plan.bytes);
        self.asked.push_back(Request { at: self.desk.now(), answer, missing });
        if self.asked.len() == 1 {
            self.watch_the_clock(cx);
        }
        true
    }

    /// Makes a share of what is to be echoed.
    fn make(&mut self, cx: &mut Cx<'_>) {
        let Some(making) = &mut self.making else { return };
        let left = self.desk.plan().bytes - making.position();
        let share = usize::try_from(left).unwrap_or(usize::MAX).min(SHARE);
        let buffer = cx.buffer();
        let start = buffer.len();
        buffer.resize(start + share, 0);
        making.fill(&mut buffer[start..]);
        self.desk.count(|tally| tally.sent += share as u64);
        if share as u64 == left {
            self.making = None;
        }
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
        let Some(Request { at, answer, missing }) = self.asked.front_mut() else {
            self.fail(Kind::WrongAnswer, || format!("more came than was asked for: {}", show(input)), cx);
            return input.len();
        };
        let mine = &input[..usize::try_from(*missing).unwrap_or(usize::MAX).min(input.len())];
        let (at, before) = (*at, answer.position());
        if let Some((place, expected)) = answer.difference(mine) {
            let came = &mine[(place - before) as usize..];
            let why = || {
                let found = came[0];
                format!("byte {place} of an answer is {found:#04x} and not {expected:#04x}: {}", show(came))
            };
            self.fail(Kind::WrongAnswer, why, cx);
            return input.len();
        }
        *missing -= mine.len() as u64;
        let is_whole = *missing == 0;
        self.desk.count(|tally| tally.received += mine.len() as u64);
        if is_whole {
            self.answered(at, cx);
        }
        mine.len()
    }

    /// The oldest request is answered, in full and correctly.
    fn answered(&mut self, at: Instant, cx: &mut Cx<'_>) {
        let latency = self.desk.now().saturating_duration_since(at);
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
            self.desk.failed(kind, requests, why);
        }
    }

    /// How much of the answer there is, for a message.
    fn so_far(&self) -> String {
        let Some(Request { answer, missing, .. }) = self.asked.front() else { return String::new() };
        format!("with {} of {} bytes of an answer here", answer.position(), answer.position() + missing)
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
            self.fail(Kind::ClosedEarly, || why, cx);
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
        CloseReason::Io(error) => match reactor::errno(error) {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        },
        CloseReason::TimedOut(Timeout::Connect) => {
            io::Error::new(io::ErrorKind::TimedOut, "no connection in the time allowed")
        }
        reason => io::Error::other(reason.to_string()),
    }
}

/// The beginning of what came, harmless on a terminal.
fn show(bytes: &[u8]) -> String {
    const SHOWN: usize = 32;
    let more = if bytes.len() > SHOWN { "…" } else { "" };
    format!("\"{}\"{more}", bytes[..bytes.len().min(SHOWN)].escape_ascii())
}
