//! What peers are allowed.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use reactor::Backend;
use reactor::event_loop::Limits;

use crate::bench::{Bench, Cx, Script, available, is_over, let_pass, millis, shared};

fn nonblocking(address: std::net::SocketAddr) -> TcpStream {
    let peer = TcpStream::connect(address).unwrap();
    peer.set_nonblocking(true).unwrap();
    peer
}

fn echoing(backend: Backend, limits: Limits) -> (Bench, std::net::SocketAddr) {
    let mut bench = Bench::limited(backend, limits);
    let diary = bench.diary.clone();
    let address = bench.listen(move || Script::echo(&diary));
    (bench, address)
}

pub fn newcomers_wait_in_the_backlog_and_are_served_later(backend: Backend) {
    let (mut bench, address) = echoing(backend, Limits { connections: 2, ..Limits::default() });
    let mut peers: Vec<_> = (0..5).map(|_| nonblocking(address)).collect();
    for peer in &mut peers {
        peer.write_all(b"?").unwrap();
    }
    bench.until("two connections", |bench| bench.reactor.counters().accepted == 2);
    bench.rest();
    assert_eq!(bench.reactor.connections(), 2);
    assert_eq!(bench.reactor.counters().refused, 0);
    let events = bench.reactor.counters().events;
    (0..20).for_each(|_| bench.turn());
    assert_eq!(bench.reactor.counters().events, events, "those who wait cause no events");
    for mut peer in peers {
        assert_eq!(bench.read(&mut peer, 1), b"?", "each is answered when its turn comes");
    }
    bench.until("all served", |bench| bench.reactor.counters().closed == 5);
}

pub fn a_full_loop_refuses_to_connect_and_to_adopt(backend: Backend) {
    let (mut bench, address) = echoing(backend, Limits { connections: 1, ..Limits::default() });
    let script = bench.script();
    let (_, peer) = bench.pair(script);
    let error = bench.reactor.connect(address, bench.script()).unwrap_err();
    assert!(error.to_string().contains("connections: the loop holds at most 1"), "{error}");
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    assert!(bench.reactor.adopt(ours, bench.script()).is_err());
    drop(peer);
    bench.until_empty();
    bench.reactor.connect(address, bench.script()).unwrap();
}

pub fn further_connections_from_one_address_are_refused(backend: Backend) {
    let (mut bench, address) =
        echoing(backend, Limits { connections_per_peer: Some(2), ..Limits::default() });
    let mut first = nonblocking(address);
    let mut second = nonblocking(address);
    assert_eq!(bench.ask(&mut first, "one", 3) + &bench.ask(&mut second, "two", 3), "onetwo");
    let mut third = nonblocking(address);
    bench.until("the end of the third", |_| is_over(&mut third));
    assert_eq!(bench.reactor.counters().refused, 1);
    let notice = bench.diary.find("notice: refused 127.0.0.1:").unwrap();
    assert!(notice.ends_with("too many connections from this address"), "{notice}");
    assert_eq!(bench.ask(&mut first, "still", 5), "still");
    drop(first);
    bench.until("one place", |bench| bench.reactor.connections() == 1);
    let mut fourth = nonblocking(address);
    assert_eq!(bench.ask(&mut fourth, "four", 4), "four");
}

pub fn a_request_that_is_too_long_ends_the_connection(backend: Backend) {
    let mut bench = Bench::limited(backend, Limits { request_bytes: 1000, ..Limits::default() });
    let script = bench.script().received(|input, _| if input.ends_with(b"\n") { input.len() } else { 0 });
    let (_, mut peer) = bench.pair(script);
    peer.write_all(&[b'a'; 1000]).unwrap();
    bench.rest();
    peer.write_all(b"\n").unwrap();
    bench.rest();
    assert_eq!(bench.reactor.connections(), 1, "a thousand bytes are allowed, and its end is the end");
    peer.write_all(&[b'a'; 1001]).unwrap();
    bench.until_noted("closed: the request is too long");
    bench.until("the peer sees it", |_| is_over(&mut peer));
}

/// Kept because the protocol paused, or has no room for the answers: that is not a request it wants more of.
pub fn the_limit_on_requests_counts_only_while_more_is_wanted(backend: Backend) {
    let limits = Limits { request_bytes: 100, request_time: Some(millis(20)), ..Limits::default() };
    let mut bench = Bench::limited(backend, limits);
    let script = bench.script().received(|_, cx| {
        cx.pause_reading();
        cx.start_timer(millis(60));
        1
    });
    let script = script.timer(|_, cx| {
        cx.write(b"x");
        cx.close();
    });
    let (_, mut peer) = bench.pair(script);
    peer.write_all(&[b'a'; 5000]).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(bench.read(&mut peer, 1), b"x");
    assert!(bench.diary.find("closed: the request").is_none(), "{:?}", bench.diary.lines());
}

pub fn a_request_that_is_not_finished_in_time_ends_the_connection(backend: Backend) {
    let limits = Limits { request_time: Some(millis(40)), ..Limits::default() };
    let mut bench = Bench::limited(backend, limits);
    let script = bench.script().received(|input, _| if input.ends_with(b"\n") { input.len() } else { 0 });
    let (_, mut peer) = bench.pair(script);
    let (_, mut idle) = {
        let script = bench.script().named("idle");
        bench.pair(script)
    };
    let start = Instant::now();
    bench.until("the end of the slow one", |bench| {
        if start.elapsed() > millis(5) * bench.diary.lines().len() as u32 {
            let _ = peer.write(b"a"); // a byte now and then does not help
        }
        bench.diary.says("closed: the request was not finished in time")
    });
    assert!(start.elapsed() >= millis(40));
    idle.write_all(b"?").unwrap();
    bench.until_noted("idle received ?");
}

pub fn the_time_for_a_request_stands_still_while_the_protocol_paused(backend: Backend) {
    let limits = Limits { request_time: Some(millis(30)), ..Limits::default() };
    let mut bench = Bench::limited(backend, limits);
    let script = bench.script().received(|input, cx| {
        if cx.scanned() == 0 {
            cx.set_scanned(1);
            cx.pause_reading();
            cx.start_timer(millis(100));
            return 0;
        }
        input.len()
    });
    let script = script.timer(|_, cx| cx.resume_reading());
    let (_, mut peer) = bench.pair(script);
    peer.write_all(b"half").unwrap();
    bench.until("resumed", |bench| bench.diary.count("received half") == 2);
    bench.rest();
    assert_eq!(bench.diary.lines(), ["opened", "received half", "timer", "received half"]);
}

pub fn a_connection_on_which_nothing_moves_ends(backend: Backend) {
    let limits = Limits { idle: Some(millis(40)), ..Limits::default() };
    let (mut bench, address) = echoing(backend, limits);
    let mut peer = nonblocking(address);
    let start = Instant::now();
    assert_eq!(bench.ask(&mut peer, "hello", 5), "hello");
    let (got, end) = bench.read_to_any_end(&mut peer);
    assert!(got.is_empty() && end.is_ok(), "{end:?}");
    assert!(start.elapsed() >= millis(39), "{:?}: not early", start.elapsed());
    assert!(bench.diary.says("closed: nothing moved for the time allowed"));
}

pub fn traffic_in_either_direction_keeps_a_connection(backend: Backend) {
    let limits = Limits { idle: Some(millis(100)), ..Limits::default() };
    let mut bench = Bench::limited(backend, limits);
    let tick = |cx: &mut Cx<'_>| {
        cx.start_timer(millis(10));
    };
    let speaker = bench.script().named("speaker").opened(tick).timer(move |_, cx| {
        cx.write(b".");
        tick(cx);
    });
    let (_, mut listening) = bench.pair(speaker);
    let script = bench.script().named("listener");
    let (_, mut talking) = bench.pair(script);
    let (start, mut said) = (Instant::now(), 0);
    bench.until("three times the limit", |_| {
        if start.elapsed() > millis(10) * said {
            talking.write_all(b".").unwrap();
            said += 1;
        }
        available(&mut listening);
        start.elapsed() > millis(300)
    });
    assert_eq!(bench.reactor.connections(), 2, "{:?}", bench.diary.lines());
}

/// An attempt that nobody answers: a listener whose backlog is full leaves it alone.
pub fn an_attempt_that_is_not_answered_ends_in_time(backend: Backend) {
    let limits = Limits { connect_time: Some(millis(40)), ..Limits::default() };
    let mut bench = Bench::limited(backend, limits);
    let crowded = Crowded::new();
    let start = Instant::now();
    bench.reactor.connect(crowded.address, bench.script()).unwrap();
    bench.until_empty();
    assert!(start.elapsed() >= millis(40));
    assert_eq!(bench.diary.lines(), ["closed: no connection in the time allowed"]);
}

pub fn the_time_to_connect_does_not_count_afterwards(backend: Backend) {
    let limits = Limits { connect_time: Some(millis(10)), ..Limits::default() };
    let (mut bench, address) = echoing(backend, limits);
    let script = bench.script().named("client");
    bench.reactor.connect(address, script).unwrap();
    bench.until_noted("client opened");
    let (rang, ring) = shared(false);
    bench.reactor.after(millis(30), move |_| *ring.borrow_mut() = true);
    bench.until("later", |_| *rang.borrow());
    assert_eq!(bench.reactor.connections(), 2, "{:?}", bench.diary.lines());
}

/// Told of time limits late or not, a loop that was busy for long does not end those whose bytes have come meanwhile.
pub fn a_slow_turn_does_not_make_others_idle(backend: Backend) {
    let limits = Limits { idle: Some(millis(40)), ..Limits::default() };
    let mut bench = Bench::limited(backend, limits);
    let script = bench.script();
    let (_, mut peer) = bench.pair(script);
    bench.rest();
    for _ in 0..3 {
        peer.write_all(b".").unwrap();
        let_pass(millis(25));
        bench.rest();
    }
    assert_eq!(bench.reactor.connections(), 1, "{:?}", bench.diary.lines());
}

/// A TCP listener whose backlog is full, so that connecting to it hangs.
pub struct Crowded {
    pub address: std::net::SocketAddr,
    pub listener: std::net::TcpListener,
    _crowd: Vec<OwnedFd>,
}

impl Crowded {
    pub fn new() -> Crowded {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        // SAFETY: takes no pointers; listening again only changes the length of the backlog.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let address = listener.local_addr().unwrap();
        let mut crowd = Vec::new();
        while let Ok(peer) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            crowd.push(OwnedFd::from(peer));
        }
        Crowded { address, listener, _crowd: crowd }
    }
}
