//! The client: a closed loop, which asks the next questions of a connection once the last are answered, and checks every
//! answer.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::sys::{self, Epoll, Event};
use crate::zen::CONVERSATION;

/// A server that says nothing for so long is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connections to one server.
pub struct Load {
    epoll: Epoll,
    events: Vec<Event>,
    clients: Vec<Client>,
    /// What is asked at once, beginning with each question in turn.
    batches: Vec<Batch>,
    depth: u64,
    input: Vec<u8>,
}

/// When to ask no more. What was asked is waited for.
#[derive(Copy, Clone)]
pub enum Until {
    Answered(u64),
    Elapsed(Duration),
}

struct Client {
    socket: OwnedFd,
    /// Which of the batches is asked.
    batch: usize,
    /// Bytes of its answers that have come.
    received: usize,
}

struct Batch {
    questions: Vec<u8>,
    answers: Vec<u8>,
}

impl Load {
    /// Opens `connections` that ask `depth` questions at once, and asks each a first time: what follows finds code and
    /// buffers warm.
    pub fn connect(address: SocketAddr, connections: usize, depth: usize) -> io::Result<Load> {
        let mut load = Load {
            epoll: Epoll::new()?,
            events: Vec::with_capacity(connections),
            clients: Vec::with_capacity(connections),
            batches: (0..CONVERSATION.len()).map(|first| Batch::new(first, depth)).collect(),
            depth: depth as u64,
            input: vec![0; 64 * 1024],
        };
        for number in 0..connections {
            let stream = TcpStream::connect(address)?;
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            load.epoll.add(&stream, number as u64, sys::IN)?;
            load.clients.push(Client {
                socket: stream.into(),
                batch: number % CONVERSATION.len(),
                received: 0,
            });
            // One after the other: no backlog overflows, however many there are.
            load.ask(number)?;
            while load.collect(|_| false)?.1 == 0 {}
        }
        Ok(load)
    }

    /// Asks on all connections at once. Returns how many questions were answered.
    pub fn run(&mut self, until: Until) -> io::Result<u64> {
        let (start, mut answered, mut waiting) = (Instant::now(), 0, self.clients.len());
        for client in 0..self.clients.len() {
            self.ask(client)?;
        }
        while waiting > 0 {
            let under_way = waiting as u64 * self.depth;
            let enough = match until {
                Until::Answered(enough) => answered + under_way >= enough,
                Until::Elapsed(enough) => start.elapsed() >= enough,
            };
            let (answers, finished) = self.collect(|_| !enough)?;
            answered += answers * self.depth;
            waiting -= finished;
        }
        Ok(answered)
    }

    /// Waits for answers, and asks again on the connections that `again` is true of. Returns how many batches were
    /// answered, and how many connections have nothing under way any more.
    fn collect(&mut self, again: impl Fn(usize) -> bool) -> io::Result<(u64, usize)> {
        let mut events = std::mem::take(&mut self.events);
        self.epoll.wait(&mut events, PATIENCE.as_millis() as i32)?;
        if events.is_empty() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server does not answer any more"));
        }
        let (mut answered, mut finished) = (0, 0);
        for event in &events {
            let client = event.u64 as usize;
            if !self.receive(client)? {
                continue;
            }
            answered += 1;
            if again(client) {
                self.ask(client)?;
            } else {
                finished += 1;
            }
        }
        self.events = events;
        Ok((answered, finished))
    }

    fn ask(&mut self, client: usize) -> io::Result<()> {
        let Client { socket, batch, received } = &mut self.clients[client];
        *batch = (*batch + 1) % self.batches.len();
        *received = 0;
        let questions = &self.batches[*batch].questions;
        match sys::send(socket, questions)? {
            sent if sent == questions.len() => Ok(()),
            _ => Err(io::Error::other("fewer questions fit into the socket's buffer than are asked at once")),
        }
    }

    /// Reads once and compares with what should come; whether all has come.
    fn receive(&mut self, client: usize) -> io::Result<bool> {
        let Client { socket, batch, received } = &mut self.clients[client];
        let expected = &self.batches[*batch].answers;
        let length = match sys::receive(socket, &mut self.input) {
            Ok(0) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed a connection"));
            }
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        if expected.get(*received..*received + length) != Some(&self.input[..length]) {
            let got = String::from_utf8_lossy(&self.input[..length]);
            let message =
                format!("a wrong answer: {got:?} in place of {:?}", String::from_utf8_lossy(expected));
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        *received += length;
        Ok(*received == expected.len())
    }
}

impl Batch {
    fn new(first: usize, depth: usize) -> Batch {
        let turns = || CONVERSATION.iter().cycle().skip(first).take(depth);
        Batch {
            questions: turns().flat_map(|(question, _)| question.iter().copied()).collect(),
            answers: turns().flat_map(|(_, answer)| answer.iter().copied()).collect(),
        }
    }
}
