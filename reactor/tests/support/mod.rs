//! What the tests of layer 1 share: a poll with patience, socket pairs, and the system calls std has no word for.
#![allow(dead_code)] // each test program uses a part of it

use std::io::{self, IoSlice, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use reactor::event::{Event, Source};
use reactor::net::TcpStream;
use reactor::{Backend, Events, Interest, Poll, Registry, Token, Trigger};

/// Long enough that only a defect lasts longer. (tests/planted, where there always is one, waits less.)
pub const PATIENCE: Duration = Duration::from_secs(if option_env!("IMPATIENT").is_some() { 5 } else { 20 });

pub const READABLE: Interest = Interest::READABLE;
pub const WRITABLE: Interest = Interest::WRITABLE;
pub const PRIORITY: Interest = Interest::PRIORITY;

/// Every backend by name.
pub fn backends() -> impl Iterator<Item = Backend> {
    Backend::available().iter().copied().filter(|&backend| backend != Backend::Auto)
}

/// Whether this machine lets a test use it; if not, says why.
pub fn is_available(backend: Backend) -> bool {
    backend.resolve().map_err(|why| eprintln!("skipped: {why}")).is_ok()
}

/// A poll and its events.
pub struct Waiting {
    pub poll: Poll,
    pub events: Events,
}

impl Waiting {
    pub fn with(backend: Backend) -> Waiting {
        let poll = Poll::with_backend(backend).expect("a poll");
        assert_eq!(poll.backend(), backend);
        Waiting { poll, events: Events::with_capacity(64) }
    }

    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    pub fn register(&self, source: &mut impl Source, token: usize, interest: Interest, trigger: Trigger) {
        self.registry().register_with(source, Token(token), interest, trigger).expect("registered");
    }

    pub fn edge(&self, source: &mut impl Source, token: usize, interest: Interest) {
        self.registry().register(source, Token(token), interest).expect("registered");
    }

    pub fn level(&self, source: &mut impl Source, token: usize, interest: Interest) {
        self.register(source, token, interest, Trigger::Level);
    }

    pub fn deregister(&self, source: &mut impl Source) {
        self.registry().deregister(source).expect("deregistered");
    }

    /// Waits for at least one event. Panics when none comes.
    pub fn wait(&mut self) -> Vec<Event> {
        let events = self.wait_for(PATIENCE);
        assert!(!events.is_empty(), "no event came");
        events
    }

    /// What is ready at this moment.
    pub fn now(&mut self) -> Vec<Event> {
        self.wait_for(Duration::ZERO)
    }

    /// What comes within this time. (A process that is stopped and goes on is interrupted without any handler.)
    pub fn wait_for(&mut self, timeout: Duration) -> Vec<Event> {
        let start = Instant::now();
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            match self.poll.poll(&mut self.events, Some(left)) {
                // A ring that this thread waits with as well has work done in it (quirk b of `io_uring.rs`).
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    result.expect("polled");
                    return self.events.iter().copied().collect();
                }
            }
        }
    }

    /// Waits until an event satisfies the condition.
    pub fn wait_until(&mut self, condition: impl Fn(&Event) -> bool) -> Event {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(event) = self.wait().into_iter().find(&condition) {
                return event;
            }
        }
        panic!("the event waited for did not come");
    }

    /// Waits for exactly one event, which must carry this token.
    pub fn wait_one(&mut self, token: usize) -> Event {
        let events = self.wait();
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0].token(), Token(token), "{events:?}");
        events[0]
    }

    pub fn assert_silent(&mut self) {
        let events = self.now();
        assert!(events.is_empty(), "{events:?}");
    }
}

/// Tries again until it is so. Panics when it takes too long.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::yield_now();
    }
}

/// A connected pair: one of our sockets, nonblocking, and std's. It is a Unix pair inside, because there what one end does is
/// seen by the other before the call returns, so a test can say "now" and mean it.
pub fn pair() -> (TcpStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    ours.set_nonblocking(true).expect("nonblocking");
    theirs.set_nonblocking(true).expect("nonblocking");
    (TcpStream::from(OwnedFd::from(ours)), theirs)
}

/// A connected pair over TCP: one of our sockets, nonblocking, and std's, blocking.
pub fn tcp_pair() -> (TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let theirs = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (ours, _) = listener.accept().expect("accepted");
    ours.set_nonblocking(true).expect("nonblocking");
    (TcpStream::from_std(ours), theirs)
}

/// A raw pair of nonblocking descriptors.
pub fn raw_pair() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a pair");
    near.set_nonblocking(true).expect("nonblocking");
    far.set_nonblocking(true).expect("nonblocking");
    (near, far)
}

/// A socket as a library sees it that asks for its number and does the system calls itself.
pub fn by_number(socket: &impl AsRawFd) -> ManuallyDrop<UnixStream> {
    // SAFETY: the descriptor is open as long as `socket` lives, which the tests see to, and `ManuallyDrop` never closes it.
    ManuallyDrop::new(unsafe { UnixStream::from_raw_fd(socket.as_raw_fd()) })
}

/// Reads until `WouldBlock` or the end, and says how much it was.
pub fn drain(source: &mut impl Read) -> usize {
    let (mut buffer, mut sum) = ([0; 4096], 0);
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return sum,
            Ok(length) => sum += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return sum,
            Err(error) => panic!("cannot read: {error}"),
        }
    }
}

/// Writes until `WouldBlock`.
pub fn fill(sink: &mut impl Write) {
    loop {
        match sink.write(&[7; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => panic!("cannot write: {error}"),
        }
    }
}

/// Writes in two pieces whatever it is given.
pub struct InPieces<W>(pub W);

impl<W: Write> Write for InPieces<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (head, tail) = bytes.split_at(bytes.len() / 2);
        self.0.write_vectored(&[IoSlice::new(head), IoSlice::new(tail)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A duplicate with a number that no other test is given, however many run at once: the kernel gives out the lowest, and few
/// are open at a time.
pub fn duplicate_high(fd: &impl AsRawFd) -> OwnedFd {
    static NEXT: AtomicI32 = AtomicI32::new(0);
    let first = (raise_descriptor_limit() / 4 * 3).clamp(1500, 15_000) as RawFd;
    duplicate_at_least(fd, first + NEXT.fetch_add(8, Ordering::Relaxed))
}

/// A duplicate whose number is `least` or, if that is taken, higher.
pub fn duplicate_at_least(fd: &impl AsRawFd, least: RawFd) -> OwnedFd {
    raise_descriptor_limit();
    // SAFETY: takes no pointers; the descriptor it returns is new.
    unsafe {
        let new = libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least);
        assert!(new >= least, "no duplicate at {least}: {}", io::Error::last_os_error());
        OwnedFd::from_raw_fd(new)
    }
}

/// As many descriptors as the hard limit allows: how many.
pub fn raise_descriptor_limit() -> u64 {
    static LIMIT: OnceLock<u64> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is a local that outlives both calls.
        unsafe {
            assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
            limit.rlim_cur = limit.rlim_max;
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        }
        #[allow(clippy::unnecessary_cast)] // it is signed on some systems
        return limit.rlim_cur as u64;
    })
}

/// A nonblocking pipe: the end to read, the end to write.
pub fn pipe() -> (OwnedFd, OwnedFd) {
    let (sender, receiver) = reactor::unix::pipe::new().expect("a pipe");
    (receiver.into(), sender.into())
}

/// A folder of this test's own, for sockets with a path; removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        Folder::below(&std::env::temp_dir())
    }

    /// Where paths are so short that a name may make up for it.
    pub fn in_short_path() -> Folder {
        Folder::below(Path::new("/tmp"))
    }

    fn below(parent: &Path) -> Folder {
        static NEXT: AtomicI32 = AtomicI32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("reactor-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).expect("a folder");
        Folder(folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("removed");
    }
}

/// Connects to `s` in the folder from a socket whose path fills the whole of `sun_path`, without a NUL. `None` if the folder's
/// own name is too long for that.
pub fn connect_from_the_longest_path(folder: &Folder) -> Option<OwnedFd> {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: all zeroes is a valid `sockaddr_un`.
    let (mut from, mut to): (libc::sockaddr_un, libc::sockaddr_un) = unsafe { std::mem::zeroed() };
    let room = from.sun_path.len();
    let name = "n".repeat(room.checked_sub(folder.path("").as_os_str().len())?);
    for (address, path) in [(&mut from, folder.path(&name)), (&mut to, folder.path("s"))] {
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        for (to, from) in address.sun_path.iter_mut().zip(path.as_os_str().as_bytes()) {
            *to = *from as libc::c_char;
        }
    }
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: both addresses are valid for the length given, and the descriptor is new.
    unsafe {
        let fd = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        let client = OwnedFd::from_raw_fd(fd);
        assert_eq!(libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC), 0);
        assert_eq!(libc::bind(fd, (&raw const from).cast(), length), 0, "{}", io::Error::last_os_error());
        assert_eq!(libc::connect(fd, (&raw const to).cast(), length), 0, "{}", io::Error::last_os_error());
        Some(client)
    }
}

/// The index of the loopback interface.
pub fn loopback_index() -> u32 {
    // SAFETY: the names end with NUL.
    let index = unsafe { [c"lo", c"lo0"].map(|name| libc::if_nametoindex(name.as_ptr())) };
    index.into_iter().max().filter(|&index| index > 0).expect("a loopback interface")
}

/// A TCP socket that is neither connected nor listening.
pub fn unconnected() -> OwnedFd {
    // SAFETY: takes no pointers; the descriptor it returns is new.
    unsafe {
        let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        assert_eq!(libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC), 0);
        assert_eq!(libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK), 0);
        OwnedFd::from_raw_fd(fd)
    }
}

/// Sends one byte out of band.
pub fn send_urgent(stream: &impl AsRawFd, byte: u8) {
    try_send_urgent(stream, byte).expect("an urgent byte sent");
}

/// Sends one byte out of band, if the connection still takes it.
pub fn try_send_urgent(stream: &impl AsRawFd, byte: u8) -> io::Result<()> {
    // SAFETY: `byte` is one readable byte.
    match unsafe { libc::send(stream.as_raw_fd(), (&raw const byte).cast(), 1, libc::MSG_OOB) } {
        1 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What poll(2) says at this moment of who asks for `events`.
pub fn poll_flags(fd: &impl AsRawFd, events: libc::c_short) -> libc::c_short {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: `entry` is one entry that outlives the call.
    assert!(unsafe { libc::poll(&raw mut entry, 1, 0) } >= 0, "{}", io::Error::last_os_error());
    entry.revents
}

/// Receives the byte that was sent out of band.
pub fn receive_urgent(stream: &impl AsRawFd) -> io::Result<u8> {
    let mut byte = 0u8;
    // SAFETY: `byte` is one writable byte.
    match unsafe { libc::recv(stream.as_raw_fd(), (&raw mut byte).cast(), 1, libc::MSG_OOB) } {
        1 => Ok(byte),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes close send a reset.
pub fn reset_on_close(stream: &impl AsRawFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let (raw, length) = ((&raw const linger).cast(), size_of::<libc::linger>() as libc::socklen_t);
    // SAFETY: `linger` is readable for its length.
    let result =
        unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, raw, length) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// What this thread used so far: processor time, and how often it went to sleep. Nothing where the kernel counts for whole
/// processes only.
#[cfg(not(has_rusage_thread))]
pub fn usage() -> (Duration, i64) {
    eprintln!("skipped: what a thread uses is not counted here");
    (Duration::ZERO, 0)
}

/// What this thread used so far: processor time, and how often it went to sleep.
#[cfg(has_rusage_thread)]
pub fn usage() -> (Duration, i64) {
    // SAFETY: all zeroes is a valid `rusage`, and getrusage fills it in.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage), 0);
        usage
    };
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    (time(usage.ru_utime) + time(usage.ru_stime), usage.ru_nvcsw)
}

/// A signal that interrupts system calls and does nothing else; returns what sends it to the calling thread.
pub fn interrupting_signal() -> impl Fn() + Send + 'static {
    extern "C" fn ignore(_: libc::c_int) {}
    // SAFETY: the handler does nothing, so it is safe in any context; a zeroed `sigaction` is valid: no flags, no mask.
    let thread = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = ignore as *const () as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()), 0);
        libc::pthread_self()
    };
    // SAFETY: used by tests only while that thread is alive.
    move || unsafe {
        libc::pthread_kill(thread, libc::SIGUSR2);
    }
}
