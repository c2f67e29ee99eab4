//! Random histories, run on every backend side by side: all must tell the same, which is what poll(2) says and, as far as it
//! says anything, the `polling` crate.
//!
//! Each backend watches the same sockets. A history registers them with any interest and trigger, lets their peers write,
//! finish, vanish, reset and send urgent data, and waits now and then; some of what is registered, changed and closed happens in
//! another thread while this one waits. What must be told is in `ear.rs`.

#[path = "../support/mod.rs"]
mod support;

mod ear;
mod source;
mod world;

use std::io::{ErrorKind, Read, Write};

use proptest::prelude::*;

use reactor::net::TcpStream;
use reactor::{Interest, Trigger};

use support::{PRIORITY, READABLE, WRITABLE, Waiting, backends, drain, pair};
use world::{SOURCES, World};

/// One step of a history. The first number is the source it is about.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Change(usize, Change),
    /// In another thread, while this one waits: first with the backend whose place the second number is.
    ChangeMeanwhile(usize, usize, Change),
    /// The peer writes this much, as far as there is room.
    PeerWrites(usize, usize),
    PeerReads(usize),
    PeerFinishes(usize),
    PeerCloses(usize),
    PeerResets(usize),
    /// The peer sends a byte out of band.
    PeerUrges(usize),
    Reads(usize, usize),
    ReceivesUrgent(usize),
    TakesError(usize),
    /// Writes until there is no room.
    Fills(usize),
    Finishes(usize),
    Wait,
}

/// What a registry is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    Register(Interest, Trigger),
    Reregister(Interest, Trigger),
    Deregister,
    /// Deregisters, closes and opens again: most likely with the same number.
    Recycle,
}

fn change() -> impl Strategy<Value = Change> {
    let both = READABLE | WRITABLE;
    let interests =
        [READABLE, WRITABLE, both, READABLE | PRIORITY, WRITABLE | PRIORITY, PRIORITY, both | PRIORITY];
    let interest = prop::sample::select(interests.to_vec());
    let trigger = prop::sample::select(vec![Trigger::Edge, Trigger::Level, Trigger::OneShot]);
    prop_oneof![
        4 => (interest.clone(), trigger.clone()).prop_map(|(interest, trigger)| Change::Register(interest, trigger)),
        2 => (interest, trigger).prop_map(|(interest, trigger)| Change::Reregister(interest, trigger)),
        1 => Just(Change::Deregister),
        1 => Just(Change::Recycle),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let which = || 0..SOURCES;
    let backend = 0..backends().count();
    prop_oneof![
        6 => (which(), change()).prop_map(|(which, change)| Step::Change(which, change)),
        1 => (which(), backend, change())
            .prop_map(|(which, backend, change)| Step::ChangeMeanwhile(which, backend, change)),
        4 => (which(), 1usize..500).prop_map(|(which, length)| Step::PeerWrites(which, length)),
        1 => which().prop_map(Step::PeerReads),
        1 => which().prop_map(Step::PeerFinishes),
        1 => which().prop_map(Step::PeerCloses),
        1 => which().prop_map(Step::PeerResets),
        1 => which().prop_map(Step::PeerUrges),
        3 => (which(), 1usize..1000).prop_map(|(which, length)| Step::Reads(which, length)),
        1 => which().prop_map(Step::ReceivesUrgent),
        1 => which().prop_map(Step::TakesError),
        1 => which().prop_map(Step::Fills),
        1 => which().prop_map(Step::Finishes),
        5 => Just(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 120,
        failure_persistence: None,
        max_shrink_time: 60_000, // milliseconds: what is not told costs a test's whole patience
        ..ProptestConfig::default()
    })]

    #[test]
    fn all_backends_tell_the_same_in_every_history(steps in prop::collection::vec(step(), 1..60)) {
        if cfg!(not(has_pollrdhup)) {
            eprintln!("skipped: poll(2), the reference, has no flag for a half-close here");
            return Ok(());
        }
        let mut world = World::new();
        for step in steps {
            world.run(step)?;
        }
        world.compare()?;
    }

    /// An edge is a promise: what arrives after the last bytes were read is told, whatever happened before; and so is room
    /// after a refused write.
    #[test]
    fn no_edge_is_lost(chunks in prop::collection::vec((1usize..5000, 1usize..5000), 1..40)) {
        for backend in backends() {
            let mut waiting = Waiting::with(backend);
            let (mut ours, mut theirs) = pair();
            waiting.edge(&mut ours, 1, READABLE | WRITABLE);
            for &(length, room) in &chunks {
                theirs.write_all(&vec![1; length]).unwrap();
                prop_assert!(waiting.wait_one(1).is_readable());
                prop_assert_eq!(drain_by(&mut ours, room), length);
                support::fill(&mut ours);
                prop_assert!(!waiting.now().iter().any(|event| event.is_writable()), "there is no room");
                drain(&mut theirs);
                prop_assert!(waiting.wait_one(1).is_writable());
            }
        }
    }
}

/// Reads in pieces of `room` until `WouldBlock` or, as tokio does, until a read is shorter than asked.
fn drain_by(stream: &mut TcpStream, room: usize) -> usize {
    let (mut buffer, mut sum) = (vec![0; room], 0);
    loop {
        match stream.read(&mut buffer) {
            Ok(length) if length == room => sum += length,
            Ok(length) => return sum + length,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return sum;
            }
        }
    }
}
