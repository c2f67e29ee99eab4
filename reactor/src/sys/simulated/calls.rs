//! The system calls of sockets, each with what a kernel is free to answer.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::network::{End, Flow, Link, Travel};
use super::{Kernel, Socket, State, errno};
use crate::sys::{self, HUP};

impl Kernel {
    /// A signal comes in the middle of a call.
    pub(super) fn interrupt(&mut self) -> io::Result<()> {
        if self.choices.choose(2) == 1 { errno(libc::EINTR) } else { Ok(()) }
    }

    pub(super) fn socket(&mut self) -> io::Result<OwnedFd> {
        let (number, guard) = UnixStream::pair()?;
        guard.set_nonblocking(true)?;
        let number = OwnedFd::from(number);
        let socket = Socket {
            guard: guard.into(),
            state: State::Fresh,
            address: None,
            error: None,
            reset_on_close: false,
        };
        // The number belonged to one that was closed since anybody looked.
        if self.sockets.contains_key(&number.as_raw_fd()) {
            self.closed(number.as_raw_fd());
        }
        self.sockets.insert(number.as_raw_fd(), socket);
        Ok(number)
    }

    pub(super) fn at(&mut self, fd: RawFd) -> &mut Socket {
        self.sockets.get_mut(&fd).expect("it was looked up")
    }

    /// The end of a link that a socket is; else it is not connected.
    fn end(&self, fd: RawFd) -> io::Result<End> {
        match self.sockets[&fd].state {
            State::Connected(end) => Ok(end),
            _ => errno(libc::ENOTCONN),
        }
    }

    pub(crate) fn bind(&mut self, fd: RawFd, address: Option<SocketAddr>) -> io::Result<()> {
        let Some(mut address) = address else { return errno(libc::EAFNOSUPPORT) };
        if address.port() == 0 {
            address.set_port(self.port());
        }
        if self.sockets.values().any(|socket| socket.address == Some(address)) {
            return errno(libc::EADDRINUSE);
        }
        self.at(fd).address = Some(address);
        Ok(())
    }

    pub(super) fn port(&mut self) -> u16 {
        self.ports += 1;
        self.ports
    }

    pub(crate) fn listen(&mut self, fd: RawFd) -> io::Result<()> {
        self.at(fd).state = State::Listening(VecDeque::new());
        Ok(())
    }

    pub(crate) fn accept(&mut self, fd: RawFd) -> io::Result<(OwnedFd, SocketAddr)> {
        let State::Listening(queue) = &self.sockets[&fd].state else { return errno(libc::EINVAL) };
        if queue.is_empty() {
            return errno(libc::EAGAIN);
        }
        match self.choices.choose(if self.losses { 4 } else { 2 }) {
            1 => return errno(libc::EINTR),
            2 => return errno(libc::EMFILE),
            3 => {
                self.abort_first(fd);
                return errno(libc::ECONNABORTED);
            }
            _ => {}
        }
        let accepted = self.socket()?;
        let State::Listening(queue) = &mut self.at(fd).state else { return errno(libc::EINVAL) };
        let Some(end) = queue.pop_front() else { return errno(libc::EAGAIN) };
        self.attach(accepted.as_raw_fd(), end);
        self.at(accepted.as_raw_fd()).state = State::Connected(end);
        Ok((accepted, self.links[end.link].sides[end.other().side].address))
    }

    /// Whoever has waited longest to be accepted went away again.
    fn abort_first(&mut self, fd: RawFd) {
        if let State::Listening(queue) = &mut self.at(fd).state {
            if let Some(end) = queue.pop_front() {
                self.links[end.link].close(end.side, true);
            }
        }
    }

    fn attach(&mut self, fd: RawFd, end: End) {
        let side = &mut self.links[end.link].sides[end.side];
        side.fd = Some(fd);
        let address = side.address;
        self.at(fd).address = Some(address);
    }

    pub(crate) fn connect(&mut self, fd: RawFd, to: Option<SocketAddr>) -> io::Result<()> {
        let Some(to) = to else { return errno(libc::EAFNOSUPPORT) };
        let from = SocketAddr::new(to.ip(), self.port());
        match self.link(from, to) {
            None => {
                self.at(fd).error = Some(libc::ECONNREFUSED);
                self.changed(fd);
            }
            Some(end) => {
                self.attach(fd, end);
                self.at(fd).state = State::Connecting(end);
            }
        }
        errno(libc::EINPROGRESS)
    }

    /// A new link to whoever listens there: the end that connects.
    pub(super) fn link(&mut self, from: SocketAddr, to: SocketAddr) -> Option<End> {
        let listener = self.sockets.iter_mut().find_map(|(fd, socket)| match &mut socket.state {
            State::Listening(queue) if hears(socket.address, to) => Some((*fd, queue)),
            _ => None,
        });
        let (fd, queue) = listener?;
        queue.push_back(End { link: self.links.len(), side: 1 });
        self.links.push(Link::new(from, to));
        self.changed(fd);
        Some(End { link: self.links.len() - 1, side: 0 })
    }

    pub(crate) fn local_address(&self, fd: RawFd) -> SocketAddr {
        self.sockets[&fd].address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    pub(crate) fn peer_address(&self, fd: RawFd) -> io::Result<SocketAddr> {
        let end = self.end(fd)?;
        Ok(self.links[end.link].sides[end.other().side].address)
    }

    /// getsockopt(2): of those that are integers, two say something here.
    pub(crate) fn option(&mut self, fd: RawFd, level: i32, name: i32) -> io::Result<i32> {
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_ERROR) => Ok(self.take_error(fd)),
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => {
                Ok(i32::from(matches!(self.sockets[&fd].state, State::Listening(_))))
            }
            _ => Ok(0),
        }
    }

    /// setsockopt(2): one changes something here, because it is used with one value only.
    pub(crate) fn set_option(&mut self, fd: RawFd, level: i32, name: i32) -> io::Result<()> {
        self.at(fd).reset_on_close |= (level, name) == (libc::SOL_SOCKET, libc::SO_LINGER);
        Ok(())
    }

    fn take_error(&mut self, fd: RawFd) -> i32 {
        if let Ok(end) = self.end(fd) {
            let incoming = self.links[end.link].incoming(end.side);
            if incoming.reset == Travel::Arrived {
                incoming.reset = Travel::Told;
                return libc::ECONNRESET;
            }
        }
        self.at(fd).error.take().unwrap_or(0)
    }

    pub(crate) fn shutdown_write(&mut self, fd: RawFd) -> io::Result<()> {
        let end = self.end(fd)?;
        if self.links[end.link].is_reset(end.side) {
            return errno(libc::ENOTCONN);
        }
        let fin = &mut self.links[end.link].sides[end.side].sends.fin;
        if *fin == Travel::Unsent {
            *fin = Travel::Sent;
        }
        Ok(())
    }

    pub(crate) fn shutdown(&mut self, fd: RawFd, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read {
            self.shutdown_write(fd)?;
        }
        if how != Shutdown::Write {
            let end = self.end(fd)?;
            self.links[end.link].sides[end.side].deaf = true;
        }
        Ok(())
    }

    pub(crate) fn receive(&mut self, fd: RawFd, buffer: &mut [u8], peek: bool) -> io::Result<usize> {
        let end = self.end(fd)?;
        self.interrupt()?;
        let incoming = self.links[end.link].incoming(end.side);
        match incoming {
            Flow { reset: Travel::Arrived, .. } => {
                incoming.reset = Travel::Told;
                return errno(libc::ECONNRESET);
            }
            Flow { reset: Travel::Told, .. } => return Ok(0),
            flow if flow.is_over() => return Ok(0),
            Flow { arrived: 0, .. } => return errno(libc::EAGAIN),
            _ => {}
        }
        let count = self.choices.portion(incoming.arrived.min(buffer.len()));
        for (to, from) in buffer.iter_mut().zip(incoming.bytes.iter().take(count)) {
            *to = *from;
        }
        if !peek {
            incoming.take(count).for_each(drop);
            self.told_room(end.other());
        }
        Ok(count)
    }

    /// A peer of the program under test may write again.
    pub(super) fn told_room(&mut self, end: End) {
        if let Some(fd) = self.links[end.link].sides[end.side].fd {
            self.changed(fd);
        }
    }

    pub(crate) fn send(&mut self, fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
        let end = self.end(fd)?;
        match self.choices.choose(3) {
            1 => return errno(libc::EINTR),
            2 => return errno(libc::ENOBUFS),
            _ => {}
        }
        let link = &mut self.links[end.link];
        if link.is_reset(end.side) || link.sides[end.side].sends.fin != Travel::Unsent {
            return errno(libc::EPIPE);
        }
        if link.sides[end.other().side].deaf {
            // Whoever is gone answers with an RST.
            let answer = &mut link.sides[end.other().side].sends;
            if answer.reset == Travel::Unsent {
                answer.reset = Travel::Sent;
            }
            return Ok(bytes.len());
        }
        let sends = &mut link.sides[end.side].sends;
        let fits = bytes.len().min(self.room.saturating_sub(sends.bytes.len()));
        if fits == 0 && !bytes.is_empty() {
            return errno(libc::EAGAIN);
        }
        let count = self.choices.portion(fits);
        sends.bytes.extend(&bytes[..count]);
        Ok(count)
    }

    /// sendfile(2), a page at a time.
    pub(crate) fn send_file(
        &mut self,
        fd: RawFd,
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
    ) -> io::Result<usize> {
        let mut page = [0; 4096];
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(page.len());
        let read = File::from(file.try_clone_to_owned()?).read_at(&mut page[..length], offset)?;
        if read == 0 { Ok(0) } else { self.send(fd, &page[..read]) }
    }

    /// Notices who was closed since the last time.
    pub(super) fn bury(&mut self) {
        let mut entries: Vec<_> =
            self.sockets.values().map(|socket| sys::poll_entry(socket.guard.as_raw_fd(), 0)).collect();
        let _ = sys::poll(&mut entries, Some(Duration::ZERO)); // not told now, told next time
        let hung_up = entries.iter().map(|entry| sys::poll_answer(entry) & HUP != 0);
        let gone: Vec<RawFd> =
            self.sockets.keys().zip(hung_up).filter(|(_, gone)| *gone).map(|(fd, _)| *fd).collect();
        gone.into_iter().for_each(|fd| self.closed(fd));
    }

    fn closed(&mut self, fd: RawFd) {
        let Some(socket) = self.sockets.remove(&fd) else { return };
        self.watches.retain(|(_, watched), _| *watched != fd);
        let ends = match socket.state {
            State::Fresh => VecDeque::new(),
            State::Listening(queue) => queue,
            State::Connecting(end) | State::Connected(end) => VecDeque::from([end]),
        };
        for end in ends {
            let abruptly = socket.reset_on_close || socket.address.is_some_and(|_| self.never_accepted(end));
            self.links[end.link].sides[end.side].fd = None;
            self.links[end.link].close(end.side, abruptly);
        }
    }

    /// Those who wait at a listener that goes away are reset.
    fn never_accepted(&self, end: End) -> bool {
        end.side == 1 && self.links[end.link].sides[1].fd.is_none()
    }
}

/// Whether who is bound here is meant by who connects to there.
fn hears(bound: Option<SocketAddr>, to: SocketAddr) -> bool {
    bound.is_some_and(|bound| {
        bound.port() == to.port() && (bound.ip().is_unspecified() || bound.ip() == to.ip())
    })
}
