//! Every system call the reactor makes, and every `unsafe` block it needs.
//!
//! The functions are thin: a safe signature over one call of the C library, `-1` turned into [`io::Error`], nothing retried
//! and nothing decided. Who calls them decides what an error means. The parts follow the order in which a connection meets
//! them: waiting, waking, addresses, sockets, bytes, datagrams, pipes, files.

/// Calls the C library and turns `-1` into the error that `errno` names.
macro_rules! syscall {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        let result = libc::$name($($argument),*);
        if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
    }};
}

/// The traits by which a type whose field `inner` owns its descriptor is made of one and turned into one, or into the standard
/// library's type, if it has one. They are here for the one among them whose signature is unsafe.
macro_rules! descriptor_traits {
    ($owner:ident) => {
        impl std::os::fd::IntoRawFd for $owner {
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                std::os::fd::OwnedFd::from(self).into_raw_fd()
            }
        }

        impl std::os::fd::FromRawFd for $owner {
            /// The descriptor should be nonblocking already.
            unsafe fn from_raw_fd(fd: std::os::fd::RawFd) -> $owner {
                // SAFETY: the caller gives an open descriptor away (the contract of `FromRawFd`).
                unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) }.into()
            }
        }

        impl From<std::os::fd::OwnedFd> for $owner {
            /// The descriptor should be nonblocking already.
            fn from(fd: std::os::fd::OwnedFd) -> $owner {
                $owner { inner: fd.into() }
            }
        }

        impl From<$owner> for std::os::fd::OwnedFd {
            fn from(owner: $owner) -> std::os::fd::OwnedFd {
                owner.inner.into()
            }
        }
    };
    ($owner:ident, $std:ty) => {
        descriptor_traits!($owner);

        impl From<$owner> for $std {
            /// It stays nonblocking.
            fn from(owner: $owner) -> $std {
                std::os::fd::OwnedFd::from(owner).into()
            }
        }
    };
}

/// Lets the simulated kernel answer, if there is one and the descriptor is a socket of it.
macro_rules! simulated {
    ($fd:expr, |$kernel:ident, $number:ident| $answer:expr) => {
        #[cfg(feature = "sim")]
        {
            if let Some(answer) = super::simulated::of($fd, |$kernel, $number| $answer) {
                return answer;
            }
        }
    };
}

mod address;
mod bytes;
mod datagrams;
#[cfg(has_epoll)]
mod epoll;
mod files;
#[cfg(has_kqueue)]
mod kqueue;
mod pipes;
#[cfg(has_polling)]
mod poller;
#[cfg(has_io_uring)]
mod ring;
#[cfg(feature = "sim")]
pub(crate) mod simulated;
mod sockets;
mod waiting;
mod waking;

pub(crate) use address::RawAddress;
pub(crate) use bytes::*;
pub(crate) use datagrams::*;
#[cfg(has_epoll)]
pub(crate) use epoll::*;
pub(crate) use files::*;
#[cfg(has_kqueue)]
pub(crate) use kqueue::*;
pub(crate) use pipes::*;
#[cfg(has_polling)]
pub(crate) use poller::poller_add;
#[cfg(has_io_uring)]
pub(crate) use ring::{Completion, Entrance, Ring, forks};
pub(crate) use sockets::*;
pub use waiting::Event;
pub(crate) use waiting::*;
pub(crate) use waking::*;
