//! A server in the usual shape of a mio program: a table of connections, a token for each, and edges. It sends every line back
//! in capitals, and one of its clients asks for so much that writing has to wait.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::thread;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

use crate::waiting::{poll_until, unless_blocked};

const SERVER: Token = Token(0);

/// What each client says: the last one more than the buffers of both sockets hold.
const CLIENTS: [(&str, usize); 3] =
    [("beautiful\n", 1), ("explicit\n", 100), ("simple is better than complex\n", 300_000)];

struct Connection {
    stream: TcpStream,
    /// What it said, in capitals, and how much of that was sent back.
    answer: Vec<u8>,
    sent: usize,
    heard_the_end: bool,
}

pub fn run() -> io::Result<Vec<String>> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(4);
    let mut listener = TcpListener::bind("127.0.0.1:0".parse().expect("an address"))?;
    poll.registry().register(&mut listener, SERVER, Interest::READABLE)?;
    let clients = CLIENTS.map(|(line, times)| {
        let address = listener.local_addr();
        thread::spawn(move || client(address?, line, times))
    });

    let (mut connections, mut next, mut answered) = (HashMap::new(), 1, Vec::new());
    poll_until(&mut poll, &mut events, |poll, event| {
        if event.token() == SERVER {
            while let Some((mut stream, _)) = unless_blocked(listener.accept())? {
                let (token, both) = (Token(next), Interest::READABLE.add(Interest::WRITABLE));
                next += 1;
                poll.registry().register(&mut stream, token, both)?;
                let connection = Connection { stream, answer: Vec::new(), sent: 0, heard_the_end: false };
                connections.insert(token, connection);
            }
        } else if let Some(connection) = connections.get_mut(&event.token()) {
            if connection.go_on(event.is_readable(), poll.registry())? {
                answered.push(connection.sent);
                connections.remove(&event.token());
            }
        }
        Ok(answered.len() == CLIENTS.len())
    })?;

    answered.sort_unstable();
    let mut seen = vec![format!("answers of {answered:?} bytes")];
    for client in clients {
        seen.push(client.join().expect("a client does not panic")?);
    }
    Ok(seen)
}

impl Connection {
    /// Reads and writes what can be read and written. `true` when the client is served.
    fn go_on(&mut self, readable: bool, registry: &Registry) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        while readable && !self.heard_the_end {
            match unless_blocked(self.stream.read(&mut buffer))? {
                None => break,
                Some(0) => self.heard_the_end = true,
                Some(length) => self.answer.extend(buffer[..length].iter().map(u8::to_ascii_uppercase)),
            }
        }
        while self.sent < self.answer.len() {
            match unless_blocked(self.stream.write(&self.answer[self.sent..]))? {
                None => break,
                Some(length) => self.sent += length,
            }
        }
        let is_served = self.heard_the_end && self.sent == self.answer.len();
        if is_served {
            registry.deregister(&mut self.stream)?;
            self.stream.shutdown(Shutdown::Write)?;
        }
        Ok(is_served)
    }
}

/// Says its line so many times, then that this was all, and only then reads what comes back: meanwhile the server's answers
/// have filled what is between them, and it waits with writing.
fn client(server: SocketAddr, line: &'static str, times: usize) -> io::Result<String> {
    let mut stream = std::net::TcpStream::connect(server)?;
    stream.write_all(line.repeat(times).as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut right = 0;
    for answer in BufReader::new(stream).lines() {
        right += usize::from(answer? == line.trim_end().to_ascii_uppercase());
    }
    Ok(format!("{:?} was answered {right} times of {times}", line.trim_end()))
}
