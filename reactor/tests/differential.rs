//! Random histories, run on every backend side by side: all must tell the same, and the same as the `polling` crate.

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use proptest::prelude::*;

use reactor::net::TcpStream;
use reactor::unix::SourceFd;
use reactor::{Backend, Interest, Token, Trigger};

use support::{READABLE, WRITABLE, Waiting, backends, drain, pair, raw_pair};

/// How many socket pairs a history is about.
const PAIRS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Step {
    Register(usize, Interest),
    Reregister(usize, Interest),
    Deregister(usize),
    /// Deregisters, closes and opens again: most likely with the same number.
    Recycle(usize),
    /// The peer writes this much, as far as there is room.
    PeerWrites(usize, usize),
    PeerReads(usize),
    PeerFinishes(usize),
    PeerCloses(usize),
    Reads(usize, usize),
    /// Writes until there is no room.
    Fills(usize),
    Finishes(usize),
    Wait,
}

fn interest() -> impl Strategy<Value = Interest> {
    prop::sample::select(vec![READABLE, WRITABLE, READABLE | WRITABLE])
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..PAIRS;
    prop_oneof![
        3 => (which.clone(), interest()).prop_map(|(which, interest)| Step::Register(which, interest)),
        1 => (which.clone(), interest()).prop_map(|(which, interest)| Step::Reregister(which, interest)),
        1 => which.clone().prop_map(Step::Deregister),
        1 => which.clone().prop_map(Step::Recycle),
        3 => (which.clone(), 1usize..2000).prop_map(|(which, length)| Step::PeerWrites(which, length)),
        1 => which.clone().prop_map(Step::PeerReads),
        1 => which.clone().prop_map(Step::PeerFinishes),
        1 => which.clone().prop_map(Step::PeerCloses),
        2 => (which.clone(), 1usize..2000).prop_map(|(which, length)| Step::Reads(which, length)),
        1 => which.clone().prop_map(Step::Fills),
        1 => which.prop_map(Step::Finishes),
        3 => Just(Step::Wait),
    ]
}

/// The same sockets, watched by every backend and by `polling`.
struct World {
    ours: Vec<UnixStream>,
    theirs: Vec<Option<UnixStream>>,
    interests: Vec<Option<Interest>>,
    /// Whether we finished sending.
    finished: Vec<bool>,
    waiting: Vec<Waiting>,
    poller: polling::Poller,
}

/// Of a source: readable, writable, read closed, write closed, error.
type Told = BTreeMap<usize, [bool; 5]>;

impl World {
    fn new() -> World {
        let (ours, theirs): (Vec<_>, Vec<_>) = (0..PAIRS).map(|_| raw_pair()).unzip();
        World {
            ours,
            theirs: theirs.into_iter().map(Some).collect(),
            interests: vec![None; PAIRS],
            finished: vec![false; PAIRS],
            waiting: backends().map(Waiting::with).collect(),
            poller: polling::Poller::new().unwrap(),
        }
    }

    fn run(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Register(which, interest) => self.register(which, interest)?,
            Step::Reregister(which, interest) => self.reregister(which, interest)?,
            Step::Deregister(which) => self.deregister(which)?,
            Step::Recycle(which) => {
                self.deregister(which)?;
                // The old ones are closed before the new ones are opened, so that the numbers come back.
                let numbers = (self.theirs[which].take(), std::mem::replace(&mut self.ours[which], null()));
                drop(numbers);
                let (ours, theirs) = raw_pair();
                self.ours[which] = ours;
                self.theirs[which] = Some(theirs);
                self.finished[which] = false;
            }
            Step::PeerWrites(which, length) => {
                let _ = self.theirs[which].as_ref().map(|mut theirs| theirs.write(&vec![1; length]));
            }
            Step::PeerReads(which) => {
                let _ = self.theirs[which].as_ref().map(|mut theirs| theirs.read(&mut [0; 1 << 20]));
            }
            Step::PeerFinishes(which) => {
                let _ = self.theirs[which].as_ref().map(|theirs| theirs.shutdown(Shutdown::Write));
            }
            Step::PeerCloses(which) => drop(self.theirs[which].take()),
            Step::Reads(which, length) => drop((&self.ours[which]).read(&mut vec![0; length])),
            Step::Fills(which) => while (&self.ours[which]).write(&[1; 4096]).is_ok() {},
            Step::Finishes(which) => {
                self.finished[which] |= self.ours[which].shutdown(Shutdown::Write).is_ok();
            }
            Step::Wait => self.compare()?,
        }
        Ok(())
    }

    fn register(&mut self, which: usize, interest: Interest) -> Result<(), TestCaseError> {
        let fd = self.ours[which].as_raw_fd();
        for waiting in &self.waiting {
            let result =
                waiting.registry().register_with(&mut SourceFd(&fd), Token(which), interest, Trigger::Level);
            let kind = result.err().map(|error| error.kind());
            prop_assert_eq!(kind, self.interests[which].map(|_| std::io::ErrorKind::AlreadyExists));
        }
        if self.interests[which].is_none() {
            // SAFETY: deregistered before it is closed, in `deregister` or with the poller at the end.
            unsafe { self.poller.add_with_mode(&self.ours[which], asked(which, interest), LEVEL).unwrap() };
            self.interests[which] = Some(interest);
        }
        Ok(())
    }

    fn reregister(&mut self, which: usize, interest: Interest) -> Result<(), TestCaseError> {
        let fd = self.ours[which].as_raw_fd();
        for waiting in &self.waiting {
            let result = waiting.registry().reregister_with(
                &mut SourceFd(&fd),
                Token(which),
                interest,
                Trigger::Level,
            );
            let kind = result.err().map(|error| error.kind());
            let unknown = self.interests[which].is_none();
            prop_assert_eq!(kind, unknown.then_some(std::io::ErrorKind::NotFound));
        }
        if self.interests[which].is_some() {
            self.poller.modify_with_mode(&self.ours[which], asked(which, interest), LEVEL).unwrap();
            self.interests[which] = Some(interest);
        }
        Ok(())
    }

    fn deregister(&mut self, which: usize) -> Result<(), TestCaseError> {
        let fd = self.ours[which].as_raw_fd();
        for waiting in &self.waiting {
            let result = waiting.registry().deregister(&mut SourceFd(&fd));
            let kind = result.err().map(|error| error.kind());
            let unknown = self.interests[which].is_none();
            prop_assert_eq!(kind, unknown.then_some(std::io::ErrorKind::NotFound));
        }
        if self.interests[which].take().is_some() {
            self.poller.delete(&self.ours[which]).unwrap();
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        let told: Vec<(Backend, Told)> = self.waiting.iter_mut().map(told).collect();
        let (reference, expected) = &told[told.len() - 1];
        for (backend, told) in &told {
            let mut expected = expected.clone();
            match backend {
                // It has no bit for a mere hang-up (quirk c of `select.rs`).
                Backend::Select => expected.retain(|_, [readable, writable, ..]| *readable || *writable),
                Backend::Kqueue => expected = self.as_kqueue_says(&expected),
                _ => {}
            }
            prop_assert_eq!(told, &expected, "{} and {} disagree", backend, reference);
        }
        let mut events = polling::Events::new();
        self.poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        let theirs: BTreeMap<_, _> =
            events.iter().map(|event| (event.key, (event.readable, event.writable))).collect();
        let ours = expected.iter().map(|(&which, &flags)| (which, as_polling_says(flags)));
        prop_assert_eq!(ours.collect::<BTreeMap<_, _>>(), theirs, "`polling` disagrees");
        Ok(())
    }

    /// kqueue tells only of the directions that were asked about, except of errors; and of our own end as well.
    fn as_kqueue_says(&self, told: &Told) -> Told {
        let interests =
            self.interests.iter().enumerate().filter_map(|(which, interest)| Some((which, (*interest)?)));
        let flags_of = |(which, interest): (usize, Interest)| {
            let [readable, writable, read_closed, write_closed, error] =
                told.get(&which).copied().unwrap_or_default();
            let [reads, writes] = [interest.is_readable(), interest.is_writable()];
            let finished = writes && self.finished[which];
            let readable = reads && readable;
            let writable = (writes && writable) || finished;
            let read_closed = (reads && read_closed) || error;
            let write_closed = (writes && write_closed) || error || finished;
            (readable || writable).then_some((which, [readable, writable, read_closed, write_closed, error]))
        };
        interests.filter_map(flags_of).collect()
    }
}

/// `polling` counts a hang-up as readable and writable, asked for or not.
fn as_polling_says([readable, writable, read_closed, write_closed, _]: [bool; 5]) -> (bool, bool) {
    let hung_up = read_closed && write_closed;
    (readable || hung_up, writable || hung_up)
}

const LEVEL: polling::PollMode = polling::PollMode::Level;

fn asked(which: usize, interest: Interest) -> polling::Event {
    polling::Event::new(which, interest.is_readable(), interest.is_writable())
}

fn null() -> UnixStream {
    UnixStream::from(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()))
}

fn told(waiting: &mut Waiting) -> (Backend, Told) {
    let events = waiting.now();
    let told = events.iter().map(|event| {
        let ready = [event.is_readable(), event.is_writable()];
        let over = [event.is_read_closed(), event.is_write_closed(), event.is_error()];
        (event.token().0, [ready[0], ready[1], over[0], over[1], over[2]])
    });
    (waiting.poll.backend(), told.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_backends_tell_the_same_in_every_history(steps in prop::collection::vec(step(), 1..60)) {
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
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                return sum;
            }
        }
    }
}
