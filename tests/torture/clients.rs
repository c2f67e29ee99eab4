//! Everybody but the loop: who asks it, whom it may ask, and a descriptor of the program's that it watches. None of their
//! calls is seen.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use reactor::event::Event;
use reactor::event_loop::{ConnectionId, Source, SourceContext};

use crate::kernel;
use crate::traced;
use crate::zen;

/// How a client heard that its connection is over.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum End {
    Finished,
    Reset,
}

/// Somebody who asks.
pub struct Client {
    /// `None` when it has left. (A socket of either family: only what all streams have in common is used.)
    pub stream: Option<UnixStream>,
    /// The beginning of a question.
    pub asking: String,
    /// What it should hear in all.
    pub expects: Vec<u8>,
    pub heard: Vec<u8>,
    pub ended: Option<End>,
    /// It takes what it is given only when told to.
    pub slow: bool,
    /// It left without a word.
    pub is_gone: bool,
}

impl Client {
    /// Takes what is there, at most so many bytes.
    pub fn listen(&mut self, most: usize) {
        let Some(stream) = &mut self.stream else { return };
        let mut buffer = [0; 4096];
        let mut left = most;
        while left > 0 && self.ended.is_none() {
            let room = left.min(buffer.len());
            match stream.read(&mut buffer[..room]) {
                Ok(0) => self.ended = Some(End::Finished),
                Ok(length) => {
                    self.heard.extend_from_slice(&buffer[..length]);
                    left -= length;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.ended = Some(End::Reset),
            }
        }
    }

    /// Whether it has all answers, or will never have them.
    pub fn is_settled(&self) -> bool {
        self.ended.is_some() || self.stream.is_none() || self.heard.len() >= self.expects.len()
    }
}

/// Whom the loop calls: it answers questions, one connection after the other.
pub struct Host {
    pub listener: Door,
    /// A connection, and the beginning of a question.
    pub guests: Vec<(UnixStream, String)>,
}

pub enum Door {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Door {
    fn accept(&self) -> io::Result<UnixStream> {
        match self {
            Door::Unix(listener) => listener.accept().map(|(stream, _)| stream),
            Door::Tcp(listener) => {
                listener.accept().map(|(stream, _)| UnixStream::from(OwnedFd::from(stream)))
            }
        }
    }
}

impl Host {
    /// Lets guests in, and answers what they have asked.
    pub fn attend(&mut self) -> io::Result<()> {
        while let Ok(guest) = self.listener.accept() {
            guest.set_nonblocking(true)?;
            self.guests.push((guest, String::new()));
        }
        self.guests.retain_mut(|(guest, asked)| {
            let mut buffer = [0; 256];
            match guest.read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => asked.push_str(&String::from_utf8_lossy(&buffer[..length])),
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
            let answers = zen::answers(asked);
            if !answers.is_empty() {
                asked.clear();
            }
            guest.write_all(&answers).is_ok()
        });
        Ok(())
    }
}

/// A descriptor of the program's. Its own calls are the program's business.
pub struct Listening {
    pub stream: UnixStream,
    pub connection: ConnectionId,
}

impl Source<&'static [u8]> for Listening {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    fn ready(&mut self, _: &Event, cx: &mut SourceContext<'_, &'static [u8]>) -> io::Result<()> {
        match kernel::unseen(|| traced::hidden(|| self.stream.read(&mut [0; 64]))) {
            Ok(0) => cx.remove(),
            Ok(_) => drop(cx.send(self.connection, b"Source.")),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
