//! One conversation on a blocking thread: what only it has to get right.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reactor::event_loop::{CloseReason, Limits, Timeout, converse};

use crate::bench::{Diary, Script, millis, null_device};
use crate::support;

fn pair() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(crate::bench::PATIENCE)).unwrap();
    (ours, theirs)
}

#[test]
fn timers_ring_while_it_waits_for_input() {
    let diary = Diary::default();
    let (ours, _theirs) = pair();
    let script = Script::new(&diary)
        .opened(|cx| {
            cx.start_timer(millis(5));
        })
        .timer(|_, cx| cx.abort());
    let start = Instant::now();
    assert!(matches!(converse(ours, script, &Limits::default()).unwrap(), CloseReason::Aborted));
    assert!(start.elapsed() >= millis(5));
    assert_eq!(diary.lines(), ["opened", "timer", "closed: aborted from this side"]);
}

#[test]
fn a_peer_that_was_gone_before_a_word_was_said_reset_the_conversation() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    support::reset_on_close(&theirs);
    drop(theirs);
    while ours.peer_addr().is_ok() {
        thread::yield_now();
    }
    let diary = Diary::default();
    let reason = converse(ours, Script::new(&diary), &Limits::default()).unwrap();
    assert!(matches!(reason, CloseReason::Reset), "{reason}");
    assert_eq!(diary.lines(), ["opened", "closed: reset by the peer"]);
    let error = converse(listener, Script::new(&diary), &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}

#[test]
fn timers_ring_although_signals_interrupt_every_wait() {
    let diary = Diary::default();
    let (ours, _theirs) = pair();
    let (stop, interrupt) = (Arc::new(AtomicBool::new(false)), support::interrupting_signal());
    let stopped = Arc::clone(&stop);
    let start = Instant::now();
    let other = thread::spawn(move || {
        // For so long that a defect shows, and not for ever.
        while !stopped.load(Ordering::Relaxed) && start.elapsed() < Duration::from_secs(3) {
            interrupt();
            thread::sleep(millis(1));
        }
    });
    let script = Script::new(&diary)
        .opened(|cx| {
            cx.start_timer(millis(200));
        })
        .timer(|_, cx| cx.abort());
    converse(ours, script, &Limits::default()).unwrap();
    let took = start.elapsed();
    stop.store(true, Ordering::Relaxed);
    other.join().unwrap();
    assert!(took >= millis(200) && took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn limits_on_time_hold() {
    let limits = Limits { idle: Some(millis(30)), request_time: Some(millis(10)), ..Limits::default() };
    let diary = Diary::default();
    let (ours, _theirs) = pair();
    let reason = converse(ours, Script::new(&diary), &limits).unwrap();
    assert!(matches!(reason, CloseReason::TimedOut(Timeout::Idle)), "{reason}");
    let (ours, mut theirs) = pair();
    theirs.write_all(b"half a request").unwrap();
    let reason = converse(ours, Script::new(&diary).received(|_, _| 0), &limits).unwrap();
    assert!(matches!(reason, CloseReason::TimedOut(Timeout::Request)), "{reason}");
}

#[test]
fn a_peer_that_takes_nothing_is_idle() {
    let limits = Limits { idle: Some(millis(30)), ..Limits::default() };
    let (ours, _theirs) = pair();
    let script = Script::new(&Diary::default()).opened(|cx| cx.write_owned(vec![0; 16 << 20]));
    let reason = converse(ours, script, &limits).unwrap();
    assert!(matches!(reason, CloseReason::TimedOut(Timeout::Idle)), "{reason}");
}

/// As on a loop.
#[test]
fn an_answer_that_is_cut_short_ends_with_a_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let ours = listener.accept().unwrap().0;
    let limits = Limits { idle: Some(millis(30)), ..Limits::default() };
    let script = Script::new(&Diary::default()).opened(|cx| cx.write_owned(vec![0; 16 << 20]));
    converse(ours, script, &limits).unwrap();
    let mut got = Vec::new();
    assert_eq!(theirs.read_to_end(&mut got).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(got.len() < 16 << 20);
}

#[test]
fn a_panic_is_a_reason() {
    let diary = Diary::default();
    let (ours, mut theirs) = pair();
    theirs.write_all(b"x").unwrap();
    let script = Script::new(&diary).received(|_, _| panic!("in received"));
    let reason = converse(ours, script, &Limits::default()).unwrap();
    assert!(matches!(&reason, CloseReason::Panicked(message) if message == "in received"), "{reason}");
    assert_eq!(diary.lines(), ["opened", "received x"]);
}

#[test]
fn a_protocol_that_waits_for_nothing_is_an_error() {
    let (ours, _theirs) = pair();
    let script = Script::new(&Diary::default()).opened(|cx| cx.pause_reading());
    assert_eq!(converse(ours, script, &Limits::default()).unwrap_err().kind(), ErrorKind::Deadlock);
    assert!(converse(null_device(), Script::new(&Diary::default()), &Limits::default()).is_err());
}

#[test]
fn messages_reach_the_connection_itself() {
    let diary = Diary::default();
    let (ours, _theirs) = pair();
    let script = Script::new(&diary).opened(|cx| {
        cx.send(cx.id(), 1).unwrap();
        cx.send_all([cx.id()].into(), 2).unwrap();
    });
    let script = script.message(|number, cx| {
        if number == 2 {
            cx.abort()
        }
    });
    converse(ours, script, &Limits::default()).unwrap();
    assert_eq!(diary.lines(), ["opened", "message 1", "message 2", "closed: aborted from this side"]);
}

#[test]
fn a_stream_is_given_back_as_nonblocking_as_it_was() {
    for nonblocking in [false, true] {
        let (ours, mut theirs) = pair();
        ours.set_nonblocking(nonblocking).unwrap();
        let duplicate = ours.try_clone().unwrap();
        theirs.write_all(b"hello").unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        converse(ours, Script::echo(&Diary::default()), &Limits::default()).unwrap();
        let flags = rustix::fs::fcntl_getfl(&duplicate).unwrap();
        assert_eq!(flags.contains(rustix::fs::OFlags::NONBLOCK), nonblocking);
        assert_eq!((&duplicate).read(&mut [0; 1]).unwrap(), 0);
        theirs.write_all(b"x").unwrap_err();
    }
}

#[test]
fn last_words_survive_unread_input() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let ours = listener.accept().unwrap().0;
    theirs.write_all(&[b'.'; 200_000]).unwrap();
    let server = thread::spawn(move || {
        let script = Script::new(&Diary::default()).opened(|cx| {
            cx.write(b"bye");
            cx.close();
        });
        converse(ours, script, &Limits::default()).unwrap().to_string()
    });
    let mut got = String::new();
    theirs.read_to_string(&mut got).unwrap();
    drop(theirs);
    assert_eq!((got.as_str(), server.join().unwrap().as_str()), ("bye", "finished"));
}

#[test]
fn a_large_answer_reaches_a_slow_reader() {
    let whole = crate::bench::pattern(6 << 20);
    let (ours, mut theirs) = pair();
    let answer = whole.clone();
    let server = thread::spawn(move || {
        let script = Script::new(&Diary::default()).opened(move |cx| {
            for piece in answer.chunks(100_000) {
                cx.write_shared(Arc::from(piece));
                cx.write(b"");
            }
            cx.close_write();
        });
        converse(ours, script, &Limits::default()).unwrap().to_string()
    });
    let mut got = Vec::new();
    theirs.read_to_end(&mut got).unwrap();
    drop(theirs);
    assert!(got == whole);
    assert_eq!(server.join().unwrap(), "finished");
}
