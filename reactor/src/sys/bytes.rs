//! Bytes: reading from sockets and writing to them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

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

/// recvmsg(2) into several pieces. At most 1024 (`IOV_MAX`).
pub(crate) fn receive_pieces(fd: BorrowedFd<'_>, pieces: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    simulated!(fd, |kernel, number| kernel.receive(
        number,
        pieces.first_mut().map_or(&mut [], |piece| piece),
        false
    ));
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
    simulated!(fd, |kernel, number| kernel.send(number, bytes));
    let flags = libc::MSG_NOSIGNAL;
    // SAFETY: `bytes` is readable for the length given.
    let sent = unsafe { syscall!(send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags))? };
    Ok(sent as usize) // not -1, so not negative
}

/// sendmsg(2) of several pieces, without SIGPIPE. At most 1024 pieces (`IOV_MAX`).
pub(crate) fn send_pieces(fd: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    simulated!(fd, |kernel, number| kernel.send(number, pieces.first().map_or(&[], |piece| piece)));
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
    simulated!(fd, |kernel, number| {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(4096)];
        let read = std::os::unix::fs::FileExt::read_at(
            &std::fs::File::from(file.try_clone_to_owned()?),
            &mut bytes,
            offset,
        )?;
        kernel.send(number, &bytes[..read])
    });
    let mut offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    // SAFETY: `offset` is a local the kernel may advance.
    let sent = unsafe { syscall!(sendfile(fd.as_raw_fd(), file.as_raw_fd(), &raw mut offset, length))? };
    Ok(sent as usize) // not -1, so not negative
}
