//! The system calls of sockets, each with what a kernel is free to answer: the lists below are from the manuals' "ERRORS".

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixDatagram;

use super::network::{End, Flow, Link, Travel};
use super::{Kernel, Peer, Socket, State, errno};
use crate::sys::{self, IN, OUT};

/// recv(2) and send(2), of a connection that is well. POSIX has `ENOBUFS` for the second, and Linux `ENOMEM` for both.
const OF_RECEIVE: &[i32] = &[libc::EINTR, libc::EAGAIN, libc::ENOMEM];
const OF_SEND: &[i32] = &[libc::EINTR, libc::EAGAIN, libc::ENOBUFS];
/// accept(2): whoever waits to be accepted waits on. And those that may cost a connection.
const OF_ACCEPT: &[i32] = &[libc::EINTR, libc::EAGAIN, libc::ENOBUFS];
const OF_LOST_ACCEPT: &[i32] = &[libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::ECONNABORTED, libc::EPROTO];
/// socket(2) and connect(2), if losses are allowed.
const OF_SOCKET: &[i32] = &[libc::EMFILE, libc::ENFILE, libc::ENOBUFS];
const OF_CONNECT: &[i32] = &[libc::EADDRNOTAVAIL, libc::ENETUNREACH];

impl Kernel {
    /// Whether a call fails although it could have succeeded, and with which of these errors.
    pub(super) fn hinder(&mut self, errors: &[i32]) -> io::Result<()> {
        match self.choices.index(errors.len() + 1) {
            0 => Ok(()),
            error => errno(errors[error - 1]),
        }
    }

    /// The same of those that lose something.
    pub(super) fn lose(&mut self, errors: &[i32]) -> io::Result<()> {
        if self.losses { self.hinder(errors) } else { Ok(()) }
    }

    /// The same of a socket that is ready: what it is not told now is news later.
    fn hinder_ready(&mut self, fd: RawFd, ready: u32, errors: &[i32]) -> io::Result<()> {
        let hindered = self.hinder(errors);
        if hindered.is_err() {
            self.announce(fd, ready);
        }
        hindered
    }

    pub(super) fn stream_socket(&mut self) -> io::Result<OwnedFd> {
        self.lose(OF_SOCKET)?;
        self.bury();
        self.socket()
    }

    fn socket(&mut self) -> io::Result<OwnedFd> {
        let number = OwnedFd::from(UnixDatagram::unbound()?);
        let socket = Socket {
            identity: sys::identity(number.as_raw_fd()),
            state: State::Fresh,
            address: None,
            error: None,
            reset_on_close: false,
        };
        self.sockets.insert(number.as_raw_fd(), socket);
        self.changed = true;
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
        self.bury();
        let Some(mut address) = address else { return errno(libc::EAFNOSUPPORT) };
        if address.port() == 0 {
            address.set_port(self.port());
        }
        let holds = |socket: &Socket| {
            socket.address == Some(address) && matches!(socket.state, State::Fresh | State::Listening(_))
        };
        if self.sockets.values().any(holds) {
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
        self.hinder_ready(fd, IN, OF_ACCEPT)?;
        if let Err(error) = self.lose(OF_LOST_ACCEPT) {
            if matches!(error.raw_os_error(), Some(libc::ECONNABORTED | libc::EPROTO)) {
                self.abort_first(fd);
            }
            return Err(error);
        }
        // A number that is given out anew must not still be somebody's.
        self.bury();
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
        self.lose(OF_CONNECT)?;
        let from = SocketAddr::new(to.ip(), self.port());
        match self.link(from, to) {
            // Said at once, or later.
            None if self.choices.choose(2) == 1 => return errno(libc::ECONNREFUSED),
            None => self.fail(fd, libc::ECONNREFUSED),
            Some(end) => return self.start_connecting(fd, end),
        }
        errno(libc::EINPROGRESS)
    }

    /// Somebody is there: the connection stands soon, or at once; the attempt goes on by itself after a signal; or it is in vain.
    fn start_connecting(&mut self, fd: RawFd, end: End) -> io::Result<()> {
        let way = self.choices.choose(if self.losses { 4 } else { 3 });
        if way == 3 {
            self.links[end.link].cut();
            self.fail(fd, libc::ETIMEDOUT);
            return errno(libc::EINPROGRESS);
        }
        self.attach(fd, end);
        self.at(fd).state = if way == 1 { State::Connected(end) } else { State::Connecting(end) };
        match way {
            0 => errno(libc::EINPROGRESS),
            1 => Ok(()),
            _ => errno(libc::EINTR),
        }
    }

    /// An attempt to connect failed.
    fn fail(&mut self, fd: RawFd, error: i32) {
        self.at(fd).error = Some(error);
        self.announce(fd, IN | OUT);
    }

    /// A new link to whoever listens there: the end that connects.
    pub(super) fn link(&mut self, from: SocketAddr, to: SocketAddr) -> Option<End> {
        let link = self.links.len();
        let listener = self.sockets.iter_mut().find_map(|(fd, socket)| match &mut socket.state {
            State::Listening(queue) if hears(socket.address, to) => Some((*fd, queue)),
            _ => None,
        });
        if let Some((fd, queue)) = listener {
            queue.push_back(End { link, side: 1 });
            self.announce(fd, IN);
        } else {
            let free = |peer: &&mut Peer| hears(peer.serves, to) && peer.end.is_none();
            self.peers.iter_mut().find(free)?.end = Some(End { link, side: 1 });
        }
        self.links.push(Link::new(from, to));
        self.changed = true;
        Some(End { link, side: 0 })
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
        self.changed = true;
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
        self.links[end.link].finish(end.side);
        Ok(())
    }

    pub(crate) fn shutdown(&mut self, fd: RawFd, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read {
            self.shutdown_write(fd)?;
        }
        if how != Shutdown::Write {
            let end = self.end(fd)?;
            self.links[end.link].sides[end.side].hears_no_more = true;
            self.announce(fd, IN);
        }
        Ok(())
    }

    pub(crate) fn receive(&mut self, fd: RawFd, buffer: &mut [u8], peek: bool) -> io::Result<usize> {
        let end = self.end(fd)?;
        let hears_no_more = self.links[end.link].sides[end.side].hears_no_more;
        let incoming = self.links[end.link].incoming(end.side);
        match incoming {
            Flow { reset: Travel::Arrived, .. } => {
                incoming.reset = Travel::Told;
                return errno(libc::ECONNRESET);
            }
            Flow { reset: Travel::Told, .. } => return Ok(0),
            Flow { arrived: 0, .. } if hears_no_more => return Ok(0),
            Flow { arrived: 0, fin, .. } if *fin != Travel::Arrived => return errno(libc::EAGAIN),
            _ => {}
        }
        self.hinder_ready(fd, IN, OF_RECEIVE)?;
        let incoming = self.links[end.link].incoming(end.side);
        let arrived = incoming.arrived;
        if arrived == 0 {
            return Ok(0); // the end
        }
        let count = self.choices.portion(arrived.min(buffer.len()));
        for (to, from) in buffer.iter_mut().zip(&incoming.bytes).take(count) {
            *to = *from;
        }
        if !peek {
            self.take(end, count).for_each(drop);
        }
        if count < arrived {
            self.announce(fd, IN);
        }
        Ok(count)
    }

    /// Takes from what arrived at an end; if the flow was full, there is room again, which is news to who fills it.
    pub(super) fn take(&mut self, end: End, count: usize) -> impl Iterator<Item = u8> + '_ {
        let sender = self.links[end.link].sides[end.other().side].fd;
        let was_full = self.links[end.link].incoming(end.side).bytes.len() >= self.room;
        if let (true, Some(sender)) = (was_full, sender) {
            self.announce(sender, OUT);
        }
        self.changed = true;
        self.links[end.link].incoming(end.side).take(count)
    }

    pub(crate) fn send(&mut self, fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
        let end = self.end(fd)?;
        let link = &mut self.links[end.link];
        if link.is_reset(end.side) || link.sides[end.side].sends.fin != Travel::Unsent {
            return errno(libc::EPIPE);
        }
        if link.sides[end.other().side].deaf {
            // Whoever is gone answers with an RST.
            link.close(end.other().side, true);
            self.changed = true;
            return Ok(bytes.len());
        }
        let room = self.room.saturating_sub(link.sides[end.side].sends.bytes.len());
        let fits = bytes.len().min(room);
        if fits == 0 && !bytes.is_empty() {
            return errno(libc::EAGAIN);
        }
        self.hinder_ready(fd, OUT, OF_SEND)?;
        let count = self.choices.portion(fits);
        self.links[end.link].sides[end.side].sends.bytes.extend(&bytes[..count]);
        self.changed = true;
        if count < bytes.len() && count < room {
            self.announce(fd, OUT);
        }
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
        let closed = |(fd, socket): (&RawFd, &Socket)| (sys::identity(*fd) != socket.identity).then_some(*fd);
        let gone: Vec<RawFd> = self.sockets.iter().filter_map(closed).collect();
        gone.into_iter().for_each(|fd| self.closed(fd));
    }

    fn closed(&mut self, fd: RawFd) {
        let Some(socket) = self.sockets.remove(&fd) else { return };
        self.watches.retain(|watch| watch.fd != fd);
        self.changed = true;
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
