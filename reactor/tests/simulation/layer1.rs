//! Layer 1 by itself: an echo server written with `Poll`, with each of the triggers, and a client that connects.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use reactor::net::{TcpListener, TcpStream};
use reactor::simulation::{self, Peer, Simulation};
use reactor::{Events, Interest, Poll, Token, Trigger};

use super::{CALM_TURNS, UNKIND_TURNS, address, elsewhere, is_over};

const LISTENER: Token = Token(0);
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// What somebody who writes such a loop for the first time does wrong.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum Mistake {
    /// Takes what it wrote for all it wanted to write.
    IgnoresShortWrites,
    /// Reads once for each edge.
    ReadsOnce,
    /// Takes "would block" after an event for the end.
    BelievesReadiness,
    /// Gives a connection up when a signal comes.
    GivesUpWhenInterrupted,
    /// Never asks to be told that it may write again.
    ForgetsToWaitForWriting,
    /// Closes when the client has finished, with something still to be written.
    ClosesTooEarly,
}

struct Echo {
    poll: Poll,
    trigger: Trigger,
    mistake: Option<Mistake>,
    listener: TcpListener,
    connections: BTreeMap<Token, Connection>,
    accepted: usize,
}

struct Connection {
    stream: TcpStream,
    unsent: Vec<u8>,
    has_ended: bool,
}

/// A signal came, or there was no memory just then.
fn passes(error: &io::Error) -> bool {
    [libc::EINTR, libc::ENOBUFS, libc::ENOMEM].map(Some).contains(&error.raw_os_error())
}

/// Does it until it succeeds or cannot.
fn persist<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<Option<T>> {
    loop {
        match attempt() {
            Ok(done) => return Ok(Some(done)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if passes(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

impl Connection {
    /// Reads and writes until both would block. Whether it is over.
    fn serve(&mut self, mistake: Option<Mistake>) -> io::Result<bool> {
        loop {
            let wrote = self.write(mistake)?;
            if self.has_ended && (self.unsent.is_empty() || mistake == Some(Mistake::ClosesTooEarly)) {
                return Ok(true);
            }
            let read = !self.has_ended && self.read(mistake)?;
            if !(wrote || read) || mistake == Some(Mistake::ReadsOnce) {
                self.write(mistake)?;
                return Ok(self.has_ended && self.unsent.is_empty());
            }
        }
    }

    fn read(&mut self, mistake: Option<Mistake>) -> io::Result<bool> {
        let mut buffer = [0; 16];
        let read = if mistake == Some(Mistake::GivesUpWhenInterrupted) {
            self.stream.read(&mut buffer).map(Some)
        } else {
            persist(|| self.stream.read(&mut buffer))
        };
        let read = match (mistake, read) {
            (Some(Mistake::BelievesReadiness), Ok(None)) => Some(0),
            (_, Err(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
            (_, read) => read?,
        };
        self.has_ended |= read == Some(0);
        self.unsent.extend(&buffer[..read.unwrap_or(0)]);
        Ok(read.is_some_and(|read| read > 0))
    }

    fn write(&mut self, mistake: Option<Mistake>) -> io::Result<bool> {
        if self.unsent.is_empty() {
            return Ok(false);
        }
        let Some(wrote) = persist(|| self.stream.write(&self.unsent))? else { return Ok(false) };
        let gone = if mistake == Some(Mistake::IgnoresShortWrites) { self.unsent.len() } else { wrote };
        self.unsent.drain(..gone);
        Ok(true)
    }
}

impl Echo {
    fn new(trigger: Trigger, mistake: Option<Mistake>) -> io::Result<Echo> {
        let (poll, mut listener) = (Poll::new()?, TcpListener::bind(address())?);
        poll.registry().register_with(&mut listener, LISTENER, Interest::READABLE, trigger)?;
        Ok(Echo { poll, trigger, mistake, listener, connections: BTreeMap::new(), accepted: 0 })
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        match self.poll.poll(events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in events.iter() {
            match event.token() {
                LISTENER => self.accept()?,
                token => self.serve(token)?,
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some((mut stream, _)) = persist(|| self.listener.accept())? {
            self.accepted += 1;
            let (token, registry) = (Token(self.accepted), self.poll.registry());
            let forgets = self.mistake == Some(Mistake::ForgetsToWaitForWriting);
            let edge = self.trigger == Trigger::Edge && !forgets;
            let interest = if edge { BOTH } else { Interest::READABLE };
            registry.register_with(&mut stream, token, interest, self.trigger)?;
            self.connections.insert(token, Connection { stream, unsent: Vec::new(), has_ended: false });
        }
        if self.trigger == Trigger::OneShot {
            let registry = self.poll.registry();
            registry.reregister_with(&mut self.listener, LISTENER, Interest::READABLE, self.trigger)?;
        }
        Ok(())
    }

    fn serve(&mut self, token: Token) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(&token) else { return Ok(()) };
        let registry = self.poll.registry();
        if connection.serve(self.mistake)? {
            registry.deregister(&mut connection.stream)?;
            self.connections.remove(&token);
        } else if self.trigger != Trigger::Edge {
            let wants = match (connection.has_ended, connection.unsent.is_empty()) {
                (false, true) => Interest::READABLE,
                (false, false) => BOTH,
                (true, _) => Interest::WRITABLE,
            };
            registry.reregister_with(&mut connection.stream, token, wants, self.trigger)?;
        }
        Ok(())
    }
}

const TEXT: &[u8] = b"Special cases aren't special enough to break the rules.";

/// Two clients, who get back what they sent.
pub fn echo(simulation: &Simulation, trigger: Trigger, mistake: Option<Mistake>) -> io::Result<()> {
    let mut echo = Echo::new(trigger, mistake)?;
    let clients: [Peer<'_>; 2] = [TEXT, &TEXT[..9]].map(|text| {
        let client = simulation.connect(address());
        client.send(text);
        client.finish();
        client
    });
    let mut events = Events::with_capacity(16);
    for turn in 0..UNKIND_TURNS + CALM_TURNS {
        if turn == UNKIND_TURNS {
            simulation.calm();
        }
        if echo.accepted == 2 && echo.connections.is_empty() {
            break;
        }
        echo.turn(&mut events)?;
    }
    assert!(echo.accepted == 2 && echo.connections.is_empty(), "it does not come to an end");
    drop(echo);
    simulation.settle();
    for (client, text) in clients.iter().zip([TEXT, &TEXT[..9]]) {
        assert_eq!(String::from_utf8_lossy(&client.received()), String::from_utf8_lossy(text));
        assert!(is_over(client), "{client:?}");
    }
    assert_eq!(simulation.open_sockets(), 0);
    Ok(())
}

/// A client: writable is not connected.
fn connects(simulation: &Simulation) -> io::Result<()> {
    let server = simulation.serve(elsewhere());
    server.await_bytes(TEXT.len());
    server.finish();
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(4));
    let mut stream = match TcpStream::connect(elsewhere()) {
        // The attempt goes on without us (connect(2), "EINTR"), and the server takes only one.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
        result => result?,
    };
    poll.registry().register(&mut stream, Token(1), BOTH)?;
    let (mut connected, mut unsent) = (false, TEXT);
    for turn in 0..UNKIND_TURNS + CALM_TURNS {
        if turn == UNKIND_TURNS {
            simulation.calm();
        }
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        }
        connected = connected || stream.peer_addr().is_ok();
        if !connected {
            continue;
        }
        while !unsent.is_empty() {
            let Some(wrote) = persist(|| stream.write(unsent))? else { break };
            unsent = &unsent[wrote..];
        }
        if let Some(0) = persist(|| stream.read(&mut [0; 4]))? {
            break;
        }
    }
    assert_eq!(stream.take_error()?.map(|error| error.to_string()), None);
    poll.registry().deregister(&mut stream)?;
    drop(stream);
    simulation.settle();
    assert_eq!((server.received(), simulation.open_sockets()), (TEXT.to_vec(), 0));
    Ok(())
}

#[test]
fn an_edge_triggered_echo_loses_nothing() {
    println!("{} runs", simulation::explore(1, |simulation| echo(simulation, Trigger::Edge, None)));
    simulation::seeds(0..1_500, |simulation| echo(simulation, Trigger::Edge, None));
}

#[test]
fn a_level_triggered_echo_loses_nothing() {
    println!("{} runs", simulation::explore(1, |simulation| echo(simulation, Trigger::Level, None)));
    simulation::seeds(0..1_500, |simulation| echo(simulation, Trigger::Level, None));
}

#[test]
fn a_one_shot_echo_loses_nothing() {
    println!("{} runs", simulation::explore(1, |simulation| echo(simulation, Trigger::OneShot, None)));
    simulation::seeds(0..1_500, |simulation| echo(simulation, Trigger::OneShot, None));
}

#[test]
fn a_stream_that_connects_says_everything_once_it_stands() {
    println!("{} runs", simulation::explore(2, connects));
    simulation::seeds(0..1_500, connects);
}
