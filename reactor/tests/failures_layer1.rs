//! What went wrong in other event loops, held against every backend of this one. Each test is named after the defect; the
//! comment says where it happened.

mod support;

use std::collections::HashSet;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use reactor::net::TcpStream;
use reactor::unix::SourceFd;
use reactor::{Backend, Events, Poll, Token, Trigger, Waker};

use support::{
    PRIORITY, READABLE, WRITABLE, Waiting, backends, drain, duplicate_at_least, duplicate_high, eventually,
    fill, interrupting_signal, pair, raw_pair, reset_on_close, send_urgent, tcp_pair, usage,
};

const TRIGGERS: [Trigger; 3] = [Trigger::Edge, Trigger::Level, Trigger::OneShot];

/// mio#219. (A batch is a plain list: what it still holds for a source that its reader just deregistered is the reader's to
/// skip. The next batch holds nothing of it.)
#[test]
fn a_source_deregistered_in_the_middle_of_a_batch_is_not_in_the_next() {
    for backend in backends() {
        let mut waiting = Waiting::with(backend);
        let mut pairs = [pair(), pair()];
        for (token, (ours, theirs)) in pairs.iter_mut().enumerate() {
            waiting.level(ours, token, READABLE);
            theirs.write_all(b"simple").unwrap();
        }
        let batch = waiting.wait();
        assert_eq!(batch.len(), 2);
        waiting.deregister(&mut pairs[batch[1].token().0].0);
        waiting.wait_one(batch[0].token().0);
    }
}

/// mio#172.
#[test]
fn a_reused_number_hears_nothing_of_its_former_owner() {
    for backend in backends() {
        let mut waiting = Waiting::with(backend);
        let (near, mut far) = raw_pair();
        let former = duplicate_high(&near);
        let number = former.as_raw_fd();
        waiting.edge(&mut SourceFd(&number), 1, READABLE);
        far.write_all(b"for the former").unwrap();
        waiting.deregister(&mut SourceFd(&number));
        drop((former, near));

        let (near, mut far) = raw_pair();
        let next = duplicate_at_least(&near, number);
        assert_eq!(next.as_raw_fd(), number);
        waiting.edge(&mut SourceFd(&number), 2, READABLE);
        waiting.assert_silent();
        far.write_all(b"for the next").unwrap();
        waiting.wait_one(2);
    }
}

/// libuv#1148, uvloop#61.
#[test]
fn a_closed_descriptor_whose_duplicate_lives_on_is_silent_if_it_was_deregistered_first() {
    for backend in backends() {
        let mut waiting = Waiting::with(backend);
        let (near, mut far) = raw_pair();
        let inherited = near.try_clone().unwrap();
        waiting.level(&mut SourceFd(&near.as_raw_fd()), 1, READABLE);
        far.write_all(b"simple").unwrap();
        waiting.wait_one(1);
        waiting.deregister(&mut SourceFd(&near.as_raw_fd()));
        drop(near);
        waiting.assert_silent();
        drop(inherited);
    }
}

/// The same, if it was not: epoll then fires for ever, which nobody can stop; who remembers by number can.
#[test]
fn a_closed_descriptor_nobody_deregistered_is_dropped_by_who_remembers_its_number() {
    for backend in backends().filter(|backend| ["select", "poll", "polling"].contains(&backend.name())) {
        for trigger in TRIGGERS {
            let mut waiting = Waiting::with(backend);
            let (near, mut far) = raw_pair();
            let closed = duplicate_high(&near);
            let number = closed.as_raw_fd();
            waiting.register(&mut SourceFd(&number), 1, READABLE, trigger);
            waiting.assert_silent();
            drop(closed);
            far.write_all(b"for nobody").unwrap();
            waiting.assert_silent();
            waiting.assert_silent();

            let (near, mut far) = raw_pair();
            let next = duplicate_at_least(&near, number);
            assert_eq!(next.as_raw_fd(), number);
            waiting.register(&mut SourceFd(&number), 2, READABLE, trigger);
            waiting.assert_silent();
            far.write_all(b"for the next").unwrap();
            waiting.wait_one(2);
        }
    }
}

/// tokio-core#172. (A number that came back as something else is not the one that was dropped: there is nothing to refuse.)
#[test]
fn a_source_that_was_silent_until_it_was_dropped_leaves_its_number_to_others() {
    for backend in backends() {
        let mut waiting = Waiting::with(backend);
        let (near, _far) = raw_pair();
        let dropped = duplicate_high(&near);
        let number = dropped.as_raw_fd();
        waiting.edge(&mut SourceFd(&number), 1, READABLE);
        waiting.assert_silent();
        drop((dropped, near));
        waiting.assert_silent();

        let (near, mut far) = raw_pair();
        let next = duplicate_at_least(&near, number);
        assert_eq!(next.as_raw_fd(), number);
        waiting.edge(&mut SourceFd(&number), 2, READABLE);
        waiting.assert_silent();
        far.write_all(b"for the next").unwrap();
        waiting.wait_one(2);
    }
}

/// tokio-core#172.
#[test]
fn a_source_dropped_without_deregistering_is_named_when_its_number_comes_back() {
    for backend in backends() {
        let waiting = Waiting::with(backend);
        let (near, _far) = raw_pair();
        let dropped = duplicate_high(&near);
        let number = dropped.as_raw_fd();
        waiting.edge(&mut SourceFd(&number), 1, READABLE);
        drop(dropped);
        let _again = duplicate_at_least(&near, number);
        if backend == Backend::Kqueue {
            // A close took the registration with it, whatever duplicates there are: there is nothing to refuse.
            waiting.edge(&mut SourceFd(&number), 77, READABLE);
            continue;
        }
        let error = waiting.registry().register(&mut SourceFd(&number), Token(77), READABLE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        let text = error.to_string();
        assert!(text.contains(&number.to_string()) && text.contains("77"), "{text}");
        assert!(text.contains("deregister it before it is closed"), "{text}");
    }
}

/// mio#2012: hung-up is a state, not a removal.
#[test]
fn after_a_hang_up_reregistering_and_deregistering_still_work_and_errors_keep_their_kind() {
    for backend in backends() {
        let mut waiting = Waiting::with(backend);
        let (mut ours, mut theirs) = pair();
        waiting.edge(&mut ours, 1, READABLE | WRITABLE);
        waiting.wait_one(1);
        theirs.write_all(b"last words").unwrap();
        drop(theirs);
        assert!(waiting.wait_one(1).is_read_closed());
        waiting.registry().reregister(&mut ours, Token(2), READABLE).unwrap();
        assert!(waiting.wait_one(2).is_read_closed());
        assert_eq!(ours.read(&mut [0; 64]).unwrap(), 10);
        assert_eq!(ours.read(&mut [0; 64]).unwrap(), 0);
        assert_eq!(ours.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        waiting.deregister(&mut ours);

        let (mut ours, theirs) = tcp_pair();
        waiting.edge(&mut ours, 3, READABLE);
        assert_eq!(ours.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        reset_on_close(&theirs);
        drop(theirs);
        waiting.wait_one(3);
        assert_eq!(ours.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        waiting.registry().reregister(&mut ours, Token(3), READABLE).unwrap();
        waiting.deregister(&mut ours);
    }
}

/// hermit-os/kernel#2533.
#[test]
fn an_edge_on_a_raw_descriptor_fires_again_and_again_at_a_bounded_rate() {
    for backend in backends() {
        let mut waiting = Waiting::with(backend);
        let (mut near, mut far) = raw_pair();
        waiting.edge(&mut SourceFd(&near.as_raw_fd()), 1, READABLE);
        for _ in 0..20 {
            far.write_all(b"simple").unwrap();
            waiting.wait_one(1);
            drain(&mut near); // out of the backend's sight
        }
        far.write_all(b"unread").unwrap();
        let (start, mut events) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_millis(50) {
            events += waiting.wait_for(Duration::from_millis(5)).len() as u128;
        }
        assert!(events >= 1 && events <= start.elapsed().as_millis() + 2, "{backend}: {events} events");
    }
}

/// mio#1317.
#[test]
fn urgent_data_nobody_asked_for_does_not_spin_a_level() {
    for backend in backends() {
        let mut waiting = Waiting::with(backend);
        let (mut ours, theirs) = tcp_pair();
        waiting.level(&mut ours, 1, PRIORITY);
        send_urgent(&theirs, b'!');
        waiting.wait_until(|event| event.is_priority());
        waiting.registry().reregister_with(&mut ours, Token(1), WRITABLE, Trigger::Level).unwrap();
        assert!(!waiting.wait_one(1).is_priority());
    }
}

/// The same, for who asked for plain data and gets none: a byte from the peer must not keep an idle wait busy.
#[test]
fn urgent_data_nobody_asked_for_does_not_spin_an_idle_wait() {
    for (backend, trigger) in backends().flat_map(|backend| TRIGGERS.map(|trigger| (backend, trigger))) {
        let mut waiting = Waiting::with(backend);
        let (mut ours, theirs) = tcp_pair();
        send_urgent(&theirs, b'!');
        eventually("an urgent byte", || {
            let mut probe = Waiting::with(Backend::Poll);
            probe.level(&mut SourceFd(&ours.as_raw_fd()), 1, PRIORITY);
            !probe.now().is_empty()
        });
        waiting.register(&mut ours, 1, READABLE, trigger);
        let (time, sleeps) = usage();
        let events = waiting.wait_for(Duration::from_millis(100));
        assert!(events.is_empty(), "{backend}: {events:?}");
        let (time, sleeps) = (usage().0 - time, usage().1 - sleeps);
        assert!(sleeps < 10, "{backend} woke up {sleeps} times");
        assert!(time < Duration::from_millis(50), "{backend} used {time:?} of the processor");
        (&theirs).write_all(b"plain").unwrap();
        assert!(waiting.wait_one(1).is_readable());
    }
}

/// mio#933, tokio#449.
#[test]
fn a_half_closed_connection_is_writable_and_silent_when_there_is_no_room() {
    for backend in backends() {
        let mut waiting = Waiting::with(backend);
        let (mut ours, mut theirs) = pair();
        theirs.shutdown(Shutdown::Write).unwrap();
        waiting.level(&mut ours, 1, WRITABLE);
        let event = waiting.wait_one(1);
        assert!(event.is_writable() && !event.is_write_closed() && !event.is_read_closed());
        fill(&mut ours);
        waiting.assert_silent();
        assert!(drain(&mut theirs) > 0, "nothing was lost");
        assert!(!waiting.wait_one(1).is_write_closed());
    }
}

/// mio#1614, polling and smol#109: a timeout below a millisecond that became zero made 50 000 waits in a second.
#[test]
fn a_timeout_below_a_millisecond_does_not_spin() {
    for backend in backends() {
        let mut waiting = Waiting::with(backend);
        let (start, mut waits) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_millis(20) {
            waiting.wait_for(Duration::from_micros(500));
            waits += 1;
        }
        assert!(waits <= 40, "{backend}: {waits} waits");
    }
}

/// calloop#142: zero stays zero; and mio#1541, smol#81: a wait need not last a whole millisecond.
#[test]
fn a_timeout_is_not_stretched_to_whole_milliseconds() {
    for backend in backends() {
        let mut waiting = Waiting::with(backend);
        for timeout in [Duration::ZERO, Duration::from_micros(50)] {
            // Others may hold the processor for longer, but not every time. (Or before it begins, so that nothing is left.)
            eventually(&format!("waits of {timeout:?} below 700 µs with {backend}"), || {
                let is_short = |_: &i32| {
                    let start = Instant::now();
                    let result = waiting.poll.poll(&mut waiting.events, Some(timeout));
                    result.is_ok() && start.elapsed() < Duration::from_micros(700)
                };
                (0..10).filter(is_short).count() > 5
            });
        }
    }
}

/// mio#742: who retries with the full timeout after each signal never ends, so the retrying is left to who knows the deadline.
#[test]
fn a_signal_is_told_as_interrupted() {
    for backend in backends() {
        let mut poll = Poll::with_backend(backend).unwrap();
        let mut events = Events::with_capacity(8);
        let (signal, over) = (interrupting_signal(), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&over);
        let thread = thread::spawn(move || {
            // For so long that a defect shows, and not for ever.
            let start = Instant::now();
            while !seen.load(Ordering::SeqCst) && start.elapsed() < Duration::from_secs(3) {
                signal();
                thread::sleep(Duration::from_millis(1)); // the first may come before the wait
            }
        });
        let result = poll.poll(&mut events, Some(Duration::from_secs(4)));
        over.store(true, Ordering::SeqCst);
        thread.join().unwrap();
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Interrupted, "{backend}");
        assert!(events.is_empty());
        let next = poll.poll(&mut events, Some(Duration::ZERO));
        assert!(next.is_ok() && events.is_empty(), "nothing is left behind");
    }
}

/// The same for a single signal, and a wait that takes something new to the kernel.
#[cfg(has_epoll)]
#[test]
fn a_signal_during_a_wait_that_submits_is_told() {
    for backend in backends() {
        let mut poll = Poll::with_backend(backend).unwrap();
        let mut events = Events::with_capacity(8);
        for _ in 0..20 {
            let (near, _far) = raw_pair();
            poll.registry().register(&mut SourceFd(&near.as_raw_fd()), Token(1), READABLE).unwrap();
            let signal = interrupting_signal();
            // SAFETY: takes no pointers.
            let waiting = format!("/proc/self/task/{}/syscall", unsafe { libc::gettid() });
            let thread = thread::spawn(move || {
                eventually("a wait", || {
                    let call = std::fs::read_to_string(&waiting).unwrap();
                    let number = call.split(' ').next().and_then(|number| number.parse().ok());
                    number.is_some_and(|number| WAITS.contains(&number))
                });
                signal();
            });
            let result = poll.poll(&mut events, Some(Duration::from_secs(20)));
            thread.join().unwrap();
            assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::Interrupted), "{backend}");
            poll.registry().deregister(&mut SourceFd(&near.as_raw_fd())).unwrap();
        }
    }
}

/// Every call that waits.
#[cfg(has_epoll)]
const WAITS: &[libc::c_long] = &[
    libc::SYS_pselect6,
    libc::SYS_ppoll,
    #[cfg(target_arch = "x86_64")] // younger processors never had these two
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_io_uring_enter,
];

/// mio#1948.
#[test]
fn a_timeout_beyond_24_days_does_not_overflow() {
    for backend in backends() {
        let mut waiting = Waiting::with(backend);
        let waker = Arc::new(Waker::new(waiting.registry(), Token(9)).unwrap());
        for seconds in [1 << 22, 1 << 31, 1 << 33, u64::MAX] {
            let other = Arc::clone(&waker);
            let thread = thread::spawn(move || other.wake().unwrap());
            assert_eq!(waiting.wait_for(Duration::from_secs(seconds)).len(), 1);
            thread.join().unwrap();
        }
    }
}

/// flux#67.
#[test]
fn a_small_buffer_does_not_starve_the_quiet() {
    for backend in backends() {
        let mut waiting = Waiting::with(backend);
        waiting.events = Events::with_capacity(1);
        let mut pairs: Vec<_> = (0..50).map(|_| pair()).collect();
        for (token, (ours, _)) in pairs.iter_mut().enumerate() {
            waiting.level(ours, token, WRITABLE); // busy without end
        }
        let (mut heard, mut waits) = (HashSet::new(), 0);
        while heard.len() < pairs.len() {
            heard.extend(waiting.wait().iter().map(|event| event.token()));
            waits += 1;
        }
        assert!(waits <= 7, "{backend}: {waits} waits"); // 1 + 2 + 4 + … + 64
    }
}

/// mio#1942.
#[test]
fn writable_is_not_connected() {
    for backend in backends() {
        let mut waiting = Waiting::with(backend);
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut stream = TcpStream::connect(nobody).unwrap();
        waiting.edge(&mut stream, 1, WRITABLE);
        assert!(waiting.wait_one(1).is_writable());
        assert!(stream.take_error().unwrap().is_some());
        assert_eq!(stream.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    }
}

/// tokio-file-unix#2.
#[test]
fn a_regular_file_is_not_refused() {
    for backend in backends() {
        let mut waiting = Waiting::with(backend);
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        waiting.level(&mut SourceFd(&file.as_raw_fd()), 1, READABLE);
        waiting.wait_one(1);
        waiting.wait_one(1);
    }
}

/// eventmachine#501: select smashed the stack.
#[test]
fn a_descriptor_beyond_1024_is_watched() {
    for backend in backends() {
        let mut waiting = Waiting::with(backend);
        let (near, mut far) = raw_pair();
        let high = duplicate_high(&near);
        assert!(high.as_raw_fd() > 1024);
        waiting.level(&mut SourceFd(&high.as_raw_fd()), 1, READABLE);
        waiting.assert_silent();
        far.write_all(b"simple").unwrap();
        waiting.wait_one(1);
        waiting.deregister(&mut SourceFd(&high.as_raw_fd()));
        waiting.assert_silent();
    }
}

/// libuv#4323. A token may be a pointer: a wait that tells of a source after it was deregistered is a use after free.
#[test]
fn no_wait_tells_of_what_was_deregistered_before_it_began() {
    for backend in backends() {
        tell_nothing_of_the_gone(backend, 1);
    }
}

/// The same where the thread that waits is now this one, now that one.
#[test]
fn no_wait_tells_of_what_was_deregistered_before_it_began_whoever_waits() {
    for backend in backends() {
        tell_nothing_of_the_gone(backend, 2);
    }
}

/// Threads register, deregister and close without pause, while others take turns in waiting.
fn tell_nothing_of_the_gone(backend: Backend, waiters: usize) {
    const OWNERS: usize = 3;
    const ROUNDS: usize = 200;
    let poll = Mutex::new(Waiting::with(backend));
    let registry = poll.lock().unwrap().registry().try_clone().unwrap();
    // Of each owner, how many of its sources are gone: tokens below that are nobody's. And how many were told.
    let gone: [AtomicUsize; OWNERS] = Default::default();
    let told: [AtomicUsize; OWNERS] = Default::default();
    // Every owner holds one more of it until it is done, or has panicked.
    let working = Arc::new(());
    let is_over = || Arc::strong_count(&working) == 1;
    thread::scope(|scope| {
        for owner in 0..OWNERS {
            let (registry, gone, told) = (&registry, &gone[owner], &told[owner]);
            let working = Arc::clone(&working);
            scope.spawn(move || {
                let _working = working;
                for round in 0..ROUNDS {
                    let (mut ours, mut theirs) = pair();
                    let (token, trigger) = (Token(round * OWNERS + owner), TRIGGERS[round / 4 % 3]);
                    registry.register_with(&mut ours, token, READABLE, trigger).unwrap();
                    if round % 2 == 0 {
                        theirs.write_all(b"simple").unwrap();
                    }
                    if round % 4 == 0 {
                        eventually("a new source is heard", || told.load(Ordering::SeqCst) > round);
                    }
                    registry.deregister(&mut ours).unwrap();
                    gone.store(round + 1, Ordering::SeqCst);
                    drop(ours);
                    let end = theirs.read(&mut [0; 1]);
                    let would_block = |error: &Error| error.kind() == ErrorKind::WouldBlock;
                    assert!(!end.as_ref().is_err_and(would_block), "{backend}: it is closed, and open");
                }
            });
        }
        for _ in 0..waiters {
            scope.spawn(|| {
                while !is_over() {
                    let mut waiting = poll.lock().unwrap();
                    let gone: Vec<_> = gone.iter().map(|gone| gone.load(Ordering::SeqCst)).collect();
                    for event in waiting.wait_for(Duration::from_millis(2)) {
                        let (owner, round) = (event.token().0 % OWNERS, event.token().0 / OWNERS);
                        assert!(round >= gone[owner], "{backend}: {event:?}, but {} are gone", gone[owner]);
                        told[owner].fetch_max(round + 1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
}
