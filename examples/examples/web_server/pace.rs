//! Patience with the slow, and its end.
//!
//! A client that takes an answer byte by byte, or sends a body byte by byte, never looks idle and yet holds a place for
//! ever: "slowloris". So whoever is in the middle of something must get on with it, on average: after a while of grace, a
//! minimum of bytes for each second. It is an average since the beginning, because the kernel's buffers swallow megabytes in
//! one gulp and then nothing for minutes while a slow but honest reader empties them.
//!
//! The clock runs only while somebody is being waited for, so a client that takes its answers at once costs no timer.

use std::time::{Duration, Instant};

use reactor::event_loop::Context;

/// How often is looked.
const PERIOD: Duration = Duration::from_secs(5);
/// How long nothing is expected.
pub const GRACE: Duration = Duration::from_secs(20);
/// Bytes expected for each second after that.
pub const RATE: u64 = 1024;

/// How a client that is being waited for gets on.
#[derive(Debug, Default)]
pub struct Pace {
    /// Since when it is being waited for.
    since: Option<Instant>,
    /// Bytes of answers written for it since then, and of bodies received from it.
    bytes: u64,
}

impl Pace {
    /// More was written, or received.
    pub fn count(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Begins to look after the client, unless that goes on already.
    pub fn watch<M>(&mut self, cx: &mut Context<'_, M>) {
        if self.since.is_none() {
            self.since = Some(cx.now());
            self.bytes = cx.unsent() as u64; // none of which has moved yet
            cx.start_timer(PERIOD);
        }
    }

    /// Looks: a timer rang. It rings again while the client `is_busy`.
    pub fn look<M>(&mut self, is_busy: bool, cx: &mut Context<'_, M>) {
        if is_busy {
            cx.start_timer(PERIOD);
        } else {
            self.since = None;
        }
    }

    /// Whether patience is at its end.
    pub fn is_too_slow<M>(&self, cx: &mut Context<'_, M>) -> bool {
        let Some(since) = self.since else { return false };
        let moved = self.bytes.saturating_sub(cx.unsent() as u64);
        cx.now().saturating_duration_since(since) > GRACE + Duration::from_secs(moved / RATE)
    }
}
