//! Pipes: making one, and the calls that read and write anything that is no socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::bytes::MOST_PIECES;
use super::sockets::bring_up;

/// pipe2(2), or pipe(2) where that is missing: the end to read from and the end to write to, nonblocking and closed on exec.
pub(crate) fn pipe() -> io::Result<[OwnedFd; 2]> {
    let mut fds = [-1; 2];
    #[cfg(has_socket_flags)]
    // SAFETY: `fds` has room for the two descriptors.
    unsafe {
        syscall!(pipe2(fds.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC))?
    };
    #[cfg(not(has_socket_flags))]
    // SAFETY: as above.
    unsafe {
        syscall!(pipe(fds.as_mut_ptr()))?
    };
    // SAFETY: both are new and owned by nobody else.
    let ends = fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    ends.iter().try_for_each(|end| bring_up(end.as_fd()))?;
    Ok(ends)
}

/// read(2).
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buffer` is writable for the length given.
    let length = unsafe { syscall!(read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()))? };
    Ok(length as usize) // not -1, so not negative
}

/// readv(2) into several pieces, the first 1024 of them.
pub(crate) fn read_pieces(fd: BorrowedFd<'_>, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let count = pieces.len().min(MOST_PIECES) as i32;
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

/// writev(2) of several pieces, the first 1024 of them, with [`write`]'s SIGPIPE.
pub(crate) fn write_pieces(fd: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let count = pieces.len().min(MOST_PIECES) as i32;
    // SAFETY: `IoSlice` has the layout of `iovec`, and every piece is readable.
    let length = unsafe { syscall!(writev(fd.as_raw_fd(), pieces.as_ptr().cast(), count))? };
    Ok(length as usize) // not -1, so not negative
}
