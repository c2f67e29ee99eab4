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

pub(crate) use choices::{Choice, Choices, following};
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

/// Starts one on this thread, in place of the one that ran.
pub(crate) fn boot(choices: Choices, now: Instant) {
    let mut kernel = Kernel {
        choices,
        now,
        room: 0,
        losses: false,
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
