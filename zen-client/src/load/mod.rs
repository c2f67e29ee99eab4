//! A load: very many requests, every answer verified byte by byte, and how long each took.
//!
//! The load client of the texts takes three numbers: `-c` children at once, `-t` connections each, `-b` bytes to request, and
//! it fails loudly if fewer bytes come back. This one does the same on one event loop: its children are [`Caller`]s,
//! [`Protocol`](reactor::event_loop::Protocol)s without any I/O, and one thread waits for all of them.
//!
//! # Reading order
//!
//! [`Plan`] says what is to be done, `content` what the answers must consist of. A [`Caller`] is one connection's side of
//! it; all of them share a [`Desk`], where a [`Tally`] is kept and where those who need a connection queue up. [`run`] is
//! the loop around them, and [`Report`] puts the results into words and JSON.
//!
//! # What the latencies mean
//!
//! This is a *closed loop*: a caller asks again only when the answer is here. A server that stalls for a second therefore
//! gets fewer questions during that second, and of all those that independent clients would have asked in it, and waited for,
//! only the one under way is measured. Percentiles of a closed loop look better than what users would see; Gil Tene named
//! the effect *coordinated omission*. What they do tell: how long an answer took for so many callers at once, and how two
//! servers compare under the same plan. They do not tell what happens when requests arrive at a rate of their own.
//!
//! The clock runs from the moment a request is handed to the loop to the verification of the last byte of its answer, so the
//! time in which this process was busy with other callers is in it: with many callers on a busy machine, the load is part
//! of what it measures.
//!
//! # When it ends
//!
//! Always: after a count of requests (`-t`), or after a time, and each request has a time limit of its own. If nobody's
//! first request is answered, or nobody can be connected for as long as one request may take, it gives up early.

mod caller;
#[cfg(test)]
mod caller_tests;
mod content;
mod desk;
mod failure;
mod plan;
mod report;
mod run;
mod tally;

pub use caller::Caller;
pub use desk::{Desk, Slot, When};
pub use failure::Kind;
pub use plan::{Plan, Service};
pub use report::Report;
pub use run::run;
pub use tally::{Latencies, Tally};
