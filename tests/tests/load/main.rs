//! `zen-client load` against servers that are good, bad, and not there.

mod bad;
mod good;
mod operator;

use std::net::{TcpListener, TcpStream};

use serde_json::Value;
use zen_tests::{Ran, run};

/// Runs a load; its results, which must add up, and what else it left behind.
#[track_caller]
fn load(port: u16, arguments: &[&str]) -> (Value, Ran) {
    let port = port.to_string();
    let mut all = vec!["load", "-p", &port, "--json"];
    all.extend(arguments);
    let ran = run("zen-client", &all);
    (results(&ran), ran)
}

/// The JSON of a load, every number of which fits the others.
#[track_caller]
fn results(ran: &Ran) -> Value {
    let json: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let (requests, connections) = (&json["requests"], &json["connections"]);
    let [made, answered, failed, unfinished] =
        ["made", "answered", "failed", "unfinished"].map(|name| number(&requests[name]));
    assert_eq!(made, answered + failed + unfinished, "{json}");
    let errors = json["errors"].as_object().expect("an object");
    assert_eq!(failed, errors.values().map(number).sum::<u64>(), "{json}");
    assert_eq!(failed > 0, json["first_error"].is_string(), "{json}");
    assert_eq!(
        number(&connections["attempted"]),
        number(&connections["connected"]) + number(&connections["failed"]),
        "{json}"
    );
    for (latencies, count) in [("latency_us", answered), ("connect_us", number(&connections["connected"]))] {
        let latencies = &json[latencies];
        assert_eq!(latencies["count"].as_u64().unwrap_or(0), count, "{json}");
        let ascending = ["p50", "p90", "p99", "p99_9", "max"].map(|name| latencies[name].as_f64());
        assert!(ascending.is_sorted(), "{json}");
    }
    let per_second = json["per_second"]["requests"].as_f64().expect("a number");
    let seconds = json["seconds"].as_f64().expect("a number");
    assert!((per_second * seconds - answered as f64).abs() < 0.001 * (answered as f64 + 1.0), "{json}");
    json
}

#[track_caller]
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))
}

/// Planned, answered and failed requests.
#[track_caller]
fn outcome(json: &Value) -> [u64; 3] {
    ["planned", "answered", "failed"].map(|name| number(&json["requests"][name]))
}

/// A connection, and the port of the end that connected: nobody listens there, and nobody can while this lives.
fn port_where_nobody_listens() -> (TcpListener, TcpStream, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let port = stream.local_addr().unwrap().port();
    (listener, stream, port)
}
