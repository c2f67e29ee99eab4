//! Many clients, and what is left when they are gone: nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use zen_tests::{Client, Server, on_every_backend, program, raise_descriptor_limit, wait_until};

const QUESTION: &str = "Simple is better than?";

on_every_backend! {
    fn five_thousand_clients_at_once_are_all_answered(backend) {
        const CLIENTS: usize = 5000;
        if !raise_descriptor_limit(CLIENTS as u64 + 200) {
            return;
        }
        let server = Server::start(&["--backend", backend, "-q"]);
        server.connect().ask(QUESTION);
        let before = settled_descriptors(&server, 0);
        let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
        for _ in 0..2 {
            for client in &mut clients {
                client.send(QUESTION);
            }
            for client in &mut clients {
                assert_eq!(client.answer(), "Complex.");
            }
        }
        assert!(server.descriptors() >= CLIENTS);
        drop(clients);
        wait_until("every descriptor is closed", || server.descriptors() == before);
    }

    fn a_thousand_resets_leave_nothing_behind(backend) {
        let server = Server::start(&["--backend", backend, "-q"]);
        server.connect().ask(QUESTION);
        let before = settled_descriptors(&server, 0);
        let mut witness = server.connect();
        for number in 0..1000 {
            match number % 3 {
                0 => server.connect().reset(),
                1 => drop(server.connect()),
                _ => server.connect().send("Simple is"),
            }
        }
        assert_eq!(witness.ask(QUESTION), "Complex.");
        wait_until("every descriptor but the witness's is closed", || server.descriptors() == before + 1);
    }

    fn every_way_to_leave_closes_the_descriptor(backend) {
        let arguments = ["--backend", backend, "-q", "--idle-timeout", "200ms", "--max-per-ip", "20"];
        let server = Server::start(&arguments);
        server.connect().ask(QUESTION);
        let before = settled_descriptors(&server, 0);
        for _ in 0..5 {
            let mut idle: Vec<_> = (0..5).map(|_| server.connect()).collect(); // ended by the limit of idle time
            let mut refused = server.connect();
            refused.send(&"x".repeat(5000)); // refused by the service
            let mut leaving = server.connect();
            leaving.send("Simple?");
            leaving.finish();
            assert_eq!(leaving.rest(), "Error: unknown aphorism.");
            assert_eq!(refused.rest(), "Error: question too long.");
            idle.iter_mut().for_each(Client::wait_for_end);
        }
        let many: Vec<_> = (0..40).map(|_| server.connect()).collect(); // half of them refused by the limit per address
        drop(many);
        wait_until("every descriptor is closed", || server.descriptors() == before);
    }

    fn an_idle_server_with_a_thousand_idle_clients_does_nothing(backend) {
        if !raise_descriptor_limit(1200) {
            return;
        }
        let server = Server::start(&["--backend", backend, "-q"]);
        let mut clients: Vec<_> = (0..1000).map(|_| server.connect()).collect();
        // One is in the middle of a question, one does not read its answers.
        clients[0].send("Simple is");
        clients[1].stuff();
        assert_eq!(clients[999].ask(QUESTION), "Complex.");
        // A loop that spins uses ten ticks in each of these intervals and one that polls sleeps often; an idle one may have
        // a timer ring. Some other work may still be in progress at first, so it has until the deadline to calm down.
        let mut calm = 0;
        let mut last = (server.processor_ticks(), server.sleeps());
        wait_until("the server does nothing for ten intervals", || {
            thread::sleep(Duration::from_millis(100));
            let now = (server.processor_ticks(), server.sleeps());
            calm = if now.0 == last.0 && now.1 <= last.1 + 2 { calm + 1 } else { 0 };
            last = now;
            calm == 10
        });
    }

    fn a_server_without_descriptors_recovers(backend) {
        // Half of these cannot be served: there are no descriptors for them.
        let mut command = Command::new("sh");
        let server = program("zen-server");
        command.args(["-c", &format!("ulimit -n 30; exec {} -p 0 --backend {backend}", server.display())]);
        let server = Server::from_command(command.stdin(Stdio::null()).env_remove("REACTOR_BACKEND"), 1);
        let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
        server.wait_for_log("cannot accept at", 1);
        assert_eq!(clients[0].ask(QUESTION), "Complex.", "who is connected stays connected");
        drop(clients);
        let answered = |client: &mut Client<TcpStream>| {
            let mut answer = [0; 8];
            client.0.write_all(QUESTION.as_bytes()).is_ok() && client.0.read_exact(&mut answer).is_ok()
        };
        wait_until("newcomers are served again", || answered(&mut server.connect()));
        assert!(server.log().matches("cannot accept at").count() < 10, "not told each time: {}", server.log());
    }

    fn clients_that_come_and_go_at_the_same_time_are_all_answered(backend) {
        let server = Server::start(&["--backend", backend, "-q"]);
        let address = server.address();
        let threads: Vec<_> = (0..8)
            .map(|_| {
                thread::spawn(move || {
                    for _ in 0..100 {
                        let mut client: Client<TcpStream> = Client::new(address);
                        assert_eq!(client.ask(QUESTION), "Complex.");
                        assert_eq!(client.ask("Beautiful is better than?"), "Ugly.");
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("every question is answered");
        }
    }
}

/// The number of descriptors once only `clients` are connected.
fn settled_descriptors(server: &Server, clients: usize) -> usize {
    let sockets = || {
        let links = std::fs::read_dir(format!("/proc/{}/fd", server.id())).expect("it runs");
        let targets = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    };
    // Besides its clients it has the listener, and perhaps sockets of its own (the signals' pipe), which stay.
    let mut last = sockets();
    let mut same = 0;
    wait_until("the clients so far are gone", || {
        let now = sockets();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same > 20 && now >= clients
    });
    server.descriptors()
}
