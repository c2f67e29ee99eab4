//! What may come of a system call: for each one every outcome its manual allows, and what the loop must then do.
//!
//! The rows leave out what only a mistake of the caller can bring about (`EBADF`, `EFAULT`, `EINVAL`, `ENOTSOCK` and their
//! like) and what belongs to uses that the loop does not make (locks, NFS, datagrams). Each row ends with the clause it
//! rests on; names without a section are those of the call's own page in section 2.

use std::fmt;

use crate::calls::Call;
use crate::kernel::{AT_ONCE, Entry, FINITE, FOR_EVER};
use crate::ring::{SUBMITS, can_inject};

/// What the interposer does in place of making the call, or to it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The call is not made; it fails with this number.
    Fails(i32),
    /// The call is made, and fails with this number all the same.
    MadeBut(i32),
    /// It fails with this number, although there was word that it is ready. What was missing comes a moment later, with news
    /// of its own.
    NotYet(i32),
    /// One byte passes; the rest can pass a moment later, with news of its own.
    OneByte,
    /// Half of the bytes, likewise.
    Half,
    /// A wait that hears nothing until its time is over.
    Silence,
    /// Of all that is ready a wait tells one.
    OneOfThem,
    /// A wait tells them in the opposite order.
    Backwards,
    /// A wait calls everything readable that is watched for it,
    AllReadable,
    /// or writable.
    AllWritable,
    /// The option has this value: the error that a connection was waiting to tell.
    Pending(i32),
    /// A poll that should go on ends when it tells for the first time.
    EndsEarly,
    /// The counter is full already.
    Brimful,
    /// An hour has passed since anybody looked.
    AnHourLater,
}

use Outcome::{
    AllReadable, AllWritable, AnHourLater, Backwards, Brimful, EndsEarly, Fails, Half, MadeBut, NotYet,
    OneByte, OneOfThem, Pending, Silence,
};

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Fails(errno) => f.write_str(name_of(errno)),
            MadeBut(errno) => write!(f, "made-but-{}", name_of(errno)),
            NotYet(errno) => write!(f, "not-yet-{}", name_of(errno)),
            Pending(errno) => write!(f, "pending-{}", name_of(errno)),
            OneByte => f.write_str("one-byte"),
            Half => f.write_str("half"),
            Silence => f.write_str("silence"),
            OneOfThem => f.write_str("one-of-them"),
            Backwards => f.write_str("backwards"),
            AllReadable => f.write_str("all-readable"),
            AllWritable => f.write_str("all-writable"),
            EndsEarly => f.write_str("ends-early"),
            Brimful => f.write_str("brimful"),
            AnHourLater => f.write_str("an-hour-later"),
        }
    }
}

macro_rules! names {
    ($($name:ident),* $(,)?) => {
        /// The name of an errno(3) that stands in the table.
        pub fn name_of(errno: i32) -> &'static str {
            match errno {
                $(libc::$name => stringify!($name),)*
                _ => "an errno without a name",
            }
        }
    };
}

names! {
    EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN, EBADF, EBADR, EBUSY, ECONNABORTED, ECONNREFUSED, ECONNRESET, EHOSTUNREACH,
    EINPROGRESS, EINTR, EIO, EMFILE, ENETDOWN, ENETUNREACH, ENFILE, ENOBUFS, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOSR, ENOSYS,
    ENOTCONN, EPERM, EPIPE, EPROTO, EROFS, ETIMEDOUT,
}

/// What must hold after an outcome.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nobody notices.
    Survives,
    /// The connection that made the call may end, early and with an honest prefix, if its reason names call and errno. Where
    /// there is no connection yet, what the program asked for may fail, if the error names the errno.
    Ends,
    /// Somebody who waits to be accepted may be hung up on, and is counted.
    Sheds,
    /// The turn may fail with an error that names the backend and the errno. The next one goes on.
    Returns,
}

/// One legal outcome of a call.
#[derive(Copy, Clone, Debug)]
pub struct Row {
    pub outcome: Outcome,
    pub then: Then,
    /// Whether it also makes sense from then on.
    pub lasts: bool,
    /// Where the call can have it.
    pub applies: fn(&Entry) -> bool,
    /// The clause, in the words of the manual.
    pub clause: &'static str,
}

impl Row {
    const fn new(outcome: Outcome, then: Then, clause: &'static str) -> Row {
        Row { outcome, then, lasts: true, applies: |_| true, clause }
    }

    const fn once(mut self) -> Row {
        self.lasts = false;
        self
    }

    const fn where_(mut self, applies: fn(&Entry) -> bool) -> Row {
        self.applies = applies;
        self
    }
}

const fn survives(outcome: Outcome, clause: &'static str) -> Row {
    Row::new(outcome, Then::Survives, clause)
}

const fn ends(outcome: Outcome, clause: &'static str) -> Row {
    Row::new(outcome, Then::Ends, clause)
}

const fn sheds(outcome: Outcome, clause: &'static str) -> Row {
    Row::new(outcome, Then::Sheds, clause)
}

const fn returns(outcome: Outcome, clause: &'static str) -> Row {
    Row::new(outcome, Then::Returns, clause)
}

/// The rows of one call.
macro_rules! table {
    ($($row:expr),* $(,)?) => { const { &[$($row),*] } };
}

/// More than one byte, so that a part of it is less.
fn is_divisible(entry: &Entry) -> bool {
    entry.detail > 1
}

/// Not the loop's own pair of sockets, whose other end is always there.
fn of_a_connection(entry: &Entry) -> bool {
    entry.is_connection
}

/// A poll of what a ring has told: that was ready before, so whoever looks now sees it.
fn is_about_news(entry: &Entry) -> bool {
    entry.detail == AT_ONCE && entry.fd >= 0
}

fn is_nonblocking(entry: &Entry) -> bool {
    !entry.may_block
}

/// The legal outcomes of `call`, besides success. Empty means: it cannot fail where the loop makes it; the comment says why.
pub fn rows(call: Call) -> &'static [Row] {
    match call {
        // ------------------------------------------------------------------------------------------------- waiting
        Call::epoll_create1 => table![
            ends(Fails(libc::EMFILE), "per-process limit on the number of open file descriptors"),
            ends(Fails(libc::ENFILE), "system-wide limit on the total number of open files"),
            ends(Fails(libc::ENOMEM), "insufficient memory to create the kernel object"),
        ],
        Call::epoll_ctl => table![
            ends(Fails(libc::ENOMEM), "insufficient memory to handle the requested op"),
            ends(
                Fails(libc::ENOSPC),
                "max_user_watches was encountered while trying to register (EPOLL_CTL_ADD)"
            )
            .where_(|entry| entry.detail == libc::EPOLL_CTL_ADD as i64),
        ],
        Call::epoll_wait | Call::epoll_pwait2 => table![
            survives(Fails(libc::EINTR), "interrupted by a signal handler before the timeout expired")
                .where_(|entry| entry.detail != AT_ONCE),
            survives(Silence, "a timeout causes it to return when no file descriptor became ready in time")
                .where_(|entry| entry.detail == FINITE),
            // For ever, a look at this moment would contradict whoever said that there is something to see.
            survives(Silence, "a timeout causes it to return when no file descriptor became ready in time")
                .once()
                .where_(|entry| entry.detail == AT_ONCE),
            survives(
                OneOfThem,
                "maxevents are returned at most; epoll(7): the others are told by the next call"
            ),
            survives(Backwards, "epoll(7) promises no order"),
            survives(AllReadable, "select(2), BUGS: reported as ready, while nevertheless a read blocks"),
            survives(AllWritable, "select(2), BUGS, likewise for writing"),
        ],
        Call::io_uring_setup => table![
            ends(Fails(libc::EMFILE), "per-process limit on the number of open file descriptors"),
            ends(Fails(libc::ENFILE), "system-wide limit on the total number of open files"),
            ends(Fails(libc::ENOMEM), "insufficient kernel resources are available"),
        ],
        Call::mmap => table![ends(Fails(libc::ENOMEM), "no memory is available")],
        // What it is asked does not matter (`Ring::settle`), nor does the answer.
        Call::io_uring_register => {
            table![survives(Fails(libc::ENOMEM), "insufficient kernel resources are available")]
        }
        Call::io_uring_enter => table![
            survives(
                Fails(libc::EINTR),
                "interrupted by a signal before it could complete; while waiting for events"
            )
            .where_(|entry| entry.detail == FINITE || entry.detail == FOR_EVER),
            returns(
                Fails(libc::EAGAIN),
                "unable to allocate memory for the request, or otherwise ran out of resources"
            )
            .where_(|entry| entry.detail >= SUBMITS),
            survives(Fails(libc::EBUSY), "not all of the overflow entries were able to be flushed").once(),
            survives(
                Fails(libc::EBADR),
                "at least one CQE was dropped even with the IORING_FEAT_NODROP feature"
            )
            .once(),
            survives(
                Silence,
                "a wait may end with its time; what completes meanwhile is told by the next call"
            )
            .where_(|entry| entry.detail % SUBMITS == FINITE),
            survives(OneOfThem, "returns the number of I/Os successfully consumed")
                .where_(|entry| entry.detail >= SUBMITS),
            survives(AllReadable, "select(2), BUGS: reported as ready, while nevertheless a read blocks"),
            survives(AllWritable, "select(2), BUGS, likewise for writing"),
        ],
        Call::IORING_OP_POLL_ADD => table![
            returns(
                Fails(libc::ENOMEM),
                "errors of an entry are returned in its completion; no memory for the poll"
            )
            .where_(|_| can_inject()),
            survives(EndsEarly, "if IORING_CQE_F_MORE isn't set, the poll request has been terminated")
                .where_(|entry| entry.detail != 0),
        ],
        // It fails if there is nothing left to cancel, which happens by itself.
        Call::IORING_OP_ASYNC_CANCEL => table![],
        Call::IORING_OP_TIMEOUT => table![
            returns(
                Fails(libc::ENOMEM),
                "errors of an entry are returned in its completion; no memory for the timer"
            )
            .where_(|_| can_inject()),
        ],
        Call::poll | Call::ppoll => table![
            survives(Fails(libc::EINTR), "a signal occurred before any requested event"),
            returns(Fails(libc::ENOMEM), "unable to allocate memory for kernel data structures"),
            // Asked for a look at this moment and answering "nothing" for ever, it would contradict the select(2) before it.
            survives(Silence, "zero indicates that the system call timed out")
                .where_(|entry| entry.detail == FINITE),
            survives(Silence, "zero indicates that the system call timed out")
                .once()
                .where_(|entry| entry.detail == AT_ONCE && !is_about_news(entry)),
            survives(OneOfThem, "what became ready after the first was looked at is told by the next call")
                .where_(|entry| !is_about_news(entry)),
            survives(AllReadable, "select(2), BUGS: reported as ready, while nevertheless a read blocks"),
            survives(AllWritable, "select(2), BUGS, likewise for writing"),
        ],
        Call::pselect6 => table![
            survives(Fails(libc::EINTR), "a signal was caught"),
            returns(Fails(libc::ENOMEM), "unable to allocate memory for internal tables"),
            returns(Fails(libc::EBADF), "or one on which an error has occurred"),
            survives(Silence, "zero if the timeout expired before any file descriptors became ready")
                .where_(|entry| entry.detail != FOR_EVER),
            survives(OneOfThem, "what became ready after the first was looked at is told by the next call"),
            // For ever, it would contradict the poll(2) that is then asked what exactly there is: both ask the same function
            // of the file.
            survives(AllReadable, "BUGS: reported as ready, while nevertheless a read blocks").once(),
            survives(AllWritable, "BUGS, likewise for writing").once(),
        ],
        // -------------------------------------------------------------------------------------------------- waking
        Call::eventfd => table![
            ends(Fails(libc::EMFILE), "per-process limit on the number of open file descriptors"),
            ends(Fails(libc::ENFILE), "system-wide limit on the total number of open files"),
            ends(Fails(libc::ENODEV), "could not mount (internal) anonymous inode device"),
            ends(Fails(libc::ENOMEM), "insufficient memory to create a new eventfd file descriptor"),
        ],
        Call::write => table![
            survives(Fails(libc::EINTR), "write(2): interrupted by a signal before any data was written")
                .once(),
            survives(
                Brimful,
                "eventfd(2): EAGAIN if the addition would cause the counter's value to exceed the maximum"
            )
            .once(),
        ],
        Call::read => table![
            survives(Fails(libc::EINTR), "read(2): interrupted by a signal before any data was read").once(),
            survives(
                MadeBut(libc::EAGAIN),
                "eventfd(2): the counter is zero (somebody was faster), and made nonblocking"
            ),
        ],
        Call::timerfd_create => table![
            survives(Fails(libc::EMFILE), "per-process limit on the number of open file descriptors"),
            survives(Fails(libc::ENFILE), "system-wide limit on the total number of open files"),
            survives(Fails(libc::ENODEV), "could not mount (internal) anonymous inode device"),
            survives(Fails(libc::ENOMEM), "insufficient kernel memory to create the timer"),
        ],
        // Of a clock that is open and a time that is well formed, it has nothing to refuse.
        Call::timerfd_settime => table![],
        // CLOCK_MONOTONIC cannot fail, but time passes whenever the process is not running.
        Call::clock_gettime => table![
            survives(
                AnHourLater,
                "clock_gettime(2): does not count time that the system is suspended; a stopped process's yes"
            )
            .once(),
        ],
        // ------------------------------------------------------------------------------------------------- sockets
        Call::socket | Call::socketpair => table![
            ends(Fails(libc::EAFNOSUPPORT), "does not support the specified address family"),
            ends(Fails(libc::EMFILE), "per-process limit on the number of open file descriptors"),
            ends(Fails(libc::ENFILE), "system-wide limit on the total number of open files"),
            ends(Fails(libc::ENOBUFS), "socket(2): insufficient memory is available"),
            ends(Fails(libc::ENOMEM), "socket(2): insufficient memory is available"),
        ],
        Call::bind => table![
            ends(Fails(libc::EACCES), "search permission is denied on a component of the path prefix"),
            ends(Fails(libc::EADDRINUSE), "the given address is already in use"),
            ends(Fails(libc::ENOMEM), "insufficient kernel memory was available"),
            ends(Fails(libc::EROFS), "the socket inode would reside on a read-only filesystem"),
        ],
        Call::listen => {
            table![ends(Fails(libc::EADDRINUSE), "another socket is already listening on the same port")]
        }
        Call::accept4 => table![
            survives(NotYet(libc::EAGAIN), "nonblocking and no connections are present to be accepted"),
            survives(
                Fails(libc::EINTR),
                "interrupted by a signal that was caught before a valid connection arrived"
            ),
            survives(Fails(libc::ECONNABORTED), "a connection has been aborted"),
            sheds(Fails(libc::EMFILE), "per-process limit on the number of open file descriptors"),
            sheds(Fails(libc::ENFILE), "system-wide limit on the total number of open files"),
            survives(Fails(libc::ENOBUFS), "not enough free memory"),
            survives(Fails(libc::ENOMEM), "not enough free memory"),
            survives(Fails(libc::EPERM), "firewall rules forbid connection"),
            survives(Fails(libc::EPROTO), "protocol error"),
            survives(
                Fails(libc::ENETDOWN),
                "NOTES: already-pending network errors, to be treated like EAGAIN by retrying"
            ),
            survives(Fails(libc::EHOSTUNREACH), "NOTES, likewise"),
            survives(
                Fails(libc::ETIMEDOUT),
                "various Linux kernels can return other errors such as ETIMEDOUT"
            ),
            survives(Fails(libc::ENOSR), "various Linux kernels can return other errors such as ENOSR"),
        ],
        Call::connect => table![
            survives(
                MadeBut(libc::EINTR),
                "interrupted; POSIX: the connection shall be established asynchronously"
            ),
            survives(
                MadeBut(libc::EINPROGRESS),
                "nonblocking and the connection cannot be completed immediately"
            )
            .where_(|entry| entry.detail != i64::from(libc::AF_UNIX)),
            ends(
                Fails(libc::EAGAIN),
                "for nonblocking UNIX domain sockets, or insufficient entries in the routing cache"
            ),
            ends(Fails(libc::EACCES), "write permission is denied on the socket file"),
            ends(Fails(libc::EPERM), "the request failed because of a local firewall rule"),
            ends(
                Fails(libc::EADDRNOTAVAIL),
                "all port numbers in the ephemeral port range are currently in use"
            ),
            ends(Fails(libc::ECONNREFUSED), "found no one listening on the remote address"),
            ends(Fails(libc::ENETUNREACH), "network is unreachable"),
            ends(Fails(libc::ETIMEDOUT), "timeout while attempting connection"),
        ],
        Call::getsockname => {
            table![ends(Fails(libc::ENOBUFS), "insufficient resources were available in the system")]
        }
        Call::getpeername => table![
            ends(Fails(libc::ENOBUFS), "insufficient resources were available in the system"),
            ends(NotYet(libc::ENOTCONN), "the socket is not connected"),
        ],
        Call::getsockopt => table![
            ends(Fails(libc::ENOBUFS), "POSIX: insufficient resources are available in the system"),
            ends(Pending(libc::ECONNREFUSED), "connect(2): SO_ERROR is one of the usual error codes")
                .where_(is_so_error),
            ends(Pending(libc::ETIMEDOUT), "connect(2), likewise; tcp(7): the other end didn't acknowledge")
                .where_(is_so_error),
            ends(Pending(libc::EHOSTUNREACH), "connect(2), likewise; ip(7): no valid route")
                .where_(is_so_error),
        ],
        Call::setsockopt => table![
            ends(Fails(libc::ENOBUFS), "POSIX: insufficient resources are available in the system"),
            ends(Fails(libc::ENOMEM), "POSIX: there was insufficient memory available for the operation"),
        ],
        Call::shutdown => table![ends(Fails(libc::ENOTCONN), "not connected: it was reset meanwhile")],
        // Looking at the flags of an open descriptor, and setting O_NONBLOCK, has nothing that could fail.
        Call::fcntl => table![],
        // --------------------------------------------------------------------------------------------------- bytes
        Call::recvfrom => table![
            survives(NotYet(libc::EAGAIN), "nonblocking and the receive operation would block"),
            survives(Fails(libc::EINTR), "interrupted by delivery of a signal before any data was available"),
            survives(Fails(libc::ENOMEM), "could not allocate memory"),
            survives(
                Fails(libc::ECONNREFUSED),
                "udp(7): no receiver was associated; of what was sent before"
            ),
        ],
        Call::sendto => table![
            survives(Fails(libc::EAGAIN), "nonblocking and the requested operation would block"),
            survives(Fails(libc::EINTR), "a signal occurred before any data was transmitted"),
            survives(Fails(libc::ENOBUFS), "the output queue for a network interface was full"),
            survives(Fails(libc::EPERM), "ip(7): a firewall forbids it"),
        ],
        Call::recv | Call::recvmsg => table![
            survives(NotYet(libc::EAGAIN), "nonblocking and the receive operation would block"),
            survives(
                OneByte,
                "return any data available, up to the requested amount; epoll(7): a short read exhausted it"
            )
            .where_(is_divisible),
            survives(Half, "return any data available, up to the requested amount, likewise")
                .where_(is_divisible),
            survives(Fails(libc::EINTR), "interrupted by delivery of a signal before any data was available"),
            survives(Fails(libc::ENOMEM), "could not allocate memory"),
            ends(Fails(libc::ECONNREFUSED), "a remote host refused to allow the network connection")
                .where_(of_a_connection),
            ends(Fails(libc::ECONNRESET), "POSIX: a connection was forcibly closed by a peer")
                .where_(of_a_connection),
            ends(Fails(libc::ENOTCONN), "not connected: it was reset meanwhile").where_(of_a_connection),
            ends(
                Fails(libc::ETIMEDOUT),
                "tcp(7): the other end didn't acknowledge retransmitted data after some time"
            )
            .where_(of_a_connection),
            ends(
                Fails(libc::EHOSTUNREACH),
                "tcp(7): the last received error on this connection is reported; ip(7)"
            )
            .where_(of_a_connection),
        ],
        Call::send | Call::sendmsg => table![
            survives(NotYet(libc::EAGAIN), "nonblocking and the requested operation would block")
                .where_(is_nonblocking),
            ends(Fails(libc::EAGAIN), "socket(7), SO_SNDTIMEO: the timeout has been reached")
                .where_(|entry| entry.may_block),
            survives(OneByte, "return the number of bytes sent; epoll(7): fewer than asked means it is full")
                .where_(is_divisible),
            survives(Half, "return the number of bytes sent, likewise").where_(is_divisible),
            survives(Fails(libc::EINTR), "a signal occurred before any data was transmitted"),
            survives(Fails(libc::ENOBUFS), "the output queue for a network interface was full"),
            survives(Fails(libc::ENOMEM), "no memory available"),
            ends(Fails(libc::ECONNRESET), "connection reset by peer"),
            ends(Fails(libc::EPIPE), "the local end has been shut down, or there is no peer"),
            ends(Fails(libc::ENOTCONN), "not connected: it was reset meanwhile"),
            ends(
                Fails(libc::ETIMEDOUT),
                "tcp(7): the other end didn't acknowledge retransmitted data after some time"
            ),
            ends(
                Fails(libc::EHOSTUNREACH),
                "tcp(7): the last received error on this connection is reported; ip(7)"
            ),
        ],
        Call::readv => table![
            survives(NotYet(libc::EAGAIN), "read(2): marked nonblocking, and the read would block"),
            survives(Fails(libc::EINTR), "read(2): interrupted by a signal before any data was read"),
        ],
        Call::writev => table![
            survives(NotYet(libc::EAGAIN), "write(2): marked nonblocking, and the write would block"),
            survives(Fails(libc::EINTR), "write(2): interrupted by a signal before any data was written"),
        ],
        Call::pipe2 => table![
            ends(Fails(libc::EMFILE), "per-process limit on the number of open file descriptors"),
            ends(Fails(libc::ENFILE), "system-wide limit on the total number of open files"),
        ],
        Call::sendfile => table![
            survives(NotYet(libc::EAGAIN), "nonblocking I/O and the write would block")
                .where_(is_nonblocking),
            ends(Fails(libc::EAGAIN), "socket(7), SO_SNDTIMEO: the timeout has been reached")
                .where_(|entry| entry.may_block),
            survives(OneByte, "may write fewer bytes than requested; the caller should be prepared to retry")
                .where_(is_divisible),
            survives(Half, "may write fewer bytes than requested, likewise").where_(is_divisible),
            survives(Fails(libc::ENOMEM), "insufficient memory to read from in_fd"),
            ends(Fails(libc::EIO), "unspecified error while reading from in_fd"),
            ends(Fails(libc::ECONNRESET), "send(2): connection reset by peer"),
            ends(Fails(libc::EPIPE), "send(2): there is no peer"),
        ],
        // --------------------------------------------------------------------------------------------------- files
        Call::open => table![
            survives(Fails(libc::EMFILE), "per-process limit on the number of open file descriptors"),
            survives(Fails(libc::ENFILE), "system-wide limit on the total number of open files"),
            survives(Fails(libc::ENOMEM), "insufficient kernel memory was available"),
            survives(Fails(libc::EACCES), "the requested access to the file is not allowed"),
            survives(Fails(libc::ENOENT), "the named file does not exist (a chroot without /dev)"),
        ],
        Call::lstat => table![
            ends(Fails(libc::EACCES), "search permission is denied for one of the directories"),
            ends(Fails(libc::ENOMEM), "out of memory (i.e., kernel memory)"),
        ],
        Call::fstat => table![ends(Fails(libc::ENOMEM), "out of memory (i.e., kernel memory)")],
        Call::unlink => table![
            survives(Fails(libc::EACCES), "write access to the directory is not allowed"),
            survives(Fails(libc::EIO), "an I/O error occurred"),
            survives(Fails(libc::ENOENT), "does not exist: somebody was faster"),
            survives(Fails(libc::EROFS), "refers to a file on a read-only filesystem"),
        ],
        // "Linux kernel always releases the file descriptor early in the close operation": hence made, but.
        Call::close => table![
            survives(MadeBut(libc::EINTR), "interrupted by a signal; NOTES: should not be retried"),
            survives(MadeBut(libc::EIO), "an I/O error occurred; NOTES: should not be retried"),
        ],
    }
}

fn is_so_error(entry: &Entry) -> bool {
    entry.detail == i64::from(libc::SO_ERROR)
}
