//! What whoever types the command gets: text, progress, signals, exit codes, one line per mistake.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

use zen_tests::{
    Process, Ran, Server, TemporaryPath, assert_one_line, command, finish, is_installed, on_every_backend,
    program, run, signal,
};

use super::{number, results};

on_every_backend! {
    fn a_signal_ends_it_with_what_was_measured_so_far(backend) {
        for (name, code) in [("INT", 130), ("TERM", 143)] {
            let server = Server::start(&["--delay", "20ms"]);
            let port = server.port();
            let arguments = ["load", "--service", "zen", "-c", "2", "--duration", "1h", "--json", "-p", &port, "--backend", backend];
            let mut process = Process::start(command("zen-client", &arguments).stdout(Stdio::piped()));
            server.wait_for_log("accepted", 2);
            signal(process.id(), name);
            let mut stdout = String::new();
            process.stdout().read_to_string(&mut stdout).unwrap();
            assert_eq!(process.wait().code(), Some(code));
            let json = results(&Ran { code: Some(code), stdout, stderr: String::new() });
            assert_eq!(number(&json["signal"]) + 128, code as u64);
            assert!(number(&json["requests"]["unfinished"]) <= 2, "{json}");
        }
    }
}

#[test]
fn people_get_text_and_a_pipe_no_progress() {
    let server = Server::start(&["-q"]);
    let ran = run("zen-client", &["load", "--service", "zen", "-c", "3", "-t", "4", "-p", &server.port()]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[0], "12 requests: 12 answered correctly, 0 failed");
    for name in ["service", "plan", "time", "requests", "connections", "answers", "latency", "connecting"] {
        assert!(lines.iter().any(|line| line.trim_start().starts_with(name)), "{name}: {}", ran.stdout);
    }
}

#[test]
fn a_terminal_sees_how_far_it_is() {
    if !is_installed("script") {
        return;
    }
    let server = Server::start(&["-q"]);
    let (record, client) = (TemporaryPath::new(), program("zen-client"));
    let line = format!(
        "exec {} load --service zen -c 2 --duration 500ms -p {} 2>&1 >/dev/null",
        client.display(),
        server.port()
    );
    let mut command = Command::new("script");
    command.args(["-qefc", &line, record.text()]).env("TERM", "xterm").env_remove("REACTOR_BACKEND");
    command.stdin(Stdio::null());
    let ran = finish(command);
    assert_eq!(ran.code, Some(0));
    let shown = fs::read_to_string(&record).unwrap();
    assert!(shown.contains("% ") && shown.contains(" answered, 0 failed"), "{shown:?}");
}

#[test]
fn a_name_is_tried_at_all_its_addresses() {
    // localhost may be ::1 first, where nobody listens.
    let server = Server::start(&["-q"]);
    let arguments = ["load", "localhost", "--service", "zen", "-c", "3", "-t", "4", "-p", &server.port()];
    let ran = run("zen-client", &arguments);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.starts_with("12 requests: 12 answered"), "{}", ran.stdout);
}

#[test]
fn too_few_descriptors_are_told_in_one_line() {
    let client = program("zen-client");
    let mut command = Command::new("sh");
    let line = format!("ulimit -n 64; exec {} load --service zen -c 100", client.display());
    command.args(["-c", &line]).stdin(Stdio::null()).env_remove("REACTOR_BACKEND");
    assert_one_line(
        &finish(command),
        1,
        &["100 connections at once need 124 descriptors", "may have 64", "ulimit -n 124"],
    );
}

#[test]
fn as_many_descriptors_as_it_says_are_enough() {
    let server = Server::start(&["-q"]);
    let client = program("zen-client");
    for backend in zen_tests::backends() {
        let mut command = Command::new("sh");
        let line = format!(
            "ulimit -n 124; exec {} load --service zen -c 100 -t 20 --reconnect -p {} --backend {backend}",
            client.display(),
            server.port()
        );
        command.args(["-c", &line]).stdin(Stdio::null()).env_remove("REACTOR_BACKEND");
        let ran = finish(command);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{backend}");
    }
}

#[test]
fn results_that_cannot_be_written_are_a_failure() {
    let server = Server::start(&["-q"]);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let arguments = ["load", "--service", "zen", "-c", "1", "-t", "1", "-p", &server.port()];
    let mut process = Process::start(command("zen-client", &arguments).stdout(full).stderr(Stdio::piped()));
    let mut said = String::new();
    process.stderr().read_to_string(&mut said).unwrap();
    assert_eq!(process.wait().code(), Some(1));
    assert!(said.contains("cannot write to standard output") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_mistake_on_the_command_line_is_told_in_one_line() {
    let cases: [(&[&str], &[&str]); 14] = [
        (&[], &["--service <NAME>"]),
        (&["--service", "http"], &["'http'", "zen, bytes, echo"]),
        (&["--service", "zen", "-c", "0"], &["'0'", "1..=1000000"]),
        (&["--service", "zen", "-c", "many"], &["'many'"]),
        (&["--service", "zen", "-t", "0"], &["'0'", "1.."]),
        (&["--service", "bytes", "-b", "0"], &["'0'", "1.."]),
        (&["--service", "bytes", "-b", "-1"], &["-1"]),
        (&["--service", "zen", "-b", "7"], &["-b is for bytes and echo"]),
        (&["--service", "zen", "--pipeline", "0"], &["'0'"]),
        (&["--service", "zen", "--reconnect", "--pipeline", "2"], &["--pipeline has nothing to do"]),
        (&["--service", "zen", "--duration", "5"], &["5 of what?", "like 250ms"]),
        (&["--service", "zen", "--timeout", "off"], &["might never end"]),
        (&["--service", "zen", "--backend", "eppol"], &["\"eppol\"", "available: auto, select, poll, epoll"]),
        (&["localhost", "--service", "zen", "--unix", "/run/zen"], &["one server at a time"]),
    ];
    for (arguments, said) in cases {
        assert_one_line(&run("zen-client", &[&["load"], arguments].concat()), 2, said);
    }
    assert_one_line(&run("zen-client", &["-e", "load", "--service", "zen"]), 2, &["one of them"]);
    assert_one_line(
        &run("zen-client", &["load", "no-such-host.invalid", "--service", "zen"]),
        1,
        &["unknown host"],
    );
}

#[test]
fn help_says_what_the_numbers_mean() {
    let help = run("zen-client", &["load", "--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for text in
        ["Examples:", "Exit status:", "coordinated omission", "closed loop", "--json prints one object"]
    {
        assert!(help.stdout.contains(text), "{text}: {}", help.stdout);
    }
}
