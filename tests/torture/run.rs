//! One run of a scenario, and whether it went as it must.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use reactor::Backend;

use crate::calls::Call;
use crate::clients::End;
use crate::engine;
use crate::kernel::{self, Entry, Fault, Hit, Label};
use crate::outcomes::{Outcome, Then};
use crate::scenarios::{SCENARIOS, Scenario};
use crate::stage::{MORE_TURNS, Scratch, Stage, UNDER_FAULT};
use crate::zen::{Kind, Reason};

/// What the loop runs on.
#[derive(Copy, Clone, Debug)]
pub struct Platform {
    pub name: &'static str,
    pub backend: Backend,
    /// Calls that this kernel is too old for.
    pub lacks: &'static [Call],
}

impl Platform {
    /// Nobody waits but a thread in a blocking call: no backend is asked.
    pub fn is_blocking(&self) -> bool {
        self.backend == Backend::Auto
    }

    /// What is played here.
    pub fn scenarios(self) -> impl Iterator<Item = &'static Scenario> {
        let is_blocking = |scenario: &Scenario| (scenario.settings)().engine == engine::Kind::Blocking;
        SCENARIOS.iter().filter(move |scenario| is_blocking(scenario) == self.is_blocking())
    }
}

/// One conversation, seen from both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    pub expects: Vec<u8>,
    pub heard: Vec<u8>,
    /// What a client saw of the end; `None` if it left first, or if the loop is the one who asks.
    pub ended: Option<End>,
    /// Why the loop ended it; `None` if no protocol ever had it.
    pub reason: Option<Reason>,
    /// A client that left without a word: whatever the loop made of it.
    pub is_gone: bool,
    /// Whether a protocol had it, and what it was told after it was told the end.
    pub is_known: bool,
    pub after_the_end: usize,
}

/// What came of a run.
pub struct Record {
    pub log: Vec<Entry>,
    pub hits: Vec<Hit>,
    pub rejected: Option<String>,
    pub parties: BTreeMap<Label, Party>,
    pub errors: Vec<String>,
    pub complaints: Vec<String>,
    pub turns: usize,
    pub shed: u64,
    pub idle_turns: u64,
}

/// A run takes a moment, because nothing in it sleeps. One that does has found a call that passes the harness by, and would sleep
/// for ever: after so many seconds it dies of SIGALRM, and is reported by name.
const MOST_SECONDS: u32 = 120;

/// Plays a scenario; `usual` is how many turns it takes without faults.
pub fn play(
    scenario: &Scenario,
    platform: Platform,
    scratch: &Rc<Scratch>,
    faults: Vec<Fault>,
    usual: Option<usize>,
) -> Record {
    let most_turns = usual.map_or(1000, |usual| usual + UNDER_FAULT + MORE_TURNS);
    set_alarm(MOST_SECONDS);
    kernel::begin(faults, platform.lacks);
    let mut stage = Stage::open((scenario.settings)(), platform.backend, scratch, most_turns);
    if stage.complaints.is_empty() {
        (scenario.play)(&mut stage);
        stage.finish();
    }
    set_alarm(0);
    let parties = parties(&stage);
    let Stage { errors, mut complaints, turns, shed, idle_turns, .. } = stage;
    let (log, hits, rejected) = kernel::with(|kernel| {
        complaints.append(&mut kernel.violations);
        (std::mem::take(&mut kernel.log), std::mem::take(&mut kernel.hits), kernel.rejected.take())
    });
    Record { log, hits, rejected, parties, errors, complaints, turns, shed, idle_turns }
}

/// After so many seconds, SIGALRM (alarm(2)); zero: never.
fn set_alarm(seconds: u32) {
    // SAFETY: it takes a number.
    unsafe { libc::alarm(seconds) };
}

fn parties(stage: &Stage) -> BTreeMap<Label, Party> {
    let book = stage.book.borrow();
    let mut parties = BTreeMap::new();
    for (number, client) in stage.clients.iter().enumerate() {
        let label = Label::Accepted(number);
        let story = book.stories.get(&label);
        let party = Party {
            expects: client.expects.clone(),
            heard: client.heard.clone(),
            ended: client.ended,
            reason: story.and_then(|story| story.reason.clone()),
            is_gone: client.is_gone,
            is_known: story.is_some(),
            after_the_end: story.map_or(0, |story| story.after_the_end),
        };
        parties.insert(label, party);
    }
    for (&label, story) in &book.stories {
        if matches!(label, Label::Own(_)) {
            let party = Party {
                expects: story.expects.clone(),
                heard: story.heard.clone(),
                ended: None,
                reason: story.reason.clone(),
                is_gone: false,
                is_known: true,
                after_the_end: story.after_the_end,
            };
            parties.insert(label, party);
        }
    }
    parties
}

impl Party {
    /// Whether it went as it usually goes. How far a conversation came that is not to be finished may differ, and so may what
    /// its client saw of the end, which depends on what had been sent by then.
    fn is_like(&self, usual: &Party) -> bool {
        let reasons = (&self.reason, &usual.reason);
        let same_end = match reasons {
            (Some(reason), Some(usual)) => reason.is_like(usual),
            (None, None) => self.is_known == usual.is_known,
            _ => false,
        };
        let is_finished = matches!(&usual.reason, Some(reason) if reason.kind == Kind::Finished);
        let as_far = self.heard == usual.heard || (!is_finished && self.expects.starts_with(&self.heard));
        same_end && as_far && self.ended.is_some() == usual.ended.is_some()
    }

    /// Everything was heard, and it ended in order.
    fn is_complete(&self) -> bool {
        let in_order = matches!(&self.reason, Some(reason) if reason.kind == Kind::Finished);
        self.heard == self.expects && in_order
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Party { expects, heard, ended, reason, .. } = self;
        let reason = reason.as_ref().map_or("nobody says why", |reason| reason.text.as_str());
        write!(f, "heard {} of {} bytes, saw {ended:?}; over: {reason}", heard.len(), expects.len())
    }
}

/// What is wrong with a run, beside what was noticed while it ran.
pub fn judge(record: &Record, baseline: &Record) -> Vec<String> {
    let mut wrong = record.complaints.clone();
    for (label, party) in &record.parties {
        let hits: Vec<&Hit> = record.hits.iter().filter(|hit| hit.label == Some(*label)).collect();
        if !party.expects.starts_with(&party.heard) {
            wrong.push(format!("{label:?}: heard what was never said: {party}"));
        }
        if party.after_the_end > 0 {
            wrong.push(format!("{label:?}: its protocol was called after the last call"));
        }
        if party.is_known && party.reason.is_none() {
            wrong.push(format!("{label:?}: its protocol was never told that it is over"));
        }
        let usual = baseline.parties.get(label).is_some_and(|usual| party.is_like(usual));
        if !usual && !party.is_gone && !party.is_complete() && !is_excused(party, &hits, record) {
            wrong.push(format!("{label:?}: {party}"));
        }
    }
    for error in &record.errors {
        let excuses = |hit: &&Hit| matches!(hit.then, Then::Ends | Then::Returns);
        let named = record.hits.iter().filter(excuses).any(|hit| names(error, hit));
        if !named {
            wrong.push(format!("an error that no outcome excuses: {error}"));
        }
    }
    wrong
}

/// Whether a conversation may have ended as it did.
fn is_excused(party: &Party, hits: &[&Hit], record: &Record) -> bool {
    let Some(reason) = &party.reason else {
        // Never given to a protocol: hung up on when descriptors ran out, and counted.
        return !party.is_known && party.heard.is_empty() && party.ended.is_some() && record.shed > 0;
    };
    hits.iter().filter(|hit| hit.then == Then::Ends).any(|hit| {
        let gone = matches!(hit.errno(), Some(libc::ECONNRESET | libc::EPIPE | libc::ENOTCONN));
        // Where a thread blocks: the kernel has waited for as long as it was told to.
        let in_vain = matches!(hit.call, Call::send | Call::sendmsg | Call::sendfile)
            && hit.errno() == Some(libc::EAGAIN);
        match reason.kind {
            // One that could not even begin says what was attempted.
            Kind::Io => {
                let named =
                    reason.text.contains(word_for(hit)) || reason.text.starts_with("cannot connect to ");
                named && reason.errno == hit.errno()
            }
            Kind::Gone => gone || in_vain,
            Kind::TimedOut => in_vain,
            _ => false,
        }
    })
}

/// How an error calls the call that was hit.
fn word_for(hit: &Hit) -> &'static str {
    match (hit.call, hit.outcome) {
        (Call::getsockopt, Outcome::Pending(_)) => "connect",
        (Call::epoll_ctl | Call::fstat, _) => "register",
        (Call::socket, _) => "connect to",
        (call, _) => call.name(),
    }
}

/// Whether an error tells the number.
fn names(error: &str, hit: &Hit) -> bool {
    hit.errno().is_some_and(|errno| error.contains(&format!("(os error {errno})")))
}
