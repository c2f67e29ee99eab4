//! The functions of the C library that are interposed.
//!
//! `Call` has one variant for each, named as in C. What the reactor calls is read out of its source by `build.rs`; one that
//! is missing here fails the build, and so does one without a row in `outcomes.rs`, because the `match` there has no `_`.

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// A system call, as the loop makes it.
        #[allow(non_camel_case_types, reason = "they are named as in C")]
        #[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Call { $($(#[$doc])* $name),* }

        impl Call {
            pub const ALL: &[Call] = &[$(Call::$name),*];

            pub fn name(self) -> &'static str {
                match self { $(Call::$name => stringify!($name)),* }
            }
        }
    };
}

calls! {
    accept4, bind, clock_gettime, close, connect, epoll_create1, epoll_ctl,
    /// Through syscall(2).
    epoll_pwait2,
    epoll_wait, eventfd, fcntl, fstat, getpeername, getsockname, getsockopt,
    /// Through syscall(2).
    io_uring_enter,
    /// Through syscall(2), by the crate that knows a ring's memory; likewise the next, and its mmap(2).
    io_uring_setup,
    io_uring_register,
    /// No call of its own, but an entry in a ring; likewise the next two.
    IORING_OP_POLL_ADD,
    IORING_OP_ASYNC_CANCEL,
    IORING_OP_TIMEOUT,
    listen, lstat, mmap, open, pipe2, poll, ppoll,
    /// Through syscall(2).
    pselect6,
    read, readv, recv, recvfrom, recvmsg, send, sendfile, sendmsg, sendto, setsockopt, shutdown, socket, socketpair,
    timerfd_create, timerfd_settime, unlink, write, writev,
}

include!(concat!(env!("OUT_DIR"), "/made_by_the_reactor.rs"));

/// What the reactor calls without saying so: the standard library does it for `OwnedFd` and `Instant`.
pub const MADE_BY_THE_STANDARD_LIBRARY: &[Call] = &[Call::close, Call::clock_gettime];

/// What the crates call that the reactor stands on.
pub const MADE_BY_CRATES: &[Call] = &[
    Call::io_uring_setup,
    Call::io_uring_register,
    Call::mmap,
    Call::IORING_OP_POLL_ADD,
    Call::IORING_OP_ASYNC_CANCEL,
    Call::IORING_OP_TIMEOUT,
];

impl Call {
    /// How many descriptors a successful call opens.
    pub fn opens(self) -> usize {
        match self {
            Call::pipe2 | Call::socketpair => 2,
            Call::accept4
            | Call::epoll_create1
            | Call::eventfd
            | Call::io_uring_setup
            | Call::open
            | Call::socket
            | Call::timerfd_create => 1,
            _ => 0,
        }
    }
}
