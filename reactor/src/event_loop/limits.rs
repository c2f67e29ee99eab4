//! The numbers that bound what a peer can use up.

use std::time::Duration;

/// What one loop allows its peers. `None` means no limit.
///
/// ```
/// use reactor::event_loop::Limits;
/// use std::time::Duration;
/// let limits = Limits { idle: Some(Duration::from_secs(60)), connections_per_peer: Some(32), ..Limits::default() };
/// assert_eq!(limits.request_bytes, 1 << 20);
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. At the limit the listeners pause: newcomers wait in the kernel's backlog, nothing is lost.
    pub connections: usize,
    /// Connections at once from one IP address; further ones are closed as soon as they are accepted. Unix sockets have no
    /// address and are not counted.
    pub connections_per_peer: Option<u32>,
    /// Bytes of one request: what a protocol may leave unconsumed while it asks for more. A longer request that arrives in one
    /// read is not noticed: a protocol with a limit of its own looks for itself.
    pub request_bytes: usize,
    /// Bytes of memory queued for one peer (of files and static pieces only the entry in the queue, some sixty bytes, counts).
    pub output_bytes: usize,
    /// Time without a byte in either direction. Checked four times per span, so a connection ends at most a quarter late.
    pub idle: Option<Duration>,
    /// Time to finish a request once its first byte is here; it stands still while the protocol has paused or lacks room.
    /// Checked four times per span.
    pub request_time: Option<Duration>,
    /// Time for an outgoing connection to be established.
    pub connect_time: Option<Duration>,
    /// At close: time in all that the peer is given to finish once everything is sent, and time without progress that unsent
    /// bytes are given before (for those the idle limit, where it is longer: a slow reader takes them in bursts).
    pub linger_time: Duration,
    /// At close: bytes still accepted (and thrown away) so that the peer can read our last words before a reset.
    pub linger_bytes: usize,
}

impl Limits {
    /// How long unsent bytes of a closing connection may stand still.
    pub(crate) fn flush_time(&self) -> Duration {
        self.idle.map_or(self.linger_time, |idle| idle.max(self.linger_time))
    }
}

impl Default for Limits {
    /// As many connections as keys can name, 1 MiB requests, 64 MiB of output, two seconds and 1 MiB of lingering, and no
    /// other limit.
    fn default() -> Limits {
        Limits {
            connections: super::ConnectionId::MOST,
            connections_per_peer: None,
            request_bytes: 1 << 20,
            output_bytes: 64 << 20,
            idle: None,
            request_time: None,
            connect_time: None,
            linger_time: Duration::from_secs(2),
            linger_bytes: 1 << 20,
        }
    }
}

/// When a connection's unsent bytes pause its reading, and when they let it go on.
///
/// That is what a server wants: who does not take answers asks no further. Two peers that both send more than they read, such
/// as a client that says much and the server that repeats it, would then wait for each other for ever; a client stays below the
/// mark ([`Context::room`](super::Context::room)), or sets a higher one.
///
/// ```
/// use reactor::event_loop::Watermarks;
/// assert_eq!(Watermarks::default(), Watermarks { high: 64 * 1024, low: 16 * 1024 });
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// At this many bytes unsent there is no room: reading pauses.
    pub high: usize,
    /// At this many or fewer reading goes on, and `drained` is called for whoever asked. Below `high`.
    pub low: usize,
}

impl Watermarks {
    /// The same such that output can reach the high mark and fall from it to the low one.
    pub(crate) fn clamped(self) -> Watermarks {
        let high = self.high.max(1);
        Watermarks { high, low: self.low.min(high - 1) }
    }
}

impl Default for Watermarks {
    fn default() -> Watermarks {
        Watermarks { high: 64 * 1024, low: 16 * 1024 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slow reader takes what it takes in bursts, and the time of lingering is short.
    #[test]
    fn unsent_bytes_may_stand_still_for_the_longer_of_two_limits() {
        let [short, long] = [1, 60].map(Duration::from_secs);
        for (idle, linger_time, expected) in
            [(None, short, short), (Some(long), short, long), (Some(short), long, long)]
        {
            let limits = Limits { idle, linger_time, ..Limits::default() };
            assert_eq!(limits.flush_time(), expected);
        }
    }
}
