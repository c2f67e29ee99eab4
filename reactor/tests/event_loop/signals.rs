//! Signals as events. Each test has a signal of its own, because a signal is the whole process's.

use std::sync::atomic::{AtomicI32, Ordering};

use reactor::Backend;

use crate::bench::{Bench, millis, shared};

/// A signal that no other test uses.
pub fn own_signal() -> i32 {
    static NEXT: AtomicI32 = AtomicI32::new(0);
    let signal = libc::SIGRTMIN() + NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(signal <= libc::SIGRTMAX(), "one signal for each test and backend");
    signal
}

pub fn raise(signal: i32) {
    // SAFETY: takes no pointers; the signal is caught, by a handler that only writes to a pipe.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

pub fn a_signal_runs_the_programs_function_in_a_turn(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (count, seen) = shared(0);
    let signal = own_signal();
    let id = bench.reactor.on_signal(signal, move |_| *count.borrow_mut() += 1).unwrap();
    for round in 1..=3 {
        raise(signal);
        assert_eq!(*seen.borrow(), round - 1, "not in the handler");
        bench.until("the signal", |_| *seen.borrow() == round);
    }
    (0..10).for_each(|_| raise(signal));
    bench.rest();
    assert!((4..=13).contains(&*seen.borrow()), "several that come at once may be one");
    assert!(bench.reactor.remove_source(id));
}

pub fn several_loops_hear_the_same_signal(backend: Backend) {
    let (mut one, mut two) = (Bench::new(backend), Bench::new(backend));
    let signal = own_signal();
    let (count, seen) = shared(0);
    for bench in [&mut one, &mut two] {
        let count = std::rc::Rc::clone(&count);
        bench.reactor.on_signal(signal, move |_| *count.borrow_mut() += 1).unwrap();
    }
    raise(signal);
    one.until("the first", |_| *seen.borrow() == 1);
    two.until("the second", |_| *seen.borrow() == 2);
}

pub fn a_signal_shuts_the_loop_down(backend: Backend) {
    let mut bench = Bench::new(backend);
    let signal = own_signal();
    bench.reactor.on_signal(signal, |reactor| reactor.shutdown(millis(100))).unwrap();
    let script = bench.script();
    let (_, peer) = bench.pair(script);
    bench.reactor.after(millis(1), move |_| {
        raise(signal);
        drop(peer);
    });
    bench.run();
    assert_eq!(bench.diary.lines().last().unwrap(), "closed: finished");
}

pub fn a_signal_that_cannot_be_caught_is_an_error(backend: Backend) {
    let mut bench = Bench::new(backend);
    for signal in [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV] {
        let error = bench.reactor.on_signal(signal, |_| {}).unwrap_err();
        assert!(error.to_string().contains("cannot be caught"), "{error}");
    }
}

/// An attempt in which a signal and something else are ready in the same wait, and the signal is to be the first of the two.
/// select tells them in the order of their numbers, which the tests beside this one take and give back as well: so it is made
/// again if need be.
pub fn with_the_signal_first(attempt: impl Fn() -> bool) {
    assert!((0..50).any(|_| attempt()), "never was the signal the first, or never is it right");
}

/// A connection ended by somebody else in the same batch: its event is stale.
pub fn an_event_of_the_same_batch_for_a_closed_connection_is_dropped(backend: Backend) {
    let signal = own_signal();
    with_the_signal_first(|| {
        let mut bench = Bench::new(backend);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        bench.reactor.on_signal(signal, |reactor| reactor.shutdown(millis(1000))).unwrap();
        raise(signal);
        bench.reactor.connect(listener.local_addr().unwrap(), bench.script()).unwrap();
        bench.rest();
        bench.diary.lines() == ["closed: aborted from this side"] && bench.reactor.counters().stale == 1
    });
}
