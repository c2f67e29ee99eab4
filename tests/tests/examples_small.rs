//! The small examples, one after the other, and the manners that all of them have.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use zen_tests::{
    Client, PATIENCE, Process, Ran, Server, TemporaryPath, backends, example_command, finish, is_installed,
    on_every_backend, wait_until,
};

fn run(name: &str, arguments: &[&str]) -> Ran {
    finish(example_command(name, arguments))
}

// ---------------------------------------------------------------------------------------------------- resets and SIGPIPE

#[test]
fn every_connection_is_reset() {
    let server = Server::example("rst_server", &[]);
    for _ in 0..20 {
        // The reset may be quicker than the connection.
        let end = TcpStream::connect(server.address()).and_then(|mut stream| stream.read(&mut [0]));
        assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    }
    server.wait_for_log("reset 127.0.0.1:", 20);
}

#[test]
fn after_a_reset_writing_fails_or_kills() {
    let server = Server::example("rst_server", &[]);
    let port = server.port();
    let reading = "reading: Connection reset by peer (os error 104)\n";
    let ran = run("sigpipe", &["-p", &port]);
    let told = [
        reading,
        "writing: Broken pipe (os error 32)\n",
        "now with SIGPIPE as the system sets it:\n",
        reading,
        "the child process died while writing: signal 13 (SIGPIPE)\n",
    ];
    assert_eq!(ran, Ran { code: Some(0), stdout: told.concat(), stderr: String::new() });

    let mut command = example_command("sigpipe", &["-p", &port, "--default-signal"]);
    let mut process = Process::start(command.stdout(Stdio::piped()));
    let mut told = String::new();
    process.stdout().read_to_string(&mut told).unwrap();
    assert_eq!(told, reading);
    assert_eq!(process.wait().signal(), Some(13));
}

#[test]
fn without_the_server_of_resets_it_says_so() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    for extra in [&[][..], &["--default-signal"]] {
        let ran = run("sigpipe", &[&["-p", &port], extra].concat());
        let told =
            format!("sigpipe: cannot reach 127.0.0.1 at port {port}: Connection refused (os error 111)\n");
        assert_eq!(ran, Ran { code: Some(1), stdout: String::new(), stderr: told });
    }
}

// -------------------------------------------------------------------------------------------------------- the bare loop

#[test]
fn the_bare_loop_has_less_than_a_hundred_lines() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/examples/bare_poll_loop.rs");
    assert!(fs::read_to_string(path).unwrap().lines().count() < 100);
}

on_every_backend! {
    fn the_bare_loop_answers_questions_however_they_arrive(backend) {
        let server = Server::example("bare_poll_loop", &["--backend", backend]);
        let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send("Simple is bet");
        }
        for client in &mut clients {
            client.send("ter than?Beautiful is better than?Why?Expl");
            assert_eq!([(); 3].map(|()| client.answer()), ["Complex.", "Ugly.", "Error: unknown aphorism."]);
        }
        for client in &mut clients {
            client.send("icit is better than?");
            client.finish();
            assert_eq!(client.rest(), "Implicit.", "half-closed is not gone");
        }
    }

    fn the_bare_loop_loses_nothing_when_the_client_is_slow(backend) {
        let server = Server::example("bare_poll_loop", &["--backend", backend]);
        let mut slow = server.connect();
        let questions = 512 * 1024;
        let mut stream = slow.0.try_clone().unwrap();
        let writer = thread::spawn(move || {
            stream.write_all(&vec![b'?'; questions]).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut other = server.connect();
        assert_eq!(other.ask("Simple is better than?"), "Complex.", "others do not wait");
        assert!(slow.rest() == "Error: unknown aphorism.".repeat(questions));
        writer.join().unwrap();
        wait_until("the client is forgotten", || server.descriptors() == {
            let new = Server::example("bare_poll_loop", &["--backend", backend]);
            let _one = new.connect().ask("Simple is better than?");
            new.descriptors() + 1
        });
    }

    fn the_bare_loop_refuses_what_is_too_long(backend) {
        let server = Server::example("bare_poll_loop", &["--backend", backend]);
        let mut client = server.connect();
        client.send(&"x".repeat(4096));
        assert_eq!(client.rest(), "Error: question too long.");
        let mut client = server.connect();
        client.send(&"x".repeat(5000)); // what is unread when it is closed makes that a reset
        let mut end = client.0.read(&mut [0; 64]);
        while end.as_ref().is_ok_and(|&length| length > 0) {
            end = client.0.read(&mut [0; 64]);
        }
        assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
        server.connect().reset();
        assert_eq!(server.connect().ask("Simple is better than?"), "Complex.");
    }

    // ---------------------------------------------------------------------------------------------------- datagrams

    fn every_datagram_comes_back(backend) {
        let server = Server::example("udp_echo", &["--backend", backend]);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = vec![0; 70_000];
        for length in [0, 1, 2, 1472, 1473, 9000, 65_507] {
            let datagram: Vec<u8> = (0..length).map(|at| at as u8).collect();
            socket.send(&datagram).unwrap();
            let received = socket.recv(&mut buffer).unwrap();
            assert!(buffer[..received] == datagram, "{length} bytes");
        }
    }

    fn a_crowd_of_datagrams_comes_back_each_to_its_sender(backend) {
        let server = Server::example("udp_echo", &["--backend", backend]);
        let sockets: Vec<UdpSocket> = (0..10).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        for number in 0..10u8 {
            for (at, socket) in sockets.iter().enumerate() {
                socket.send_to(&[at as u8, number], server.address()).unwrap();
            }
        }
        for (at, socket) in sockets.iter().enumerate() {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            for number in 0..10u8 {
                let mut datagram = [0; 8];
                let (length, from) = socket.recv_from(&mut datagram).unwrap();
                assert_eq!((&datagram[..length], from), (&[at as u8, number][..], server.address()));
            }
        }
    }

    // ------------------------------------------------------------------------------------------- keyboard and clock

    fn a_clock_ticks_while_one_types(backend) {
        let mut command = example_command("stdin_and_timer", &["--every", "20ms", "--backend", backend]);
        let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let mut keyboard = process.stdin().unwrap();
        let (sender, screen) = mpsc::channel();
        let stdout = process.stdout();
        thread::spawn(move || {
            BufReader::new(stdout).lines().try_for_each(|line| sender.send(line.unwrap()))
        });
        let mut ticks = 0;
        let mut until = |text: &str| loop {
            let line = screen.recv_timeout(PATIENCE).unwrap();
            if line.starts_with("tick") {
                ticks += 1;
                assert_eq!(line, format!("tick {ticks}"));
            }
            if line == text {
                return;
            }
        };
        until("tick 3");
        keyboard.write_all("hello\nund grüß Gott\nhal".as_bytes()).unwrap();
        until("typed: hello");
        until("typed: und grüß Gott");
        until("tick 10");
        keyboard.write_all(b"f\nlast").unwrap();
        until("typed: half");
        drop(keyboard);
        until("typed: last");
        assert_eq!(process.wait().code(), Some(0));
    }

    fn a_file_may_be_typed_too(backend) {
        let path = TemporaryPath::new();
        let text: String = (0..5000).map(|line| format!("{line}\n")).collect();
        fs::write(path.as_ref(), &text).unwrap();
        let mut command = example_command("stdin_and_timer", &["--every", "1h", "--backend", backend]);
        command.stdin(fs::File::open(path.as_ref()).unwrap());
        let ran = finish(command);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert!(ran.stdout == text.lines().map(|line| format!("typed: {line}\n")).collect::<String>());
    }

    fn a_signal_stops_the_clock(backend) {
        for signal in ["INT", "TERM"] {
            let mut command = example_command("stdin_and_timer", &["--every", "1ms", "--backend", backend]);
            let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
            let keyboard = process.stdin();
            let mut stdout = BufReader::new(process.stdout());
            stdout.read_line(&mut String::new()).unwrap();
            zen_tests::signal(process.id(), signal);
            stdout.read_to_string(&mut String::new()).unwrap();
            assert_eq!(process.wait().code(), Some(0), "{signal}");
            drop(keyboard);
        }
    }

    // ------------------------------------------------------------------------------------- work for other threads

    fn answers_come_in_the_order_of_the_questions(backend) {
        let server = Server::example("offload", &["--backend", backend, "--workers", "4"]);
        let mut client = server.connect();
        // The long ones first: later ones must not overtake them.
        client.send("1000000000039\n12\n10000000000037\n0\n1\n 7 \nseven\n18446744073709551615\n");
        client.finish();
        let answers = [
            "1000000000039: 1000000000039",
            "12: 2 2 3",
            "10000000000037: 10000000000037",
            "0:",
            "1:",
            "7: 7",
            "Error: write a whole number below 2^64.",
            "18446744073709551615: 3 5 17 257 641 65537 6700417",
        ];
        assert_eq!(client.rest().lines().collect::<Vec<_>>(), answers);
    }

    fn who_finds_the_queue_full_waits_its_turn(backend) {
        let server = Server::example("offload", &["--backend", backend, "--workers", "1", "--queue", "1"]);
        let mut clients: Vec<_> = (0..30).map(|_| server.connect()).collect();
        for (at, client) in clients.iter_mut().enumerate() {
            client.send(&format!("{}\n10000600009\n{at}\n", at + 100));
            client.finish();
        }
        let mut leaving = server.connect();
        leaving.send("10000600009\n");
        drop(leaving); // perhaps while it stands in line
        for (at, client) in clients.iter_mut().enumerate() {
            let told = client.rest();
            let mut lines = told.lines();
            assert!(lines.next().unwrap().starts_with(&format!("{}: ", at + 100)));
            assert_eq!(lines.next().unwrap(), "10000600009: 100003 100003");
            assert!(lines.next().unwrap().starts_with(&format!("{at}:")));
            assert_eq!(lines.next(), None);
        }
    }

    fn those_who_leave_the_line_pass_their_place_on(backend) {
        let server = Server::example("offload", &["--backend", backend, "--workers", "1", "--queue", "1"]);
        for _ in 0..5 {
            let mut clients: Vec<_> = (0..12).map(|_| server.connect()).collect();
            clients.iter_mut().for_each(|client| client.send("x\n100000980001501\n")); // some 10 million divisions
            for client in &mut clients {
                client.0.read_exact(&mut [0; 40]).unwrap(); // the error: the number has been looked at
            }
            let mut kept = clients.split_off(10);
            drop(clients); // most of them stand in line
            for client in &mut kept {
                client.finish();
                assert_eq!(client.rest(), "100000980001501: 10000019 10000079\n");
            }
        }
    }

    fn computing_keeps_nobody_waiting(backend) {
        let mut server = Server::example("offload", &["--backend", backend, "--workers", "1"]);
        let mut client = server.connect();
        client.send("x\n18446744073709551557\n"); // a prime: minutes of work
        client.0.read_exact(&mut [0; 40]).unwrap();
        let mut other = server.connect();
        other.send("not a number\n");
        let mut told = [0; 40];
        other.0.read_exact(&mut told).unwrap();
        assert_eq!(&told, b"Error: write a whole number below 2^64.\n");
        other.send(&"9".repeat(81));
        assert_eq!(other.rest(), "Error: the line is too long.\n");
        // The first signal would wait for the work, for a while; the second does not.
        server.signal("TERM");
        server.wait_for_log("stopping", 1);
        server.signal("TERM");
        assert_eq!(server.wait(), Some(143));
    }
}

#[test]
fn the_factors_are_those_of_factor() {
    if !is_installed("factor") {
        return;
    }
    let numbers: Vec<String> =
        (2..400u64).chain([6_469_693_230, 1 << 40, 999_983 * 999_979]).map(|n| n.to_string()).collect();
    let expected = Command::new("factor").args(&numbers).output().unwrap().stdout;
    let server = Server::example("offload", &[]);
    let mut client = server.connect();
    client.send(&(numbers.join("\n") + "\n"));
    client.finish();
    assert_eq!(client.rest(), String::from_utf8(expected).unwrap());
}

// -------------------------------------------------------------------------------------------------- what all have in common

/// Programs that listen, with what else they need.
const SERVERS: [(&str, &[&str]); 7] = [
    ("chat_server", &[]),
    ("chat_server", &["--model", "threads"]),
    ("rst_server", &[]),
    ("bare_poll_loop", &[]),
    ("tcp_proxy", &["127.0.0.1:1"]),
    ("udp_echo", &[]),
    ("offload", &[]),
];
const PROGRAMS: [&str; 9] = [
    "chat_server",
    "chat_client",
    "rst_server",
    "sigpipe",
    "bare_poll_loop",
    "tcp_proxy",
    "udp_echo",
    "stdin_and_timer",
    "offload",
];
const WITH_BACKEND: [&str; 7] =
    ["chat_server", "chat_client", "bare_poll_loop", "tcp_proxy", "udp_echo", "stdin_and_timer", "offload"];

/// What a program needs besides options.
fn needed(name: &str) -> &'static [&'static str] {
    if name == "tcp_proxy" { &["127.0.0.1:1"] } else { &[] }
}

#[test]
fn a_signal_ends_each_server_with_success() {
    for (name, arguments) in SERVERS {
        let backends = if WITH_BACKEND.contains(&name) && !arguments.contains(&"threads") {
            backends()
        } else {
            vec![""]
        };
        for backend in backends {
            for signal in ["INT", "TERM"] {
                let chosen: &[&str] = if backend.is_empty() { &[] } else { &["--backend", backend] };
                let mut server = Server::example(name, &[chosen, arguments].concat());
                server.signal(signal);
                assert_eq!(server.wait(), Some(0), "{name} {arguments:?} {backend} {signal}");
            }
        }
    }
}

#[test]
fn each_listens_where_it_is_told() {
    for (name, arguments) in SERVERS {
        for (host, prefix) in [("localhost", ""), ("127.0.0.1", "127.0.0.1:"), ("", "[::]:")] {
            if host.is_empty() && TcpListener::bind(("::", 0)).is_err() {
                continue;
            }
            let server = Server::example(name, &[&[host], arguments].concat());
            assert!(server.listening()[0].starts_with(prefix), "{name} {host:?}: {:?}", server.listening());
            if name != "udp_echo" {
                let there =
                    if host.is_empty() { "127.0.0.1".parse().unwrap() } else { server.address().ip() };
                TcpStream::connect((there, server.address().port())).unwrap();
            }
        }
    }
}

#[test]
fn a_place_that_is_taken_is_told_in_one_line() {
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    for (name, arguments) in SERVERS {
        let taken = if name == "udp_echo" { udp.local_addr() } else { tcp.local_addr() }.unwrap();
        let ran = run(name, &[&["-p", &taken.port().to_string()], arguments].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{name}");
        let attempt = if name == "udp_echo" { "bind to" } else { "listen at" };
        assert!(
            ran.stderr.starts_with(&format!("{name}: cannot {attempt} {taken}: Address already in use")),
            "{}",
            ran.stderr
        );
        assert_eq!(ran.stderr.lines().count(), 1);
    }
}

#[track_caller]
fn refused(name: &str, arguments: &[&str]) -> String {
    let ran = run(name, arguments);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{name} {arguments:?}: {}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(
        ran.stderr.starts_with(&format!("{name}: ")) && ran.stderr.ends_with("(see --help)\n"),
        "{}",
        ran.stderr
    );
    ran.stderr
}

#[test]
fn a_wrong_command_line_is_told_in_one_line() {
    for name in PROGRAMS {
        refused(name, &[needed(name), &["--no-such-option"]].concat());
        if name != "stdin_and_timer" {
            for port in ["-1", "65536", "http", ""] {
                refused(name, &[needed(name), &[&format!("--port={port}")]].concat());
            }
            refused(name, &["one", "two", "three"]);
        }
        if WITH_BACKEND.contains(&name) {
            let told = refused(name, &[needed(name), &["--backend", "kpoll"]].concat());
            assert!(told.contains("epoll"), "it lists what there is: {told}");
            let mut command = example_command(name, needed(name));
            let ran = finish(command_with_backend(&mut command));
            assert_eq!(ran.code, Some(2), "{name}: {}", ran.stderr);
            assert_eq!(ran.stderr.lines().count(), 1);
        }
    }
    refused("chat_server", &["--model", "processes"]);
    refused("chat_server", &["--max-members", "0"]);
    refused("chat_server", &["--model", "threads", "--backend", "epoll"]);
    refused("tcp_proxy", &[]);
    for target in ["localhost", ":80", "localhost:", "localhost:http"] {
        refused("tcp_proxy", &[target]);
    }
    for every in ["0", "1", "off", "soon"] {
        refused("stdin_and_timer", &["--every", every]);
    }
    for count in ["0", "-1", "many"] {
        refused("offload", &[&format!("--workers={count}")]);
        refused("offload", &[&format!("--queue={count}")]);
    }
}

fn command_with_backend(command: &mut Command) -> Command {
    let mut with = Command::new(command.get_program());
    with.args(command.get_args()).stdin(Stdio::null()).env("REACTOR_BACKEND", "kpoll");
    with
}

#[test]
fn each_has_help() {
    for name in PROGRAMS {
        let ran = run(name, &["--help"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{name}");
        assert!(ran.stdout.contains(&format!("Usage: {name}")), "{}", ran.stdout);
    }
}

#[test]
fn an_unknown_host_is_told_in_one_line() {
    for (name, arguments) in SERVERS {
        let ran = run(name, &[&["no.such.host.invalid"], arguments].concat());
        assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains("unknown host"), "{}", ran.stderr);
    }
    let ran = run("tcp_proxy", &["no.such.host.invalid:80"]);
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(1), 1), "{}", ran.stderr);
}

#[test]
fn a_client_that_says_nothing_harms_nobody() {
    for (name, arguments) in SERVERS.into_iter().filter(|(name, _)| *name != "udp_echo") {
        let mut server = Server::example(name, arguments);
        let silent: Vec<Client<TcpStream>> = (0..5).map(|_| server.connect()).collect();
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0), "{name}");
        drop(silent);
    }
}
