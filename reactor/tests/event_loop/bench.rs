//! What the suite is written with: a protocol made of closures that keeps a diary, a loop that turns until something is so,
//! and peers that never block.
#![allow(dead_code)] // each test program uses a part of it

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use reactor::event_loop::{
    Builder, CloseReason, ConnectionId, Context, Limits, ListenerId, Protocol, Reactor, Timer,
};
use reactor::net::Address;
use reactor::{Backend, Trigger};

pub use crate::support::PATIENCE;

/// The longest wait of one turn. A turn that has something to do never waits so long.
const LIMIT: Duration = Duration::from_millis(20);

pub type Cx<'a> = Context<'a, u64>;

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

// ------------------------------------------------------------------------------------------------------------ the diary

/// What happened, line by line.
#[derive(Clone, Debug, Default)]
pub struct Diary(Rc<RefCell<Vec<String>>>);

impl Diary {
    pub fn note(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }

    /// All lines.
    pub fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// The last lines.
    pub fn tail(&self) -> Vec<String> {
        let lines = self.0.borrow();
        lines[lines.len().saturating_sub(20)..].to_vec()
    }

    /// All lines; the diary is empty afterwards.
    pub fn take(&self) -> Vec<String> {
        self.0.take()
    }

    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub fn says(&self, line: &str) -> bool {
        self.count(line) > 0
    }

    pub fn count(&self, line: &str) -> usize {
        self.0.borrow().iter().filter(|&written| written == line).count()
    }

    /// The first line that starts so.
    pub fn find(&self, start: &str) -> Option<String> {
        self.0.borrow().iter().find(|line| line.starts_with(start)).cloned()
    }
}

/// Notes its own end.
pub struct Last(pub Diary, pub &'static str);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

/// A value that a closure and the test share.
pub fn shared<T>(value: T) -> (Rc<RefCell<T>>, Rc<RefCell<T>>) {
    let value = Rc::new(RefCell::new(value));
    (Rc::clone(&value), value)
}

// ---------------------------------------------------------------------------------------------------------- the protocol

type Call = Box<dyn FnMut(&mut Cx<'_>)>;
type Received = Box<dyn FnMut(&[u8], &mut Cx<'_>) -> usize>;
type Rang = Box<dyn FnMut(Timer, &mut Cx<'_>)>;
type Told = Box<dyn FnMut(u64, &mut Cx<'_>)>;
type Closed = Box<dyn FnMut(&CloseReason, &mut Cx<'_>)>;

/// A protocol made of closures. Each call is noted before its closure runs: `opened`, `received TEXT`, `eof`, `drained`,
/// `timer`, `message N`, `closed: REASON`, all behind its name if it has one.
pub struct Script {
    name: String,
    diary: Diary,
    opened: Call,
    received: Received,
    eof: Call,
    drained: Call,
    timer: Rang,
    message: Told,
    closed: Closed,
}

impl Script {
    /// Consumes everything and says nothing.
    pub fn new(diary: &Diary) -> Script {
        Script {
            name: String::new(),
            diary: diary.clone(),
            opened: Box::new(|_| {}),
            received: Box::new(|input, _| input.len()),
            eof: Box::new(|cx| cx.close()),
            drained: Box::new(|_| {}),
            timer: Box::new(|_, _| {}),
            message: Box::new(|_, _| {}),
            closed: Box::new(|_, _| {}),
        }
    }

    /// Answers everything with itself.
    pub fn echo(diary: &Diary) -> Script {
        Script::new(diary).received(|input, cx| {
            cx.write(input);
            input.len()
        })
    }

    pub fn named(mut self, name: &str) -> Script {
        self.name = format!("{name} ");
        self
    }

    pub fn opened(mut self, call: impl FnMut(&mut Cx<'_>) + 'static) -> Script {
        self.opened = Box::new(call);
        self
    }

    pub fn received(mut self, call: impl FnMut(&[u8], &mut Cx<'_>) -> usize + 'static) -> Script {
        self.received = Box::new(call);
        self
    }

    pub fn eof(mut self, call: impl FnMut(&mut Cx<'_>) + 'static) -> Script {
        self.eof = Box::new(call);
        self
    }

    pub fn drained(mut self, call: impl FnMut(&mut Cx<'_>) + 'static) -> Script {
        self.drained = Box::new(call);
        self
    }

    pub fn timer(mut self, call: impl FnMut(Timer, &mut Cx<'_>) + 'static) -> Script {
        self.timer = Box::new(call);
        self
    }

    pub fn message(mut self, call: impl FnMut(u64, &mut Cx<'_>) + 'static) -> Script {
        self.message = Box::new(call);
        self
    }

    pub fn closed(mut self, call: impl FnMut(&CloseReason, &mut Cx<'_>) + 'static) -> Script {
        self.closed = Box::new(call);
        self
    }

    fn note(&self, line: &str) {
        self.diary.note(format!("{}{line}", self.name));
    }
}

impl Protocol for Script {
    type Message = u64;

    fn opened(&mut self, cx: &mut Cx<'_>) {
        self.note("opened");
        (self.opened)(cx);
    }

    fn received(&mut self, input: &[u8], cx: &mut Cx<'_>) -> usize {
        match input.len() {
            0..=40 => self.note(&format!("received {}", String::from_utf8_lossy(input))),
            length => self.note(&format!("received {length} bytes")),
        }
        (self.received)(input, cx)
    }

    fn eof(&mut self, cx: &mut Cx<'_>) {
        self.note("eof");
        (self.eof)(cx);
    }

    fn drained(&mut self, cx: &mut Cx<'_>) {
        self.note("drained");
        (self.drained)(cx);
    }

    fn timer(&mut self, timer: Timer, cx: &mut Cx<'_>) {
        self.note("timer");
        (self.timer)(timer, cx);
    }

    fn message(&mut self, message: u64, cx: &mut Cx<'_>) {
        self.note(&format!("message {message}"));
        (self.message)(message, cx);
    }

    fn closed(&mut self, reason: &CloseReason, cx: &mut Cx<'_>) {
        self.note(&format!("closed: {reason}"));
        (self.closed)(reason, cx);
    }
}

// -------------------------------------------------------------------------------------------------------------- the loop

thread_local! {
    /// The trigger of the loops on this thread; `None`: what a loop chooses itself.
    pub static TRIGGER: Cell<Option<Trigger>> = const { Cell::new(None) };
}

/// A loop and its diary. Notices are noted too: `notice: TEXT`.
pub struct Bench {
    pub reactor: Reactor<Script>,
    pub diary: Diary,
}

impl Bench {
    pub fn new(backend: Backend) -> Bench {
        Bench::built(backend, |builder| builder)
    }

    pub fn limited(backend: Backend, limits: Limits) -> Bench {
        Bench::built(backend, |builder| builder.limits(limits))
    }

    pub fn built(backend: Backend, set: impl FnOnce(Builder<Script>) -> Builder<Script>) -> Bench {
        let diary = Diary::default();
        let notices = diary.clone();
        let builder = Reactor::builder()
            .backend(backend)
            .on_notice(move |notice| notices.note(format!("notice: {notice}")));
        let builder = match TRIGGER.get() {
            Some(trigger) => builder.trigger(trigger),
            None => builder,
        };
        let reactor = set(builder).build().expect("a loop");
        assert_eq!(reactor.backend(), backend);
        Bench { reactor, diary }
    }

    pub fn script(&self) -> Script {
        Script::new(&self.diary)
    }

    pub fn echo(&self) -> Script {
        Script::echo(&self.diary)
    }

    /// A connection over a Unix pair, where what one end does is seen by the other before the call returns, so that a test can
    /// say "now" and mean it.
    pub fn pair(&mut self, script: Script) -> (ConnectionId, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        theirs.set_nonblocking(true).expect("nonblocking");
        (self.reactor.adopt(ours, script).expect("adopted"), theirs)
    }

    /// A connection over TCP.
    pub fn tcp(&mut self, script: Script) -> (ConnectionId, TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let theirs = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (ours, _) = listener.accept().expect("accepted");
        theirs.set_nonblocking(true).expect("nonblocking");
        (self.reactor.adopt(ours, script).expect("adopted"), theirs)
    }

    /// Listens at a port of its own choice.
    pub fn listen(&mut self, mut make: impl FnMut() -> Script + 'static) -> std::net::SocketAddr {
        let id = self.reactor.listen(([127, 0, 0, 1], 0), move |_| Some(make())).expect("listening");
        self.address(id)
    }

    pub fn address(&self, listener: ListenerId) -> std::net::SocketAddr {
        match self.reactor.local_address(listener) {
            Some(Address::Inet(address)) => *address,
            other => panic!("no address: {other:?}"),
        }
    }

    /// One turn that does not wait.
    pub fn turn(&mut self) {
        self.reactor.turn(Some(Duration::ZERO)).expect("turned");
    }

    /// Turns until nothing happens: no events, and nothing to be done without any.
    pub fn rest(&mut self) {
        let mut quiet = 0;
        for _ in 0..10_000 {
            let before = (self.reactor.counters().events, self.diary.len());
            self.turn();
            let after = (self.reactor.counters().events, self.diary.len());
            quiet = if before == after { quiet + 1 } else { 0 };
            if quiet == 3 {
                return;
            }
        }
        panic!("the loop never rests: {:?}", self.diary.tail());
    }

    /// Runs until the shutdown is complete. What keeps it waiting for ever ends in a panic.
    pub fn run(&mut self) {
        let handle = self.reactor.handle();
        let (done, waits) = mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            if waits.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                handle.run(|reactor| panic!("it runs for ever: {reactor:?}"));
            }
        });
        self.reactor.run().expect("a run");
        drop(done);
        watchdog.join().expect("a watchdog");
    }

    /// Turns until it is so.
    pub fn until(&mut self, what: &str, mut so: impl FnMut(&mut Bench) -> bool) {
        let start = Instant::now();
        while !so(self) {
            assert!(start.elapsed() < PATIENCE, "never happened: {what}; {:?}", self.diary.tail());
            self.reactor.turn(Some(LIMIT)).expect("turned");
        }
        assert!(self.diary.find("notice: busy loop").is_none(), "{:?}", self.diary.tail());
    }

    /// Turns until the diary has a line.
    pub fn until_noted(&mut self, line: &str) {
        self.until(line, |bench| bench.diary.says(line));
    }

    /// Turns until no connection is left.
    pub fn until_empty(&mut self) {
        self.until("no connection left", |bench| bench.reactor.connections() == 0);
    }

    /// Turns until a peer has got so many bytes.
    pub fn read(&mut self, peer: &mut impl Read, length: usize) -> Vec<u8> {
        let mut got = vec![0; length];
        let mut filled = 0;
        self.until("enough bytes", |_| {
            filled += read_some(peer, &mut got[filled..]).expect("bytes");
            filled == length
        });
        got
    }

    /// Turns until a peer has got everything there will be.
    pub fn read_to_end(&mut self, peer: &mut impl Read) -> Vec<u8> {
        let (got, result) = self.read_to_any_end(peer);
        result.expect("an end in order");
        got
    }

    /// The same, whatever the end is like.
    pub fn read_to_any_end(&mut self, peer: &mut impl Read) -> (Vec<u8>, io::Result<()>) {
        let mut got = Vec::new();
        let mut end = None;
        self.until("an end", |_| {
            end = read_available(peer, &mut got);
            end.is_some()
        });
        (got, end.expect("an end"))
    }

    /// Turns until a peer could say all of it.
    pub fn write(&mut self, peer: &mut impl Write, bytes: &[u8]) {
        let mut rest = bytes;
        self.until("all written", |_| {
            rest = &rest[write_some(peer, rest)..];
            rest.is_empty()
        });
    }

    /// Asks and turns until there is an answer of this length.
    pub fn ask(&mut self, peer: &mut (impl Read + Write), question: &str, length: usize) -> String {
        self.write(peer, question.as_bytes());
        String::from_utf8(self.read(peer, length)).expect("text")
    }
}

// -------------------------------------------------------------------------------------------------------------- the peers

/// What can be read now; nothing is zero, and so is the end.
pub fn read_some(peer: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    match peer.read(buffer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}

/// Appends what can be read now; how it ended, if it did.
pub fn read_available(peer: &mut impl Read, got: &mut Vec<u8>) -> Option<io::Result<()>> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match peer.read(&mut buffer) {
            Ok(0) => return Some(Ok(())),
            Ok(length) => got.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) => return Some(Err(error)),
        }
    }
}

/// What is there now.
pub fn available(peer: &mut impl Read) -> Vec<u8> {
    let mut got = Vec::new();
    read_available(peer, &mut got);
    got
}

/// Writes what can be written now: how much that was.
pub fn write_some(peer: &mut impl Write, bytes: &[u8]) -> usize {
    match peer.write(bytes) {
        Ok(written) => written,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => panic!("cannot write: {error}"),
    }
}

/// Writes until the kernel takes no more: how much that was.
pub fn fill(peer: &mut impl Write) -> usize {
    let mut sum = 0;
    loop {
        match write_some(peer, &[b'.'; 16 * 1024]) {
            0 => return sum,
            written => sum += written,
        }
    }
}

/// Whether the peer heard of the end: the end of the stream or a reset.
pub fn is_over(peer: &mut impl Read) -> bool {
    read_available(peer, &mut Vec::new()).is_some()
}

/// Bytes that differ enough to notice when some are lost, doubled or exchanged.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

/// Lets a short time pass that nothing announces.
pub fn let_pass(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        thread::yield_now();
    }
}

/// An empty directory of its own, removed with the value.
pub struct Scratch(pub std::path::PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("event-loop-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Scratch(path)
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }

    /// A file with these bytes.
    pub fn file(&self, bytes: &[u8]) -> std::sync::Arc<std::fs::File> {
        let path = self.path("file");
        std::fs::write(&path, bytes).expect("written");
        std::sync::Arc::new(std::fs::File::open(path).expect("opened"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A descriptor that is no socket.
pub fn null_device() -> OwnedFd {
    std::fs::File::open("/dev/null").expect("the null device").into()
}
