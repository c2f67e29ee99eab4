//! Pipes: making one, and the calls that read and write anything that is no socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// pipe2(2): the end to read from and the end to write to, nonblocking and closed on exec.
pub(crate) fn pipe() -> io::Result<[OwnedFd; 2]> {
    let mut fds = [-1; 2];
    // SAFETY: `fds` has room for the two descriptors.
    unsafe { syscall!(pipe2(fds.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC))? };
    // SAFETY: both are new and owned by nobody else.
    Ok(fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// read(2).
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buffer` is writable for the length given.
    let length = unsafe { syscall!(read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()))? };
    Ok(length as usize) // not -1, so not negative
}

/// readv(2) into several pieces. At most 1024 (`IOV_MAX`).
pub(crate) fn read_pieces(fd: BorrowedFd<'_>, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let count = pieces.len().min(libc::UIO_MAXIOV as usize) as i32;
    // SAFETY: `IoSliceMut` has the layout of `iovec`, and every piece is writable.
    let length = unsafe { syscall!(readv(fd.as_raw_fd(), pieces.as_mut_ptr().cast(), count))? };
    Ok(length as usize) // not -1, so not negative
}

/// write(2). Into a pipe nobody reads from it raises SIGPIPE (there is no flag against it): Rust programs ignore that signal,
/// and then it is `EPIPE`.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` is readable for the length given.
    let length = unsafe { syscall!(write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()))? };
    Ok(length as usize) // not -1, so not negative
}

/// writev(2) of several pieces, with [`write`]'s SIGPIPE. At most 1024 (`IOV_MAX`).
pub(crate) fn write_pieces(fd: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let count = pieces.len().min(libc::UIO_MAXIOV as usize) as i32;
    // SAFETY: `IoSlice` has the layout of `iovec`, and every piece is readable.
    let length = unsafe { syscall!(writev(fd.as_raw_fd(), pieces.as_ptr().cast(), count))? };
    Ok(length as usize) // not -1, so not negative
}
