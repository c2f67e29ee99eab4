//! What stands between the loop and the kernel while a scenario runs: it notes every call, decides which fails, keeps the
//! time, and knows what the loop has open.
//!
//! There is one per process, because there is one kernel; a process runs one scenario at a time. Calls of other threads, and
//! of this one while it is not [`armed`], pass by unseen: the clients of a scenario, the standard library's own business and
//! the harness itself are never disturbed.
//!
//! # Time
//! It stands still until a wait would sleep, and then jumps to the wait's end or to the next timer, whichever is earlier. (Each
//! reading adds a microsecond, so that whoever waits for the clock to move is not kept for ever.) A descriptor that is a clock
//! (timerfd) is really an eventfd which is written to when its time has come. So an idle limit of a minute costs nothing, a
//! run takes the same turns on a busy machine as on an idle one, and a hang is a number of turns.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::calls::Call;
use crate::outcomes::{Outcome, Row, Then, rows};
use crate::ring::Ring;
use crate::traced;

// How long a wait was to take at most, as an entry's detail.
pub const AT_ONCE: i64 = 0;
pub const FINITE: i64 = 1;
pub const FOR_EVER: i64 = 2;

/// A call that was made.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub call: Call,
    /// The descriptor it was about; -1 if it was about none.
    pub fd: RawFd,
    /// What else tells it from others: a length, an option, the operation of epoll_ctl, how long a wait.
    pub detail: i64,
    /// Whether that descriptor is a connection.
    pub is_connection: bool,
    /// Whether it is allowed to block.
    pub may_block: bool,
    /// What it returned, or the negative errno; [`UNFINISHED`] while it is being made.
    pub result: i64,
}

/// The result of a call in the middle of which others are made: a wait.
pub const UNFINISHED: i64 = i64::MIN;

/// Which connection a descriptor is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// The n-th that was accepted.
    Accepted(usize),
    /// The n-th that the loop made or adopted itself.
    Own(usize),
}

/// A fault to be injected.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The number of the call at which it begins,
    pub at: usize,
    /// which must then be this one,
    pub row: &'static Row,
    pub call: Call,
    /// after these calls, or the run proves nothing.
    pub prefix: Arc<[Entry]>,
    /// From then on, wherever the same function is called; else once.
    pub lasting: bool,
}

/// A call that a fault has hit.
#[derive(Copy, Clone, Debug)]
pub struct Hit {
    pub call: Call,
    pub label: Option<Label>,
    pub then: Then,
    pub outcome: Outcome,
}

impl Hit {
    /// The number that the loop was told.
    pub fn errno(&self) -> Option<i32> {
        match self.outcome {
            Outcome::Fails(errno)
            | Outcome::NotYet(errno)
            | Outcome::MadeBut(errno)
            | Outcome::Pending(errno) => Some(errno),
            _ => None,
        }
    }
}

/// What happens in the middle of a wait.
pub type Interlude = Box<dyn FnOnce() -> Interrupted + Send>;

/// Whether it was a signal, which ends the wait.
pub type Interrupted = bool;

#[derive(Default)]
pub struct Kernel {
    faults: Vec<Fault>,
    /// Faults are over.
    lifted: bool,
    pub log: Vec<Entry>,
    pub hits: Vec<Hit>,
    /// A fault's prefix was not what it should have been.
    pub rejected: Option<String>,
    /// Functions that this kernel does not know (`ENOSYS`).
    lacks: &'static [Call],

    /// Nanoseconds.
    now: u64,
    /// The clocks, and when each rings.
    clocks: BTreeMap<RawFd, Option<u64>>,

    /// What the loop opened, or was given, and has not closed.
    pub open: BTreeMap<RawFd, Call>,
    pub labels: BTreeMap<RawFd, Label>,
    pub accepted: usize,
    /// Whom the next socket is for.
    pub next_label: Option<Label>,
    /// How many descriptors the loop may have.
    pub most_open: Option<usize>,
    /// (epoll, descriptor), and what it was registered with.
    pub registered: BTreeMap<(RawFd, RawFd), libc::epoll_event>,
    pub rings: BTreeMap<RawFd, Ring>,
    /// What the last wait without an end watched, where the whole set crosses on every wait.
    pub watched: BTreeSet<RawFd>,
    /// Whether a blocking call is one that is meant to block: then it takes as long as its socket's timeout.
    pub may_block: bool,
    /// Those timeouts.
    pub patience: BTreeMap<RawFd, Duration>,
    /// Whether sockets get small buffers.
    pub small_buffers: bool,

    pub during_wait: Option<Interlude>,
    /// A wait had nothing to wait for but other people.
    pub asleep: bool,
    /// Calls since the turn began.
    calls_in_turn: usize,
    /// The loop is being dropped: what it closes need not be deregistered.
    pub dropping: bool,
    /// What no outcome excuses.
    pub violations: Vec<String>,
}

/// Calls in one turn. More are a hang that no number of turns would show.
const ENDLESS: usize = 20_000;

/// Where there are no turns, a lasting fault lasts for so many calls.
const UNDER_FAULT_WITHOUT_TURNS: usize = 500;

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

static KERNEL: Mutex<Option<Kernel>> = Mutex::new(None);

/// Whether this thread's calls are seen now.
pub fn is_armed() -> bool {
    ARMED.get()
}

/// Puts back what was before.
struct PutBack(bool);

impl Drop for PutBack {
    fn drop(&mut self) {
        ARMED.set(self.0);
    }
}

/// Runs a part of the loop: its calls are seen, and may fail.
pub fn armed<R>(run: impl FnOnce() -> R) -> R {
    traced::mark(true);
    let put_back = PutBack(ARMED.replace(true));
    let result = run();
    drop(put_back);
    traced::mark(false);
    result
}

/// Runs something whose calls are not the loop's.
pub fn unseen<R>(run: impl FnOnce() -> R) -> R {
    let _put_back = PutBack(ARMED.replace(false));
    run()
}

/// Looks at the one kernel, or changes it.
pub fn with<R>(look: impl FnOnce(&mut Kernel) -> R) -> R {
    unseen(|| look(lock().get_or_insert_with(Kernel::default)))
}

fn lock() -> MutexGuard<'static, Option<Kernel>> {
    KERNEL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was to happen in the middle of a wait happens; whether it was a signal.
pub fn interlude() -> Interrupted {
    with(|kernel| kernel.during_wait.take()).is_some_and(|interlude| interlude())
}

/// Begins a run.
pub fn begin(faults: Vec<Fault>, lacks: &'static [Call]) {
    with(|kernel| *kernel = Kernel { faults, lacks, now: 1_000_000_000_000_000, ..Kernel::default() });
}

impl Kernel {
    // ------------------------------------------------------------------------------------------------------ calls

    /// Notes a call that is about to be made, and says what becomes of it.
    pub fn enter(&mut self, call: Call, fd: RawFd, detail: i64) -> (usize, Option<Outcome>) {
        let is_connection = self.labels.contains_key(&fd);
        let (index, may_block) = (self.log.len(), self.may_block);
        let entry = Entry { call, fd, detail, is_connection, may_block, result: UNFINISHED };
        self.log.push(entry);
        self.calls_in_turn += 1;
        if self.calls_in_turn == ENDLESS {
            self.violations.push(format!("one turn made {ENDLESS} calls, the last of them {}", call.name()));
            self.lift();
        }
        if self.may_block && self.calls_in_turn == UNDER_FAULT_WITHOUT_TURNS {
            self.lift();
        }
        if self.calls_in_turn == 2 * ENDLESS {
            eprintln!("a turn does not end, even without faults");
            std::process::abort();
        }
        if self.lacks.contains(&call) {
            return (index, Some(Outcome::Fails(libc::ENOSYS)));
        }
        let outcome = self.outcome_of(index, &entry).or_else(|| {
            let full = self.most_open.is_some_and(|most| self.open.len() + call.opens() > most);
            (full && call.opens() > 0).then_some(Outcome::Fails(libc::EMFILE))
        });
        (index, outcome)
    }

    fn outcome_of(&mut self, index: usize, entry: &Entry) -> Option<Outcome> {
        let fault = self.faults.iter().find(|fault| {
            let lasts = fault.lasting && !self.lifted && index > fault.at;
            index == fault.at || (lasts && entry.call == fault.call && (fault.row.applies)(entry))
        })?;
        if index == fault.at {
            let mut both = fault.prefix.iter().zip(&self.log);
            if !both.all(|(one, other)| is_same(one, other)) {
                self.rejected = Some(difference(&fault.prefix, &self.log));
            }
        }
        let Row { outcome, then, .. } = *fault.row;
        let label = match entry.call {
            Call::socket => self.next_label,
            _ => self.labels.get(&entry.fd).copied(),
        };
        self.hits.push(Hit { call: entry.call, label, then, outcome });
        Some(outcome)
    }

    /// A wait is about to look at these: whatever was closed does not belong among them.
    pub fn waits_for(&mut self, watched: Vec<RawFd>, for_ever: bool) {
        for fd in watched.iter().filter(|fd| !self.open.contains_key(fd)) {
            self.violations.push(format!("descriptor {fd} is waited for, and closed"));
        }
        if for_ever {
            self.watched = watched.into_iter().collect();
        }
    }

    /// Notes what a call returned.
    pub fn leave(&mut self, index: usize, result: i64, errno: i32) {
        let result = if result < 0 { -i64::from(errno) } else { result };
        self.log[index].result = result;
        let call = self.log[index].call;
        if result < 0 {
            return;
        }
        let new = RawFd::try_from(result).unwrap_or(-1);
        match call {
            Call::accept4 => {
                self.opened(new, call, Some(Label::Accepted(self.accepted)));
                self.accepted += 1;
            }
            Call::socket => {
                let label = self.next_label.take();
                self.opened(new, call, label);
            }
            Call::timerfd_create => {
                self.opened(new, call, None);
                self.clocks.insert(new, None);
            }
            Call::epoll_create1 | Call::eventfd | Call::io_uring_setup | Call::open => {
                self.opened(new, call, None)
            }
            _ => {}
        }
    }

    /// Something new that is the loop's.
    pub fn opened(&mut self, fd: RawFd, by: Call, label: Option<Label>) {
        self.open.insert(fd, by);
        if let Some(label) = label {
            self.labels.insert(fd, label);
            if self.small_buffers {
                shrink_buffer(fd);
            }
        }
    }

    /// A descriptor is closed, whatever close(2) said: no set may still have it, and it must have been open.
    pub fn closed(&mut self, fd: RawFd) {
        let was = self.open.remove(&fd);
        self.labels.remove(&fd);
        self.clocks.remove(&fd);
        if let Some(ring) = self.rings.remove(&fd) {
            self.clocks.remove(&ring.clock());
            // SAFETY: it is ours, and nobody's any more.
            traced::hidden(|| unsafe { libc::close(ring.clock()) });
        }
        self.registered.retain(|&(epoll, _), _| epoll != fd);
        let left_over = self.registered.keys().any(|&(_, watched)| watched == fd);
        self.registered.retain(|&(_, watched), _| watched != fd);
        let refused = self.hits.iter().any(|hit| hit.call == Call::epoll_ctl);
        match was {
            None => {
                self.violations.push(format!("descriptor {fd} was closed, and is not the loop's to close"))
            }
            Some(Call::accept4 | Call::socket | Call::socketpair)
                if left_over && !self.dropping && !refused =>
            {
                self.violations.push(format!("descriptor {fd} was closed before it was deregistered"));
            }
            _ => {}
        }
    }

    /// Whether it is a socket, of which a wait may say what is not so (select(2), BUGS); of counters and clocks it may not.
    pub fn is_socket(&self, fd: RawFd) -> bool {
        matches!(self.open.get(&fd), Some(Call::accept4 | Call::socket | Call::socketpair))
    }

    /// The registrations that lose an edge when a call on `fd` is answered too early or in part.
    pub fn edges_of(&self, fd: RawFd) -> Vec<(RawFd, libc::epoll_event)> {
        const ONLY_EDGE: u32 = (libc::EPOLLET | libc::EPOLLONESHOT) as u32;
        let is_edge = |event: &libc::epoll_event| event.events & ONLY_EDGE == libc::EPOLLET as u32;
        let of_fd = self.registered.iter().filter(|&(&(_, watched), event)| watched == fd && is_edge(event));
        of_fd.map(|(&(epoll, _), event)| (epoll, *event)).collect()
    }

    /// What was registered for one event with these keys is silent now.
    pub fn spend(&mut self, epoll: RawFd, keys: &[u64]) {
        const ONCE: u32 = libc::EPOLLONESHOT as u32;
        let of_epoll = self.registered.iter_mut().filter(|((of, _), _)| *of == epoll);
        for (_, event) in
            of_epoll.filter(|(_, event)| event.events & ONCE != 0 && keys.contains(&{ event.u64 }))
        {
            event.events = ONCE;
        }
    }

    /// From here on everything works.
    pub fn lift(&mut self) {
        self.lifted = true;
    }

    /// A turn begins.
    pub fn begin_turn(&mut self) {
        self.calls_in_turn = 0;
    }

    // ------------------------------------------------------------------------------------------------------- time

    /// What the clock says.
    pub fn read_clock(&mut self) -> libc::timespec {
        self.pass(Duration::from_micros(1));
        let (seconds, nanoseconds) = (self.now / 1_000_000_000, self.now % 1_000_000_000);
        libc::timespec { tv_sec: seconds as libc::time_t, tv_nsec: nanoseconds as libc::c_long }
    }

    /// Time goes by, and clocks ring.
    pub fn pass(&mut self, time: Duration) {
        self.now = self.now.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4));
        for (&fd, rings) in &mut self.clocks {
            if rings.is_some_and(|at| at <= self.now) {
                *rings = None;
                write_counter(fd);
            }
        }
    }

    /// Sets a clock; `None` stops it. What it rang before is forgotten.
    pub fn set_clock(&mut self, fd: RawFd, after: Option<Duration>) {
        let rings = after
            .map(|after| self.now.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX / 4)));
        self.clocks.insert(fd, rings);
        empty_counter(fd);
    }

    /// Time goes by until `timeout` is over or a clock rings; `false` if neither will ever be.
    pub fn sleep(&mut self, timeout: Option<Duration>) -> bool {
        let next =
            self.clocks.values().flatten().min().map(|at| Duration::from_nanos(at.saturating_sub(self.now)));
        match timeout.into_iter().chain(next).min() {
            Some(time) => self.pass(time),
            None => self.asleep = true,
        }
        !self.asleep
    }
}

/// Whether it is the same call with the same result, as far as that is known.
fn is_same(one: &Entry, other: &Entry) -> bool {
    *one == Entry { result: one.result, ..*other }
        && (other.result == UNFINISHED || one.result == other.result)
}

/// Where two runs part.
pub fn difference(expected: &[Entry], seen: &[Entry]) -> String {
    let at = expected.iter().zip(seen).take_while(|(one, other)| is_same(one, other)).count();
    let show = |log: &[Entry]| log.get(at).map_or("the end".to_owned(), ToString::to_string);
    format!("call {at}: {} in place of {}", show(seen), show(expected))
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Entry { call, fd, detail, result, .. } = self;
        match *result {
            UNFINISHED => write!(f, "{}({fd}, {detail}) = …", call.name()),
            result => write!(f, "{}({fd}, {detail}) = {result}", call.name()),
        }
    }
}

/// The rows of a call that can happen at this place.
pub fn rows_at(entry: Entry) -> impl Iterator<Item = &'static Row> {
    rows(entry.call).iter().filter(move |row| (row.applies)(&entry))
}

/// So that a few kilobytes fill it.
fn shrink_buffer(fd: RawFd) {
    let size: libc::c_int = 4096;
    let (value, length) = ((&raw const size).cast(), size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: `size` is readable for its length.
    traced::hidden(|| unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, value, length) });
}

fn write_counter(fd: RawFd) {
    let one = 1u64.to_ne_bytes();
    // SAFETY: `one` is eight readable bytes.
    unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) };
}

/// Sets a counter (eventfd(2)) to zero.
pub fn empty_counter(fd: RawFd) {
    let mut count = [0u8; 8];
    // SAFETY: `count` is eight writable bytes.
    unsafe { libc::read(fd, count.as_mut_ptr().cast(), count.len()) };
}
