//! Who is compared: this library on each of its backends, mio, and polling.
//!
//! All do the same with raw descriptors: tell when there is something to read, by an edge where the interface has edges (as
//! mio always does), else as long as it is so. Where a library wants more of its user than the others, the user does it here.

use std::fmt;
use std::io::{self, Read};
use std::net;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use reactor::unix::SourceFd;
use reactor::{Backend, Events, Interest, Poll, Registry, Token, Trigger, Waker};

/// Events one wait may report.
const CAPACITY: usize = 1024;

/// What is asked of each of them.
pub trait Contender: Sized {
    /// Its own kind of TCP connection.
    type Stream;
    /// Whether a wait that was woken reports an event.
    const WAKES_WITH_EVENT: bool = true;

    fn register(&self, fd: RawFd, token: usize) -> io::Result<()>;
    /// Asks for the same once more.
    fn reregister(&self, fd: RawFd, token: usize) -> io::Result<()>;
    fn deregister(&self, fd: RawFd) -> io::Result<()>;
    /// Waits once and calls `ready` with the token of each event, which all have to be readable.
    fn wait(&mut self, timeout: Option<Duration>, ready: impl FnMut(usize)) -> io::Result<()>;
    /// What its user has to do after a descriptor was read until there was nothing left.
    fn was_read(&self, _fd: RawFd, _token: usize) -> io::Result<()> {
        Ok(())
    }
    /// What ends a wait from another thread.
    fn waker(&self) -> io::Result<impl Fn() -> io::Result<()> + Send + 'static>;
    /// Registers a connection.
    fn stream(&self, stream: net::TcpStream, token: usize) -> io::Result<Self::Stream>;
    /// Reads what has come, as often as it wants it to be read.
    fn read(&self, stream: &mut Self::Stream, buffer: &mut [u8]) -> io::Result<usize>;
}

/// Which of them.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Ours(Backend),
    Mio,
    Polling,
}

/// The kernel interface that mio and polling were compiled for. Both have a switch for their own tests.
pub const PEERS_STAND_ON: Backend =
    if cfg!(mio_unsupported_force_poll_poll) { Backend::Poll } else { Backend::Epoll };

impl Kind {
    /// All that run here: for each of our backends, those on the same kernel interface together, ours first.
    pub fn by_interface() -> Vec<Vec<Kind>> {
        let ours = Backend::available().iter().filter(|&&backend| backend != Backend::Auto);
        let mut interfaces: Vec<Vec<Kind>> = ours.map(|&backend| vec![Kind::Ours(backend)]).collect();
        for kinds in &mut interfaces {
            if kinds[0] == Kind::Ours(PEERS_STAND_ON) {
                kinds.extend([Kind::Mio, Kind::Polling]);
            }
        }
        interfaces
    }

    /// Hands it to `task`, which knows nothing of what it is.
    pub fn give_to<T: Task>(self, task: T) -> io::Result<T::Outcome> {
        match self {
            Kind::Ours(backend @ Backend::Epoll) => task.run(Ours::<EDGE>::new(backend)?),
            Kind::Ours(backend) => task.run(Ours::<LEVEL>::new(backend)?),
            Kind::Mio => task.run(Mio::new()?),
            Kind::Polling => task.run(Polling::new()?),
        }
    }
}

/// What can be done with any contender.
pub trait Task {
    type Outcome;
    fn run<C: Contender + 'static>(self, contender: C) -> io::Result<Self::Outcome>;
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Ours(backend) => f.pad(backend.name()),
            Kind::Mio => f.pad("mio"),
            Kind::Polling => f.pad("polling crate"),
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Kind, String> {
        let mut kinds = Kind::by_interface().into_iter().flatten();
        kinds.find(|kind| kind.to_string() == name).ok_or_else(|| format!("{name} does not run here"))
    }
}

// ------------------------------------------------------------------------------------------------------------- ours

/// By its trigger for raw descriptors, whose I/O a backend without edges of its own cannot see. A constant, as it is in any
/// program: asking would cost ten instructions that are not the library's.
pub struct Ours<const IS_EDGE: bool> {
    poll: Poll,
    events: Events,
}

const EDGE: bool = true;
const LEVEL: bool = false;

impl<const IS_EDGE: bool> Ours<IS_EDGE> {
    fn new(backend: Backend) -> io::Result<Self> {
        Ok(Ours { poll: Poll::with_backend(backend)?, events: Events::with_capacity(CAPACITY) })
    }

    fn registry(&self) -> &Registry {
        self.poll.registry()
    }
}

impl<const IS_EDGE: bool> Contender for Ours<IS_EDGE> {
    type Stream = reactor::net::TcpStream;

    fn register(&self, fd: RawFd, token: usize) -> io::Result<()> {
        let (source, token) = (&mut SourceFd(&fd), Token(token));
        if IS_EDGE {
            self.registry().register(source, token, Interest::READABLE)
        } else {
            self.registry().register_with(source, token, Interest::READABLE, Trigger::Level)
        }
    }

    fn reregister(&self, fd: RawFd, token: usize) -> io::Result<()> {
        let (source, token) = (&mut SourceFd(&fd), Token(token));
        if IS_EDGE {
            self.registry().reregister(source, token, Interest::READABLE)
        } else {
            self.registry().reregister_with(source, token, Interest::READABLE, Trigger::Level)
        }
    }

    fn deregister(&self, fd: RawFd) -> io::Result<()> {
        self.registry().deregister(&mut SourceFd(&fd))
    }

    fn wait(&mut self, timeout: Option<Duration>, mut ready: impl FnMut(usize)) -> io::Result<()> {
        self.poll.poll(&mut self.events, timeout)?;
        for event in &self.events {
            assert!(event.is_readable());
            ready(event.token().0);
        }
        Ok(())
    }

    fn waker(&self) -> io::Result<impl Fn() -> io::Result<()> + Send + 'static> {
        let waker = Waker::new(self.registry(), Token(0))?;
        Ok(move || waker.wake())
    }

    fn stream(&self, stream: net::TcpStream, token: usize) -> io::Result<reactor::net::TcpStream> {
        let mut stream = reactor::net::TcpStream::from_std(stream);
        self.registry().register(&mut stream, Token(token), Interest::READABLE)?;
        Ok(stream)
    }

    fn read(&self, stream: &mut reactor::net::TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        stream.read(buffer) // a short read is the last one
    }
}

// -------------------------------------------------------------------------------------------------------------- mio

pub struct Mio {
    poll: mio::Poll,
    events: mio::Events,
}

impl Mio {
    fn new() -> io::Result<Mio> {
        Ok(Mio { poll: mio::Poll::new()?, events: mio::Events::with_capacity(CAPACITY) })
    }
}

impl Contender for Mio {
    type Stream = mio::net::TcpStream;

    fn register(&self, fd: RawFd, token: usize) -> io::Result<()> {
        let source = &mut mio::unix::SourceFd(&fd);
        self.poll.registry().register(source, mio::Token(token), mio::Interest::READABLE)
    }

    fn reregister(&self, fd: RawFd, token: usize) -> io::Result<()> {
        let source = &mut mio::unix::SourceFd(&fd);
        self.poll.registry().reregister(source, mio::Token(token), mio::Interest::READABLE)
    }

    fn deregister(&self, fd: RawFd) -> io::Result<()> {
        self.poll.registry().deregister(&mut mio::unix::SourceFd(&fd))
    }

    fn wait(&mut self, timeout: Option<Duration>, mut ready: impl FnMut(usize)) -> io::Result<()> {
        self.poll.poll(&mut self.events, timeout)?;
        for event in &self.events {
            assert!(event.is_readable());
            ready(event.token().0);
        }
        Ok(())
    }

    /// On poll(2) it stops watching for what it told, and looks again when one of its sockets meets `WouldBlock`; for a raw
    /// descriptor that is up to the user.
    fn was_read(&self, fd: RawFd, token: usize) -> io::Result<()> {
        if PEERS_STAND_ON == Backend::Poll { self.reregister(fd, token) } else { Ok(()) }
    }

    fn waker(&self) -> io::Result<impl Fn() -> io::Result<()> + Send + 'static> {
        let waker = mio::Waker::new(self.poll.registry(), mio::Token(0))?;
        Ok(move || waker.wake())
    }

    fn stream(&self, stream: net::TcpStream, token: usize) -> io::Result<mio::net::TcpStream> {
        let mut stream = mio::net::TcpStream::from_std(stream);
        self.poll.registry().register(&mut stream, mio::Token(token), mio::Interest::READABLE)?;
        Ok(stream)
    }

    fn read(&self, stream: &mut mio::net::TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        let length = stream.read(buffer)?;
        if PEERS_STAND_ON == Backend::Poll {
            let nothing_left = stream.read(buffer).unwrap_err();
            assert_eq!(nothing_left.kind(), io::ErrorKind::WouldBlock);
        }
        Ok(length)
    }
}

// ---------------------------------------------------------------------------------------------------------- polling

pub struct Polling {
    poller: Arc<polling::Poller>,
    events: polling::Events,
    mode: polling::PollMode,
}

impl Polling {
    fn new() -> io::Result<Polling> {
        let poller = polling::Poller::new()?;
        let edge = poller.supports_edge();
        let mode = if edge { polling::PollMode::Edge } else { polling::PollMode::Level };
        let capacity = CAPACITY.try_into().expect("it is not zero");
        Ok(Polling { poller: Arc::new(poller), events: polling::Events::with_capacity(capacity), mode })
    }
}

impl Contender for Polling {
    type Stream = net::TcpStream;
    const WAKES_WITH_EVENT: bool = false;

    fn register(&self, fd: RawFd, token: usize) -> io::Result<()> {
        // SAFETY: as with the others, the descriptors in `operation.rs` and `curve.rs` outlive the contender or are
        // deregistered before they are closed.
        unsafe { self.poller.add_with_mode(fd, polling::Event::readable(token), self.mode) }
    }

    fn reregister(&self, fd: RawFd, token: usize) -> io::Result<()> {
        // SAFETY: it was registered, so its owner still has it open (above).
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        self.poller.modify_with_mode(fd, polling::Event::readable(token), self.mode)
    }

    fn deregister(&self, fd: RawFd) -> io::Result<()> {
        // SAFETY: it was registered, so its owner still has it open (above).
        self.poller.delete(unsafe { BorrowedFd::borrow_raw(fd) })
    }

    fn wait(&mut self, timeout: Option<Duration>, mut ready: impl FnMut(usize)) -> io::Result<()> {
        self.events.clear();
        self.poller.wait(&mut self.events, timeout)?;
        for event in self.events.iter() {
            assert!(event.readable);
            ready(event.key);
        }
        Ok(())
    }

    fn waker(&self) -> io::Result<impl Fn() -> io::Result<()> + Send + 'static> {
        let poller = Arc::clone(&self.poller);
        Ok(move || poller.notify())
    }

    fn stream(&self, stream: net::TcpStream, token: usize) -> io::Result<net::TcpStream> {
        self.register(stream.as_raw_fd(), token)?;
        Ok(stream)
    }

    fn read(&self, stream: &mut net::TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        stream.read(buffer)
    }
}
