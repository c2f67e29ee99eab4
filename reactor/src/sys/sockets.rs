//! Sockets: from socket(2) to shutdown(2), with their options.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use super::RawAddress;
use super::waiting::{poll, timespec};

/// socket(2): a stream socket, nonblocking and closed on exec.
pub(crate) fn stream_socket(family: i32) -> io::Result<OwnedFd> {
    #[cfg(feature = "sim")]
    {
        if let Some(socket) = super::simulated::stream_socket(family) {
            return socket;
        }
    }
    socket(family, libc::SOCK_STREAM)
}

/// socket(2): a datagram socket, nonblocking and closed on exec.
pub(crate) fn datagram_socket(family: i32) -> io::Result<OwnedFd> {
    socket(family, libc::SOCK_DGRAM)
}

fn socket(family: i32, kind: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers; the descriptor it returns is new and owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(syscall!(socket(family, kind | AT_BIRTH, 0))?) };
    bring_up(socket.as_fd())?;
    Ok(socket)
}

/// socketpair(2): two Unix stream sockets connected to each other, nonblocking and closed on exec.
pub(crate) fn stream_pair() -> io::Result<[OwnedFd; 2]> {
    socket_pair(libc::SOCK_STREAM)
}

/// socketpair(2): two Unix datagram sockets connected to each other, nonblocking and closed on exec.
pub(crate) fn datagram_pair() -> io::Result<[OwnedFd; 2]> {
    socket_pair(libc::SOCK_DGRAM)
}

fn socket_pair(kind: i32) -> io::Result<[OwnedFd; 2]> {
    let kind = kind | AT_BIRTH;
    let mut fds = [-1; 2];
    // SAFETY: `fds` has room for the two descriptors.
    unsafe { syscall!(socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()))? };
    // SAFETY: both are new and owned by nobody else.
    let pair = fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    pair.iter().try_for_each(|end| bring_up(end.as_fd()))?;
    Ok(pair)
}

/// What a socket is asked for as it is made: to be nonblocking and closed on exec.
#[cfg(has_socket_flags)]
const AT_BIRTH: i32 = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
#[cfg(not(has_socket_flags))]
const AT_BIRTH: i32 = 0;

/// Makes of a new descriptor what it could not be asked to be at birth. (A fork and exec in another thread, in between, would
/// inherit it: that is why newer systems ask.)
pub(super) fn bring_up(fd: BorrowedFd<'_>) -> io::Result<()> {
    if cfg!(not(has_socket_flags)) {
        set_close_on_exec(fd)?;
        set_nonblocking(fd, true)?;
    }
    #[cfg(has_so_nosigpipe_only)]
    {
        // A connection that was reset by now refuses (EINVAL), and so does a pipe; Rust programs ignore the signal as it is.
        let _ = set_option(fd, libc::SOL_SOCKET, libc::SO_NOSIGPIPE, 1i32);
    }
    Ok(())
}

/// bind(2).
pub(crate) fn bind(fd: BorrowedFd<'_>, address: &RawAddress) -> io::Result<()> {
    simulated!(fd, |kernel, number| kernel.bind(number, address.to_inet()));
    let raw = ptr::from_ref(&address.storage).cast();
    // SAFETY: the address is valid for the length given.
    unsafe { syscall!(bind(fd.as_raw_fd(), raw, address.length)) }.map(drop)
}

/// listen(2). The kernel silently cuts `backlog` to `net.core.somaxconn`.
pub(crate) fn listen(fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    simulated!(fd, |kernel, number| kernel.listen(number));
    // SAFETY: takes no pointers.
    unsafe { syscall!(listen(fd.as_raw_fd(), backlog)) }.map(drop)
}

/// accept4(2), or accept(2) where that is missing: the connection, nonblocking and closed on exec, and the peer's address.
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, RawAddress)> {
    simulated!(fd, |kernel, number| kernel.accept(number).map(|(fd, peer)| (fd, RawAddress::inet(peer))));
    let mut peer = RawAddress::empty();
    let (fd, raw) = (fd.as_raw_fd(), ptr::from_mut(&mut peer.storage).cast());
    #[cfg(has_socket_flags)]
    // SAFETY: the storage has room for any address and `length` says how much; the descriptor returned is new.
    let stream = unsafe { OwnedFd::from_raw_fd(syscall!(accept4(fd, raw, &raw mut peer.length, AT_BIRTH))?) };
    #[cfg(not(has_socket_flags))]
    // SAFETY: as above.
    let stream = unsafe { OwnedFd::from_raw_fd(syscall!(accept(fd, raw, &raw mut peer.length))?) };
    bring_up(stream.as_fd())?;
    Ok((stream, peer))
}

/// connect(2): on a nonblocking socket usually `EINPROGRESS`.
pub(crate) fn connect(fd: BorrowedFd<'_>, address: &RawAddress) -> io::Result<()> {
    simulated!(fd, |kernel, number| kernel.connect(number, address.to_inet()));
    let raw = ptr::from_ref(&address.storage).cast();
    // SAFETY: the address is valid for the length given.
    unsafe { syscall!(connect(fd.as_raw_fd(), raw, address.length)) }.map(drop)
}

/// getsockname(2).
pub(crate) fn local_address(fd: BorrowedFd<'_>) -> io::Result<RawAddress> {
    simulated!(fd, |kernel, number| Ok(RawAddress::inet(kernel.local_address(number))));
    let mut address = RawAddress::empty();
    let raw = ptr::from_mut(&mut address.storage).cast();
    // SAFETY: the storage has room for any address and `length` says how much.
    unsafe { syscall!(getsockname(fd.as_raw_fd(), raw, &raw mut address.length))? };
    Ok(address)
}

/// getpeername(2).
pub(crate) fn peer_address(fd: BorrowedFd<'_>) -> io::Result<RawAddress> {
    simulated!(fd, |kernel, number| kernel.peer_address(number).map(RawAddress::inet));
    let mut address = RawAddress::empty();
    let raw = ptr::from_mut(&mut address.storage).cast();
    // SAFETY: the storage has room for any address and `length` says how much.
    unsafe { syscall!(getpeername(fd.as_raw_fd(), raw, &raw mut address.length))? };
    Ok(address)
}

/// setsockopt(2) with a value of plain bytes (an integer, `linger`, …).
pub(super) fn set_option<T: Copy>(fd: BorrowedFd<'_>, level: i32, name: i32, value: T) -> io::Result<()> {
    simulated!(fd, |kernel, number| kernel.set_option(number, level, name));
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is readable for `length` bytes until the call returns.
    unsafe { syscall!(setsockopt(fd.as_raw_fd(), level, name, ptr::from_ref(&value).cast(), length)) }
        .map(drop)
}

/// getsockopt(2) of an integer.
pub(super) fn option(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    simulated!(fd, |kernel, number| kernel.option(number, level, name));
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
/// `Unsupported` where there is no such thing.
pub(crate) fn set_reuse_port(fd: BorrowedFd<'_>) -> io::Result<()> {
    #[cfg(not(lacks_so_reuseport))]
    const NAME: Option<i32> = Some(libc::SO_REUSEPORT);
    #[cfg(lacks_so_reuseport)]
    const NAME: Option<i32> = None;
    set_option(fd, libc::SOL_SOCKET, NAME.ok_or(io::ErrorKind::Unsupported)?, 1i32)
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
    simulated!(fd, |kernel, number| kernel.shutdown_write(number));
    // SAFETY: takes no pointers.
    unsafe { syscall!(shutdown(fd.as_raw_fd(), libc::SHUT_WR)) }.map(drop)
}

/// shutdown(2) of one direction or both.
pub(crate) fn shutdown(fd: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    simulated!(fd, |kernel, number| kernel.shutdown(number, how));
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

/// `FD_CLOEXEC` through fcntl(2).
pub(crate) fn set_close_on_exec(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes no pointers.
    unsafe { syscall!(fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC)) }.map(drop)
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
    set_option(fd, libc::SOL_SOCKET, name, libc::timeval { tv_sec, tv_usec: (tv_nsec / 1000) as _ }) // a narrower type on some systems
}

/// Does nothing for so long, or until a signal comes: ppoll(2) of no descriptors.
pub(crate) fn sleep(time: Option<Duration>) {
    let _ = poll(&mut [], time); // interrupted or not, the caller looks at the clock
}
