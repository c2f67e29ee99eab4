//! Against servers that answer as they should: every count is exact.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use zen_tests::{
    Process, Ran, Server, TemporaryPath, command, on_every_backend, raise_descriptor_limit, run, wait_until,
};

use super::{load, number, outcome, results};

on_every_backend! {
    fn every_caller_asks_as_often_as_it_should(backend) {
        let mut server = Server::start(&["--backend", backend]);
        let arguments = ["--service", "zen", "-c", "15", "-t", "20", "--backend", backend];
        let (json, ran) = load(server.address().port(), &arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert_eq!(outcome(&json), [300, 300, 0]);
        assert_eq!(number(&json["connections"]["attempted"]), 15);
        assert_eq!(number(&json["bytes"]["received"]), 100 * ("Ugly.".len() + "Implicit.".len() + "Complex.".len()) as u64);
        assert_eq!(json["backend"], backend);
        server.signal("TERM");
        server.wait();
        server.wait_for_log("served 15 connections, 300 questions; 7100 bytes received, 2200 sent", 1);
    }

    fn with_reconnect_each_request_has_a_connection(backend) {
        let mut server = Server::start(&["--backend", backend, "-q"]);
        let arguments = ["--service", "zen", "--reconnect", "-c", "15", "-t", "20", "--backend", backend];
        let (json, ran) = load(server.address().port(), &arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert_eq!(outcome(&json), [300, 300, 0]);
        assert_eq!(number(&json["connections"]["connected"]), 300);
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
    }

    fn twenty_thousand_connections_are_made_and_answered(backend) {
        let server = Server::start(&["--service", "bytes", "--backend", backend, "-q"]);
        let arguments = ["--service", "bytes", "--reconnect", "-c", "15", "-t", "1334", "-b", "512", "--backend", backend];
        let (json, ran) = load(server.address().port(), &arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert_eq!(outcome(&json), [20_010, 20_010, 0]);
        assert_eq!(number(&json["bytes"]["received"]), 20_010 * 512);
    }

    fn bytes_and_echoes_are_verified_in_pipelines(backend) {
        for pipeline in ["1", "3"] {
            for bytes in ["1", "4096", "300000"] {
                let arguments = ["-c", "3", "-t", "7", "-b", bytes, "--pipeline", pipeline, "--backend", backend];
                let (server, size) = (Server::start(&["--service", "bytes", "--backend", backend, "-q"]), bytes.parse::<u64>().unwrap());
                let (json, ran) = load(server.address().port(), &[&["--service", "bytes"], &arguments[..]].concat());
                assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
                assert_eq!((outcome(&json), number(&json["bytes"]["received"])), ([21, 21, 0], 21 * size));
                let server = Server::start(&["--service", "echo", "--backend", backend, "-q"]);
                let (json, ran) = load(server.address().port(), &[&["--service", "echo"], &arguments[..]].concat());
                assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
                assert_eq!((outcome(&json), number(&json["bytes"]["received"])), ([21, 21, 0], 21 * size));
                assert_eq!(number(&json["bytes"]["sent"]), 21 * size);
            }
        }
    }

    fn a_unix_socket_is_loaded_the_same(backend) {
        let path = TemporaryPath::new();
        let _server = Server::start(&["--unix", path.text(), "-q"]);
        let ran = run("zen-client", &[
            "load", "--unix", path.text(), "--service", "zen", "--reconnect", "-c", "50", "-t", "20", "--json", "--backend", backend,
        ]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert_eq!(outcome(&results(&ran)), [1000, 1000, 0]);
    }
}

#[test]
fn time_bounds_a_load_without_a_count() {
    let server = Server::start(&["-q"]);
    let (json, ran) = load(server.address().port(), &["--service", "zen", "--duration", "200ms", "-c", "3"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(json["requests"]["planned"], serde_json::Value::Null);
    assert_eq!(number(&json["requests"]["unfinished"]), 0, "those under way may finish");
    assert!(number(&json["requests"]["answered"]) > 0 && json["seconds"].as_f64().unwrap() >= 0.2, "{json}");
}

#[test]
fn of_count_and_time_the_first_ends_it() {
    let server = Server::start(&["-q"]);
    let (json, _) =
        load(server.address().port(), &["--service", "zen", "--duration", "1h", "-c", "3", "-t", "5"]);
    assert_eq!(outcome(&json), [15, 15, 0]);
}

/// connect(2), EAGAIN: over a Unix socket a full backlog does not wait by itself.
#[test]
fn a_full_backlog_is_waited_for() {
    let places =
        fs::read_to_string("/proc/sys/net/core/somaxconn").expect("Linux says how long a backlog is");
    let places: usize = places.trim().parse().expect("a number");
    let callers = places + 500;
    if !raise_descriptor_limit(callers as u64 + 200) {
        return;
    }
    let path = TemporaryPath::new();
    let listener = UnixListener::bind(&path).unwrap();
    let number = callers.to_string();
    let arguments = ["load", "--unix", path.text(), "--service", "zen", "-t", "1", "-c", &number, "--json"];
    let mut process = Process::start(command("zen-client", &arguments).stdout(Stdio::piped()));
    // Nobody is accepted before it is full: as many are connected as ever will be.
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", process.id())).map_or(0, Iterator::count);
    let (mut most, mut looks) = (places, 0);
    wait_until("the backlog is full", || {
        let now = descriptors();
        looks = if now > most { 0 } else { looks + usize::from(most > places) };
        most = most.max(now);
        looks == 20
    });
    let server = thread::spawn(move || {
        for stream in listener.incoming().take(callers) {
            let mut stream = stream.expect("somebody connects");
            let mut question = [0; 22];
            let _ = stream.read(&mut question).and_then(|_| {
                let answer = match question[0] {
                    b'B' => "Ugly.",
                    b'E' => "Implicit.",
                    _ => "Complex.",
                };
                stream.write_all(answer.as_bytes())
            });
        }
    });
    let mut text = String::new();
    process.stdout().read_to_string(&mut text).unwrap();
    let ran = Ran { code: process.wait().code(), stdout: text, stderr: String::new() };
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    assert_eq!(outcome(&results(&ran)), [callers as u64, callers as u64, 0]);
    server.join().unwrap();
}

#[test]
fn latencies_are_those_of_the_server() {
    let server = Server::start(&["-q", "--delay", "50ms"]);
    let (json, _) = load(server.address().port(), &["--service", "zen", "-c", "3", "-t", "2"]);
    let delay = Duration::from_millis(50).as_micros() as f64;
    assert!(json["latency_us"]["p50"].as_f64().unwrap() >= 0.99 * delay, "{json}");
    assert!(
        json["latency_us"]["max"].as_f64().unwrap() <= json["seconds"].as_f64().unwrap() * 1e6 * 1.001,
        "{json}"
    );
}
