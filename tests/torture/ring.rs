//! io_uring(7) as the interposer sees it.
//!
//! A ring is two queues in memory, so most of what the loop asks of the kernel is no call at all: it is an entry in a queue,
//! read when the kernel is entered. So the queue is read here first. Each entry is noted like a call, under its own name, and
//! has outcomes like one: an operation that is to fail is replaced by one that does nothing but complete with an error
//! (`IORING_OP_NOP` that injects its result, Linux 6.10). Every completion of the loop passes through this one place.
//!
//! A poll that goes on tells of wake-ups. To have it tell what no wake-up has caused (spurious readiness; news of what an early
//! answer held back) a NOP is queued under its key, and told as if it were the poll's.
//!
//! A timeout in a ring would run by the kernel's clock, and not by ours. It is replaced by a poll of a counter that is written
//! to when the time has come, and its completion is told as the one it should have been.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_long, c_void};
use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, ptr};

use crate::calls::Call;
use crate::kernel::{self, AT_ONCE, FINITE, FOR_EVER};
use crate::outcomes::Outcome;
use crate::traced;

/// Where mmap(2) is told which part of a ring it is to map.
const SUBMISSIONS: i64 = 0;
const COMPLETIONS: i64 = 0x800_0000;
const ENTRIES: i64 = 0x1000_0000;

/// What io_uring_setup(2) writes about the layout, as far as it is of use.
#[repr(C)]
#[derive(Copy, Clone, Debug, Default)]
pub struct Parameters {
    counts: [u32; 10],
    submissions: Offsets,
    completions: Offsets,
}

/// In the order of the kernel's `io_sqring_offsets` and `io_cqring_offsets`: the two differ in the last but three.
#[repr(C)]
#[derive(Copy, Clone, Debug, Default)]
struct Offsets {
    head: u32,
    tail: u32,
    mask: u32,
    entries: u32,
    flags_or_overflow: u32,
    dropped_or_entries: u32,
    array: u32,
    reserved: u32,
    address: u64,
}

/// The kernel's `io_uring_sqe`, named for the operations that are used.
#[repr(C)]
struct Submission {
    operation: u8,
    flags: u8,
    priority: u16,
    fd: i32,
    offset: u64,
    address: u64,
    length: u32,
    operation_flags: u32,
    key: u64,
    rest: [u64; 3],
}

/// The kernel's `io_uring_cqe`.
#[repr(C)]
struct Completion {
    key: u64,
    result: i32,
    flags: u32,
}

const NOP: u8 = 0;
const POLL_ADD: u8 = 6;
const TIMEOUT: u8 = 11;
const ASYNC_CANCEL: u8 = 14;
/// Of a NOP: complete with the entry's length.
const INJECT_RESULT: u32 = 1;
/// Of a poll: go on after it told.
const MULTISHOT: u32 = 1;
/// Of a completion: the operation goes on.
const MORE: u32 = 1 << 1;
/// Of io_uring_enter(2).
const GETEVENTS: c_long = 1;

/// A ring that the loop has made.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    parameters: Parameters,
    /// Where its parts are mapped, by mmap's offset.
    parts: BTreeMap<i64, usize>,
    /// What stands in for its timeouts.
    clock: RawFd,
    /// Their keys.
    timeouts: Vec<u64>,
    /// The polls in the kernel that go on, by key: the descriptor, and what it is polled for.
    polls: BTreeMap<u64, (RawFd, u32)>,
    /// Keys of polls in whose name something is told.
    borrowed: Vec<u64>,
    /// Descriptors of which there is news to be told.
    owed: Vec<RawFd>,
    /// How much of the submissions was noted, and of the completions looked at.
    noted: u32,
    seen: u32,
}

impl Ring {
    pub fn new(parameters: Parameters) -> Ring {
        // SAFETY: takes no pointers. A high number, so that the loop's are those it would have without us.
        let clock = traced::hidden(|| unsafe {
            let low = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
            let high = libc::fcntl(low, libc::F_DUPFD_CLOEXEC, 900);
            libc::close(low);
            high
        });
        Ring { parameters, clock, ..Ring::default() }
    }

    pub fn mapped(&mut self, part: i64, address: usize) {
        self.parts.insert(part, address);
    }

    /// What is to be closed with it.
    pub fn clock(&self) -> RawFd {
        self.clock
    }

    fn at<T>(&self, part: i64, offset: u32) -> *mut T {
        let start = self.parts.get(&part).or_else(|| self.parts.get(&SUBMISSIONS)).copied().unwrap_or(0);
        (start + offset as usize) as *mut T
    }

    /// A number that both sides read and write.
    fn number(&self, part: i64, offset: u32) -> u32 {
        // SAFETY: the loop keeps the ring mapped for as long as it uses it, and the kernel said where the number is.
        unsafe { AtomicU32::from_ptr(self.at(part, offset)) }.load(Ordering::Acquire)
    }

    /// What the loop has queued since this was asked the last time.
    fn queued(&mut self) -> Vec<*mut Submission> {
        let Offsets { tail, mask, array, .. } = self.parameters.submissions;
        let [tail, mask] = [tail, mask].map(|offset| self.number(SUBMISSIONS, offset));
        let mut queued = Vec::new();
        while self.noted != tail {
            let place = array + (self.noted & mask) * size_of::<u32>() as u32;
            let entry = self.number(SUBMISSIONS, place) * size_of::<Submission>() as u32;
            queued.push(self.at::<Submission>(ENTRIES, entry));
            self.noted = self.noted.wrapping_add(1);
        }
        queued
    }

    /// Queues what is to be told in the name of polls; how many entries that is.
    fn queue_news(&mut self, outcome: Option<Outcome>) -> u32 {
        let owed = std::mem::take(&mut self.owed);
        let mut news: Vec<(u64, u32)> = Vec::new();
        for (&key, &(fd, events)) in &self.polls {
            let pretended = match outcome {
                Some(Outcome::AllReadable) => libc::EPOLLIN as u32 & events,
                Some(Outcome::AllWritable) => libc::EPOLLOUT as u32 & events,
                _ => 0,
            };
            let flags = if owed.contains(&fd) { pretended | look_at(fd, events) } else { pretended };
            if flags != 0 {
                news.push((key, flags));
            }
        }
        news.iter().filter(|(key, flags)| self.queue_nop(*key, *flags)).count() as u32
    }

    /// Queues an operation that does nothing but complete, with this key and result. `false` if there is no room.
    fn queue_nop(&mut self, key: u64, result: u32) -> bool {
        let Offsets { head, tail, mask, entries, array, .. } = self.parameters.submissions;
        let [filled, emptied, mask, room] =
            [tail, head, mask, entries].map(|offset| self.number(SUBMISSIONS, offset));
        if filled.wrapping_sub(emptied) == room || !can_inject() {
            return false;
        }
        let place = filled & mask;
        let nop = Submission {
            operation: NOP,
            flags: 0,
            priority: 0,
            fd: -1,
            offset: 0,
            address: 0,
            length: result,
            operation_flags: INJECT_RESULT,
            key,
            rest: [0; 3],
        };
        // SAFETY: the place is free, and the loop, which would be the next to fill it, waits for us.
        unsafe {
            self.at::<Submission>(ENTRIES, place * size_of::<Submission>() as u32).write(nop);
            self.at::<u32>(SUBMISSIONS, array + place * size_of::<u32>() as u32).write(place);
            AtomicU32::from_ptr(self.at(SUBMISSIONS, tail)).store(filled.wrapping_add(1), Ordering::Release);
        }
        self.noted = self.noted.wrapping_add(1);
        self.borrowed.push(key);
        true
    }

    /// How many completions wait to be taken.
    fn waiting(&self) -> u32 {
        let Offsets { head, tail, .. } = self.parameters.completions;
        self.number(COMPLETIONS, tail).wrapping_sub(self.number(COMPLETIONS, head))
    }

    /// Tells the completions of our own operations as what they stand for, and takes note of polls that have ended.
    fn look_through(&mut self) {
        let Offsets { tail, mask, dropped_or_entries: entries, .. } = self.parameters.completions;
        let [tail, mask] = [tail, mask].map(|offset| self.number(COMPLETIONS, offset));
        while self.seen != tail {
            let place = entries + (self.seen & mask) * size_of::<Completion>() as u32;
            // SAFETY: the kernel has written it, and the loop, which waits for us, has not taken it yet.
            let completion = unsafe { &mut *self.at::<Completion>(COMPLETIONS, place) };
            self.seen = self.seen.wrapping_add(1);
            let place_of = |keys: &[u64]| keys.iter().position(|key| *key == completion.key);
            if let Some(at) = place_of(&self.timeouts) {
                self.timeouts.remove(at);
                if completion.result > 0 {
                    completion.result = -libc::ETIME;
                }
            } else if let (Some(at), 0) = (place_of(&self.borrowed), completion.flags) {
                self.borrowed.remove(at);
                completion.flags |= MORE;
            } else if completion.flags & MORE == 0 {
                self.polls.remove(&completion.key);
            }
        }
    }
}

/// Whether this kernel's NOP can be told its result.
pub fn can_inject() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
        (numbers.next(), numbers.next()) >= (Some(6), Some(10))
    })
}

/// Notes what is queued, operation by operation, and changes what is to fail.
fn note_operations(ring: RawFd) {
    let queued = kernel::with(|kernel| kernel.rings.get_mut(&ring).map_or(Vec::new(), Ring::queued));
    for submission in queued {
        // SAFETY: the loop has filled it in and waits for us; the kernel has not seen it yet.
        let submission = unsafe { &mut *submission };
        let (call, fd, detail) = match submission.operation {
            POLL_ADD => (Call::IORING_OP_POLL_ADD, submission.fd, submission.length),
            TIMEOUT => (Call::IORING_OP_TIMEOUT, -1, 0),
            ASYNC_CANCEL => (Call::IORING_OP_ASYNC_CANCEL, -1, 0),
            unknown => {
                kernel::with(|kernel| {
                    kernel.violations.push(format!("operation {unknown} is one that nobody has thought of"));
                });
                continue;
            }
        };
        let (index, outcome) = kernel::with(|kernel| kernel.enter(call, fd, i64::from(detail)));
        if call == Call::IORING_OP_TIMEOUT {
            replace_timeout(ring, submission);
        }
        match outcome {
            Some(Outcome::Fails(errno)) => {
                (submission.operation, submission.operation_flags) = (NOP, INJECT_RESULT);
                (submission.fd, submission.length) = (-1, errno.wrapping_neg() as u32);
                (submission.offset, submission.address) = (0, 0);
            }
            Some(Outcome::EndsEarly) => submission.length &= !MULTISHOT,
            _ => {}
        }
        kernel::with(|kernel| {
            kernel.leave(index, 0, 0);
            let goes_on = submission.operation == POLL_ADD && submission.length & MULTISHOT != 0;
            if let (Some(ring), true) = (kernel.rings.get_mut(&ring), goes_on) {
                ring.polls.insert(submission.key, (submission.fd, submission.operation_flags));
            }
        });
    }
}

/// Makes a poll of our own clock of a timeout.
fn replace_timeout(ring: RawFd, submission: &mut Submission) {
    // SAFETY: the loop keeps the time there until the kernel has taken the entry: two words, seconds and nanoseconds.
    let [seconds, nanoseconds] = unsafe { ptr::read(submission.address as *const [i64; 2]) };
    let after = Duration::new(seconds.unsigned_abs(), u32::try_from(nanoseconds).unwrap_or(0));
    kernel::with(|kernel| {
        let Some(ring) = kernel.rings.get_mut(&ring) else { return };
        ring.timeouts.push(submission.key);
        let clock = ring.clock;
        kernel.set_clock(clock, Some(after));
        (submission.operation, submission.fd) = (POLL_ADD, clock);
        (submission.offset, submission.address, submission.length) = (0, 0, 0);
        submission.operation_flags = libc::POLLIN as u32;
    });
}

/// A call on this descriptor was answered too early, or in part: the rest is told with the next wait.
pub fn owe(fd: RawFd) {
    kernel::with(|kernel| kernel.rings.values_mut().for_each(|ring| ring.owed.push(fd)));
}

/// What is so, now, of what is asked.
fn look_at(fd: RawFd, events: u32) -> u32 {
    let mut entry = libc::pollfd { fd, events: events as i16, revents: 0 }; // all of poll(2)'s flags fit
    // SAFETY: one entry, a local.
    unsafe { libc::poll(&raw mut entry, 1, 0) };
    u32::from(entry.revents as u16)
}

/// io_uring_enter(2), which submits, lets the kernel do its share, and waits.
pub fn enter(
    ring: RawFd,
    to_submit: c_long,
    wanted: c_long,
    flags: c_long,
    timeout: Option<Duration>,
) -> c_long {
    let detail = match timeout {
        _ if wanted == 0 => AT_ONCE,
        None => FOR_EVER,
        Some(_) => FINITE,
    };
    // Before the call itself, so that it is the operations' turn first.
    note_operations(ring);
    let detail = if to_submit > 0 { detail + SUBMITS } else { detail };
    crate::interposed::intercept(Call::io_uring_enter, ring, detail, |outcome| {
        if wanted > 0 && kernel::interlude() {
            return crate::interposed::fail(libc::EINTR);
        }
        let most = if outcome == Some(Outcome::OneOfThem) { to_submit.min(1) } else { to_submit };
        let flags = if outcome == Some(Outcome::Silence) { flags & !GETEVENTS } else { flags };
        let submitted = look(ring, most, flags, outcome);
        if submitted < 0 || wanted == 0 || is_told(ring) || outcome == Some(Outcome::OneOfThem) {
            return submitted;
        }
        if !kernel::with(|kernel| kernel.sleep(timeout)) {
            return answer(submitted, libc::EINTR); // nobody will ever come: say so, instead of hanging
        }
        if outcome != Some(Outcome::Silence) {
            look(ring, 0, flags, None);
        }
        if is_told(ring) { submitted } else { answer(submitted, libc::ETIME) }
    })
}

/// Added to an entry's detail where something is submitted.
pub const SUBMITS: i64 = 10;

/// What was submitted; only if that is nothing, what became of the wait.
fn answer(submitted: c_long, errno: c_int) -> c_long {
    if submitted > 0 { submitted } else { crate::interposed::fail(errno) }
}

fn is_told(ring: RawFd) -> bool {
    kernel::with(|kernel| kernel.rings.get(&ring).is_some_and(|ring| ring.waiting() > 0))
}

/// Enters without waiting.
fn look(ring: RawFd, to_submit: c_long, flags: c_long, outcome: Option<Outcome>) -> c_long {
    /// Of io_uring_enter(2): the argument is an extended one. Without waiting, there is nothing to say in it.
    const EXT_ARG: c_long = 1 << 3;
    let (none, size) = (ptr::null::<c_void>(), 0 as libc::size_t);
    let ours = kernel::with(|kernel| kernel.rings.get_mut(&ring).map_or(0, |ring| ring.queue_news(outcome)));
    // SAFETY: the entries that are submitted are the loop's own, and valid; and ours.
    let submitted = unsafe {
        libc::syscall(
            libc::SYS_io_uring_enter,
            ring,
            to_submit + c_long::from(ours),
            0,
            flags & !EXT_ARG,
            none,
            size,
        )
    };
    let failed = crate::interposed::errno();
    kernel::with(|kernel| {
        if let Some(ring) = kernel.rings.get_mut(&ring) {
            ring.look_through();
        }
    });
    crate::interposed::set_errno(failed);
    submitted.min(to_submit)
}

/// What a ring's user has said of how long to wait (`io_uring_getevents_arg`).
///
/// # Safety
/// `argument` is null, or valid.
pub unsafe fn limit(argument: c_long) -> Option<Duration> {
    /// Signal mask, its size, minimal wait, and a pointer to the time.
    #[repr(C)]
    struct Argument {
        mask: u64,
        size: u32,
        minimum: u32,
        time: u64,
    }
    // SAFETY: as promised.
    let argument = unsafe { (argument as *const Argument).as_ref() }?;
    // SAFETY: the time is null or valid, and is read before the call returns.
    let time = unsafe { (argument.time as *const [i64; 2]).as_ref() }?;
    Some(Duration::new(time[0].unsigned_abs(), u32::try_from(time[1]).unwrap_or(0)))
}
