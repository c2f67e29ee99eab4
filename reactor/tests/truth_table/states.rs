//! What a wait tells of a source that is in some state, by what was asked for.

use std::fs::File;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use reactor::net::{TcpListener, TcpStream};
use reactor::unix::SourceFd;
use reactor::{Backend, Interest, Trigger};

use crate::letters;
use crate::support::{
    PRIORITY, READABLE, WRITABLE, Waiting, pipe, raw_pair, reset_on_close, send_urgent, tcp_pair, unconnected,
};
use crate::table::{Expected, Table};

#[test]
fn all_backends_tell_the_same_flags() {
    let everything = READABLE | WRITABLE | PRIORITY;
    let asked = [everything, READABLE, WRITABLE, PRIORITY];
    let table = Table {
        name: "states",
        names: &["state"],
        rows: STATES.iter().map(|&(name, _)| vec![name.to_owned()]).collect(),
        columns: &["asked for everything", "READABLE", "WRITABLE", "PRIORITY"],
    };
    table.check(|backend, row, column, expected| {
        let triggers = [Trigger::Level, Trigger::Edge, Trigger::OneShot];
        let told = triggers.map(|trigger| {
            let (fd, _others) = STATES[row].1();
            settled(expected, || told(backend, &fd, asked[column], trigger))
        });
        assert!(
            told.iter().all(|other| *other == told[0]),
            "{backend}, {}: told to a level, an edge and a one-shot: {told:?}",
            STATES[row].0
        );
        told[0].clone()
    });
}

/// What a new registration is told at once.
fn told(backend: Backend, fd: &OwnedFd, interest: Interest, trigger: Trigger) -> String {
    let mut waiting = Waiting::with(backend);
    waiting.register(&mut SourceFd(&fd.as_raw_fd()), 1, interest, trigger);
    letters(waiting.now().first())
}

/// TCP needs a moment to get into a state: asks until the answer is as expected, or for a second. If nothing is expected, the
/// answer is taken after a moment.
fn settled(expected: Expected<'_>, ask: impl Fn() -> String) -> String {
    let start = Instant::now();
    let Some(expected) = expected else {
        std::thread::sleep(Duration::from_millis(20));
        return ask();
    };
    loop {
        let answer = ask();
        if answer == expected || start.elapsed() > Duration::from_secs(1) {
            return answer;
        }
    }
}

/// A descriptor in some state, and what must live for it to stay so.
type Made = (OwnedFd, Vec<OwnedFd>);

/// A state's name, and what brings a socket into it.
type State = (&'static str, fn() -> Made);

const STATES: [State; 18] = [
    ("TCP: connected", || tcp(|_, _| {})),
    ("TCP: bytes arrived", || tcp(|_, theirs| (&*theirs).write_all(b"simple").unwrap())),
    ("TCP: an urgent byte arrived", || tcp(|_, theirs| send_urgent(theirs, b'!'))),
    ("TCP: the peer finished sending", || tcp(|_, theirs| theirs.shutdown(Shutdown::Write).unwrap())),
    ("TCP: the peer closed", || {
        let (ours, _) = tcp_pair();
        (ours.into(), vec![])
    }),
    ("TCP: we finished sending", || tcp(|ours, _| ours.shutdown(Shutdown::Write).unwrap())),
    ("TCP: both finished sending", || {
        tcp(|ours, theirs| {
            ours.shutdown(Shutdown::Write).unwrap();
            theirs.shutdown(Shutdown::Write).unwrap();
        })
    }),
    ("TCP: the peer reset the connection", || {
        let (ours, theirs) = tcp_pair();
        reset_on_close(&theirs);
        (ours.into(), vec![])
    }),
    ("TCP: the connection was refused", || {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        (TcpStream::connect(nobody).unwrap().into(), vec![])
    }),
    ("TCP: never connected", || (unconnected(), vec![])),
    ("TCP: a connection waits to be accepted", || {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.into(), vec![client.into()])
    }),
    ("Unix stream: the peer finished sending", || {
        let (ours, theirs) = raw_pair();
        theirs.shutdown(Shutdown::Write).unwrap();
        (ours.into(), vec![theirs.into()])
    }),
    ("Unix stream: the peer is gone", || (raw_pair().0.into(), vec![])),
    ("pipe, to read: bytes arrived", || {
        let (reader, writer) = pipe();
        File::from(writer.try_clone().unwrap()).write_all(b"simple").unwrap();
        (reader, vec![writer])
    }),
    ("pipe, to read: the writer is gone", || (pipe().0, vec![])),
    ("pipe, to write: there is room", || {
        let (reader, writer) = pipe();
        (writer, vec![reader])
    }),
    ("pipe, to write: the reader is gone", || (pipe().1, vec![])),
    ("a regular file", || (File::open(std::env::current_exe().unwrap()).unwrap().into(), vec![])),
];

fn tcp(change: fn(&TcpStream, &std::net::TcpStream)) -> Made {
    let (ours, theirs) = tcp_pair();
    change(&ours, &theirs);
    (ours.into(), vec![theirs.into()])
}
