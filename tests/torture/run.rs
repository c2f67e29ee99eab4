//! One run of a scenario, and whether it went as it must.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use reactor::Backend;

use crate::calls::Call;
use crate::kernel::{self, Entry, Fault, Hit, Label};
use crate::outcomes::{Outcome, Then};
use crate::scenarios::Scenario;
use crate::stage::{End, MORE_TURNS, Scratch, Stage, UNDER_FAULT};
use crate::zen::{Kind, Reason};

/// What the loop runs on.
#[derive(Copy, Clone, Debug)]
pub struct Platform {
    pub name: &'static str,
    pub backend: Backend,
    /// Calls that this kernel is too old for.
    pub lacks: &'static [Call],
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

/// Plays a scenario; `usual` is how many turns it takes without faults.
pub fn play(
    scenario: &Scenario,
    platform: Platform,
    scratch: &Rc<Scratch>,
    faults: Vec<Fault>,
    usual: Option<usize>,
) -> Record {
    let most_turns = usual.map_or(1000, |usual| usual + UNDER_FAULT + MORE_TURNS);
    kernel::begin(faults, platform.lacks);
    let mut stage = Stage::open((scenario.settings)(), platform.backend, scratch, most_turns);
    if stage.complaints.is_empty() {
        (scenario.play)(&mut stage);
        stage.finish();
    }
    let parties = parties(&stage);
    let Stage { errors, mut complaints, turns, shed, idle_turns, .. } = stage;
    let (log, hits, rejected) = kernel::with(|kernel| {
        complaints.append(&mut kernel.violations);
        (std::mem::take(&mut kernel.log), std::mem::take(&mut kernel.hits), kernel.rejected.take())
    });
    Record { log, hits, rejected, parties, errors, complaints, turns, shed, idle_turns }
}

fn parties(stage: &Stage) -> BTreeMap<Label, Party> {
    let book = stage.book.borrow();
    let mut parties = BTreeMap::new();
    for (number, client) in stage.clients.iter().enumerate() {
        let label = Label::Accepted(number);
        let reason = book.stories.get(&label).and_then(|story| story.reason.clone());
        let (expects, heard) = (client.expects.clone(), client.heard.clone());
        parties.insert(label, Party { expects, heard, ended: client.ended, reason, is_gone: client.is_gone });
    }
    for (&label, story) in &book.stories {
        if matches!(label, Label::Own(_)) {
            let (expects, heard) = (story.expects.clone(), story.heard.clone());
            parties.insert(
                label,
                Party { expects, heard, ended: None, reason: story.reason.clone(), is_gone: false },
            );
        }
    }
    parties
}

impl Party {
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
        let usual = baseline.parties.get(label).is_some_and(|usual| usual == party);
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
        return party.heard.is_empty() && party.ended.is_some() && record.shed > 0;
    };
    hits.iter().filter(|hit| hit.then == Then::Ends).any(|hit| {
        let gone = matches!(hit.errno(), Some(libc::ECONNRESET | libc::EPIPE | libc::ENOTCONN));
        match reason.kind {
            // One that could not even begin says what was attempted.
            Kind::Io => {
                let named =
                    reason.text.contains(word_for(hit)) || reason.text.starts_with("cannot connect to ");
                named && reason.errno == hit.errno()
            }
            Kind::Gone => gone,
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
