//! A harness that cannot fail proves nothing: each of these scenarios does something that must never be, and has to be told off
//! for it.

use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use crate::kernel::{self, Fault, rows_at};
use crate::run::{Platform, judge, play};
use crate::scenarios::{SCENARIOS, Scenario};
use crate::stage::{Scratch, Settings, Stage};
use crate::zen::QUESTIONS;

/// What is done, and what must be said of it.
type Canary = (fn(&mut Stage), &'static str);

const CANARIES: &[Canary] = &[
    (leaks_a_descriptor, "left descriptors open"),
    (closes_what_is_not_its_own, "is not the loop's to close"),
    (forgets_a_byte, "heard 4 of 5 bytes"),
    (invents_a_byte, "heard what was never said"),
    (hangs, "turns still not: it never happens"),
    (sleeps_for_ever, "sleeps for ever"),
    (spins_in_one_turn, "one turn made 20000 calls"),
    (blocks, "is blocking, and the loop hangs in it"),
    (makes_a_call_that_nobody_knows, "a call that nobody has thought of"),
    (tells_an_error_that_nothing_has_caused, "an error that no outcome excuses: out of cheese"),
];

/// Those that were not told off.
pub fn silent(platform: Platform, scratch: &Rc<Scratch>) -> Vec<String> {
    let mut silent = Vec::new();
    let usual = play(&Scenario::canary(|_| ()), platform, scratch, Vec::new(), None);
    for &(play_it, expected) in CANARIES {
        let scenario = Scenario::canary(play_it);
        let record = play(&scenario, platform, scratch, Vec::new(), Some(20));
        let said = judge(&record, &usual);
        if !said.iter().any(|complaint| complaint.contains(expected)) {
            silent.push(format!("a canary that should be told {expected:?} is told {said:?}"));
        }
    }
    if !is_rejected(platform, scratch) {
        silent.push("a run that begins differently is not rejected".to_owned());
    }
    silent
}

/// Whether a fault is refused that was meant for another run.
fn is_rejected(platform: Platform, scratch: &Rc<Scratch>) -> bool {
    let scenario = &SCENARIOS[0];
    let mut log = play(scenario, platform, scratch, Vec::new(), None).log;
    let at = log.len() - 1;
    log[at / 2].result += 1;
    let row = rows_at(log[at]).next().expect("close(2) has rows");
    let fault = Fault { at, row, call: log[at].call, prefix: log.into(), lasting: false };
    play(scenario, platform, scratch, vec![fault], None).rejected.is_some()
}

impl Scenario {
    fn canary(play: fn(&mut Stage)) -> Scenario {
        Scenario { name: "canary", settings: Settings::default, play, ends: &[] }
    }
}

fn asks(stage: &mut Stage) -> usize {
    let client = stage.client();
    stage.say(client, QUESTIONS[0]);
    stage.settle();
    client
}

fn leaks_a_descriptor(_: &mut Stage) {
    // SAFETY: takes no pointers.
    kernel::armed(|| unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) });
}

fn closes_what_is_not_its_own(_: &mut Stage) {
    let (mine, _) = UnixStream::pair().expect("a pair");
    let fd = mine.into_raw_fd();
    // SAFETY: it is open, and nobody's any more.
    kernel::armed(|| unsafe { libc::close(fd) });
}

fn forgets_a_byte(stage: &mut Stage) {
    let client = asks(stage);
    stage.clients[client].heard.pop();
}

fn invents_a_byte(stage: &mut Stage) {
    let client = asks(stage);
    stage.clients[client].heard.push(b'!');
}

fn hangs(stage: &mut Stage) {
    stage.until("it never happens", |_| false);
}

fn sleeps_for_ever(stage: &mut Stage) {
    stage.turn_for_ever();
}

fn spins_in_one_turn(_: &mut Stage) {
    for _ in 0..20_001 {
        // SAFETY: a number that is no descriptor.
        kernel::armed(|| unsafe { libc::fcntl(-1, libc::F_GETFD) });
    }
}

fn blocks(_: &mut Stage) {
    let (mine, _yours) = UnixStream::pair().expect("a pair");
    kernel::armed(|| {
        let mut byte = 0u8;
        // SAFETY: one writable byte.
        unsafe { libc::recv(std::os::fd::AsRawFd::as_raw_fd(&mine), (&raw mut byte).cast(), 1, 0) }
    });
}

fn makes_a_call_that_nobody_knows(_: &mut Stage) {
    // SAFETY: takes no pointers.
    kernel::armed(|| unsafe { libc::syscall(libc::SYS_getppid) });
}

fn tells_an_error_that_nothing_has_caused(stage: &mut Stage) {
    stage.errors.push("out of cheese".to_owned());
}
