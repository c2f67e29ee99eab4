//! A kernel in memory: sockets, the network between them and a clock, with a choice wherever a real one is free.
//!
//! While one runs on a thread, the Internet stream sockets that this thread makes are its own, and so is the time. The rest of
//! the reactor does not know: the system calls of `sys` ask here first. A simulated socket has a number that is a real
//! descriptor, one half of a pair whose other half stays here: so numbers are unique and can be duplicated and closed like
//! any other, and that one was closed shows at the other half.
//!
//! What a real kernel may do and this one chooses: how long bytes, a FIN and a RST travel; how much a read, a write brings;
//! who of those who connect comes first; which of the ready are told, in which order, and whether somebody who is not; a
//! signal in any call; no descriptor for an accept; and that time passes meanwhile.

mod choices;
mod network;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

pub(crate) use choices::{Choice, Choices, following};
use network::{End, Flow, Link, Travel};

use super::{ERR, Event, HUP, IN, OUT, RDHUP};

/// How long the world stands still when it does: less than any limit of a protocol, so that only many delays are too many.
const DELAY: Duration = Duration::from_millis(10);

thread_local! {
    static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
}

/// The state of the simulated world.
#[derive(Debug)]
pub(crate) struct Kernel {
    choices: Choices,
    now: Instant,
    /// How much a flow holds.
    room: usize,
    sockets: BTreeMap<RawFd, Socket>,
    links: Vec<Link>,
    /// Who watches what: a selector's number and a descriptor.
    watches: BTreeMap<(u32, RawFd), Watch>,
    /// When a selector's clock rings.
    clocks: BTreeMap<u32, Instant>,
    peers: Vec<Peer>,
    selectors: u32,
    ports: u16,
}

#[derive(Debug)]
struct Socket {
    /// The other half of the pair whose first half is the number.
    guard: OwnedFd,
    state: State,
    address: Option<SocketAddr>,
    error: Option<i32>,
    reset_on_close: bool,
}

#[derive(Debug)]
enum State {
    Fresh,
    Listening(VecDeque<End>),
    Connecting(End),
    Connected(End),
}

/// A registration.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) key: u64,
    /// Of `IN` and `OUT`.
    pub(crate) wanted: u32,
    /// An edge: only what changed is told.
    pub(crate) edge: bool,
    pub(crate) one_shot: bool,
    /// Whether there is something to tell: always, unless it is an edge that was told or a shot that was fired.
    pub(crate) loaded: bool,
}

/// Somebody at the other end of a connection, who does one thing after the other.
#[derive(Debug)]
struct Peer {
    end: Option<End>,
    plan: VecDeque<Act>,
    received: Vec<u8>,
    reads: bool,
    refused: bool,
}

/// What a peer does.
#[derive(Debug)]
pub(crate) enum Act {
    Connect(SocketAddr),
    Send(Vec<u8>),
    Finish,
    Reset,
    Close,
    Read(bool),
}

/// What can be known of a peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeerState {
    pub(crate) received: Vec<u8>,
    pub(crate) is_connected: bool,
    pub(crate) is_refused: bool,
    /// A FIN arrived, behind everything received.
    pub(crate) is_finished: bool,
    pub(crate) is_reset: bool,
    /// Everything planned is done.
    pub(crate) is_done: bool,
}

// ------------------------------------------------------------------------------------------- on and off, and who asks

/// Starts one on this thread, in place of the one that ran.
pub(crate) fn boot(choices: Choices) {
    let mut kernel = Kernel {
        choices,
        now: Instant::now(),
        room: 0,
        sockets: BTreeMap::new(),
        links: Vec::new(),
        watches: BTreeMap::new(),
        clocks: BTreeMap::new(),
        peers: Vec::new(),
        selectors: 0,
        ports: 49152,
    };
    kernel.room = [1 << 16, 8, 1][kernel.choices.index(3)];
    KERNEL.set(Some(kernel));
}

/// Ends it: what it decided.
pub(crate) fn halt() -> Vec<Choice> {
    KERNEL.take().map(|kernel| kernel.choices.made().to_vec()).unwrap_or_default()
}

pub(crate) fn is_running() -> bool {
    KERNEL.with_borrow(Option::is_some)
}

/// Asks the kernel of this thread, if there is one.
pub(crate) fn with<R>(ask: impl FnOnce(&mut Kernel) -> R) -> Option<R> {
    KERNEL.with_borrow_mut(|kernel| kernel.as_mut().map(ask))
}

/// Asks it about one of its sockets; `None` if that is not one.
pub(crate) fn of<R>(fd: BorrowedFd<'_>, ask: impl FnOnce(&mut Kernel, RawFd) -> R) -> Option<R> {
    let fd = fd.as_raw_fd();
    with(|kernel| kernel.sockets.contains_key(&fd).then(|| ask(kernel, fd))).flatten()
}

/// Its time.
pub(crate) fn now() -> Option<Instant> {
    with(|kernel| kernel.now)
}

/// socket(2), if a simulated kernel runs here and knows this family.
pub(crate) fn stream_socket(family: i32) -> Option<io::Result<OwnedFd>> {
    let is_known = matches!(family, libc::AF_INET | libc::AF_INET6);
    if is_known { with(Kernel::socket) } else { None }
}

fn errno<T>(number: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(number))
}

// ------------------------------------------------------------------------------------------------------ system calls

impl Kernel {
    /// A signal comes in the middle of a call.
    fn interrupt(&mut self) -> io::Result<()> {
        if self.choices.choose(2) == 1 { errno(libc::EINTR) } else { Ok(()) }
    }

    fn socket(&mut self) -> io::Result<OwnedFd> {
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

    fn at(&mut self, fd: RawFd) -> &mut Socket {
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

    fn port(&mut self) -> u16 {
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
        match self.choices.choose(4) {
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
    fn link(&mut self, from: SocketAddr, to: SocketAddr) -> Option<End> {
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
    fn told_room(&mut self, end: End) {
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
    fn bury(&mut self) {
        let mut entries: Vec<_> =
            self.sockets.values().map(|socket| super::poll_entry(socket.guard.as_raw_fd(), 0)).collect();
        let _ = super::poll(&mut entries, Some(Duration::ZERO)); // not told now, told next time
        let hung_up = entries.iter().map(|entry| super::poll_answer(entry) & HUP != 0);
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

// ----------------------------------------------------------------------------------------------------------- waiting

impl Kernel {
    pub(crate) fn new_selector(&mut self) -> u32 {
        self.selectors += 1;
        self.selectors
    }

    /// Whether the loop has edges is a choice, too.
    pub(crate) fn has_edges(&mut self) -> bool {
        self.choices.choose(2) == 0
    }

    pub(crate) fn watch(&mut self, selector: u32, fd: RawFd, watch: Watch, anew: bool) -> io::Result<()> {
        match (self.watches.contains_key(&(selector, fd)), anew) {
            (true, true) => errno(libc::EEXIST),
            (false, false) => errno(libc::ENOENT),
            _ => {
                self.watches.insert((selector, fd), watch);
                Ok(())
            }
        }
    }

    pub(crate) fn unwatch(&mut self, selector: u32, fd: RawFd) -> io::Result<()> {
        self.watches
            .remove(&(selector, fd))
            .map(drop)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    pub(crate) fn arm_clock(&mut self, selector: u32, deadline: Instant) {
        self.clocks.insert(selector, deadline);
    }

    /// Something happened to a socket: an edge for whoever watches it.
    fn changed(&mut self, fd: RawFd) {
        for ((_, watched), watch) in &mut self.watches {
            if *watched == fd && !watch.one_shot {
                watch.loaded = true;
            }
        }
    }

    /// poll(2)'s flags of a socket as it is now.
    fn state_of(&self, fd: RawFd) -> u32 {
        let Some(socket) = self.sockets.get(&fd) else { return 0 };
        match &socket.state {
            _ if socket.error.is_some() => IN | OUT | ERR | HUP | RDHUP,
            State::Fresh => OUT | HUP,
            State::Listening(queue) => {
                if queue.is_empty() {
                    0
                } else {
                    IN
                }
            }
            State::Connecting(_) => 0,
            State::Connected(end) => {
                let link = &self.links[end.link];
                let (sends, incoming) = (&link.sides[end.side].sends, &link.sides[end.other().side].sends);
                if link.is_reset(end.side) {
                    let error = if incoming.reset == Travel::Arrived { ERR } else { 0 };
                    return IN | OUT | HUP | RDHUP | error;
                }
                let ended = incoming.fin == Travel::Arrived;
                let mut flags = 0;
                if incoming.arrived > 0 || ended {
                    flags |= IN;
                }
                if sends.bytes.len() < self.room {
                    flags |= OUT;
                }
                if ended {
                    flags |= RDHUP;
                }
                if ended && sends.fin != Travel::Unsent {
                    flags |= HUP;
                }
                flags
            }
        }
    }

    /// What this selector has to tell now.
    fn ready(&self, selector: u32, woken: &[RawFd]) -> Vec<(RawFd, u32)> {
        let watched = self.watches.range((selector, RawFd::MIN)..=(selector, RawFd::MAX));
        let told =
            watched.filter(|((_, fd), watch)| watch.loaded || woken.contains(fd)).map(|((_, fd), watch)| {
                let state = if woken.contains(fd) { IN } else { self.state_of(*fd) };
                (*fd, state & (watch.wanted | ERR | HUP | if watch.wanted & IN != 0 { RDHUP } else { 0 }))
            });
        told.filter(|(_, flags)| *flags != 0).collect()
    }

    /// One look at what is ready, after the world moved on. `None`: nothing yet, but it moved; look again.
    ///
    /// An error if nothing will ever happen: the wait has no timeout, no clock is set and everybody is done.
    pub(crate) fn wait(
        &mut self,
        selector: u32,
        ready: &mut Vec<Event>,
        until: Option<Instant>,
        woken: &mut Vec<RawFd>,
        clock_key: u64,
    ) -> Option<io::Result<()>> {
        self.bury();
        if let Err(error) = self.interrupt() {
            return Some(Err(error));
        }
        let moved = self.progress();
        if self.clocks.get(&selector).is_some_and(|rings| *rings <= self.now) {
            self.clocks.remove(&selector);
            ready.push(Event::new(clock_key, IN));
        }
        let mut told = self.ready(selector, woken);
        self.select(&mut told);
        for (fd, flags) in told.into_iter().take(ready.capacity() - ready.len()) {
            let watch = self.watches.get_mut(&(selector, fd)).expect("it was found there");
            watch.loaded &= !(watch.edge || watch.one_shot);
            woken.retain(|woken| *woken != fd);
            ready.push(Event::new(watch.key, flags));
        }
        self.add_spurious(selector, ready);
        let clock = self.clocks.get(&selector).copied();
        if !ready.is_empty() || until.is_some_and(|until| until <= self.now) {
            Some(Ok(()))
        } else if moved {
            None
        } else if let Some(next) = [until, clock].into_iter().flatten().min() {
            self.now = self.now.max(next);
            None
        } else {
            let problem = "the simulation is at rest: nothing that was planned is left, and no clock is set";
            Some(Err(io::Error::new(io::ErrorKind::WouldBlock, problem)))
        }
    }

    /// Which of the ready are told, and in which order: all, in reverse, or only one. The others are told next time.
    fn select(&mut self, told: &mut Vec<(RawFd, u32)>) {
        if told.len() < 2 {
            return;
        }
        match self.choices.choose(3) {
            1 => told.reverse(),
            2 => {
                let only = self.choices.index(told.len());
                *told = vec![told[only]];
            }
            _ => {}
        }
    }

    /// Tells of somebody who is not ready.
    fn add_spurious(&mut self, selector: u32, ready: &mut Vec<Event>) {
        let connected = |fd: &RawFd| {
            self.sockets.get(fd).is_some_and(|socket| matches!(socket.state, State::Connected(_)))
        };
        let watched = self.watches.range((selector, RawFd::MIN)..=(selector, RawFd::MAX));
        let others: Vec<(u64, u32)> = watched
            .filter(|((_, fd), watch)| watch.loaded | watch.edge && connected(fd))
            .map(|(_, watch)| (watch.key, watch.wanted))
            .filter(|(key, _)| ready.iter().all(|event| event.key() != *key))
            .collect();
        if ready.len() < ready.capacity() && !others.is_empty() && self.choices.choose(2) == 1 {
            let (key, wanted) = others[self.choices.index(others.len())];
            ready.push(Event::new(key, wanted & (IN | OUT)));
        }
    }
}

// --------------------------------------------------------------------------------------------------------- the world

/// Something that can happen.
#[derive(Copy, Clone, Debug)]
enum Move {
    Arrive(End),
    Connected(RawFd),
    Act(usize),
    Read(usize),
}

impl Kernel {
    /// Lets everything happen that can, or one thing, or nothing for now. Whether something did.
    fn progress(&mut self) -> bool {
        let moves = self.moves();
        if moves.is_empty() {
            return false;
        }
        match self.choices.choose(4) {
            1 => {
                let one = moves[self.choices.index(moves.len())];
                self.happen(one, false);
            }
            2 => moves.into_iter().rev().for_each(|each| self.happen(each, true)),
            3 => self.now += DELAY,
            _ => moves.into_iter().for_each(|each| self.happen(each, true)),
        }
        true
    }

    fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for (link, sides) in self.links.iter().enumerate() {
            let moving = (0..2).filter(|side| sides.sides[*side].sends.is_moving());
            moves.extend(moving.map(|side| Move::Arrive(End { link, side })));
        }
        let connecting = |(fd, socket): (&RawFd, &Socket)| {
            matches!(socket.state, State::Connecting(_)).then_some(Move::Connected(*fd))
        };
        moves.extend(self.sockets.iter().filter_map(connecting));
        for (at, peer) in self.peers.iter().enumerate() {
            if peer.plan.front().is_some_and(|act| self.is_possible(peer, act)) {
                moves.push(Move::Act(at));
            }
            let arrived = |end: End| self.links[end.link].sides[end.other().side].sends.arrived > 0;
            if peer.reads && peer.end.is_some_and(arrived) {
                moves.push(Move::Read(at));
            }
        }
        moves
    }

    fn is_possible(&self, peer: &Peer, act: &Act) -> bool {
        match (act, peer.end) {
            (Act::Connect(_) | Act::Read(_), _) => true,
            (Act::Send(_), Some(end)) => {
                let link = &self.links[end.link];
                link.sides[end.side].sends.bytes.len() < self.room
                    || link.is_reset(end.side)
                    || link.sides[end.other().side].deaf
            }
            _ => true,
        }
    }

    fn happen(&mut self, what: Move, whole: bool) {
        match what {
            Move::Arrive(end) => {
                let link = &mut self.links[end.link];
                link.sides[end.side].sends.advance(whole, &mut self.choices);
                let there = end.other().side;
                // What arrives where nobody reads any more is answered with an RST.
                if link.sides[there].deaf && link.sides[end.side].sends.arrived > 0 {
                    link.sides[end.side].sends.take_all();
                    link.close(there, true);
                }
                if let Some(fd) = link.sides[there].fd {
                    self.changed(fd);
                }
            }
            Move::Connected(fd) => {
                if let State::Connecting(end) = self.sockets[&fd].state {
                    self.at(fd).state = State::Connected(end);
                    self.changed(fd);
                }
            }
            Move::Act(peer) => self.act(peer, whole),
            Move::Read(peer) => self.read(peer, whole),
        }
    }

    fn act(&mut self, at: usize, whole: bool) {
        let Some(act) = self.peers[at].plan.pop_front() else { return };
        match (act, self.peers[at].end) {
            (Act::Connect(to), _) => {
                let from = SocketAddr::new(to.ip(), self.port());
                let end = self.link(from, to);
                self.peers[at].end = end;
                self.peers[at].refused = end.is_none();
            }
            (Act::Read(reads), _) => self.peers[at].reads = reads,
            (Act::Send(mut bytes), Some(end)) => {
                let link = &mut self.links[end.link];
                if link.is_reset(end.side) || link.sides[end.other().side].deaf && bytes.is_empty() {
                    return; // in vain
                }
                let sends = &mut link.sides[end.side].sends;
                let fits = bytes.len().min(self.room.saturating_sub(sends.bytes.len()));
                let count = if whole { fits } else { self.choices.portion(fits) };
                sends.bytes.extend(bytes.drain(..count));
                if !bytes.is_empty() {
                    self.peers[at].plan.push_front(Act::Send(bytes));
                }
            }
            (Act::Finish, Some(end)) => {
                let fin = &mut self.links[end.link].sides[end.side].sends.fin;
                if *fin == Travel::Unsent {
                    *fin = Travel::Sent;
                }
            }
            (Act::Reset, Some(end)) => self.links[end.link].close(end.side, true),
            (Act::Close, Some(end)) => self.links[end.link].close(end.side, false),
            (_, None) => {} // refused: nothing comes of it
        }
    }

    fn read(&mut self, at: usize, whole: bool) {
        let Some(end) = self.peers[at].end else { return };
        let incoming = self.links[end.link].incoming(end.side);
        let count = if whole { incoming.arrived } else { self.choices.portion(incoming.arrived) };
        self.peers[at].received.extend(incoming.take(count));
        self.told_room(end.other());
    }

    // ------------------------------------------------------------------------------------------ the peers' directors

    pub(crate) fn new_peer(&mut self) -> usize {
        let (plan, received) = (VecDeque::new(), Vec::new());
        self.peers.push(Peer { end: None, plan, received, reads: true, refused: false });
        self.peers.len() - 1
    }

    pub(crate) fn plan(&mut self, peer: usize, act: Act) {
        self.peers[peer].plan.push_back(act);
    }

    pub(crate) fn peer(&self, at: usize) -> PeerState {
        let peer = &self.peers[at];
        let mut state = PeerState {
            received: peer.received.clone(),
            is_connected: peer.end.is_some(),
            is_refused: peer.refused,
            is_done: peer.plan.is_empty(),
            ..PeerState::default()
        };
        if let Some(end) = peer.end {
            let link = &self.links[end.link];
            state.is_reset = link.is_reset(end.side);
            state.is_finished = link.sides[end.other().side].sends.is_over();
        }
        state
    }

    /// From now on everything goes as well as it can.
    pub(crate) fn calm(&mut self) {
        self.choices.calm();
    }

    /// Lets the clock go on.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    pub(crate) fn decided(&self) -> &[Choice] {
        self.choices.made()
    }

    /// How many sockets of the program are open.
    pub(crate) fn open_sockets(&mut self) -> usize {
        self.bury();
        self.sockets.len()
    }
}
