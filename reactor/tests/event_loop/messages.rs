//! Mail: between connections, and from other threads.

use std::cell::Cell;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reactor::Backend;
use reactor::event_loop::{ConnectionId, Context, Handle, Protocol, Reactor};

use crate::bench::{Bench, Last, Script, millis, shared};

pub fn messages_arrive_in_the_order_they_were_sent(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().named("to");
    let (to, _to) = bench.pair(script);
    let script = bench.script().named("from").received(move |input, cx| {
        (0..5).for_each(|number| cx.send(to, number).unwrap());
        input.len()
    });
    let (_, mut from) = bench.pair(script);
    bench.rest();
    bench.diary.take();
    from.write_all(b"go").unwrap();
    bench.turn();
    let expected: Vec<_> = (0..5).map(|number| format!("to message {number}")).collect();
    assert_eq!(bench.diary.lines()[0], "from received go");
    assert_eq!(bench.diary.lines()[1..], expected, "all of them in the same turn");
    assert_eq!(bench.reactor.counters().messages, 5);
}

pub fn a_message_sent_in_the_mailbox_phase_arrives_in_the_next_turn(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().message(|number, cx| cx.send(cx.id(), number + 1).unwrap());
    let (id, _peer) = bench.pair(script);
    bench.rest();
    bench.diary.take();
    bench.reactor.handle().send(id, 0).unwrap();
    for number in 0..5 {
        let turns = bench.reactor.counters().turns;
        bench.reactor.turn(Some(Duration::from_secs(20))).unwrap(); // it does not wait: there is mail
        assert_eq!(bench.diary.take(), [format!("message {number}")]);
        assert_eq!(bench.reactor.counters().turns, turns + 1);
    }
}

pub fn a_message_to_many_is_one_entry_in_the_mailbox(backend: Backend) {
    let mut bench = Bench::built(backend, |builder| builder.mailbox(2));
    let members: Vec<_> = (0..20)
        .map(|_| {
            let script = bench.script();
            bench.pair(script)
        })
        .collect();
    bench.diary.take();
    let ids: Arc<[ConnectionId]> = members.iter().map(|(id, _)| *id).collect();
    let all = Arc::clone(&ids);
    let script = bench.script().named("speaker").received(move |input, cx| {
        assert_eq!(cx.send_all(Arc::clone(&all), 7), Ok(()));
        assert_eq!(cx.send(all[0], 8), Ok(()));
        assert_eq!(cx.send(all[0], 9), Err(9), "the mailbox is full, and the message comes back");
        assert_eq!(cx.send_all(Arc::clone(&all), 9), Err(9));
        input.len()
    });
    let (_, mut speaker) = bench.pair(script);
    speaker.write_all(b"go").unwrap();
    bench.rest();
    assert_eq!((bench.diary.count("message 7"), bench.diary.count("message 8")), (20, 1));
    assert!(!bench.diary.says("message 9"));
    speaker.write_all(b"again").unwrap();
    bench.rest();
    assert_eq!(bench.diary.count("message 7"), 40, "there is room again");

    let handle = bench.reactor.handle();
    assert_eq!((handle.send(ids[0], 1), handle.send_all(Arc::clone(&ids), 2)), (Ok(()), Ok(())));
    assert_eq!((handle.send(ids[0], 3), handle.send_all(ids, 4)), (Err(3), Err(4)));
    assert!(!handle.run(|_| {}));
    bench.rest();
    assert_eq!((bench.diary.count("message 1"), bench.diary.count("message 2")), (1, 20));
}

pub fn a_message_to_the_dead_is_dropped_and_counted(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().named("mortal");
    let (mortal, peer) = bench.pair(script);
    let script = bench.script().named("living");
    let (living, _living) = bench.pair(script);
    drop(peer);
    bench.until_noted("mortal closed: finished");
    let handle = bench.reactor.handle();
    handle.send(mortal, 1).unwrap();
    handle.send_all([mortal, living, mortal].into(), 2).unwrap();
    bench.rest();
    assert!(bench.diary.says("living message 2"));
    assert_eq!((bench.reactor.counters().messages, bench.reactor.counters().undeliverable), (1, 3));
    assert!(bench.diary.find("mortal message").is_none());
}

/// The receiver ends between the sending and the mailbox phase of the same turn.
pub fn a_message_to_somebody_who_closes_in_the_same_turn_is_dropped(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().named("b").received(|input, cx| {
        cx.abort();
        input.len()
    });
    let (b, mut to_b) = bench.pair(script);
    let script = bench.script().named("a").received(move |input, cx| {
        cx.send(b, 1).unwrap();
        input.len()
    });
    let (_, mut to_a) = bench.pair(script);
    bench.rest();
    to_a.write_all(b"x").unwrap();
    to_b.write_all(b"x").unwrap();
    bench.rest();
    assert!(bench.diary.find("b message").is_none());
    assert_eq!(bench.reactor.counters().undeliverable, 1);
}

pub fn the_last_call_may_send_messages(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().named("friend");
    let (friend, _friend) = bench.pair(script);
    let script = bench.script().closed(move |_, cx| {
        cx.send(friend, 1).unwrap();
        cx.send(cx.id(), 2).unwrap();
    });
    let (_, peer) = bench.pair(script);
    drop(peer);
    bench.rest();
    assert_eq!(bench.diary.lines().last().unwrap(), "friend message 1");
    assert_eq!(bench.reactor.counters().undeliverable, 1);
}

pub fn a_message_to_oneself_waits_for_the_mailbox_phase(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().received(|input, cx| {
        cx.send(cx.id(), 1).unwrap();
        1.min(input.len())
    });
    let (_, mut peer) = bench.pair(script);
    bench.rest();
    bench.diary.take();
    peer.write_all(b"ab").unwrap();
    bench.turn();
    assert_eq!(bench.diary.lines(), ["received ab", "received b", "message 1", "message 1"]);
}

/// 16 KB of two-byte messages to many members are millions of deliveries: the mailbox stops them.
pub fn a_flood_of_messages_to_many_is_bounded_by_the_mailbox(backend: Backend) {
    let mut bench = Bench::built(backend, |builder| builder.mailbox(10));
    let ids: Vec<ConnectionId> = Vec::new();
    let (members, all) = shared(ids);
    let refused = Rc::new(Cell::new(0));
    let mut peers = Vec::new();
    for _ in 0..50 {
        let (all, refused) = (Rc::clone(&all), Rc::clone(&refused));
        let script = Script::new(&bench.diary).received(move |_, cx| {
            let to: Arc<[_]> = all.borrow().as_slice().into();
            if cx.send_all(to, 1).is_err() {
                refused.set(refused.get() + 1);
            }
            2
        });
        let (id, peer) = bench.pair(script);
        members.borrow_mut().push(id);
        peers.push(peer);
    }
    bench.rest();
    peers[0].write_all(&b"x\n".repeat(8 * 1024)).unwrap();
    bench.turn();
    assert_eq!(bench.reactor.counters().messages, 10 * 50);
    assert_eq!(refused.get(), 8 * 1024 - 10);
}

// ------------------------------------------------------------------------------------------------ from other threads

pub fn another_thread_sends_runs_and_shuts_down(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().message(|number, cx| cx.write(format!("{number};").as_bytes()));
    let (id, mut peer) = bench.pair(script);
    let handle = bench.reactor.handle();
    let other = thread::spawn(move || {
        handle.send(id, 1).unwrap();
        handle.send_all([id, id].into(), 2).unwrap();
        let seen = Arc::new(AtomicBool::new(false));
        let see = Arc::clone(&seen);
        assert!(handle.clone().run(move |reactor| see.store(reactor.connections() == 1, Ordering::Relaxed)));
        let start = Instant::now();
        while !seen.load(Ordering::Relaxed) {
            assert!(start.elapsed() < crate::bench::PATIENCE);
            thread::yield_now();
        }
        handle.shutdown(millis(100));
    });
    bench.run();
    other.join().unwrap();
    assert_eq!(bench.read_to_end(&mut peer), b"1;2;2;");
}

pub fn every_message_of_every_thread_arrives_in_order(backend: Backend) {
    const THREADS: u64 = 4;
    const MESSAGES: u64 = 5000;
    let mut bench = Bench::built(backend, |builder| builder.mailbox(100));
    let (log, seen) = shared(Vec::new());
    let script = Script::new(&Default::default()).message(move |number, _| log.borrow_mut().push(number));
    let (id, _peer) = bench.pair(script);
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let handle = bench.reactor.handle();
            thread::spawn(move || {
                for number in 0..MESSAGES {
                    let mut message = thread << 32 | number;
                    while let Err(back) = handle.send(id, message) {
                        message = back; // the mailbox is full: the loop is slower than we are
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    bench.until("all messages", |_| seen.borrow().len() as u64 == THREADS * MESSAGES);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut next = [0; THREADS as usize];
    for message in seen.borrow().iter() {
        let (thread, number) = ((message >> 32) as usize, message & u64::from(u32::MAX));
        assert_eq!(next[thread], number);
        next[thread] += 1;
    }
}

pub fn a_letter_ends_a_wait_without_limit(backend: Backend) {
    let mut bench = Bench::new(backend);
    let handle = bench.reactor.handle();
    for _ in 0..100 {
        let (ran, handle) = (Arc::new(AtomicBool::new(false)), handle.clone());
        let run = Arc::clone(&ran);
        let other = thread::spawn(move || assert!(handle.run(move |_| run.store(true, Ordering::Relaxed))));
        while !ran.load(Ordering::Relaxed) {
            bench.reactor.turn(None).unwrap();
        }
        other.join().unwrap();
    }
}

pub fn timers_sockets_and_letters_share_one_wait(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench
        .echo()
        .timer(|_, cx| {
            cx.start_timer(millis(1));
        })
        .opened(|cx| {
            cx.start_timer(millis(1));
        });
    let (id, mut peer) = bench.pair(script);
    let handle = bench.reactor.handle();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let other = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            let _ = handle.send(id, 1); // whoever is faster than the loop finds the mailbox full in the end
            thread::yield_now();
        }
    });
    for _ in 0..20 {
        assert_eq!(bench.ask(&mut peer, "?", 1), "?");
    }
    let (timers, messages) = (bench.diary.count("timer"), bench.diary.count("message 1"));
    bench.until("both go on", |bench| {
        bench.diary.count("timer") > timers && bench.diary.count("message 1") > messages
    });
    stop.store(true, Ordering::Relaxed);
    other.join().unwrap();
}

pub fn a_handle_outlives_its_loop(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script();
    let (id, _peer) = bench.pair(script);
    let handle = bench.reactor.handle();
    let dropped = Arc::new(AtomicBool::new(false));
    struct Sets(Arc<AtomicBool>);
    impl Drop for Sets {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let sets = Sets(Arc::clone(&dropped));
    assert!(handle.run(move |_| drop(sets)));
    drop(bench);
    assert!(dropped.load(Ordering::Relaxed), "what was not run is dropped with the loop");
    assert_eq!(handle.send(id, 5), Err(5));
    assert_eq!(handle.send_all([id].into(), 6), Err(6));
    assert!(!handle.run(|_| {}));
    handle.shutdown(Duration::ZERO);
}

pub fn a_shutdown_gets_through_a_full_mailbox(backend: Backend) {
    let mut bench = Bench::built(backend, |builder| builder.mailbox(1));
    let handle = bench.reactor.handle();
    while handle.run(|_| {}) {}
    handle.shutdown(millis(1));
    bench.run();
}

/// A protocol may hold what must not leave its thread; the handle goes where the messages may go.
pub fn a_handle_is_send_although_the_protocol_is_not(backend: Backend) {
    struct Local(#[allow(dead_code)] Rc<()>);
    impl Protocol for Local {
        type Message = String;
        fn received(&mut self, input: &[u8], _: &mut Context<'_, String>) -> usize {
            input.len()
        }
    }
    fn is_send_and_sync(_: &(impl Send + Sync + Clone)) {}
    let reactor = Reactor::<Local>::builder().backend(backend).build().unwrap();
    let handle: Handle<Local> = reactor.handle();
    is_send_and_sync(&handle);
}

pub fn wishes_of_a_spawner_that_were_not_met_are_dropped_with_the_loop(backend: Backend) {
    let bench = Bench::new(backend);
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let spawner = bench.reactor.spawner();
    let own = spawner.clone();
    let last = Last(bench.diary.clone(), "dropped");
    let script = bench.script().opened(move |_| {
        let _ = (&own, &last); // a protocol that holds the spawner that holds it
    });
    spawner.adopt(ours, script);
    let diary = bench.diary.clone();
    drop(spawner);
    drop(bench);
    assert_eq!(diary.lines(), ["dropped"]);
    assert!(crate::bench::is_over(&mut theirs));
}
