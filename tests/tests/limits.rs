//! What a server does not put up with.

use std::io::Write;

use zen_tests::{Client, Server, TemporaryPath, on_every_backend, wait_until};

const QUESTION: &str = "Simple is better than?";

on_every_backend! {
    fn an_idle_client_is_hung_up_on(backend) {
        let server = Server::start(&["--backend", backend, "--idle-timeout", "200ms"]);
        let mut client = server.connect();
        assert_eq!(client.ask(QUESTION), "Complex.");
        assert_eq!(client.rest(), "");
        server.wait_for_log("was hung up on: nothing moved", 1);
    }

    fn a_question_that_does_not_get_finished_is_given_up(backend) {
        let server = Server::start(&["--backend", backend, "--request-timeout", "300ms"]);
        let mut client = server.connect();
        assert_eq!(client.ask(QUESTION), "Complex.");
        // A byte at a time is never idle, and still must not keep a place for ever.
        wait_until("the server had enough", || {
            std::thread::sleep(std::time::Duration::from_millis(10));
            client.0.write_all(b"x").is_err()
        });
        server.wait_for_log("was hung up on: the request was not finished in time", 1);
    }

    fn an_expensive_answer_is_not_an_unfinished_question(backend) {
        let arguments = ["--backend", backend, "--request-timeout", "50ms", "--delay", "400ms"];
        let server = Server::start(&arguments);
        let mut client = server.connect();
        client.send("Simple is better than?Beautiful is better than?Expl");
        assert_eq!(client.answer(), "Complex.");
        assert_eq!(client.answer(), "Ugly.");
        client.wait_for_end(); // only now is the rest of the third question overdue
        server.wait_for_log("not finished in time", 1);
    }

    fn one_address_gets_so_many_connections_and_no_more(backend) {
        let server = Server::start(&["--backend", backend, "--max-per-ip", "2"]);
        let mut first = server.connect();
        let mut second = server.connect();
        assert_eq!(first.ask(QUESTION), "Complex.");
        assert_eq!(second.ask(QUESTION), "Complex.");
        server.connect().wait_for_end();
        drop(first);
        server.wait_for_log("closed normally", 1);
        wait_until("the place is free", || {
            let mut client = server.connect();
            client.0.write_all(QUESTION.as_bytes()).is_ok() && std::io::Read::read(&mut client.0, &mut [0; 8]).is_ok_and(|n| n > 0)
        });
        assert_eq!(second.ask(QUESTION), "Complex.");
    }

    fn further_connections_wait_in_the_backlog(backend) {
        let server = Server::start(&["--backend", backend, "--max-connections", "2"]);
        let mut first = server.connect();
        let mut second = server.connect();
        assert_eq!(first.ask(QUESTION), "Complex.");
        assert_eq!(second.ask(QUESTION), "Complex.");
        let mut third = server.connect();
        third.send(QUESTION);
        assert_eq!(second.ask(QUESTION), "Complex.");
        drop(first);
        assert_eq!(third.answer(), "Complex.");
        server.wait_for_log("accepted from", 3);
        let log = server.log();
        let told: Vec<&str> = log.lines().filter(|line| line.contains("accepted") || line.contains("normally")).collect();
        assert!(told[2].contains("closed normally") && told[3].contains("accepted from"), "{told:?}");
    }

    fn a_unix_socket_has_no_address_to_count(backend) {
        let path = TemporaryPath::new();
        let _server = Server::start(&["--backend", backend, "--max-per-ip", "1", "--unix", path.text()]);
        let mut clients: Vec<_> = (0..5).map(|_| Client::unix(path.as_ref())).collect();
        for client in &mut clients {
            assert_eq!(client.ask(QUESTION), "Complex.");
        }
    }
}
