//! The program as one starts it: it says what it waits with, serves at both addresses, and ends when it is told to.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use support::on_every_backend;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tokio-on-reactor");

/// What a server says to a request, up to and with the last word expected.
fn ask(address: &str, request: &str, last: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut heard = String::new();
    while !heard.ends_with(last) {
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer).unwrap() {
            0 => panic!("{address} said only {heard:?}"),
            length => heard.push_str(std::str::from_utf8(&buffer[..length]).unwrap()),
        }
    }
    heard
}

#[test]
fn it_serves_until_it_is_told_to_end() {
    on_every_backend(it_serves_until_it_is_told_to_end, |backend| {
        for signal in [Signal::TERM, Signal::INT] {
            let mut command = Command::new(PROGRAM);
            command.args(["127.0.0.1:0", "127.0.0.1:0"]).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut line = || lines.next().unwrap().unwrap();
            assert!(line().starts_with(&format!("tokio waits with {backend};")));
            assert!(line().starts_with("A child process says: "));
            let addresses = line();
            let (zen, page) = addresses.split_once(", the page at http://").unwrap();
            let zen = zen.strip_prefix("The zen is at ").unwrap();
            assert_eq!(ask(zen, "Simple is better than?", "."), "Complex.");
            let request = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
            ask(page.trim_end_matches('/'), request, "\r\n\r\nHello from tokio on zen-reactor!\n");
            kill_process(Pid::from_child(&child), signal).unwrap();
            assert_eq!(line(), "That was all.");
            assert!(child.wait().unwrap().success());
        }
    });
}

/// Only our reactor knows what `REACTOR_BACKEND` means: with the real mio below it, tokio would start.
#[test]
fn a_backend_that_does_not_exist_is_an_error_of_the_runtime() {
    let output = Command::new(PROGRAM).env("REACTOR_BACKEND", "none").output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("Failed building the Runtime") && text.contains(r#""none""#), "{text}");
}
