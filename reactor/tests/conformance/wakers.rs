//! Ending a wait from another thread.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use reactor::{Backend, Token, Waker};

use crate::support::Waiting;

pub fn a_wake_ends_the_wait_of_another_thread(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let waker = Arc::new(Waker::new(waiting.registry(), Token(9)).unwrap());
    let other = Arc::clone(&waker);
    let thread = thread::spawn(move || other.wake().unwrap());
    assert!(waiting.wait_one(9).is_readable());
    thread.join().unwrap();
    waiting.assert_silent();
}

pub fn a_wake_before_the_wait_ends_it(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let waker = Waker::new(waiting.registry(), Token(9)).unwrap();
    for _ in 0..3 {
        waker.wake().unwrap();
        waker.wake().unwrap(); // two become one
        waiting.wait_one(9);
        waiting.assert_silent();
    }
}

pub fn a_waker_needs_no_draining(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let waker = Waker::new(waiting.registry(), Token(9)).unwrap();
    for _ in 0..1000 {
        waker.wake().unwrap();
        waiting.wait_one(9);
    }
    waiting.assert_silent();
}

pub fn without_a_wake_a_waker_is_silent(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let _waker = Waker::new(waiting.registry(), Token(9)).unwrap();
    waiting.assert_silent();
}

pub fn several_wakers_have_their_own_tokens(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let wakers: Vec<_> = (0..3).map(|token| Waker::new(waiting.registry(), Token(token)).unwrap()).collect();
    wakers[1].wake().unwrap();
    waiting.wait_one(1);
    wakers[0].wake().unwrap();
    wakers[2].wake().unwrap();
    assert_eq!(waiting.wait().len(), 2);
    waiting.assert_silent();
}

pub fn a_dropped_waker_is_silent(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let waker = Waker::new(waiting.registry(), Token(9)).unwrap();
    waker.wake().unwrap();
    drop(waker);
    waiting.assert_silent();
    Waker::new(waiting.registry(), Token(8)).unwrap().wake().unwrap();
    waiting.assert_silent();
}

/// The contract of every mailbox: put the message, then wake; whoever gets the event sees the message.
pub fn every_message_before_a_wake_is_seen(backend: Backend) {
    const THREADS: usize = 4;
    const MESSAGES: usize = 500;
    let mut waiting = Waiting::with(backend);
    let waker = Arc::new(Waker::new(waiting.registry(), Token(9)).unwrap());
    let mailbox = Arc::new(AtomicUsize::new(0));
    let start = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (waker, mailbox, start) = (Arc::clone(&waker), Arc::clone(&mailbox), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                for _ in 0..MESSAGES {
                    mailbox.fetch_add(1, Ordering::SeqCst);
                    waker.wake().unwrap();
                }
            })
        })
        .collect();
    while mailbox.load(Ordering::SeqCst) < THREADS * MESSAGES {
        waiting.wait_one(9); // a lost wake would wait for ever
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
