//! A socket that is watched, its peer, and what poll(2) says of it.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use reactor::Interest;
use reactor::event::Event;
use reactor::net::TcpStream;

use crate::support::{self, eventually, pair, poll_flags, receive_urgent, reset_on_close, tcp_pair};

pub struct Source {
    pub ours: TcpStream,
    /// Its number, asked for once: backends that emulate edges take each loan of it for a read they do not see.
    fd: RawFd,
    pub theirs: Option<Peer>,
    pub is_tcp: bool,
    /// We finished sending.
    pub has_finished: bool,
}

/// The other end. What it does is seen at once if it is a Unix socket; over TCP each step waits until it is.
pub enum Peer {
    Unix(UnixStream),
    Tcp(std::net::TcpStream),
}

impl Source {
    pub fn new(is_tcp: bool) -> Source {
        let (ours, theirs) = if is_tcp {
            let (ours, theirs) = tcp_pair();
            theirs.set_nonblocking(true).unwrap();
            (ours, Peer::Tcp(theirs))
        } else {
            let (ours, theirs) = pair();
            (ours, Peer::Unix(theirs))
        };
        Source { fd: ours.as_raw_fd(), ours, theirs: Some(theirs), is_tcp, has_finished: false }
    }

    /// Closes both ends and opens two others. The old ones go first, so that the numbers come back.
    pub fn renew(&mut self) {
        self.theirs = None;
        let null = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        drop(std::mem::replace(&mut self.ours, TcpStream::from(null)));
        *self = Source::new(self.is_tcp);
    }

    pub fn peer_writes(&mut self, length: usize) {
        let bytes = vec![1; length];
        let written = match &mut self.theirs {
            Some(Peer::Unix(theirs)) => theirs.write(&bytes),
            Some(Peer::Tcp(theirs)) => theirs.write(&bytes),
            None => return,
        };
        if written.is_ok() {
            self.until(libc::POLLIN);
        }
    }

    pub fn peer_reads(&mut self) {
        let mut buffer = vec![0; 1 << 20];
        match &mut self.theirs {
            Some(Peer::Unix(theirs)) => drop(theirs.read(&mut buffer)),
            Some(Peer::Tcp(theirs)) => drop(theirs.read(&mut buffer)),
            None => {}
        }
    }

    pub fn peer_finishes(&mut self) {
        let finished = match &self.theirs {
            Some(Peer::Unix(theirs)) => theirs.shutdown(Shutdown::Write),
            Some(Peer::Tcp(theirs)) => theirs.shutdown(Shutdown::Write),
            None => return,
        };
        if finished.is_ok() {
            self.until_end();
        }
    }

    pub fn peer_closes(&mut self) {
        if self.theirs.take().is_some() {
            self.until_end();
        }
    }

    pub fn peer_resets(&mut self) {
        if let Some(Peer::Tcp(theirs)) = &self.theirs {
            reset_on_close(theirs);
            self.theirs = None;
            self.until(libc::POLLHUP);
        }
    }

    /// One urgent byte at a time: of two, the first becomes plain data, sooner or later.
    pub fn peer_urges(&mut self) {
        let Some(Peer::Tcp(theirs)) = &self.theirs else { return };
        if poll_flags(&self.fd, libc::POLLPRI) & libc::POLLPRI == 0
            && support::try_send_urgent(theirs, b'!').is_ok()
        {
            self.until(libc::POLLPRI);
        }
    }

    pub fn finishes(&mut self) {
        self.has_finished |= self.ours.shutdown(Shutdown::Write).is_ok();
    }

    pub fn receives_urgent(&self) {
        let _ = self.ours.try_io(|| receive_urgent(&self.fd));
    }

    /// Writes until there is no room, and says whether that is why it ended. Over TCP nothing is written: when there is room
    /// again would be anybody's guess.
    pub fn fills(&mut self) -> bool {
        if self.is_tcp {
            return false;
        }
        let refusals = std::iter::repeat_with(|| self.ours.write(&[1; 4096]).err()).flatten();
        refusals.map(|error| error.kind() == io::ErrorKind::WouldBlock).next() == Some(true)
    }

    fn until_end(&self) {
        eventually("the end of the stream", || {
            Flags::of(self, crate::READABLE).is_some_and(Flags::is_read_closed)
        });
    }

    fn until(&self, flags: libc::c_short) {
        eventually("what the peer did", || poll_flags(&self.fd, flags) & flags != 0);
    }
}

/// The answers of an event: readable, writable, priority, error, read closed, write closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags([bool; 6]);

impl Flags {
    /// What poll(2) says of a source, in the words of an event; `None` if nothing.
    pub fn of(source: &Source, interest: Interest) -> Option<Flags> {
        let mut asked = 0;
        for (is_asked, flags) in [
            (interest.is_readable(), libc::POLLIN | RDHUP),
            (interest.is_writable(), libc::POLLOUT),
            (interest.is_priority(), libc::POLLPRI),
        ] {
            asked |= if is_asked { flags } else { 0 };
        }
        let flags = poll_flags(&source.fd, asked);
        let has = |some: libc::c_short| flags & some != 0;
        (flags != 0).then(|| {
            Flags([
                has(libc::POLLIN | libc::POLLPRI),
                has(libc::POLLOUT),
                has(libc::POLLPRI),
                has(libc::POLLERR),
                has(libc::POLLHUP) || (has(libc::POLLIN) && has(RDHUP)),
                has(libc::POLLHUP) || (has(libc::POLLOUT) && has(libc::POLLERR)) || flags == libc::POLLERR,
            ])
        })
    }

    /// The same in kqueue's words, which has a filter for each direction: it tells of the directions that were asked about,
    /// unless there was an error, and of our own end as well.
    pub fn of_kqueue(source: &Source, interest: Interest) -> Option<Flags> {
        let (reads, writes) = (interest.is_readable(), interest.is_writable());
        let flags = poll_flags(&source.ours, libc::POLLIN | RDHUP | libc::POLLOUT | libc::POLLPRI);
        let has = |some: libc::c_short| flags & some != 0;
        let is_urgent = interest.is_priority() && has(libc::POLLPRI);
        let is_over = has(libc::POLLERR | libc::POLLHUP);
        let is_readable = (reads && (is_over || has(libc::POLLIN | RDHUP))) || is_urgent;
        let is_writable = writes && (is_over || has(libc::POLLOUT) || source.has_finished);
        let read_ended = reads && has(RDHUP | libc::POLLHUP);
        let write_ended = writes && (has(libc::POLLHUP) || source.has_finished);
        let has_failed = (read_ended || write_ended) && has(libc::POLLERR);
        let (read_closed, write_closed) = (read_ended || has_failed, write_ended || has_failed);
        (is_readable || is_writable).then_some(Flags([
            is_readable,
            is_writable,
            is_urgent,
            has_failed,
            read_closed,
            write_closed,
        ]))
    }

    pub fn told(event: &Event) -> Flags {
        Flags([
            event.is_readable(),
            event.is_writable(),
            event.is_priority(),
            event.is_error(),
            event.is_read_closed(),
            event.is_write_closed(),
        ])
    }

    pub fn is_readable(self) -> bool {
        self.0[0]
    }

    pub fn is_writable(self) -> bool {
        self.0[1]
    }

    pub fn is_read_closed(self) -> bool {
        self.0[4]
    }

    /// It can be neither read nor written any more, or it failed.
    pub fn is_over(self) -> bool {
        let [.., error, read_closed, write_closed] = self.0;
        error || (read_closed && write_closed)
    }

    /// Nothing but that it is over.
    pub fn is_mere_hang_up(self) -> bool {
        !self.is_readable() && !self.is_writable()
    }

    pub fn is_part_of(self, whole: Option<Flags>) -> bool {
        whole.is_some_and(|whole| self.0.iter().zip(whole.0).all(|(&part, whole)| whole || !part))
    }

    pub fn with(self, other: Option<Flags>) -> Flags {
        let other = other.map_or([false; 6], |other| other.0);
        Flags(std::array::from_fn(|index| self.0[index] || other[index]))
    }

    /// The same in `polling`'s words: readable and writable, and what is over is both, asked for or not.
    pub fn as_polling_says(self) -> (bool, bool) {
        (self.is_readable() || self.is_over(), self.is_writable() || self.is_over())
    }
}

#[cfg(has_pollrdhup)]
const RDHUP: libc::c_short = libc::POLLRDHUP;
#[cfg(not(has_pollrdhup))]
const RDHUP: libc::c_short = 0;

/// For those who only look at it.
impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: it is the number of `ours`, which is open as long as this is borrowed.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}

impl AsRawFd for Source {
    fn as_raw_fd(&self) -> RawFd {
        self.fd
    }
}
