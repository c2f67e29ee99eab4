//! What is measured of each contender: the few things that a loop does all day.
//!
//! The descriptors are eventfds, one number each and nearly free, so that what a system call has to do for a socket does not
//! hide what a library adds to it. Each round writes what it waits for and reads it again, the same for all.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use clap::ValueEnum;
use rustix::event::{EventfdFlags, eventfd};

use crate::contender::{Contender, Kind, Task};

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    /// Register a descriptor and deregister it
    Register,
    /// Replace a registration by the same
    Reregister,
    /// Wait with zero timeout while nothing is ready
    Nothing,
    /// A round with one descriptor
    One,
    /// The same, with a timeout that does not come to pass
    Timeout,
    /// A round with 64 descriptors, all of them ready
    Many,
    /// A round with one descriptor beside 1 000 idle ones
    Idle,
    /// Wake and wait, in one thread
    Wake,
    /// A round with a TCP connection of the library's own kind
    Stream,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Operation::Register => "register and deregister",
            Operation::Reregister => "reregister",
            Operation::Nothing => "wait, nothing is ready",
            Operation::One => "wait, 1 of 1 ready",
            Operation::Timeout => "the same, at most 1 s",
            Operation::Many => "wait, 64 of 64 ready",
            Operation::Idle => "wait, 1 of 1001 ready",
            Operation::Wake => "wake and wait",
            Operation::Stream => "wait and read TCP",
        })
    }
}

impl Operation {
    /// The name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().expect("none is hidden").get_name().to_owned()
    }

    /// With a contender of its own.
    pub fn prepare(self, kind: Kind) -> io::Result<Prepared> {
        kind.give_to(self)
    }
}

/// An operation that can be repeated without end.
pub struct Prepared(Box<dyn FnMut() -> io::Result<()>>);

impl Prepared {
    /// The call through the box is the same for all contenders.
    pub fn once(&mut self) -> io::Result<()> {
        (self.0)()
    }
}

impl Task for Operation {
    type Outcome = Prepared;

    fn run<C: Contender + 'static>(self, contender: C) -> io::Result<Prepared> {
        match self {
            Operation::Register => registering(contender),
            Operation::Reregister => reregistering(contender),
            Operation::Nothing => nothing(contender),
            Operation::One => round(contender, 1, 0, None),
            Operation::Timeout => round(contender, 1, 0, Some(Duration::from_secs(1))),
            Operation::Many => round(contender, 64, 0, None),
            Operation::Idle => round(contender, 1, 1000, None),
            Operation::Wake => waking(contender),
            Operation::Stream => streaming(contender),
        }
    }
}

#[allow(clippy::unnecessary_wraps)] // so that those who prepare can end with it
fn prepared(operation: impl FnMut() -> io::Result<()> + 'static) -> io::Result<Prepared> {
    Ok(Prepared(Box::new(operation)))
}

fn registering<C: Contender + 'static>(contender: C) -> io::Result<Prepared> {
    let counter = Counter::new()?;
    prepared(move || {
        contender.register(counter.fd(), 0)?;
        contender.deregister(counter.fd())
    })
}

fn reregistering<C: Contender + 'static>(contender: C) -> io::Result<Prepared> {
    let counter = Counter::new()?;
    contender.register(counter.fd(), 0)?;
    prepared(move || contender.reregister(counter.fd(), 0))
}

fn nothing<C: Contender + 'static>(mut contender: C) -> io::Result<Prepared> {
    let counter = Counter::new()?;
    contender.register(counter.fd(), 0)?;
    prepared(move || {
        let _alive = &counter;
        contender.wait(Some(Duration::ZERO), |_| panic!("nothing is ready"))
    })
}

fn round<C: Contender + 'static>(
    mut contender: C,
    active: usize,
    idle: usize,
    timeout: Option<Duration>,
) -> io::Result<Prepared> {
    let counters: Vec<Counter> = (0..active + idle).map(|_| Counter::new()).collect::<io::Result<_>>()?;
    for (token, counter) in counters.iter().enumerate() {
        contender.register(counter.fd(), token)?;
    }
    let mut heard = Vec::new();
    prepared(move || {
        // Not the first `active`: idle ones come before them and after them.
        let active = &counters[idle / 2..idle / 2 + active];
        active.iter().try_for_each(Counter::write)?;
        let mut waiting = active.len();
        while waiting > 0 {
            contender.wait(timeout, |token| heard.push(token))?;
            waiting -= heard.len();
            for token in heard.drain(..) {
                counters[token].read()?;
                contender.was_read(counters[token].fd(), token)?;
            }
        }
        Ok(())
    })
}

fn waking<C: Contender + 'static>(mut contender: C) -> io::Result<Prepared> {
    let wake = contender.waker()?;
    prepared(move || {
        wake()?;
        let events = Cell::new(0);
        contender.wait(None, |_| events.set(events.get() + 1))?;
        assert_eq!(events.get(), usize::from(C::WAKES_WITH_EVENT));
        Ok(())
    })
}

fn streaming<C: Contender + 'static>(mut contender: C) -> io::Result<Prepared> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (mut theirs, _) = listener.accept()?;
    theirs.set_nodelay(true)?;
    ours.set_nonblocking(true)?;
    let mut stream = contender.stream(ours, 0)?;
    prepared(move || {
        theirs.write_all(b"!")?;
        let heard = Cell::new(false);
        contender.wait(None, |_| heard.set(true))?;
        assert!(heard.get());
        assert_eq!(contender.read(&mut stream, &mut [0; 64])?, 1);
        Ok(())
    })
}

/// An eventfd: readable from a write to the next read.
pub struct Counter(OwnedFd);

impl Counter {
    pub fn new() -> io::Result<Counter> {
        Ok(Counter(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub fn write(&self) -> io::Result<()> {
        rustix::io::write(self.0.as_fd(), &1u64.to_ne_bytes())?;
        Ok(())
    }

    /// Fails if nobody wrote: whoever told that it is readable told the untruth.
    pub fn read(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        rustix::io::read(self.0.as_fd(), &mut count)?;
        Ok(u64::from_ne_bytes(count))
    }
}
