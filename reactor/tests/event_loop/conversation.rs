//! Input: what is offered, when, and how the end of the stream is ordered.

use std::io::Write;
use std::net::Shutdown;

use reactor::Backend;
use reactor::event_loop::adapter::{Delimited, Frames};
use reactor::event_loop::{Context, Limits, Reactor, Watermarks};

use crate::bench::{Bench, available, fill, is_over, millis, shared, write_some};
use crate::support;

pub fn what_is_not_consumed_is_offered_again_longer(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().received(|input, _| if input.ends_with(b"\n") { input.len() } else { 0 });
    let (_, mut peer) = bench.pair(script);
    for piece in ["a", "bc", "\n", "d"] {
        peer.write_all(piece.as_bytes()).unwrap();
        bench.rest();
    }
    assert_eq!(bench.diary.lines(), ["opened", "received a", "received abc", "received abc\n", "received d"]);
}

pub fn what_is_left_after_a_bite_is_offered_at_once(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().received(|input, _| 1.min(input.len()));
    let (_, mut peer) = bench.pair(script);
    peer.write_all(b"abc").unwrap();
    bench.rest();
    assert_eq!(bench.diary.lines(), ["opened", "received abc", "received bc", "received c"]);
}

pub fn an_overclaimed_consumption_is_clamped_and_counted(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().received(|input, cx| {
        cx.write(input);
        if input == b"c" { usize::MAX } else { input.len() + 100 }
    });
    let (_, mut peer) = bench.pair(script);
    assert_eq!(bench.ask(&mut peer, "ab", 2), "ab");
    assert_eq!(bench.ask(&mut peer, "c", 1), "c");
    assert_eq!(bench.reactor.counters().overclaimed, 2);
    peer.shutdown(Shutdown::Write).unwrap();
    bench.until_noted("closed: finished");
}

pub fn the_end_of_the_stream_comes_after_all_input_and_once(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().received(|_, cx| {
        cx.pause_reading();
        cx.start_timer(millis(1));
        1
    });
    let script = script.timer(|_, cx| cx.resume_reading()).eof(|_| {});
    let (_, mut peer) = bench.pair(script);
    peer.write_all(b"abc").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    bench.until_noted("eof");
    let expected = ["opened", "received abc", "timer", "received bc", "timer", "received c", "timer", "eof"];
    bench.rest();
    assert_eq!(bench.diary.lines(), expected);
    drop(peer);
    bench.rest();
    assert_eq!(bench.diary.lines(), expected, "and not again");
}

pub fn a_fin_behind_a_paused_read_is_delivered_after_resume(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().received(|input, cx| {
        if input == b"wait" {
            cx.pause_reading();
        }
        input.len()
    });
    let script = script.message(|_, cx| cx.resume_reading());
    let (id, mut peer) = bench.pair(script);
    peer.write_all(b"wait").unwrap();
    bench.rest();
    peer.write_all(b"more").unwrap();
    bench.rest();
    peer.shutdown(Shutdown::Write).unwrap();
    bench.rest();
    assert_eq!(bench.diary.take(), ["opened", "received wait"], "a pause stops input and its end");
    bench.reactor.handle().send(id, 1).unwrap();
    bench.until_empty();
    assert_eq!(bench.diary.lines(), ["message 1", "received more", "eof", "closed: finished"]);
}

pub fn a_fin_alone_behind_a_paused_read_is_delivered_after_resume(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| cx.pause_reading()).message(|_, cx| cx.resume_reading());
    let (id, peer) = bench.pair(script);
    peer.shutdown(Shutdown::Write).unwrap();
    bench.rest();
    bench.reactor.handle().send(id, 1).unwrap();
    bench.until_empty();
    assert_eq!(bench.diary.lines(), ["opened", "message 1", "eof", "closed: finished"]);
}

pub fn resume_offers_what_is_held_and_then_asks_the_kernel(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().received(|input, cx| {
        if input.starts_with(b"!") {
            cx.pause_reading();
            return 1;
        }
        input.len()
    });
    let script = script.message(|_, cx| cx.resume_reading());
    let (id, mut peer) = bench.pair(script);
    peer.write_all(b"!held").unwrap();
    bench.rest();
    peer.write_all(b"asked for").unwrap();
    bench.rest();
    assert_eq!(bench.diary.take(), ["opened", "received !held"]);
    bench.reactor.handle().send(id, 1).unwrap();
    bench.rest();
    assert_eq!(bench.diary.lines(), ["message 1", "received held", "received asked for"]);
}

/// Pausing is not only for `received`: what was left of a request before is offered when the pause ends.
pub fn what_is_held_is_offered_after_a_pause_from_elsewhere(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (may_take, take) = shared(0);
    let script = bench.script().received(move |_, _| *may_take.borrow());
    let script =
        script.message(|number, cx| if number == 1 { cx.pause_reading() } else { cx.resume_reading() });
    let (id, mut peer) = bench.pair(script);
    peer.write_all(b"abc").unwrap();
    bench.rest();
    bench.reactor.handle().send(id, 1).unwrap();
    bench.rest();
    *take.borrow_mut() = 3;
    bench.reactor.handle().send(id, 2).unwrap();
    bench.rest();
    assert_eq!(bench.diary.lines(), ["opened", "received abc", "message 1", "message 2", "received abc"]);
}

/// A short read means drained, except when the end of the stream waits behind it.
pub fn a_fin_behind_a_full_read_is_delivered(backend: Backend) {
    for length in [15, 16, 17, 31, 32, 33, 40] {
        let mut bench = Bench::built(backend, |builder| builder.read_budget(16));
        let script = bench.script();
        let (_, mut peer) = bench.pair(script);
        bench.rest();
        peer.write_all(&vec![b'a'; length]).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        bench.until_noted("closed: finished");
        assert_eq!(bench.reactor.counters().bytes_in, length as u64);
    }
}

pub fn a_fin_does_not_overtake_what_is_held_until_drained(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().received(|_, cx| {
        cx.pause_reading();
        cx.notify_drained();
        1
    });
    let (_, mut peer) = bench.pair(script.drained(|cx| cx.resume_reading()));
    bench.write(&mut peer, b"ab");
    drop(peer);
    bench.until_empty();
    let told = ["opened", "received ab", "drained", "received b", "drained", "eof", "closed: finished"];
    assert_eq!(bench.diary.lines(), told);
}

pub fn a_fin_with_the_first_bytes_is_delivered(backend: Backend) {
    let mut bench = Bench::new(backend);
    let address = {
        let diary = bench.diary.clone();
        bench.listen(move || crate::bench::Script::echo(&diary))
    };
    let mut peer = std::net::TcpStream::connect(address).unwrap();
    peer.write_all(b"Simple is better than?").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    peer.set_nonblocking(true).unwrap();
    assert_eq!(bench.read_to_end(&mut peer), b"Simple is better than?");
    bench.until_noted("closed: finished");
}

pub fn a_reset_while_paused_is_bounded_by_the_idle_limit(backend: Backend) {
    let limits = Limits { idle: Some(millis(40)), ..Limits::default() };
    let mut bench = Bench::limited(backend, limits);
    let script = bench.script().opened(|cx| cx.pause_reading());
    let (_, peer) = bench.tcp(script);
    support::reset_on_close(&peer);
    drop(peer);
    bench.until_empty();
    let closed = bench.diary.find("closed").unwrap();
    let seen = ["closed: reset by the peer", "closed: nothing moved for the time allowed"];
    assert!(seen.contains(&closed.as_str()), "{closed}");
}

pub fn a_paused_connection_whose_peer_hung_up_does_not_spin(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| cx.pause_reading());
    let (_, peer) = bench.pair(script);
    drop(peer);
    bench.rest();
    let events = bench.reactor.counters().events;
    (0..50).for_each(|_| bench.turn());
    assert_eq!(bench.reactor.counters().events, events);
}

pub fn a_protocol_that_declares_how_far_it_searched_reads_it_again(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (noted, scanned) = shared(Vec::new());
    let script = bench.script().received(move |input, cx| {
        noted.borrow_mut().push(cx.scanned());
        cx.set_scanned(input.len());
        if input.ends_with(b"\n") {
            cx.set_scanned(0);
            return input.len();
        }
        0
    });
    let (_, mut peer) = bench.pair(script);
    for piece in ["abc", "de", "\n", "f"] {
        peer.write_all(piece.as_bytes()).unwrap();
        bench.rest();
    }
    assert_eq!(*scanned.borrow(), [0, 3, 5, 0]);
}

pub fn reading_goes_on_while_writing_is_blocked(backend: Backend) {
    let mut bench =
        Bench::built(backend, |builder| builder.watermarks(Watermarks { high: 64 << 20, low: 1 << 20 }));
    let script = bench.script().opened(|cx| cx.write_owned(vec![0; 8 << 20]));
    let (_, mut peer) = bench.tcp(script);
    bench.rest();
    peer.write_all(b"still there?").unwrap();
    bench.until_noted("received still there?");
    assert_eq!(bench.read(&mut peer, 8 << 20).len(), 8 << 20);
}

pub fn writing_goes_on_while_reading_is_paused(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| {
        cx.pause_reading();
        cx.write_owned(vec![0; 8 << 20]);
    });
    let (_, mut peer) = bench.tcp(script);
    fill(&mut peer);
    assert_eq!(bench.read(&mut peer, 8 << 20).len(), 8 << 20);
    assert_eq!(bench.reactor.counters().bytes_in, 0);
}

pub fn urgent_data_does_not_spin_and_does_not_disturb(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.echo();
    let (_, mut peer) = bench.tcp(script);
    assert_eq!(bench.ask(&mut peer, "one", 3), "one");
    support::send_urgent(&peer, b'!');
    bench.rest();
    let turns = bench.reactor.counters().idle_turns;
    (0..50).for_each(|_| bench.turn());
    assert!(bench.reactor.counters().idle_turns <= turns + 1);
    assert_eq!(bench.ask(&mut peer, "two", 3), "two");
}

struct Large;

impl Frames for Large {
    type Message = ();
    fn delimiter(&self) -> u8 {
        b'\n'
    }
    fn longest(&self) -> usize {
        80
    }
    fn frame(&mut self, frame: &[u8], cx: &mut Context<'_, ()>) {
        assert!(cx.unsent() < 64 * 1024 + 1001, "no answer beyond the high-water mark");
        cx.write(&[frame[0]; 1000]);
    }
}

/// 64 KiB of two-byte requests whose answers are large would be 32 MB of output.
pub fn tiny_requests_with_large_answers_stop_at_the_high_water_mark(backend: Backend) {
    const REQUESTS: usize = 40_000;
    let mut reactor = Reactor::builder().backend(backend).build().unwrap();
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    reactor.adopt(ours, Delimited(Large)).unwrap();
    let requests: Vec<u8> = (0..REQUESTS).flat_map(|number| [b'a' + (number % 26) as u8, b'\n']).collect();
    let (mut asked, mut answered) = (0, Vec::new());
    let start = std::time::Instant::now();
    while answered.len() < REQUESTS * 1000 {
        asked += write_some(&mut theirs, &requests[asked..]);
        reactor.turn(Some(millis(20))).unwrap();
        // Full on our side, and then some on its: only now the peer reads.
        answered.extend(available(&mut theirs));
        assert!(start.elapsed() < crate::bench::PATIENCE, "{} bytes", answered.len());
    }
    let right = answered.iter().enumerate().all(|(at, &byte)| byte == b'a' + (at / 1000 % 26) as u8);
    assert!(right && answered.len() == REQUESTS * 1000);
}

pub fn a_peer_that_finished_sending_still_gets_a_late_answer(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench
        .script()
        .eof(|cx| {
            cx.start_timer(millis(2));
        })
        .timer(|_, cx| {
            cx.write(b"late");
            cx.close();
        });
    let (_, mut peer) = bench.tcp(script);
    peer.write_all(b"question").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(bench.read_to_end(&mut peer), b"late");
    bench.until_noted("closed: finished");
}

pub fn after_close_write_reading_goes_on_until_the_peer_finishes(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| {
        cx.write(b"that is all");
        cx.close_write();
        cx.write(b" (not)");
        assert!(cx.is_closing());
    });
    let (_, mut peer) = bench.tcp(script.eof(|_| {}));
    assert_eq!(bench.read_to_end(&mut peer), b"that is all");
    for word in ["one", "two"] {
        peer.write_all(word.as_bytes()).unwrap();
        bench.until_noted(&format!("received {word}"));
    }
    peer.shutdown(Shutdown::Write).unwrap();
    bench.until_empty();
    assert_eq!(bench.diary.lines(), ["opened", "received one", "received two", "eof", "closed: finished"]);
}

pub fn a_half_close_waits_for_what_is_unsent(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| {
        cx.write_owned(vec![b'x'; 4 << 20]);
        cx.close_write();
    });
    let (_, mut peer) = bench.tcp(script);
    bench.rest();
    assert_eq!(bench.read_to_end(&mut peer).len(), 4 << 20);
    assert_eq!(bench.reactor.counters().closed, 0, "only one direction ended");
    drop(peer);
    bench.until_noted("closed: finished");
}

pub fn nothing_is_sent_before_the_callback_returns(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut seen = theirs.try_clone().unwrap();
    let script = bench.script().opened(move |cx| {
        cx.write(b"hello");
        assert_eq!(cx.unsent(), 5);
        assert!(available(&mut seen).is_empty() && !is_over(&mut seen));
    });
    bench.reactor.adopt(ours, script).unwrap();
    let mut theirs = theirs;
    assert_eq!(available(&mut theirs), b"hello", "and at once when it does");
}
