//! A panic ends one connection and nobody else's.

use std::io::Write;
use std::net::Shutdown;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use reactor::Backend;
use reactor::event_loop::{ConnectionId, Context, Protocol, Reactor};

use crate::bench::{Bench, Script, available, is_over, millis, shared};

/// Where a script panics, how that is set up, and what is done to its connection.
type Case = (&'static str, fn(Script) -> Script, Provoke);
type Provoke = fn(&mut Bench, ConnectionId, &mut std::os::unix::net::UnixStream);

pub fn a_panic_in_any_callback_ends_that_connection_and_no_other(backend: Backend) {
    let cases: [Case; 6] = [
        ("opened", |script| script.opened(|_| panic!("in opened")), |_, _, _| {}),
        (
            "received",
            |script| {
                script.received(|_, cx| {
                    cx.write(b"lost");
                    panic!("in received")
                })
            },
            |_, _, peer| peer.write_all(b"x").unwrap(),
        ),
        (
            "eof",
            |script| script.eof(|_| panic!("in eof")),
            |_, _, peer| peer.shutdown(Shutdown::Write).unwrap(),
        ),
        (
            "drained",
            |script| script.opened(|cx| cx.notify_drained()).drained(|_| panic!("in drained")),
            |_, _, _| {},
        ),
        (
            "timer",
            |script| {
                script
                    .opened(|cx| {
                        cx.start_timer(millis(1));
                    })
                    .timer(|_, _| panic!("in {}", "timer"))
            },
            |_, _, _| {},
        ),
        (
            "message",
            |script| script.message(|_, _| panic!("in message")),
            |bench, id, _| bench.reactor.handle().send(id, 1).unwrap(),
        ),
    ];
    for (name, set, provoke) in cases {
        let mut bench = Bench::new(backend);
        let script = bench.echo().named("other");
        let (_, mut other) = bench.pair(script);
        let script = set(bench.script().named("mine").closed(|_, _| unreachable!("not after a panic")));
        let (id, mut peer) = bench.pair(script);
        provoke(&mut bench, id, &mut peer);
        other.write_all(b"still here").unwrap();
        bench.until("one is left", |bench| bench.reactor.connections() == 1);
        let notice = format!("notice: connection {id} closed: its protocol panicked: in {name}");
        assert!(bench.diary.says(&notice), "{name}: {:?}", bench.diary.lines());
        assert_eq!(bench.reactor.counters().panics, 1, "{name}");
        assert_eq!(bench.read(&mut other, 10), b"still here", "{name}");
        assert_eq!(available(&mut peer), b"", "{name}: what was not yet sent is lost");
        assert!(is_over(&mut peer), "{name}");
        assert_eq!(bench.ask(&mut other, "and again", 9), "and again", "{name}");
    }
}

pub fn a_panic_in_closed_leaks_no_place(backend: Backend) {
    let mut bench = Bench::new(backend);
    for round in 1..=3 {
        let script = bench.script().closed(|_, _| panic!("in closed"));
        let (id, peer) = bench.pair(script);
        assert!(id.to_string().starts_with("0."), "the same place again: {id}");
        drop(peer);
        bench.until_empty();
        assert_eq!((bench.reactor.counters().panics, bench.reactor.counters().closed), (round, round));
    }
}

struct Brittle;

impl Drop for Brittle {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in drop");
        }
    }
}

pub fn a_panic_in_drop_leaks_no_place(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.echo().named("other");
    let (_, mut other) = bench.pair(script);
    for round in 1..=3 {
        let brittle = Brittle;
        let script = bench.script().opened(move |_| {
            let _ = &brittle;
        });
        let (id, peer) = bench.pair(script);
        assert!(id.to_string().starts_with("1."), "{id}");
        drop(peer);
        bench.until("one is left", |bench| bench.reactor.connections() == 1);
        assert_eq!(bench.reactor.counters().panics, round);
    }
    assert_eq!(bench.ask(&mut other, "hello", 5), "hello");
}

/// What is thrown may be anything, and may throw again when it is dropped.
pub fn a_panic_with_a_brittle_payload_is_survived(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|_| std::panic::panic_any(Brittle));
    let (_, _peer) = bench.pair(script);
    bench.until_empty();
    assert!(bench.diary.find("notice").unwrap().ends_with("(no message)"));
}

pub fn a_panic_among_many_events_lets_the_rest_of_the_batch_through(backend: Backend) {
    let mut bench = Bench::new(backend);
    let mut peers = Vec::new();
    for number in 0..20 {
        let script = bench.echo();
        let script = if number % 3 == 0 { script.received(|_, _| panic!("every third")) } else { script };
        peers.push(bench.pair(script).1);
    }
    bench.rest();
    peers.iter_mut().for_each(|peer| peer.write_all(b"?").unwrap());
    bench.turn();
    let answered = peers.iter_mut().map(available).filter(|answer| answer == b"?").count();
    assert_eq!((answered, bench.reactor.connections()), (13, 13));
}

pub fn a_panic_of_one_receiver_of_many_keeps_the_message_from_no_other(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (ids, _peers): (Vec<_>, Vec<_>) = (0..6)
        .map(|number| {
            let script = bench.script().named(&format!("m{number}"));
            let script = if number % 2 == 0 { script.message(|_, _| panic!("even")) } else { script };
            bench.pair(script)
        })
        .unzip();
    bench.rest();
    bench.diary.take();
    let handle = bench.reactor.handle();
    handle.send_all(ids.as_slice().into(), 1).unwrap();
    handle.send(ids[5], 2).unwrap();
    handle.send(ids[3], 3).unwrap();
    bench.rest();
    let mut lines = bench.diary.lines();
    lines.retain(|line| !line.starts_with("notice"));
    let expected: Vec<_> = (0..6).map(|number| format!("m{number} message 1")).collect();
    assert_eq!(lines[..6], expected);
    assert_eq!(lines[6..], ["m5 message 2", "m3 message 3"], "in the order of their sending");
    assert_eq!(bench.reactor.counters().panics, 3);
}

struct Delicate(Rc<std::cell::Cell<bool>>, u64);

impl Clone for Delicate {
    fn clone(&self) -> Delicate {
        assert!(!self.0.take(), "not to be cloned");
        Delicate(Rc::clone(&self.0), self.1)
    }
}

struct Listens(Rc<std::cell::RefCell<Vec<u64>>>);

impl Protocol for Listens {
    type Message = Delicate;
    fn received(&mut self, input: &[u8], _: &mut Context<'_, Delicate>) -> usize {
        input.len()
    }
    fn message(&mut self, Delicate(_, number): Delicate, _: &mut Context<'_, Delicate>) {
        self.0.borrow_mut().push(number);
    }
}

/// A message's `clone` is no connection's: its panic goes to the program, and a program that survives it has a whole loop.
pub fn a_panic_in_a_messages_clone_is_the_programs_and_loses_only_that_message(backend: Backend) {
    let mut reactor = Reactor::builder().backend(backend).build().unwrap();
    let (log, heard) = shared(Vec::new());
    let (_peers, ids): (Vec<_>, Vec<ConnectionId>) = (0..3)
        .map(|_| {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            (theirs, reactor.adopt(ours, Listens(Rc::clone(&log))).unwrap())
        })
        .unzip();
    let panics = Rc::new(std::cell::Cell::new(true));
    let handle = reactor.handle();
    let to: Arc<[_]> = ids.as_slice().into();
    assert!(handle.send_all(to, Delicate(Rc::clone(&panics), 1)).is_ok());
    assert!(handle.send(ids[0], Delicate(panics, 2)).is_ok());
    let mut turn = || catch_unwind(AssertUnwindSafe(|| reactor.turn(Some(millis(1))).unwrap()));
    assert!(turn().is_err());
    (0..3).for_each(|_| turn().unwrap());
    assert_eq!(*heard.borrow(), [2]);
    assert_eq!(reactor.connections(), 3);
}

/// A closure is no connection's either.
pub fn a_panic_in_a_closure_is_the_programs_and_leaves_the_loop_whole(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.echo();
    let (_, mut peer) = bench.pair(script);
    bench.reactor.after(millis(1), |_| panic!("in after"));
    bench.reactor.handle().run(|_| panic!("in run"));
    let mut caught = 0;
    while caught < 2 {
        caught += usize::from(
            catch_unwind(AssertUnwindSafe(|| bench.reactor.turn(Some(millis(5))).unwrap())).is_err(),
        );
    }
    assert_eq!(bench.ask(&mut peer, "hello", 5), "hello");
    assert_eq!(bench.reactor.counters().panics, 0);
}
