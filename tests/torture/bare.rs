//! A loop of somebody's own: layer 1 alone, and all that layer 2 does not call. It answers questions like the other, reads
//! every second client in pieces, and watches a pipe, a datagram socket and a waker besides.
//!
//! It is written as a careful user would: an error that passes is met again in the next turn, a short read or write counts as
//! the last, an edge that told of the end is read to the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reactor::net::{UdpSocket, UnixListener, UnixStream};
use reactor::unix::pipe;
use reactor::{Backend, Events, Interest, Poll, Token, Trigger, Waker};

use crate::kernel::{self, Label};
use crate::zen::{self, Kind, Reason, SharedBook, Story};

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const PIPE: Token = Token(2);
const DATAGRAMS: Token = Token(3);
const PIPE_SENDER: Token = Token(4);
/// Clients have the numbers from here on.
const FIRST: usize = 16;

/// Accepted, or read from one client, in one turn.
const BUDGET: usize = 64;

pub struct Bare {
    poll: Poll,
    events: Events,
    trigger: Trigger,
    waker: Arc<Waker>,
    /// What a wake is about: one wake may be told twice, and several as one.
    called: Arc<AtomicBool>,
    listener: Option<UnixListener>,
    pipe: Option<(pipe::Sender, pipe::Receiver)>,
    datagrams: Option<UdpSocket>,
    clients: BTreeMap<usize, Client>,
    /// Who is told what comes by pipe, by datagram, and by another thread.
    audience: Vec<usize>,
    /// Who goes on without an event.
    again: BTreeSet<Token>,
    book: SharedBook,
}

struct Client {
    stream: UnixStream,
    label: Label,
    asking: String,
    unsent: Vec<u8>,
    ended: bool,
    interest: Interest,
}

/// What a call said, and its name.
type Failure = (&'static str, io::Error);

/// Whether an error is met again in the next turn.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::ENOBUFS | libc::ENOMEM))
}

impl Bare {
    pub fn new(backend: Backend, trigger: Trigger, book: &SharedBook) -> io::Result<Bare> {
        let poll = Poll::with_backend(backend)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Bare {
            poll,
            events: Events::with_capacity(2), // it grows
            trigger,
            waker,
            called: Arc::default(),
            listener: None,
            pipe: None,
            datagrams: None,
            clients: BTreeMap::new(),
            audience: Vec::new(),
            again: BTreeSet::new(),
            book: book.clone(),
        })
    }

    pub fn listen(&mut self, at: &Path) -> io::Result<()> {
        let mut listener = UnixListener::bind(at)?;
        self.poll.registry().register_with(&mut listener, LISTENER, Interest::READABLE, self.trigger)?;
        self.listener = Some(listener);
        Ok(())
    }

    /// Watches a pipe, and what comes by datagram. Those who are here now will be told of it.
    pub fn watch_more(&mut self) -> io::Result<()> {
        let registry = self.poll.registry();
        let (sender, mut receiver) = pipe::new()?;
        registry.register_with(&mut receiver, PIPE, Interest::READABLE, self.trigger)?;
        match self.bind_datagrams() {
            Ok(datagrams) => self.datagrams = Some(datagrams),
            Err(error) => {
                registry.deregister(&mut receiver)?;
                return Err(error);
            }
        }
        self.pipe = Some((sender, receiver));
        self.audience = self.clients.keys().copied().collect();
        Ok(())
    }

    fn bind_datagrams(&self) -> io::Result<UdpSocket> {
        let mut datagrams = UdpSocket::bind(([127, 0, 0, 1], 0).into())?;
        let registry = self.poll.registry();
        registry.register_with(&mut datagrams, DATAGRAMS, Interest::READABLE, self.trigger)?;
        Ok(datagrams)
    }

    /// Calls the loop, from wherever.
    pub fn caller(&self) -> impl FnOnce() -> io::Result<()> + Send + use<> {
        let (waker, called) = (Arc::clone(&self.waker), Arc::clone(&self.called));
        move || {
            called.store(true, Ordering::Release);
            waker.wake()
        }
    }

    /// Where datagrams are sent to.
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        self.datagrams.as_ref().and_then(|datagrams| datagrams.local_addr().ok())
    }

    /// Has it write into its own pipe.
    pub fn write_into_pipe(&mut self) {
        self.go_on_with(PIPE_SENDER);
    }

    pub fn connections(&self) -> usize {
        self.clients.len()
    }

    pub fn turn(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let again = std::mem::take(&mut self.again);
        let limit = if again.is_empty() { limit } else { Some(Duration::ZERO) };
        match self.poll.poll(&mut self.events, limit) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => result.inspect_err(|_| self.again.clone_from(&again))?,
        }
        let mut told: BTreeMap<Token, bool> = again.into_iter().map(|token| (token, true)).collect();
        for event in &self.events {
            *told.entry(event.token()).or_default() |= event.is_read_closed() || event.is_error();
        }
        let mut result = Ok(());
        for (token, to_the_end) in told {
            // One that fails costs nobody else an event.
            result = result.and(match token {
                LISTENER => self.accept(),
                WAKER => {
                    if self.called.swap(false, Ordering::Acquire) {
                        self.tell(b"Woken.");
                    }
                    Ok(())
                }
                PIPE => self.read_pipe(),
                PIPE_SENDER => {
                    self.write_pipe();
                    Ok(())
                }
                DATAGRAMS => self.read_datagrams(),
                Token(number) => {
                    self.serve(number, to_the_end);
                    Ok(())
                }
            });
        }
        result
    }

    /// It has its turn without an event.
    fn go_on_with(&mut self, token: Token) {
        self.again.insert(token);
    }

    /// Arms a one-shot again.
    fn arm(&self, source: &mut impl reactor::event::Source, token: Token) -> io::Result<()> {
        match self.trigger {
            Trigger::OneShot => {
                self.poll.registry().reregister_with(source, token, Interest::READABLE, Trigger::OneShot)
            }
            _ => Ok(()),
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        let Some(mut listener) = self.listener.take() else { return Ok(()) };
        let mut nobody = false;
        for _ in 0..BUDGET {
            match listener.accept() {
                Ok((stream, _)) => self.admit(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    nobody = true;
                    break;
                }
                Err(_) => {}
            }
        }
        let armed = self.arm(&mut listener, LISTENER);
        self.listener = Some(listener);
        if !nobody || armed.is_err() {
            self.again.insert(LISTENER);
        }
        armed
    }

    fn admit(&mut self, mut stream: UnixStream) {
        let accepted = kernel::with(|kernel| kernel.accepted) - 1;
        let (label, number, interest) = (Label::Accepted(accepted), FIRST + accepted, Interest::READABLE);
        self.book.borrow_mut().stories.insert(label, Story::default());
        let registered = self.poll.registry().register_with(
            &mut stream,
            Token(number),
            self.wanted(interest),
            self.trigger,
        );
        let (asking, unsent) = (String::new(), Vec::new());
        self.clients.insert(number, Client { stream, label, asking, unsent, ended: false, interest });
        if let Err(error) = registered {
            self.end(number, Err(("register", error)));
        }
    }

    /// An edge costs nothing while it is silent: it is asked for in both directions, for good.
    fn wanted(&self, interest: Interest) -> Interest {
        if self.trigger == Trigger::Edge { Interest::READABLE | Interest::WRITABLE } else { interest }
    }

    fn write_pipe(&mut self) {
        let Some((sender, _)) = &mut self.pipe else { return };
        let (pieces, nothing) = (IoSlice::new(b"!"), IoSlice::new(b""));
        if sender.write_vectored(&[pieces, nothing]).is_err() {
            self.go_on_with(PIPE_SENDER); // a byte fits, if not now
        }
    }

    fn read_pipe(&mut self) -> io::Result<()> {
        let Some((sender, mut receiver)) = self.pipe.take() else { return Ok(()) };
        let (mut first, mut second) = ([0; 1], [0; 8]);
        let mut pieces = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        match receiver.read_vectored(&mut pieces) {
            Ok(_) => self.tell(b"Piped."),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.go_on_with(PIPE),
        }
        let armed = self.arm(&mut receiver, PIPE);
        self.pipe = Some((sender, receiver));
        armed.inspect_err(|_| self.go_on_with(PIPE))
    }

    fn read_datagrams(&mut self) -> io::Result<()> {
        let Some(mut datagrams) = self.datagrams.take() else { return Ok(()) };
        match datagrams.recv_from(&mut [0; 64]) {
            Ok((_, from)) => {
                let _ = datagrams.send_to(b"pong", from); // it may be lost anyway
                self.tell(b"Datagram.");
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.go_on_with(DATAGRAMS),
        }
        let armed = self.arm(&mut datagrams, DATAGRAMS);
        self.datagrams = Some(datagrams);
        armed.inspect_err(|_| self.go_on_with(DATAGRAMS))
    }

    fn tell(&mut self, what: &[u8]) {
        for &number in &self.audience {
            if let Some(client) = self.clients.get_mut(&number) {
                client.unsent.extend_from_slice(what);
                self.again.insert(Token(number));
            }
        }
    }

    fn serve(&mut self, number: usize, to_the_end: bool) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let in_pieces = number % 2 == 1;
        let result = client.read(in_pieces, to_the_end).and_then(|more| Ok(client.write(in_pieces)? || more));
        match result {
            Err(failure) => self.end(number, Err(failure)),
            Ok(_) if client.ended && client.unsent.is_empty() => self.end(number, Ok(())),
            Ok(more) => {
                if more {
                    self.again.insert(Token(number));
                }
                self.watch(number);
            }
        }
    }

    /// Level asks for room only while something is unsent; a one-shot asks anew, each time.
    fn watch(&mut self, number: usize) {
        let Some(client) = self.clients.get_mut(&number) else { return };
        let wanted = match (client.unsent.is_empty(), client.ended) {
            (true, _) => Interest::READABLE,
            (false, true) => Interest::WRITABLE,
            (false, false) => Interest::READABLE | Interest::WRITABLE,
        };
        let is_due = match self.trigger {
            Trigger::Edge => false,
            Trigger::Level => wanted != client.interest,
            Trigger::OneShot => true,
        };
        if is_due {
            client.interest = wanted;
            let registry = self.poll.registry();
            let result = registry.reregister_with(&mut client.stream, Token(number), wanted, self.trigger);
            if let Err(error) = result {
                self.end(number, Err(("reregister", error)));
            }
        }
    }

    fn end(&mut self, number: usize, result: Result<(), Failure>) {
        let Some(mut client) = self.clients.remove(&number) else { return };
        let _ = self.poll.registry().deregister(&mut client.stream); // it is closed, whatever the answer
        let reason = match result {
            Ok(()) => Reason { text: "finished".to_owned(), kind: Kind::Finished, errno: None },
            Err((call, error)) => {
                let gone = matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
                let kind = if gone { Kind::Gone } else { Kind::Io };
                Reason { text: format!("{call}: {error}"), kind, errno: reactor::errno(&error) }
            }
        };
        self.book.borrow_mut().stories.entry(client.label).or_default().reason = Some(reason);
    }
}

impl Client {
    /// Reads what is there; `true` if there may be more.
    fn read(&mut self, in_pieces: bool, to_the_end: bool) -> Result<bool, Failure> {
        let mut buffer = [0; 1024];
        for _ in 0..BUDGET {
            if self.ended {
                return Ok(false);
            }
            let (call, result) = if in_pieces {
                let (first, second) = buffer.split_at_mut(512);
                let pieces = &mut [IoSliceMut::new(first), IoSliceMut::new(second)];
                ("recvmsg", self.stream.read_vectored(pieces))
            } else {
                ("recv", self.stream.read(&mut buffer))
            };
            match result {
                Ok(0) => self.ended = true,
                Ok(length) => {
                    self.asking.push_str(&String::from_utf8_lossy(&buffer[..length]));
                    let complete = self.asking.rfind('?').map_or(0, |end| end + 1);
                    self.unsent.extend(zen::answers(&self.asking[..complete]));
                    self.asking.drain(..complete);
                    if length < buffer.len() && !to_the_end {
                        return Ok(false);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if is_passing(&error) => return Ok(true),
                Err(error) => return Err((call, error)),
            }
        }
        Ok(true)
    }

    /// Writes what fits; `true` if it is to be tried again although no event will say so.
    fn write(&mut self, in_pieces: bool) -> Result<bool, Failure> {
        if self.unsent.is_empty() {
            return Ok(false);
        }
        let (call, result) = if in_pieces {
            let (first, second) = self.unsent.split_at(self.unsent.len() / 2);
            ("sendmsg", self.stream.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]))
        } else {
            ("send", self.stream.write(&self.unsent))
        };
        match result {
            Ok(length) => drop(self.unsent.drain(..length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if is_passing(&error) => return Ok(true),
            Err(error) => return Err((call, error)),
        }
        Ok(false)
    }
}
