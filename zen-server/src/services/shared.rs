//! What every service keeps besides what it says: counts, the clients' addresses, and a place where counts add up.

use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reactor::event_loop::CloseReason;

use crate::events;
use crate::peer::{Peer, Peers};

/// What a service is to be like: the same for all threads and processes of a server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long each answer takes: the texts' "expensive answer". (Only [`zen`](super::zen) is asked for opinions.)
    pub delay: Option<Duration>,
    /// The largest count the [`bytes`](super::bytes) service accepts.
    pub largest: u64,
    /// Whether the [`bytes`](super::bytes) service hangs up after one answer.
    pub one_shot: bool,
    /// Where the counts of all threads add up.
    pub tally: Arc<Tally>,
}

impl Default for Settings {
    /// Answers at once, counts up to ten billion, and many of them on one connection.
    fn default() -> Settings {
        Settings { delay: None, largest: 10_000_000_000, one_shot: false, tally: Arc::default() }
    }
}

/// Counts of everything since the start.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Conversations begun.
    pub connections: u64,
    /// Requests answered.
    pub requests: u64,
    /// Bytes of requests.
    pub received: u64,
    /// Bytes of answers.
    pub sent: u64,
}

impl Totals {
    /// `3 connections, 9 questions; 207 bytes received, 66 sent`, with this word for a request.
    ///
    /// ```
    /// let totals = zen_server::services::Totals { connections: 1, requests: 2, received: 30, sent: 32 };
    /// let text = totals.display("question").to_string();
    /// assert_eq!(text, "1 connection, 2 questions; 30 bytes received, 32 sent");
    /// ```
    #[must_use]
    pub fn display(self, request: &str) -> impl fmt::Display + use<'_> {
        Told { totals: self, request }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, more: Totals) {
        self.connections += more.connections;
        self.requests += more.requests;
        self.received += more.received;
        self.sent += more.sent;
    }
}

struct Told<'a> {
    totals: Totals,
    request: &'a str,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let (Totals { connections, requests, received, sent }, request) = (self.totals, self.request);
        write!(
            f,
            "{connections} connection{}, {requests} {request}{}; ",
            plural(connections),
            plural(requests)
        )?;
        write!(f, "{received} byte{} received, {sent} sent", plural(received))
    }
}

/// Where the counts of several threads come together: each adds its own when it is through, so none waits for another.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Totals>);

impl Tally {
    /// Adds counts.
    pub fn add(&self, more: Totals) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += more;
    }

    /// What came together so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, and begins anew.
    #[must_use]
    pub fn take(&self) -> Totals {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Counts of one thread, and the addresses of its clients. Dropped, it adds its counts to the tally.
#[derive(Debug, Default)]
pub struct Book {
    connections: Cell<u64>,
    requests: Cell<u64>,
    received: Cell<u64>,
    sent: Cell<u64>,
    peers: Peers,
    tally: Arc<Tally>,
}

impl Book {
    /// An empty one, which will be added to `tally`.
    #[must_use]
    pub fn new(tally: Arc<Tally>) -> Book {
        let mut book = Book::default();
        book.tally = tally;
        book
    }

    /// What was counted so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            connections: self.connections.get(),
            requests: self.requests.get(),
            received: self.received.get(),
            sent: self.sent.get(),
        }
    }

    /// A client has come: its address is kept in few bytes until [`forget`](Book::forget).
    #[must_use]
    pub fn remember(&self, address: Option<SocketAddr>) -> Peer {
        self.peers.remember(address)
    }

    /// Its address is not needed any more.
    pub fn forget(&self, peer: &Peer) {
        self.peers.forget(peer);
    }

    /// A conversation begins.
    pub fn opened(&self, peer: &Peer) {
        add(&self.connections, 1);
        events::accepted(&self.peers.name(peer));
    }

    /// A request of so many bytes is answered.
    #[inline]
    pub fn asked(&self, bytes: usize) {
        add(&self.requests, 1);
        add(&self.received, bytes);
    }

    /// Bytes came that are, or are not yet, no request of their own.
    #[inline]
    pub fn received(&self, bytes: usize) {
        add(&self.received, bytes);
    }

    /// So many bytes are said.
    #[inline]
    pub fn said(&self, bytes: usize) {
        add(&self.sent, bytes);
    }

    /// The client is told an error and hung up on.
    pub fn refused(&self, peer: &Peer, answer: &str) {
        events::refused(&self.peers.name(peer), answer);
    }

    /// A conversation is over.
    pub fn closed(&self, peer: &Peer, reason: &CloseReason) {
        if let CloseReason::MidRequest(unfinished) = reason {
            self.received(*unfinished);
        }
        events::closed(&self.peers.name(peer), reason);
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        self.tally.add(self.totals());
    }
}

#[inline]
fn add(counter: &Cell<u64>, more: usize) {
    counter.set(counter.get().wrapping_add(more as u64));
}
