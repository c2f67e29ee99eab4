//! How long a wait waits.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use reactor::unix::SourceFd;
use reactor::{Backend, Token, Waker};

use crate::support::{READABLE, Waiting, pair, raw_pair, usage};

pub fn a_timeout_is_not_an_error(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, _theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE);
    assert!(waiting.wait_for(Duration::from_millis(2)).is_empty());
}

pub fn zero_does_not_wait(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let before = usage().1;
    for _ in 0..100 {
        waiting.assert_silent();
    }
    assert!(usage().1 - before < 50, "a wait of zero goes to sleep");
}

/// Rounded down, it would be over too early; rounded down to zero, the loop would spin.
pub fn a_short_timeout_is_not_truncated(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    for timeout in [1, 999, 1_000, 300_000, 1_500_000].map(Duration::from_nanos) {
        let start = Instant::now();
        assert!(waiting.wait_for(timeout).is_empty());
        assert!(start.elapsed() >= timeout, "{timeout:?} took only {:?}", start.elapsed());
    }
}

pub fn no_timeout_and_a_huge_one_wait_for_the_event(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let waker = Waker::new(waiting.registry(), Token(9)).unwrap();
    let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
    for timeout in [None, Some(days(25)), Some(days(50_000)), Some(Duration::MAX)] {
        waker.wake().unwrap();
        waiting.poll.poll(&mut waiting.events, timeout).unwrap();
        assert!(!waiting.events.is_empty());
    }
}

/// Not even with sources that an emulated edge has to leave out of the wait: one that is ready and was told, one whose peer
/// is gone, a raw descriptor that was read.
pub fn an_idle_wait_does_not_burn_time(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut told, mut other) = pair();
    let (mut gone, peer) = pair();
    let (mut raw, mut far) = raw_pair();
    waiting.edge(&mut told, 1, READABLE | reactor::Interest::WRITABLE);
    waiting.edge(&mut gone, 2, READABLE);
    waiting.edge(&mut SourceFd(&raw.as_raw_fd()), 3, READABLE);
    std::io::Write::write_all(&mut other, b"simple").unwrap();
    std::io::Write::write_all(&mut far, b"simple").unwrap();
    drop(peer);
    assert_eq!(waiting.wait().len(), 3);
    crate::support::drain(&mut raw);

    let (time, sleeps) = usage();
    assert!(waiting.wait_for(Duration::from_millis(150)).is_empty());
    let (time, sleeps) = (usage().0 - time, usage().1 - sleeps);
    assert!(sleeps < 10, "woke up {sleeps} times");
    assert!(time < Duration::from_millis(40), "used {time:?} of the processor");
}
