//! The kernel says no at inconvenient moments (strace injects it), and every question is answered all the same.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use zen_server::services::zen::APHORISMS;
use zen_tests::{
    Client, PATIENCE, Server, TemporaryPath, finish, is_installed, on_every_backend, program, wait_until,
};

/// Every way to wait for readiness; a kernel or a backend that lacks one is not disturbed by it (`?`).
const WAITS: &str = "?epoll_wait,?epoll_pwait,?epoll_pwait2,?ppoll,?poll,?pselect6,?select,?io_uring_enter";

on_every_backend! {
    fn an_interrupted_call_is_made_again(backend) {
        for calls in [WAITS, "recvfrom", "sendto", "accept4"] {
            answers_despite(backend, calls, "EINTR", "2+2");
        }
    }

    fn an_aborted_connection_is_not_the_end_of_the_listener(backend) {
        for error in ["ECONNABORTED", "EPROTO", "EPERM", "ENETDOWN"] {
            answers_despite(backend, "accept4", error, "1+2");
        }
    }

    fn a_lack_of_descriptors_or_memory_passes(backend) {
        for error in ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] {
            answers_despite(backend, "accept4", error, "2+3");
        }
    }

    fn a_lack_of_buffers_for_sending_passes(backend) {
        answers_despite(backend, "sendto", "ENOBUFS", "2+3");
    }

    fn would_block_although_it_would_not_loses_nothing(backend) {
        for calls in ["recvfrom", "sendto", "accept4"] {
            answers_despite(backend, calls, "EAGAIN", "2+3");
        }
    }

    fn the_client_is_as_patient_as_the_server(backend) {
        if !is_installed("strace") {
            return;
        }
        let server = Server::start(&[]);
        for (calls, error) in [(WAITS, "EINTR"), ("recvfrom", "EINTR"), ("sendto", "EINTR"), ("sendto", "ENOBUFS")] {
            let record = TemporaryPath::new();
            let inject = format!("inject={calls}:error={error}:when=1+2");
            let mut strace = Command::new("strace");
            strace.args(["-f", "-q", "-o", record.text(), "-e", &inject]).arg(program("zen-client"));
            strace.args(["--backend", backend, "-p", &server.port()]).stdin(Stdio::null());
            let ran = finish(strace);
            assert_eq!((ran.code, ran.stdout.lines().count()), (Some(0), 3), "{inject}: {}", ran.stderr);
            assert!(std::fs::read_to_string(record).unwrap().contains("(INJECTED)"), "{inject}");
        }
    }
}

/// The ring has no memory, or no room, or lost what completed.
#[test]
fn a_ring_in_distress_loses_nothing() {
    if zen_tests::is_available("io-uring") {
        for error in ["EAGAIN", "EBUSY", "ENOMEM", "ENOBUFS", "EBADR"] {
            answers_despite("io-uring", "io_uring_enter", error, "3+4");
        }
    }
}

/// What one question costs with a ring: one call to wait for it, one to receive it, one to answer.
#[test]
fn a_ring_is_entered_once_for_each_wait() {
    const QUESTIONS: usize = 300;
    if !is_installed("strace") || !zen_tests::is_available("io-uring") {
        return;
    }
    let record = TemporaryPath::new();
    let calls = format!("trace={WAITS},?epoll_ctl,recvfrom,sendto");
    let server =
        Server::traced(&["-f", "-q", "-o", record.text(), "-e", &calls], &["--backend", "io-uring", "-q"]);
    let mut client = server.connect();
    for _ in 0..QUESTIONS {
        assert_eq!(client.ask(APHORISMS[2].0), APHORISMS[2].1);
    }
    drop((client, server));
    let record = std::fs::read_to_string(record).expect("strace wrote it");
    let count = |call: &str| record.lines().filter(|line| line.contains(&format!(" {call}("))).count();
    for call in ["io_uring_enter", "recvfrom", "sendto"] {
        let times = count(call);
        assert!((QUESTIONS..QUESTIONS + 20).contains(&times), "{times} times {call}");
    }
    let others = ["ppoll", "poll", "epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl"].map(count);
    assert!(others.iter().sum::<usize>() < 10, "{others:?}");
}

/// Where the kernel or a sandbox forbids rings, who asks for one is told so and what to do, and nobody else notices.
#[test]
fn programs_say_where_io_uring_is_forbidden() {
    if !is_installed("strace") {
        return;
    }
    for (name, arguments) in [("zen-server", ["-p", "0"]), ("zen-client", ["-e", "complex"])] {
        for error in ["EPERM", "ENOSYS"] {
            let inject = format!("inject=io_uring_setup:error={error}");
            let mut strace = Command::new("strace");
            strace.args(["-f", "-q", "-o", "/dev/null", "-e", &inject]).arg(program(name));
            strace
                .args(arguments)
                .args(["--backend", "io-uring"])
                .env_remove("REACTOR_BACKEND")
                .stdin(Stdio::null());
            let ran = finish(strace);
            assert_eq!(ran.code, Some(2), "{}", ran.stderr);
            for part in ["io-uring is forbidden here", "choose another backend", "epoll"] {
                assert!(ran.stderr.contains(part), "{:?} does not say {part:?}", ran.stderr);
            }
        }
    }
}

/// Has clients ask while these calls fail this way: `when` is strace's FIRST+STEP.
#[track_caller]
fn answers_despite(backend: &str, calls: &str, error: &str, when: &str) {
    if !is_installed("strace") {
        return;
    }
    let inject = format!("inject={calls}:error={error}:when={when}");
    let trace = format!("trace={calls}");
    let record = TemporaryPath::new();
    let tracing = ["-f", "-q", "-o", record.text(), "-e", &trace, "-e", &inject];
    let server = Server::traced(&tracing, &["--backend", backend, "-q"]);
    for _ in 0..6 {
        ask_everything(&server, &inject);
    }
    drop(server);
    let record = std::fs::read_to_string(record).expect("strace wrote it");
    assert!(record.contains("(INJECTED)"), "{backend} was not disturbed by {inject}");
}

/// Asks each question a few times on one connection. A server short of descriptors may hang up on a newcomer; then it asks
/// again on another one.
#[track_caller]
fn ask_everything(server: &Server, inject: &str) {
    wait_until(inject, || {
        let mut client = server.connect();
        (0..3).all(|_| APHORISMS.iter().all(|(question, answer)| is_answered(&mut client, question, answer)))
    });
}

/// Asks and checks the answer; `false` if the server hung up.
#[track_caller]
fn is_answered(client: &mut Client<TcpStream>, question: &str, answer: &str) -> bool {
    // The kernel tells of each arrival once. If it then said "there is nothing" although there was, it says no more until
    // something else arrives; so this client sends its question in pieces, and a little more whenever it has to wait.
    client.0.set_nodelay(true).expect("TCP");
    let _ = (client.0.write_all(&question.as_bytes()[..5]), client.0.write_all(&question.as_bytes()[5..]));
    client.0.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout can be set");
    let mut heard = Vec::new();
    let mut nudges = 0;
    let started = std::time::Instant::now();
    while heard.iter().filter(|&&byte| byte == b'.').count() <= nudges {
        assert!(started.elapsed() < PATIENCE, "no answer to {question:?}, only {heard:?}");
        let mut buffer = [0; 256];
        match client.0.read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => heard.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                nudges += usize::from(client.0.write_all(b"?").is_ok());
            }
            Err(_) => return false,
        }
    }
    let expected = answer.to_owned() + &"Error: unknown aphorism.".repeat(nudges);
    assert_eq!(String::from_utf8_lossy(&heard), expected);
    true
}
