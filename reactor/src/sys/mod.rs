//! Every system call the reactor makes, and every `unsafe` block it needs.
//!
//! The functions are thin: a safe signature over one call of the C library, `-1` turned into [`io::Error`], nothing retried
//! and nothing decided. Who calls them decides what an error means. The parts follow the order in which a connection meets
//! them: waiting, waking, addresses, sockets, bytes, files.

/// Calls the C library and turns `-1` into the error that `errno` names.
macro_rules! syscall {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        let result = libc::$name($($argument),*);
        if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
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

mod address;
mod bytes;
mod files;
#[cfg(has_io_uring)]
mod ring;
mod sockets;
mod waiting;
mod waking;

pub(crate) use address::RawAddress;
pub(crate) use bytes::*;
pub(crate) use files::*;
#[cfg(has_io_uring)]
pub(crate) use ring::{Completion, Entrance, Ring, forks};
pub(crate) use sockets::*;
pub use waiting::Event;
pub(crate) use waiting::*;
pub(crate) use waking::*;
