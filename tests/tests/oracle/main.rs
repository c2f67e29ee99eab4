//! The oracle. What a thread that blocks in `converse` says to a client, every server says to it, and its log gives the same
//! reason for the end: with every model, over every backend, with every trigger, however the client's words are cut.
//!
//! Clients are made up. One that is answered differently is made smaller, and printed as a line that can be played again:
//! `ORACLE='zen: say "Why?"; finish' cargo test -p zen-tests --test oracle the_script -- --nocapture`. What is known to differ
//! stands in a table with the reason, in `differences.rs` and in a chapter of the guide; one that does not differ any more is a
//! failure, too.

mod client;
mod differences;
mod library;

mod reference;
mod script;
mod servers;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use reference::{Outcome, Setup};
use script::{End, Script, Service, Step};
use servers::{Host, Way, ways};

/// Clients made up for each service.
const CASES: u32 = 30;

/// All servers of a service.
struct Field(Vec<(Way, Host)>);

impl Field {
    fn new(service: Service) -> Field {
        let host = |way: Way| {
            let host = Host::start(&way, service, Setup::default());
            (way, host)
        };
        Field(ways().into_iter().map(host).collect())
    }

    /// Who says something else than the reference, and what.
    fn dissenters(&self, script: &Script) -> Vec<String> {
        let reference = reference::of(script, Setup::default());
        let played: Vec<_> =
            self.0.iter().map(|(way, host)| (way, host.play(script, &reference.due))).collect();
        let outcomes = played.into_iter().map(|(way, played)| (way, played.outcome()));
        outcomes.filter_map(|(way, outcome)| dissent(way, &outcome, &reference.outcome)).collect()
    }
}

fn dissent(way: &Way, found: &Outcome, expected: &Outcome) -> Option<String> {
    let same = found.heard.iter().zip(&expected.heard).take_while(|(a, b)| a == b).count();
    (found != expected).then(|| {
        format!(
            "{}: {} bytes of {}, the first {same} of them right; {:?} instead of {:?}",
            way.name,
            found.heard.len(),
            expected.heard.len(),
            found.reason,
            expected.reason
        )
    })
}

/// Plays made-up clients to all servers of a service.
fn all_agree(service: Service, text: impl Strategy<Value = Vec<Vec<u8>>>) {
    let field = Field::new(service);
    // Unless the environment variable PROPTEST_CASES says how many.
    let usual = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { usual.cases } else { CASES };
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 100,
        max_shrink_time: 60_000,
        ..usual
    };
    let outcome = TestRunner::new(config).run(&scripts(service, text), |script| {
        let dissenters = field.dissenters(&script);
        match dissenters.is_empty() {
            true => Ok(()),
            false => Err(TestCaseError::fail(dissenters.join("\n"))),
        }
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

// --------------------------------------------------------------------------------------------------- made-up clients

/// Text that may be cut anywhere, but for its pieces, with pauses for answers, and an end of some kind.
fn scripts(service: Service, text: impl Strategy<Value = Vec<Vec<u8>>>) -> impl Strategy<Value = Script> {
    let end = prop_oneof![4 => Just(End::Finish), 1 => Just(End::Close), 1 => Just(End::Reset)];
    let hears = proptest::collection::vec(any::<prop::sample::Index>(), 0..3);
    (text, hears, end).prop_map(move |(pieces, hears, end)| {
        let mut steps: Vec<Step> = pieces.into_iter().map(|piece| Step::Say(piece, 1)).collect();
        for hear in hears {
            steps.insert(hear.index(steps.len() + 1), Step::Hear);
        }
        // Who leaves while it is being answered is told apart only by chance: what comes first, the answer or the end?
        if end != End::Finish {
            steps.push(Step::Hear);
        }
        Script { service, steps, end }
    })
}

fn cut(text: &[u8], cuts: Vec<prop::sample::Index>) -> Vec<Vec<u8>> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    at.extend([0, text.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| text[pair[0]..pair[1]].to_vec()).filter(|piece| !piece.is_empty()).collect()
}

/// Parts put together, and cut anywhere.
fn in_pieces(part: impl Strategy<Value = Vec<u8>>, most: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let cuts = proptest::collection::vec(any::<prop::sample::Index>(), 0..8);
    (proptest::collection::vec(part, 0..most), cuts).prop_map(|(parts, cuts)| cut(&parts.concat(), cuts))
}

fn question() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::sample::select(vec!["Beautiful", "Explicit", "Simple"])
            .prop_map(|word| format!("{word} is better than?").into_bytes()),
        4 => proptest::collection::vec(any::<u8>(), 0..30),
        2 => (0usize..2000).prop_map(|marks| vec![b'?'; marks]),
        1 => (3900usize..4300).prop_map(|length| vec![b'x'; length]),
        1 => Just(b"?".to_vec()),
    ]
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => proptest::collection::vec(any::<u8>(), 0..300),
        1 => (0usize..400_000, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
    ]
}

fn count() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (0u32..3000).prop_map(|count| format!("{count}\n").into_bytes()),
        2 => (0u32..400_000).prop_map(|count| format!("{count}\r\n").into_bytes()),
        1 => prop::sample::select(vec!["-5\n", "99999999999\n", "\n", "1 2\n", "7\r7\n"])
            .prop_map(|wrong| wrong.as_bytes().to_vec()),
    ]
}

#[test]
fn the_zen_service_answers_alike_whoever_waits() {
    all_agree(Service::Zen, in_pieces(question(), 8));
}

#[test]
fn the_echo_service_answers_alike_whoever_waits() {
    all_agree(Service::Echo, in_pieces(noise(), 6));
}

/// A count may be cut only where it ends: that it is over the service knows from a pause.
#[test]
fn the_bytes_service_answers_alike_whoever_waits() {
    all_agree(Service::Bytes, proptest::collection::vec(count(), 0..6));
}

// ------------------------------------------------------------------------------------------------------ single clients

/// Plays one client, as a failure prints it, to all servers.
#[track_caller]
fn play(text: &str) {
    let script: Script = text.parse().unwrap_or_else(|why| panic!("{why}"));
    let dissenters = Field::new(script.service).dissenters(&script);
    assert!(dissenters.is_empty(), "{script}\n{}", dissenters.join("\n"));
}

#[test]
fn the_script_in_the_environment_is_played() {
    match std::env::var("ORACLE") {
        Ok(script) => play(&script),
        Err(_) => eprintln!("skipped: no script in the environment variable ORACLE"),
    }
}

/// Nobody but a loop told this as a reset.
#[test]
fn who_resets_before_a_word_is_said_has_reset_the_conversation_for_everybody() {
    play("zen: reset");
}
