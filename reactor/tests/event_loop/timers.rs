//! Timers: never early, one by one, and gone with their connection.

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use reactor::Backend;

use crate::bench::{Bench, Cx, let_pass, millis, shared};

pub fn a_timer_rings_once_and_not_early(backend: Backend) {
    let mut bench = Bench::new(backend);
    for delay in [0, 1, 2, 7, 30] {
        bench.diary.take();
        let script = bench.script().opened(move |cx| {
            cx.start_timer(millis(delay));
        });
        let start = Instant::now();
        let (_, _peer) = bench.pair(script);
        bench.until_noted("timer");
        assert!(start.elapsed() >= millis(delay), "{delay} ms: {:?}", start.elapsed());
        bench.rest();
        assert_eq!(bench.diary.count("timer"), 1);
    }
}

/// The program was busy before it started a timer, between two turns or before the first.
pub fn a_timer_of_the_program_counts_from_now_and_not_from_the_last_turn(backend: Backend) {
    let mut bench = Bench::new(backend);
    for round in 0..3 {
        let_pass(millis(15));
        let (rang, ring) = shared(None);
        let start = Instant::now();
        bench.reactor.after(millis(10), move |_| *ring.borrow_mut() = Some(Instant::now()));
        bench.until("the timer", |_| rang.borrow().is_some());
        let after = rang.borrow().unwrap() - start;
        assert!(after >= millis(10), "round {round}: {after:?}");
    }
}

pub fn a_timer_is_restarted_in_its_callback(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| {
        cx.start_timer(Duration::ZERO);
    });
    let mut left = 20;
    let script = script.timer(move |_, cx| {
        left -= 1;
        if left > 0 {
            cx.start_timer(Duration::ZERO);
        } else {
            cx.close();
        }
    });
    let (_, peer) = bench.pair(script);
    bench.until("twenty", |bench| bench.diary.count("timer") == 20);
    drop(peer);
    bench.until_empty();
    assert_eq!(bench.diary.count("timer"), 20);
}

pub fn a_timer_without_delay_lets_input_through(backend: Backend) {
    let mut bench = Bench::new(backend);
    let again = |cx: &mut Cx<'_>| {
        cx.start_timer(Duration::ZERO);
    };
    let script = bench.script().opened(again).timer(move |_, cx| again(cx));
    let (_, _peer) = bench.pair(script);
    let script = bench.echo().named("other");
    let (_, mut other) = bench.pair(script);
    for _ in 0..10 {
        assert_eq!(bench.ask(&mut other, "?", 1), "?");
    }
}

/// A loop that always has something left to do does not wait; its timers ring all the same.
pub fn a_loop_that_is_never_idle_lets_timers_ring(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().message(|number, cx| cx.send(cx.id(), number).unwrap());
    let (id, _peer) = bench.pair(script);
    bench.reactor.handle().send(id, 1).unwrap();
    (0..3).for_each(|_| bench.turn());
    for delay in [5, 3] {
        let (rang, ring) = shared(false);
        bench.reactor.after(millis(delay), move |_| *ring.borrow_mut() = true);
        bench.until("the timer", |_| *rang.borrow());
    }
    let turns = bench.reactor.counters().turns;
    let start = Instant::now();
    (0..10).for_each(|_| bench.reactor.turn(Some(Duration::from_secs(20))).unwrap());
    assert!(start.elapsed() < Duration::from_secs(10) && bench.reactor.counters().turns == turns + 10);
}

pub fn a_timer_cancels_another_that_is_due_at_the_same_time(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (timers, others) = shared(Vec::new());
    let script = bench.script().opened(move |cx| {
        timers.borrow_mut().extend((0..3).map(|_| cx.start_timer(millis(2))));
    });
    let script = script.timer(move |timer, cx| {
        let all = others.borrow();
        assert_eq!(timer, all[0], "in the order of their starts");
        assert!(!cx.cancel_timer(timer), "it rang already");
        assert!(cx.cancel_timer(all[2]) && cx.cancel_timer(all[1]));
        assert!(!cx.cancel_timer(all[1]), "once");
        cx.start_timer(millis(1));
        cx.pause_reading();
        cx.close();
    });
    let (_, peer) = bench.pair(script);
    let_pass(millis(5)); // all are due when they are looked at
    bench.until_noted("timer");
    drop(peer);
    bench.until_empty();
    assert_eq!(bench.diary.lines(), ["opened", "timer", "closed: finished"]);
}

/// The first timer's callback ends the connection of the second in the same batch: by an effect that is queued, or directly.
pub fn a_timer_of_a_connection_closed_in_the_same_batch_is_silent(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| {
        cx.start_timer(millis(2));
        cx.start_timer(millis(2));
    });
    let script = script.timer(|_, cx| cx.abort());
    let (_, _peer) = bench.pair(script);
    let_pass(millis(5));
    bench.until_empty();
    assert_eq!(bench.diary.lines(), ["opened", "timer", "closed: aborted from this side"]);
}

pub fn timers_ring_in_the_order_of_their_deadlines(backend: Backend) {
    let mut bench = Bench::new(backend);
    let diary = bench.diary.clone();
    for (delay, name) in [(9, "d"), (3, "b"), (1, "a"), (3, "c"), (9, "e")] {
        let diary = diary.clone();
        bench.reactor.after(millis(delay), move |_| diary.note(name));
    }
    let_pass(millis(4));
    bench.until("all", |bench| bench.diary.lines().len() == 5);
    assert_eq!(bench.diary.lines(), ["a", "b", "c", "d", "e"]);
}

pub fn what_was_to_run_later_is_cancelled_once(backend: Backend) {
    let mut bench = Bench::new(backend);
    let last = crate::bench::Last(bench.diary.clone(), "dropped");
    let timer = bench.reactor.after(millis(1), move |_| drop(last));
    assert!(bench.reactor.cancel(timer));
    assert_eq!(bench.diary.lines(), ["dropped"], "the closure with it");
    assert!(!bench.reactor.cancel(timer));
    let timer = bench.reactor.after(Duration::ZERO, |_| {});
    bench.until("it ran", |bench| bench.reactor.counters().timers == 1);
    assert!(!bench.reactor.cancel(timer));
}

pub fn a_timer_belongs_to_its_connection(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (started, other) = shared(None);
    let script =
        bench.script().named("a").opened(move |cx| *started.borrow_mut() = Some(cx.start_timer(millis(5))));
    let (_, _a) = bench.pair(script);
    let script = bench.script().named("b").opened(move |cx| {
        let theirs = other.borrow().unwrap();
        assert!(!cx.cancel_timer(theirs));
    });
    let (_, _b) = bench.pair(script);
    bench.until_noted("a timer");
}

pub fn the_loops_own_deadline_is_not_the_protocols_to_cancel(backend: Backend) {
    let mut bench = Bench::new(backend);
    let ran = Rc::new(Cell::new(false));
    let run = Rc::clone(&ran);
    let timer = bench.reactor.after(millis(2), move |_| run.set(true));
    let script = bench.script().opened(move |cx| assert!(!cx.cancel_timer(timer)));
    let (_, _peer) = bench.pair(script);
    bench.until("it ran", |_| ran.get());
}

/// Most timers of a server are cancelled: a request's timeout is started, the request arrives, the timeout is cancelled.
pub fn timers_started_and_cancelled_by_the_thousand_never_ring(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().received(|input, cx| {
        for round in 0..1000 {
            let timer = cx.start_timer(millis(1 + round % 3));
            assert!(cx.cancel_timer(timer));
        }
        cx.write(b"!");
        input.len()
    });
    let (_, mut peer) = bench.pair(script);
    for _ in 0..50 {
        assert_eq!(bench.ask(&mut peer, "?", 1), "!");
    }
    let_pass(millis(5));
    bench.rest();
    assert_eq!((bench.diary.count("timer"), bench.reactor.counters().timers), (0, 0));
}

pub fn ten_thousand_timers_ring_each_once(backend: Backend) {
    let mut bench = Bench::new(backend);
    let count = Rc::new(Cell::new(0));
    for number in 0..10_000 {
        let count = Rc::clone(&count);
        bench.reactor.after(Duration::from_micros(number * 7 % 30_000), move |_| count.set(count.get() + 1));
    }
    bench.until("all rang", |_| count.get() == 10_000);
    bench.rest();
    assert_eq!(bench.reactor.counters().timers, 10_000);
}

pub fn the_time_is_that_of_the_turn(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (times, noted) = shared(Vec::new());
    let script = bench.script().received(move |input, cx| {
        times.borrow_mut().push(cx.now());
        let_pass(millis(1));
        times.borrow_mut().push(cx.now());
        input.len()
    });
    let (_, mut peer) = bench.pair(script);
    for _ in 0..2 {
        peer.write_all(b".").unwrap();
        bench.turn();
    }
    let noted = noted.borrow();
    assert!(noted[0] == noted[1] && noted[2] == noted[3] && noted[2] >= noted[0] + millis(1), "{noted:?}");
}

/// A turn waits for nothing when nothing was asked of it, and no longer than asked.
pub fn a_turn_waits_no_longer_than_asked(backend: Backend) {
    let mut bench = Bench::new(backend);
    bench.reactor.after(Duration::from_secs(3600), |_| {});
    let start = Instant::now();
    bench.turn();
    bench.reactor.turn(Some(millis(5))).unwrap();
    assert!(start.elapsed() >= millis(5) && start.elapsed() < Duration::from_secs(10));
}

pub fn a_timer_for_ever_and_a_day_does_not_overflow(backend: Backend) {
    let mut bench = Bench::new(backend);
    bench.reactor.after(Duration::MAX, |_| {});
    bench.reactor.after(Duration::from_secs(1 << 40), |_| {});
    let (rang, ring) = shared(false);
    bench.reactor.after(millis(2), move |_| *ring.borrow_mut() = true);
    bench.until("the near one", |_| *rang.borrow());
    bench.rest();
    assert_eq!(bench.reactor.counters().timers, 1);
}
