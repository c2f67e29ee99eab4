//! What an operator may rely on in every model: signals, limits, restarts, processes that come and go, and clear refusals.

use std::fs;
use std::io::Write;
use std::net::TcpStream;

use zen_tests::{
    Client, Model, Server, TemporaryPath, is_installed, on_every_model, run, signal, wait_until,
};

const QUESTION: &str = "Simple is better than?";

on_every_model! {
    fn an_idle_client_is_hung_up_on_when_the_server_stops(model) {
        for name in ["INT", "TERM"] {
            let mut server = Server::of(model, "zen", &[]);
            let mut idle = server.connect();
            assert_eq!(idle.ask(QUESTION), "Complex.");
            server.signal(name);
            assert_eq!(idle.rest(), "");
            drop(idle);
            assert_eq!(server.wait(), Some(0), "{name}");
            server.wait_for_log("served 1 connection, 1 question; 22 bytes received, 8 sent", 1);
        }
    }

    fn a_request_in_progress_is_finished(model) {
        let mut server = Server::of(model, "zen", &["--delay", "300ms", "-v"]);
        let address = server.address();
        let mut client = server.connect();
        client.send(QUESTION);
        server.wait_for_log("is answered", 1);
        server.signal("TERM");
        server.wait_for_log("stopping", 1);
        wait_until("nobody is accepted any more", || TcpStream::connect(address).is_err());
        assert_eq!(client.rest(), "Complex.");
        drop(client);
        assert_eq!(server.wait(), Some(0));
    }

    fn half_a_request_gets_time_for_the_other_half(model) {
        let mut server = Server::of(model, "zen", &[]);
        let mut client = server.connect();
        assert_eq!(client.ask("?Simple is"), "Error: unknown aphorism.");
        server.signal("TERM");
        server.wait_for_log("stopping", 1);
        client.send(" better than?");
        assert_eq!(client.rest(), "Complex.");
        drop(client);
        assert_eq!(server.wait(), Some(0));
    }

    fn a_second_signal_does_not_wait(model) {
        let path = TemporaryPath::new();
        let arguments = ["--delay", "1h", "--idle-timeout", "off", "-v", "--unix", path.text()];
        let mut server = Server::of(model, "zen", &arguments);
        let mut client = Client::unix(path.as_ref());
        client.send(QUESTION);
        server.wait_for_log("is answered", 1);
        let children = server.children();
        server.signal("TERM");
        server.wait_for_log("stopping", 1);
        wait_until("the path is free", || !path.as_ref().exists());
        server.signal("TERM");
        assert_eq!(server.wait(), Some(143));
        wait_until("the children are gone, too", || children.iter().all(|child| !is_alive(*child)));
    }

    fn a_killed_server_leaves_no_children_and_can_be_restarted_at_once(model) {
        let mut killed = Server::of(model, "zen", &[]);
        let mut client = killed.connect();
        assert_eq!(client.ask(QUESTION), "Complex.");
        let children = killed.children();
        killed.signal("KILL");
        killed.wait();
        wait_until("the children died with it", || children.iter().all(|child| !is_alive(*child)));
        let server = Server::of(model, "zen", &["-p", &killed.port()]);
        assert_eq!(server.connect().ask(QUESTION), "Complex.");
    }

    fn who_is_idle_or_slow_is_hung_up_on(model) {
        let server = Server::of(model, "zen", &["--idle-timeout", "200ms"]);
        let mut client = server.connect();
        assert_eq!(client.ask(QUESTION), "Complex.");
        assert_eq!(client.rest(), "");
        server.wait_for_log("was hung up on: nothing moved", 1);
        drop(client);

        let server = Server::of(model, "zen", &["--request-timeout", "300ms"]);
        let mut client = server.connect();
        wait_until("the server had enough", || {
            std::thread::sleep(std::time::Duration::from_millis(10));
            client.0.write_all(b"x").is_err()
        });
        server.wait_for_log("was hung up on: the request was not finished in time", 1);
    }

    fn the_ways_to_leave_are_told_apart(model) {
        let server = Server::of(model, "zen", &[]);
        let mut client = server.connect();
        client.send("Simple");
        drop(client);
        server.wait_for_log("sent 6 bytes but then closed", 1);
        server.connect().reset();
        server.wait_for_log("client error", 1);
        let mut client = server.connect();
        client.stuff();
        drop(client);
        server.wait_for_log("closed before we sent", 1);
    }

    fn a_unix_socket_serves_as_well(model) {
        let path = TemporaryPath::new();
        let mut server = Server::of(model, "zen", &["--unix", path.text()]);
        assert_eq!(Client::unix(path.as_ref()).ask(QUESTION), "Complex.");
        server.wait_for_log("the Unix socket closed normally", 1);
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
        assert!(!path.as_ref().exists());
    }
}

/// All at once, because the time is the same for each of them.
#[test]
fn requests_in_progress_have_a_bounded_time() {
    let mut servers = Model::NAMES.map(|name| {
        let server = Server::of(Model::named(name), "zen", &["-q"]);
        let mut client = server.connect();
        client.stuff();
        (name, server, client)
    });
    servers.iter().for_each(|(_, server, _)| server.signal("TERM"));
    for (name, server, _) in &mut servers {
        assert_eq!(server.wait(), Some(0), "{name}");
    }
}

fn is_alive(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

#[test]
fn a_killed_child_is_replaced_and_leaves_no_zombie() {
    for name in ["prefork", "fd-passing"] {
        let server = Server::of(Model::named(name), "zen", &[]);
        for _ in 0..3 {
            let children = server.children();
            assert_eq!(children.len(), 4, "{name}");
            signal(children[1], "KILL");
            wait_until("another one has taken its place", || {
                let now = server.children();
                now.len() == 4 && !now.contains(&children[1]) && now.iter().all(|child| is_alive(*child))
            });
            for _ in 0..8 {
                assert_eq!(server.connect().ask(QUESTION), "Complex.", "{name}");
            }
        }
        server.wait_for_log("was killed by signal 9", 3);
    }
}

#[test]
fn a_child_that_is_killed_in_a_conversation_takes_only_that_with_it() {
    for name in ["fork", "prefork", "fd-passing"] {
        let server = Server::of(Model::named(name), "zen", &[]);
        let mut victim = server.connect();
        assert_eq!(victim.ask(QUESTION), "Complex.");
        let busy = server.children().into_iter().find(|child| {
            let sockets = fs::read_dir(format!("/proc/{child}/fd")).into_iter().flatten().flatten();
            let ends =
                [server.address(), victim.0.local_addr().unwrap()].map(|end| format!(":{:04X}", end.port()));
            let connections = fs::read_to_string(format!("/proc/{child}/net/tcp")).unwrap_or_default();
            let inode = connections.lines().find_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let is_ours = fields[1].ends_with(&ends[0]) && fields[2].ends_with(&ends[1]);
                is_ours.then(|| fields[9].to_owned())
            });
            let wanted = format!("socket:[{}]", inode.unwrap_or_default());
            let mut targets = sockets.filter_map(|entry| fs::read_link(entry.path()).ok());
            targets.any(|target| target.to_string_lossy() == wanted)
        });
        let mut witness = server.connect();
        assert_eq!(witness.ask(QUESTION), "Complex.");
        signal(busy.expect("somebody holds the connection"), "KILL");
        victim.wait_for_end();
        assert_eq!(witness.ask(QUESTION), "Complex.", "{name}");
        for _ in 0..8 {
            assert_eq!(server.connect().ask(QUESTION), "Complex.", "{name}");
        }
    }
}

#[test]
fn every_model_that_has_several_says_how_often_it_was_whose_turn() {
    for (arguments, who) in [
        (&["--model", "prethreaded"][..], "worker"),
        (&["--model", "prethreaded", "--accept", "reuseport"], "worker"),
        (&["--model", "pool"], "worker"),
        (&["--model", "prefork"], "child"),
        (&["--model", "prefork", "--accept", "reuseport"], "child"),
        (&["--model", "fd-passing"], "child"),
        (&["--workers", "4"], "worker"),
        (&["--workers", "4", "--accept", "exclusive", "--backend", "epoll"], "worker"),
        (&["--workers", "4", "--accept", "reuseport"], "worker"),
        (&["--workers", "4", "--backend", "poll"], "worker"),
        (&["--workers", "4", "--backend", "select"], "worker"),
        (&["--workers", "4", "--accept", "exclusive", "--backend", "io-uring"], "worker"),
    ] {
        if arguments.contains(&"io-uring") && !zen_tests::is_available("io-uring") {
            continue;
        }
        let mut server = Server::start(arguments);
        for _ in 0..100 {
            assert_eq!(server.connect().ask(QUESTION), "Complex.");
        }
        server.wait_for_log("closed normally", 100);
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
        server.wait_for_log("served 100 connections, 100 questions", 1);
        server.wait_for_log(&format!("{who} 3 : "), 1);
        let log = server.log();
        let counts = log.lines().filter_map(|line| {
            let (before, count) = line.split_once(" : ")?;
            before.contains(who).then(|| count.split(' ').next()?.parse::<u32>().ok())?
        });
        assert_eq!(counts.sum::<u32>(), 100, "{arguments:?}: {log}");
    }
}

#[test]
fn a_loop_with_a_socket_of_its_own_never_wakes_in_vain() {
    let in_vain = |how: &str| {
        let mut server = Server::start(&["-p", "0", "--workers", "4", "--accept", how, "--backend", "epoll"]);
        for _ in 0..300 {
            assert_eq!(server.connect().ask(QUESTION), "Complex.");
        }
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
        server.wait_for_log("worker 3 : ", 1);
        let log = server.log();
        let counts = log
            .lines()
            .filter_map(|line| line.split_once("woken ")?.1.split(' ').next()?.parse::<u32>().ok());
        counts.sum::<u32>()
    };
    assert_eq!(in_vain("reuseport"), 0);
    // How large the herd is at one socket depends on how the threads are scheduled: it is shown, not judged.
    let (shared, exclusive) = (in_vain("shared"), in_vain("exclusive"));
    println!("woken in vain: {shared} times at a shared listener, {exclusive} times at an exclusive one");
}

#[test]
fn at_a_full_house_the_next_client_waits_in_the_backlog() {
    for arguments in [
        &["--model", "threads", "--max-connections", "2"][..],
        &["--model", "fork", "--max-connections", "2"],
        &["--model", "prethreaded", "--workers", "2"],
        &["--model", "pool", "--workers", "2", "--queue", "1"],
        &["--model", "prefork", "--workers", "2"],
        &["--model", "fd-passing", "--workers", "2"],
    ] {
        let server = Server::start(arguments);
        let (mut first, mut second) = (server.connect(), server.connect());
        assert_eq!(first.ask(QUESTION), "Complex.");
        assert_eq!(second.ask(QUESTION), "Complex.");
        let mut waiting: Vec<_> = (0..5).map(|_| server.connect()).collect();
        waiting.iter_mut().for_each(|client| client.send(QUESTION));
        assert_eq!(second.ask(QUESTION), "Complex.");
        server.wait_for_log("accepted from", 2);
        assert_eq!(server.log().matches("accepted from").count(), 2, "{arguments:?}: {}", server.log());
        drop((first, second));
        for mut client in waiting {
            assert_eq!(client.answer(), "Complex.", "{arguments:?}");
        }
    }
}

#[test]
fn one_address_gets_so_many_connections_and_no_more() {
    for name in ["threads", "prethreaded", "pool", "fork", "fd-passing"] {
        let server = Server::of(Model::named(name), "zen", &["--max-per-ip", "2"]);
        let (mut first, mut second) = (server.connect(), server.connect());
        assert_eq!(first.ask(QUESTION), "Complex.");
        assert_eq!(second.ask(QUESTION), "Complex.");
        server.connect().wait_for_end();
        server.wait_for_log("too many connections from this address", 1);
        assert_eq!(second.ask(QUESTION), "Complex.", "{name}");
    }
}

#[test]
fn with_trace_each_step_is_told_and_how_long_was_waited() {
    for (arguments, steps) in [
        (&["--model", "single", "--trace"][..], &["accept", "recv", "send"][..]),
        (&["--trace"], &["opened", "received", "eof", "closed"]),
    ] {
        let mut server = Server::start(arguments);
        let mut client = server.connect();
        assert_eq!(client.ask(QUESTION), "Complex.");
        client.finish();
        assert_eq!(client.rest(), "");
        drop(client);
        server.wait_for_log("the conversation took", 1);
        for step in steps {
            let log = server.log();
            let told = log.lines().find(|line| line.contains("trace:") && line.contains(step));
            assert!(told.is_some_and(|line| line.contains(".rs:")), "{step}: {log}");
        }
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
        if !arguments.contains(&"single") {
            server.wait_for_log("trace: the loop took", 1);
        }
        server.wait_for_log("% of it (busy", 1);
    }
}

#[test]
fn what_a_model_cannot_do_it_refuses_in_one_line() {
    let cases: [(&[&str], &str); 22] = [
        (&["--model", "threads"], "needs --max-connections"),
        (&["--model", "fork"], "needs --max-connections"),
        (&["--model", "pool", "--max-connections", "3"], "say --workers instead"),
        (&["--model", "single", "--max-connections", "3"], "one connection at a time"),
        (&["--model", "single", "--workers", "3"], "has no workers"),
        (&["--workers", "3", "--max-connections", "2"], "one for each at least"),
        (&["--model", "prefork", "--max-per-ip", "3"], "cannot count --max-per-ip"),
        (&["--workers", "2", "--max-per-ip", "3"], "its loops share nothing"),
        (&["--queue", "3"], "has no queue"),
        (&["--model", "single", "--accept", "reuseport"], "has one acceptor"),
        (&["--model", "prefork", "--accept", "exclusive"], "wakes one waiter anyway"),
        (&["--workers", "2", "--accept", "exclusive", "--backend", "poll"], "needs --backend epoll"),
        (&["--accept", "reuseport", "--unix", "/tmp/never-made"], "a path is bound once"),
        (&["--model", "pool", "--trigger", "level"], "--trigger is for loops"),
        (&["--trigger", "edge", "--backend", "select"], "have no edges of their own"),
        (&["--model", "single", "--backend", "poll"], "not for readiness"),
        (&["--model", "prefork", "--trace"], "several things at a time"),
        (&["--model", "inetd", "-p", "1060"], "is given its socket"),
        (&["--model", "inetd"], "descriptor 0 or in LISTEN_FDS"),
        (&["--model", "single", "-p", "0", "--unix", "/tmp/never-made"], "at one socket"),
        (&["--service", "echo", "--delay", "1s"], "--service zen"),
        (&["--one-shot"], "--service bytes"),
    ];
    for (arguments, said) in cases {
        let ran = run("zen-server", arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(said), "{:?} does not say {said:?}", ran.stderr);
    }
    let unknown = run("zen-server", &["--model", "magic"]);
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.stderr.contains("fd-passing") && !unknown.stderr.contains("panics"),
        "{}",
        unknown.stderr
    );
}

/// The kernel says no at inconvenient moments (strace injects it), and every question is answered all the same.
#[test]
fn an_interrupted_call_is_made_again() {
    if !is_installed("strace") {
        return;
    }
    for (name, calls) in [
        ("single", "accept,accept4"),
        ("single", "recvfrom"),
        ("prethreaded", "accept,accept4"),
        ("fork", "poll,ppoll"),
        ("fork", "wait4"),
        ("fork", "accept,accept4"),
        ("prefork", "poll,ppoll"),
        ("prefork", "accept,accept4"),
        ("fd-passing", "sendmsg"),
        ("fd-passing", "recvmsg"),
        ("fd-passing", "poll,ppoll"),
    ] {
        let record = TemporaryPath::new();
        let trace = format!("trace={calls}");
        let inject = format!("inject={calls}:error=EINTR:when=2+2");
        let tracing = ["-f", "-q", "-o", record.text(), "-e", &trace, "-e", &inject];
        let arguments = [&["--model"], Model::named(name).arguments, &["-q"]].concat();
        let server = Server::traced(&tracing, &arguments);
        for _ in 0..20 {
            assert_eq!(server.connect().ask(QUESTION), "Complex.", "{name}, {calls}");
        }
        drop(server);
        let record = fs::read_to_string(record).expect("strace wrote it");
        assert!(record.contains("(INJECTED)"), "{name} was not disturbed at {calls}");
    }
}
