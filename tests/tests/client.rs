//! `zen-client` against good servers, bad ones, and none.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;

use zen_tests::{Process, Ran, Server, TemporaryPath, assert_one_line, command, on_every_backend, run};

on_every_backend! {
    fn the_three_questions_are_asked_and_answered(backend) {
        let server = Server::start(&["--backend", backend]);
        let ran = run("zen-client", &["-p", &server.port(), "--backend", backend]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        let expected = [
            "Beautiful is better than? Ugly.",
            "Explicit is better than? Implicit.",
            "Simple is better than? Complex.",
        ];
        assert_eq!(ran.stdout.lines().collect::<BTreeSet<_>>(), BTreeSet::from(expected));
        assert_eq!(ran.stdout.lines().count(), 3);
        server.wait_for_log("closed normally", 1);
    }

    fn a_question_without_its_mark_is_the_error_case(backend) {
        let server = Server::start(&["--backend", backend]);
        let ran = run("zen-client", &["-p", &server.port(), "--backend", backend, "-e"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        server.wait_for_log("bytes but then closed", 1);
    }

    fn nobody_listening_is_told_in_one_line(backend) {
        let (_listener, _stream, port) = port_where_nobody_listens();
        let ran = run("zen-client", &["-p", &port, "--backend", backend]);
        assert_one_line(&ran, 1, &[&format!("cannot connect to 127.0.0.1:{port}"), "refused", "is zen-server running"]);
    }

    fn a_server_that_says_nothing_is_given_up(backend) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = port_of(&listener);
        let ran = run("zen-client", &["ask", "Why?", "-p", &port, "--backend", backend, "--timeout", "100ms"]);
        assert_one_line(&ran, 1, &["no answer to \"Why?\" within 100ms"]);
    }

    fn a_server_that_closes_early_is_told_in_one_line(backend) {
        let said = "closed before it answered \"Why?\"";
        assert_one_line(&ask_one_that(backend, |_| ()), 1, &[said]);
        let half = ask_one_that(backend, |stream| stream.write_all(b"Error: unkn").unwrap());
        assert_one_line(&half, 1, &[said, "all that came is \"Error: unkn\""]);
    }

    fn what_is_no_zen_server_is_recognised(backend) {
        let http = ask_one_that(backend, |stream| {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            let _ = stream.read(&mut [0]);
        });
        assert_one_line(&http, 1, &["no zen server", "HTTP/1.1 400"]);
        let endless = ask_one_that(backend, |stream| while stream.write_all(&[b'x'; 1000]).is_ok() {});
        assert_one_line(&endless, 1, &["no zen server", "xxx"]);
    }
}

#[test]
fn own_questions_are_asked_in_order() {
    let server = Server::start(&["localhost"]);
    let port = server.port();
    let ran = run("zen-client", &["ask", "localhost", "Why?", "Simple is better than?", "-p", &port]);
    assert_eq!(ran.stdout, "Why? Error: unknown aphorism.\nSimple is better than? Complex.\n");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn json_is_one_object_per_answer() {
    let server = Server::start(&[]);
    let ran = run(
        "zen-client",
        &["ask", "\"Quoted\\\"?", "Simple is better than?", "--json", "-p", &server.port()],
    );
    let objects: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        objects[0],
        serde_json::json!({"question": "\"Quoted\\\"?", "answer": "Error: unknown aphorism."})
    );
    assert_eq!(
        ran.stdout.lines().nth(1),
        Some(r#"{"question":"Simple is better than?","answer":"Complex."}"#)
    );
}

#[test]
fn a_unix_socket_is_asked_the_same() {
    let path = TemporaryPath::new();
    let _server = Server::start(&["--unix", path.text()]);
    let ran = run("zen-client", &["--unix", path.text(), "ask", "Simple is better than?"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "Simple is better than? Complex.\n"));
    let ran = run("zen-client", &["--unix", "/no/such/socket"]);
    assert_one_line(&ran, 1, &["/no/such/socket", "No such file", "is zen-server running"]);
}

#[test]
fn a_name_is_tried_at_all_its_addresses() {
    // localhost may be ::1 first, where nobody listens.
    let server = Server::start(&[]);
    let ran = run("zen-client", &["localhost", "-p", &server.port()]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (Some(0), 3), "{}", ran.stderr);
}

#[test]
fn a_mistake_on_the_command_line_is_told_in_one_line() {
    let cases: [(&[&str], &[&str]); 12] = [
        (&["--backend", "eppol"], &["\"eppol\"", "available: auto, select, poll, epoll"]),
        (&["-p", "0"], &["'0'", "1..=65535"]),
        (&["--timeout", "5"], &["5 of what?", "like 250ms"]),
        (&["localhost", "Why?"], &["\"Why?\" is too much", "behind 'ask'"]),
        (&["ask"], &["QUESTION"]),
        (&["ask", "Why"], &["\"Why\" is no question", "'?'"]),
        (&["ask", "Simple", "is", "better", "than?"], &["\"is\" is no question", "quotes"]),
        (&["ask", "Why? How?"], &["more than one '?'"]),
        (&["--unix", "/run/zen", "-p", "1060"], &["one server at a time"]),
        (&["--jason"], &["--jason", "'--json'"]),
        (&["-e", "ask", "Why?"], &["-e has a question of its own"]),
        (&["--completions", "cmd"], &["'cmd'", "bash"]),
    ];
    for (arguments, said) in cases {
        assert_one_line(&run("zen-client", arguments), 2, said);
    }
}

#[test]
fn an_unknown_host_is_told_in_one_line() {
    assert_one_line(
        &run("zen-client", &["no-such-host.invalid"]),
        1,
        &["unknown host \"no-such-host.invalid\""],
    );
    assert_one_line(&run("zen-client", &["localhost:1060"]), 1, &["localhost -p 1060"]);
}

#[test]
fn answers_that_cannot_be_written_are_a_failure() {
    let server = Server::start(&[]);
    let port = server.port();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut process =
        Process::start(command("zen-client", &["-p", &port]).stdout(full).stderr(Stdio::piped()));
    let mut said = String::new();
    process.stderr().read_to_string(&mut said).unwrap();
    assert_eq!(process.wait().code(), Some(1));
    assert!(said.contains("cannot write to standard output") && said.lines().count() == 1, "{said}");
    let mut process =
        Process::start(command("zen-client", &["-p", &port]).stdout(Stdio::piped()).stderr(Stdio::piped()));
    drop(process.stdout());
    let mut said = String::new();
    process.stderr().read_to_string(&mut said).unwrap();
    process.wait();
    assert_eq!(said, "", "whoever closed the pipe knows");
}

/// Asks a server that takes one connection, reads the question, does this, and closes.
fn ask_one_that(backend: &str, does: impl FnOnce(&mut TcpStream) + Send + 'static) -> Ran {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = port_of(&listener);
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        does(&mut stream);
    });
    let ran = run("zen-client", &["ask", "Why?", "-p", &port, "--backend", backend]);
    server.join().unwrap();
    ran
}

fn port_of(listener: &TcpListener) -> String {
    listener.local_addr().unwrap().port().to_string()
}

/// A connection, and the port of the end that connected: nobody listens there, and nobody can while this lives.
fn port_where_nobody_listens() -> (TcpListener, TcpStream, String) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let port = stream.local_addr().unwrap().port().to_string();
    (listener, stream, port)
}
