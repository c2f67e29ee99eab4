//! Pipes: bytes one way, within a process or to and from a child.
//!
//! ```
//! use std::io::{Read, Write};
//! use reactor::{Events, Interest, Poll, Token, unix::pipe};
//!
//! let (mut sender, mut receiver) = pipe::new()?;
//! let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
//! poll.registry().register(&mut receiver, Token(0), Interest::READABLE)?;
//! sender.write_all(b"errors should never pass silently")?;
//! drop(sender);
//! poll.poll(&mut events, None)?;
//! let mut text = String::new();
//! receiver.read_to_string(&mut text)?; // up to the end: the sender is gone
//! assert_eq!(text.len(), 33);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A child process has pipes for its standard streams, which std opens; they block until they are told otherwise:
//!
//! ```
//! use std::process::{Command, Stdio};
//! use reactor::{Events, Interest, Poll, Token, unix::pipe::Receiver};
//! # use std::io::Read;
//! let mut child = Command::new("echo").arg("namespaces").stdout(Stdio::piped()).spawn()?;
//! let mut output = Receiver::from(child.stdout.take().expect("it was asked for"));
//! output.set_nonblocking(true)?;
//! let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
//! poll.registry().register(&mut output, Token(0), Interest::READABLE)?;
//! poll.poll(&mut events, None)?;
//! assert_eq!(output.read(&mut [0; 64])?, 11);
//! child.wait()?;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout};

use crate::net::socket::{read_by_reference, source, write_by_reference};
use crate::readiness::rearm;
use crate::sys;

/// A pipe: what is written into the one end can be read from the other. Both are nonblocking.
///
/// # Errors
/// No descriptor left (`EMFILE`).
///
/// ```
/// use std::io::{Read, Write};
/// let (mut sender, mut receiver) = reactor::unix::pipe::new()?;
/// sender.write_all(b"honking")?;
/// assert_eq!(receiver.read(&mut [0; 64])?, 7);
/// assert_eq!(receiver.read(&mut [0; 64]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn new() -> io::Result<(Sender, Receiver)> {
    let [receiver, sender] = sys::pipe()?;
    Ok((Sender::from(sender), Receiver::from(receiver)))
}

/// The end of a pipe that is written to.
///
/// When nobody reads any more, an event tells of an error and a closed writing side, and a write says `BrokenPipe`.
#[derive(Debug)]
pub struct Sender {
    inner: OwnedFd,
}

/// The end of a pipe that is read from. When nobody writes any more, it reads to the end, and an event tells so.
#[derive(Debug)]
pub struct Receiver {
    inner: OwnedFd,
}

/// What both ends have.
macro_rules! end_of_a_pipe {
    ($end:ident) => {
        impl $end {
            /// Whether what would block answers [`WouldBlock`](std::io::ErrorKind::WouldBlock) instead (`O_NONBLOCK`). It
            /// belongs to the pipe's end and not to the descriptor: every duplicate, in whatever process, sees it.
            ///
            /// # Errors
            /// What fcntl(2) says.
            ///
            /// ```
            /// let (sender, receiver) = reactor::unix::pipe::new()?;
            /// sender.set_nonblocking(false)?; // for a child process that would not expect it
            /// receiver.set_nonblocking(true)?;
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                sys::set_nonblocking(self.inner.as_fd(), nonblocking).map(drop)
            }

            /// Runs I/O of your own on its descriptor, so that backends which emulate edges hear of it. Whoever calls splice(2)
            /// or the like without it may miss events there.
            ///
            /// # Errors
            /// Those of `f`, which should be `WouldBlock` when the call would have blocked.
            ///
            /// ```
            /// # let (_, end) = reactor::unix::pipe::new()?;
            /// let result = end.try_io(|| {
            ///     // a call of another library on `end.as_raw_fd()`
            ///     # Err::<(), _>(std::io::Error::from(std::io::ErrorKind::WouldBlock))
            /// });
            /// # assert!(result.is_err());
            /// # Ok::<(), std::io::Error>(())
            /// ```
            pub fn try_io<F, T>(&self, f: F) -> io::Result<T>
            where
                F: FnOnce() -> io::Result<T>,
            {
                let result = f();
                rearm::after_some_io(self.inner.as_fd());
                result
            }
        }

        descriptor_traits!($end);
        source!($end);
    };
}

end_of_a_pipe!(Sender);
end_of_a_pipe!(Receiver);
write_by_reference!(Sender);
read_by_reference!(Receiver);

impl Write for &Sender {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let result = sys::write(self.inner.as_fd(), buf);
        rearm::after_write(self.inner.as_fd(), buf.len(), &result);
        result
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let result = sys::write_pieces(self.inner.as_fd(), bufs);
        rearm::after_write(self.inner.as_fd(), bufs.iter().map(|buf| buf.len()).sum(), &result);
        result
    }

    /// Does nothing: the kernel has the bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for &Receiver {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let result = sys::read(self.inner.as_fd(), buf);
        rearm::after_read(self.inner.as_fd(), buf.len(), &result);
        result
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let result = sys::read_pieces(self.inner.as_fd(), bufs);
        rearm::after_read(self.inner.as_fd(), bufs.iter().map(|buf| buf.len()).sum(), &result);
        result
    }
}

impl From<ChildStdin> for Sender {
    /// It still blocks: see [`set_nonblocking`](Sender::set_nonblocking).
    fn from(stdin: ChildStdin) -> Sender {
        OwnedFd::from(stdin).into()
    }
}

impl From<ChildStdout> for Receiver {
    /// It still blocks: see [`set_nonblocking`](Receiver::set_nonblocking).
    fn from(stdout: ChildStdout) -> Receiver {
        OwnedFd::from(stdout).into()
    }
}

impl From<ChildStderr> for Receiver {
    /// It still blocks: see [`set_nonblocking`](Receiver::set_nonblocking).
    fn from(stderr: ChildStderr) -> Receiver {
        OwnedFd::from(stderr).into()
    }
}
