//! What the next wait tells of a source that was told of before, by trigger and by what happened in between.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use reactor::net::TcpStream;
use reactor::unix::SourceFd;
use reactor::{Backend, Interest, Token, Trigger};

use crate::letters;
use crate::support::{
    PRIORITY, READABLE, WRITABLE, Waiting, drain, eventually, fill, pair, receive_urgent, reset_on_close,
    send_urgent, tcp_pair,
};
use crate::table::{Expected, Table};

#[test]
fn all_backends_tell_as_often() {
    let table = Table {
        name: "how often",
        names: &["told", "then"],
        rows: names(),
        columns: &["level", "edge", "edge, raw descriptor", "one-shot"],
    };
    table.check(|backend, row, column, expected| {
        let (first, then) = rows().nth(row).expect("a row of the table");
        let (trigger, is_raw) = [
            (Trigger::Level, false),
            (Trigger::Edge, false),
            (Trigger::Edge, true),
            (Trigger::OneShot, false),
        ][column];
        let mut scene = (first.set)(backend);
        scene.register(first.interest, trigger, is_raw);
        let told = scene.waiting.wait_one(1);
        // kqueue tells of an end, which is no error, in the direction that was asked about.
        let is_apart = backend == Backend::Kqueue && first.told == "R RC WC";
        let expected_first = if is_apart { "R RC" } else { first.told };
        assert_eq!(letters(Some(&told)), expected_first, "{backend}: {}", first.name);
        (then.happens)(&mut scene);
        scene.next(expected)
    });
}

/// What is told first, and what may happen then.
struct First {
    name: &'static str,
    interest: Interest,
    set: fn(Backend) -> Scene,
    told: &'static str,
    thens: &'static [Then],
}

struct Then {
    name: &'static str,
    happens: fn(&mut Scene),
}

const fn then(name: &'static str, happens: fn(&mut Scene)) -> Then {
    Then { name, happens }
}

/// Of a row its two names; the first is not repeated.
fn names() -> Vec<Vec<String>> {
    let of_first = |first: &First| {
        let lead = format!("{}: {}", first.name, first.told);
        let leads = std::iter::once(lead).chain(std::iter::repeat(String::new()));
        leads.zip(first.thens).map(|(lead, then)| vec![lead, then.name.to_owned()]).collect::<Vec<_>>()
    };
    FIRSTS.iter().flat_map(of_first).collect()
}

fn rows() -> impl Iterator<Item = (&'static First, &'static Then)> {
    FIRSTS.iter().flat_map(|first| first.thens.iter().map(move |then| (first, then)))
}

const FIRSTS: &[First] = &[
    First {
        name: "bytes arrived",
        interest: READABLE,
        set: |backend| {
            let mut scene = Scene::with(backend, pair());
            scene.peer_writes();
            scene
        },
        told: "R",
        thens: &[
            then("nothing", |_| {}),
            then("more arrives", Scene::peer_writes),
            then("some is read", |scene| assert_eq!(scene.read(3).unwrap(), 3)),
            then("all is read", |scene| assert_eq!(scene.read(64).unwrap(), 6)),
            then("all is read, more arrives", |scene| {
                assert_eq!(scene.read(64).unwrap(), 6);
                scene.peer_writes();
            }),
            then("the peer is gone", |scene| scene.theirs = None),
            then("it is registered again", Scene::register_again),
        ],
    },
    First {
        name: "there is room",
        interest: WRITABLE,
        set: |backend| Scene::with(backend, pair()),
        told: "W",
        thens: &[
            then("nothing", |_| {}),
            then("something is written", |scene| assert_eq!(scene.write(b"simple").unwrap(), 6)),
            then("it is filled", Scene::fill),
            then("it is filled, the peer reads", |scene| {
                scene.fill();
                drain(scene.theirs.as_mut().unwrap());
            }),
        ],
    },
    First {
        name: "the peer finished sending",
        interest: READABLE,
        set: |backend| {
            let scene = Scene::with(backend, pair());
            scene.theirs.as_ref().unwrap().shutdown(Shutdown::Write).unwrap();
            scene
        },
        told: "R RC",
        thens: &[
            then("nothing", |_| {}),
            then("the end is read", |scene| assert_eq!(scene.read(64).unwrap(), 0)),
            then("the peer is gone", |scene| scene.theirs = None),
        ],
    },
    First {
        name: "the peer is gone",
        interest: READABLE,
        set: |backend| {
            let mut scene = Scene::with(backend, pair());
            scene.theirs = None;
            scene
        },
        told: "R RC WC",
        thens: &[
            then("nothing", |_| {}),
            then("the end is read", |scene| assert_eq!(scene.read(64).unwrap(), 0)),
            then("it is registered again", Scene::register_again),
        ],
    },
    First {
        name: "the connection was reset",
        interest: READABLE,
        set: |backend| {
            let (ours, theirs) = tcp_pair();
            reset_on_close(&theirs);
            drop(theirs);
            eventually("a reset", || probe(&ours, READABLE).contains('E'));
            Scene::new(backend, ours, None)
        },
        told: "R E RC WC",
        thens: &[
            then("nothing", |_| {}),
            then("the error is read", |scene| {
                assert_eq!(scene.read(64).unwrap_err().kind(), ErrorKind::ConnectionReset);
            }),
        ],
    },
    First {
        name: "an urgent byte arrived",
        interest: PRIORITY,
        set: |backend| {
            let (ours, theirs) = tcp_pair();
            let mut scene = Scene::new(backend, ours, None);
            scene.urgent = Some(theirs);
            scene.peer_urges();
            scene
        },
        told: "R P",
        thens: &[
            then("nothing", |_| {}),
            then("it is received", Scene::receive_urgent),
            then("it is received, another arrives", |scene| {
                scene.receive_urgent();
                scene.peer_urges();
            }),
        ],
    },
];

/// A source, its peer, and who waits.
struct Scene {
    waiting: Waiting,
    ours: TcpStream,
    /// The same socket, for input and output out of the backend's sight.
    unseen: File,
    theirs: Option<UnixStream>,
    /// The peer where it is one that has urgent data.
    urgent: Option<std::net::TcpStream>,
    is_raw: bool,
    asked: (Interest, Trigger),
}

impl Scene {
    fn with(backend: Backend, (ours, theirs): (TcpStream, UnixStream)) -> Scene {
        Scene::new(backend, ours, Some(theirs))
    }

    fn new(backend: Backend, ours: TcpStream, theirs: Option<UnixStream>) -> Scene {
        let waiting = Waiting::with(backend);
        let unseen = File::from(ours.as_fd().try_clone_to_owned().expect("a duplicate"));
        Scene { waiting, ours, unseen, theirs, urgent: None, is_raw: false, asked: (READABLE, Trigger::Edge) }
    }

    fn register(&mut self, interest: Interest, trigger: Trigger, is_raw: bool) {
        (self.asked, self.is_raw) = ((interest, trigger), is_raw);
        if is_raw {
            self.waiting.register(&mut SourceFd(&self.ours.as_raw_fd()), 1, interest, trigger);
        } else {
            self.waiting.register(&mut self.ours, 1, interest, trigger);
        }
    }

    fn register_again(&mut self) {
        let (interest, trigger) = self.asked;
        let registry = self.waiting.registry();
        let result = if self.is_raw {
            registry.reregister_with(&mut SourceFd(&self.ours.as_raw_fd()), Token(1), interest, trigger)
        } else {
            registry.reregister_with(&mut self.ours, Token(1), interest, trigger)
        };
        result.expect("registered again");
    }

    fn read(&mut self, room: usize) -> io::Result<usize> {
        let mut buffer = vec![0; room];
        if self.is_raw { self.unseen.read(&mut buffer) } else { self.ours.read(&mut buffer) }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_raw { self.unseen.write(bytes) } else { self.ours.write(bytes) }
    }

    fn fill(&mut self) {
        if self.is_raw { fill(&mut self.unseen) } else { fill(&mut self.ours) }
    }

    fn receive_urgent(&mut self) {
        let byte = if self.is_raw {
            receive_urgent(&self.ours)
        } else {
            self.ours.try_io(|| receive_urgent(&self.ours))
        };
        assert_eq!(byte.expect("an urgent byte"), b'!');
    }

    fn peer_writes(&mut self) {
        self.theirs.as_mut().expect("the peer is there").write_all(b"simple").expect("written");
    }

    fn peer_urges(&mut self) {
        send_urgent(self.urgent.as_ref().expect("the peer is there"), b'!');
        eventually("an urgent byte", || probe(&self.ours, PRIORITY).contains('P'));
    }

    /// What the next wait tells. If something is expected it may take its time.
    fn next(&mut self, expected: Expected<'_>) -> String {
        let patience = match expected {
            Some("–") => Duration::from_millis(3),
            Some(_) => Duration::from_secs(20),
            None => Duration::from_millis(50),
        };
        letters(self.waiting.wait_for(patience).first())
    }
}

/// What a new registration is told at once.
fn probe(fd: &impl AsRawFd, interest: Interest) -> String {
    let mut waiting = Waiting::with(Backend::Poll);
    waiting.level(&mut SourceFd(&fd.as_raw_fd()), 1, interest);
    letters(waiting.now().first())
}
