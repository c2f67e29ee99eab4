//! A loop in a process without descriptors to spare. (The limit is the process's: nothing else is tested here.)

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use reactor::event_loop::{Context, Protocol, Reactor};

struct Silent;

impl Protocol for Silent {
    type Message = ();
    fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize {
        input.len()
    }
}

/// The soft limit on descriptors, set to `limit`; what it was.
fn limit_descriptors(limit: libc::rlim_t) -> libc::rlim_t {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `now` is writable, and then readable, for the length of each call.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut now), 0);
        let before = std::mem::replace(&mut now.rlim_cur, limit);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const now), 0);
        before
    }
}

#[test]
fn timers_ring_where_no_descriptor_is_left_for_a_clock() {
    let mut reactor = Reactor::<Silent>::builder().build().expect("a loop");
    let before = limit_descriptors(3); // all taken; with less, poll(2) refuses to look at three
    let rang = Rc::new(Cell::new(false));
    let rings = Rc::clone(&rang);
    reactor.after(Duration::from_millis(1), move |_| rings.set(true));
    for _ in 0..10 {
        reactor.turn(Some(Duration::from_millis(100))).expect("a turn");
    }
    limit_descriptors(before);
    assert!(rang.get());
}
