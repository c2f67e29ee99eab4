//! Who is watched: registering, changing, leaving, from any thread; and who is heard when many speak.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;

use reactor::event::Source;
use reactor::net::TcpStream;
use reactor::unix::SourceFd;
use reactor::{Backend, Events, Token, Trigger, Waker};

use crate::support::{READABLE, WRITABLE, Waiting, duplicate_high, pair, raise_descriptor_limit, raw_pair};

pub fn a_second_registration_is_refused_by_name(backend: Backend) {
    let waiting = Waiting::with(backend);
    let (mut ours, _theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE);
    let error = waiting.registry().register(&mut ours, Token(4711), READABLE).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    let text = error.to_string();
    for part in [format!("descriptor {}", ours.as_raw_fd()), "token 4711".into(), backend.to_string()] {
        assert!(text.contains(&part), "{text:?} does not name {part:?}");
    }
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<reactor::Error>());
    assert!(matches!(inner, Some(reactor::Error::Registration { token: 4711, .. })));
}

pub fn what_is_not_registered_cannot_be_changed(backend: Backend) {
    let waiting = Waiting::with(backend);
    let (mut ours, _theirs) = pair();
    let error = waiting.registry().reregister(&mut ours, Token(1), READABLE).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let error = waiting.registry().deregister(&mut ours).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    waiting.edge(&mut ours, 1, READABLE);
    waiting.deregister(&mut ours);
    let error = waiting.registry().deregister(&mut ours).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

pub fn a_closed_descriptor_cannot_be_registered(backend: Backend) {
    let waiting = Waiting::with(backend);
    let (near, _far) = raw_pair();
    let high = duplicate_high(&near);
    let number = high.as_raw_fd();
    drop(high);
    for number in [number, -1] {
        let error = waiting.registry().register(&mut SourceFd(&number), Token(1), READABLE).unwrap_err();
        assert_eq!(reactor::errno(&error), Some(libc::EBADF), "{error}");
    }
}

pub fn a_deregistered_source_is_silent_and_may_come_back(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = pair();
    theirs.write_all(b"simple").unwrap();
    for token in 1..4 {
        waiting.edge(&mut ours, token, READABLE);
        waiting.wait_one(token);
        waiting.deregister(&mut ours);
        theirs.write_all(b"complex").unwrap();
        waiting.assert_silent();
    }
}

pub fn every_bit_of_a_token_comes_back(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let mut pairs: Vec<_> = (0..66).map(|_| pair()).collect();
    let tokens = (0..64).map(|bit| 1usize << bit).chain([0, usize::MAX]);
    let mut expected = HashSet::new();
    for ((ours, theirs), token) in pairs.iter_mut().zip(tokens) {
        waiting.edge(ours, token, READABLE);
        theirs.write_all(b"simple").unwrap();
        expected.insert(token);
    }
    let mut seen = HashSet::new();
    while seen.len() < expected.len() {
        seen.extend(waiting.wait().iter().map(|event| event.token().0));
    }
    assert_eq!(seen, expected);
}

pub fn tokens_need_not_be_unique(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut one, _one) = pair();
    let (mut two, _two) = pair();
    waiting.edge(&mut one, 3, WRITABLE);
    waiting.edge(&mut two, 3, WRITABLE);
    let events = waiting.wait();
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.token() == Token(3)));
}

pub fn duplicates_are_sources_of_their_own(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (near, mut far) = raw_pair();
    let duplicate = near.try_clone().unwrap();
    waiting.level(&mut SourceFd(&near.as_raw_fd()), 1, READABLE);
    waiting.level(&mut SourceFd(&duplicate.as_raw_fd()), 2, READABLE);
    far.write_all(b"simple").unwrap();
    assert_eq!(waiting.wait().len(), 2);
    waiting.deregister(&mut SourceFd(&near.as_raw_fd()));
    waiting.wait_one(2);
    waiting.deregister(&mut SourceFd(&duplicate.as_raw_fd()));
    waiting.assert_silent();
}

pub fn a_boxed_source_is_a_source(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (ours, _theirs) = pair();
    let mut boxed: Box<dyn Source> = Box::new(ours);
    waiting.edge(&mut boxed, 1, WRITABLE);
    waiting.wait_one(1);
    waiting.registry().reregister(&mut boxed, Token(2), WRITABLE).unwrap();
    waiting.wait_one(2);
    waiting.deregister(&mut *Box::new(boxed));
}

pub fn a_registration_from_another_thread_reaches_the_wait_in_progress(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let registry = waiting.registry().try_clone().unwrap();
    let (mut ours, _theirs) = pair();
    let thread = thread::spawn(move || {
        registry.register(&mut ours, Token(1), WRITABLE).unwrap();
        ours
    });
    waiting.wait_one(1);
    drop(thread.join().unwrap());
}

pub fn a_reregistration_from_another_thread_reaches_the_wait_in_progress(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let registry = waiting.registry().try_clone().unwrap();
    let (mut ours, _theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE);
    let thread = thread::spawn(move || {
        registry.reregister(&mut ours, Token(2), WRITABLE).unwrap();
        ours
    });
    waiting.wait_one(2);
    drop(thread.join().unwrap());
}

/// A ring holds what it watches until it was told to let go, and did.
pub fn a_close_after_deregistering_is_a_close(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    for trigger in [Trigger::Edge, Trigger::Level, Trigger::OneShot] {
        let (mut ours, mut theirs) = pair();
        waiting.register(&mut ours, 1, READABLE, trigger);
        waiting.assert_silent();
        waiting.deregister(&mut ours);
        drop(ours);
        assert_eq!(theirs.read(&mut [0; 1]).unwrap(), 0, "the end is seen at once");
    }
}

/// select(2) and poll(2) hold what they watch: a close in another thread would take effect only when the wait ends.
pub fn a_close_after_deregistering_in_another_thread_is_a_close(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let registry = waiting.registry().try_clone().unwrap();
    let waker = Waker::new(waiting.registry(), Token(9)).unwrap();
    let thread = thread::spawn(move || {
        for _ in 0..300 {
            let (mut ours, mut theirs) = pair();
            registry.register(&mut ours, Token(1), READABLE).unwrap();
            thread::yield_now(); // so that the other thread waits for it, now and then
            registry.deregister(&mut ours).unwrap();
            drop(ours);
            assert_eq!(theirs.read(&mut [0; 1]).unwrap(), 0, "the end is seen at once");
        }
        waker.wake().unwrap();
        waker
    });
    waiting.wait_one(9);
    thread.join().unwrap();
}

pub fn a_registry_outlives_its_poll(backend: Backend) {
    let waiting = Waiting::with(backend);
    let registry = waiting.registry().try_clone().unwrap();
    let (mut ours, mut theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE);
    drop(waiting);
    theirs.write_all(b"simple").unwrap();
    assert_eq!(ours.read(&mut [0; 8]).unwrap(), 6);
    registry.deregister(&mut ours).unwrap();
    registry.register(&mut ours, Token(1), READABLE).unwrap();
}

/// What is nested is waited for as a level. A poll whose descriptor cannot tell all has none.
pub fn the_descriptor_of_a_poll_stands_for_all_it_watches(backend: Backend) {
    let mut inner = Waiting::with(backend);
    let fd = inner.poll.as_raw_fd();
    if fd == -1 {
        return;
    }
    let mut outer = Waiting::with(backend);
    outer.level(&mut SourceFd(&fd), 7, READABLE);
    outer.assert_silent();
    let (mut ours, mut theirs) = pair();
    inner.level(&mut ours, 1, READABLE);
    theirs.write_all(b"simple").unwrap();
    for _ in 0..3 {
        outer.wait_one(7);
        inner.wait_one(1);
    }
    ours.read_exact(&mut [0; 6]).unwrap();
    inner.assert_silent(); // looked at first: a kqueue counts what is queued in it, also what is over
    outer.assert_silent();
    inner.registry().reregister(&mut ours, Token(1), WRITABLE).unwrap(); // an edge, from now on
    outer.wait_one(7);
    inner.wait_one(1);
    outer.assert_silent();
}

/// One thread registers, answers and deregisters without pause while another waits: each event arrives, none is stale.
pub fn registering_and_waiting_at_the_same_time_loses_nothing(backend: Backend) {
    const ROUNDS: usize = 500;
    let mut waiting = Waiting::with(backend);
    let registry = waiting.registry().try_clone().unwrap();
    let (tell, told) = mpsc::channel::<usize>();
    let thread = thread::spawn(move || {
        for round in 0..ROUNDS {
            let (mut ours, mut theirs) = pair();
            theirs.write_all(b"simple").unwrap();
            registry.register(&mut ours, Token(round), READABLE).unwrap();
            assert_eq!(told.recv().unwrap(), round, "an event of an earlier round");
            registry.deregister(&mut ours).unwrap();
        }
    });
    for round in 0..ROUNDS {
        assert_eq!(waiting.wait_one(round).token(), Token(round));
        tell.send(round).unwrap();
    }
    thread.join().unwrap();
}

pub fn a_descriptor_closed_without_deregistering_is_silenced(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (near, mut far) = raw_pair();
    let (mut other, _other) = pair();
    let (dead, number) = {
        let high = duplicate_high(&near);
        drop(near); // no duplicate is left
        let number = high.as_raw_fd();
        (UnixStream::from(high), number)
    };
    waiting.level(&mut SourceFd(&number), 1, READABLE);
    waiting.level(&mut other, 2, WRITABLE);
    far.write_all(b"simple").unwrap();
    assert_eq!(waiting.wait().len(), 2);
    drop(dead);
    for _ in 0..3 {
        waiting.wait_one(2); // the others go on
    }
    waiting.deregister(&mut other);
    waiting.assert_silent();

    // The number may be somebody else's now.
    let (near, mut far) = raw_pair();
    let reused = crate::support::duplicate_at_least(&near, number);
    assert_eq!(reused.as_raw_fd(), number);
    waiting.level(&mut SourceFd(&number), 3, READABLE);
    waiting.assert_silent();
    far.write_all(b"simple").unwrap();
    waiting.wait_one(3);
}

pub fn a_thousand_sources_are_all_heard(backend: Backend) {
    raise_descriptor_limit();
    let mut waiting = Waiting::with(backend);
    let mut pairs: Vec<(TcpStream, UnixStream)> = (0..1000).map(|_| pair()).collect();
    for (token, (ours, _)) in pairs.iter_mut().enumerate() {
        waiting.edge(ours, token, READABLE);
    }
    waiting.assert_silent();
    for (token, (ours, theirs)) in pairs.iter_mut().enumerate().step_by(17) {
        theirs.write_all(b"simple").unwrap();
        waiting.wait_one(token);
        crate::support::drain(ours);
    }
    for (ours, _) in &mut pairs {
        waiting.deregister(ours);
    }
}

pub fn the_capacity_doubles_when_it_was_not_enough(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    waiting.events = Events::with_capacity(1);
    let mut pairs: Vec<_> = (0..8).map(|_| pair()).collect();
    for (token, (ours, _)) in pairs.iter_mut().enumerate() {
        waiting.level(ours, token, WRITABLE);
    }
    for expected in [1, 2, 4, 8] {
        assert_eq!(waiting.events.capacity(), expected);
        assert_eq!(waiting.wait().len(), expected);
    }
    let capacity = waiting.events.capacity();
    assert_eq!((waiting.wait().len(), capacity), (8, 16));
    assert_eq!(waiting.events.capacity(), 16, "it was enough");
}

pub fn events_can_be_counted_and_cleared(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (ours, theirs) = pair();
    let mut raw = OwnedFd::from(ours);
    waiting.level(&mut SourceFd(&raw.as_raw_fd()), 1, WRITABLE);
    waiting.wait();
    let events = &mut waiting.events;
    assert_eq!(events.iter().len(), 1);
    assert_eq!((&*events).into_iter().count(), 1);
    assert_eq!(events.iter().size_hint(), (1, Some(1)));
    assert!(format!("{events:?}").contains("writable: true"));
    events.clear();
    assert!(events.is_empty());
    waiting.deregister(&mut SourceFd(&raw.as_raw_fd()));
    raw = theirs.into();
    waiting.level(&mut SourceFd(&raw.as_raw_fd()), 2, WRITABLE);
    waiting.wait_one(2);
}
