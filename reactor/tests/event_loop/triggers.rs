//! A loop is right with every trigger (the rest of the suite says so), and with each it is silent when it has nothing to do.

use std::io;
use std::net::Shutdown;

use reactor::event_loop::Reactor;
use reactor::{Backend, Trigger};

use crate::bench::{Bench, Script, available, fill, millis};

/// Whether the kernel has edges of its own.
fn has_edges(backend: Backend) -> bool {
    matches!(backend, Backend::Epoll | Backend::Kqueue | Backend::IoUring)
}

/// Every backend with every trigger that a loop can run on there.
pub fn ways() -> impl Iterator<Item = (Backend, Trigger)> {
    let each = |backend| {
        let edge = has_edges(backend).then_some((backend, Trigger::Edge));
        edge.into_iter().chain([(backend, Trigger::Level), (backend, Trigger::OneShot)])
    };
    crate::support::backends().flat_map(each)
}

fn bench((backend, trigger): (Backend, Trigger)) -> Bench {
    let bench = Bench::built(backend, |builder| builder.trigger(trigger));
    assert_eq!(bench.reactor.trigger(), trigger);
    bench
}

/// Nothing is told in some turns that have time to tell it.
fn assert_silent(bench: &mut Bench, what: &str, way: (Backend, Trigger)) {
    bench.rest();
    let before = bench.reactor.counters().events;
    for _ in 0..5 {
        bench.reactor.turn(Some(millis(2))).unwrap();
    }
    assert_eq!(bench.reactor.counters().events, before, "{what}, {way:?}");
}

#[test]
fn unless_told_a_loop_takes_edges_where_the_kernel_has_them() {
    for backend in crate::support::backends() {
        let reactor = Reactor::<Script>::builder().backend(backend).build().unwrap();
        let expected = if has_edges(backend) { Trigger::Edge } else { Trigger::Level };
        assert_eq!(reactor.trigger(), expected, "{backend}");
    }
}

#[test]
fn edges_that_a_kernel_does_not_have_are_refused_in_words() {
    for backend in crate::support::backends().filter(|&backend| !has_edges(backend)) {
        let error = Reactor::<Script>::builder().backend(backend).trigger(Trigger::Edge).build().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        let told =
            format!("{backend} has no edges of its own for a loop to wait for; choose level or one-shot");
        assert_eq!(error.to_string(), told);
    }
}

#[test]
fn unread_input_of_a_paused_connection_is_not_told_again_and_again() {
    for way in ways() {
        let mut bench = bench(way);
        let script = bench.script().received(|input, cx| {
            if input.starts_with(b"pause") {
                cx.pause_reading();
            }
            cx.write(b"!");
            input.len()
        });
        let script = script.message(|_, cx| cx.resume_reading());
        let (id, mut peer) = bench.pair(script);
        bench.write(&mut peer, b"pause");
        bench.read(&mut peer, 1);
        bench.write(&mut peer, b"unread");
        assert_silent(&mut bench, "paused", way);
        assert!(!bench.diary.says("received unread"), "{way:?}");
        bench.reactor.handle().send(id, 0).unwrap();
        bench.until_noted("received unread");
        assert_silent(&mut bench, "read again", way);
    }
}

#[test]
fn room_is_not_told_when_nothing_waits_to_be_sent() {
    for way in ways() {
        let mut bench = bench(way);
        let (_, mut peer) = bench.pair(bench.script().received(|input, cx| {
            cx.write(&vec![b'.'; 1 << 20]);
            input.len()
        }));
        bench.write(&mut peer, b"?");
        bench.until_noted("received ?");
        assert_silent(&mut bench, "the peer takes nothing", way);
        bench.read(&mut peer, 1 << 20);
        assert_silent(&mut bench, "the peer took all", way);
        assert_eq!(available(&mut peer), b"");
    }
}

#[test]
fn each_of_many_events_is_told_whatever_the_trigger() {
    for way in ways() {
        let mut bench = bench(way);
        let (_, mut peer) = bench.pair(bench.echo());
        for round in 0..100 {
            let question = format!("{round} ");
            assert_eq!(bench.ask(&mut peer, &question, question.len()), question, "{way:?}");
        }
        // Both directions at once, and then the end.
        let said = fill(&mut peer);
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(bench.read_to_end(&mut peer).len(), said, "{way:?}");
        bench.until_noted("closed: finished");
    }
}
