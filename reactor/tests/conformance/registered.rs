//! Sources that own their registration, and descriptors that are only lent.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use reactor::event::Source;
use reactor::net::UnixStream;
use reactor::{Backend, Interest, Registered, Registry, Token, Trigger};

use crate::support::{READABLE, WRITABLE, Waiting, drain, raw_pair};

pub fn a_dropped_source_is_silent_although_a_duplicate_lives(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (near, mut far) = UnixStream::pair().unwrap();
    let duplicate = near.as_fd().try_clone_to_owned().unwrap();
    let near = Registered::new(waiting.registry(), near, Token(1), READABLE).unwrap();
    far.write_all(b"simple").unwrap();
    waiting.wait_one(1);
    drop(near);
    far.write_all(b"complex").unwrap();
    waiting.assert_silent();
    let again = Registered::new(waiting.registry(), duplicate, Token(2), READABLE).unwrap();
    waiting.wait_one(2);
    drop(again);
    assert_eq!(far.write(b"to nobody").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// The number of a socket that was dropped is given to the next one.
pub fn a_dropped_source_leaves_its_number_free(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    for round in 0..100 {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut near = Registered::new(waiting.registry(), near, Token(round), READABLE).unwrap();
        far.write_all(b"simple").unwrap();
        waiting.wait_one(round);
        assert_eq!(near.read(&mut [0; 8]).unwrap(), 6);
        far.write_all(b"complex").unwrap(); // the kernel has an event for whoever is registered
    }
    waiting.assert_silent();
}

pub fn a_registered_source_is_what_it_holds(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut near = Registered::new(waiting.registry(), near, Token(1), READABLE).unwrap();
    assert!(format!("{near:?}").starts_with("Registered(UnixStream"));
    near.write_all(b"flat").unwrap();
    assert_eq!(drain(&mut far), 4);
    near.reregister(Token(2), READABLE | WRITABLE).unwrap();
    assert!(waiting.wait_one(2).is_writable());
    near.reregister(Token(3), READABLE).unwrap();
    waiting.assert_silent();
    far.write_all(b"nested").unwrap();
    waiting.wait_one(3);
    assert_eq!((&*near).read(&mut [0; 8]).unwrap(), 6);
}

pub fn a_registered_source_keeps_its_trigger(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (near, mut far) = UnixStream::pair().unwrap();
    let registry = waiting.registry();
    let mut near = Registered::with_trigger(registry, near, Token(1), READABLE, Trigger::Level).unwrap();
    far.write_all(b"simple").unwrap();
    for token in [1, 1, 2, 2] {
        near.reregister(Token(token), READABLE).unwrap();
        waiting.wait_one(token);
        waiting.wait_one(token);
    }
    near.reregister_with(Token(3), READABLE, Trigger::OneShot).unwrap();
    for _ in 0..3 {
        waiting.wait_one(3);
        waiting.assert_silent();
        near.reregister(Token(3), READABLE).unwrap();
    }
}

pub fn a_source_taken_out_is_not_registered(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (near, mut far) = UnixStream::pair().unwrap();
    let near = Registered::new(waiting.registry(), near, Token(1), READABLE).unwrap();
    let mut near = near.into_inner().unwrap();
    far.write_all(b"simple").unwrap();
    waiting.assert_silent();
    assert_eq!(waiting.registry().deregister(&mut near).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(near.read(&mut [0; 8]).unwrap(), 6);

    let mut near = Registered::new(waiting.registry(), near, Token(2), READABLE).unwrap();
    waiting.deregister(&mut *near); // past its owner
    near.into_inner().unwrap().write_all(b"it is there").unwrap();
}

/// A source that says no when it is told to leave, as long as it is told to say so.
struct Stubborn(OwnedFd, ErrorKind);

impl Source for Stubborn {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.0.register(registry, token, interests)
    }
    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.0.reregister(registry, token, interests)
    }
    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.0.deregister(registry)?;
        Err(self.1.into())
    }
}

pub fn a_source_that_cannot_be_deregistered_is_closed_all_the_same(backend: Backend) {
    let waiting = Waiting::with(backend);
    let new = || {
        let (near, far) = raw_pair();
        let stubborn = Stubborn(near.into(), ErrorKind::ResourceBusy);
        (Registered::new(waiting.registry(), stubborn, Token(1), READABLE).unwrap(), far)
    };
    let (dropped, mut far) = new();
    drop(dropped);
    assert_eq!(far.write(b"to nobody").unwrap_err().kind(), ErrorKind::BrokenPipe);
    let (taken_out, mut far) = new();
    assert!(taken_out.into_inner().is_err_and(|error| error.kind() == ErrorKind::ResourceBusy));
    assert_eq!(far.write(b"to nobody").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

pub fn a_source_that_cannot_be_registered_is_closed(backend: Backend) {
    let waiting = Waiting::with(backend);
    let (mut near, mut far) = raw_pair();
    waiting.edge(&mut near.as_fd(), 1, READABLE);
    // Two descriptors cannot have one number, so the source registers the same one twice; with it, another is closed.
    struct Second {
        twice: OwnedFd,
        _closed_with_it: OwnedFd,
    }
    impl Source for Second {
        fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
            self.twice.register(registry, token, interests)?;
            self.twice.register(registry, token, interests)
        }
        fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
            unreachable!("it never was registered")
        }
        fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
            self.twice.deregister(registry)
        }
    }
    let (one, mut other) = raw_pair();
    let second = Second { twice: near.as_fd().try_clone_to_owned().unwrap(), _closed_with_it: one.into() };
    let error = Registered::new(waiting.registry(), second, Token(2), READABLE).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(other.write(b"to nobody").unwrap_err().kind(), ErrorKind::BrokenPipe);
    far.write_all(b"to somebody").unwrap();
    assert_eq!(near.read(&mut [0; 64]).unwrap(), 11);
}

pub fn a_registered_source_may_be_dropped_while_another_thread_waits(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (near, mut far) = UnixStream::pair().unwrap();
    let (ending, mut end) = UnixStream::pair().unwrap();
    let near = Registered::new(waiting.registry(), near, Token(1), READABLE).unwrap();
    let _ending = Registered::new(waiting.registry(), ending, Token(2), READABLE).unwrap();
    let dropper = std::thread::spawn(move || {
        drop(near);
        assert_eq!(far.write(b"to nobody").unwrap_err().kind(), ErrorKind::BrokenPipe);
        end.write_all(b"that is it").unwrap();
    });
    waiting.wait_one(2);
    dropper.join().unwrap();
}

pub fn a_registered_source_outlives_its_poll(backend: Backend) {
    let waiting = Waiting::with(backend);
    let (near, _far) = UnixStream::pair().unwrap();
    let near = Registered::new(waiting.registry(), near, Token(1), READABLE).unwrap();
    drop(waiting);
    near.into_inner().unwrap();
}

pub fn a_borrowed_descriptor_has_all_three_triggers(backend: Backend) {
    for trigger in [Trigger::Edge, Trigger::Level, Trigger::OneShot] {
        let mut waiting = Waiting::with(backend);
        let (mut near, mut far) = raw_pair();
        waiting.register(&mut near.as_fd(), 5, READABLE, trigger);
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
        waiting.registry().reregister_with(&mut near.as_fd(), Token(6), READABLE, trigger).unwrap();
        assert!(waiting.wait_one(6).is_readable());
        waiting.deregister(&mut near.as_fd());
        waiting.assert_silent();
    }
}

/// Its I/O is out of our sight: where edges are emulated, it is told again after a rest.
pub fn an_owned_descriptor_is_a_source(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (near, mut far) = raw_pair();
    let near = Registered::new(waiting.registry(), OwnedFd::from(near), Token(1), READABLE).unwrap();
    let mut file = std::fs::File::from(near.as_fd().try_clone_to_owned().unwrap());
    for _ in 0..3 {
        far.write_all(b"simple").unwrap();
        waiting.wait_one(1);
        assert_eq!(file.read(&mut [0; 3]).unwrap(), 3);
        assert_eq!(drain(&mut file), 3);
        waiting.assert_silent();
    }
    drop(near);
    far.write_all(b"simple").unwrap();
    waiting.assert_silent();
}
