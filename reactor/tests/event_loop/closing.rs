//! How connections end, and that nothing is lost when they do.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use reactor::Backend;
use reactor::event_loop::Limits;

use crate::bench::{Bench, Cx, Last, available, is_over, millis, pattern, read_available, shared};
use crate::support;

fn lingering(time: Duration, bytes: usize) -> Limits {
    Limits { linger_time: time, linger_bytes: bytes, ..Limits::default() }
}

pub fn a_conversation_that_both_sides_ended_is_finished(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.echo();
    let (_, mut peer) = bench.tcp(script);
    assert_eq!(bench.ask(&mut peer, "hello", 5), "hello");
    drop(peer);
    bench.until_empty();
    assert_eq!(bench.diary.lines(), ["opened", "received hello", "eof", "closed: finished"]);
}

pub fn a_peer_that_ends_in_the_middle_of_a_request_is_told_apart(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().received(|_, _| 0);
    let (_, mut peer) = bench.tcp(script);
    peer.write_all(b"half a quest").unwrap();
    drop(peer);
    bench.until_noted("closed: the peer sent 12 bytes of a request but then closed");
}

pub fn a_peer_that_is_gone_before_everything_was_sent_is_told_apart(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| cx.write_owned(vec![0; 16 << 20]));
    let (_, peer) = bench.tcp(script);
    bench.rest();
    support::reset_on_close(&peer);
    drop(peer);
    bench.until_empty();
    let sent = bench.reactor.counters().bytes_out;
    let unsent = (16 << 20) - sent;
    assert!(bench.diary.says(&format!("closed: the peer closed before {unsent} bytes were sent to it")));
}

pub fn a_protocol_that_closes_by_itself_is_finished_whatever_is_left(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().received(|input, cx| {
        match input {
            b"abc" => {
                cx.pause_reading();
                cx.notify_drained();
            }
            _ => cx.close(),
        }
        1
    });
    let (_, mut peer) = bench.pair(script.drained(|cx| cx.resume_reading()));
    bench.write(&mut peer, b"abc");
    drop(peer);
    bench.until_empty();
    assert_eq!(bench.diary.lines(), ["opened", "received abc", "drained", "received bc", "closed: finished"]);
}

pub fn a_reset_is_told_as_such(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.echo();
    let (_, mut peer) = bench.tcp(script);
    assert_eq!(bench.ask(&mut peer, "hello", 5), "hello");
    support::reset_on_close(&peer);
    drop(peer);
    bench.until_noted("closed: reset by the peer");
    assert!(!bench.diary.says("eof"));
}

pub fn a_reset_behind_a_question_is_told_as_such_whatever_the_answer(backend: Backend) {
    type Answer = fn(&mut Cx<'_>);
    let answers: [(Answer, &str); 3] = [
        (|cx| cx.write(b"answer"), "closed: the peer closed before 6 bytes were sent to it"),
        (|_| {}, "closed: reset by the peer"),
        (|cx| cx.close_write(), "closed: reset by the peer"),
    ];
    for (answer, closed) in answers {
        let mut bench = Bench::new(backend);
        let script = bench.script().received(move |input, cx| {
            answer(cx);
            input.len()
        });
        let (_, mut peer) = bench.tcp(script);
        bench.rest();
        peer.write_all(b"question").unwrap();
        support::reset_on_close(&peer);
        drop(peer);
        bench.until_empty();
        let last = bench.diary.lines().pop().unwrap();
        // The kernel may drop the question along with the connection.
        assert!(last == closed || !bench.diary.says("received question"), "{:?}", bench.diary.lines());
    }
}

pub fn an_abort_is_a_reset_for_the_peer(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().received(|input, cx| {
        cx.abort();
        input.len()
    });
    let (_, mut peer) = bench.tcp(script);
    bench.write(&mut peer, b"x");
    let (got, end) = bench.read_to_any_end(&mut peer);
    assert_eq!((got.len(), end.unwrap_err().kind()), (0, ErrorKind::ConnectionReset));
    assert_eq!(bench.diary.lines(), ["opened", "received x", "closed: aborted from this side"]);
}

pub fn an_abort_loses_what_is_unsent(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| cx.write_owned(vec![0; 16 << 20])).message(|_, cx| cx.abort());
    let (id, mut peer) = bench.tcp(script);
    bench.rest();
    bench.reactor.handle().send(id, 1).unwrap();
    let (got, end) = bench.read_to_any_end(&mut peer);
    assert!(got.len() < 16 << 20 && end.unwrap_err().kind() == ErrorKind::ConnectionReset);
}

/// What a callback ended between two waits has ended for the peer before the next wait.
pub fn an_abort_in_a_timer_reaches_the_peer_at_once(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench
        .script()
        .opened(|cx| {
            cx.start_timer(millis(1));
        })
        .timer(|_, cx| cx.abort());
    let (_, mut peer) = bench.tcp(script);
    let start = Instant::now();
    while bench.reactor.connections() > 0 {
        bench.reactor.turn(Some(Duration::from_secs(5))).unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(4), "the turn waited although somebody was to be buried");
    let (_, end) = bench.read_to_any_end(&mut peer);
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

pub fn an_abort_before_the_first_turn_reaches_the_peer_at_once(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| cx.abort());
    let (_, mut peer) = bench.pair(script);
    let start = Instant::now();
    bench.reactor.turn(Some(Duration::from_secs(5))).unwrap();
    assert!(start.elapsed() < Duration::from_secs(4), "the turn waited although somebody was to be buried");
    assert!(is_over(&mut peer));
}

pub fn last_words_survive_unread_input(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| {
        cx.pause_reading();
        cx.write(b"you talk too much");
    });
    let script = script.message(|_, cx| cx.close());
    let (id, mut peer) = bench.tcp(script);
    // Less than what lingering throws away, or the end would be a reset.
    let said = peer.write(&pattern(200_000)).unwrap();
    bench.reactor.handle().send(id, 1).unwrap();
    bench.rest();
    assert_eq!(bench.read(&mut peer, 17), b"you talk too much");
    let (rest, end) = bench.read_to_any_end(&mut peer);
    assert!(rest.is_empty() && end.is_ok(), "{end:?} after {said} bytes");
    drop(peer);
    bench.until_noted("closed: finished");
}

pub fn what_is_unsent_at_close_is_flushed_first(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().received(|input, cx| {
        cx.write_owned(vec![b'z'; 5 << 20]);
        cx.write(b"!");
        cx.close();
        input.len()
    });
    let (_, mut peer) = bench.tcp(script);
    bench.write(&mut peer, b"everything, please, and more that nobody reads");
    bench.rest();
    let got = bench.read_to_end(&mut peer);
    assert!(got.len() == (5 << 20) + 1 && got.ends_with(b"z!"));
    drop(peer);
    bench.until_noted("closed: finished");
}

pub fn a_close_waits_for_the_peer_to_finish_but_not_for_ever(backend: Backend) {
    let mut bench = Bench::limited(backend, lingering(millis(30), 1 << 20));
    let script = bench.script().opened(|cx| cx.close());
    let (_, mut peer) = bench.tcp(script);
    assert_eq!(bench.read_to_end(&mut peer), b"", "FIN at once");
    assert_eq!(bench.reactor.connections(), 1, "but it lingers");
    bench.until_empty();
    assert_eq!(bench.diary.lines(), ["opened", "closed: finished"]);
}

pub fn a_close_after_the_peer_finished_does_not_linger(backend: Backend) {
    let mut bench = Bench::limited(backend, lingering(Duration::from_secs(60), 1 << 20));
    let script = bench.echo();
    let (_, mut peer) = bench.tcp(script);
    bench.write(&mut peer, b"hello");
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(bench.read_to_end(&mut peer), b"hello");
    bench.until_empty();
}

pub fn lingering_is_bounded_in_bytes(backend: Backend) {
    let mut bench = Bench::limited(backend, lingering(Duration::from_secs(60), 100_000));
    let script = bench.script().opened(|cx| cx.close());
    let (_, mut peer) = bench.tcp(script);
    let mut sent = 0;
    bench.until("closed", |bench| {
        match peer.write(&[0; 10_000]) {
            Ok(length) => sent += length,
            Err(error) => assert!(
                matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ),
                "{error}"
            ),
        }
        bench.reactor.connections() == 0
    });
    assert!(sent > 100_000);
    assert!(bench.diary.says("closed: finished"));
}

pub fn without_linger_time_a_close_does_not_wait(backend: Backend) {
    let mut bench = Bench::limited(backend, lingering(Duration::ZERO, 0));
    let script = bench.script().opened(|cx| cx.close());
    let (_, mut peer) = bench.tcp(script);
    bench.turn();
    assert_eq!(bench.reactor.connections(), 0);
    assert!(bench.read_to_any_end(&mut peer).0.is_empty());
}

/// Letters to somebody who left do not keep the door open.
pub fn messages_do_not_prolong_lingering(backend: Backend) {
    let mut bench = Bench::limited(backend, lingering(millis(30), 1 << 20));
    let script = bench.script().opened(|cx| cx.close());
    let (id, _peer) = bench.tcp(script);
    let handle = bench.reactor.handle();
    let start = Instant::now();
    while bench.reactor.connections() > 0 {
        assert!(start.elapsed() < Duration::from_secs(5), "it lingers for as long as messages come");
        handle.send(id, 1).unwrap();
        bench.reactor.turn(Some(millis(1))).unwrap();
    }
    assert_eq!(bench.diary.lines(), ["opened", "closed: finished"], "and it is told none of them");
}

pub fn a_peer_that_takes_nothing_does_not_keep_a_closing_connection(backend: Backend) {
    let mut bench = Bench::limited(backend, lingering(millis(30), 1 << 20));
    let script = bench.script().opened(|cx| {
        cx.write_owned(vec![0; 16 << 20]);
        cx.close();
    });
    let (_, _peer) = bench.tcp(script);
    bench.until_empty();
    let closed = bench.diary.find("closed").unwrap();
    assert!(closed.starts_with("closed: the peer closed before") && closed.contains("bytes"), "{closed}");
}

/// A FIN would say that this was all.
pub fn an_answer_that_is_cut_short_ends_with_a_reset(backend: Backend) {
    let short = Limits { idle: Some(millis(30)), linger_time: millis(30), ..Limits::default() };
    let endings: [fn(&mut Cx<'_>); 3] = [|_| (), |cx| cx.close(), |cx| _ = cx.start_timer(Duration::ZERO)];
    for ending in endings {
        let mut bench = Bench::limited(backend, short);
        let script = bench.script().opened(move |cx| {
            cx.write_owned(vec![0; 16 << 20]);
            ending(cx);
        });
        let (_, mut peer) = bench.tcp(script.timer(|_, _| panic!("in the middle of it")));
        bench.until_empty();
        let (got, end) = bench.read_to_any_end(&mut peer);
        let told = bench.diary.find("closed");
        assert!(got.len() < 16 << 20, "{told:?}");
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset, "{told:?}");
    }
}

/// The bound on a flush is time without progress, not time in all.
pub fn a_slow_but_steady_peer_gets_everything_after_close(backend: Backend) {
    let mut bench = Bench::limited(backend, lingering(millis(400), 1 << 20));
    let script = bench.script().opened(|cx| {
        cx.write_owned(vec![0; 24 << 20]);
        cx.close();
    });
    let (_, mut peer) = bench.tcp(script);
    let (mut got, mut buffer) = (0, vec![0; 1 << 20]);
    let start = Instant::now();
    bench.until("all of it", |_| {
        if start.elapsed() < millis(25) * (got >> 20) as u32 {
            return false; // slower than the kernel would be: more than the linger time in all
        }
        match peer.read(&mut buffer) {
            Ok(0) => return true,
            Ok(length) => got += length,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        false
    });
    assert_eq!(got, 24 << 20);
    drop(peer);
    bench.until_noted("closed: finished");
}

pub fn closing_drops_a_connections_timers(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| {
        cx.start_timer(millis(1));
        cx.start_timer(millis(2));
    });
    let script = script.eof(|cx| {
        cx.start_timer(millis(1));
        cx.close();
    });
    let script = script.closed(|_, cx| {
        cx.start_timer(millis(1));
    });
    let (_, peer) = bench.pair(script);
    assert_eq!(bench.reactor.timers(), 2);
    drop(peer);
    bench.turn();
    assert_eq!(bench.reactor.timers(), 0);
    let (rang, ring) = shared(false);
    bench.reactor.after(millis(5), move |_| *ring.borrow_mut() = true);
    bench.until("the last timer", |_| *rang.borrow());
    assert_eq!(bench.diary.lines(), ["opened", "eof", "closed: finished"]);
    assert_eq!(bench.reactor.counters().timers, 1);
}

pub fn closing_in_closed_and_after_closed_changes_nothing(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.echo().closed(|_, cx| {
        assert!(cx.is_closing());
        cx.close();
        cx.abort();
        cx.close_write();
        cx.resume_reading();
        cx.notify_drained();
    });
    let (_, peer) = bench.pair(script);
    drop(peer);
    bench.until_empty();
    bench.rest();
    assert_eq!(bench.diary.lines(), ["opened", "eof", "closed: finished"]);
}

/// The owner deregisters before it closes: epoll watches descriptions, and this one lives on in a duplicate.
pub fn a_closed_connection_with_a_living_duplicate_is_silent(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let duplicate = ours.try_clone().unwrap();
    let script = bench.script().opened(|cx| cx.abort());
    bench.reactor.adopt(ours, script).unwrap();
    bench.rest();
    assert_eq!(bench.reactor.connections(), 0);
    let events = bench.reactor.counters().events;
    theirs.write_all(b"anybody there?").unwrap();
    (0..20).for_each(|_| bench.turn());
    assert_eq!(bench.reactor.counters().events, events);
    drop(duplicate);
}

/// The kernel gives out the lowest number, the table its latest place: old news must not reach the new owner.
pub fn a_recycled_place_and_descriptor_get_no_old_news(backend: Backend) {
    let mut bench = Bench::new(backend);
    let handle = bench.reactor.handle();
    let script = bench.script().named("old").opened(|cx| {
        cx.start_timer(millis(1));
    });
    let (old, peer) = bench.pair(script);
    handle.send(old, 1).unwrap();
    drop(peer);
    bench.until_empty();
    let script = bench.echo().named("new");
    let (new, mut peer) = bench.pair(script);
    let place = |id: reactor::event_loop::ConnectionId| id.to_string().split('.').next().unwrap().to_owned();
    assert!(place(old) == place(new) && old != new, "{old} {new}");
    handle.send(old, 2).unwrap();
    let (rang, ring) = shared(false);
    bench.reactor.after(millis(3), move |_| *ring.borrow_mut() = true);
    bench.until("the time of the old timer", |_| *rang.borrow());
    assert_eq!(bench.ask(&mut peer, "hello", 5), "hello");
    let told: Vec<_> = bench.diary.lines().into_iter().filter(|line| line.starts_with("new")).collect();
    assert_eq!(told, ["new opened", "new received hello"]);
    assert_eq!(bench.reactor.counters().undeliverable, 2);
}

pub fn a_protocol_is_dropped_in_the_turn_in_which_it_closed(backend: Backend) {
    let mut bench = Bench::new(backend);
    let last = Last(bench.diary.clone(), "dropped");
    let script = bench.script().opened(move |_| {
        let _ = &last;
    });
    let (ours, theirs) = UnixStream::pair().unwrap();
    bench.reactor.adopt(ours, script).unwrap();
    drop(theirs);
    bench.turn();
    assert_eq!(bench.diary.lines(), ["opened", "eof", "closed: finished", "dropped"]);
}

pub fn a_loop_that_is_dropped_closes_what_it_holds(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.echo();
    let (_, mut peer) = bench.pair(script);
    let address = {
        let diary = bench.diary.clone();
        bench.listen(move || crate::bench::Script::echo(&diary))
    };
    bench.rest();
    drop(bench);
    assert!(is_over(&mut peer));
    assert_eq!(std::net::TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

pub fn a_thousand_connects_and_resets_leave_nothing_behind(backend: Backend) {
    let mut bench = Bench::new(backend);
    let address = {
        let diary = bench.diary.clone();
        bench.listen(move || crate::bench::Script::echo(&diary))
    };
    for round in 0..200 {
        let peers: Vec<_> = (0..5).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        for (number, mut peer) in peers.into_iter().enumerate() {
            if (number + round) % 3 == 0 {
                peer.write_all(b"question").unwrap();
            }
            if (number + round) % 2 == 0 {
                support::reset_on_close(&peer);
            }
        }
        bench.turn();
    }
    bench.until("all served", |bench| {
        let counters = bench.reactor.counters();
        counters.accepted == 1000 && counters.closed == 1000
    });
    assert_eq!(bench.reactor.connections(), 0);
}

/// Sockets that are no sockets of this machine's net: what a peer in the same process sent last is still read.
pub fn a_hang_up_does_not_swallow_what_came_before_it(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    bench.reactor.adopt(OwnedFd::from(ours), script).unwrap();
    bench.rest();
    theirs.write_all(&vec![b'x'; 100_000]).unwrap();
    drop(theirs);
    bench.until_noted("closed: finished");
    assert_eq!(bench.reactor.counters().bytes_in, 100_000);
}

pub fn a_peer_that_closes_while_being_answered_ends_the_connection(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| {
        cx.write_static(b"first ");
        cx.start_timer(millis(3));
    });
    let script = script.eof(|cx| cx.pause_reading()).timer(|_, cx| cx.write(b"second"));
    let (_, mut peer) = bench.pair(script);
    assert_eq!(available(&mut peer), b"first ");
    let mut got = Vec::new();
    assert!(read_available(&mut peer, &mut got).is_none());
    drop(peer);
    bench.until_noted("closed: the peer closed before 6 bytes were sent to it");
}
