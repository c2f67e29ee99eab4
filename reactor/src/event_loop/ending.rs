//! How connections, and the loop itself, end.

use std::time::Duration;

use super::connection::{Connection, Verdict};
use super::outside::Due;
use super::protocol::{CloseReason, ConnectionId, Protocol};
use super::reactor::Reactor;
use super::timer::Timer;

/// Checks of the limits on time per span of a limit: a connection ends at most one part of it late.
const SWEEPS: u32 = 4;

/// A shutdown in progress.
#[derive(Debug)]
pub(super) struct Stopping {
    grace: Timer,
}

impl<P: Protocol + 'static> Reactor<P> {
    /// Ends a connection: unwatched at once, told why, freed when the turn ends.
    #[cold]
    pub(super) fn close(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(id.index()) else { return };
        if !connection.is_dead() {
            self.dead.push(id); // before the protocol is called: should it panic, its place is not lost
            self.outside.counters.closed += 1;
            connection.bury(&reason, &self.driver);
        }
        self.driver.output.clear();
        self.outside.enter(id, connection.number());
        connection.session.finish(&reason, &mut self.driver.output, &mut self.outside);
        self.driver.output.clear();
    }

    /// Frees an ended connection's place, and closes its descriptor.
    pub(super) fn free(&mut self, id: ConnectionId) {
        let connection = self.connections.remove(id.index());
        self.peers.leave(connection.peer);
        self.outside.enter(id, -1); // should the protocol's drop panic, it is not the program's own
        drop(connection);
    }

    // ----------------------------------------------------------------------------------------------- limits on time

    /// The time between two sweeps, if limits on time are set.
    fn sweep_period(&self) -> Option<Duration> {
        let limits = &self.outside.limits;
        let shortest = limits.idle.into_iter().chain(limits.request_time).min()?;
        Some((shortest / SWEEPS).max(Duration::from_millis(1)))
    }

    /// Sees to it that limits on time are watched while there are connections. An idle loop without connections sleeps.
    pub(super) fn start_sweeping(&mut self) {
        if self.sweeping {
            return;
        }
        if let Some(period) = self.sweep_period() {
            self.sweeping = true;
            self.outside.start(period, Due::Sweep, None);
        }
    }

    /// Looks for connections that outlived a limit on time. They noted in which epoch bytes last moved, so a request costs
    /// neither a reading of the clock nor a timer.
    pub(super) fn sweep(&mut self) {
        self.sweeping = false;
        if self.connections.is_empty() {
            return;
        }
        let Some(period) = self.sweep_period() else { return };
        self.start_sweeping();
        self.outside.epoch = self.outside.epoch.wrapping_add(1);
        // One more than fit into the limit: what was noted late in an epoch has lived only part of it.
        let epochs = |limit: Duration| {
            u32::try_from(limit.as_nanos().div_ceil(period.as_nanos()) + 1).unwrap_or(u32::MAX)
        };
        let (idle, request) =
            (self.outside.limits.idle.map(epochs), self.outside.limits.request_time.map(epochs));
        let epoch = self.outside.epoch;
        let expired: Vec<_> = self
            .connections
            .iter()
            .filter_map(|(index, connection)| {
                connection.expired(epoch, idle, request).map(|timeout| (connection.id(index), timeout))
            })
            .collect();
        for (id, timeout) in expired {
            self.with_connection(id, |_, _, _| CloseReason::TimedOut(timeout).into());
        }
    }

    // ------------------------------------------------------------------------------------------------------ shutdown

    /// Ends in order: listeners close at once, connections as soon as no request of theirs is in progress, and whatever is
    /// left after `grace` is aborted. [`run`](Reactor::run) returns when no connection is left. Called again, it changes the
    /// grace.
    pub fn shutdown(&mut self, grace: Duration) {
        self.outside.forget_now(); // between turns it may be long ago
        let first = self.stopping.is_none();
        self.forget_shutdown();
        self.stopping = Some(Stopping { grace: self.outside.start(grace, Due::Grace, None) });
        if first {
            for place in self.places_of_listeners() {
                self.unwatch_listener(place);
                self.listeners.remove(place);
            }
            self.each_connection(|connection| connection.leave());
        }
    }

    /// Whether a shutdown was begun, and the loop has not begun again since.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    /// Whether a shutdown is complete: no connection is left to turn for.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.stopping.is_some() && self.connections.is_empty()
    }

    /// Forgets a shutdown that is complete.
    pub(super) fn begin_again(&mut self) {
        if self.is_shut_down() {
            self.forget_shutdown();
        }
    }

    fn forget_shutdown(&mut self) {
        if let Some(Stopping { grace }) = self.stopping.take() {
            self.outside.wheel.cancel(grace, None);
        }
    }

    /// The grace is over.
    pub(super) fn end_grace(&mut self) {
        self.each_connection(|_| CloseReason::Aborted.into());
    }

    fn each_connection(&mut self, call: impl Fn(&mut Connection<P>) -> Verdict) {
        let mut ids: Vec<ConnectionId> =
            self.connections.iter().map(|(index, connection)| connection.id(index)).collect();
        self.guarded(|reactor| {
            let next = ids.pop();
            next.map(|id| reactor.with_connection(id, |connection, _, _| call(connection))).is_some()
        });
    }
}
