//! What a server reports on its clients: one function per event, in the words of the texts.
//!
//! They go through [`tracing`], so whoever runs a server decides where they are written and how many of them: connections
//! and their ends at `INFO`, each question at `DEBUG`, our own mistakes at `ERROR`. An event nobody wants costs one comparison.

use std::fmt::Display;

use reactor::event_loop::CloseReason;
use tracing::{debug, error, info};

/// A client connected.
pub fn accepted(peer: &dyn Display) {
    info!("accepted from {peer}");
}

/// A client asked (without its `?`), and this is what it is told.
#[inline]
pub fn asked(question: &[u8], answer: &str) {
    debug!("\"{}?\" is answered {answer:?}", question.escape_ascii());
}

/// A client asked for so many bytes.
#[inline]
pub fn counted(bytes: u64) {
    debug!("{bytes} bytes are asked for");
}

/// What a client sent is refused with an error, and the client hung up on.
pub fn refused(peer: &dyn Display, answer: &str) {
    info!("{peer} is told {answer:?} and hung up on");
}

/// A connection is over, for this reason.
pub fn closed(peer: &dyn Display, reason: &CloseReason) {
    match reason {
        CloseReason::Finished => info!("{peer} closed normally"),
        CloseReason::MidRequest(count) => info!("{peer} sent {} but then closed", bytes(*count)),
        CloseReason::Unsent(count) => info!("{peer} closed before we sent {}", bytes(*count)),
        CloseReason::Panicked(_) => error!("{peer}: {reason}"),
        CloseReason::Aborted => info!("{peer} was still connected when we left"),
        CloseReason::Reset | CloseReason::Io(_) => info!("client error: {peer}: {reason}"),
        _ => info!("{peer} was hung up on: {reason}"),
    }
}

fn bytes(count: usize) -> String {
    format!("{count} byte{}", if count == 1 { "" } else { "s" })
}
