//! The same loop on mio: edge-triggered, both directions registered once, reading on until a read is short.

use std::io::{self, Read, Write};
use std::net::TcpListener;

use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::zen;

const LISTENER: Token = Token(usize::MAX);
const SCRATCH: usize = 64 * 1024;

struct Connection {
    stream: mio::net::TcpStream,
    held: Vec<u8>,
    unsent: Vec<u8>,
}

#[derive(PartialEq)]
enum Fate {
    Lives,
    Ends,
}

pub fn serve(listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = mio::net::TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections: Slab<Connection> = Slab::new();
    let mut events = Events::with_capacity(1024);
    let mut input = vec![0; SCRATCH];
    let mut output = Vec::with_capacity(SCRATCH);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut connections)?;
                continue;
            }
            let connection = &mut connections[event.token().0];
            let mut fate = Ok(Fate::Lives);
            if event.is_writable() && !connection.unsent.is_empty() {
                fate = connection.flush();
            }
            // After a flush the edge that came while nothing was read is gone: look again.
            if connection.unsent.is_empty() && fate.is_ok() {
                fate = connection.converse(&mut input, &mut output);
            }
            if fate.unwrap_or(Fate::Ends) == Fate::Ends {
                connections.remove(event.token().0);
            }
        }
    }
}

fn accept(
    poll: &Poll,
    listener: &mio::net::TcpListener,
    connections: &mut Slab<Connection>,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(_) => continue,
        };
        stream.set_nodelay(true)?;
        let entry = connections.vacant_entry();
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(entry.key()), both)?;
        entry.insert(Connection { stream, held: Vec::new(), unsent: Vec::new() });
    }
}

impl Connection {
    fn converse(&mut self, input: &mut [u8], output: &mut Vec<u8>) -> io::Result<Fate> {
        loop {
            let length = match self.stream.read(input) {
                Ok(0) => return Ok(Fate::Ends),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Fate::Lives),
                Err(error) => return Err(error),
            };
            output.clear();
            let fate = self.answer(&input[..length], output);
            if !output.is_empty() {
                let sent = accepted(self.stream.write(output))?;
                if sent < output.len() {
                    self.unsent.extend_from_slice(&output[sent..]);
                    return Ok(fate);
                }
            }
            if fate == Fate::Ends || length < input.len() {
                return Ok(fate);
            }
        }
    }

    fn answer(&mut self, input: &[u8], output: &mut Vec<u8>) -> Fate {
        if self.held.is_empty() {
            match zen::answer_all(input, output) {
                Ok(taken) if taken == input.len() => {}
                Ok(taken) => self.held.extend_from_slice(&input[taken..]),
                Err(zen::TooLong) => return Fate::Ends,
            }
            return Fate::Lives;
        }
        self.held.extend_from_slice(input);
        match zen::answer_all(&self.held, output) {
            Ok(taken) if taken == self.held.len() => self.held = Vec::new(),
            Ok(taken) => drop(self.held.drain(..taken)),
            Err(zen::TooLong) => return Fate::Ends,
        }
        Fate::Lives
    }

    #[cold]
    fn flush(&mut self) -> io::Result<Fate> {
        let sent = accepted(self.stream.write(&self.unsent))?;
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
        }
        Ok(Fate::Lives)
    }
}

/// How many bytes the kernel took: none when it has no room.
fn accepted(sent: io::Result<usize>) -> io::Result<usize> {
    match sent {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
