//! Every service with every model: the same clients get the same answers, whoever waits for them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use zen_server::services::bytes::Content;
use zen_tests::{Client, Model, Server, on_every_model, wait_until};

/// What a client says in one conversation, and what it is to hear.
struct Script {
    service: &'static str,
    says: Vec<u8>,
    hears: Vec<u8>,
}

fn scripts() -> [Script; 3] {
    let content = |length: usize| {
        let mut content = vec![0; length];
        Content::new().fill(&mut content);
        content
    };
    let zen =
        ("Simple is better than?Why?Beautiful is better than?", "Complex.Error: unknown aphorism.Ugly.");
    let noise: Vec<u8> = (0..5000u32).map(|number| (number * 7) as u8).collect();
    [
        Script { service: "zen", says: zen.0.into(), hears: zen.1.into() },
        Script {
            service: "bytes",
            says: b"10\n100000\n0\n7\n".to_vec(),
            hears: [content(10), content(100_000), content(7)].concat(),
        },
        Script { service: "echo", says: noise.clone(), hears: noise },
    ]
}

/// The whole conversation, cut into pieces of so many bytes; then the end of ours, and all that comes until the end of theirs.
#[track_caller]
fn converse(address: SocketAddr, script: &Script, piece: usize) {
    let mut client = Client::new(address);
    client.0.set_nodelay(true).unwrap();
    let mut sending = client.0.try_clone().unwrap();
    let says = script.says.clone();
    let sender = thread::spawn(move || {
        says.chunks(piece).for_each(|piece| sending.write_all(piece).unwrap());
        sending.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut heard = Vec::new();
    client.0.read_to_end(&mut heard).unwrap();
    sender.join().unwrap();
    assert!(
        heard == script.hears,
        "{}: {} bytes instead of {}",
        script.service,
        heard.len(),
        script.hears.len()
    );
}

on_every_model! {
    fn all_at_once_or_in_pieces_the_answers_are_the_same(model) {
        for script in scripts() {
            let mut server = Server::of(model, script.service, &[]);
            converse(server.address(), &script, usize::MAX);
            converse(server.address(), &script, 1000);
            // A count in pieces is one only as long as they come without a pause.
            converse(server.address(), &script, if script.service == "bytes" { script.says.len() } else { 3 });
            server.wait_for_log("closed normally", 3);
            server.signal("TERM");
            assert_eq!(server.wait(), Some(0));
            server.wait_for_log("served 3 connections", 1);
        }
    }

    fn bare_digits_are_a_count_when_they_pause(model) {
        let server = Server::of(model, "bytes", &[]);
        let mut client = server.connect();
        for count in [5, 70_000] {
            client.send(&count.to_string());
            let mut heard = vec![0; count];
            client.0.read_exact(&mut heard).unwrap();
            assert!(Content::new().matches(&heard));
        }
    }

    fn bad_input_is_answered_and_hung_up_on(model) {
        for (service, says, hears) in [
            ("zen", "x".repeat(5000), "Error: question too long."),
            ("bytes", "-5\n".to_owned(), "Error: write a count in decimal digits."),
            ("bytes", "1001\n".to_owned(), "Error: at most 1000 bytes."),
        ] {
            let more: &[&str] = if service == "bytes" { &["--max-bytes", "1000"] } else { &[] };
            let server = Server::of(model, service, more);
            let mut client = server.connect();
            client.send(&says);
            assert_eq!(client.rest(), hears);
            server.wait_for_log("and hung up on", 1);
        }
    }

    fn who_aborts_disturbs_nobody(model) {
        let server = Server::of(model, "bytes", &[]);
        for _ in 0..20 {
            let mut client = server.connect();
            client.send("10000000000\n"); // ten billion, of which it takes one
            client.0.read_exact(&mut [0]).unwrap();
        }
        let mut client = server.connect();
        client.send("4\n");
        let mut heard = [0; 4];
        client.0.read_exact(&mut heard).unwrap();
        assert!(Content::new().matches(&heard));
        server.wait_for_log("closed before we sent", 20);
    }

    fn two_hundred_conversations_at_a_time_are_all_served(model) {
        let [script, ..] = scripts();
        let server = Server::of(model, script.service, &["-q"]);
        let address = server.address();
        let clients: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
        // Where so many cannot be held at once, the others wait in the backlog until it is their turn.
        for mut client in clients {
            client.write_all(&script.says).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).unwrap();
            assert_eq!(heard, script.hears);
        }
    }

    fn two_thousand_short_conversations_leave_nothing_behind(model) {
        let mut server = Server::of(model, "zen", &["-q"]);
        let address = server.address();
        server.connect().ask("?");
        let load = move || {
            for _ in 0..250 {
                let mut client: Client<TcpStream> = Client::new(address);
                assert_eq!(client.ask("Simple is better than?"), "Complex.");
            }
        };
        let before = settled(&server);
        let threads: Vec<_> = (0..8).map(|_| thread::spawn(load)).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("every question is answered"));
        wait_until("every descriptor is closed, and every process waited for", || settled(&server) <= before);
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
    }

    fn a_panic_ends_its_conversation_alone(model) {
        let mut server = Server::of(model, "panics", &[]);
        // Where one is served at a time, a witness would be in the way.
        let mut witness = (model.at_once > 1).then(|| server.connect());
        for _ in 0..5 {
            let mut client = server.connect();
            client.send("fine");
            client.0.read_exact(&mut [0; 4]).unwrap();
            client.send("!");
            client.wait_for_end();
        }
        if let Some(witness) = &mut witness {
            witness.send("fine");
            witness.0.read_exact(&mut [0; 4]).unwrap();
        }
        server.wait_for_log("its protocol panicked: a client sent an exclamation mark", 5);
        drop(witness);
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
        server.wait_for_log("served ", 1);
    }
}

/// Open descriptors and living children of the server.
fn settled(server: &Server) -> (usize, usize) {
    (server.descriptors(), server.children().len())
}

#[test]
fn ten_billion_bytes_cost_no_memory() {
    for model in
        ["reactor", "reactor_workers", "callback", "framed", "single", "threads", "prethreaded", "pool"]
    {
        let server = Server::of(Model::named(model), "bytes", &["-q"]);
        let mut client = server.connect();
        client.send("10000000000\n");
        let mut expected = Content::new();
        let mut buffer = vec![0; 1 << 20];
        for _ in 0..16 {
            client.0.read_exact(&mut buffer).unwrap();
            assert!(expected.matches(&buffer));
        }
        assert!(server.resident_kib() < 12 * 1024, "{model}: {} KiB", server.resident_kib());
    }
}
