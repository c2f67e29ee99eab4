//! Files, and what can be said of any descriptor.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::waiting::{Event, epoll_create, epoll_set};

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
            match epoll_set(&epoll_create()?, libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &Event::new(0, 0)) {
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
#[inline]
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
