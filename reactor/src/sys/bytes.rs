//! Bytes: reading from sockets and writing to them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

/// How many pieces one call takes (`IOV_MAX`, which is no less anywhere).
pub(super) const MOST_PIECES: usize = 1024;

/// Asks send(2) not to raise SIGPIPE. Where it cannot be asked, the socket was (`SO_NOSIGPIPE`), and besides Rust programs
/// ignore that signal.
#[cfg(has_msg_nosignal)]
pub(super) const NO_SIGNAL: libc::c_int = libc::MSG_NOSIGNAL;
#[cfg(not(has_msg_nosignal))]
pub(super) const NO_SIGNAL: libc::c_int = 0;

/// recv(2).
#[inline]
pub(crate) fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    simulated!(fd, |kernel, number| kernel.receive(number, buffer, false));
    // SAFETY: `buffer` is writable for the length given.
    let received = unsafe { syscall!(recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0))? };
    Ok(received as usize) // not -1, so not negative
}

/// recv(2) that leaves the bytes where they are (`MSG_PEEK`).
pub(crate) fn peek(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    simulated!(fd, |kernel, number| kernel.receive(number, buffer, true));
    let (start, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: `buffer` is writable for the length given.
    let received = unsafe { syscall!(recv(fd.as_raw_fd(), start, length, libc::MSG_PEEK))? };
    Ok(received as usize) // not -1, so not negative
}

/// recvmsg(2) into several pieces, the first 1024 of them.
pub(crate) fn receive_pieces(fd: BorrowedFd<'_>, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    simulated!(fd, |kernel, number| kernel.receive(
        number,
        pieces.first_mut().map_or(&mut [], |piece| piece),
        false
    ));
    // SAFETY: all zeroes is a valid `msghdr`: no address, no control data, no pieces.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = pieces.as_mut_ptr().cast();
    message.msg_iovlen = pieces.len().min(MOST_PIECES) as _; // an `int` on some systems
    // SAFETY: `IoSliceMut` has the layout of `iovec`, and every piece is writable.
    let received = unsafe { syscall!(recvmsg(fd.as_raw_fd(), &raw mut message, 0))? };
    Ok(received as usize) // not -1, so not negative
}

/// send(2) without SIGPIPE: a peer that is gone is `EPIPE`.
#[inline]
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    simulated!(fd, |kernel, number| kernel.send(number, bytes));
    // SAFETY: `bytes` is readable for the length given.
    let sent = unsafe { syscall!(send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), NO_SIGNAL))? };
    Ok(sent as usize) // not -1, so not negative
}

/// sendmsg(2) of several pieces, without SIGPIPE: the first 1024 of them.
pub(crate) fn send_pieces(fd: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    simulated!(fd, |kernel, number| {
        // All of them, or it would be short for another reason than want of room, which nothing announces.
        let whole: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        kernel.send(number, &whole)
    });
    // SAFETY: all zeroes is a valid `msghdr`: no address, no control data, no pieces.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = pieces.as_ptr().cast_mut().cast();
    message.msg_iovlen = pieces.len().min(MOST_PIECES) as _; // an `int` on some systems
    // SAFETY: `IoSlice` has the layout of `iovec`, every piece is readable, and sendmsg writes to none of them.
    let sent = unsafe { syscall!(sendmsg(fd.as_raw_fd(), &raw const message, NO_SIGNAL))? };
    Ok(sent as usize) // not -1, so not negative
}

/// Up to `length` bytes of `file` from `offset`, with sendfile(2) without passing through user space. Zero means that the file
/// ends there. A closed peer raises SIGPIPE here (there is no flag against it): Rust programs ignore that signal.
#[cfg(has_sendfile_linux)]
pub(crate) fn send_file(
    fd: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    length: u64,
) -> io::Result<usize> {
    simulated!(fd, |kernel, number| kernel.send_file(number, file, offset, length));
    let mut offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    // SAFETY: `offset` is a local the kernel may advance.
    let sent = unsafe { syscall!(sendfile(fd.as_raw_fd(), file.as_raw_fd(), &raw mut offset, length))? };
    Ok(sent as usize) // not -1, so not negative
}

/// As above, with a sendfile(2) that may fail (`EAGAIN`, `EINTR`) and have sent something nevertheless.
#[cfg(any(has_sendfile_bsd, has_sendfile_darwin))]
pub(crate) fn send_file(
    fd: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    length: u64,
) -> io::Result<usize> {
    simulated!(fd, |kernel, number| kernel.send_file(number, file, offset, length));
    let (fd, file) = (fd.as_raw_fd(), file.as_raw_fd());
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let most = length.clamp(1, i32::MAX as u64); // zero stands for the whole file
    #[cfg(has_sendfile_bsd)]
    let (result, sent) = {
        let mut sent: libc::off_t = 0;
        let none = std::ptr::null_mut();
        // SAFETY: there are no headers and trailers, and `sent` is a local the kernel writes to.
        (unsafe { syscall!(sendfile(file, fd, offset, most as usize, none, &raw mut sent, 0)) }, sent)
    };
    #[cfg(has_sendfile_darwin)]
    let (result, sent) = {
        let (mut sent, none) = (most as libc::off_t, std::ptr::null_mut());
        // SAFETY: there are no headers and trailers, and `sent` is a local the kernel reads and writes.
        (unsafe { syscall!(sendfile(file, fd, offset, &raw mut sent, none, 0)) }, sent)
    };
    match result {
        Err(error) if sent == 0 => Err(error),
        _ => Ok(sent as usize), // at most what was asked for
    }
}

/// As above, where there is no sendfile(2): a share of the file passes through user space.
#[cfg(not(any(has_sendfile_linux, has_sendfile_bsd, has_sendfile_darwin)))]
pub(crate) fn send_file(
    fd: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    length: u64,
) -> io::Result<usize> {
    simulated!(fd, |kernel, number| kernel.send_file(number, file, offset, length));
    let mut share = [0u8; 16 * 1024];
    let (start, room) =
        (share.as_mut_ptr().cast(), share.len().min(usize::try_from(length).unwrap_or(usize::MAX)));
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    // SAFETY: `share` has `room` writable bytes.
    let read = unsafe { syscall!(pread(file.as_raw_fd(), start, room, offset))? };
    match &share[..read as usize] {
        // not -1, so not negative
        [] => Ok(0),
        bytes => send(fd, bytes),
    }
}
