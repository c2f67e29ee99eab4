//! One scenario on one platform: played as it is, then once for every call in it and every outcome of that call, failing once,
//! and again failing from there on.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use crate::exceptions::{EXCEPTIONS, covering};
use crate::kernel::{Entry, Fault, difference, rows_at};
use crate::outcomes::Row;
use crate::run::{Platform, Record, judge, play};
use crate::scenarios::Scenario;
use crate::stage::{MORE_IDLE_TURNS, Scratch};

/// Tries to have a run begin as the one without faults did. TCP is handed over by the kernel's interrupts: on a busy machine a
/// segment may once arrive a moment later.
const ATTEMPTS: usize = 5;
/// With two faults, how many calls the second is behind the first at most.
const NEAR: usize = 10;

/// A fault and where it hits, in one word: `17/EINTR/once`.
#[derive(Copy, Clone)]
pub struct Injection {
    at: usize,
    entry: Entry,
    row: &'static Row,
    lasting: bool,
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Injection { at, entry, row, lasting } = self;
        write!(f, "{at}/{}/{}/{}", entry.call.name(), row.outcome, if *lasting { "lasting" } else { "once" })
    }
}

/// What came of all runs.
#[derive(Default)]
pub struct Tally {
    pub calls: usize,
    /// Which they are, by name.
    pub made: BTreeSet<String>,
    pub runs: usize,
    /// Runs that were made again, because they did not begin as they should.
    pub again: usize,
    /// How often each exception was needed.
    pub exceptions: [usize; EXCEPTIONS.len()],
    /// The most turns that one fault, once, has cost.
    pub detour: usize,
    /// The most turns with events and without progress that it has cost.
    pub idle: u64,
    pub wrong: Vec<String>,
}

pub struct Campaign<'a> {
    scenario: &'a Scenario,
    platform: Platform,
    scratch: Rc<Scratch>,
    /// The run without faults.
    baseline: Record,
    log: Arc<[Entry]>,
    pub tally: Tally,
}

impl<'a> Campaign<'a> {
    /// Plays the scenario without faults, until it goes the same way twice.
    pub fn new(scenario: &'a Scenario, platform: Platform) -> io::Result<Campaign<'a>> {
        let scratch = Rc::new(Scratch::new()?);
        let mut baseline = play(scenario, platform, &scratch, Vec::new(), None); // and the first call of each function is over
        let mut tally = Tally::default();
        for attempt in 1.. {
            let again = play(scenario, platform, &scratch, Vec::new(), None);
            let (same, parts) = (baseline.log == again.log, difference(&baseline.log, &again.log));
            baseline = again;
            if same {
                break;
            }
            if attempt == ATTEMPTS {
                tally.wrong.push(format!("no two runs without faults are alike: {parts}"));
                break;
            }
        }
        tally.wrong.extend(judge(&baseline, &baseline));
        tally.wrong.extend(scenario.unlike_itself(&baseline.parties));
        tally.calls = baseline.log.len();
        tally.made = baseline.log.iter().map(|entry| entry.call.name().to_owned()).collect();
        let log = baseline.log.clone().into();
        Ok(Campaign { scenario, platform, scratch, baseline, log, tally })
    }

    /// Every single fault; with `pairs`, after each that hits once a second one soon after.
    pub fn run(&mut self, pairs: bool) {
        for first in injections(&self.log, 0) {
            let Some(record) = self.try_out(&[(first, Arc::clone(&self.log))]) else { continue };
            if pairs && !first.lasting {
                let log: Arc<[Entry]> = record.log.into();
                let near = log.len().min(first.at + 1 + NEAR);
                for second in injections(&log[..near], first.at + 1).filter(|second| !second.lasting) {
                    self.try_out(&[(first, Arc::clone(&self.log)), (second, Arc::clone(&log))]);
                }
            }
        }
    }

    /// The runs that `id` names, with everything there is to know about them.
    pub fn replay(&mut self, id: &str) -> bool {
        let log = Arc::clone(&self.log);
        let mut parts = id.split('+');
        let find =
            |log: &[Entry], name: &str| injections(log, 0).find(|injection| injection.to_string() == name);
        let Some(first) = parts.next().and_then(|name| find(&log, name)) else { return false };
        let mut faults = vec![(first, log)];
        if let Some(name) = parts.next() {
            let Some(record) = self.try_out(&faults) else { return true };
            let log: Arc<[Entry]> = record.log.into();
            let Some(second) = find(&log, name) else { return false };
            faults.push((second, log));
        }
        if let Some(record) = self.try_out(&faults) {
            show(&record, &faults);
        }
        true
    }

    /// One run, again if it does not begin as it must; and what is wrong with it.
    fn try_out(&mut self, faults: &[(Injection, Arc<[Entry]>)]) -> Option<Record> {
        let id = faults.iter().map(|(injection, _)| injection.to_string()).collect::<Vec<_>>().join("+");
        self.scratch.note(&id);
        for attempt in 1.. {
            let record = self.play(faults);
            if let Some(parts) = &record.rejected {
                self.tally.again += 1;
                if attempt < ATTEMPTS {
                    continue;
                }
                self.wrong(&id, &format!("it never begins as it should: {parts}"));
                return None;
            }
            self.tally.runs += 1;
            self.examine(&id, faults, &record);
            return Some(record);
        }
        None
    }

    fn play(&self, faults: &[(Injection, Arc<[Entry]>)]) -> Record {
        let faults = faults.iter().map(|(injection, log)| {
            let Injection { at, entry, row, lasting } = *injection;
            Fault { at, row, call: entry.call, prefix: Arc::clone(log), lasting }
        });
        let usual = Some(self.baseline.turns);
        play(self.scenario, self.platform, &self.scratch, faults.collect(), usual)
    }

    fn examine(&mut self, id: &str, faults: &[(Injection, Arc<[Entry]>)], record: &Record) {
        if faults.iter().all(|(injection, _)| !injection.lasting) {
            let detour = record.turns.saturating_sub(self.baseline.turns);
            self.tally.detour = self.tally.detour.max(detour);
            let idle = record.idle_turns.saturating_sub(self.baseline.idle_turns);
            self.tally.idle = self.tally.idle.max(idle);
            if idle > MORE_IDLE_TURNS {
                self.wrong(id, &format!("{idle} turns more than usual had events and moved nothing"));
            }
        }
        for complaint in judge(record, &self.baseline) {
            match covering(&complaint, &record.hits) {
                Some(exception) => self.tally.exceptions[exception] += 1,
                None => self.wrong(id, &complaint),
            }
        }
    }

    fn wrong(&mut self, id: &str, what: &str) {
        let (platform, scenario) = (self.platform.name, self.scenario.name);
        self.tally.wrong.push(format!("{platform}/{scenario}/{id}: {what}"));
    }
}

/// All faults of one call of a log from `first` on.
fn injections(log: &[Entry], first: usize) -> impl Iterator<Item = Injection> + use<> {
    let log = log.to_vec();
    log.into_iter().enumerate().skip(first).flat_map(|(at, entry)| {
        rows_at(entry).flat_map(move |row| {
            let once = Injection { at, entry, row, lasting: false };
            [Some(once), row.lasts.then_some(Injection { lasting: true, ..once })].into_iter().flatten()
        })
    })
}

/// Prints what happened.
fn show(record: &Record, faults: &[(Injection, Arc<[Entry]>)]) {
    for (at, entry) in record.log.iter().enumerate() {
        let fault = faults.iter().find(|(injection, _)| injection.at == at);
        let mark = fault.map_or(String::new(), |(injection, _)| {
            format!("   <- {}: {}", injection.row.outcome, injection.row.clause)
        });
        println!("{at:5} {entry}{mark}");
    }
    for (label, party) in &record.parties {
        println!("{label:?}: {party}");
    }
    for error in &record.errors {
        println!("told to the program: {error}");
    }
    println!("{} turns, {} of them idle", record.turns, record.idle_turns);
}
