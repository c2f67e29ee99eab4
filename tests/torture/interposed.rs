//! The functions of the C library that the loop calls, defined once more.
//!
//! A symbol of the executable comes before that of a shared library, so the reactor, and the standard library it is built
//! on, call these; the real ones are found with dlsym(3) and `RTLD_NEXT`. While a thread is not [armed](kernel::is_armed),
//! each does what the real one does. Otherwise it notes the call, asks what is to become of it, and mostly makes it.
//!
//! `syscall` and `fcntl` and `open` take any number of arguments in C. Here they take the most they are ever given: on the
//! systems this runs on (x86-64 and AArch64 Linux) variable arguments travel as fixed ones do, and reading one too many reads
//! a register that means nothing.
//!
//! Nothing here blocks. What would block is a wait, and a wait ends in [`kernel::Kernel::sleep`]; a socket that was left
//! blocking is reported.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::mem::transmute;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;
use std::{ptr, slice};

use libc::{off_t, size_t, sockaddr, socklen_t, ssize_t};

use crate::calls::Call;
use crate::kernel::{self, AT_ONCE, FINITE, FOR_EVER, empty_counter};
use crate::outcomes::Outcome;
use crate::ring::{self, Ring};

// ----------------------------------------------------------------------------------------------------- the real functions

/// Where the C library has a function.
struct Real(&'static CStr, AtomicPtr<c_void>);

impl Real {
    const fn new(name: &'static CStr) -> Real {
        Real(name, AtomicPtr::new(ptr::null_mut()))
    }

    fn address(&self) -> *mut c_void {
        let known = self.1.load(Ordering::Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: the name ends with NUL. (No lock and no allocation of ours: this may be the first thing a thread does.)
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.0.as_ptr()) };
        if found.is_null() {
            std::process::abort(); // there is no C library without it
        }
        self.1.store(found, Ordering::Relaxed);
        found
    }
}

/// Defines functions of the C library: unarmed they are the real ones, else the body decides, which has a name for the real
/// one.
macro_rules! interposed {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty, $real:ident => $body:expr;)*) => {$(
        #[doc = concat!("As in C: see `man 2 ", stringify!($name), "`.")]
        ///
        /// # Safety
        /// That of the function of the same name in the C library.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> $result {
            type Function = unsafe extern "C" fn($($type),*) -> $result;
            static REAL: Real = Real::new(
                match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!("an identifier contains no NUL"),
                }
            );
            // SAFETY: the C library's function of this name has this signature.
            let function = unsafe { transmute::<*mut c_void, Function>(REAL.address()) };
            // SAFETY: the caller's promise is passed on.
            let $real = move |$($argument: $type),*| unsafe { function($($argument),*) };
            if !kernel::is_armed() {
                return $real($($argument),*);
            }
            $body
        }
    )*};
}

// ------------------------------------------------------------------------------------------------------------ answers

/// What a function of the C library returns: -1 is an error.
pub trait Answer: Copy + PartialEq {
    const FAILED: Self;
    fn number(self) -> i64;
}

impl Answer for c_int {
    const FAILED: c_int = -1;
    fn number(self) -> i64 {
        i64::from(self)
    }
}

impl Answer for i64 {
    const FAILED: i64 = -1;
    fn number(self) -> i64 {
        self
    }
}

impl Answer for isize {
    const FAILED: isize = -1;
    fn number(self) -> i64 {
        self as i64
    }
}

pub fn errno() -> c_int {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}

pub fn set_errno(errno: c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

pub fn fail<R: Answer>(errno: c_int) -> R {
    set_errno(errno);
    R::FAILED
}

/// Notes a call, and makes it unless it is to fail. `make` is told the outcome it must bring about itself.
pub fn intercept<R: Answer>(
    call: Call,
    fd: RawFd,
    detail: i64,
    make: impl FnOnce(Option<Outcome>) -> R,
) -> R {
    kernel::unseen(|| {
        let (index, outcome) = kernel::with(|kernel| kernel.enter(call, fd, detail));
        let answer = match outcome {
            Some(Outcome::Fails(errno) | Outcome::NotYet(errno)) => fail(errno),
            Some(Outcome::MadeBut(errno)) => {
                make(None);
                fail(errno)
            }
            outcome => make(outcome),
        };
        let errno = errno();
        if matches!(outcome, Some(Outcome::NotYet(_) | Outcome::OneByte | Outcome::Half)) {
            announce_again(fd);
        }
        kernel::with(|kernel| kernel.leave(index, answer.number(), errno));
        set_errno(errno);
        answer
    })
}

/// The same for a call that has no outcome of its own kind.
fn plain<R: Answer>(call: Call, fd: RawFd, make: impl FnOnce() -> R) -> R {
    intercept(call, fd, 0, |_| make())
}

/// The rest comes a moment later: an edge that the early answer has cost is there again.
fn announce_again(fd: RawFd) {
    for (epoll, mut event) in kernel::with(|kernel| kernel.edges_of(fd)) {
        // SAFETY: `event` is a local; the descriptors are open, as the kernel will confirm.
        unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_MOD, fd, &raw mut event) };
    }
    ring::owe(fd);
}

/// How much of `length` is to pass.
fn part(outcome: Option<Outcome>, length: size_t) -> size_t {
    match outcome {
        Some(Outcome::OneByte) => length.min(1),
        Some(Outcome::Half) => length.div_ceil(2),
        _ => length,
    }
}

// -------------------------------------------------------------------------------------------------------------- bytes

interposed! {
    fn recv(fd: c_int, buffer: *mut c_void, length: size_t, flags: c_int) -> ssize_t, real => {
        intercept(Call::recv, fd, length as i64, |outcome| {
            // Half of what is here: half of the room would often be enough for all.
            let length = match outcome {
                Some(Outcome::Half) => part(outcome, waiting_bytes(fd).clamp(1, length)),
                _ => part(outcome, length),
            };
            at_once(fd, || real(fd, buffer, length, flags | libc::MSG_DONTWAIT))
        })
    };
    fn send(fd: c_int, buffer: *const c_void, length: size_t, flags: c_int) -> ssize_t, real => {
        intercept(Call::send, fd, length as i64, |outcome| {
            at_once(fd, || real(fd, buffer, part(outcome, length), flags | libc::MSG_DONTWAIT))
        })
    };
    fn recvmsg(fd: c_int, message: *mut libc::msghdr, flags: c_int) -> ssize_t, real => {
        // SAFETY: the loop's message is valid, and its pieces are.
        let (mut short, pieces) = unsafe { (*message, pieces_of(message)) };
        intercept(Call::recvmsg, fd, total(pieces), |outcome| {
            let mut pieces = cut(pieces, outcome);
            (short.msg_iov, short.msg_iovlen) = (pieces.as_mut_ptr(), pieces.len());
            at_once(fd, || real(fd, &raw mut short, flags | libc::MSG_DONTWAIT))
        })
    };
    fn sendmsg(fd: c_int, message: *const libc::msghdr, flags: c_int) -> ssize_t, real => {
        // SAFETY: as above.
        let (mut short, pieces) = unsafe { (*message, pieces_of(message)) };
        intercept(Call::sendmsg, fd, total(pieces), |outcome| {
            let mut pieces = cut(pieces, outcome);
            (short.msg_iov, short.msg_iovlen) = (pieces.as_mut_ptr(), pieces.len());
            at_once(fd, || real(fd, &raw const short, flags | libc::MSG_DONTWAIT))
        })
    };
    fn recvfrom(
        fd: c_int,
        buffer: *mut c_void,
        length: size_t,
        flags: c_int,
        address: *mut sockaddr,
        room: *mut socklen_t,
    ) -> ssize_t, real => {
        intercept(Call::recvfrom, fd, length as i64, |outcome| {
            at_once(fd, || real(fd, buffer, part(outcome, length), flags | libc::MSG_DONTWAIT, address, room))
        })
    };
    fn sendto(
        fd: c_int,
        buffer: *const c_void,
        length: size_t,
        flags: c_int,
        address: *const sockaddr,
        size: socklen_t,
    ) -> ssize_t, real => {
        intercept(Call::sendto, fd, length as i64, |outcome| {
            at_once(fd, || real(fd, buffer, part(outcome, length), flags | libc::MSG_DONTWAIT, address, size))
        })
    };
    fn readv(fd: c_int, pieces: *const libc::iovec, count: c_int) -> ssize_t, real => {
        plain(Call::readv, fd, || real(fd, pieces, count))
    };
    fn writev(fd: c_int, pieces: *const libc::iovec, count: c_int) -> ssize_t, real => {
        plain(Call::writev, fd, || real(fd, pieces, count))
    };
    fn sendfile(fd: c_int, file: c_int, offset: *mut off_t, length: size_t) -> ssize_t, real => {
        intercept(Call::sendfile, fd, length as i64, |outcome| real(fd, file, offset, part(outcome, length)))
    };
    fn read(fd: c_int, buffer: *mut c_void, length: size_t) -> ssize_t, real => {
        plain(Call::read, fd, || real(fd, buffer, length))
    };
    fn write(fd: c_int, buffer: *const c_void, length: size_t) -> ssize_t, real => {
        intercept(Call::write, fd, 0, |outcome| {
            if outcome == Some(Outcome::Brimful) {
                let most = (u64::MAX - 1).to_ne_bytes();
                empty_counter(fd);
                real(fd, most.as_ptr().cast(), most.len());
            }
            real(fd, buffer, length)
        })
    };
}

/// Makes a call that must not block. Whoever would have waited in it, on a socket that is not nonblocking, is reported; or has
/// waited for as long as the socket was told to, where that is what he is here for.
fn at_once(fd: RawFd, call: impl FnOnce() -> ssize_t) -> ssize_t {
    let answer = call();
    let failed = errno();
    // SAFETY: takes no pointers.
    let blocks = || unsafe { libc::fcntl(fd, libc::F_GETFL) } & libc::O_NONBLOCK == 0;
    if answer == -1 && failed == libc::EAGAIN && blocks() {
        kernel::with(|kernel| match kernel.patience.get(&fd).copied() {
            Some(timeout) if kernel.may_block => kernel.pass(timeout),
            _ => kernel.violations.push(format!("descriptor {fd} is blocking, and the loop hangs in it")),
        });
    }
    set_errno(failed);
    answer
}

/// # Safety
/// The message is valid, and so are its pieces, for as long as the result is used.
unsafe fn pieces_of<'a>(message: *const libc::msghdr) -> &'a [libc::iovec] {
    // SAFETY: as promised.
    unsafe { slice::from_raw_parts((*message).msg_iov, (*message).msg_iovlen) }
}

/// Bytes that can be read now.
fn waiting_bytes(fd: RawFd) -> size_t {
    let mut bytes: c_int = 0;
    // SAFETY: `bytes` is a local.
    match unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut bytes) } {
        0 => usize::try_from(bytes).unwrap_or(0),
        _ => 0,
    }
}

fn total(pieces: &[libc::iovec]) -> i64 {
    pieces.iter().map(|piece| piece.iov_len as i64).sum()
}

/// The pieces up to the part that is to pass.
fn cut(pieces: &[libc::iovec], outcome: Option<Outcome>) -> Vec<libc::iovec> {
    let mut left = part(outcome, total(pieces) as size_t);
    let shortened = pieces.iter().map(|piece| {
        let length = piece.iov_len.min(left);
        left -= length;
        libc::iovec { iov_base: piece.iov_base, iov_len: length }
    });
    shortened.filter(|piece| piece.iov_len > 0).collect()
}

// ------------------------------------------------------------------------------------------------------------ sockets

interposed! {
    fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int, real => {
        plain(Call::socket, -1, || real(family, kind, protocol))
    };
    fn socketpair(family: c_int, kind: c_int, protocol: c_int, pair: *mut c_int) -> c_int, real => {
        plain(Call::socketpair, -1, || {
            let answer = real(family, kind, protocol, pair);
            if answer == 0 {
                note_pair(Call::socketpair, pair);
            }
            answer
        })
    };
    fn bind(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int, real => {
        plain(Call::bind, fd, || real(fd, address, length))
    };
    fn listen(fd: c_int, backlog: c_int) -> c_int, real => {
        plain(Call::listen, fd, || real(fd, backlog))
    };
    fn accept4(fd: c_int, address: *mut sockaddr, length: *mut socklen_t, flags: c_int) -> c_int, real => {
        plain(Call::accept4, fd, || {
            if would_block(fd) { fail(libc::EAGAIN) } else { real(fd, address, length, flags) }
        })
    };
    fn connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int, real => {
        // SAFETY: the loop's address is valid, and every address begins with its family.
        let family = unsafe { (*address).sa_family };
        intercept(Call::connect, fd, i64::from(family), |_| real(fd, address, length))
    };
    fn getsockname(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int, real => {
        plain(Call::getsockname, fd, || real(fd, address, length))
    };
    fn getpeername(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int, real => {
        plain(Call::getpeername, fd, || real(fd, address, length))
    };
    fn setsockopt(
        fd: c_int,
        level: c_int,
        name: c_int,
        value: *const c_void,
        length: socklen_t,
    ) -> c_int, real => {
        intercept(Call::setsockopt, fd, i64::from(name), |_| {
            if (level, name) == (libc::SOL_SOCKET, libc::SO_RCVTIMEO) {
                // SAFETY: the loop gives this option a time.
                let time = unsafe { *value.cast::<libc::timeval>() };
                let time = Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec as u64);
                kernel::with(|kernel| kernel.patience.insert(fd, time));
            }
            real(fd, level, name, value, length)
        })
    };
    fn getsockopt(
        fd: c_int,
        level: c_int,
        name: c_int,
        value: *mut c_void,
        length: *mut socklen_t,
    ) -> c_int, real => {
        intercept(Call::getsockopt, fd, i64::from(name), |outcome| {
            let answer = real(fd, level, name, value, length);
            if let Some(Outcome::Pending(error)) = outcome {
                // SAFETY: SO_ERROR is an integer, so the loop gave room for one.
                unsafe { value.cast::<c_int>().write(error) };
            }
            answer
        })
    };
    fn shutdown(fd: c_int, how: c_int) -> c_int, real => {
        plain(Call::shutdown, fd, || real(fd, how))
    };
}

/// Two descriptors that a successful call has opened.
fn note_pair(call: Call, pair: *const c_int) {
    // SAFETY: the call succeeded, so both are there.
    let pair = unsafe { [*pair, *pair.add(1)] };
    kernel::with(|kernel| pair.into_iter().for_each(|fd| kernel.opened(fd, call, None)));
}

/// Whether nobody waits to be accepted, and the caller would wait for somebody; which is reported if it would have to.
fn would_block(listener: RawFd) -> bool {
    let mut entry = libc::pollfd { fd: listener, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, a local.
    if unsafe { libc::poll(&raw mut entry, 1, 0) } != 0 {
        return false;
    }
    set_errno(libc::EAGAIN);
    at_once(listener, || -1) == -1
}

// -------------------------------------------------------------------------------------------------------------- files

interposed! {
    fn pipe2(pair: *mut c_int, flags: c_int) -> c_int, real => {
        plain(Call::pipe2, -1, || {
            let answer = real(pair, flags);
            if answer == 0 {
                note_pair(Call::pipe2, pair);
            }
            answer
        })
    };
    fn open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int, real => {
        plain(Call::open, -1, || real(path, flags, mode))
    };
    fn fstat(fd: c_int, status: *mut libc::stat) -> c_int, real => {
        plain(Call::fstat, fd, || real(fd, status))
    };
    fn lstat(path: *const c_char, status: *mut libc::stat) -> c_int, real => {
        plain(Call::lstat, -1, || real(path, status))
    };
    fn unlink(path: *const c_char) -> c_int, real => {
        plain(Call::unlink, -1, || real(path))
    };
    fn fcntl(fd: c_int, command: c_int, argument: c_long) -> c_int, real => {
        intercept(Call::fcntl, fd, i64::from(command), |_| real(fd, command, argument))
    };
    fn close(fd: c_int) -> c_int, real => {
        plain(Call::close, fd, || {
            let answer = real(fd);
            let failed = errno();
            kernel::with(|kernel| kernel.closed(fd));
            set_errno(failed);
            answer
        })
    };
}

// ------------------------------------------------------------------------------------------------------------- memory

interposed! {
    fn mmap(
        address: *mut c_void,
        length: size_t,
        protection: c_int,
        flags: c_int,
        fd: c_int,
        offset: off_t,
    ) -> *mut c_void, real => {
        if fd < 0 {
            return real(address, length, protection, flags, fd, offset); // an allocator's
        }
        let mut mapped = libc::MAP_FAILED;
        intercept(Call::mmap, fd, offset, |_| {
            mapped = real(address, length, protection, flags, fd, offset);
            if mapped == libc::MAP_FAILED {
                return -1;
            }
            kernel::with(|kernel| {
                if let Some(ring) = kernel.rings.get_mut(&fd) {
                    ring.mapped(offset, mapped.addr());
                }
            });
            0
        });
        mapped
    };
}

// --------------------------------------------------------------------------------------------------- waking, and time

interposed! {
    fn eventfd(count: c_uint, flags: c_int) -> c_int, real => {
        plain(Call::eventfd, -1, || real(count, flags))
    };
    fn timerfd_create(clock: c_int, flags: c_int) -> c_int, _real => {
        let _ = (clock, flags);
        // SAFETY: takes no pointers. (A counter that is written to when the time has come.)
        plain(Call::timerfd_create, -1, || unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
    };
    fn timerfd_settime(
        fd: c_int,
        flags: c_int,
        new: *const libc::itimerspec,
        old: *mut libc::itimerspec,
    ) -> c_int, _real => {
        let _ = (flags, old);
        plain(Call::timerfd_settime, fd, || {
            // SAFETY: the loop's value is valid.
            let after = duration(unsafe { (*new).it_value });
            kernel::with(|kernel| kernel.set_clock(fd, Some(after).filter(|after| !after.is_zero())));
            0
        })
    };
    fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int, real => {
        if clock != libc::CLOCK_MONOTONIC {
            return real(clock, time);
        }
        intercept(Call::clock_gettime, -1, 0, |outcome| {
            let now = kernel::with(|kernel| {
                if outcome == Some(Outcome::AnHourLater) {
                    kernel.pass(Duration::from_secs(3600));
                }
                kernel.read_clock()
            });
            // SAFETY: the caller gave room for a time.
            unsafe { time.write(now) };
            0
        })
    };
}

fn duration(time: libc::timespec) -> Duration {
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

// ------------------------------------------------------------------------------------------------------------ waiting

interposed! {
    fn epoll_create1(flags: c_int) -> c_int, real => {
        plain(Call::epoll_create1, -1, || real(flags))
    };
    fn epoll_ctl(epoll: c_int, operation: c_int, fd: c_int, event: *mut libc::epoll_event) -> c_int, real => {
        intercept(Call::epoll_ctl, fd, i64::from(operation), |_| {
            let answer = real(epoll, operation, fd, event);
            if answer == 0 {
                kernel::with(|kernel| match operation {
                    libc::EPOLL_CTL_DEL => drop(kernel.registered.remove(&(epoll, fd))),
                    // SAFETY: it was valid for the real call.
                    _ => drop(kernel.registered.insert((epoll, fd), unsafe { *event })),
                });
            }
            answer
        })
    };
    fn epoll_wait(epoll: c_int, events: *mut libc::epoll_event, room: c_int, timeout: c_int) -> c_int, _real => {
        wait(Call::epoll_wait, epoll, millis(timeout), &mut OfEpoll { epoll, events, room }) as c_int
    };
    fn poll(entries: *mut libc::pollfd, count: libc::nfds_t, timeout: c_int) -> c_int, _real => {
        // SAFETY: the loop's entries are valid.
        let entries = unsafe { slice::from_raw_parts_mut(entries, count as usize) };
        // Where there is a ring, it is asked about what the ring has told.
        let ring = kernel::with(|kernel| kernel.rings.keys().next().copied());
        wait(Call::poll, ring.unwrap_or(-1), millis(timeout), &mut OfPoll(entries)) as c_int
    };
    fn ppoll(
        entries: *mut libc::pollfd,
        count: libc::nfds_t,
        timeout: *const libc::timespec,
        mask: *const libc::sigset_t,
    ) -> c_int, _real => {
        let _ = mask;
        // SAFETY: the loop's entries and its timeout are valid.
        let (entries, timeout) =
            unsafe { (slice::from_raw_parts_mut(entries, count as usize), limit(timeout)) };
        wait(Call::ppoll, -1, timeout, &mut OfPoll(entries)) as c_int
    };
    fn syscall(
        number: c_long,
        a: c_long,
        b: c_long,
        c: c_long,
        d: c_long,
        e: c_long,
        f: c_long,
    ) -> c_long, real => match number {
        libc::SYS_epoll_pwait2 => {
            let (epoll, events, room) = (a as c_int, b as *mut libc::epoll_event, c as c_int);
            // SAFETY: the loop's timeout is null or valid.
            let timeout = unsafe { limit(d as *const libc::timespec) };
            wait(Call::epoll_pwait2, epoll, timeout, &mut OfEpoll { epoll, events, room })
        }
        libc::SYS_pselect6 => {
            // SAFETY: the loop's timeout is null or valid.
            let timeout = unsafe { limit(e as *const libc::timespec) };
            // SAFETY: the loop gives three sets of as many bits.
            let mut sets = unsafe { OfSelect::new(a as c_int, [b as *mut u64, c as *mut u64, d as *mut u64]) };
            wait(Call::pselect6, -1, timeout, &mut sets)
        }
        libc::SYS_io_uring_setup => plain(Call::io_uring_setup, -1, || {
            let answer = real(number, a, b, c, d, e, f);
            if let Ok(ring @ 0..) = RawFd::try_from(answer) {
                // SAFETY: the call succeeded, so the kernel has filled in the loop's parameters.
                let parameters = unsafe { *(b as *const ring::Parameters) };
                kernel::with(|kernel| kernel.rings.insert(ring, Ring::new(parameters)));
            }
            answer
        }),
        libc::SYS_io_uring_register => {
            plain(Call::io_uring_register, a as c_int, || real(number, a, b, c, d, e, f))
        }
        // SAFETY: the loop's argument is null or valid.
        libc::SYS_io_uring_enter => ring::enter(a as c_int, b, c, d, unsafe { ring::limit(e) }),
        // As the `polling` crate makes it.
        libc::SYS_eventfd2 => plain(Call::eventfd, -1, || real(number, a, b, c, d, e, f)),
        // The standard library's own: locks, random numbers for its maps, the number of a thread.
        libc::SYS_futex | libc::SYS_getrandom | libc::SYS_gettid => real(number, a, b, c, d, e, f),
        _ => {
            let said = format!("syscall({number}, …) is a call that nobody has thought of");
            kernel::with(|kernel| kernel.violations.push(said));
            real(number, a, b, c, d, e, f)
        }
    };
}

/// A negative timeout is none.
fn millis(timeout: c_int) -> Option<Duration> {
    u64::try_from(timeout).ok().map(Duration::from_millis)
}

/// # Safety
/// The pointer is null or valid.
unsafe fn limit(timeout: *const libc::timespec) -> Option<Duration> {
    // SAFETY: as promised.
    unsafe { timeout.as_ref() }.map(|time| duration(*time))
}

/// What a wait looks at, and how its answer is changed.
trait Sight {
    /// Looks, at most for so many, and does not wait.
    fn look(&mut self, most: Option<usize>) -> c_long;
    /// Turns the order of what was found around.
    fn turn_around(&mut self, _found: c_long) {}
    /// Says of everything that is watched for `flag` that it is so; how many it tells now.
    fn pretend(&mut self, found: c_long, flag: u32) -> c_long;
    /// What is watched, where that crosses on every wait.
    fn watched(&self) -> Vec<RawFd> {
        Vec::new()
    }
}

/// A wait: what happens meanwhile, a look, time that passes, another look.
fn wait(call: Call, fd: RawFd, timeout: Option<Duration>, sight: &mut dyn Sight) -> c_long {
    let detail = match timeout {
        None => FOR_EVER,
        Some(Duration::ZERO) => AT_ONCE,
        Some(_) => FINITE,
    };
    intercept(call, fd, detail, |outcome| {
        let watched = sight.watched();
        kernel::with(|kernel| kernel.waits_for(watched, timeout.is_none()));
        if detail != AT_ONCE && kernel::interlude() {
            return fail(libc::EINTR);
        }
        let found = match outcome {
            Some(Outcome::Silence) => 0,
            Some(Outcome::OneOfThem) => sight.look(Some(1)),
            Some(Outcome::AllReadable) => pretend(sight, libc::EPOLLIN as u32),
            Some(Outcome::AllWritable) => pretend(sight, libc::EPOLLOUT as u32),
            _ => sight.look(None),
        };
        if outcome == Some(Outcome::Backwards) {
            sight.turn_around(found);
        }
        if found != 0 || detail == AT_ONCE {
            return found;
        }
        if !kernel::with(|kernel| kernel.sleep(timeout)) {
            return fail(libc::EINTR); // nobody will ever come: say so, instead of hanging
        }
        if outcome == Some(Outcome::Silence) { 0 } else { sight.look(None) }
    })
}

fn pretend(sight: &mut dyn Sight, flag: u32) -> c_long {
    let found = sight.look(None);
    sight.pretend(found.max(0), flag)
}

struct OfEpoll {
    epoll: RawFd,
    events: *mut libc::epoll_event,
    room: c_int,
}

impl OfEpoll {
    /// The first so many events.
    fn events(&mut self, count: usize) -> &mut [libc::epoll_event] {
        // SAFETY: the loop gave room for more than are ever asked for here, and what was found or pretended is initialised.
        unsafe { slice::from_raw_parts_mut(self.events, count) }
    }
}

impl Sight for OfEpoll {
    fn look(&mut self, most: Option<usize>) -> c_long {
        let room = most.map_or(self.room, |most| most as c_int);
        // SAFETY: the loop gave room for as many, and more.
        let found = c_long::from(unsafe { libc::epoll_wait(self.epoll, self.events, room, 0) });
        let epoll = self.epoll;
        let told: Vec<u64> = self.events(found.max(0) as usize).iter().map(|event| event.u64).collect();
        kernel::with(|kernel| kernel.spend(epoll, &told));
        found
    }

    fn turn_around(&mut self, found: c_long) {
        self.events(found.max(0) as usize).reverse();
    }

    fn pretend(&mut self, found: c_long, flag: u32) -> c_long {
        let mut count = found as usize;
        let watched: Vec<libc::epoll_event> = kernel::with(|kernel| {
            let is_meant = |&(&(epoll, fd), event): &(&(RawFd, RawFd), &libc::epoll_event)| {
                epoll == self.epoll && event.events & flag != 0 && kernel.is_socket(fd)
            };
            kernel.registered.iter().filter(is_meant).map(|(_, event)| *event).collect()
        });
        for event in watched {
            let key = event.u64;
            if let Some(told) = self.events(count).iter_mut().find(|told| { told.u64 } == key) {
                told.events |= flag;
            } else if count < self.room as usize {
                // SAFETY: there is room for one more.
                unsafe { self.events.add(count).write(libc::epoll_event { events: flag, u64: key }) };
                count += 1;
            }
        }
        count as c_long
    }
}

struct OfPoll<'a>(&'a mut [libc::pollfd]);

impl Sight for OfPoll<'_> {
    fn look(&mut self, most: Option<usize>) -> c_long {
        // SAFETY: the slice is valid for its length.
        let found = c_long::from(unsafe { libc::poll(self.0.as_mut_ptr(), self.0.len() as libc::nfds_t, 0) });
        let Some(most) = most else { return found };
        let told = self.0.iter_mut().filter(|entry| entry.revents != 0);
        told.skip(most).for_each(|entry| entry.revents = 0);
        found.min(most as c_long)
    }

    fn pretend(&mut self, _found: c_long, flag: u32) -> c_long {
        let asked = flag as i16; // all of poll(2)'s flags fit
        kernel::with(|kernel| {
            let is_meant =
                |entry: &&mut libc::pollfd| entry.events & asked != 0 && kernel.is_socket(entry.fd);
            self.0.iter_mut().filter(is_meant).for_each(|entry| entry.revents |= asked);
        });
        self.0.iter().filter(|entry| entry.revents != 0).count() as c_long
    }

    fn watched(&self) -> Vec<RawFd> {
        self.0.iter().map(|entry| entry.fd).collect()
    }
}

/// Readable, writable, exceptional: what the loop gave, which the kernel overwrites, and a copy.
struct OfSelect {
    most: c_int,
    sets: [*mut u64; 3],
    wanted: [Vec<u64>; 3],
}

impl OfSelect {
    /// # Safety
    /// The sets have so many bits.
    unsafe fn new(most: c_int, sets: [*mut u64; 3]) -> OfSelect {
        let words = (most as usize).div_ceil(64);
        // SAFETY: as promised.
        let wanted = sets.map(|set| unsafe { slice::from_raw_parts(set, words) }.to_vec());
        OfSelect { most, sets, wanted }
    }

    fn told(&mut self, set: usize) -> &mut [u64] {
        // SAFETY: as promised to `new`.
        unsafe { slice::from_raw_parts_mut(self.sets[set], self.wanted[set].len()) }
    }

    fn count(&mut self) -> c_long {
        (0..3)
            .map(|set| self.told(set).iter().map(|word| c_long::from(word.count_ones())).sum::<c_long>())
            .sum()
    }
}

impl Sight for OfSelect {
    fn look(&mut self, most: Option<usize>) -> c_long {
        for set in 0..3 {
            let wanted = self.wanted[set].clone();
            self.told(set).copy_from_slice(&wanted);
        }
        let [readable, writable, exceptional] = self.sets;
        let mut at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let (time, mask) = (&raw mut at_once, ptr::null::<c_void>());
        // SAFETY: the sets have as many bits as the loop said, and the timeout is a local.
        let found = unsafe {
            libc::syscall(libc::SYS_pselect6, self.most, readable, writable, exceptional, time, mask)
        };
        let Some(most) = most else { return found };
        let mut left = most;
        for set in 0..3 {
            for word in self.told(set) {
                while word.count_ones() as usize > left {
                    *word &= !(1 << (63 - word.leading_zeros()));
                }
                left -= word.count_ones() as usize;
            }
        }
        self.count()
    }

    fn pretend(&mut self, _found: c_long, flag: u32) -> c_long {
        let set = usize::from(flag == libc::EPOLLOUT as u32);
        let wanted = self.wanted[set].clone();
        let is_meant = |fd: &c_int| wanted[*fd as usize / 64] & (1 << (*fd % 64)) != 0;
        let sockets: Vec<c_int> = kernel::with(|kernel| {
            (0..self.most).filter(is_meant).filter(|fd| kernel.is_socket(*fd)).collect()
        });
        for fd in sockets {
            self.told(set)[fd as usize / 64] |= 1 << (fd % 64);
        }
        self.count()
    }

    fn watched(&self) -> Vec<RawFd> {
        let bit = |fd: &c_int| self.wanted.iter().any(|set| set[*fd as usize / 64] & (1 << (*fd % 64)) != 0);
        (0..self.most).filter(bit).collect()
    }
}
