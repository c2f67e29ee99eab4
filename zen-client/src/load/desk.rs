//! What all callers of a load share: the plan, the counts, and who is to be connected next.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::mem;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::failure::Kind;
use super::plan::Plan;
use super::tally::Tally;

/// One of the callers while it has no connection: what it still has to do.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Requests still to be begun; without a count, more than anybody can make.
    pub(super) left: u64,
    /// When it first tried to get the connection it is waiting for; `None`: not yet.
    pub(super) since: Option<Instant>,
}

/// When a caller is to be connected.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// As soon as the turn is over,
    Now,
    /// or after a short rest, because the server would not have it now.
    Rested,
}

/// See the module. It does no I/O: callers that want a connection are put on a list, which whoever runs the loop takes.
pub struct Desk {
    plan: Plan,
    tally: RefCell<Tally>,
    clock: Box<dyn Fn() -> Instant>,
    waiting: RefCell<Vec<(Slot, When)>>,
    /// Callers that are not through.
    callers: Cell<u32>,
    /// Whether no request is to be begun any more.
    closing: Cell<bool>,
    /// Whether that is because it is of no use.
    gave_up: Cell<bool>,
    /// The number of the next request.
    number: Cell<u64>,
    /// When a connection last came about.
    last_connected: Cell<Instant>,
}

impl Desk {
    /// A desk with all callers of the plan on the list. Latencies are measured with `clock`.
    #[must_use]
    pub fn new(plan: Plan, clock: impl Fn() -> Instant + 'static) -> Rc<Desk> {
        let slot = Slot { left: plan.each.unwrap_or(u64::MAX), since: None };
        Rc::new(Desk {
            tally: RefCell::default(),
            waiting: RefCell::new(vec![(slot, When::Now); plan.at_once as usize]),
            callers: Cell::new(plan.at_once),
            closing: Cell::new(false),
            gave_up: Cell::new(false),
            number: Cell::new(0),
            last_connected: Cell::new(clock()),
            clock: Box::new(clock),
            plan,
        })
    }

    /// What is to be done.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The time by which latencies are measured.
    pub(super) fn now(&self) -> Instant {
        (self.clock)()
    }

    /// Looks at the counts.
    pub fn read<R>(&self, look: impl FnOnce(&Tally) -> R) -> R {
        look(&self.tally.borrow())
    }

    pub(super) fn count(&self, note: impl FnOnce(&mut Tally)) {
        note(&mut self.tally.borrow_mut());
    }

    /// The counts, for good.
    #[must_use]
    pub fn take_tally(&self) -> Tally {
        self.tally.take()
    }

    /// Takes up to `most` callers that want a connection, those who wait longest first.
    #[must_use]
    pub fn take_waiting(&self, most: usize) -> Vec<(Slot, When)> {
        let mut waiting = self.waiting.borrow_mut();
        let most = most.min(waiting.len());
        let later = waiting.split_off(most);
        mem::replace(&mut waiting, later)
    }

    /// Whether anybody wants a connection.
    #[must_use]
    pub fn is_somebody_waiting(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Whether some caller is not through yet.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.callers.get() > 0
    }

    /// From now on no request is begun; those under way may finish.
    pub fn close(&self) {
        self.closing.set(true);
    }

    /// Whether [`close`](Desk::close) was called, or the load gave up.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Whether the load ended early because nobody was answered, or could be connected.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        self.gave_up.get()
    }

    /// Begins one more request; its number.
    pub(super) fn begin(&self) -> u64 {
        self.count(|tally| tally.made += 1);
        self.number.replace(self.number.get() + 1)
    }

    /// A connection stands that was first tried to get at `since`.
    pub(super) fn connected(&self, since: Instant) {
        let now = self.now();
        self.last_connected.set(now);
        self.count(|tally| {
            tally.connected += 1;
            tally.connect.note(now.saturating_duration_since(since));
        });
    }

    /// An attempt to connect failed: a full backlog is waited for, everything else costs the caller a request.
    pub fn not_connected(&self, mut slot: Slot, kind: Kind, error: &io::Error) {
        let since = slot.since.unwrap_or_else(|| self.now());
        let waited = self.now().saturating_duration_since(since);
        // connect(2), EAGAIN: for Unix sockets the backlog is full. (TCP knocks again by itself.)
        if error.kind() == io::ErrorKind::WouldBlock && waited < self.plan.timeout && !self.is_closing() {
            return self.queue(Slot { since: Some(since), ..slot }, When::Rested);
        }
        let kind = if error.kind() == io::ErrorKind::WouldBlock { Kind::TimedOut } else { kind };
        self.count(|tally| {
            tally.attempts += 1;
            tally.made += 1;
        });
        self.failed(kind, 1, || error.to_string());
        if self.now().saturating_duration_since(self.last_connected.get()) >= self.plan.timeout {
            self.give_up();
        }
        slot.left -= 1;
        self.go_on(Slot { since: None, ..slot }, When::Rested);
    }

    /// Requests failed. If nobody's first one was answered, the others would not be, either.
    pub(super) fn failed(&self, kind: Kind, requests: u64, why: impl FnOnce() -> String) {
        self.count(|tally| tally.fail(kind, requests, why));
        let first = u64::from(self.plan.at_once).saturating_mul(self.plan.pipeline as u64);
        if self.read(|tally| tally.answered == 0 && tally.failures() >= first) {
            self.give_up();
        }
    }

    fn give_up(&self) {
        self.gave_up.set(self.gave_up.get() || !self.is_closing());
        self.close();
    }

    /// A caller lost or ended its connection: it gets another if it has something left to do.
    pub(super) fn go_on(&self, slot: Slot, when: When) {
        if slot.left == 0 || self.is_closing() {
            self.leave();
        } else {
            self.queue(slot, when);
        }
    }

    /// A caller is through.
    pub fn leave(&self) {
        self.callers.set(self.callers.get() - 1);
    }

    fn queue(&self, slot: Slot, when: When) {
        self.waiting.borrow_mut().push((slot, when));
    }

    /// How long to rest before the next attempt to connect.
    pub const REST: Duration = Duration::from_millis(10);
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("plan", &self.plan)
            .field("tally", &self.tally)
            .field("callers", &self.callers)
            .finish_non_exhaustive()
    }
}
