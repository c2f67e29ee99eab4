//! What several programs need: to wait until something is so, but not for ever.

use std::io;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll};

const PATIENCE: Duration = Duration::from_secs(20);

/// Polls, and hands every event to `react`, until that says it has seen enough.
pub fn poll_until(
    poll: &mut Poll,
    events: &mut Events,
    mut react: impl FnMut(&Poll, &Event) -> io::Result<bool>,
) -> io::Result<()> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match poll.poll(events, Some(PATIENCE)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        }
        let mut enough = false;
        for event in events.iter() {
            enough |= react(poll, event)?;
        }
        if enough {
            return Ok(());
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "what was waited for did not happen"))
}

/// Nothing, if the call would have blocked.
pub fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
