//! Output: pieces in order, watermarks, and producers that must not starve others.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use reactor::Backend;
use reactor::event_loop::{ConnectionId, Limits, Watermarks};

use crate::bench::{Bench, PATIENCE, Scratch, available, pattern, read_available, shared};

const MEGABYTE: usize = 1 << 20;

pub fn pieces_of_every_kind_arrive_in_order(backend: Backend) {
    let mut bench = Bench::new(backend);
    let scratch = Scratch::new();
    let file = scratch.file(b"0123456789");
    let script = bench.script().received(move |input, cx| {
        cx.write(b"[");
        cx.write_static(b"static ");
        cx.write_shared(Arc::from(*b"shared "));
        cx.buffer().extend_from_slice(b"buffer ");
        cx.write_file(Arc::clone(&file), 2..5);
        cx.write_file(Arc::clone(&file), 5..5);
        cx.write_owned(b" owned ".to_vec());
        cx.write_owned(Vec::new());
        cx.write_file(Arc::clone(&file), 9..10);
        write!(cx.buffer(), "]").unwrap();
        input.len()
    });
    let (_, mut peer) = bench.pair(script);
    let expected = "[static shared buffer 234 owned 9]";
    for _ in 0..3 {
        assert_eq!(bench.ask(&mut peer, "?", expected.len()), expected);
    }
    assert_eq!(bench.reactor.counters().bytes_out, 3 * expected.len() as u64);
}

pub fn ten_megabytes_of_pieces_reach_a_slow_reader(backend: Backend) {
    let scratch = Scratch::new();
    let whole = pattern(10 * MEGABYTE);
    let file = scratch.file(&whole);
    let mut bench = Bench::new(backend);
    let text = whole.clone();
    let script = bench.script().opened(move |cx| {
        let mut at = 0;
        let mut kind = 0;
        while at < text.len() {
            let end = (at + 1 + 37_000 * (kind % 7)).min(text.len());
            match kind % 5 {
                0 => cx.write(&text[at..end]),
                1 => cx.write_owned(text[at..end].to_vec()),
                2 => cx.write_shared(Arc::from(&text[at..end])),
                3 => cx.write_file(Arc::clone(&file), at as u64..end as u64),
                _ => cx.buffer().extend_from_slice(&text[at..end]),
            }
            (at, kind) = (end, kind + 1);
        }
        cx.close();
    });
    let (_, mut peer) = bench.tcp(script);
    let mut got = Vec::new();
    let mut buffer = vec![0; 50_000];
    let (mut turns, start) = (0, Instant::now());
    loop {
        // One share a turn, and a turn without a wait: there is more to read all the time.
        bench.turn();
        turns += 1;
        match peer.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => got.extend_from_slice(&buffer[..length]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        assert!(start.elapsed() < PATIENCE, "{} of {} bytes", got.len(), whole.len());
    }
    assert!(got == whole, "{} of {} bytes, or others", got.len(), whole.len());
    assert!(turns > 100, "the reader was slow");
    drop(peer);
    bench.until_noted("closed: finished");
}

pub fn a_file_larger_than_the_socket_buffers_arrives_whole(backend: Backend) {
    let scratch = Scratch::new();
    let whole = pattern(12 * MEGABYTE);
    let file = scratch.file(&whole);
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(move |cx| {
        cx.write_file(Arc::clone(&file), 0..12 << 20);
        assert_eq!((cx.unsent(), cx.room()), (12 << 20, 0));
        cx.close();
    });
    let (_, mut peer) = bench.tcp(script);
    bench.rest();
    assert!(bench.read_to_end(&mut peer) == whole);
}

pub fn a_truncated_file_ends_the_connection_and_says_so(backend: Backend) {
    let scratch = Scratch::new();
    let file = scratch.file(b"short");
    let (kind, noted) = shared(None);
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(move |cx| {
        cx.write(b"<");
        cx.write_file(Arc::clone(&file), 0..1000);
    });
    let script = script.closed(move |reason, _| match reason {
        reactor::event_loop::CloseReason::Io(error) => *kind.borrow_mut() = Some(error.kind()),
        other => panic!("{other}"),
    });
    let (_, mut peer) = bench.pair(script);
    bench.until_empty();
    assert_eq!(*noted.borrow(), Some(ErrorKind::UnexpectedEof));
    let mut got = Vec::new();
    assert!(read_available(&mut peer, &mut got).is_some(), "the peer sees the end");
    assert_eq!(got, b"<short");
}

pub fn writes_after_close_are_ignored(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| {
        cx.write(b"last words");
        cx.close();
        cx.write(b"x");
        cx.write_static(b"x");
        cx.write_owned(b"x".to_vec());
        cx.write_shared(Arc::from(*b"x"));
        cx.buffer().extend_from_slice(b"x");
        assert!(cx.buffer().is_empty(), "it goes nowhere");
        assert_eq!(cx.unsent(), 10);
    });
    let script = script.closed(|_, cx| {
        cx.write(b"x");
        cx.buffer().push(b'x');
        assert_eq!(cx.unsent(), 0);
    });
    let (_, mut peer) = bench.tcp(script);
    assert_eq!(bench.read_to_end(&mut peer), b"last words");
    drop(peer);
    bench.until_empty();
}

pub fn output_beyond_the_high_mark_pauses_reading_until_the_low_mark(backend: Backend) {
    let marks = Watermarks { high: 256 * 1024, low: 32 * 1024 };
    let mut bench = Bench::built(backend, |builder| builder.watermarks(marks));
    let (unsent, most) = shared(0);
    let script = bench.script().received(move |input, cx| {
        // Not more than the low mark when it is called again, unless it never was above the high one.
        cx.write(&[input[0]; 10_000]);
        let mut most = unsent.borrow_mut();
        *most = cx.unsent().max(*most);
        1
    });
    let (_, mut peer) = bench.pair(script);
    peer.write_all(&[b'a'; 2000]).unwrap();
    bench.rest();
    let offered = bench.diary.lines().len();
    assert!(offered < 200, "reading paused: {offered}");
    bench.rest();
    assert_eq!(bench.diary.lines().len(), offered, "and stays so while the peer takes nothing");
    assert!(*most.borrow() < marks.high + 10_000, "{}", most.borrow());
    assert_eq!(bench.read(&mut peer, 2000 * 10_000).len(), 2000 * 10_000);
}

pub fn drained_comes_once_for_each_request_and_not_in_the_same_turn(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().received(|input, cx| {
        cx.notify_drained();
        cx.notify_drained();
        input.len()
    });
    let (_, mut peer) = bench.pair(script);
    for _ in 0..2 {
        bench.diary.take();
        peer.write_all(b"?").unwrap();
        bench.turn();
        assert!(!bench.diary.says("drained"));
        bench.rest();
        assert_eq!(bench.diary.count("drained"), 1);
    }
}

pub fn drained_comes_when_the_peer_took_enough(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| {
        cx.write_owned(vec![0; 4 * MEGABYTE]);
        cx.notify_drained();
    });
    let script = script.drained(|cx| {
        assert!(cx.unsent() <= 16 * 1024);
        cx.close();
    });
    let (_, mut peer) = bench.tcp(script);
    bench.rest();
    assert!(!bench.diary.says("drained"));
    assert_eq!(bench.read_to_end(&mut peer).len(), 4 * MEGABYTE);
    assert_eq!(bench.diary.count("drained"), 1);
}

pub fn drained_comes_after_a_half_close_too(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().received(|input, cx| {
        match input {
            b"half" => cx.close_write(),
            _ => {
                cx.pause_reading();
                cx.notify_drained();
            }
        }
        input.len()
    });
    let (_, mut peer) = bench.pair(script.drained(|cx| cx.resume_reading()));
    bench.write(&mut peer, b"half");
    assert_eq!(bench.read_to_end(&mut peer), b"");
    bench.write(&mut peer, b"drain");
    bench.until_noted("drained");
    bench.rest();
    drop(peer);
    bench.until_noted("closed: finished");
    assert_eq!(bench.diary.count("drained"), 1);
}

/// A peer that reads as fast as the loop writes, and an answer that never ends.
pub fn an_endless_producer_does_not_starve_a_neighbour(backend: Backend) {
    let mut bench = Bench::new(backend);
    let endless = |cx: &mut crate::bench::Cx<'_>| {
        cx.write_static(&[0; 64 * 1024]);
        cx.notify_drained();
    };
    let script = bench.script().named("endless").opened(endless).drained(endless);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    bench.reactor.adopt(ours, script).unwrap();
    let script = bench.echo().named("neighbour");
    let (_, mut neighbour) = bench.pair(script);
    for _ in 0..100 {
        available(&mut theirs);
        bench.turn();
    }
    assert!(bench.reactor.counters().bytes_out > 20 * 64 * 1024, "the producer goes on");
    for _ in 0..20 {
        neighbour.write_all(b"?").unwrap();
        available(&mut theirs);
        bench.turn();
        assert_eq!(available(&mut neighbour), b"?", "answered in the same turn");
    }
}

pub fn too_much_output_ends_the_connection(backend: Backend) {
    let limits = Limits { output_bytes: MEGABYTE, ..Limits::default() };
    let mut bench = Bench::limited(backend, limits);
    let script = bench.script().message(|_, cx| cx.write(&[0; 100_000]));
    let (id, mut peer) = bench.pair(script);
    for _ in 0..40 {
        let _ = bench.reactor.handle().send(id, 1);
        bench.turn();
    }
    bench.until_noted("closed: too much is waiting to be sent");
    let sent = bench.diary.count("message 1");
    assert!((10..20).contains(&sent), "{sent} × 100 kB, a part of it in the kernel");
    bench.until("the peer sees it", |_| crate::bench::is_over(&mut peer));
}

pub fn files_and_static_pieces_are_no_burden_and_do_not_count(backend: Backend) {
    let scratch = Scratch::new();
    let file = scratch.file(&vec![b'f'; 8 * MEGABYTE]);
    let limits = Limits { output_bytes: 1000, ..Limits::default() };
    let mut bench = Bench::limited(backend, limits);
    let script = bench.script().opened(move |cx| {
        cx.write_static(&[b's'; 1 << 20]);
        cx.write_file(Arc::clone(&file), 0..8 << 20);
        cx.write(b"end");
        cx.close();
    });
    let (_, mut peer) = bench.tcp(script);
    bench.rest();
    let got = bench.read_to_end(&mut peer);
    assert!(
        got.len() == 9 * MEGABYTE + 3 && got.ends_with(b"fend") && got[MEGABYTE - 1..].starts_with(b"sf")
    );
}

/// What the kernel would not take at once leaves in the order it was written, whoever asks for more meanwhile.
pub fn output_of_several_callbacks_stays_in_order_behind_a_full_socket(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().message(|number, cx| {
        let piece = vec![number as u8; 30_000];
        match number % 3 {
            0 => cx.write(&piece),
            1 => cx.write_owned(piece),
            _ => {
                cx.write(&piece[..10_000]);
                cx.write_shared(Arc::from(&piece[10_000..20_000]));
                cx.write(&piece[20_000..]);
            }
        }
    });
    let (id, mut peer): (ConnectionId, _) = bench.pair(script);
    let handle = bench.reactor.handle();
    let mut got = Vec::new();
    for number in 0..100 {
        handle.send(id, number).unwrap();
        bench.turn();
        if number % 10 == 9 {
            read_available(&mut (&mut peer).take(100_000), &mut got);
        }
    }
    bench.until("all of it", |_| {
        read_available(&mut peer, &mut got);
        got.len() >= 3_000_000
    });
    assert!(got.iter().enumerate().all(|(at, &byte)| byte as usize == at / 30_000));
}

pub fn memory_is_given_back_when_nothing_is_left_over(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.echo();
    let (_, mut peer) = bench.pair(script);
    for round in 1..=50 {
        let question = "x".repeat(round * 10_000);
        let (mut rest, mut got) = (question.as_bytes(), Vec::new());
        bench.until("the echo", |_| {
            rest = &rest[crate::bench::write_some(&mut peer, rest)..];
            read_available(&mut peer, &mut got);
            got.len() == question.len()
        });
        assert!(got == question.as_bytes());
    }
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    bench.until_noted("closed: finished");
}
