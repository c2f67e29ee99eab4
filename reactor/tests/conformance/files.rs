//! What is always ready, although epoll says it cannot be watched.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::thread;

use reactor::unix::SourceFd;
use reactor::{Backend, Token, Trigger};

use crate::support::{READABLE, WRITABLE, Waiting};

fn file() -> File {
    File::open(std::env::current_exe().unwrap()).unwrap()
}

pub fn a_regular_file_is_always_ready(backend: Backend) {
    let file = file();
    always_ready(backend, &file);
}

pub fn a_directory_and_the_null_device_are_always_ready(backend: Backend) {
    always_ready(backend, &File::open("/").unwrap());
    always_ready(backend, &File::open("/dev/null").unwrap());
}

/// Level: on every wait. Edge and one-shot: once for each registration.
fn always_ready(backend: Backend, file: &File) {
    let fd = file.as_raw_fd();
    for trigger in [Trigger::Edge, Trigger::Level, Trigger::OneShot] {
        let mut waiting = Waiting::with(backend);
        waiting.register(&mut SourceFd(&fd), 1, READABLE, trigger);
        let event = waiting.wait_one(1);
        assert!(event.is_readable() && !event.is_writable() && !event.is_error());
        for _ in 0..5 {
            if trigger == Trigger::Level {
                waiting.wait_one(1);
            } else {
                let events = waiting.wait_for(std::time::Duration::from_millis(2));
                assert!(events.is_empty(), "{trigger:?}: {events:?}");
            }
        }
        let both = READABLE | WRITABLE;
        waiting.registry().reregister_with(&mut SourceFd(&fd), Token(2), both, trigger).unwrap();
        let event = waiting.wait_one(2);
        assert!(event.is_readable() && event.is_writable());

        let twice = waiting.registry().register(&mut SourceFd(&fd), Token(3), READABLE).unwrap_err();
        assert_eq!(twice.kind(), std::io::ErrorKind::AlreadyExists);
    }
}

pub fn a_file_registered_from_another_thread_reaches_the_wait_in_progress(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let registry = waiting.registry().try_clone().unwrap();
    let file = file();
    let fd = file.as_raw_fd();
    let thread = thread::spawn(move || registry.register(&mut SourceFd(&fd), Token(1), READABLE).unwrap());
    waiting.wait_one(1);
    thread.join().unwrap();
}

pub fn a_deregistered_file_is_silent(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let file = file();
    let fd = file.as_raw_fd();
    waiting.level(&mut SourceFd(&fd), 1, READABLE);
    waiting.wait_one(1);
    waiting.deregister(&mut SourceFd(&fd));
    waiting.assert_silent();
    let error = waiting.registry().deregister(&mut SourceFd(&fd)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let error = waiting.registry().reregister(&mut SourceFd(&fd), Token(1), READABLE).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}
