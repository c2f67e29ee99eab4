//! The end of a loop, in order.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use reactor::Backend;
use reactor::event_loop::Limits;

use crate::bench::{Bench, Script, available, is_over, millis, read_available};

const LONG: Duration = Duration::from_secs(60);

/// Turns until the shutdown is complete; the peers do their part between the turns.
fn until_shut_down(bench: &mut Bench, mut between: impl FnMut(&mut Bench)) {
    bench.until("shut down", |bench| {
        between(bench);
        bench.reactor.connections() == 0
    });
    bench.run(); // it returns at once
}

pub fn a_loop_without_connections_shuts_down_at_once(backend: Backend) {
    let mut bench = Bench::new(backend);
    let diary = bench.diary.clone();
    let address = bench.listen(move || Script::echo(&diary));
    bench.reactor.shutdown(LONG);
    assert!(bench.reactor.is_shut_down());
    let start = Instant::now();
    bench.run();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

pub fn an_idle_connection_is_closed_at_once(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.echo();
    let (_, mut peer) = bench.tcp(script);
    assert_eq!(bench.ask(&mut peer, "hello", 5), "hello");
    bench.reactor.shutdown(LONG);
    assert_eq!(bench.read_to_end(&mut peer), b"");
    drop(peer);
    until_shut_down(&mut bench, |_| {});
    assert_eq!(bench.diary.lines().last().unwrap(), "closed: finished");
}

pub fn bytes_that_arrived_before_the_shutdown_are_answered(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.echo();
    let (_, mut peer) = bench.pair(script);
    bench.rest();
    peer.write_all(b"in time").unwrap();
    bench.reactor.shutdown(LONG);
    assert_eq!(bench.read_to_end(&mut peer), b"in time");
    drop(peer);
    until_shut_down(&mut bench, |_| {});
}

pub fn a_request_in_progress_is_finished(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().named("thinking").received(|input, cx| {
        cx.pause_reading();
        cx.start_timer(millis(20));
        input.len()
    });
    let script = script.timer(|_, cx| {
        cx.write(b"an expensive answer");
        cx.resume_reading();
    });
    let (_, mut thinking) = bench.pair(script);
    let script = bench.script().named("halfway").received(|input, cx| {
        if !input.ends_with(b"?") {
            return 0;
        }
        cx.write(b"!");
        input.len()
    });
    let (_, mut halfway) = bench.pair(script);
    thinking.write_all(b"?").unwrap();
    halfway.write_all(b"is it").unwrap();
    bench.rest();
    bench.reactor.shutdown(LONG);
    bench.rest();
    assert_eq!(bench.reactor.connections(), 2);
    halfway.write_all(b" now?").unwrap();
    assert_eq!(bench.read_to_end(&mut halfway), b"!");
    assert_eq!(bench.read_to_end(&mut thinking), b"an expensive answer");
    drop((halfway, thinking));
    until_shut_down(&mut bench, |_| {});
    assert!(bench.diary.says("thinking closed: finished") && bench.diary.says("halfway closed: finished"));
}

pub fn an_answer_in_progress_is_sent_whole(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| cx.write_owned(vec![b'x'; 8 << 20]));
    let (_, mut peer) = bench.tcp(script);
    bench.rest();
    bench.reactor.shutdown(LONG);
    assert_eq!(bench.read_to_end(&mut peer).len(), 8 << 20);
    drop(peer);
    until_shut_down(&mut bench, |_| {});
    assert!(bench.diary.says("closed: finished"));
}

pub fn after_the_grace_whoever_is_left_is_aborted(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| cx.pause_reading());
    let (_, mut peer) = bench.tcp(script);
    let start = Instant::now();
    bench.reactor.shutdown(millis(20));
    bench.run();
    assert!(start.elapsed() >= millis(20));
    assert_eq!(bench.diary.lines(), ["opened", "closed: aborted from this side"]);
    let mut got = Vec::new();
    let end = read_available(&mut peer, &mut got).expect("an end");
    assert_eq!((got.len(), end.unwrap_err().kind()), (0, ErrorKind::ConnectionReset));
}

pub fn without_grace_everybody_is_aborted(backend: Backend) {
    let mut bench = Bench::new(backend);
    let mut peers = Vec::new();
    for number in 0..10 {
        let script = bench.script();
        peers.push(bench.pair(if number % 2 == 0 { script.opened(|cx| cx.pause_reading()) } else { script }));
    }
    bench.reactor.shutdown(Duration::ZERO);
    bench.run();
    assert!(peers.iter_mut().all(|(_, peer)| is_over(peer)));
}

pub fn a_second_shutdown_changes_the_grace(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| cx.pause_reading());
    let (_, _peer) = bench.pair(script);
    bench.reactor.shutdown(LONG);
    bench.reactor.handle().shutdown(millis(5));
    let start = Instant::now();
    bench.run();
    assert!(start.elapsed() < LONG / 2);
    assert_eq!(bench.diary.lines(), ["opened", "closed: aborted from this side"]);
}

pub fn a_loop_that_shuts_down_takes_nobody_new(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| cx.pause_reading());
    let (_, _busy) = bench.pair(script);
    bench.reactor.shutdown(millis(50));
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    for error in [
        bench.reactor.adopt(ours, bench.script()).unwrap_err(),
        bench.reactor.connect(([127, 0, 0, 1], 1), bench.script()).unwrap_err(),
        bench.reactor.listen(([127, 0, 0, 1], 0), |_| None).unwrap_err(),
    ] {
        assert!(error.to_string().contains("shutting down"), "{error}");
    }
    bench.run();
}

pub fn a_loop_that_was_shut_down_may_begin_again(backend: Backend) {
    let mut bench = Bench::new(backend);
    bench.reactor.shutdown(Duration::ZERO);
    bench.run();
    let diary = bench.diary.clone();
    let address = bench.listen(move || Script::echo(&diary));
    let mut peer = TcpStream::connect(address).unwrap();
    peer.set_nonblocking(true).unwrap();
    assert_eq!(bench.ask(&mut peer, "hello", 5), "hello");
}

pub fn an_attempt_to_connect_ends_with_the_shutdown(backend: Backend) {
    let mut bench = Bench::new(backend);
    let crowded = crate::limits::Crowded::new();
    bench.reactor.connect(crowded.address, bench.script()).unwrap();
    bench.reactor.shutdown(LONG);
    let start = Instant::now();
    bench.run();
    assert!(start.elapsed() < LONG / 2);
    assert_eq!(bench.diary.lines(), ["closed: aborted from this side"]);
}

pub fn a_shutdown_in_a_callback_of_the_loop_itself_works(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.echo();
    let (_, mut peer) = bench.pair(script);
    bench.reactor.after(millis(1), |reactor| reactor.shutdown(LONG));
    bench.until("the end", |_| is_over(&mut peer));
    peer.shutdown(Shutdown::Both).unwrap();
    drop(peer);
    until_shut_down(&mut bench, |_| {});
}

/// A peer that never finishes does not keep a loop that shuts down longer than it lingers.
pub fn a_silent_peer_is_given_the_linger_time(backend: Backend) {
    let limits = Limits { linger_time: millis(20), ..Limits::default() };
    let mut bench = Bench::limited(backend, limits);
    let script = bench.script();
    let (_, _peer) = bench.tcp(script);
    bench.reactor.shutdown(LONG);
    let start = Instant::now();
    bench.run();
    assert!(start.elapsed() >= millis(20) && start.elapsed() < LONG / 2);
    assert_eq!(bench.diary.lines(), ["opened", "closed: finished"]);
}

/// Whoever finished sending, but was not answered yet, is.
pub fn a_half_closed_peer_is_answered_before_the_end(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().received(|input, cx| {
        cx.pause_reading();
        cx.start_timer(millis(10));
        input.len()
    });
    let script = script.timer(|_, cx| {
        cx.write(b"answer");
        cx.resume_reading();
    });
    let (_, mut peer) = bench.pair(script);
    peer.write_all(b"question").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    bench.turn();
    bench.reactor.shutdown(LONG);
    assert_eq!(bench.read_to_end(&mut peer), b"answer");
    until_shut_down(&mut bench, |_| {});
}

pub fn many_connections_shut_down_together(backend: Backend) {
    let mut bench = Bench::new(backend);
    let diary = bench.diary.clone();
    let address = bench.listen(move || Script::echo(&diary));
    let mut peers: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    for peer in &mut peers {
        peer.set_nonblocking(true).unwrap();
        peer.write_all(b"?").unwrap();
    }
    bench.until("all are in", |bench| bench.reactor.counters().accepted == 100);
    bench.reactor.shutdown(LONG);
    let mut answers = 0;
    until_shut_down(&mut bench, |_| {
        peers.retain_mut(|peer| {
            let mut byte = [0];
            match peer.read(&mut byte) {
                Ok(0) => false,
                Ok(_) => {
                    answers += 1;
                    true
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    true
                }
            }
        });
    });
    assert_eq!(answers + peers.iter_mut().map(|peer| available(peer).len()).sum::<usize>(), 100);
}
