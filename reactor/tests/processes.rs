//! What belongs to a whole process (its descriptors, its environment, its children) is tested in a process of its own, on every
//! backend.

#[path = "event_loop/bench.rs"]
mod bench;
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reactor::event_loop::Reactor;
use reactor::unix::pipe::{Receiver, Sender};
use reactor::{Backend, Token};

use support::{READABLE, WRITABLE, Waiting};

use bench::{Bench, Script, is_over, millis, null_device, read_some};

const ROLE: &str = "EVENT_LOOP_TEST_ALONE";

/// Runs `body` in a process in which nothing else runs: this executable again, told to run the test of this name only.
fn alone(name: &str, backend: Backend, environment: &[(&str, &str)], body: impl FnOnce()) {
    alone_as(&format!("{}::{name}", backend.name().replace('-', "_")), environment, body);
}

/// The same for the test with this path.
fn alone_as(path: &str, environment: &[(&str, &str)], body: impl FnOnce()) {
    if std::env::var(ROLE).is_ok_and(|role| role == path) {
        return body();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", path, "--nocapture", "--test-threads=1"])
        .env(ROLE, path)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn descriptors() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

/// Lowers the limit so far that so many more can be opened: the limit as it was.
fn leave_descriptors(free: usize) -> libc::rlim_t {
    let open = descriptors();
    let taken_below = |limit: i32| open.iter().filter(|&&fd| fd < limit).count();
    let most = (0..).find(|&limit| limit as usize - taken_below(limit) == free).unwrap();
    limit_descriptors(most as libc::rlim_t)
}

fn limit_descriptors(most: libc::rlim_t) -> libc::rlim_t {
    // SAFETY: `limit` is a local that outlives both calls.
    unsafe {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        let before = std::mem::replace(&mut limit.rlim_cur, most);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        before
    }
}

fn when_descriptors_run_out_the_listener_sheds_one_and_rests(backend: Backend) {
    alone("when_descriptors_run_out_the_listener_sheds_one_and_rests", backend, &[], || {
        let mut bench = Bench::new(backend);
        let diary = bench.diary.clone();
        let address = bench.listen(move || Script::echo(&diary));
        let mut peers: Vec<_> = (0..20)
            .map(|_| {
                let peer = TcpStream::connect(address).unwrap();
                peer.set_nonblocking(true).unwrap();
                Some(peer)
            })
            .collect();
        leave_descriptors(5);
        bench.turn();
        let counters = *bench.reactor.counters();
        assert!(counters.accepted < 20 && counters.shed == 1, "{counters:?}");
        let notice = bench.diary.find("notice: cannot accept at 127.0.0.1:").unwrap();
        assert!(notice.contains("Too many open files") && notice.contains("trying again in"), "{notice}");
        // It rests: no events, turn after turn, although somebody waits.
        bench.turn();
        let events = bench.reactor.counters().events;
        (0..20).for_each(|_| bench.turn());
        assert_eq!(bench.reactor.counters().events, events);
        // Those who leave make room for others: each is answered in the end, or was shed.
        let (mut answered, mut shed) = (0, 0);
        bench.until("all are served", |_| {
            for place in &mut peers {
                let Some(peer) = place else { continue };
                let _ = peer.write(b"?");
                let mut answer = [0; 16];
                match read_some(peer, &mut answer) {
                    Ok(0) if is_over(peer) => shed += 1,
                    Ok(0) => continue,
                    Ok(_) => answered += 1,
                    Err(_) => shed += 1,
                }
                *place = None;
                break;
            }
            peers.iter().all(Option::is_none)
        });
        assert_eq!((answered + shed, shed), (20, bench.reactor.counters().shed));
        assert!(answered >= 10, "{answered} of 20");
        let notices = bench.diary.lines().iter().filter(|line| line.starts_with("notice")).count();
        assert!(notices as u64 <= shed, "told once until it works again");
    });
}

/// accept(2) says that there is no descriptor before it looks whether anybody waits.
fn the_last_free_descriptor_is_no_reason_to_rest(backend: Backend) {
    alone("the_last_free_descriptor_is_no_reason_to_rest", backend, &[], || {
        let mut bench = Bench::new(backend);
        let diary = bench.diary.clone();
        let address = bench.listen(move || Script::echo(&diary));
        let peers = [(); 3].map(|()| TcpStream::connect(address).unwrap());
        let before = leave_descriptors(peers.len() - 1); // and the one that was open to count them
        bench.turn();
        assert!(std::fs::File::open("/dev/null").is_err(), "one is left");
        limit_descriptors(before);
        let counters = bench.reactor.counters();
        assert_eq!((counters.accepted, counters.shed), (3, 0), "{counters:?}");
        assert_eq!(bench.diary.find("notice"), None);
    });
}

fn a_thousand_connections_leak_no_descriptor(backend: Backend) {
    alone("a_thousand_connections_leak_no_descriptor", backend, &[], || {
        let mut bench = Bench::new(backend);
        let diary = bench.diary.clone();
        let address = bench.listen(move || Script::echo(&diary));
        let mut before = 0;
        for round in 0..1010 {
            let mut peer = TcpStream::connect(address).unwrap();
            peer.set_nonblocking(true).unwrap();
            assert_eq!(bench.ask(&mut peer, "?", 1), "?");
            if round % 3 == 0 {
                support::reset_on_close(&peer);
            }
            drop(peer);
            if round % 5 == 0 {
                let _ = bench.reactor.connect(address, bench.script().opened(|cx| cx.abort()));
                let _ = bench.reactor.adopt(null_device(), bench.script());
                bench.reactor.spawner().connect(std::path::Path::new("/nowhere"), bench.script());
            }
            bench.until_empty();
            bench.diary.take();
            if round == 10 {
                before = descriptors().len();
            }
        }
        assert_eq!(descriptors().len(), before);
        let counters = bench.reactor.counters();
        assert_eq!(counters.closed, counters.accepted + counters.opened);
    });
}

fn a_loop_gives_its_descriptors_back(backend: Backend) {
    alone("a_loop_gives_its_descriptors_back", backend, &[], || {
        let before = descriptors();
        for _ in 0..3 {
            let mut bench = Bench::new(backend);
            let script = bench.echo().opened(|cx| {
                cx.start_timer(millis(1));
            });
            let (_, _peer) = bench.pair(script);
            let diary = bench.diary.clone();
            bench.listen(move || Script::echo(&diary));
            bench.until_noted("timer");
        }
        assert_eq!(descriptors(), before);
    });
}

fn the_environment_chooses_the_backend(backend: Backend) {
    let name = backend.to_string();
    let test = "the_environment_chooses_the_backend";
    alone(test, backend, &[("REACTOR_BACKEND", &name)], || {
        assert_eq!(Reactor::<Script>::builder().build().unwrap().backend(), backend);
        assert_eq!(Reactor::<Script>::builder().backend(Backend::Auto).build().unwrap().backend(), backend);
        let asked = Reactor::<Script>::builder().backend(Backend::Poll).build().unwrap().backend();
        assert_eq!(asked, Backend::Poll, "who names one gets it");
    });
}

fn an_unknown_backend_in_the_environment_is_an_error_that_lists_the_known(backend: Backend) {
    let test = "an_unknown_backend_in_the_environment_is_an_error_that_lists_the_known";
    alone(test, backend, &[("REACTOR_BACKEND", "epol")], || {
        let error = Reactor::<Script>::builder().build().unwrap_err().to_string();
        assert!(error.contains("\"epol\""), "{error}");
        for backend in Backend::available() {
            assert!(error.contains(backend.name()), "{error} does not list {backend}");
        }
        Reactor::<Script>::builder().backend(backend).build().unwrap();
    });
}

/// A loop built after fork(2) shares nothing with its parent's; the parent's goes on undisturbed.
fn loops_built_after_a_fork_do_not_disturb_each_other(backend: Backend) {
    alone("loops_built_after_a_fork_do_not_disturb_each_other", backend, &[], || {
        let mut parents = Bench::new(backend);
        let script = parents.echo();
        let (_, mut peer) = parents.pair(script);
        assert_eq!(parents.ask(&mut peer, "before", 6), "before");
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        // SAFETY: the child has this thread only, and leaves with `_exit` without running anything else of its parent's.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            drop(theirs);
            let talk = std::panic::catch_unwind(move || {
                let mut bench = Bench::new(backend);
                bench.reactor.adopt(ours, bench.echo()).unwrap();
                bench.until_empty();
            });
            // SAFETY: takes no pointers and does not return.
            unsafe { libc::_exit(i32::from(talk.is_err())) };
        }
        drop(ours);
        theirs.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        theirs.write_all(b"hello, child").unwrap();
        let mut answer = [0; 12];
        theirs.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello, child");
        assert_eq!(parents.ask(&mut peer, "meanwhile", 9), "meanwhile");
        drop(theirs);
        let mut status = 0;
        // SAFETY: `status` is a local that outlives the call.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
        assert_eq!(parents.ask(&mut peer, "after", 5), "after");
    });
}

fn a_child_process_talks_through_pipes(backend: Backend) {
    alone("a_child_process_talks_through_pipes", backend, &[], || {
        let mut waiting = Waiting::with(backend);
        let mut child = Command::new("sh")
            .args(["-c", "read line; echo \"$line\"; echo complaint >&2"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = Sender::from(child.stdin.take().unwrap());
        let mut output = Receiver::from(child.stdout.take().unwrap());
        let mut complaints = Receiver::from(child.stderr.take().unwrap());
        input.set_nonblocking(true).unwrap();
        for receiver in [&output, &complaints] {
            receiver.set_nonblocking(true).unwrap();
        }
        waiting.edge(&mut input, 0, WRITABLE);
        waiting.edge(&mut output, 1, READABLE);
        waiting.edge(&mut complaints, 2, READABLE);
        waiting.wait_until(|event| event.token() == Token(0) && event.is_writable());
        input.write_all(b"beautiful\n").unwrap();
        let (mut said, mut ended) = ([String::new(), String::new()], [false, false]);
        while ended != [true, true] {
            for event in waiting.wait() {
                let Some(which) = event.token().0.checked_sub(1) else { continue };
                let receiver = [&mut output, &mut complaints].into_iter().nth(which).unwrap();
                match receiver.read_to_string(&mut said[which]) {
                    Ok(_) => ended[which] = true,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
        }
        assert_eq!(said, ["beautiful\n", "complaint\n"]);
        assert!(child.wait().unwrap().success());
        for source in [&mut output, &mut complaints] {
            waiting.deregister(source);
        }
    });
}

/// One `#[test]` for each name.
macro_rules! tests {
    ($backend:expr; $($test:ident),*) => {
        $(
            #[test]
            fn $test() {
                if super::support::is_available($backend) {
                    super::$test($backend);
                }
            }
        )*
    };
}

/// The suite: every test under the backend's name.
macro_rules! processes {
    ($name:ident, $backend:expr) => {
        mod $name {
            use super::Backend;
            tests! { $backend;
                when_descriptors_run_out_the_listener_sheds_one_and_rests,
                the_last_free_descriptor_is_no_reason_to_rest,
                a_thousand_connections_leak_no_descriptor,
                a_loop_gives_its_descriptors_back,
                the_environment_chooses_the_backend,
                an_unknown_backend_in_the_environment_is_an_error_that_lists_the_known,
                loops_built_after_a_fork_do_not_disturb_each_other,
                a_child_process_talks_through_pipes
            }
        }
    };
}

// A new backend is one more line.
processes!(select, Backend::Select);
processes!(poll, Backend::Poll);
#[cfg(has_epoll)]
processes!(epoll, Backend::Epoll);
#[cfg(has_kqueue)]
processes!(kqueue, Backend::Kqueue);
#[cfg(has_polling)]
processes!(polling, Backend::Polling);
#[cfg(has_io_uring)]
processes!(io_uring, Backend::IoUring);

/// epoll_pwait2(2) came with Linux 5.11: before, a wait is rounded up to milliseconds, and ends neither early nor never.
#[cfg(has_epoll)]
#[test]
fn where_epoll_knows_no_nanoseconds_a_wait_is_rounded_up() {
    alone_as("where_epoll_knows_no_nanoseconds_a_wait_is_rounded_up", &[], || {
        forbid(libc::SYS_epoll_pwait2, libc::ENOSYS);
        let mut waiting = Waiting::with(Backend::Epoll);
        let (mut ours, mut theirs) = support::pair();
        waiting.edge(&mut ours, 1, READABLE);
        for micros in [1, 500, 1500] {
            let (limit, start) = (Duration::from_micros(micros), Instant::now());
            waiting.poll.poll(&mut waiting.events, Some(limit)).unwrap();
            assert!(waiting.events.is_empty() && start.elapsed() >= limit);
        }
        theirs.write_all(b"simple").unwrap();
        assert_eq!(waiting.wait_for(Duration::from_secs(20) + Duration::from_micros(1)).len(), 1);
    });
}

/// From here on this system call fails with `error`, as in a sandbox or before it was known (seccomp(2)): in this thread and
/// those it starts.
#[cfg(has_epoll)]
fn forbid(call: libc::c_long, error: i32) {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let is_call = libc::sock_filter {
        jf: 1, // else: skip one
        ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, call as u32)
    };
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0), // the number of the call
        is_call,
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | error as u32),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: `program` and the filter it points to outlive the calls, and the kernel copies them.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program), 0);
    }
}

/// What is io_uring's alone.
#[cfg(has_io_uring)]
mod rings {
    use std::io::{ErrorKind, Write};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use reactor::event_loop::Reactor;
    use reactor::unix::SourceFd;
    use reactor::{Backend, Events, Poll, Token};

    use super::bench::Script;
    use super::{alone_as, forbid};
    use crate::support::{READABLE, Waiting, is_available, raw_pair};

    /// Every way to ask for a ring where there is none.
    fn refused() {
        let by_name = "io-uring".parse::<Backend>().unwrap_err().to_string();
        for part in
            ["io-uring is forbidden here", "sandbox", "choose another backend: auto, select, poll, epoll"]
        {
            assert!(by_name.contains(part), "{by_name:?} does not say {part:?}");
        }
        let by_value = Poll::with_backend(Backend::IoUring).unwrap_err();
        assert_eq!((by_value.kind(), by_value.to_string()), (ErrorKind::Unsupported, by_name.clone()));
        let inner = by_value.get_ref().and_then(|inner| inner.downcast_ref::<reactor::Error>());
        assert!(matches!(inner, Some(reactor::Error::Refused { name: "io-uring", .. })));
        let in_a_loop = Reactor::<Script>::builder().backend(Backend::IoUring).build().unwrap_err();
        assert_eq!(in_a_loop.to_string(), by_name);
        assert!(!Backend::available().contains(&Backend::IoUring));
        let unknown = "io".parse::<Backend>().unwrap_err().to_string();
        assert!(!unknown.contains("io-uring"), "{unknown}");
    }

    #[test]
    fn where_io_uring_is_forbidden_the_error_says_so() {
        let (path, environment) =
            ("rings::where_io_uring_is_forbidden_the_error_says_so", [("REACTOR_BACKEND", "io-uring")]);
        alone_as(path, &environment, || {
            forbid(libc::SYS_io_uring_setup, libc::EPERM);
            refused();
            let by_environment = Poll::new().unwrap_err().to_string();
            assert!(by_environment.contains("forbidden here"), "{by_environment}");
        });
    }

    #[test]
    fn where_io_uring_is_not_known_the_loop_does_without() {
        let path = "rings::where_io_uring_is_not_known_the_loop_does_without";
        alone_as(path, &[("REACTOR_BACKEND", "")], || {
            forbid(libc::SYS_io_uring_setup, libc::ENOSYS);
            assert_ne!(Poll::new().unwrap().backend(), Backend::IoUring);
            assert_ne!(Reactor::<Script>::builder().build().unwrap().backend(), Backend::IoUring);
            refused();
        });
    }

    #[test]
    fn a_lack_of_descriptors_is_not_taken_for_a_prohibition() {
        let path = "rings::a_lack_of_descriptors_is_not_taken_for_a_prohibition";
        alone_as(path, &[], || {
            if !is_available(Backend::IoUring) {
                return;
            }
            let before = super::leave_descriptors(0);
            let error = Poll::with_backend(Backend::IoUring).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
            assert!(Backend::available().contains(&Backend::IoUring));
            super::limit_descriptors(before); // the address sanitizer opens something at the end
        });
    }

    /// The child of a fork(2) sees its parent's queues, and must not touch them.
    #[test]
    fn a_child_that_inherited_a_ring_is_refused() {
        alone_as("rings::a_child_that_inherited_a_ring_is_refused", &[], || {
            if !is_available(Backend::IoUring) {
                return;
            }
            let mut waiting = Waiting::with(Backend::IoUring);
            let ((ours, mut theirs), (other, _other)) = (raw_pair(), raw_pair());
            waiting.edge(&mut SourceFd(&ours.as_raw_fd()), 1, READABLE);
            waiting.assert_silent();
            // SAFETY: the child has this thread only, and leaves with `_exit` without running anything else of its parent's.
            let child = unsafe { libc::fork() };
            assert!(child >= 0);
            if child == 0 {
                let refused = |result: std::io::Result<()>| {
                    result.is_err_and(|error| error.to_string().contains("before fork(2)"))
                };
                let registry = waiting.registry().try_clone().unwrap();
                let tried = [
                    refused(waiting.poll.poll(&mut Events::with_capacity(8), Some(Duration::ZERO))),
                    refused(registry.register(&mut SourceFd(&other.as_raw_fd()), Token(2), READABLE)),
                    refused(registry.reregister(&mut SourceFd(&ours.as_raw_fd()), Token(2), READABLE)),
                    refused(registry.deregister(&mut SourceFd(&ours.as_raw_fd()))),
                    Poll::with_backend(Backend::IoUring).is_ok(),
                ];
                drop((waiting, registry)); // does not end what the parent waits for
                // SAFETY: takes no pointers and does not return.
                unsafe { libc::_exit(tried.iter().filter(|is_so| !**is_so).count() as i32) };
            }
            let mut status = 0;
            // SAFETY: `status` is a local that outlives the call.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0);
            waiting.assert_silent();
            theirs.write_all(b"simple").unwrap();
            waiting.wait_one(1);
            waiting.deregister(&mut SourceFd(&ours.as_raw_fd()));
        });
    }
}
