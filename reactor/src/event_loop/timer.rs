//! Timers: a hierarchical timing wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987).
//!
//! Starting and cancelling a timer must cost the same whether ten or a million are running, because most timers of a server
//! never fire: a request's timeout is started, the request arrives, the timeout is cancelled. A heap pays the logarithm of
//! their number for each; a wheel pays a constant.
//!
//! Time is cut into ticks of a millisecond. Level 0 has a slot for each of the 64 ticks around now, level 1 a slot for each
//! block of 64 ticks, level 2 for each 64 × 64, and so on: six levels reach two years. A timer waits in the slot of the
//! *coarsest* unit in which its tick differs from now, as one writes an appointment into the year planner first and into the
//! day's page when its week has come:
//!
//! ```text
//!   now = 2·64² + 7·64 + 5                                    (written in base 64: 2 7 5)
//!
//!   tick  2 7 9   differs in the last digit      level 0, slot 9
//!   tick  2 8 1   differs in the middle digit    level 1, slot 8   moves to level 0, slot 1, at tick 2 8 0
//!   tick  3 0 0   differs in the first digit     level 2, slot 3   moves down at tick 3 0 0
//! ```
//!
//! So a timer moves at most five times in its life, and whatever waits in a lower level is due before anything in a higher
//! one: the next thing to do is the first bit set in the first bitmap that is not empty.
//!
//! # Rules
//! * Never early: a deadline is rounded up to a tick, the present down.
//! * In the order of their ticks; timers of the same tick in the order of their starts (but for delays beyond the wheel's
//!   two years, which go round more than once).
//! * One at a time, so that a callback can still cancel the timer that would have been next.
//! * A timer started while others fire belongs to a later tick than the one that fires. So a timer that restarts itself
//!   without delay cannot keep [`Wheel::pop_due`] busy for ever.
//!
//! There is no I/O and no clock in here: every instant is a parameter.

use std::time::{Duration, Instant};

/// A timer that was started: what to cancel it by.
///
/// It stays valid for comparison after the timer fired or was cancelled, and stands for no other one (until its place was
/// used 2³² times).
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Timer {
    /// Where the wheel keeps it.
    index: u32,
    /// How often that place was used before: an old handle is no handle to the timer that took its place.
    serial: u32,
}

/// Whoever's timers end together, such as a connection's when it closes: four bytes, which the wheel fills in.
///
/// Its timers are chained, so that [`Wheel::cancel_all`] needs no search. The chain begins in the wheel and not in here,
/// because a timer that fires must leave the chain while the wheel cannot see its owner.
///
/// An owner that has started timers goes through [`Wheel::cancel_all`] before it is dropped.
#[derive(Debug)]
pub(crate) struct Owner {
    /// Its place in [`Wheel::chains`], or [`NONE`] before its first timer.
    chain: u32,
}

impl Default for Owner {
    fn default() -> Owner {
        Owner { chain: NONE }
    }
}

/// The index that is none.
const NONE: u32 = u32::MAX;

/// Bits of a tick that one level looks at.
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const LEVELS: usize = 6;
const TOP: usize = LEVELS - 1;
const TICK: Duration = Duration::from_millis(1);

/// How many ticks ahead the top level can place a timer: all its slots but the one that is passing.
const REACH: u64 = (SLOTS as u64 - 1) << (BITS * TOP as u32);

/// The timers that are running, each with a value of its own.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    /// When tick 0 was.
    origin: Instant,
    /// The tick that was reached: everything before it has fired.
    elapsed: u64,
    /// For each level, which of its slots hold timers.
    occupied: [u64; LEVELS],
    /// For each slot of each level, the first of its timers. A slot's timers form a ring, so the first knows the last.
    slots: [u32; LEVELS * SLOTS],
    /// Timers that run, and free places.
    entries: Vec<Entry<T>>,
    /// The first free place in `entries`, which leads to the others by `next`.
    free: u32,
    running: usize,
    /// For each owner the first of its timers; in free places, the next free place.
    chains: Vec<u32>,
    /// The first free place in `chains`.
    free_chain: u32,
}

/// A place for one timer.
#[derive(Debug)]
struct Entry<T> {
    /// `None` while the place is free.
    value: Option<T>,
    /// When it is due.
    tick: u64,
    serial: u32,
    /// Where in [`Wheel::slots`] it waits.
    slot: u32,
    /// The ring of its slot.
    next: u32,
    previous: u32,
    /// The chain of its owner, [`NONE`] where there is none or no more.
    chain: u32,
    next_of_owner: u32,
    previous_of_owner: u32,
}

impl<T> Wheel<T> {
    /// An empty wheel. No instant it is given may be before `origin`, or it counts as `origin`.
    pub(crate) fn new(origin: Instant) -> Wheel<T> {
        Wheel {
            origin,
            elapsed: 0,
            occupied: [0; LEVELS],
            slots: [NONE; LEVELS * SLOTS],
            entries: Vec::new(),
            free: NONE,
            running: 0,
            chains: Vec::new(),
            free_chain: NONE,
        }
    }

    /// How many timers run.
    pub(crate) fn len(&self) -> usize {
        self.running
    }

    /// Starts a timer, of `owner` if it has one.
    pub(crate) fn start(&mut self, deadline: Instant, value: T, owner: Option<&mut Owner>) -> Timer {
        let tick = self.tick_at_or_after(deadline).max(self.elapsed + 1);
        let index = self.take_entry(tick, value);
        self.place(index);
        if let Some(owner) = owner {
            self.chain_to(owner, index);
        }
        self.running += 1;
        Timer { index, serial: self.entry(index).serial }
    }

    /// Ends a timer before it fires: its value, or `None` if it fired or was cancelled before, or is another owner's.
    pub(crate) fn cancel(&mut self, timer: Timer, owner: Option<&mut Owner>) -> Option<T> {
        let entry = self.entries.get(timer.index as usize)?;
        let chain = match owner {
            Some(Owner { chain: NONE }) => return None, // it has none yet: what runs without an owner is not its own
            Some(owner) => owner.chain,
            None => NONE,
        };
        if entry.serial != timer.serial || entry.value.is_none() || entry.chain != chain {
            return None;
        }
        self.end(timer.index)
    }

    /// Ends all timers of `owner`.
    pub(crate) fn cancel_all(&mut self, owner: &mut Owner) {
        let Owner { chain } = std::mem::take(owner);
        if chain == NONE {
            return;
        }
        while self.chains[chain as usize] != NONE {
            self.end(self.chains[chain as usize]);
        }
        self.chains[chain as usize] = self.free_chain;
        self.free_chain = chain;
    }

    /// Ends those timers of `owner` whose value is `meant`.
    pub(crate) fn cancel_those(&mut self, owner: &mut Owner, meant: impl Fn(&T) -> bool) {
        let mut next = if owner.chain == NONE { NONE } else { self.chains[owner.chain as usize] };
        while next != NONE {
            let index = next;
            next = self.entry(index).next_of_owner;
            if self.entry(index).value.as_ref().is_some_and(&meant) {
                self.end(index);
            }
        }
    }

    /// Whether `owner` has timers that run.
    pub(crate) fn has_timers(&self, owner: &Owner) -> bool {
        owner.chain != NONE && self.chains[owner.chain as usize] != NONE
    }

    /// The earliest instant at which [`pop_due`](Wheel::pop_due) may have something to do, if only moving timers to a lower
    /// level; `None` without timers.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let (_, tick) = self.next_slot()?;
        self.origin.checked_add(Duration::from_millis(tick)) // beyond what an `Instant` can say: never
    }

    /// Ends the next timer that is due at `now` and gives its value; `None` once no other is.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Timer, T)> {
        let present = self.tick_at_or_before(now);
        loop {
            match self.next_slot() {
                Some((slot, tick)) if tick <= present => {
                    self.elapsed = tick;
                    if slot < SLOTS {
                        let index = self.slots[slot];
                        let timer = Timer { index, serial: self.entry(index).serial };
                        return self.end(index).map(|value| (timer, value));
                    }
                    self.move_down(slot);
                }
                _ => {
                    self.elapsed = self.elapsed.max(present);
                    return None;
                }
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------- ticks

    fn tick_at_or_after(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.origin);
        ticks(since) + u64::from(since.subsec_nanos() % TICK.subsec_nanos() != 0)
    }

    fn tick_at_or_before(&self, instant: Instant) -> u64 {
        ticks(instant.saturating_duration_since(self.origin))
    }

    // ------------------------------------------------------------------------------------------------------- slots

    /// The slot to look at next, and the tick at which its turn comes.
    fn next_slot(&self) -> Option<(usize, u64)> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let unit = BITS * level as u32;
        let passing = self.elapsed >> unit;
        // Counted from the slot that is passing. Only on the top level can a slot before it be occupied: that one is of the
        // next round.
        let ahead = self.occupied[level].rotate_right(passing as u32 % SLOTS as u32).trailing_zeros();
        let number = passing + u64::from(ahead);
        Some((level * SLOTS + number as usize % SLOTS, number << unit))
    }

    /// Puts a timer into the slot its tick belongs to, seen from now, behind those that are there.
    fn place(&mut self, index: u32) {
        // What is out of reach goes as far as the wheel reaches, and is placed anew from there.
        let tick = self.entry(index).tick.min(self.elapsed + REACH);
        let difference = tick ^ self.elapsed;
        let level = (difference.checked_ilog2().unwrap_or(0) / BITS).min(TOP as u32);
        let position = (tick >> (BITS * level)) as usize % SLOTS;
        let slot = level as usize * SLOTS + position;

        let first = self.slots[slot];
        let (next, previous) = if first == NONE {
            self.slots[slot] = index;
            self.occupied[level as usize] |= 1 << position;
            (index, index)
        } else {
            (first, self.entry(first).previous)
        };
        let entry = self.entry_mut(index);
        (entry.slot, entry.next, entry.previous) = (slot as u32, next, previous);
        self.entry_mut(previous).next = index;
        self.entry_mut(next).previous = index;
    }

    /// Takes a timer out of its slot.
    fn displace(&mut self, index: u32) {
        let &Entry { slot, next, previous, .. } = self.entry(index);
        if next == index {
            self.empty(slot as usize);
            return;
        }
        self.entry_mut(previous).next = next;
        self.entry_mut(next).previous = previous;
        if self.slots[slot as usize] == index {
            self.slots[slot as usize] = next;
        }
    }

    fn empty(&mut self, slot: usize) {
        self.slots[slot] = NONE;
        self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
    }

    /// The turn of a slot above level 0 has come: each of its timers goes where it belongs now, in the order it came.
    fn move_down(&mut self, slot: usize) {
        let first = self.slots[slot];
        let last = self.entry(first).previous;
        self.empty(slot);
        let mut index = first;
        loop {
            let next = self.entry(index).next;
            self.place(index);
            if index == last {
                return;
            }
            index = next;
        }
    }

    // ------------------------------------------------------------------------------------------------------ owners

    /// Makes a timer the first of its owner's.
    fn chain_to(&mut self, owner: &mut Owner, index: u32) {
        if owner.chain == NONE {
            owner.chain = self.take_chain();
        }
        let chain = owner.chain;
        let second = self.chains[chain as usize];
        self.chains[chain as usize] = index;
        let entry = self.entry_mut(index);
        (entry.chain, entry.next_of_owner, entry.previous_of_owner) = (chain, second, NONE);
        if second != NONE {
            self.entry_mut(second).previous_of_owner = index;
        }
    }

    fn unchain(&mut self, index: u32) {
        let &Entry { chain, next_of_owner: next, previous_of_owner: previous, .. } = self.entry(index);
        if chain == NONE {
            return;
        }
        if previous == NONE {
            self.chains[chain as usize] = next;
        } else {
            self.entry_mut(previous).next_of_owner = next;
        }
        if next != NONE {
            self.entry_mut(next).previous_of_owner = previous;
        }
    }

    fn take_chain(&mut self) -> u32 {
        let chain = self.free_chain;
        if chain == NONE {
            self.chains.push(NONE);
            return index_of(self.chains.len() - 1);
        }
        self.free_chain = std::mem::replace(&mut self.chains[chain as usize], NONE);
        chain
    }

    // ----------------------------------------------------------------------------------------------------- entries

    /// A place for a timer that is in no slot yet and nobody's.
    fn take_entry(&mut self, tick: u64, value: T) -> u32 {
        let index = self.free;
        if index == NONE {
            self.entries.push(Entry {
                value: Some(value),
                tick,
                serial: 0,
                slot: NONE,
                next: NONE,
                previous: NONE,
                chain: NONE,
                next_of_owner: NONE,
                previous_of_owner: NONE,
            });
            return index_of(self.entries.len() - 1);
        }
        let entry = self.entry_mut(index);
        (entry.value, entry.tick, entry.chain) = (Some(value), tick, NONE);
        self.free = entry.next;
        index
    }

    /// Takes a running timer out of all lists and gives its place back.
    fn end(&mut self, index: u32) -> Option<T> {
        self.displace(index);
        self.unchain(index);
        let free = std::mem::replace(&mut self.free, index);
        self.running -= 1;
        let entry = self.entry_mut(index);
        entry.serial = entry.serial.wrapping_add(1);
        entry.next = free;
        entry.value.take()
    }

    fn entry(&self, index: u32) -> &Entry<T> {
        &self.entries[index as usize]
    }

    fn entry_mut(&mut self, index: u32) -> &mut Entry<T> {
        &mut self.entries[index as usize]
    }
}

/// Whole ticks in a duration. A `Duration` can be longer than 2⁶⁴ ticks, the time since the origin cannot.
fn ticks(duration: Duration) -> u64 {
    duration.as_secs() * 1000 + u64::from(duration.subsec_millis())
}

fn index_of(position: usize) -> u32 {
    u32::try_from(position)
        .ok()
        .filter(|&index| index != NONE)
        .expect("fewer than 2^32 - 1 timers fit in memory")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;

    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Everything that is due at `now`, in order.
    fn due<T>(wheel: &mut Wheel<T>, now: Instant) -> Vec<T> {
        std::iter::from_fn(|| wheel.pop_due(now)).map(|(_, value)| value).collect()
    }

    #[test]
    fn a_timer_fires_at_its_deadline_and_not_before() {
        let origin = crate::clock::now();
        let mut wheel = Wheel::new(origin);
        for delay in [1, 63, 64, 65, 4_095, 4_096, 100_000, 20_000_000] {
            let deadline = origin + millis(delay);
            wheel.start(deadline, delay, None);
            assert_eq!(due(&mut wheel, deadline - Duration::from_nanos(1)), [], "{delay} ms: early");
            assert_eq!(due(&mut wheel, deadline), [delay], "{delay} ms: late");
        }
        assert_eq!(wheel.len(), 0);
    }

    #[test]
    fn a_deadline_between_two_ticks_is_rounded_up() {
        let origin = crate::clock::now();
        let mut wheel = Wheel::new(origin);
        wheel.start(origin + Duration::from_micros(1500), "a", None);
        assert_eq!(wheel.next_deadline(), Some(origin + millis(2)));
        assert_eq!(due(&mut wheel, origin + Duration::from_micros(1999)), [""; 0]);
        assert_eq!(due(&mut wheel, origin + millis(2)), ["a"]);
    }

    #[test]
    fn timers_fire_in_the_order_of_deadlines_then_of_starts() {
        let origin = crate::clock::now();
        let mut wheel = Wheel::new(origin);
        for (delay, name) in [(5_000, "d"), (70, "b"), (5_000, "e"), (1, "a"), (70, "c")] {
            wheel.start(origin + millis(delay), name, None);
        }
        assert_eq!(due(&mut wheel, origin + millis(4_990)), ["a", "b", "c"]);
        wheel.start(origin + millis(5_000), "f", None); // straight into a lower level than d and e were
        assert_eq!(due(&mut wheel, origin + millis(6_000)), ["d", "e", "f"]);
    }

    #[test]
    fn a_callback_can_cancel_the_timer_that_would_be_next() {
        let origin = crate::clock::now();
        let mut wheel = Wheel::new(origin);
        let first = wheel.start(origin + millis(7), 1, None);
        let second = wheel.start(origin + millis(7), 2, None);
        assert_eq!(wheel.pop_due(origin + millis(9)), Some((first, 1)));
        assert_eq!(wheel.cancel(second, None), Some(2));
        assert_eq!(wheel.pop_due(origin + millis(9)), None);
    }

    #[test]
    fn a_timer_restarting_itself_without_delay_lets_the_pass_end() {
        let origin = crate::clock::now();
        let mut wheel = Wheel::new(origin);
        let now = origin + millis(10);
        wheel.start(origin, (), None);
        let mut fired = 0;
        while wheel.pop_due(now).is_some() {
            wheel.start(origin, (), None);
            fired += 1;
        }
        assert_eq!(fired, 10, "once for each tick that passed");
    }

    #[test]
    fn a_handle_outlives_its_timer_without_harm() {
        let origin = crate::clock::now();
        let mut wheel = Wheel::new(origin);
        let fired = wheel.start(origin + millis(1), 1, None);
        assert_eq!(due(&mut wheel, origin + millis(1)), [1]);
        let cancelled = wheel.start(origin + millis(5), 2, None);
        assert_eq!(wheel.cancel(cancelled, None), Some(2));
        let running = wheel.start(origin + millis(5), 3, None);
        assert_eq!(fired.index, running.index, "the place is used again");
        assert_eq!(wheel.cancel(fired, None), None);
        assert_eq!(wheel.cancel(cancelled, None), None);
        assert_eq!(wheel.cancel(running, None), Some(3));
        assert_eq!(wheel.cancel(running, None), None);
    }

    #[test]
    fn only_its_owner_cancels_a_timer() {
        let origin = crate::clock::now();
        let mut wheel = Wheel::new(origin);
        let (mut ann, mut bob) = (Owner::default(), Owner::default());
        let of_ann = wheel.start(origin + millis(5), 'a', Some(&mut ann));
        let of_bob = wheel.start(origin + millis(5), 'b', Some(&mut bob));
        let of_nobody = wheel.start(origin + millis(5), 'n', None);
        assert_eq!(wheel.cancel(of_ann, Some(&mut bob)), None);
        assert_eq!(wheel.cancel(of_bob, None), None);
        assert_eq!(wheel.cancel(of_nobody, Some(&mut ann)), None);
        assert_eq!(wheel.cancel(of_nobody, Some(&mut Owner::default())), None);
        assert_eq!(wheel.cancel(of_ann, Some(&mut ann)), Some('a'));
        wheel.cancel_all(&mut ann);
        assert_eq!(due(&mut wheel, origin + millis(5)), ['b', 'n']);
    }

    #[test]
    fn an_owner_of_a_fired_timer_cancels_the_rest() {
        let origin = crate::clock::now();
        let mut wheel = Wheel::new(origin);
        let mut owner = Owner::default();
        for delay in [3, 1, 2, 900] {
            wheel.start(origin + millis(delay), delay, Some(&mut owner));
        }
        wheel.start(origin + millis(3), 0, None);
        assert_eq!(wheel.pop_due(origin + millis(1)).map(|(_, value)| value), Some(1));
        wheel.cancel_all(&mut owner);
        wheel.cancel_all(&mut owner);
        assert_eq!(wheel.len(), 1);
        wheel.start(origin + millis(4), 4, Some(&mut owner));
        assert_eq!(due(&mut wheel, origin + millis(1000)), [0, 4]);
    }

    #[test]
    fn delays_beyond_the_wheel_go_round_again() {
        let origin = crate::clock::now();
        let mut wheel = Wheel::new(origin);
        for years in [1, 2, 3, 5, 40] {
            wheel.start(origin + YEAR * years, years, None);
        }
        for years in [1, 2, 3, 5, 40] {
            let deadline = origin + YEAR * years;
            assert_eq!(due(&mut wheel, deadline - millis(1)), []);
            assert_eq!(due(&mut wheel, deadline), [years]);
        }
    }

    #[test]
    fn an_instant_before_the_origin_counts_as_the_origin() {
        let origin = crate::clock::now();
        let mut wheel = Wheel::new(origin + YEAR);
        wheel.start(origin, (), None);
        assert_eq!(wheel.pop_due(origin), None);
        assert!(wheel.pop_due(origin + YEAR + millis(1)).is_some());
    }

    #[test]
    fn memory_is_bounded_by_the_most_timers_at_once() {
        let origin = crate::clock::now();
        let mut wheel = Wheel::new(origin);
        for round in 0..10_000u64 {
            let now = origin + millis(round);
            let mut owner = Owner::default();
            let timer = wheel.start(now + millis(30_000), round, Some(&mut owner));
            wheel.start(now + millis(60_000), round, Some(&mut owner));
            wheel.cancel(timer, Some(&mut owner));
            wheel.start(now + millis(1), round, Some(&mut owner));
            due(&mut wheel, now + millis(1));
            wheel.cancel_all(&mut owner);
        }
        assert_eq!((wheel.len(), wheel.entries.len(), wheel.chains.len()), (0, 2, 1));
    }

    /// What a test run does to the wheel. Numbers choose among what there is.
    #[derive(Clone, Debug)]
    enum Step {
        Start { delay_micros: u64, owner: Option<usize> },
        Cancel { which: usize },
        CancelAll { owner: usize },
        Advance { micros: u64 },
        FireOne,
    }

    fn a_delay() -> impl Strategy<Value = u64> {
        prop_oneof![0..3_000u64, 0..200_000u64, 0..20_000_000u64, 0..6_000_000_000_000_000u64]
    }

    fn a_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (a_delay(), prop::option::of(0..4usize))
                .prop_map(|(delay_micros, owner)| Step::Start { delay_micros, owner }),
            3 => any::<usize>().prop_map(|which| Step::Cancel { which }),
            1 => (0..4usize).prop_map(|owner| Step::CancelAll { owner }),
            3 => a_delay().prop_map(|micros| Step::Advance { micros }),
            1 => Just(Step::FireOne),
        ]
    }

    /// The same timers in a sorted map.
    #[derive(Default)]
    struct Model {
        /// By tick and order of start: which timer, whose, and the deadline asked for.
        running: BTreeMap<(u64, u64), (Timer, Option<usize>, Instant)>,
        /// Where to find it above.
        places: HashMap<Timer, (u64, u64)>,
        elapsed: u64,
    }

    impl Model {
        fn remove(&mut self, timer: Timer) -> Option<u64> {
            let place = self.places.remove(&timer)?;
            self.running.remove(&place).map(|_| place.1)
        }
    }

    struct Run {
        origin: Instant,
        now: Instant,
        wheel: Wheel<u64>,
        owners: [Owner; 4],
        model: Model,
        started: Vec<(Timer, Option<usize>)>,
        most: usize,
    }

    impl Run {
        fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
            match step {
                Step::Start { delay_micros, owner } => self.start(Duration::from_micros(delay_micros), owner),
                Step::Cancel { which } => self.cancel(which)?,
                Step::CancelAll { owner } => self.cancel_all(owner),
                Step::Advance { micros } => {
                    self.now += Duration::from_micros(micros);
                    while self.fire()? {}
                }
                Step::FireOne => drop(self.fire()?),
            }
            self.check()
        }

        fn start(&mut self, delay: Duration, owner: Option<usize>) {
            let (deadline, number) = (self.now + delay, self.started.len() as u64);
            let timer = self.wheel.start(deadline, number, owner.map(|owner| &mut self.owners[owner]));
            let tick = (deadline - self.origin).as_micros().div_ceil(1000) as u64;
            let place = (tick.max(self.model.elapsed + 1), number);
            self.model.running.insert(place, (timer, owner, deadline));
            assert!(self.model.places.insert(timer, place).is_none(), "a handle was given twice");
            self.started.push((timer, owner));
        }

        fn cancel(&mut self, which: usize) -> Result<(), TestCaseError> {
            if self.started.is_empty() {
                return Ok(());
            }
            let (timer, owner) = self.started[which % self.started.len()];
            let cancelled = self.wheel.cancel(timer, owner.map(|owner| &mut self.owners[owner]));
            prop_assert_eq!(cancelled, self.model.remove(timer));
            Ok(())
        }

        fn cancel_all(&mut self, owner: usize) {
            self.wheel.cancel_all(&mut self.owners[owner]);
            self.model.running.retain(|_, &mut (_, whose, _)| whose != Some(owner));
            let running = &self.model.running;
            self.model.places.retain(|_, place| running.contains_key(place));
        }

        fn fire(&mut self) -> Result<bool, TestCaseError> {
            let present = (self.now - self.origin).as_millis() as u64;
            let next = self.model.running.first_key_value().filter(|((tick, _), _)| *tick <= present);
            let expected = next.map(|(&place, &(timer, _, deadline))| (place, timer, deadline));
            let fired = self.wheel.pop_due(self.now);
            prop_assert_eq!(fired, expected.map(|((_, number), timer, _)| (timer, number)));
            let Some(((tick, _), timer, deadline)) = expected else {
                self.model.elapsed = self.model.elapsed.max(present);
                return Ok(false);
            };
            prop_assert!(deadline <= self.now, "fired early");
            self.model.elapsed = tick;
            self.model.remove(timer);
            Ok(true)
        }

        fn check(&mut self) -> Result<(), TestCaseError> {
            self.most = self.most.max(self.model.running.len());
            prop_assert_eq!(self.wheel.len(), self.model.running.len());
            prop_assert!(self.wheel.entries.len() <= self.most, "places were not used again");
            prop_assert!(self.wheel.chains.len() <= self.owners.len(), "chains were not used again");
            let earliest = self.model.running.first_key_value().map(|(&(tick, _), _)| tick);
            match (self.wheel.next_deadline(), earliest) {
                (None, None) => {}
                (Some(next), Some(tick)) => {
                    prop_assert!(next <= self.origin + millis(tick), "would oversleep")
                }
                other => prop_assert!(false, "{other:?}"),
            }
            Ok(())
        }
    }

    proptest! {
        /// (The beyond-reach delays of a run share no tick, so the order of starts never decides among them.)
        #[test]
        fn the_wheel_does_what_a_sorted_map_does(steps in prop::collection::vec(a_step(), 1..200)) {
            let origin = crate::clock::now();
            let mut run = Run {
                origin,
                now: origin,
                wheel: Wheel::new(origin),
                owners: Default::default(),
                model: Model::default(),
                started: Vec::new(),
                most: 0,
            };
            for step in steps {
                run.step(step)?;
            }
        }
    }
}
