//! Waiting: one source's readiness, and the system calls that every Unix has to ask for it.

use std::io;
use std::os::fd::RawFd;
use std::ptr;
use std::time::Duration;

/// One source's readiness, as told by one wait.
///
/// Readiness is a hint: a read may still answer [`WouldBlock`](std::io::ErrorKind::WouldBlock).
///
/// In memory it is the kernel's own `epoll_event` where there is one, so that epoll fills a whole batch in place. The flags are
/// those of poll(2), which epoll shares and the other backends translate to.
#[derive(Copy, Clone)]
#[repr(transparent)]
pub struct Event(Raw);

#[cfg(has_epoll)]
use libc::epoll_event as Raw;

/// What an event is where no kernel fills it in.
#[cfg(not(has_epoll))]
#[derive(Copy, Clone)]
struct Raw {
    events: u32,
    u64: u64,
}

impl Event {
    /// An event with the key given at registration and poll(2)'s flags.
    #[inline]
    pub(crate) fn new(key: u64, flags: u32) -> Event {
        Event(Raw { events: flags, u64: key })
    }

    /// The key given at registration.
    #[inline]
    pub(crate) fn key(&self) -> u64 {
        self.0.u64
    }

    /// The kernel's flags.
    #[inline]
    pub(crate) fn flags(&self) -> u32 {
        self.0.events
    }
}

/// poll(2)'s flags, whose values epoll(7) shares. Those of ours lie above its sixteen bits: no kernel sees them.
#[allow(clippy::cast_sign_loss)]
mod flags {
    pub(crate) const IN: u32 = libc::POLLIN as u32;
    pub(crate) const PRI: u32 = libc::POLLPRI as u32;
    pub(crate) const OUT: u32 = libc::POLLOUT as u32;
    pub(crate) const ERR: u32 = libc::POLLERR as u32;
    pub(crate) const HUP: u32 = libc::POLLHUP as u32;
    /// The peer finished sending.
    #[cfg(has_pollrdhup)]
    pub(crate) const RDHUP: u32 = libc::POLLRDHUP as u32;
    #[cfg(not(has_pollrdhup))]
    pub(crate) const RDHUP: u32 = 1 << 18;
    /// kqueue(2) only: we finished sending, or have to.
    pub(crate) const WRHUP: u32 = 1 << 19;
    /// kqueue(2) only, and of no descriptor: asynchronous I/O ended, a list of it ended.
    pub(crate) const AIO: u32 = 1 << 16;
    pub(crate) const LIO: u32 = 1 << 17;
    /// poll(2) only: the number is no open descriptor.
    pub(crate) const INVALID: u32 = libc::POLLNVAL as u32;
    /// What a wake-up for urgent data says besides `PRI`, and a poll never answers for a socket.
    #[cfg(has_io_uring)]
    pub(crate) const RDBAND: u32 = libc::POLLRDBAND as u32;
}
pub(crate) use flags::*;

/// An entry of poll(2)'s array. `POLLERR` and `POLLHUP` come whether asked for or not, so they are not passed on.
/// (All flags of the kernel fit poll(2)'s `short`; those that do not are ours.)
pub(crate) fn poll_entry(fd: RawFd, flags: u32) -> libc::pollfd {
    libc::pollfd { fd, events: (flags & !(ERR | HUP)) as i16, revents: 0 }
}

/// What the kernel answered in an entry of poll(2)'s array.
pub(crate) fn poll_answer(entry: &libc::pollfd) -> u32 {
    u32::from(entry.revents as u16)
}

/// poll(2): how many entries have something to tell. Where milliseconds do not say the timeout it is ppoll(2), or rounded up
/// where that is missing. (ppoll also tells how much time was left: an eighth of a microsecond that nobody asked for.)
pub(crate) fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    #[cfg(all(test, loom))]
    if timeout.is_none() {
        return crate::sync::model::kernel_wait(|| match poll(fds, Some(Duration::ZERO)) {
            Ok(0) => None,
            result => Some(result),
        });
    }
    let millis = match timeout.map_or(Some(-1), whole_millis) {
        Some(millis) => millis,
        #[cfg(has_ppoll)]
        None => return poll_precisely(fds, timeout.unwrap_or_default()),
        #[cfg(not(has_ppoll))]
        None => timeout.map_or(-1, to_millis),
    };
    // SAFETY: `fds` is a valid slice of the length given.
    let ready = unsafe { syscall!(poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, millis))? };
    Ok(usize::try_from(ready).unwrap_or(0))
}

/// ppoll(2).
#[cfg(has_ppoll)]
fn poll_precisely(fds: &mut [libc::pollfd], timeout: Duration) -> io::Result<usize> {
    let limit = timespec(timeout);
    let (entries, count) = (fds.as_mut_ptr(), fds.len() as libc::nfds_t);
    // SAFETY: `fds` is a valid slice of the length given, `limit` outlives the call, a null mask means none.
    let ready = unsafe { syscall!(ppoll(entries, count, &raw const limit, ptr::null()))? };
    Ok(usize::try_from(ready).unwrap_or(0))
}

/// A system's select(2) goes on as far as the bitmaps do, unless its C library stops at `FD_SETSIZE`.
pub(crate) const SELECT_ENDS_AT: Option<RawFd> =
    if cfg!(any(has_pselect6, has_pselect_of_any_size, has_pselect_extsn)) {
        None
    } else {
        Some(libc::FD_SETSIZE as RawFd)
    };

/// pselect(2), past the limit of the C library's `fd_set` if there is a way. The three sets (readable, writable, exceptional)
/// have `highest / 64 + 1` words each.
pub(crate) fn select(highest: RawFd, sets: [&mut [u64]; 3], timeout: Option<Duration>) -> io::Result<usize> {
    let words = usize::try_from(highest).map_or(0, |highest| highest / 64 + 1);
    assert!(sets.iter().all(|set| set.len() >= words), "the bitmaps end before the highest descriptor");
    assert!(
        SELECT_ENDS_AT.is_none_or(|end| highest < end),
        "this system's select ends before the highest descriptor"
    );
    // Linux writes the time left into it (select(2), "C library/kernel differences"): our copy, not the caller's.
    let mut limit = timeout.map(timespec);
    let limit = limit.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
    let [readable, writable, exceptional] = sets.map(|set| set.as_mut_ptr().cast());
    // SAFETY: the kernel reads and writes `highest + 1` bits of each set, which the first assertion covers, and the second
    // keeps the C library from refusing; `limit` is null or points to a local.
    let ready = unsafe { pselect(highest + 1, readable, writable, exceptional, limit)? };
    Ok(usize::try_from(ready).unwrap_or(0))
}

/// The direct call, without a signal mask.
#[cfg(has_pselect6)]
unsafe fn pselect(
    count: libc::c_int,
    readable: *mut libc::fd_set,
    writable: *mut libc::fd_set,
    exceptional: *mut libc::fd_set,
    limit: *mut libc::timespec,
) -> io::Result<libc::c_long> {
    let mask = ptr::null::<libc::c_void>();
    // SAFETY: the caller vouches for the sets and the limit; a null mask means none.
    unsafe { syscall!(syscall(libc::SYS_pselect6, count, readable, writable, exceptional, limit, mask)) }
}

/// The C library's, without a signal mask.
#[cfg(not(has_pselect6))]
unsafe fn pselect(
    count: libc::c_int,
    readable: *mut libc::fd_set,
    writable: *mut libc::fd_set,
    exceptional: *mut libc::fd_set,
    limit: *mut libc::timespec,
) -> io::Result<libc::c_int> {
    #[cfg(not(has_pselect_extsn))]
    use libc::pselect as call;
    #[cfg(has_pselect_extsn)]
    unsafe extern "C" {
        /// What `_DARWIN_UNLIMITED_SELECT` makes of pselect (select(2), "LEGACY DESCRIPTION").
        #[link_name = "pselect$DARWIN_EXTSN"]
        fn call(
            count: libc::c_int,
            readable: *mut libc::fd_set,
            writable: *mut libc::fd_set,
            exceptional: *mut libc::fd_set,
            limit: *const libc::timespec,
            mask: *const libc::sigset_t,
        ) -> libc::c_int;
    }
    // SAFETY: the caller vouches for the sets and the limit; a null mask means none.
    match unsafe { call(count, readable, writable, exceptional, limit, ptr::null()) } {
        -1 => Err(io::Error::last_os_error()),
        ready => Ok(ready),
    }
}

/// A duration in the milliseconds of poll(2) and epoll_wait(2): rounded up, so that a wait never ends before its time
/// (truncating 0.9 ms to 0 would spin), zero kept zero, and what is longer than `i32` counts (24.8 days) cut to that.
#[cfg(any(has_epoll, not(has_ppoll), test))]
pub(crate) fn to_millis(duration: Duration) -> i32 {
    let up = duration.saturating_add(Duration::from_nanos(999_999));
    i32::try_from(up.as_millis()).unwrap_or(i32::MAX)
}

/// A duration in milliseconds if they say it exactly, as they do of most timeouts, zero among them.
#[inline]
#[allow(clippy::cast_possible_wrap)] // at most 999
pub(crate) fn whole_millis(duration: Duration) -> Option<i32> {
    let (seconds, nanos) = (i32::try_from(duration.as_secs()).ok()?, duration.subsec_nanos());
    if nanos % 1_000_000 != 0 {
        return None;
    }
    seconds.checked_mul(1000)?.checked_add((nanos / 1_000_000) as i32)
}

/// What every kernel takes: older BSDs refuse a longer wait (`EINVAL`; more than three years).
const LONGEST: libc::time_t = 100_000_000;

/// A duration as the kernel takes it; what lies beyond the kernel's range becomes its longest wait.
pub(super) fn timespec(duration: Duration) -> libc::timespec {
    match libc::time_t::try_from(duration.as_secs()) {
        Ok(seconds) if seconds < LONGEST => {
            libc::timespec { tv_sec: seconds, tv_nsec: duration.subsec_nanos() as libc::c_long }
        }
        _ => libc::timespec { tv_sec: LONGEST, tv_nsec: 0 },
    }
}

/// Starts a thread (pthread_create(3)).
pub(crate) fn spawn_thread<R: Send + 'static>(
    name: String,
    run: impl FnOnce() -> R + Send + 'static,
) -> io::Result<std::thread::JoinHandle<R>> {
    std::thread::Builder::new().name(name).spawn(run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Truncated to zero, a timeout spins; one millisecond too many is the over-correction. (Property: the smallest
        /// whole number of milliseconds that is not shorter.)
        #[test]
        fn rounds_up_and_only_what_must_be(seconds in 0u64..4_000_000, nanos in 0u32..1_000_000_000) {
            let timeout = Duration::new(seconds, nanos);
            let millis = to_millis(timeout);
            if timeout <= Duration::from_millis(i32::MAX as u64) {
                prop_assert!(Duration::from_millis(millis as u64) >= timeout);
                prop_assert!(millis == 0 || Duration::from_millis(millis as u64 - 1) < timeout);
            } else {
                prop_assert_eq!(millis, i32::MAX);
            }
        }

        /// Whole milliseconds are those that rounding leaves alone, as far as they can be counted.
        #[test]
        fn what_milliseconds_say_exactly_is_not_rounded(seconds in 0u64..4_000_000, nanos in 0u32..1_000_000_000) {
            let timeout = Duration::new(seconds, nanos);
            let rounded = Duration::from_millis(to_millis(timeout) as u64);
            prop_assert_eq!(whole_millis(timeout), (rounded == timeout).then_some(to_millis(timeout)));
            prop_assert_eq!(whole_millis(rounded), Some(to_millis(timeout)));
        }
    }

    #[test]
    fn zero_stays_zero_and_the_longest_is_clamped() {
        assert_eq!(to_millis(Duration::ZERO), 0);
        assert_eq!(to_millis(Duration::from_nanos(1)), 1);
        assert_eq!(to_millis(Duration::MAX), i32::MAX);
        assert_eq!(whole_millis(Duration::MAX), None);
    }
}
