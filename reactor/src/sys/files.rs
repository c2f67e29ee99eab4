//! Files, and what can be said of any descriptor.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What matters of a file to who waits for it.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Nature {
    /// Waiting for it makes no sense: a file, a directory, a disk, or a device without a queue, such as `/dev/null`. It is what
    /// epoll refuses with `EPERM` (epoll_ctl(2), "ERRORS").
    pub(crate) is_always_ready: bool,
    /// Tells it from others that are open at the same time. (Not always: eventfds, for one, all have the same.)
    #[cfg_attr(not(has_io_uring), allow(dead_code))]
    pub(crate) file: u32,
}

/// fstat(2).
fn status(fd: RawFd) -> io::Result<libc::stat> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `status` has room for a `stat`.
    unsafe { syscall!(fstat(fd, status.as_mut_ptr()))? };
    // SAFETY: fstat succeeded, so it filled `status` in.
    Ok(unsafe { status.assume_init() })
}

/// What a number stands for, if it stands for anything: no two sockets that are open have the same.
#[cfg(feature = "sim")]
pub(crate) fn identity(fd: RawFd) -> Option<(libc::dev_t, libc::ino_t)> {
    status(fd).ok().map(|status| (status.st_dev, status.st_ino))
}

/// What fstat(2) says of it.
pub(crate) fn nature(fd: BorrowedFd<'_>) -> io::Result<Nature> {
    let status = status(fd.as_raw_fd())?;
    let is_always_ready = match status.st_mode & libc::S_IFMT {
        libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK => true,
        libc::S_IFCHR => has_no_queue(fd)?,
        _ => false,
    };
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation)] // sockets count theirs in 32 bits
    let file = (status.st_ino as u32) ^ (status.st_dev as u32).rotate_left(16);
    Ok(Nature { is_always_ready, file })
}

/// Whether it is always ready, whatever happens.
pub(crate) fn is_always_ready(fd: BorrowedFd<'_>) -> io::Result<bool> {
    nature(fd).map(|nature| nature.is_always_ready)
}

/// Of a device only the driver knows (a terminal can be waited for, the null device cannot), and epoll passes it on.
#[cfg(has_epoll)]
fn has_no_queue(device: BorrowedFd<'_>) -> io::Result<bool> {
    let nothing = super::Event::new(0, 0);
    match super::epoll_set(&super::epoll_create()?, libc::EPOLL_CTL_ADD, device.as_raw_fd(), &nothing) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(true),
        result => result.map(|()| false),
    }
}

/// Of a device only the driver knows, and kqueue passes it on; without that, one that has no queue looks as if it were ready
/// for everything now. A terminal is known by itself, whatever they say.
#[cfg(not(has_epoll))]
fn has_no_queue(device: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: takes no pointers.
    if unsafe { libc::isatty(device.as_raw_fd()) } == 1 {
        return Ok(false);
    }
    #[cfg(has_kqueue)]
    return super::kqueue_refuses(device);
    #[cfg(not(has_kqueue))]
    {
        let both = super::IN | super::OUT;
        let mut entry = [super::poll_entry(device.as_raw_fd(), both)];
        super::poll(&mut entry, Some(std::time::Duration::ZERO))?;
        Ok(super::poll_answer(&entry[0]) & both == both)
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
#[inline(always)] // it is a comparison: outlined by the compiler, it costs a registration 31 instructions
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
    #[allow(clippy::unnecessary_cast)] // they are narrower, or signed, on some systems
    let place = (status.st_dev as u64, status.st_ino as u64);
    Ok((status.st_mode & libc::S_IFMT == libc::S_IFSOCK).then_some(place))
}

/// unlink(2).
pub(crate) fn unlink(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path ends with NUL.
    unsafe { syscall!(unlink(path.as_ptr())) }.map(drop)
}
