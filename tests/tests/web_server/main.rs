//! The web server among the examples, from outside: the same clients talk to it under each model.

mod support;
mod tools;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::sync::Barrier;
use std::thread;

use support::{BIG, Web, ask, ask_for_much, get, read_answer, read_head, read_much};
use zen_tests::{example_command, finish, wait_until};

on_every_model! {
    fn requests_are_answered_one_after_the_other(model) {
        let web = Web::start(model, &[]);
        let mut client = web.connect();
        let answer = ask(&mut client, &get("/"));
        assert_eq!((answer.code, &*answer.content), (200, "<p>index"));
        assert_eq!(answer.fields["content-type"], "text/html; charset=utf-8");
        assert_eq!(ask(&mut client, &get("/missing")).code, 404);
        assert!(ask(&mut client, &get("/now")).content.ends_with(" GMT\n"));
        let shown = ask(&mut client, &get("/show_request?<b>")).content;
        let me = client.0.local_addr().unwrap().to_string();
        assert!(shown.contains(&me) && shown.contains("&lt;b&gt;"), "{shown}");
        client.send(&get("/hello.txt").replace("GET", "HEAD"));
        assert_eq!(read_head(&mut client).fields["content-length"], "10");
        assert_eq!(ask(&mut client, &get("/sub")).fields["location"], "./sub/");
        web.wait_for_log("\"GET / HTTP/1.1\" 200 8\n", 1);
        web.wait_for_log("\"HEAD /hello.txt HTTP/1.1\" 200 0\n", 1);
    }

    fn pipelined_requests_are_answered_in_order(model) {
        let web = Web::with_big_file(model, &["-q"]);
        let mut client = web.connect();
        let targets = ["/", "/big.bin", "/missing", "/hello.txt", "/big.bin", "/sub/"];
        client.send(&targets.map(get).concat());
        for (target, code) in targets.into_iter().zip([200, 200, 404, 200, 200, 200]) {
            if target == "/big.bin" {
                assert_eq!(read_head(&mut client).code, code);
                read_much(&mut client, 256 * 1024);
            } else {
                assert_eq!(read_answer(&mut client).code, code, "{target}");
            }
        }
    }

    fn a_request_may_come_byte_by_byte_and_its_sender_may_finish(model) {
        let web = Web::start(model, &["-q"]);
        let mut client = web.connect();
        client.0.set_nodelay(true).unwrap();
        for byte in get("/hello.txt").bytes() {
            client.0.write_all(&[byte]).unwrap();
        }
        client.finish();
        assert!(client.rest().ends_with("\r\n\r\n0123456789"));
    }

    fn after_a_mistake_the_connection_ends(model) {
        let web = Web::start(model, &["-q"]);
        for (request, code) in [
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
            ("GET / HTTP/2.0\r\nHost: x\r\n\r\n".to_owned(), 505),
            (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(9000)), 414),
            (format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(5000)), 431),
            ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nx".to_owned(), 413),
            ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 400),
        ] {
            let mut client = web.connect();
            client.send(&request);
            let said = client.rest();
            assert!(said.starts_with(&format!("HTTP/1.1 {code} ")), "{said}");
            assert!(said.contains("\r\nConnection: close\r\n"), "{said}");
        }
    }

    fn what_is_not_below_the_root_is_not_there(model) {
        let web = Web::start(model, &["-q"]);
        let mut client = web.connect();
        assert_eq!(ask(&mut client, &get("/inside.txt")).content, "0123456789");
        assert_eq!(fs::read_to_string(web.folder.path("secret.txt")).unwrap(), "secret");
        for target in [
            "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/..%5csecret.txt", "/sub/../../secret.txt",
            "/outside.txt", "/up/secret.txt", "/up/", "//../secret.txt", "/hello.txt%00", "/etc/passwd",
        ] {
            let answer = ask(&mut client, &get(target));
            assert_eq!(answer.code, 404, "{target}");
            assert!(!answer.content.contains("secret"), "{target}");
        }
    }

    fn a_slow_reader_gets_every_byte_and_keeps_nobody_waiting(model) {
        let web = Web::with_big_file(model, &["-q"]);
        let mut slow = ask_for_much(&web);
        let mut buffer = [0; 1000];
        for _ in 0..50 {
            // However long it takes: the slow one reads only after the other one was served.
            assert_eq!(ask(&mut web.connect(), &get("/hello.txt")).content, "0123456789");
            assert_ne!(slow.0.read(&mut buffer).unwrap(), 0);
        }
        drop(slow);
        let mut slow = ask_for_much(&web);
        read_much(&mut slow, 4000);
        assert_eq!(ask(&mut slow, &get("/hello.txt")).content, "0123456789");
    }

    fn a_large_file_is_never_in_memory(model) {
        let web = Web::with_big_file(model, &["-q"]);
        let readers: Vec<_> = (0..7).map(|_| ask_for_much(&web)).collect();
        let mut last = ask_for_much(&web);
        read_much(&mut last, 64 * 1024);
        let status = fs::read_to_string(format!("/proc/{}/status", web.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kilobytes: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kilobytes * 1024 < BIG, "{kilobytes} kB");
        drop(readers);
    }

    fn two_hundred_clients_at_once_ask_again_and_again(model) {
        let web = Web::start(model, &["-q"]);
        let all_are_ready = Barrier::new(200);
        let client = |number: usize| {
            all_are_ready.wait();
            let mut client = web.connect();
            for round in 0..5 {
                let answer = ask(&mut client, &get(&format!("/show_request?{number}-{round}.")));
                assert!(answer.content.contains(&format!("?{number}-{round}.")));
            }
        };
        thread::scope(|scope| {
            let client = &client;
            (0..200).for_each(|number| drop(scope.spawn(move || client(number))));
        });
        let mut client = web.connect();
        assert_eq!(ask(&mut client, &get("/")).code, 200);
    }

    fn whoever_says_nothing_is_hung_up_on(model) {
        let web = Web::with_big_file(model, &["--idle-timeout", "200ms", "--request-timeout", "200ms"]);
        let mut silent = web.connect();
        silent.wait_for_end();
        let before = web.descriptors(); // all that the server opens only when it needs it is open now
        let mut idle = web.connect();
        ask(&mut idle, &get("/"));
        idle.wait_for_end();
        let mut unfinished = web.connect();
        unfinished.send("GET / HTTP/1.1\r\nHost:");
        unfinished.wait_for_end();
        let stalled = ask_for_much(&web);
        wait_until("who does not read is given up", || web.descriptors() <= before);
        drop(stalled);
    }

    fn a_head_that_trickles_in_is_not_waited_for(model) {
        let web = Web::start(model, &["--request-timeout", "300ms"]);
        let mut client = web.connect();
        client.send("GET / HTTP/1.1\r\n");
        wait_until("it is hung up on, although it never was idle", || client.0.write_all(b"A: b\r\n").is_err());
        web.wait_for_log("the request was not finished in time", 1);
    }

    fn a_signal_ends_it_in_order(model) {
        for signal in ["INT", "TERM"] {
            let mut web = Web::with_big_file(model, &[]);
            let mut idle = web.connect();
            ask(&mut idle, &get("/"));
            let mut busy = ask_for_much(&web);
            web.signal(signal);
            idle.wait_for_end();
            drop(idle);
            read_much(&mut busy, 64 * 1024);
            busy.wait_for_end();
            drop(busy);
            assert_eq!(web.server.wait(), Some(0), "{signal}");
        }
    }

    fn a_second_signal_does_not_wait(model) {
        let mut web = Web::with_big_file(model, &[]);
        let busy = ask_for_much(&web);
        let address = web.address();
        web.signal("TERM");
        wait_until("nobody is let in", || std::net::TcpStream::connect(address).is_err());
        web.signal("TERM");
        assert_eq!(web.server.wait(), Some(143));
        drop(busy);
    }

    fn clients_that_vanish_leave_nothing_behind(model) {
        let web = Web::with_big_file(model, &["-q"]);
        ask(&mut web.connect(), &get("/"));
        let before = web.descriptors();
        for _ in 0..20 {
            drop(ask_for_much(&web)); // with unread bytes: that is a reset
            let mut client = web.connect();
            client.send("GET / HTT");
            drop(client);
        }
        wait_until("all are gone", || web.descriptors() <= before);
        assert_eq!(ask(&mut web.connect(), &get("/")).code, 200);
    }
}

#[test]
fn who_does_not_fit_in_waits_and_loses_nothing() {
    for model in [
        &["--model", "threads", "--max-connections", "1"][..],
        &["--model", "pool", "--workers", "1", "--queue", "1"],
        &["--model", "reactor", "--max-connections", "1"],
    ] {
        let web = Web::start(model, &["-q"]);
        let mut first = web.connect();
        assert_eq!(ask(&mut first, &get("/")).code, 200);
        let mut waiting: Vec<_> = (0..10).map(|_| web.connect()).collect();
        for client in &mut waiting {
            client.send(&get("/hello.txt"));
            client.0.set_nonblocking(true).unwrap();
            let peeked = client.0.peek(&mut [0]);
            assert_eq!(peeked.expect_err("it waits").kind(), ErrorKind::WouldBlock, "{model:?}");
            client.0.set_nonblocking(false).unwrap();
        }
        drop(first);
        for mut client in waiting {
            assert_eq!(read_answer(&mut client).content, "0123456789", "{model:?}");
        }
    }
}

#[test]
fn two_hundred_clients_are_held_at_once_by_one_thread() {
    let web = Web::start(&["--model", "reactor"], &["-q"]);
    let mut clients: Vec<_> = (0..200).map(|_| web.connect()).collect();
    for round in 0..3 {
        for client in &mut clients {
            client.send(&get(&format!("/show_request?{round}.")));
        }
        for client in &mut clients {
            assert!(read_answer(client).content.contains(&format!("?{round}.")));
        }
    }
}

#[test]
fn a_mistake_on_the_command_line_is_one_line() {
    for (arguments, code, said) in [
        (&["--model", "threads"][..], 2, "needs --max-connections"),
        (&["--model", "pool", "--max-connections", "3"], 2, "bounded by --workers and --queue"),
        (&["--workers", "3"], 2, "are for --model pool"),
        (&["--model", "fork"], 2, "fork"),
        (&["--max-connections", "0"], 2, "0"),
        (&["--host", "192.0.2.1"], 1, "192.0.2.1"),
        (&["/nowhere"], 1, "cannot serve /nowhere"),
        (&["/dev/null"], 1, "cannot serve /dev/null"),
    ] {
        let ran = finish(example_command("web_server", &[arguments, &["-p", "0"]].concat()));
        assert_eq!((ran.code, &*ran.stdout), (Some(code), ""), "{arguments:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(said) && ran.stderr.lines().count() == 1,
            "{arguments:?}: {}",
            ran.stderr
        );
    }
}
