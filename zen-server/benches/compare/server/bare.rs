//! The reference: an epoll loop as one writes it for this one service and nothing else.
//!
//! Level-triggered, so that one `recv` per event is enough: whatever it left is reported again. One `send` per event, of all
//! answers together, at once and not when epoll says writable; only what the kernel refused waits for that. All connections
//! share one buffer to read into and one to write from, and own memory only for half a question or an unsent answer.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use slab::Slab;

use crate::sys::{self, Epoll, Event};
use crate::zen;

const LISTENER: u64 = u64::MAX;
const SCRATCH: usize = 64 * 1024;

struct Connection {
    socket: OwnedFd,
    /// The beginning of a question.
    held: Vec<u8>,
    /// Answers the kernel had no room for. While there are any, nothing is read.
    unsent: Vec<u8>,
}

/// What becomes of a connection after an event.
#[derive(PartialEq)]
enum Fate {
    Lives,
    Ends,
}

pub fn serve(listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new()?;
    epoll.add(&listener, LISTENER, sys::IN)?;
    let mut connections: Slab<Connection> = Slab::new();
    let mut events: Vec<Event> = Vec::with_capacity(1024);
    let mut input = vec![0; SCRATCH];
    let mut output = Vec::with_capacity(SCRATCH);
    loop {
        epoll.wait(&mut events, -1)?;
        for event in &events {
            if event.u64 == LISTENER {
                accept(&epoll, &listener, &mut connections)?;
                continue;
            }
            let connection = &mut connections[event.u64 as usize];
            let fate = if connection.unsent.is_empty() {
                converse(&epoll, event.u64, connection, &mut input, &mut output)
            } else {
                flush(&epoll, event.u64, connection)
            };
            if fate.unwrap_or(Fate::Ends) == Fate::Ends {
                connections.remove(event.u64 as usize);
            }
        }
    }
}

fn accept(epoll: &Epoll, listener: &TcpListener, connections: &mut Slab<Connection>) -> io::Result<()> {
    let Ok((socket, _)) = listener.accept() else { return Ok(()) };
    socket.set_nonblocking(true)?;
    socket.set_nodelay(true)?;
    let entry = connections.vacant_entry();
    epoll.add(&socket, entry.key() as u64, sys::IN)?;
    entry.insert(Connection { socket: socket.into(), held: Vec::new(), unsent: Vec::new() });
    Ok(())
}

/// Reads once, answers once.
#[inline]
fn converse(
    epoll: &Epoll,
    key: u64,
    connection: &mut Connection,
    input: &mut [u8],
    output: &mut Vec<u8>,
) -> io::Result<Fate> {
    let length = match sys::receive(&connection.socket, input) {
        Ok(0) => return Ok(Fate::Ends),
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Fate::Lives),
        Err(error) => return Err(error),
    };
    let input = &input[..length];
    output.clear();
    let mut fate = Fate::Lives;
    if connection.held.is_empty() {
        match zen::answer_all(input, output) {
            Ok(taken) if taken == length => {}
            Ok(taken) => connection.held.extend_from_slice(&input[taken..]),
            Err(zen::TooLong) => fate = Fate::Ends,
        }
    } else {
        connection.held.extend_from_slice(input);
        match zen::answer_all(&connection.held, output) {
            Ok(taken) if taken == connection.held.len() => connection.held = Vec::new(),
            Ok(taken) => drop(connection.held.drain(..taken)),
            Err(zen::TooLong) => fate = Fate::Ends,
        }
    }
    if !output.is_empty() {
        let sent = accepted(sys::send(&connection.socket, output))?;
        if sent < output.len() {
            connection.unsent.extend_from_slice(&output[sent..]);
            epoll.modify(&connection.socket, key, sys::OUT)?;
        }
    }
    Ok(fate)
}

/// Sends what was left, then reads again.
#[cold]
fn flush(epoll: &Epoll, key: u64, connection: &mut Connection) -> io::Result<Fate> {
    let sent = accepted(sys::send(&connection.socket, &connection.unsent))?;
    connection.unsent.drain(..sent);
    if connection.unsent.is_empty() {
        connection.unsent = Vec::new();
        epoll.modify(&connection.socket, key, sys::IN)?;
    }
    Ok(Fate::Lives)
}

/// How many bytes the kernel took: none when it has no room.
fn accepted(sent: io::Result<usize>) -> io::Result<usize> {
    match sent {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
