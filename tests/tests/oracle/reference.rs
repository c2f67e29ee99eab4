//! The reference: a thread that blocks in `converse`, and gets what the client says uncut.

use std::thread;
use std::time::Duration;

use reactor::event_loop::{CloseReason, Limits, converse};
use zen_server::command_line::in_words;
use zen_server::services::{Serve, Settings, bytes, echo, panics, zen};

use super::client::{pair, play};
use super::script::{End, Script, Service, Step};

/// What a server is told on its command line.
#[derive(Copy, Clone, Debug, Default)]
pub struct Setup {
    pub delay: Option<Duration>,
    pub idle: Option<Duration>,
    pub request: Option<Duration>,
}

impl Setup {
    pub fn arguments(self) -> Vec<String> {
        let words = |span: Option<Duration>| span.map_or_else(|| "off".to_owned(), in_words);
        let options =
            [("--delay", self.delay), ("--idle-timeout", self.idle), ("--request-timeout", self.request)];
        options.into_iter().flat_map(|(option, span)| [option.to_owned(), words(span)]).collect()
    }

    fn settings(self) -> Settings {
        Settings { delay: self.delay, ..Settings::default() }
    }

    fn limits(self) -> Limits {
        Limits { idle: self.idle, request_time: self.request, ..Limits::default() }
    }
}

/// How a conversation went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub heard: Vec<u8>,
    /// Why it ended for the server, in the words of its log.
    pub reason: String,
}

/// What is to be expected of everybody.
#[derive(Debug)]
pub struct Reference {
    /// For each step, how much is to be heard in all before the next one.
    pub due: Vec<usize>,
    pub outcome: Outcome,
}

/// What the blocking conversation says to it.
pub fn of(script: &Script, setup: Setup) -> Reference {
    let uncut = script.in_one_piece();
    Reference { due: due(script, setup), outcome: held(&uncut, &due(&uncut, setup), setup) }
}

fn due(script: &Script, setup: Setup) -> Vec<usize> {
    let of_step = |(number, step): (usize, &Step)| match step {
        Step::Say(..) => 0,
        Step::HearSome(bytes) => *bytes,
        Step::Hear => {
            let text = script.said_before(number);
            let asked = Script { steps: vec![Step::Say(text, 1)], end: End::Finish, ..script.clone() };
            held(&asked, &[0], setup).heard.len()
        }
    };
    script.steps.iter().enumerate().map(of_step).collect()
}

fn held(script: &Script, due: &[usize], setup: Setup) -> Outcome {
    match script.service {
        Service::Zen => held_by::<zen::Service>(script, due, setup),
        Service::Bytes => held_by::<bytes::Service>(script, due, setup),
        Service::Echo => held_by::<echo::Service>(script, due, setup),
        Service::Panics => held_by::<panics::Service>(script, due, setup),
    }
}

fn held_by<S: Serve>(script: &Script, due: &[usize], setup: Setup) -> Outcome {
    let (ours, theirs) = pair();
    let server = thread::spawn(move || {
        let service = S::start(&setup.settings());
        told(&converse(ours, service.converse(None), &setup.limits()).expect("a conversation"))
    });
    let (heard, _staying) = play(theirs, script, due);
    Outcome { heard, reason: server.join().expect("a panic of a protocol is caught") }
}

/// A reason in the words of a server's log, but for how much is unsent: that depends on how much room the kernel had.
fn told(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Finished => "closed normally".to_owned(),
        CloseReason::MidRequest(1) => "sent 1 byte but then closed".to_owned(),
        CloseReason::MidRequest(bytes) => format!("sent {bytes} bytes but then closed"),
        CloseReason::Unsent(_) => UNSENT.to_owned(),
        CloseReason::Panicked(message) => format!("its protocol panicked: {message}"),
        CloseReason::Reset | CloseReason::Io(_) => reason.to_string(),
        _ => format!("was hung up on: {reason}"),
    }
}

/// The reason that a line of a server's log gives for the end of the conversation with `peer`, if it does.
pub fn reason_in(line: &str, peer: &str) -> Option<String> {
    if let Some(at) = line.find("its protocol panicked: ") {
        return Some(line[at..].to_owned());
    }
    let (_, behind) = line.split_once(peer)?;
    let reason = behind.strip_prefix(": ").or_else(|| behind.strip_prefix(' '))?;
    match reason {
        _ if reason.starts_with("is told ") => None, // the end itself follows
        _ if reason.starts_with(UNSENT) => Some(UNSENT.to_owned()),
        reason => Some(reason.to_owned()),
    }
}

const UNSENT: &str = "closed before we sent";

#[test]
fn a_reason_is_found_in_the_log_of_the_right_client() {
    let peer = "127.0.0.1:4000";
    let log = " INFO accepted from 127.0.0.1:4000\n INFO 127.0.0.1:40001 closed normally\n\
               INFO 127.0.0.1:4000 is told \"Error\" and hung up on\n INFO 127.0.0.1:4000 closed before we sent 7 bytes";
    let found: Vec<String> = log.lines().filter_map(|line| reason_in(line, peer)).collect();
    assert_eq!(found, ["closed before we sent"]);
    assert_eq!(
        reason_in(" INFO client error: 127.0.0.1:4000: reset by the peer", peer),
        Some("reset by the peer".into())
    );
}
