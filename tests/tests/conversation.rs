//! What a client gets for what it sends, however TCP cuts it into pieces.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use zen_server::services::zen::APHORISMS;
use zen_tests::{Client, Server, TemporaryPath, finish, is_installed, on_every_backend, wait_until};

const QUESTION: &str = "Simple is better than?";
const UNKNOWN: &str = "Error: unknown aphorism.";

on_every_backend! {
    fn every_question_has_its_answer(backend) {
        let server = Server::start(&["--backend", backend]);
        let mut client = server.connect();
        for (question, answer) in APHORISMS {
            assert_eq!(client.ask(question), answer);
        }
        for question in ["What?", "?", "simple is better than?", "\nSimple is better than?", "Ä\0?"] {
            assert_eq!(client.ask(question), UNKNOWN, "{question:?}");
        }
        client.finish();
        assert_eq!(client.rest(), "");
        server.wait_for_log("closed normally", 1);
        let peer = client.0.local_addr().unwrap();
        assert!(server.log().contains(&format!("accepted from {peer}")), "{}", server.log());
    }

    fn a_question_may_arrive_in_pieces(backend) {
        let server = Server::start(&["--backend", backend]);
        let mut client = server.connect();
        client.0.set_nodelay(true).unwrap();
        for _ in 0..3 {
            for piece in QUESTION.split_inclusive(' ') {
                client.send(piece);
                // The answer to another client shows that the server has been round since.
                assert_eq!(server.connect().ask("?"), UNKNOWN);
            }
            assert_eq!(client.answer(), "Complex.");
        }
    }

    fn several_questions_may_arrive_at_once(backend) {
        let server = Server::start(&["--backend", backend]);
        let mut client = server.connect();
        client.send(&"Beautiful is better than?Explicit is better than?Why?".repeat(100));
        client.send("Simple is bet");
        for _ in 0..100 {
            assert_eq!([client.answer(), client.answer(), client.answer()], ["Ugly.", "Implicit.", UNKNOWN]);
        }
        client.send("ter than?");
        assert_eq!(client.answer(), "Complex.");
    }

    fn who_finished_sending_still_gets_the_answer(backend) {
        let server = Server::start(&["--backend", backend]);
        let mut client = server.connect();
        client.send(QUESTION);
        client.finish();
        assert_eq!(client.rest(), "Complex.");
        server.wait_for_log("closed normally", 1);
    }

    fn who_sent_much_and_finished_gets_every_answer(backend) {
        let server = Server::start(&["--backend", backend, "-q"]);
        // More than the server reads at once, and less than one more piece; the FIN has arrived before it looks again.
        for questions in [10_000, 70_000, 140_000] {
            let mut client = server.connect();
            let mut sending = Client(client.0.try_clone().unwrap());
            let sender = thread::spawn(move || {
                sending.send(&"?".repeat(questions));
                sending.finish();
            });
            assert_eq!(client.rest().len(), questions * UNKNOWN.len());
            sender.join().unwrap();
        }
    }

    fn who_finished_sending_still_gets_an_expensive_answer(backend) {
        let server = Server::start(&["--backend", backend, "--delay", "50ms"]);
        let mut client = server.connect();
        client.send("Simple is better than?Why?Beautiful is better than?Simple is");
        client.finish();
        assert_eq!(client.rest(), format!("Complex.{UNKNOWN}Ugly."), "in the order of the questions");
        server.wait_for_log("sent 9 bytes but then closed", 1);
    }

    fn a_question_that_never_ends_is_refused(backend) {
        let server = Server::start(&["--backend", backend]);
        for (length, behind) in [(4097, ""), (4096, "?"), (1_000_000, "")] {
            let mut client = server.connect();
            client.send(QUESTION);
            client.send(&"x".repeat(length));
            client.send(behind);
            assert_eq!(client.rest(), "Complex.Error: question too long.", "{length}");
        }
        let mut client = server.connect();
        client.send(&"x".repeat(4095));
        assert_eq!(client.ask("?"), UNKNOWN, "4 KiB are still a question");
    }

    fn a_slow_reader_of_a_megabyte_keeps_nobody_waiting(backend) {
        const QUESTIONS: usize = 50_000; // 24 bytes of answer each
        let server = Server::start(&["--backend", backend]);
        let mut slow = server.connect();
        let mut sending = Client(slow.0.try_clone().unwrap());
        let sender = thread::spawn(move || {
            sending.send(&"Is it??".repeat(QUESTIONS / 2));
            sending.finish();
        });
        // Meanwhile others are served, and the server neither spins nor hoards.
        for _ in 0..100 {
            assert_eq!(server.connect().ask(QUESTION), "Complex.");
        }
        let answers = slow.rest();
        assert_eq!(answers.len(), QUESTIONS * UNKNOWN.len());
        assert_eq!(answers, UNKNOWN.repeat(QUESTIONS));
        sender.join().unwrap();
    }

    fn an_expensive_answer_keeps_only_its_asker_waiting(backend) {
        const CLIENTS: usize = 100;
        let delay = Duration::from_millis(300);
        let server = Server::start(&["--backend", backend, "--delay", "300ms", "-q"]);
        let start = Instant::now();
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send(QUESTION);
        }
        for client in &mut clients {
            assert_eq!(client.answer(), "Complex.");
        }
        assert!(start.elapsed() >= delay, "nobody was answered early");
        assert!(start.elapsed() < delay * CLIENTS as u32 / 2, "they did not wait for each other");
    }

    fn a_unix_socket_carries_the_same_conversation(backend) {
        let path = TemporaryPath::new();
        let mut server = Server::start(&["--backend", backend, "--unix", path.text()]);
        assert_eq!(server.listening(), [path.text()], "and no TCP");
        let mut client = Client::unix(path.as_ref());
        assert_eq!(client.ask(QUESTION), "Complex.");
        drop(client);
        server.wait_for_log("the Unix socket closed normally", 1);
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
        assert!(!path.as_ref().exists(), "the socket's file is removed");
    }
}

#[test]
fn netcat_half_closes_and_gets_its_answer() {
    if !is_installed("nc") {
        return;
    }
    let server = Server::start(&[]);
    let mut command = Command::new("sh");
    let port = server.port();
    command
        .args(["-c", &format!("printf 'Simple is better than?' | nc -N 127.0.0.1 {port}")])
        .stdin(Stdio::null());
    assert_eq!(finish(command).stdout, "Complex.");
}

#[test]
fn a_socket_that_a_killed_server_left_behind_is_replaced() {
    let path = TemporaryPath::new();
    let mut killed = Server::start(&["--unix", path.text()]);
    killed.signal("KILL");
    assert_eq!(killed.wait(), None);
    assert!(path.as_ref().exists(), "nobody could remove it");
    let _server = Server::start(&["--unix", path.text()]);
    assert_eq!(Client::unix(path.as_ref()).ask(QUESTION), "Complex.");
}

#[test]
fn a_unix_socket_and_tcp_go_together() {
    let path = TemporaryPath::new();
    let command = zen_tests::command("zen-server", &["-p", "0", "--unix", path.text()]);
    let server = Server::from_command(command, 2);
    assert_eq!(server.listening()[1], path.text());
    assert_eq!(server.connect().ask(QUESTION), "Complex.");
    assert_eq!(Client::unix(path.as_ref()).ask(QUESTION), "Complex.");
}

#[test]
fn an_empty_host_hears_ipv4_and_ipv6() {
    let server = Server::start(&[""]);
    let port = server.address().port();
    let mut client = Client::new(([127, 0, 0, 1], port));
    assert_eq!(client.ask(QUESTION), "Complex.");
    let peer = client.0.local_addr().unwrap();
    server.wait_for_log(&format!("accepted from {peer}"), 1); // as 127.0.0.1, not as ::ffff:127.0.0.1
    if !has_ipv6() {
        return;
    }
    let mut client = Client::new(([0, 0, 0, 0, 0, 0, 0, 1], port));
    assert_eq!(client.ask(QUESTION), "Complex.");
    let peer = client.0.local_addr().unwrap();
    drop(client);
    server.wait_for_log(&format!("{peer} closed normally"), 1);
}

#[test]
fn a_name_stands_for_all_its_addresses() {
    let found = ("localhost", 0).to_socket_addrs().expect("this machine knows itself");
    let here: BTreeSet<_> =
        found.map(|address| address.ip()).filter(|ip| TcpListener::bind((*ip, 0)).is_ok()).collect();
    let server =
        Server::from_command(zen_tests::command("zen-server", &["localhost", "-p", "0"]), here.len());
    let told: BTreeSet<SocketAddr> = server.listening().iter().map(|told| told.parse().unwrap()).collect();
    let port = server.address().port();
    assert_eq!(
        told,
        here.iter().map(|ip| SocketAddr::from((*ip, port))).collect(),
        "each of them, and the same port"
    );
    for address in told {
        assert_eq!(Client::new(address).ask(QUESTION), "Complex.");
    }
}

#[test]
fn an_ipv6_address_may_stand_in_brackets() {
    if !has_ipv6() {
        return;
    }
    for host in ["::1", "[::1]"] {
        let server = Server::start(&[host]);
        assert!(server.listening()[0].starts_with("[::1]:"), "{:?}", server.listening());
        assert_eq!(server.connect().ask(QUESTION), "Complex.");
    }
}

#[test]
fn at_v_each_question_is_reported_too() {
    let server = Server::start(&["-v"]);
    server.connect().ask(QUESTION);
    server.wait_for_log(r#""Simple is better than?" is answered "Complex.""#, 1);
}

#[test]
fn the_ways_to_leave_are_told_apart() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send("Simple");
    drop(client);
    server.wait_for_log("sent 6 bytes but then closed", 1);
    server.connect().reset();
    wait_until("a reset is reported", || server.log().contains("client error"));
    // More answers than the sockets hold, then a reset.
    let mut client = server.connect();
    client.stuff();
    drop(client);
    server.wait_for_log("closed before we sent", 1);
}

fn has_ipv6() -> bool {
    let has = TcpListener::bind(("::1", 0)).is_ok();
    if !has {
        println!("skipped: there is no IPv6 here");
    }
    has
}
