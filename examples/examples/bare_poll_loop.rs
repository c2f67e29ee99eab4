//! The poll loop of the classic text, on layer 1 alone: the zen service, for any number of clients, in one thread. What it
//! must remember of each stands in `Client`. Missing here, and what layer 2 adds: limits on time and number, and an end in
//! order. Try it with zen-client, or `printf 'Simple is better than?' | nc -N 127.0.0.1 1060`.

use std::collections::HashMap;
use std::io::{self, ErrorKind::Interrupted, ErrorKind::WouldBlock, Read, Write};
use std::os::fd::AsRawFd;

use clap::Parser;
use reactor::net::{TcpListener, TcpStream};
use reactor::{Events, Interest, Poll, Token, Trigger::Level, unix::SourceFd};
use zen_server::services::zen::{Answer, DEFAULT_PORT, LONGEST_QUESTION};

/// The zen service in a bare loop around poll
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    listen: zen_examples::Listen,
    #[command(flatten)]
    wait_with: zen_examples::WaitWith,
}

struct Client {
    stream: TcpStream,
    asked: Vec<u8>,    // questions, the last perhaps unfinished
    answered: Vec<u8>, // what the kernel has not taken yet
    ended: bool,       // nothing more is read: the client finished asking, or asked too much
}

impl Client {
    /// While answers wait for the client, nothing is read from it: whoever does not listen may not ask.
    fn interest(&self) -> Interest {
        if self.answered.is_empty() { Interest::READABLE } else { Interest::WRITABLE }
    }

    /// Does what can be done without waiting; `false` when all is said. An error may mean "not now".
    fn go_on(&mut self) -> io::Result<bool> {
        if self.answered.is_empty() {
            let mut buffer = [0; 4096];
            let length = self.stream.read(&mut buffer)?;
            self.ended = length == 0; // perhaps it shut down one direction only: answers still go out
            self.asked.extend_from_slice(&buffer[..length]);
        }
        while !self.ended {
            let end = self.asked.iter().position(|&byte| byte == b'?').unwrap_or(self.asked.len());
            self.ended = end >= LONGEST_QUESTION;
            let answer = match self.asked.get(end) {
                _ if self.ended => Answer::TooLong,
                Some(_) => Answer::to(&self.asked.drain(..=end).collect::<Vec<u8>>()[..end]),
                None => break,
            };
            self.answered.extend_from_slice(answer.text().as_bytes());
        }
        let sent = self.stream.write(&self.answered)?; // perhaps a part: the rest when it is writable
        self.answered.drain(..sent);
        Ok(!self.ended || !self.answered.is_empty())
    }
}

fn main() {
    serve(&zen_examples::parse()).unwrap_or_else(|error| zen_examples::fail(error));
}

fn serve(options: &Options) -> io::Result<()> {
    let mut poll = Poll::with_backend(options.wait_with.resolve())?;
    let (a_newcomer, a_signal, mut last) = (Token(0), Token(1), 1);
    let mut listener = TcpListener::bind(options.listen.addresses(DEFAULT_PORT)[0])?;
    poll.registry().register_with(&mut listener, a_newcomer, Interest::READABLE, Level)?;
    let stop = zen_examples::stop_pipe(); // a signal writes a byte into it, and so wakes the loop
    poll.registry().register_with(&mut SourceFd(&stop.as_raw_fd()), a_signal, Interest::READABLE, Level)?;
    zen_examples::announce(listener.local_addr()?);
    let (mut clients, mut events) = (HashMap::new(), Events::with_capacity(64));
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == Interrupted => continue,
            result => result?,
        }
        for token in events.iter().map(|event| event.token()) {
            if token == a_signal {
                return Ok(());
            } else if token == a_newcomer {
                let Ok((mut stream, _)) = listener.accept() else { continue };
                last += 1;
                poll.registry().register_with(&mut stream, Token(last), Interest::READABLE, Level)?;
                clients.insert(Token(last), Client { stream, asked: vec![], answered: vec![], ended: false });
            }
            let Some(client) = clients.get_mut(&token) else { continue };
            let before = client.interest();
            let is_here = client.go_on().unwrap_or_else(|e| matches!(e.kind(), WouldBlock | Interrupted));
            if !is_here {
                poll.registry().deregister(&mut client.stream)?;
                clients.remove(&token);
            } else if before != client.interest() {
                let now = client.interest();
                poll.registry().reregister_with(&mut client.stream, token, now, Level)?;
            }
        }
    }
}
