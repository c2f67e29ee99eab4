//! Every system call the reactor makes, and every `unsafe` block it needs.
//!
//! The functions are thin: a safe signature over one call of the C library, `-1` turned into [`io::Error`], nothing retried
//! and nothing decided. Who calls them decides what an error means. Sections follow the order in which a connection meets
//! them: waiting, waking, sockets, bytes, files.

use std::ffi::CString;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Calls the C library and turns `-1` into the error that `errno` names.
macro_rules! syscall {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        let result = libc::$name($($argument),*);
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
    }};
}

/// The descriptor traits of a type that wraps one of std's sockets in a field `inner`. They are here for the one among them
/// whose signature is unsafe.
macro_rules! descriptor_traits {
    ($socket:ident, $std:ty) => {
        impl std::os::fd::AsFd for $socket {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.inner.as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $socket {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.inner.as_raw_fd()
            }
        }

        impl std::os::fd::IntoRawFd for $socket {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                self.inner.into_raw_fd()
            }
        }

        impl std::os::fd::FromRawFd for $socket {
            /// The descriptor should be nonblocking already.
            unsafe fn from_raw_fd(fd: std::os::fd::RawFd) -> $socket {
                // SAFETY: the caller gives an open descriptor away (the contract of `FromRawFd`).
                unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) }.into()
            }
        }

        impl From<std::os::fd::OwnedFd> for $socket {
            /// The descriptor should be nonblocking already.
            fn from(fd: std::os::fd::OwnedFd) -> $socket {
                $socket { inner: fd }
            }
        }

        impl From<$socket> for std::os::fd::OwnedFd {
            fn from(socket: $socket) -> std::os::fd::OwnedFd {
                socket.inner
            }
        }

        impl From<$socket> for $std {
            /// It stays nonblocking.
            fn from(socket: $socket) -> $std {
                socket.inner.into()
            }
        }
    };
}

// ---------------------------------------------------------------------------------------------------------- waiting

/// One source's readiness, as told by one wait.
///
/// Readiness is a hint: a read may still answer [`WouldBlock`](std::io::ErrorKind::WouldBlock).
///
/// In memory it is the kernel's own `epoll_event`, so that epoll fills a whole batch in place. The flags are those of
/// poll(2), which epoll shares and the other backends translate to.
#[derive(Copy, Clone)]
#[repr(transparent)]
pub struct Event(libc::epoll_event);

impl Event {
    /// An event with the key given at registration and poll(2)'s flags.
    #[inline]
    pub(crate) fn new(key: u64, flags: u32) -> Event {
        Event(libc::epoll_event { events: flags, u64: key })
    }

    /// The key given at registration.
    #[inline]
    pub(crate) fn key(&self) -> u64 {
        self.0.u64
    }

    /// The kernel's flags.
    #[inline]
    pub(crate) fn flags(&self) -> u32 {
        self.0.events
    }
}

/// poll(2)'s flags, whose values epoll(7) shares.
#[allow(clippy::cast_sign_loss)]
mod flags {
    pub(crate) const IN: u32 = libc::EPOLLIN as u32;
    pub(crate) const PRI: u32 = libc::EPOLLPRI as u32;
    pub(crate) const OUT: u32 = libc::EPOLLOUT as u32;
    pub(crate) const ERR: u32 = libc::EPOLLERR as u32;
    pub(crate) const HUP: u32 = libc::EPOLLHUP as u32;
    pub(crate) const RDHUP: u32 = libc::EPOLLRDHUP as u32;
    /// poll(2) only: the number is no open descriptor.
    pub(crate) const INVALID: u32 = libc::POLLNVAL as u32;
    pub(crate) const EDGE: u32 = libc::EPOLLET as u32;
    /// epoll(7) only: of the sets that watch a descriptor, not all are told.
    pub(crate) const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;
    pub(crate) const ONE_SHOT: u32 = libc::EPOLLONESHOT as u32;
}
pub(crate) use flags::*;

/// epoll_create1(2).
pub(crate) fn epoll_create() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers; the descriptor it returns is new and owned by nobody else.
    unsafe { Ok(OwnedFd::from_raw_fd(syscall!(epoll_create1(libc::EPOLL_CLOEXEC))?)) }
}

/// epoll_ctl(2) with `EPOLL_CTL_ADD` or `EPOLL_CTL_MOD`.
pub(crate) fn epoll_set(epoll: &OwnedFd, operation: i32, fd: RawFd, mut event: Event) -> io::Result<()> {
    // SAFETY: `event` lives until the call returns and the kernel keeps no pointer to it.
    unsafe { syscall!(epoll_ctl(epoll.as_raw_fd(), operation, fd, (&raw mut event).cast())) }.map(drop)
}

/// epoll_ctl(2) with `EPOLL_CTL_DEL`.
pub(crate) fn epoll_delete(epoll: &OwnedFd, fd: RawFd) -> io::Result<()> {
    // SAFETY: a null event is allowed for this operation since Linux 2.6.9 (epoll_ctl(2), "BUGS").
    unsafe { syscall!(epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, ptr::null_mut())) }.map(drop)
}

/// epoll_wait(2) for no timeout or zero, epoll_pwait2(2) for any other, `epoll_wait` with milliseconds rounded up where the
/// kernel lacks it (before 5.11). Replaces what `events` held by at most its capacity of new ones.
pub(crate) fn epoll_wait(
    epoll: &OwnedFd,
    events: &mut Vec<Event>,
    timeout: Option<Duration>,
    to_millis: fn(Duration) -> i32,
) -> io::Result<()> {
    static NO_PWAIT2: AtomicBool = AtomicBool::new(false);
    events.clear();
    let (epoll, room) = (epoll.as_raw_fd(), i32::try_from(events.capacity()).unwrap_or(i32::MAX));
    let millis = match timeout {
        None => -1,
        Some(Duration::ZERO) => 0,
        Some(timeout) if !NO_PWAIT2.load(Ordering::Relaxed) => {
            let limit = timespec(timeout);
            // SAFETY: `events` has room for `room` entries, `limit` outlives the call, and a null signal mask means none.
            let result = unsafe {
                syscall!(syscall(
                    libc::SYS_epoll_pwait2,
                    epoll,
                    events.as_mut_ptr(), // `Event` is `repr(transparent)` over the kernel's own type
                    room,
                    &raw const limit,
                    ptr::null::<libc::sigset_t>(),
                    0usize,
                ))
            };
            match result {
                Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                    NO_PWAIT2.store(true, Ordering::Relaxed);
                    to_millis(timeout)
                }
                Err(error) => return Err(error),
                // SAFETY: the kernel initialised exactly the first `ready` entries (epoll_wait(2), "RETURN VALUE"), and
                // it was told not to write more than the capacity.
                Ok(ready) => unsafe {
                    events.set_len(usize::try_from(ready).unwrap_or(0));
                    return Ok(());
                },
            }
        }
        Some(timeout) => to_millis(timeout),
    };
    // SAFETY: `events` has room for `room` entries.
    let ready = unsafe { syscall!(epoll_wait(epoll, events.as_mut_ptr().cast(), room, millis))? };
    // SAFETY: as above: exactly the first `ready` entries are initialised.
    unsafe { events.set_len(usize::try_from(ready).unwrap_or(0)) };
    Ok(())
}

/// An entry of poll(2)'s array. `POLLERR` and `POLLHUP` come whether asked for or not, so they are not passed on.
/// (All flags fit poll(2)'s `short`.)
pub(crate) fn poll_entry(fd: RawFd, flags: u32) -> libc::pollfd {
    libc::pollfd { fd, events: (flags & !(ERR | HUP)) as i16, revents: 0 }
}

/// What the kernel answered in an entry of poll(2)'s array.
pub(crate) fn poll_answer(entry: &libc::pollfd) -> u32 {
    u32::from(entry.revents as u16)
}

/// ppoll(2): how many entries have something to tell.
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    let limit = timeout.map(timespec);
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `fds` is a valid slice of the length given, `limit` is null or outlives the call, a null mask means none.
    let ready = unsafe { syscall!(ppoll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, limit, ptr::null()))? };
    Ok(usize::try_from(ready).unwrap_or(0))
}

/// pselect6(2), called directly: the C library's `fd_set` ends at 1024 descriptors, the kernel's bitmaps do not. The three
/// sets (readable, writable, exceptional) have `highest / 64 + 1` words each.
pub(crate) fn select(highest: RawFd, sets: [&mut [u64]; 3], timeout: Option<Duration>) -> io::Result<usize> {
    let words = usize::try_from(highest).map_or(0, |highest| highest / 64 + 1);
    assert!(sets.iter().all(|set| set.len() >= words), "the bitmaps end before the highest descriptor");
    // The kernel writes the time left into it (select(2), "C library/kernel differences"): our copy, not the caller's.
    let mut limit = timeout.map(timespec);
    let limit = limit.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    let [readable, writable, exceptional] = sets.map(<[u64]>::as_mut_ptr);
    // SAFETY: the kernel reads and writes `highest + 1` bits of each set, which the assertion above covers; `limit` is null
    // or points to a local; a null signal mask means none.
    let ready = unsafe {
        syscall!(syscall(
            libc::SYS_pselect6,
            highest + 1,
            readable,
            writable,
            exceptional,
            limit,
            ptr::null::<libc::c_void>(),
        ))?
    };
    Ok(usize::try_from(ready).unwrap_or(0))
}

/// A duration as the kernel takes it; what lies beyond the kernel's range becomes its longest wait.
fn timespec(duration: Duration) -> libc::timespec {
    let longest = libc::time_t::from(i32::MAX);
    match libc::time_t::try_from(duration.as_secs()) {
        Ok(seconds) if seconds < longest => {
            libc::timespec { tv_sec: seconds, tv_nsec: libc::c_long::from(duration.subsec_nanos()) }
        }
        _ => libc::timespec { tv_sec: longest, tv_nsec: 0 },
    }
}

/// Starts a thread (pthread_create(3)).
pub(crate) fn spawn_thread<R: Send + 'static>(
    name: String,
    run: impl FnOnce() -> R + Send + 'static,
) -> io::Result<std::thread::JoinHandle<R>> {
    std::thread::Builder::new().name(name).spawn(run)
}

// ----------------------------------------------------------------------------------------------------------- waking

/// A counter in the kernel that is readable while it is not zero (eventfd(2)).
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    pub(crate) fn new() -> io::Result<EventFd> {
        // SAFETY: takes no pointers; the descriptor it returns is new and owned by nobody else.
        unsafe {
            Ok(EventFd(OwnedFd::from_raw_fd(syscall!(eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?)))
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.0)
    }

    /// Adds one. `WouldBlock` when the counter is at its maximum.
    pub(crate) fn add(&self) -> io::Result<()> {
        let one = 1u64.to_ne_bytes();
        // SAFETY: `one` is eight readable bytes (eventfd(2): a write takes exactly eight).
        unsafe { syscall!(write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len())) }.map(drop)
    }

    /// Sets it to zero. `WouldBlock` when it was.
    pub(crate) fn drain(&self) -> io::Result<()> {
        let mut count = [0u8; 8];
        // SAFETY: `count` is eight writable bytes.
        unsafe { syscall!(read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len())) }.map(drop)
    }
}

/// A clock as a descriptor: readable once the time set has passed (timerfd_create(2)).
#[derive(Debug)]
pub(crate) struct TimerFd(OwnedFd);

impl TimerFd {
    pub(crate) fn new() -> io::Result<TimerFd> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: takes no pointers; the descriptor it returns is new and owned by nobody else.
        unsafe { Ok(TimerFd(OwnedFd::from_raw_fd(syscall!(timerfd_create(libc::CLOCK_MONOTONIC, flags))?))) }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.0)
    }

    /// Rings once after `delay` (at least a nanosecond, because zero would disarm it). Setting it also forgets an expiration
    /// nobody read.
    pub(crate) fn set(&self, delay: Duration) -> io::Result<()> {
        let value = timespec(delay.max(Duration::from_nanos(1)));
        let once = libc::itimerspec { it_interval: timespec(Duration::ZERO), it_value: value };
        // SAFETY: `once` outlives the call, and a null old value is allowed.
        unsafe { syscall!(timerfd_settime(self.0.as_raw_fd(), 0, &raw const once, ptr::null_mut())) }
            .map(drop)
    }
}

// ---------------------------------------------------------------------------------------------------------- sockets

/// The address of a socket as the kernel takes and gives it.
pub(crate) struct RawAddress {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl RawAddress {
    fn empty() -> RawAddress {
        // SAFETY: all zeroes is a valid `sockaddr_storage`: integers and byte arrays only.
        let storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        RawAddress { storage, length: size_of::<libc::sockaddr_storage>() as libc::socklen_t }
    }

    /// Copies `address`, one of libc's `sockaddr_*` types.
    fn from_part<T: Copy>(address: T, length: usize) -> RawAddress {
        assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>() && length <= size_of::<T>());
        let mut raw = RawAddress::empty();
        // SAFETY: the storage is large enough (asserted) and aligned for every address family (socket(7)).
        unsafe { ptr::from_mut(&mut raw.storage).cast::<T>().write(address) };
        raw.length = length as libc::socklen_t;
        raw
    }

    pub(crate) fn inet(address: SocketAddr) -> RawAddress {
        match address {
            SocketAddr::V4(address) => RawAddress::from_part(
                libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                    sin_zero: [0; 8],
                },
                size_of::<libc::sockaddr_in>(),
            ),
            SocketAddr::V6(address) => RawAddress::from_part(
                libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                    sin6_scope_id: address.scope_id(),
                },
                size_of::<libc::sockaddr_in6>(),
            ),
        }
    }

    /// A path in the file system. The error says when it is too long: the kernel has room for 107 bytes (unix(7)).
    pub(crate) fn unix(path: &Path) -> io::Result<RawAddress> {
        // SAFETY: all zeroes is a valid `sockaddr_un`.
        let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() || bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
            let problem = "a Unix socket's path has 1 to 107 bytes and no NUL";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        for (to, from) in address.sun_path.iter_mut().zip(bytes) {
            *to = *from as libc::c_char;
        }
        let length = mem::offset_of!(libc::sockaddr_un, sun_path) + bytes.len() + 1;
        Ok(RawAddress::from_part(address, length))
    }

    pub(crate) fn family(&self) -> i32 {
        i32::from(self.storage.ss_family)
    }

    /// The Internet address it holds, if it holds one.
    pub(crate) fn to_inet(&self) -> Option<SocketAddr> {
        match self.family() {
            libc::AF_INET => {
                // SAFETY: the family says what the storage holds, and the kernel filled it in whole.
                let address = unsafe { ptr::from_ref(&self.storage).cast::<libc::sockaddr_in>().read() };
                let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let address = unsafe { ptr::from_ref(&self.storage).cast::<libc::sockaddr_in6>().read() };
                let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
                let port = u16::from_be(address.sin6_port);
                Some(SocketAddrV6::new(ip, port, address.sin6_flowinfo, address.sin6_scope_id).into())
            }
            _ => None,
        }
    }

    /// The path it holds: `Some(None)` for a Unix socket without one (unnamed, or in the abstract namespace).
    pub(crate) fn to_unix(&self) -> Option<Option<&Path>> {
        if self.family() != libc::AF_UNIX {
            return None;
        }
        let offset = mem::offset_of!(libc::sockaddr_un, sun_path);
        let length = (self.length as usize).saturating_sub(offset);
        // SAFETY: `sun_path` starts at `offset` and the kernel reported `length` bytes of it, all within the storage.
        let path = unsafe {
            std::slice::from_raw_parts(ptr::from_ref(&self.storage).cast::<u8>().add(offset), length)
        };
        let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
        Some((!path.is_empty()).then(|| Path::new(std::ffi::OsStr::from_bytes(path))))
    }
}

/// socket(2): a stream socket, nonblocking and closed on exec.
pub(crate) fn stream_socket(family: i32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointers; the descriptor it returns is new and owned by nobody else.
    unsafe { Ok(OwnedFd::from_raw_fd(syscall!(socket(family, kind, 0))?)) }
}

/// socketpair(2): two Unix stream sockets connected to each other, nonblocking and closed on exec.
#[cfg(feature = "signal-hook")]
pub(crate) fn socket_pair() -> io::Result<[OwnedFd; 2]> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let mut fds = [-1; 2];
    // SAFETY: `fds` has room for the two descriptors.
    unsafe { syscall!(socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()))? };
    // SAFETY: both are new and owned by nobody else.
    Ok(fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// bind(2).
pub(crate) fn bind(fd: BorrowedFd<'_>, address: &RawAddress) -> io::Result<()> {
    let raw = ptr::from_ref(&address.storage).cast();
    // SAFETY: the address is valid for the length given.
    unsafe { syscall!(bind(fd.as_raw_fd(), raw, address.length)) }.map(drop)
}

/// listen(2). The kernel silently cuts `backlog` to `net.core.somaxconn`.
pub(crate) fn listen(fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    // SAFETY: takes no pointers.
    unsafe { syscall!(listen(fd.as_raw_fd(), backlog)) }.map(drop)
}

/// accept4(2): the connection, nonblocking and closed on exec, and the peer's address.
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, RawAddress)> {
    let mut peer = RawAddress::empty();
    let raw = ptr::from_mut(&mut peer.storage).cast();
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the storage has room for any address and `length` says how much; the descriptor returned is new.
    let stream =
        unsafe { OwnedFd::from_raw_fd(syscall!(accept4(fd.as_raw_fd(), raw, &raw mut peer.length, flags))?) };
    Ok((stream, peer))
}

/// connect(2): on a nonblocking socket usually `EINPROGRESS`.
pub(crate) fn connect(fd: BorrowedFd<'_>, address: &RawAddress) -> io::Result<()> {
    let raw = ptr::from_ref(&address.storage).cast();
    // SAFETY: the address is valid for the length given.
    unsafe { syscall!(connect(fd.as_raw_fd(), raw, address.length)) }.map(drop)
}

/// getsockname(2).
pub(crate) fn local_address(fd: BorrowedFd<'_>) -> io::Result<RawAddress> {
    let mut address = RawAddress::empty();
    let raw = ptr::from_mut(&mut address.storage).cast();
    // SAFETY: the storage has room for any address and `length` says how much.
    unsafe { syscall!(getsockname(fd.as_raw_fd(), raw, &raw mut address.length))? };
    Ok(address)
}

/// getpeername(2).
pub(crate) fn peer_address(fd: BorrowedFd<'_>) -> io::Result<RawAddress> {
    let mut address = RawAddress::empty();
    let raw = ptr::from_mut(&mut address.storage).cast();
    // SAFETY: the storage has room for any address and `length` says how much.
    unsafe { syscall!(getpeername(fd.as_raw_fd(), raw, &raw mut address.length))? };
    Ok(address)
}

/// setsockopt(2) with a value of plain bytes (an integer, `linger`, …).
fn set_option<T: Copy>(fd: BorrowedFd<'_>, level: i32, name: i32, value: T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is readable for `length` bytes until the call returns.
    unsafe { syscall!(setsockopt(fd.as_raw_fd(), level, name, ptr::from_ref(&value).cast(), length)) }
        .map(drop)
}

/// getsockopt(2) of an integer.
fn option(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let (mut value, mut length) = (0i32, size_of::<i32>() as libc::socklen_t);
    let raw = ptr::from_mut(&mut value).cast();
    // SAFETY: `value` is writable for `length` bytes.
    unsafe { syscall!(getsockopt(fd.as_raw_fd(), level, name, raw, &raw mut length))? };
    Ok(value)
}

/// `SO_ACCEPTCONN` (socket(7)): whether the socket listens.
pub(crate) fn is_listening(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(option(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? != 0)
}

/// `TCP_NODELAY` (tcp(7)): small segments go out at once. Sockets accepted inherit it from their listener.
pub(crate) fn set_no_delay(fd: BorrowedFd<'_>, no_delay: bool) -> io::Result<()> {
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, i32::from(no_delay))
}

/// `TCP_NODELAY`.
pub(crate) fn no_delay(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY)? != 0)
}

/// `IP_TTL` (ip(7)).
pub(crate) fn set_time_to_live(fd: BorrowedFd<'_>, hops: u32) -> io::Result<()> {
    let hops = i32::try_from(hops).map_err(|_| io::ErrorKind::InvalidInput)?;
    set_option(fd, libc::IPPROTO_IP, libc::IP_TTL, hops)
}

/// `IP_TTL`.
pub(crate) fn time_to_live(fd: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(option(fd, libc::IPPROTO_IP, libc::IP_TTL)? as u32)
}

/// `SO_REUSEADDR` (socket(7)): a restarted server need not wait for its old connections' TIME_WAIT.
pub(crate) fn set_reuse_address(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1i32)
}

/// `SO_REUSEPORT` (socket(7)): several sockets may listen at one address, and the kernel deals the connections out.
pub(crate) fn set_reuse_port(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1i32)
}

/// `IPV6_V6ONLY` (ipv6(7)): `false` lets one socket serve both families.
pub(crate) fn set_only_v6(fd: BorrowedFd<'_>, only: bool) -> io::Result<()> {
    set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, i32::from(only))
}

/// `SO_LINGER` with zero seconds: close sends RST and forgets what is unsent.
pub(crate) fn set_reset_on_close(fd: BorrowedFd<'_>) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_LINGER, libc::linger { l_onoff: 1, l_linger: 0 })
}

/// `SO_ERROR`: the pending error of a socket, which reading it clears.
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> io::Result<Option<io::Error>> {
    let error = option(fd, libc::SOL_SOCKET, libc::SO_ERROR)?;
    Ok((error != 0).then(|| io::Error::from_raw_os_error(error)))
}

/// shutdown(2) of the writing direction: sends FIN after what is queued.
pub(crate) fn shutdown_write(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes no pointers.
    unsafe { syscall!(shutdown(fd.as_raw_fd(), libc::SHUT_WR)) }.map(drop)
}

/// shutdown(2) of one direction or both.
pub(crate) fn shutdown(fd: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    let how = match how {
        Shutdown::Read => libc::SHUT_RD,
        Shutdown::Write => libc::SHUT_WR,
        Shutdown::Both => libc::SHUT_RDWR,
    };
    // SAFETY: takes no pointers.
    unsafe { syscall!(shutdown(fd.as_raw_fd(), how)) }.map(drop)
}

/// `O_NONBLOCK` through fcntl(2): how it was before. It belongs to the open file description: every duplicate sees it.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<bool> {
    // SAFETY: takes no pointers.
    let flags = unsafe { syscall!(fcntl(fd.as_raw_fd(), libc::F_GETFL))? };
    let wanted = if nonblocking { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
    if wanted != flags {
        // SAFETY: takes no pointers.
        unsafe { syscall!(fcntl(fd.as_raw_fd(), libc::F_SETFL, wanted))? };
    }
    Ok(flags & libc::O_NONBLOCK != 0)
}

/// Which way bytes go.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Direction {
    Receive,
    Send,
}

/// `SO_RCVTIMEO` or `SO_SNDTIMEO` (socket(7)): how long a blocking call may take before it answers `WouldBlock`; `None`: for
/// ever. Rounded up to a microsecond.
pub(crate) fn set_timeout(
    fd: BorrowedFd<'_>,
    direction: Direction,
    timeout: Option<Duration>,
) -> io::Result<()> {
    let name = match direction {
        Direction::Receive => libc::SO_RCVTIMEO,
        Direction::Send => libc::SO_SNDTIMEO,
    };
    let timeout = timeout.map_or(Duration::ZERO, |timeout| timeout.max(Duration::from_micros(1)));
    let libc::timespec { tv_sec, tv_nsec } = timespec(timeout.saturating_add(Duration::from_nanos(999)));
    set_option(fd, libc::SOL_SOCKET, name, libc::timeval { tv_sec, tv_usec: tv_nsec / 1000 })
}

/// Does nothing for so long, or until a signal comes: ppoll(2) of no descriptors.
pub(crate) fn sleep(time: Option<Duration>) {
    let _ = poll(&mut [], time); // interrupted or not, the caller looks at the clock
}

// ------------------------------------------------------------------------------------------------------------ bytes

/// recv(2).
#[inline]
pub(crate) fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buffer` is writable for the length given.
    let received = unsafe { syscall!(recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0))? };
    Ok(received as usize) // not -1, so not negative
}

/// recv(2) that leaves the bytes where they are (`MSG_PEEK`).
pub(crate) fn peek(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (start, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: `buffer` is writable for the length given.
    let received = unsafe { syscall!(recv(fd.as_raw_fd(), start, length, libc::MSG_PEEK))? };
    Ok(received as usize) // not -1, so not negative
}

/// recvmsg(2) into several pieces. At most 1024 (`IOV_MAX`).
pub(crate) fn receive_pieces(fd: BorrowedFd<'_>, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    // SAFETY: all zeroes is a valid `msghdr`: no address, no control data, no pieces.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = pieces.as_mut_ptr().cast();
    message.msg_iovlen = pieces.len().min(libc::UIO_MAXIOV as usize);
    // SAFETY: `IoSliceMut` has the layout of `iovec`, and every piece is writable.
    let received = unsafe { syscall!(recvmsg(fd.as_raw_fd(), &raw mut message, 0))? };
    Ok(received as usize) // not -1, so not negative
}

/// send(2) without SIGPIPE: a peer that is gone is `EPIPE`.
#[inline]
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL;
    // SAFETY: `bytes` is readable for the length given.
    let sent = unsafe { syscall!(send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags))? };
    Ok(sent as usize) // not -1, so not negative
}

/// sendmsg(2) of several pieces, without SIGPIPE. At most 1024 pieces (`IOV_MAX`).
pub(crate) fn send_pieces(fd: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: all zeroes is a valid `msghdr`: no address, no control data, no pieces.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = pieces.as_ptr().cast_mut().cast();
    message.msg_iovlen = pieces.len().min(libc::UIO_MAXIOV as usize);
    // SAFETY: `IoSlice` has the layout of `iovec`, every piece is readable, and sendmsg writes to none of them.
    let sent = unsafe { syscall!(sendmsg(fd.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL))? };
    Ok(sent as usize) // not -1, so not negative
}

/// sendfile(2): up to `length` bytes of `file` from `offset`, without passing through user space. Zero means that the file
/// ends there. A closed peer raises SIGPIPE here (there is no flag against it): Rust programs ignore that signal.
pub(crate) fn send_file(
    fd: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    length: u64,
) -> io::Result<usize> {
    let mut offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    // SAFETY: `offset` is a local the kernel may advance.
    let sent = unsafe { syscall!(sendfile(fd.as_raw_fd(), file.as_raw_fd(), &raw mut offset, length))? };
    Ok(sent as usize) // not -1, so not negative
}

// ------------------------------------------------------------------------------------------------------------ files

/// Whether waiting for this descriptor makes no sense because it is always ready: a file, a directory, a disk (fstat(2)), or
/// a device without a queue, such as `/dev/null`. It is what epoll refuses with `EPERM` (epoll_ctl(2), "ERRORS").
pub(crate) fn is_always_ready(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `status` has room for a `stat`.
    unsafe { syscall!(fstat(fd.as_raw_fd(), status.as_mut_ptr()))? };
    // SAFETY: fstat succeeded, so it filled `status` in.
    match unsafe { status.assume_init() }.st_mode & libc::S_IFMT {
        libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK => Ok(true),
        // Only the driver knows (a terminal can be waited for, the null device cannot), and only epoll passes it on.
        libc::S_IFCHR => {
            match epoll_set(&epoll_create()?, libc::EPOLL_CTL_ADD, fd.as_raw_fd(), Event::new(0, 0)) {
                Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(true),
                result => result.map(|()| false),
            }
        }
        _ => Ok(false),
    }
}

/// Whether this number is an open descriptor at all (fcntl(2), `F_GETFD`).
pub(crate) fn is_open(fd: RawFd) -> bool {
    // SAFETY: takes no pointers, and changes nothing whatever the number is.
    unsafe { syscall!(fcntl(fd, libc::F_GETFD)) }.is_ok()
}

/// Lends out a number as a descriptor for one call.
///
/// The number may have been closed: the only harm a stale number can do in the calls of this crate is an error (`EBADF`)
/// or, if the number was given out again, a system call on the wrong descriptor, which the owners prevent by
/// deregistering before they close.
pub(crate) fn borrow<R>(fd: RawFd, call: impl FnOnce(BorrowedFd<'_>) -> R) -> io::Result<R> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: not -1, as checked; whether it is open is the kernel's to say, and the borrow ends with this call.
    Ok(call(unsafe { BorrowedFd::borrow_raw(fd) }))
}

/// open(2) of a device that is always there, to hold a descriptor's place.
pub(crate) fn open_null() -> io::Result<OwnedFd> {
    let (path, flags) = (c"/dev/null", libc::O_RDONLY | libc::O_CLOEXEC);
    // SAFETY: the path ends with NUL; the descriptor returned is new and owned by nobody else.
    unsafe { Ok(OwnedFd::from_raw_fd(syscall!(open(path.as_ptr(), flags))?)) }
}

/// The device and the number of the socket that a path names, without following a link (lstat(2)); `None` if what stands
/// there is no socket.
pub(crate) fn socket_at(path: &Path) -> io::Result<Option<(u64, u64)>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the path ends with NUL, and `status` has room for a `stat`.
    unsafe { syscall!(lstat(path.as_ptr(), status.as_mut_ptr()))? };
    // SAFETY: lstat succeeded, so it filled `status` in.
    let status = unsafe { status.assume_init() };
    Ok((status.st_mode & libc::S_IFMT == libc::S_IFSOCK).then_some((status.st_dev, status.st_ino)))
}

/// unlink(2).
pub(crate) fn unlink(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path ends with NUL.
    unsafe { syscall!(unlink(path.as_ptr())) }.map(drop)
}
