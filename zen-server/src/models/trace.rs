//! Looking over the shoulder of a model: each step with its time and its place in the source, and who waited how long.
//!
//! The texts do this by hand: they time each line of the simplest server and find that it is at work for seven percent of a
//! conversation and waits for the rest of it. Nothing here runs unless `--trace` asks for it.

use std::convert::Infallible;
use std::fmt::Display;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::time::{Duration, Instant};

use reactor::event_loop::{CloseReason, Context, Counters, Limits, Protocol, Step, Timer, converse_observed};
use tracing::info;

/// The time now.
pub fn begin() -> Instant {
    Instant::now()
}

/// The time now, if somebody wants to know.
pub fn begin_if(wanted: bool) -> Option<Instant> {
    wanted.then(Instant::now)
}

/// Tells of a step that began then and ends now, if its beginning was taken.
#[track_caller]
pub fn step(began: Option<Instant>, call: &str) {
    if let Some(began) = began {
        tell(None, call, &"", began.elapsed(), Location::caller());
    }
}

/// One line: when it began, seen from the beginning of the conversation, what it was, what came of it, how long it took.
fn tell(since: Option<Duration>, call: &str, result: &dyn Display, took: Duration, place: &Location<'_>) {
    let since = since.map_or_else(|| "-".to_owned(), |since| format!("{:.6}", since.as_secs_f64()));
    info!("trace: {since:>10} s  {call:<8} {result:<12} took {:.6} s  at {place}", took.as_secs_f64());
}

fn percent(part: Duration, whole: Duration) -> f64 {
    100.0 * part.as_secs_f64() / whole.as_secs_f64().max(f64::EPSILON)
}

/// Tells how much of a time was spent waiting.
fn tell_waiting(who: &str, waited: Duration, whole: Duration) {
    let percent = percent(waited, whole);
    info!(
        "trace: {who} took {:.6} s and waited for {percent:.1} % of it (busy: {:.1} %)",
        whole.as_secs_f64(),
        100.0 - percent
    );
}

/// A conversation of a thread that blocks.
pub fn converse<P: Protocol>(stream: OwnedFd, protocol: P, limits: &Limits) -> io::Result<CloseReason> {
    let (began, mut waited) = (Instant::now(), Duration::ZERO);
    let result = converse_observed(stream, protocol, limits, |step: &Step<'_>| {
        let result = match step.result {
            Ok(bytes) => format!("{bytes} bytes"),
            Err(error) => error.kind().to_string(),
        };
        if step.call != "send" {
            waited += step.took;
        }
        tell(Some(step.began - began), step.call, &result, step.took, step.place);
    });
    tell_waiting("the conversation", waited, began.elapsed());
    result
}

/// The loop as a whole, when it ends.
pub fn tell_loop(began: Instant, counters: &Counters) {
    tell_waiting("the loop", counters.waited, began.elapsed());
    info!("trace: the loop made {} turns for {} events", counters.turns, counters.events);
}

/// A protocol on the reactor: what is told of it is each of its calls, for the waiting is done by the loop.
#[derive(Debug)]
pub struct Traced<P> {
    protocol: P,
    began: Instant,
    busy: Duration,
}

impl<P> Traced<P> {
    /// Begins now.
    pub fn new(protocol: P) -> Traced<P> {
        Traced { protocol, began: Instant::now(), busy: Duration::ZERO }
    }

    #[track_caller]
    fn call<R>(&mut self, name: &str, bytes: usize, method: impl FnOnce(&mut P) -> R) -> R {
        let began = Instant::now();
        let result = method(&mut self.protocol);
        let took = began.elapsed();
        self.busy += took;
        tell(Some(began - self.began), name, &format!("{bytes} bytes"), took, Location::caller());
        result
    }
}

impl<P: Protocol<Message = Infallible>> Protocol for Traced<P> {
    type Message = Infallible;

    fn opened(&mut self, cx: &mut Context<'_, Infallible>) {
        self.call("opened", 0, |protocol| protocol.opened(cx));
    }
    fn received(&mut self, input: &[u8], cx: &mut Context<'_, Infallible>) -> usize {
        self.call("received", input.len(), |protocol| protocol.received(input, cx))
    }
    fn eof(&mut self, cx: &mut Context<'_, Infallible>) {
        self.call("eof", 0, |protocol| protocol.eof(cx));
    }
    fn drained(&mut self, cx: &mut Context<'_, Infallible>) {
        self.call("drained", 0, |protocol| protocol.drained(cx));
    }
    fn timer(&mut self, timer: Timer, cx: &mut Context<'_, Infallible>) {
        self.call("timer", 0, |protocol| protocol.timer(timer, cx));
    }
    fn closed(&mut self, reason: &CloseReason, cx: &mut Context<'_, Infallible>) {
        self.call("closed", 0, |protocol| protocol.closed(reason, cx));
        let whole = self.began.elapsed();
        tell_waiting("the conversation", whole.saturating_sub(self.busy), whole);
    }
}
