//! Whose turn it is: the order of the phases, and shares that are fair.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reactor::Backend;

use crate::bench::{Bench, Last, available, fill, let_pass, millis, pattern, shared};
use crate::support;

/// Everything that can happen in a turn happens in one. The order is the same on every backend, and so is the place of a
/// timer whose time came before the turn began: the wait tells that the clock rang, and the next turn begins with it.
pub fn the_phases_of_a_turn_keep_their_order(backend: Backend) {
    for _ in 0..100 {
        let mut bench = Bench::new(backend);
        let (spawner, diary) = (bench.reactor.spawner(), bench.diary.clone());
        let script = bench.script().named("timer's").message(|_, cx| {
            cx.start_timer(millis(10));
        });
        let (timers, _timers) = bench.pair(script);
        let script = bench.script().named("drained's").message(|_, cx| cx.notify_drained());
        let (drains, _drains) = bench.pair(script);
        let last = Last(bench.diary.clone(), "reaped");
        let script = bench.script().named("reader").received(move |input, cx| {
            let _ = &last;
            cx.send(timers, 7).unwrap();
            let (ours, _) = UnixStream::pair().unwrap();
            spawner.adopt(ours, crate::bench::Script::new(&diary).named("spawned"));
            cx.abort();
            input.len()
        });
        let (_, mut reads) = bench.pair(script);
        bench.rest();
        let handle = bench.reactor.handle();
        handle.send(timers, 0).unwrap();
        bench.turn();
        handle.send(drains, 0).unwrap();
        bench.turn();
        bench.diary.take();
        reads.write_all(b"x").unwrap();
        handle.send(drains, 8).unwrap();
        let_pass(millis(12)); // the wheel rounds up to a millisecond
        bench.turn();
        let lines = bench.diary.take();
        if !lines.iter().any(|line| line == "drained's drained") {
            continue; // this machine was so busy that ten milliseconds passed too early
        }
        let expected = [
            "reader received x",
            "reader closed: aborted from this side",
            "drained's drained",
            "timer's message 7",
            "drained's message 8",
            "spawned opened",
            "reaped",
        ];
        if lines == expected {
            bench.until_noted("timer's timer");
            return;
        }
        assert!(!lines.iter().any(|line| line == "timer's timer"), "before what waited as long: {lines:?}");
        assert_eq!(lines, expected);
    }
    panic!("never was there time for it");
}

pub fn one_fast_peer_does_not_starve_the_rest(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().named("fast");
    let (_, mut fast) = bench.tcp(script);
    let script = bench.echo().named("quiet");
    let (_, mut quiet) = bench.pair(script);
    bench.rest();
    for _ in 0..50 {
        fill(&mut fast);
        quiet.write_all(b"?").unwrap();
        let before = bench.reactor.counters().bytes_in;
        bench.turn();
        assert_eq!(available(&mut quiet), b"?", "in the same turn");
        // An event of its own, and one share it may have had left from the turn before.
        let taken = bench.reactor.counters().bytes_in - before;
        assert!(taken <= 2 * 64 * 1024 + 1, "{taken} bytes in one turn");
    }
}

pub fn a_share_is_one_read(backend: Backend) {
    let mut bench = Bench::built(backend, |builder| builder.read_budget(1000));
    let script = bench.script();
    let (_, mut peer) = bench.pair(script);
    bench.rest();
    peer.write_all(&pattern(10_000)).unwrap();
    for round in 1..=10 {
        bench.turn();
        assert_eq!(bench.reactor.counters().bytes_in, round * 1000);
    }
    peer.write_all(b"more").unwrap();
    bench.until_noted("received more");
}

/// More connections at once than three batches have room for that do not grow.
pub fn a_small_event_buffer_does_not_starve_quiet_connections(backend: Backend) {
    support::raise_descriptor_limit();
    let mut bench = Bench::new(backend);
    let mut peers: Vec<_> = (0..800)
        .map(|_| {
            let script = bench.echo();
            bench.pair(script).1
        })
        .collect();
    bench.rest();
    for round in 0..3 {
        peers.iter_mut().for_each(|peer| peer.write_all(b"?").unwrap());
        (0..3).for_each(|_| bench.turn());
        let answered = peers.iter_mut().map(available).filter(|answer| answer == b"?").count();
        assert_eq!(answered, 800, "round {round}");
    }
}

pub fn normal_use_is_no_busy_loop(backend: Backend) {
    let mut bench = Bench::new(backend);
    let diary = bench.diary.clone();
    let address = bench.listen(move || crate::bench::Script::echo(&diary));
    for round in 0..200 {
        let mut peer = std::net::TcpStream::connect(address).unwrap();
        peer.set_nonblocking(true).unwrap();
        assert_eq!(bench.ask(&mut peer, "hello", 5), "hello");
        if round % 2 == 0 {
            support::reset_on_close(&peer);
        }
    }
    bench.until_empty();
    let counters = *bench.reactor.counters();
    assert!(counters.idle_turns * 10 <= counters.turns + 10, "{counters:?}");
    assert_eq!((counters.stale, counters.panics), (0, 0));
    assert!(bench.diary.find("notice").is_none());
}

pub fn an_idle_loop_sleeps(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script();
    let (_, _peer) = bench.pair(script);
    let script = bench.script().opened(|cx| cx.pause_reading());
    let (_, mut paused) = bench.pair(script);
    fill(&mut paused);
    bench.rest();
    let before = bench.reactor.counters().turns;
    let start = std::time::Instant::now();
    while start.elapsed() < millis(60) {
        bench.reactor.turn(Some(millis(20))).unwrap();
    }
    let turns = bench.reactor.counters().turns - before;
    assert!(turns <= 4, "{turns} turns of 20 ms in 60 ms");
}

/// A signal that interrupts the wait, again and again: timers come, and not early; conversations go on.
pub fn a_wait_that_is_interrupted_goes_on_with_what_is_left(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (stop, interrupt) = (Arc::new(AtomicBool::new(false)), support::interrupting_signal());
    let stopped = Arc::clone(&stop);
    let start = std::time::Instant::now();
    let other = std::thread::spawn(move || {
        // For so long that a defect shows, and not for ever.
        while !stopped.load(Ordering::Relaxed) && start.elapsed() < Duration::from_secs(3) {
            interrupt();
            std::thread::sleep(Duration::from_micros(300));
        }
    });
    let script = bench.echo();
    let (_, mut peer) = bench.pair(script);
    let start = std::time::Instant::now();
    let (rang, ring) = shared(None);
    bench.reactor.after(millis(200), move |_| *ring.borrow_mut() = Some(std::time::Instant::now()));
    for _ in 0..5 {
        assert_eq!(bench.ask(&mut peer, "?", 1), "?");
    }
    while rang.borrow().is_none() {
        bench.reactor.turn(Some(millis(500))).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    other.join().unwrap();
    let took = rang.borrow().unwrap() - start;
    assert!(took >= millis(200) && took < Duration::from_secs(2), "{took:?}");
}

pub fn everything_counted_adds_up(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.echo();
    let (_, mut peer) = bench.pair(script);
    for _ in 0..10 {
        assert_eq!(bench.ask(&mut peer, "12345", 5), "12345");
    }
    drop(peer);
    bench.until_empty();
    let counters = bench.reactor.counters();
    assert_eq!((counters.bytes_in, counters.bytes_out), (50, 50));
    assert_eq!((counters.opened, counters.accepted, counters.closed), (1, 0, 1));
    assert_eq!((counters.stale, counters.overclaimed, counters.undeliverable), (0, 0, 0));
}

/// One protocol behind a box: several kinds in one loop.
pub fn a_boxed_protocol_is_a_protocol(backend: Backend) {
    use reactor::event_loop::{Protocol, Reactor};
    let diary = crate::bench::Diary::default();
    let mut reactor: Reactor<Box<dyn Protocol<Message = u64>>> =
        Reactor::builder().backend(backend).build().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let script = crate::bench::Script::echo(&diary).opened(|cx| {
        cx.start_timer(millis(1));
        cx.notify_drained();
        cx.send(cx.id(), 3).unwrap();
    });
    reactor.adopt(ours, Box::new(script)).unwrap();
    theirs.write_all(b"hi").unwrap();
    reactor.turn(Some(millis(5))).unwrap();
    theirs.shutdown(std::net::Shutdown::Write).unwrap();
    let start = std::time::Instant::now();
    while reactor.connections() > 0 && start.elapsed() < crate::bench::PATIENCE {
        reactor.turn(Some(millis(5))).unwrap();
    }
    for line in ["opened", "received hi", "message 3"] {
        assert!(diary.says(line), "{line}: {:?}", diary.lines());
    }
    assert!(diary.find("closed").is_some());
}
