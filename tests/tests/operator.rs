//! What an operator gets: signals, exit codes, one line per mistake.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;

use zen_tests::{
    Client, Process, Server, TemporaryPath, assert_one_line, command, finish, is_installed, on_every_backend,
    run, wait_until,
};

const QUESTION: &str = "Simple is better than?";

on_every_backend! {
    fn a_signal_stops_an_idle_server_with_a_report(backend) {
        for signal in ["INT", "TERM"] {
            let mut server = Server::start(&["--backend", backend]);
            let mut idle = server.connect();
            assert_eq!(idle.ask(QUESTION), "Complex.");
            server.signal(signal);
            assert_eq!(idle.rest(), "", "an idle client is hung up on in order");
            drop(idle);
            assert_eq!(server.wait(), Some(0), "{signal}");
            server.wait_for_log("served 1 connection, 1 question; 22 bytes received, 8 sent", 1);
        }
    }

    fn a_request_in_progress_is_finished_after_a_signal(backend) {
        let mut server = Server::start(&["--backend", backend, "--delay", "300ms", "-v"]);
        let address = server.address();
        let mut client = server.connect();
        client.send(QUESTION);
        server.wait_for_log("is answered", 1);
        server.signal("TERM");
        server.wait_for_log("stopping", 1);
        wait_until("nobody is accepted any more", || std::net::TcpStream::connect(address).is_err());
        assert_eq!(client.rest(), "Complex.");
        assert_eq!(server.wait(), Some(0));
    }

    fn a_second_signal_does_not_wait(backend) {
        for (signal, code) in [("INT", 130), ("TERM", 143)] {
            let path = TemporaryPath::new();
            let arguments = ["--backend", backend, "--delay", "1h", "--idle-timeout", "off", "-v", "--unix", path.text()];
            let mut server = Server::start(&arguments);
            let mut client = Client::unix(path.as_ref());
            client.send(QUESTION);
            server.wait_for_log("is answered", 1);
            server.signal("TERM");
            server.wait_for_log("stopping", 1);
            server.signal(signal);
            assert_eq!(server.wait(), Some(code));
            assert!(!path.as_ref().exists());
        }
    }

    fn a_server_that_was_stopped_and_continued_goes_on(backend) {
        let server = Server::start(&["--backend", backend]);
        let mut client = server.connect();
        assert_eq!(client.ask(QUESTION), "Complex.");
        server.signal("STOP");
        client.send(QUESTION);
        server.signal("CONT");
        assert_eq!(client.answer(), "Complex.");
        assert_eq!(server.connect().ask(QUESTION), "Complex.");
    }

    fn a_server_that_was_killed_can_be_restarted_at_once(backend) {
        let mut killed = Server::start(&["--backend", backend]);
        let mut client = killed.connect();
        assert_eq!(client.ask(QUESTION), "Complex.");
        killed.signal("KILL");
        killed.wait();
        if backend == "io-uring" {
            // At once is a few milliseconds: the kernel empties a ring when its owner is gone already (quirk a).
            let address = format!("127.0.0.1:{}", killed.port());
            wait_until("the port is free", || TcpListener::bind(&address).is_ok());
        }
        let server = Server::start(&["--backend", backend, "-p", &killed.port()]);
        assert_eq!(server.connect().ask(QUESTION), "Complex.");
    }
}

#[test]
fn requests_in_progress_have_a_bounded_time_after_a_signal() {
    let mut server = Server::start(&[]);
    let mut client = server.connect();
    client.stuff();
    server.signal("TERM");
    assert_eq!(server.wait(), Some(0));
    server.wait_for_log("served 1 connection", 1);
}

#[test]
fn a_server_whose_log_nobody_reads_can_be_ended() {
    let mut command = command("zen-server", &["-p", "0", "-v"]);
    let mut server = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let stdout = server.stdout();
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let address: std::net::SocketAddr =
        line.trim_end().strip_prefix("Listening at ").unwrap().parse().unwrap();
    // Its standard error stays unread, so the log fills the pipe and the loop stops in the middle of a line.
    let mut client = Client::new(address);
    client.send(&"x?".repeat(100_000));
    let state = format!("/proc/{}/wchan", server.id());
    wait_until("it waits for its log", || {
        fs::read_to_string(&state).is_ok_and(|place| place.contains("pipe"))
    });
    zen_tests::signal(server.id(), "TERM");
    zen_tests::signal(server.id(), "TERM");
    assert_eq!(server.wait().code(), Some(143));
}

#[test]
fn quiet_means_nothing_but_errors() {
    let mut server = Server::start(&["-q"]);
    assert_eq!(server.connect().ask(QUESTION), "Complex.");
    server.connect().reset();
    server.signal("INT");
    assert_eq!(server.wait(), Some(0));
    assert_eq!(server.log(), "");
}

#[test]
fn a_server_needs_nobody_to_read_its_output() {
    let path = TemporaryPath::new();
    let mut command = command("zen-server", &["--unix", path.text()]);
    let mut server = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    drop((server.stdout(), server.stderr()));
    wait_until("it listens", || std::os::unix::net::UnixStream::connect(path.as_ref()).is_ok());
    assert_eq!(Client::unix(path.as_ref()).ask(QUESTION), "Complex.");
    zen_tests::signal(server.id(), "TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_port_in_use_is_told_in_one_line() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = run("zen-server", &["-p", &port]);
    assert_one_line(
        &ran,
        1,
        &["zen-server: ", &format!("127.0.0.1:{port}"), "in use", "choose another port with -p"],
    );
}

#[test]
fn what_keeps_a_server_from_running_is_told_in_one_line() {
    let file = TemporaryPath::new();
    fs::write(&file, "not a socket").unwrap();
    let cases: [(&[&str], &[&str]); 7] = [
        (&["no-such-host.invalid"], &["unknown host \"no-such-host.invalid\""]),
        (&["localhost:1060"], &["unknown host \"localhost:1060\"", "localhost -p 1060"]),
        (&["192.0.2.1", "-p", "0"], &["192.0.2.1:0", "no such address"]),
        (&["--unix", "/no/such/directory/socket"], &["/no/such/directory/socket", "No such file"]),
        (&["--unix", file.text()], &[file.text(), "is no socket"]),
        (&["--unix", "/tmp"], &["/tmp", "is no socket"]),
        (&["--unix", &"x".repeat(200)], &["xxx"]),
    ];
    for (arguments, said) in cases {
        assert_one_line(&run("zen-server", arguments), 1, said);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a socket", "a file that is no socket stays");
}

#[test]
fn a_unix_socket_in_use_is_left_to_its_server() {
    let path = TemporaryPath::new();
    let _server = Server::start(&["--unix", path.text()]);
    assert_one_line(&run("zen-server", &["--unix", path.text()]), 1, &["another server listens there"]);
    assert_eq!(Client::unix(path.as_ref()).ask(QUESTION), "Complex.");
}

#[test]
fn a_missing_permission_is_told_in_one_line() {
    if !is_installed("strace") {
        return;
    }
    let mut command = std::process::Command::new("strace");
    command
        .args(["-f", "-o", "/dev/null", "-e", "inject=bind:error=EACCES"])
        .arg(zen_tests::program("zen-server"));
    command.args(["-p", "80"]).stdin(Stdio::null());
    assert_one_line(&finish(command), 1, &["127.0.0.1:80", "Permission denied", "-p 1060"]);
}

#[test]
fn a_mistake_on_the_command_line_is_told_in_one_line() {
    let cases: [(&[&str], &[&str]); 14] = [
        (&["--backend", "eppol"], &["\"eppol\"", "available: auto, select, poll, epoll"]),
        (&["-p", "70000"], &["'70000'", "0..=65535"]),
        (&["-p", "http"], &["'http'"]),
        (&["-p"], &["--port <PORT>"]),
        (&["--prot", "1060"], &["--prot", "tip: a similar argument exists: '--port'"]),
        (&["--delay", "2"], &["'2'", "like 250ms, 30s, 5m, 1h"]),
        (&["--delay", "soon"], &["'soon'", "like 250ms, 30s, 5m, 1h"]),
        (&["--idle-timeout", "-1s"], &["'-1s'", "like 250ms"]),
        (&["--max-connections", "many"], &["'many'", "a number, or off"]),
        (&["--max-per-ip", "-3"], &["'-3'", "a number, or off"]),
        (&["-q", "-v"], &["cannot be used with"]),
        (&["localhost", "1060"], &["unexpected argument '1060'"]),
        (&["--delay", "10m"], &["outlasts --idle-timeout 5m"]),
        (&["--completions", "cmd"], &["'cmd'", "bash", "zsh", "fish"]),
    ];
    for (arguments, said) in cases {
        assert_one_line(&run("zen-server", arguments), 2, said);
    }
    let mut command = command("zen-server", &["-p", "0"]);
    command.env("REACTOR_BACKEND", "kqueue");
    assert_one_line(&finish(command), 2, &["REACTOR_BACKEND", "\"kqueue\"", "select, poll, epoll"]);
}

#[test]
fn both_programs_explain_themselves() {
    for name in ["zen-server", "zen-client"] {
        let help = run(name, &["--help"]);
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
        assert!(help.stdout.contains("Examples:") && help.stdout.contains("Exit status:"), "{}", help.stdout);
        let version = run(name, &["--version"]);
        assert!(version.stdout.starts_with(&format!("{name} 0.")), "{}", version.stdout);
        for shell in ["bash", "zsh", "fish"] {
            let script = run(name, &["--completions", shell]);
            assert_eq!((script.code, script.stderr.as_str()), (Some(0), ""));
            assert!(script.stdout.contains("--backend") || script.stdout.contains("-l backend"), "{shell}");
        }
    }
}

#[test]
fn a_human_is_told_what_to_do_next() {
    if !is_installed("script") {
        return;
    }
    // Of what is a terminal here, `script` shows everything on its own standard output.
    let (record, server) = (TemporaryPath::new(), zen_tests::program("zen-server"));
    let mut command = std::process::Command::new("script");
    // With its terminal the server ends, even where the tests themselves are to outlive theirs (nohup).
    let line = format!("exec env --default-signal=HUP {} -p 0", server.display());
    command.args(["-qefc", &line, record.text()]);
    command.env_remove("CARGO").env_remove("NO_COLOR").env_remove("REACTOR_BACKEND").stdin(Stdio::null());
    let _terminal = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let shown = || fs::read_to_string(&record).unwrap_or_default();
    wait_until("everything is shown", || shown().contains("Ctrl-C"));
    let port = shown()
        .split("Listening at 127.0.0.1:")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    assert!(shown().contains(&format!("another terminal: zen-client -p {port}")), "{}", shown());
    Client::new(([127, 0, 0, 1], port.parse().unwrap())).ask(QUESTION);
    wait_until("events are coloured", || shown().contains("\x1b[32m INFO"));
}

#[test]
fn help_that_cannot_be_written_is_a_failure() {
    for name in ["zen-server", "zen-client"] {
        let mut command = command(name, &["--help"]);
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut process = Process::start(command.stdout(full).stderr(Stdio::null()));
        assert_eq!(process.wait().code(), Some(1));
    }
}
