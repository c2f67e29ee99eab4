//! What all sockets share: their descriptor, the calls on it, and the traits that are the same for each.
//!
//! A call here is two things: the system call, and word of it to the backends that emulate edges
//! ([`rearm`](crate::readiness::rearm)). No socket of this crate does I/O past this file, so none can forget the second.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::readiness::rearm;
use crate::sys::{self, RawAddress};

/// A socket's descriptor. Each type of [`net`](crate::net) is one of these and nothing else.
pub(super) struct Socket(OwnedFd);

impl AsFd for Socket {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Socket {
        Socket(fd)
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> OwnedFd {
        socket.0
    }
}

// Of every kind.
impl Socket {
    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        let result = sys::take_error(self.as_fd());
        rearm::after_take_error(self.as_fd(), &result);
        result
    }

    pub(super) fn try_io<F, T>(&self, f: F) -> io::Result<T>
    where
        F: FnOnce() -> io::Result<T>,
    {
        let result = f();
        rearm::after_some_io(self.as_fd());
        result
    }
}

// That listen.
impl Socket {
    pub(super) fn accept(&self) -> io::Result<(OwnedFd, RawAddress)> {
        let result = sys::accept(self.as_fd());
        rearm::after_accept(self.as_fd());
        result
    }
}

// Of streams.
impl Socket {
    #[inline]
    pub(super) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let result = sys::receive(self.as_fd(), buf);
        rearm::after_read(self.as_fd(), buf.len(), &result);
        result
    }

    pub(super) fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let result = sys::receive_pieces(self.as_fd(), bufs);
        rearm::after_read(self.as_fd(), bufs.iter().map(|buf| buf.len()).sum(), &result);
        result
    }

    pub(super) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let result = sys::peek(self.as_fd(), buf);
        rearm::after_read(self.as_fd(), buf.len(), &result);
        result
    }

    #[inline]
    pub(super) fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let result = sys::send(self.as_fd(), buf);
        rearm::after_write(self.as_fd(), buf.len(), &result);
        result
    }

    pub(super) fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let result = sys::send_pieces(self.as_fd(), bufs);
        rearm::after_write(self.as_fd(), bufs.iter().map(|buf| buf.len()).sum(), &result);
        result
    }
}

// Of datagrams.
impl Socket {
    pub(super) fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
        let result = sys::receive(self.as_fd(), buf);
        rearm::after_receive(self.as_fd(), &result);
        result
    }

    pub(super) fn receive_from(&self, buf: &mut [u8]) -> io::Result<(usize, RawAddress)> {
        let result = sys::receive_from(self.as_fd(), buf);
        rearm::after_receive(self.as_fd(), &result);
        result
    }

    pub(super) fn peek_datagram(&self, buf: &mut [u8]) -> io::Result<usize> {
        let result = sys::peek(self.as_fd(), buf);
        rearm::after_receive(self.as_fd(), &result);
        result
    }

    pub(super) fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, RawAddress)> {
        let result = sys::peek_from(self.as_fd(), buf);
        rearm::after_receive(self.as_fd(), &result);
        result
    }

    pub(super) fn send(&self, buf: &[u8]) -> io::Result<usize> {
        let result = sys::send(self.as_fd(), buf);
        rearm::after_send(self.as_fd(), &result);
        result
    }

    pub(super) fn send_to(&self, buf: &[u8], target: &RawAddress) -> io::Result<usize> {
        let result = sys::send_to(self.as_fd(), buf, target);
        rearm::after_send(self.as_fd(), &result);
        result
    }
}

/// `Read` and `Write` for a stream whose field `inner` is a [`Socket`], and for a reference to it.
macro_rules! read_and_write {
    ($stream:ident) => {
        impl std::io::Read for &$stream {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.inner.read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                self.inner.read_vectored(bufs)
            }
        }

        impl std::io::Write for &$stream {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                self.inner.write(buf)
            }

            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.inner.write_vectored(bufs)
            }

            /// Does nothing: the kernel has the bytes.
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }

        $crate::net::socket::read_by_reference!($stream);
        $crate::net::socket::write_by_reference!($stream);
    };
}
pub(super) use read_and_write;

/// `Read` for what can be read through a reference.
macro_rules! read_by_reference {
    ($readable:ident) => {
        impl std::io::Read for $readable {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                (&*self).read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
                (&*self).read_vectored(bufs)
            }
        }
    };
}
pub(crate) use read_by_reference;

/// `Write` for what can be written through a reference.
macro_rules! write_by_reference {
    ($writable:ident) => {
        impl std::io::Write for $writable {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                (&*self).write(buf)
            }

            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                (&*self).flush()
            }
        }
    };
}
pub(crate) use write_by_reference;

/// [`Source`](crate::event::Source) for what tells of its I/O by itself; and the traits that lend its descriptor to others, who
/// do not. Its own calls are made on the field `inner`.
macro_rules! source {
    ($source:ident) => {
        impl std::os::fd::AsFd for $source {
            #[inline]
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                let fd = self.inner.as_fd();
                $crate::readiness::rearm::lent(fd);
                fd
            }
        }

        impl std::os::fd::AsRawFd for $source {
            #[inline]
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        impl $crate::event::Source for $source {
            #[inline]
            fn register(
                &mut self,
                registry: &$crate::Registry,
                token: $crate::Token,
                interests: $crate::Interest,
            ) -> std::io::Result<()> {
                let rearm = $crate::readiness::backend::Rearm::ByOwner;
                registry.add(self.inner.as_fd(), token, interests, rearm)
            }

            #[inline]
            fn reregister(
                &mut self,
                registry: &$crate::Registry,
                token: $crate::Token,
                interests: $crate::Interest,
            ) -> std::io::Result<()> {
                let rearm = $crate::readiness::backend::Rearm::ByOwner;
                registry.change(self.inner.as_fd(), token, interests, rearm)
            }

            #[inline]
            fn deregister(&mut self, registry: &$crate::Registry) -> std::io::Result<()> {
                registry.remove(self.inner.as_fd())
            }
        }
    };
}
pub(crate) use source;
