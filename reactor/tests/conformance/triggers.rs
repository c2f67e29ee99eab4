//! When a registration speaks up: edge, level, one-shot.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

use reactor::unix::SourceFd;
use reactor::{Backend, Token, Trigger};

use crate::support::{READABLE, WRITABLE, Waiting, by_number, drain, fill, pair, raw_pair};

pub fn an_edge_is_told_once(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE);
    waiting.assert_silent();
    theirs.write_all(b"simple").unwrap();
    assert!(waiting.wait_one(1).is_readable());
    waiting.assert_silent();
}

pub fn an_edge_is_told_again_when_data_follows_a_drained_read(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE);
    for _ in 0..3 {
        theirs.write_all(b"simple").unwrap();
        waiting.wait_one(1);
        assert_eq!(drain(&mut ours), 6);
        waiting.assert_silent();
    }
}

/// tokio takes a read that was shorter than asked for the last, and waits.
pub fn an_edge_is_told_again_when_data_follows_a_short_read(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE);
    for _ in 0..3 {
        theirs.write_all(b"simple").unwrap();
        waiting.wait_one(1);
        assert_eq!(ours.read(&mut [0; 64]).unwrap(), 6);
        waiting.assert_silent();
    }
}

pub fn an_edge_half_read_and_followed_by_data_is_told_again(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE);
    theirs.write_all(b"simple").unwrap();
    waiting.wait_one(1);
    assert_eq!(ours.read(&mut [0; 3]).unwrap(), 3);
    theirs.write_all(b"complex").unwrap();
    waiting.wait_one(1);
    assert_eq!(drain(&mut ours), 10);
}

pub fn an_edge_for_room_is_told_again_after_a_refused_write(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = pair();
    waiting.edge(&mut ours, 1, WRITABLE);
    for _ in 0..3 {
        assert!(waiting.wait_one(1).is_writable());
        fill(&mut ours);
        waiting.assert_silent();
        drain(&mut theirs);
    }
    waiting.wait_one(1);
}

pub fn a_full_write_causes_no_event(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, _theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE | WRITABLE);
    assert!(waiting.wait_one(1).is_writable());
    for _ in 0..3 {
        ours.write_all(b"simple").unwrap();
        waiting.assert_silent();
    }
}

/// A read that says "the end" is I/O, but nothing can follow it.
pub fn an_edge_after_the_end_of_the_stream_is_silent(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE);
    theirs.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(waiting.wait_one(1).is_read_closed());
    for _ in 0..3 {
        assert_eq!(ours.read(&mut [0; 8]).unwrap(), 0);
        waiting.assert_silent();
    }
}

pub fn a_level_is_told_on_every_wait(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = pair();
    waiting.level(&mut ours, 1, READABLE);
    waiting.assert_silent();
    theirs.write_all(b"simple").unwrap();
    for _ in 0..3 {
        assert!(waiting.wait_one(1).is_readable());
        ours.read_exact(&mut [0; 2]).unwrap();
    }
    waiting.assert_silent();
}

pub fn a_level_for_room_is_told_on_every_wait(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, _theirs) = pair();
    waiting.level(&mut ours, 1, WRITABLE);
    for _ in 0..3 {
        assert!(waiting.wait_one(1).is_writable());
    }
    fill(&mut ours);
    waiting.assert_silent();
}

pub fn a_one_shot_is_told_once_until_it_is_loaded_again(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = pair();
    waiting.register(&mut ours, 1, READABLE, Trigger::OneShot);
    for _ in 0..3 {
        theirs.write_all(b"simple").unwrap();
        assert!(waiting.wait_one(1).is_readable());
        drain(&mut ours);
        theirs.write_all(b"complex").unwrap(); // news, but it has been told
        waiting.assert_silent();
        drain(&mut ours);
        waiting.registry().reregister_with(&mut ours, Token(1), READABLE, Trigger::OneShot).unwrap();
        waiting.assert_silent();
    }
    drop(theirs);
    assert!(waiting.wait_one(1).is_read_closed());
    waiting.assert_silent();
}

/// A kernel may have an entry for each direction, and then "once" is once for the source nevertheless.
pub fn a_one_shot_for_both_directions_is_told_once(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = pair();
    waiting.register(&mut ours, 1, READABLE | WRITABLE, Trigger::OneShot);
    for _ in 0..3 {
        let event = waiting.wait_one(1);
        assert!(event.is_writable());
        theirs.write_all(b"simple").unwrap(); // in the other direction
        waiting.assert_silent();
        waiting.registry().reregister_with(&mut ours, Token(1), READABLE, Trigger::OneShot).unwrap();
        assert!(waiting.wait_one(1).is_readable());
        waiting.assert_silent();
        drain(&mut ours);
        let both = READABLE | WRITABLE;
        waiting.registry().reregister_with(&mut ours, Token(1), both, Trigger::OneShot).unwrap();
    }
    drop(theirs);
    let event = waiting.wait_one(1);
    assert!(event.is_readable() && event.is_writable());
    waiting.assert_silent();
}

pub fn the_trigger_belongs_to_the_registration(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let mut pairs: Vec<_> = (0..3).map(|_| pair()).collect();
    for (token, trigger) in [Trigger::Edge, Trigger::Level, Trigger::OneShot].into_iter().enumerate() {
        waiting.register(&mut pairs[token].0, token, READABLE, trigger);
        pairs[token].1.write_all(b"simple").unwrap();
    }
    assert_eq!(waiting.wait().len(), 3);
    waiting.wait_one(1); // the level
    for (ours, theirs) in &mut pairs {
        drain(ours);
        theirs.write_all(b"complex").unwrap();
    }
    let mut tokens: Vec<_> = waiting.wait().iter().map(|event| event.token().0).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, [0, 1], "the one-shot was told before");
}

pub fn reregistering_tells_again_what_is_ready(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE);
    theirs.write_all(b"simple").unwrap();
    waiting.wait_one(1);
    for _ in 0..3 {
        waiting.assert_silent();
        waiting.registry().reregister(&mut ours, Token(1), READABLE).unwrap();
        assert!(waiting.wait_one(1).is_readable());
    }
}

pub fn reregistering_replaces_token_interest_and_trigger(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = pair();
    waiting.level(&mut ours, 1, READABLE);
    theirs.write_all(b"simple").unwrap();
    waiting.registry().reregister(&mut ours, Token(2), WRITABLE).unwrap();
    let event = waiting.wait_one(2);
    assert!(event.is_writable() && !event.is_readable());
    waiting.assert_silent();
    waiting.registry().reregister_with(&mut ours, Token(3), READABLE, Trigger::OneShot).unwrap();
    waiting.wait_one(3);
    waiting.assert_silent();
    waiting.registry().reregister_with(&mut ours, Token(4), READABLE, Trigger::Level).unwrap();
    for _ in 0..3 {
        waiting.wait_one(4);
    }
}

pub fn only_what_was_asked_for_is_told(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut readable, mut theirs) = pair();
    let (mut writable, mut other) = pair();
    theirs.write_all(b"simple").unwrap();
    other.write_all(b"simple").unwrap();
    waiting.level(&mut readable, 1, READABLE);
    waiting.level(&mut writable, 2, WRITABLE);
    for event in waiting.wait() {
        assert_eq!(event.is_readable(), event.token() == Token(1), "{event:?}");
        assert_eq!(event.is_writable(), event.token() == Token(2), "{event:?}");
        assert!(!event.is_error() && !event.is_priority());
        assert!(!event.is_read_closed() && !event.is_write_closed());
    }
}

pub fn a_raw_descriptor_has_all_three_triggers(backend: Backend) {
    for trigger in [Trigger::Edge, Trigger::Level, Trigger::OneShot] {
        let mut waiting = Waiting::with(backend);
        let (mut near, mut far) = raw_pair();
        let fd = near.as_raw_fd();
        waiting.register(&mut SourceFd(&fd), 5, READABLE, trigger);
        waiting.assert_silent();
        for round in 0..3 {
            far.write_all(b"simple").unwrap();
            if round == 0 || trigger != Trigger::OneShot {
                assert!(waiting.wait_one(5).is_readable());
            }
            drain(&mut near);
            waiting.assert_silent();
        }
        far.write_all(b"simple").unwrap();
        waiting.registry().reregister_with(&mut SourceFd(&fd), Token(6), READABLE, trigger).unwrap();
        assert!(waiting.wait_one(6).is_readable());
        waiting.deregister(&mut SourceFd(&fd));
        waiting.assert_silent();
    }
}

/// signal-hook-mio registers one of our sockets and reads with recv(2) from its number.
pub fn an_edge_read_past_us_by_its_number_is_told_again(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE);
    for _ in 0..3 {
        theirs.write_all(b"simple").unwrap();
        waiting.wait_one(1);
        assert_eq!(drain(&mut &*by_number(&ours)), 6);
    }
}

/// Nobody knows whether it is used, but a connection with room would be told of it for ever.
pub fn an_edge_for_room_whose_number_was_asked_for_is_silent(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, _theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE | WRITABLE);
    assert!(waiting.wait_one(1).is_writable());
    for _ in 0..3 {
        assert!(ours.as_raw_fd() > 0);
        let events = waiting.wait_for(Duration::from_millis(3));
        assert!(events.is_empty(), "{events:?}");
    }
}

/// The reader trusts edges alone, with buffers of awkward sizes, while another thread writes as it likes.
pub fn no_edge_is_lost_in_a_long_conversation(backend: Backend) {
    const LENGTH: usize = 1 << 20;
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = pair();
    theirs.set_nonblocking(false).unwrap();
    waiting.edge(&mut ours, 1, READABLE);
    let writer = std::thread::spawn(move || {
        for length in (1..977).cycle().scan(LENGTH, |left, length| {
            let length = length.min(*left);
            *left -= length;
            (length > 0).then_some(length)
        }) {
            theirs.write_all(&vec![1; length]).unwrap();
        }
    });
    let mut received = 0;
    while received < LENGTH {
        waiting.wait_one(1);
        received += drain(&mut ours);
    }
    assert_eq!(received, LENGTH);
    writer.join().unwrap();
}
