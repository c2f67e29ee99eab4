//! Started by somebody else: a real inetd, and a real systemd, where they are installed.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use zen_tests::{Client, Process, TemporaryPath, is_installed, program, wait_until};

const QUESTION: &str = "Simple is better than?";

/// A port that was free a moment ago, for programs that cannot tell which one they got.
fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn wait_for(path: &Path, text: &str, times: usize) {
    let logged = || fs::read_to_string(path).unwrap_or_default();
    wait_until(&format!("{text:?} stands in the log"), || logged().matches(text).count() >= times);
}

/// The server, with its log in a file and this as its standard input and output, as inetd does it.
fn started_with(socket: impl Into<OwnedFd>, log: &TemporaryPath) -> Process {
    serving("zen", socket, log)
}

/// The same with another service.
fn serving(service: &str, socket: impl Into<OwnedFd>, log: &TemporaryPath) -> Process {
    let socket: OwnedFd = socket.into();
    let mut command = Command::new(program("zen-server"));
    command
        .args(["--model", "inetd", "--service", service, "--log", log.text()])
        .env_remove("REACTOR_BACKEND");
    command.stdout(socket.try_clone().unwrap()).stderr(socket.try_clone().unwrap());
    Process::start(command.stdin(Stdio::from(socket)))
}

#[test]
fn with_a_connection_at_descriptor_0_there_is_one_conversation() {
    let log = TemporaryPath::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut client = Client::new(listener.local_addr().unwrap());
    let mut server = started_with(listener.accept().unwrap().0, &log);
    assert_eq!(client.ask(QUESTION), "Complex.");
    client.send("Simple");
    client.finish();
    assert_eq!(client.rest(), "", "and none of the server's events");
    assert_eq!(server.wait().code(), Some(0));
    wait_for(log.as_ref(), "sent 6 bytes but then closed", 1);
    wait_for(log.as_ref(), "served 1 connection", 1);
}

#[test]
fn every_service_converses_at_descriptor_0() {
    for (service, sent, heard) in [
        ("zen", "Simple is better than?", "Complex.".len()),
        ("bytes", "100000\n", 100_000),
        ("echo", "the same", 8),
    ] {
        let log = TemporaryPath::new();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut client = Client::new(listener.local_addr().unwrap());
        let mut server = serving(service, listener.accept().unwrap().0, &log);
        client.0.write_all(sent.as_bytes()).unwrap();
        client.finish();
        let mut answer = Vec::new();
        client.0.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.len(), heard, "{service}");
        assert_eq!(server.wait().code(), Some(0), "{service}");
        wait_for(log.as_ref(), "closed normally", 1);
    }
}

#[test]
fn a_conversation_at_descriptor_0_ends_in_order_at_a_signal() {
    let log = TemporaryPath::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut client = Client::new(listener.local_addr().unwrap());
    let mut server = started_with(listener.accept().unwrap().0, &log);
    assert_eq!(client.ask(QUESTION), "Complex.");
    zen_tests::signal(server.id(), "TERM");
    assert_eq!(client.rest(), "");
    drop(client);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn with_a_listener_at_descriptor_0_it_serves_until_nobody_was_here_for_eight_seconds() {
    let log = TemporaryPath::new();
    let path = TemporaryPath::new();
    let listener = UnixListener::bind(&path).unwrap();
    let started = Instant::now();
    let mut server = started_with(listener.try_clone().unwrap(), &log);
    for _ in 0..3 {
        assert_eq!(Client::unix(path.as_ref()).ask(QUESTION), "Complex.");
    }
    assert_eq!(server.wait().code(), Some(0));
    assert!(started.elapsed().as_secs() >= 8);
    wait_for(log.as_ref(), "served 3 connections", 1);
    // Whoever comes then is the next server's first client: the listener is as it was before.
    let mut client = Client::unix(path.as_ref());
    client.send(QUESTION);
    let mut server = started_with(listener, &log);
    assert_eq!(client.answer(), "Complex.");
    zen_tests::signal(server.id(), "TERM");
    drop(client);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn inetd_starts_it_for_each_client_or_for_all_of_them() {
    let Some(inetd) = ["/usr/sbin/inetd"].into_iter().find(|path| Path::new(path).exists()) else {
        println!("skipped: openbsd-inetd is missing");
        return;
    };
    for (wait, who) in [("nowait", "sent 6 bytes but then closed"), ("wait", "serving until")] {
        let (configuration, log) = (TemporaryPath::new(), TemporaryPath::new());
        let port = free_port();
        let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        let line = format!(
            "127.0.0.1:{port} stream tcp {wait} {} {} zen-server --model inetd --log {}\n",
            user.trim(),
            program("zen-server").display(),
            log.text()
        );
        fs::write(&configuration, line).unwrap();
        let mut command = Command::new(inetd);
        command.args(["-d", "-i", configuration.text()]).stdin(Stdio::null());
        let _inetd = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        wait_until("inetd listens", || TcpStream::connect(address).is_ok());
        for _ in 0..3 {
            let mut client: Client<TcpStream> = Client::new(address);
            assert_eq!(client.ask(QUESTION), "Complex.", "{wait}");
            client.send("Simple");
            client.finish();
            assert_eq!(client.rest(), "");
        }
        wait_for(log.as_ref(), who, 1);
        end_those_who_log_to(&log);
    }
}

#[test]
fn systemd_starts_it_when_a_client_comes() {
    if !is_installed("systemd-socket-activate") {
        return;
    }
    for options in [&[][..], &["--accept"], &["--accept", "--inetd"]] {
        let log = TemporaryPath::new();
        let port = free_port();
        let mut command = Command::new("systemd-socket-activate");
        command.args(["-l", &format!("127.0.0.1:{port}")]).args(options).arg(program("zen-server"));
        command.args(["--model", "inetd", "--log", log.text()]).stdin(Stdio::null());
        let _systemd = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut first = None;
        wait_until("systemd listens", || {
            first = TcpStream::connect(address).ok();
            first.is_some()
        });
        let mut first = Client(first.unwrap());
        assert_eq!(first.ask(QUESTION), "Complex.", "{options:?}");
        first.finish();
        assert_eq!(first.0.read(&mut [0]).unwrap(), 0);
        assert_eq!(Client::new(address).ask(QUESTION), "Complex.", "{options:?}");
        wait_for(log.as_ref(), "accepted from", 2);
        end_those_who_log_to(&log);
    }
}

/// Servers that somebody else has started for us: known by the name of their log, which is in their command line.
fn end_those_who_log_to(log: &TemporaryPath) {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let command_line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = command_line.split(|&byte| byte == 0);
        let is_server = words.next().is_some_and(|word| word.ends_with(b"zen-server"));
        if is_server && words.any(|word| word == log.text().as_bytes()) {
            if let Ok(process) = entry.file_name().to_string_lossy().parse::<u32>() {
                let _ = Command::new("kill").args(["-s", "TERM", &process.to_string()]).status();
            }
        }
    }
}
