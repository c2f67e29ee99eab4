//! A kernel in memory: sockets, the network between them and a clock, with a choice wherever a real one is free.
//!
//! While one runs on a thread, the Internet stream sockets that this thread makes are its own, and so is the time. The rest of
//! the reactor does not know: the system calls of `sys` ask here first. A simulated socket has a number that is a real
//! descriptor, of a Unix socket nobody talks to: so numbers are unique and are closed like any other, and that one was closed
//! shows in what the number stands for then. (A hang-up at the other end of a pair would come late whenever another thread
//! forks, and no run would repeat itself.)
//!
//! What a real kernel may do and this one chooses:
//! * who waits: which of the ready are told, in which order, and whether somebody who is not ready; a signal; that the clock
//!   rings late; whether there are edges;
//! * who calls: how much a read or a write brings; a signal (`EINTR`); nothing although there is something (`EAGAIN`); no
//!   memory just now (`ENOBUFS`, `ENOMEM`); whether a connection stands at once, later, or is refused;
//! * who is far away: how long bytes, a FIN and an RST travel; who of those who connect comes first; how much fits into a flow;
//! * if losses are allowed: no descriptor (`EMFILE`, `ENFILE`) or no memory for a socket or a registration, a connection that
//!   is gone before it is accepted, that times out, or is cut.
//!
//! What follows from a choice obeys the manual: whatever a short or refused transfer left undone is announced anew (epoll(7),
//! "Questions and answers", 9), or no loop with edges could be right.
//!
//! Not here: Unix and datagram sockets, pipes, signals, child processes, sockets of the standard library. They are the real
//! ones, and a simulated selector refuses them by name. Nor urgent data, several listeners at one address (`SO_REUSEPORT`), a
//! bounded backlog, duplicates of a descriptor (only the number that was given out is the socket, and closing it closes), and
//! any option but `SO_ERROR`, `SO_ACCEPTCONN` and `SO_LINGER`: they are taken and mean nothing.

mod calls;
mod choices;
mod network;
mod waiting;
mod world;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

pub(crate) use choices::{Choice, Choices, following, unkind_among};
use network::{End, Link};

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
    /// Whether an accept may fail in a way that costs the connection.
    losses: bool,
    sockets: BTreeMap<RawFd, Socket>,
    links: Vec<Link>,
    /// Who watches what. In the order of registration: numbers of descriptors depend on what else this process has open, and
    /// no choice may.
    watches: Vec<Watch>,
    /// When a selector's clock rings.
    clocks: BTreeMap<u32, Instant>,
    peers: Vec<Peer>,
    selectors: u32,
    ports: u16,
    /// Whether the last wait told of something that was so.
    told: bool,
    /// Whether anything changed since then: something moved, time passed, a call succeeded.
    changed: bool,
    /// How often in a row it told and nothing changed.
    idle: u32,
}

#[derive(Debug)]
struct Socket {
    /// What the number stands for. If it stands for something else now, the socket was closed.
    identity: Option<(libc::dev_t, libc::ino_t)>,
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
    pub(crate) selector: u32,
    pub(crate) fd: RawFd,
    /// It is a waker's, not a socket's.
    pub(crate) is_waker: bool,
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
    /// Where somebody may connect to it.
    serves: Option<SocketAddr>,
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
    /// Does nothing more until so many bytes were received in all.
    Await(usize),
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

/// Starts one on this thread, in place of the one that ran.
pub(crate) fn boot(choices: Choices, now: Instant) {
    let mut kernel = Kernel {
        choices,
        now,
        room: 0,
        losses: false,
        sockets: BTreeMap::new(),
        links: Vec::new(),
        watches: Vec::new(),
        clocks: BTreeMap::new(),
        peers: Vec::new(),
        selectors: 0,
        ports: 49152,
        told: false,
        changed: false,
        idle: 0,
    };
    kernel.room = [1 << 16, 8, 1][kernel.choices.index(3)];
    KERNEL.set(Some(kernel));
}

/// Ends it.
pub(crate) fn halt() {
    KERNEL.set(None);
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
    if is_known { with(Kernel::stream_socket) } else { None }
}

fn errno<T>(number: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(number))
}
