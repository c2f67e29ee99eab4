//! Against servers that answer wrongly, or not at all: each failure is counted as what it is, and nothing else is.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use serde_json::Value;
use zen_server::services::bytes::Content;
use zen_tests::{Ran, on_every_backend};

use super::{load, outcome, port_where_nobody_listens};

const BYTES: usize = 1000;

on_every_backend! {
    fn one_wrong_byte_is_found(backend) {
        let (json, ran) = third_is_answered_by(backend, |stream| {
            let mut wrong = content(BYTES);
            wrong[BYTES - 1] ^= 1;
            let _ = stream.write_all(&wrong);
        });
        assert_failed(&json, &ran, "wrong_answer", "answered wrongly; the first: byte 999 of an answer is ");
    }

    fn one_byte_too_few_is_found(backend) {
        let (json, ran) = third_is_answered_by(backend, |stream| {
            let _ = stream.write_all(&content(BYTES - 1));
        });
        assert_failed(&json, &ran, "closed_early", "hung up with 999 of 1000 bytes of an answer here");
    }

    fn one_byte_too_many_is_found(backend) {
        let (json, ran) = third_is_answered_by(backend, |stream| {
            let _ = stream.write_all(&content(BYTES + 1));
        });
        assert_failed(&json, &ran, "wrong_answer", "more came than was asked for");
    }

    fn a_byte_that_comes_when_everything_was_said_is_found(backend) {
        let (json, ran) = third_is_answered_by(backend, |stream| {
            let _ = stream.write_all(&content(BYTES));
            let _ = stream.read_to_end(&mut Vec::new()); // until the client said that it has everything
            let _ = stream.write_all(b"!");
        });
        assert_failed(&json, &ran, "wrong_answer", "more came than was asked for: \"!\"");
    }

    fn an_error_message_is_shown(backend) {
        let (json, ran) = third_is_answered_by(backend, |stream| {
            let _ = stream.write_all(b"Error: at most 10 bytes.\x1b[2J\n");
        });
        assert_failed(&json, &ran, "wrong_answer", "\"Error: at most 10 bytes.\\x1b[2J\\n\"");
    }

    fn a_reset_is_one(backend) {
        let (json, ran) = answered_by(backend, &["-t", "3"], |place, stream| {
            if place < 2 {
                return answer(stream);
            }
            // Closing a socket with unread bytes in it sends one.
            stream.peek(&mut [0]).expect("a request comes");
        });
        assert_failed(&json, &ran, "reset", "reset by the peer");
    }

    fn silence_has_an_end(backend) {
        let arguments = ["-t", "1", "--timeout", "200ms"];
        let (json, ran) = answered_by(backend, &arguments, |_, stream| {
            let _ = stream.read_to_end(&mut Vec::new()); // until the client has had enough
        });
        assert_eq!((ran.code, &json["errors"]["timed_out"]), (Some(1), &Value::from(1)));
        assert!(ran.stderr.contains("the time was up with 0 of 1000 bytes"), "{}", ran.stderr);
    }

    fn without_reconnect_a_break_costs_one_request_and_the_rest_is_made(backend) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            (0..2).for_each(|_| answer(&mut stream));
            await_request(&mut stream);
            drop(stream);
            let (mut stream, _) = listener.accept().unwrap();
            (0..3).for_each(|_| answer(&mut stream));
        });
        let arguments = ["--service", "bytes", "-b", "1000", "-c", "1", "-t", "6", "--backend", backend];
        let (json, ran) = load(port, &arguments);
        server.join().unwrap();
        assert_eq!(outcome(&json), [6, 5, 1], "{json}");
        assert_eq!((&json["errors"]["closed_early"], &json["connections"]["connected"]), (&1.into(), &2.into()));
        assert!(ran.code == Some(1) && ran.stderr.contains("wants --reconnect"), "{}", ran.stderr);
    }

    fn nobody_listening_is_told_at_once(backend) {
        let (_listener, _stream, port) = port_where_nobody_listens();
        let arguments = ["--service", "echo", "-c", "4", "-t", "1000000", "--backend", backend];
        let (json, ran) = load(port, &arguments);
        assert_eq!(outcome(&json), [4_000_000, 0, 4]);
        assert_eq!((&json["errors"]["refused"], &json["gave_up"]), (&4.into(), &true.into()));
        assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{}", ran.stderr);
        assert!(ran.stderr.contains("4 of 4 requests failed: 4 refused; the first: "), "{}", ran.stderr);
        assert!(ran.stderr.contains("is the server running there?"), "{}", ran.stderr);
    }

    fn a_server_that_stops_for_good_is_given_up(backend) {
        let (json, ran) = answered_by(backend, &["--duration", "1h", "--timeout", "200ms"], |_, stream| answer(stream));
        assert_eq!((ran.code, &json["gave_up"], &json["requests"]["answered"]), (Some(1), &true.into(), &3.into()));
        assert!(json["errors"]["refused"].as_u64() > Some(0), "{json}");
    }
}

/// Loads a server, one connection after the other, that takes three of them and does this with each.
fn answered_by(
    backend: &str,
    arguments: &[&str],
    does: impl Fn(usize, &mut TcpStream) + Send + 'static,
) -> (Value, Ran) {
    let connections = if arguments.contains(&"1") { 1 } else { 3 };
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        for place in 0..connections {
            let (mut stream, _) = listener.accept().unwrap();
            does(place, &mut stream);
        }
    });
    let common = ["--service", "bytes", "--reconnect", "-c", "1", "-b", "1000", "--backend", backend];
    let result = load(port, &[&common, arguments].concat());
    server.join().unwrap();
    result
}

/// The same, where the first two of three connections are answered correctly.
fn third_is_answered_by(backend: &str, does: impl Fn(&mut TcpStream) + Send + 'static) -> (Value, Ran) {
    answered_by(backend, &["-t", "3"], move |place, stream| {
        if place < 2 {
            return answer(stream);
        }
        await_request(stream);
        does(stream);
    })
}

fn answer(stream: &mut TcpStream) {
    await_request(stream);
    stream.write_all(&content(BYTES)).unwrap();
}

fn await_request(stream: &mut TcpStream) {
    let mut request = [0; 5];
    stream.read_exact(&mut request).unwrap();
    assert_eq!(&request, b"1000\n");
}

fn content(length: usize) -> Vec<u8> {
    let mut content = vec![0; length];
    Content::new().fill(&mut content);
    content
}

/// Two of three requests were answered, the other failed in this way, and that is told in one line.
#[track_caller]
fn assert_failed(json: &Value, ran: &Ran, kind: &str, told: &str) {
    assert_eq!(outcome(json), [3, 2, 1], "{json}");
    assert_eq!(json["errors"][kind], 1, "{json}");
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{}", ran.stderr);
    assert!(ran.stderr.starts_with("zen-client: 1 of 3 requests failed: 1 "), "{}", ran.stderr);
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
}
