//! Mistakes, planted: in loops over layer 1 and in protocols. Each is found, and the command that is printed repeats it.

use std::cell::Cell;
use std::env;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::process::Command;

use reactor::Trigger;
use reactor::event_loop::{Context, Protocol, Reactor, Watermarks};
use reactor::simulation::{self, Simulation};

use super::layer1::{Mistake, echo};
use super::{address, live};

/// The search fails with `complaint`, and so does what it prints, in another process.
fn assert_found(search: impl FnOnce() -> usize, complaint: &str) {
    let failure = panic::catch_unwind(AssertUnwindSafe(search)).expect_err("the mistake was not found");
    if env::var_os("REACTOR_SIM").is_some() {
        panic::resume_unwind(failure); // here is that other process
    }
    let message = failure.downcast_ref::<String>().expect("it says what it found");
    let (problem, command) = message.split_once("\nrepeat it with: ").expect("it says how to repeat it");
    assert!(problem.contains(complaint), "{problem}");
    let again = Command::new("sh").args(["-c", command]).output().expect("there is a shell");
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(!again.status.success() && said.contains(message.as_str()), "{command}\n{said}");
}

fn assert_mistake_found(trigger: Trigger, mistake: Mistake, complaint: &str) {
    let run = |simulation: &Simulation| echo(simulation, trigger, Some(mistake));
    assert_found(|| simulation::seeds(0..1_000, run), complaint);
}

const AT_REST: &str = "the simulation is at rest";

#[test]
fn a_loop_that_ignores_short_writes_is_found() {
    assert_mistake_found(Trigger::Edge, Mistake::IgnoresShortWrites, "left == right");
}

#[test]
fn a_loop_that_reads_once_for_each_edge_is_found() {
    assert_mistake_found(Trigger::Edge, Mistake::ReadsOnce, AT_REST);
}

#[test]
fn a_loop_that_believes_every_event_is_found() {
    assert_mistake_found(Trigger::Level, Mistake::BelievesReadiness, "left == right");
}

#[test]
fn a_loop_that_gives_up_when_interrupted_is_found() {
    assert_mistake_found(Trigger::Level, Mistake::GivesUpWhenInterrupted, "os error");
}

#[test]
fn a_loop_that_forgets_to_wait_for_writing_is_found() {
    assert_mistake_found(Trigger::Edge, Mistake::ForgetsToWaitForWriting, AT_REST);
}

#[test]
fn a_loop_that_closes_too_early_is_found() {
    assert_mistake_found(Trigger::Edge, Mistake::ClosesTooEarly, "left == right");
}

/// Protocols with mistakes.
#[derive(Copy, Clone)]
enum Broken {
    /// Takes what one call brings for a whole line.
    TakesPiecesForLines,
    /// Pauses when there is no room, and does not go on.
    ForgetsToResume,
    /// Does nothing about the end.
    MissesTheEnd,
}

impl Protocol for Broken {
    type Message = ();

    fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
        match self {
            Broken::TakesPiecesForLines => cx.write(format!("{}\n", input.len() - 1).as_bytes()),
            _ => cx.write(input),
        }
        if let (Broken::ForgetsToResume, 0) = (*self, cx.room()) {
            cx.pause_reading();
        }
        input.len()
    }

    fn eof(&mut self, cx: &mut Context<'_, ()>) {
        if !matches!(self, Broken::MissesTheEnd) {
            cx.close();
        }
    }
}

fn converse(simulation: &Simulation, protocol: Broken, expected: &[u8]) -> io::Result<()> {
    let marks = Watermarks { high: 4, low: 1 };
    let mut reactor = Reactor::<Broken>::builder().watermarks(marks).build()?;
    reactor.listen(address(), move |_| Some(protocol))?;
    let client = simulation.connect(address());
    client.send(b"errors should never pass silently\n");
    client.finish();
    live(simulation, &mut reactor, || client.is_finished())?;
    assert_eq!(String::from_utf8_lossy(&client.received()), String::from_utf8_lossy(expected));
    Ok(())
}

#[test]
fn a_protocol_that_takes_pieces_for_lines_is_found() {
    let run = |simulation: &Simulation| converse(simulation, Broken::TakesPiecesForLines, b"33\n");
    assert_found(|| simulation::explore(1, run), "left == right");
}

#[test]
fn a_protocol_that_forgets_to_resume_is_found() {
    let echo = b"errors should never pass silently\n";
    let run = |simulation: &Simulation| converse(simulation, Broken::ForgetsToResume, echo);
    assert_found(|| simulation::seeds(0..1_000, run), AT_REST);
}

#[test]
fn a_protocol_that_misses_the_end_is_found() {
    let echo = b"errors should never pass silently\n";
    let run = |simulation: &Simulation| converse(simulation, Broken::MissesTheEnd, echo);
    assert_found(|| simulation::explore(1, run), AT_REST);
}

/// What cannot be repeated is worth nothing, so it is a failure by itself.
#[test]
fn a_run_that_depends_on_something_else_is_found() {
    let runs = Cell::new(0);
    let run = |simulation: &Simulation| {
        runs.set(runs.get() + 1);
        let mut reactor = Reactor::<Broken>::builder().build()?;
        reactor.listen(address(), |_| Some(Broken::TakesPiecesForLines))?;
        let clients: Vec<_> = (0..1 + runs.get() % 2).map(|_| simulation.connect(address())).collect();
        clients.iter().for_each(|client| client.finish());
        live(simulation, &mut reactor, || clients.iter().all(|client| client.is_finished()))
    };
    let failure = panic::catch_unwind(AssertUnwindSafe(|| simulation::explore(1, run)));
    let message =
        failure.expect_err("it was not noticed").downcast::<String>().expect("it says what it found");
    assert!(message.contains("depends on more than the simulation"), "{message}");
}

/// The simplest failure comes first: one unkind choice, where one is enough.
#[test]
fn what_is_found_first_is_as_simple_as_can_be() {
    let run = |simulation: &Simulation| echo(simulation, Trigger::Level, Some(Mistake::BelievesReadiness));
    let failure = panic::catch_unwind(AssertUnwindSafe(|| simulation::explore(2, run)));
    let message = failure.expect_err("it was not found").downcast::<String>().expect("it says what it found");
    let (_, choices) = message.split_once("choices ").expect("it says what was chosen");
    let choices = choices.split('\'').next().unwrap_or_default();
    let unkind = choices.split(',').filter(|choice| !matches!(*choice, "" | "0")).count();
    assert!(unkind <= 1, "{choices}");
}
