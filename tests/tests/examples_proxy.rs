//! `tcp_proxy`: what goes through it comes out, both ways at once and to the last byte.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use zen_tests::{Client, PATIENCE, Server, on_every_backend, wait_until};

const QUESTION: &str = "Simple is better than?";
/// Bytes that go through in each direction.
const MUCH: usize = 10 << 20;

fn proxy(backend: &str, target: &str) -> Server {
    Server::example("tcp_proxy", &["--backend", backend, target])
}

/// A target of the test's own, and the proxy before it.
struct Passage {
    proxy: Server,
    listener: TcpListener,
    /// Its descriptors without connections, and one for the clock, which is opened when it is needed.
    at_rest: usize,
}

impl Passage {
    #[track_caller]
    fn new(backend: &str) -> Passage {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = proxy(backend, &listener.local_addr().unwrap().to_string());
        let at_rest = proxy.descriptors() + 1;
        Passage { proxy, listener, at_rest }
    }

    /// Both ends of a connection through it: the client's and the target's.
    #[track_caller]
    fn open(&self) -> [TcpStream; 2] {
        let client = self.proxy.connect().0;
        let target = self.listener.accept().unwrap().0;
        for stream in [&client, &target] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
        }
        [client, target]
    }

    #[track_caller]
    fn wait_until_done(&self, times: usize) {
        self.proxy.wait_for_log(" is done: ", times);
        wait_until("nothing is left", || self.proxy.descriptors() <= self.at_rest);
    }
}

/// Bytes that look like noise, the same for the same seed.
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    })
}

/// Writes noise and finishes.
fn write(stream: &TcpStream, seed: u64) -> JoinHandle<()> {
    let mut stream = stream.try_clone().unwrap();
    thread::spawn(move || {
        stream.write_all(&noise(seed).take(MUCH).collect::<Vec<u8>>()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    })
}

/// Reads to the end, which must be all of the noise.
#[track_caller]
fn read(mut stream: &TcpStream, seed: u64) {
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), MUCH);
    assert!(received.iter().copied().eq(noise(seed).take(MUCH)), "other bytes came out than went in");
}

/// Writes until nobody takes any more; how much that was.
fn stuff(mut stream: &TcpStream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let (mut total, mut refusals) = (0, 0);
    wait_until("nobody takes more", || {
        match stream.write(&[7; 64 * 1024]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => refusals += 1,
            written => (total, refusals) = (total + written.unwrap(), 0),
        }
        refusals > 50
    });
    stream.set_nonblocking(false).unwrap();
    total
}

#[track_caller]
fn is_reset(mut stream: &TcpStream) {
    let mut read = stream.read(&mut [0; 64]);
    while matches!(read, Ok(length) if length > 0) {
        read = stream.read(&mut [0; 64]);
    }
    assert_eq!(read.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
}

on_every_backend! {
    fn ten_megabytes_go_both_ways_at_once(backend) {
        let passage = Passage::new(backend);
        let [client, target] = passage.open();
        let writers = [write(&client, 1), write(&target, 2)];
        let (near, far) = (client.try_clone().unwrap(), target.try_clone().unwrap());
        let reader = thread::spawn(move || read(&far, 1));
        read(&near, 2);
        reader.join().unwrap();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        drop([client, target, near]);
        passage.wait_until_done(1);
        passage.proxy.wait_for_log(&format!("is done: {MUCH} bytes there, {MUCH} back"), 1);
    }

    fn each_direction_ends_by_itself(backend) {
        let passage = Passage::new(backend);
        for (turn, target_first) in [false, true].into_iter().enumerate() {
            let [client, target] = passage.open();
            let (first, second) = if target_first { (&target, &client) } else { (&client, &target) };
            first.shutdown(Shutdown::Write).unwrap();
            assert_eq!((&*second).read(&mut [0; 8]).unwrap(), 0, "the end is passed on");
            let writer = write(second, 3);
            read(first, 3);
            writer.join().unwrap();
            drop([client, target]);
            passage.wait_until_done(turn + 1);
        }
    }

    fn who_does_not_read_may_still_send(backend) {
        let passage = Passage::new(backend);
        let [client, target] = passage.open();
        stuff(&target); // and the client does not read
        let writer = write(&client, 4);
        read(&target, 4);
        writer.join().unwrap();
    }

    fn a_fast_sender_waits_for_a_slow_receiver(backend) {
        let passage = Passage::new(backend);
        let [mut client, mut target] = passage.open();
        let sent = stuff(&client);
        let memory = fs::read_to_string(format!("/proc/{}/status", passage.proxy.id())).unwrap();
        let memory = memory.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim();
        let kilobytes: usize = memory.strip_suffix(" kB").unwrap().parse().unwrap();
        assert!(kilobytes < 32 * 1024, "{kilobytes} kB for {sent} bytes that wait in the kernel's buffers");
        client.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        target.read_to_end(&mut received).unwrap();
        assert!(received.len() == sent && received.iter().all(|&byte| byte == 7));
        target.write_all(b"got it").unwrap();
        drop(target);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "got it");
    }

    fn a_reset_is_passed_on(backend) {
        let passage = Passage::new(backend);
        for (turn, target_leaves) in [false, true].into_iter().enumerate() {
            let [client, target] = passage.open();
            let (leaving, mut staying) = if target_leaves { (target, client) } else { (client, target) };
            staying.write_all(b"x").unwrap();
            leaving.peek(&mut [0]).unwrap();
            drop(leaving); // with unread input: RST
            is_reset(&staying);
            passage.wait_until_done(turn + 1);
        }
    }

    fn a_question_goes_through_and_an_answer_comes_back(backend) {
        let server = Server::start(&["--backend", backend]);
        let proxy = proxy(backend, &server.address().to_string());
        let mut clients: Vec<_> = (0..50).map(|_| proxy.connect()).collect();
        for client in &mut clients {
            assert_eq!(client.ask(QUESTION), "Complex.");
        }
        let mut last = proxy.connect();
        last.send(QUESTION);
        last.finish();
        assert_eq!(last.rest(), "Complex.");
    }

    fn a_target_that_cannot_be_reached_is_told_in_the_log(backend) {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let proxy = proxy(backend, &nobody.to_string());
        let mut client = proxy.connect();
        client.send(QUESTION);
        client.finish();
        client.wait_for_end();
        proxy.wait_for_log(&format!("cannot reach {nobody}: connect on descriptor "), 1);
        proxy.wait_for_log(": Connection refused (os error 111)", 1);
        let mut next = proxy.connect();
        next.wait_for_end();
        proxy.wait_for_log(" is done: ", 2);
    }

    fn the_next_address_of_a_name_is_tried(backend) {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = proxy(backend, &format!("localhost:{}", target.local_addr().unwrap().port()));
        let mut client = proxy.connect();
        client.send("hello");
        client.finish();
        let mut heard = String::new();
        target.accept().unwrap().0.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
    }

    fn a_target_that_does_not_accept_is_given_up(backend) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap(); // one place in the queue, and the kernel drops who finds it taken
        let target = listener.local_addr().unwrap();
        let arguments = ["--backend", backend, "--connect-timeout", "200ms", &target.to_string()];
        let proxy = Server::example("tcp_proxy", &arguments);
        let mut clients: Vec<_> = (0..5).map(|_| proxy.connect()).collect();
        proxy.wait_for_log(&format!("cannot reach {target}: no connection in the time allowed"), 3);
        drop(listener);
        clients.iter_mut().for_each(Client::wait_for_end);
        drop(clients);
        proxy.wait_for_log(" is done: ", 5);
    }

    fn connections_that_nobody_accepted_leave_nothing_behind(backend) {
        let passage = Passage::new(backend);
        let clients: Vec<Client<TcpStream>> = (0..20).map(|_| passage.proxy.connect()).collect();
        passage.proxy.wait_for_log(" is here", 20);
        drop(clients);
        let Passage { proxy, listener, at_rest } = passage;
        drop(listener);
        proxy.wait_for_log(" is done: ", 20);
        wait_until("nothing is left", || proxy.descriptors() <= at_rest);
    }

    fn who_is_silent_for_too_long_is_hung_up_on(backend) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let arguments = ["--backend", backend, "--idle-timeout", "200ms", &target];
        let proxy = Server::example("tcp_proxy", &arguments);
        let client = proxy.connect();
        let target = listener.accept().unwrap().0;
        for mut stream in [&client.0, &target] {
            let end = stream.read(&mut [0]);
            assert!(matches!(&end, Ok(0)) || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
        }
        proxy.wait_for_log("nothing moved for the time allowed", 1);
    }

    fn a_signal_cuts_idle_connections_in_order(backend) {
        for signal in ["INT", "TERM"] {
            let mut passage = Passage::new(backend);
            let [mut client, mut target] = passage.open();
            client.write_all(b"x").unwrap();
            target.read_exact(&mut [0]).unwrap();
            passage.proxy.signal(signal);
            assert_eq!(client.read(&mut [0]).unwrap() + target.read(&mut [0]).unwrap(), 0);
            drop([client, target]);
            assert_eq!(passage.proxy.wait(), Some(0), "{signal}");
        }
    }
}
