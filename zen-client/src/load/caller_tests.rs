//! A caller in memory: a test plays the server, and time passes when the test says so.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use reactor::event_loop::{InMemory, Limits, Watermarks};
use zen_server::services::bytes::Content;

use super::*;

/// One caller's plan, for three requests of five bytes.
fn plan(service: Service) -> Plan {
    Plan {
        service,
        at_once: 1,
        each: Some(3),
        bytes: 5,
        reconnect: false,
        pipeline: 1,
        duration: None,
        timeout: Duration::from_secs(10),
    }
}

/// A desk, its only caller connected to the test, and the clock by which latencies are measured.
struct Fixture {
    desk: Rc<Desk>,
    caller: InMemory<Caller>,
    clock: Rc<Cell<Instant>>,
}

impl Fixture {
    fn new(plan: Plan) -> Fixture {
        let clock = Rc::new(Cell::new(Instant::now()));
        let time = Rc::clone(&clock);
        let desk = Desk::new(plan, move || time.get());
        let caller = connect(&desk);
        Fixture { desk, caller, clock }
    }

    fn advance(&mut self, time: Duration) {
        self.clock.set(self.clock.get() + time);
        self.caller.advance(time);
    }

    fn asked(&mut self) -> String {
        String::from_utf8(self.caller.take_output()).expect("requests are text")
    }

    /// Answered, failed in this way, and failed at all.
    fn counts(&self, kind: Kind) -> (u64, u64, u64) {
        self.desk.read(|tally| (tally.answered, tally.failed_as(kind), tally.failures()))
    }
}

fn connect(desk: &Rc<Desk>) -> InMemory<Caller> {
    let (slot, when) = desk.take_waiting(1).pop().expect("somebody waits");
    assert_eq!(when, When::Now);
    InMemory::new(Caller::new(desk, slot))
}

fn content(length: usize) -> Vec<u8> {
    let mut content = vec![0; length];
    Content::new().fill(&mut content);
    content
}

#[test]
fn one_question_follows_the_answer_to_the_other() {
    let mut fixture = Fixture::new(plan(Service::Zen));
    assert_eq!(fixture.asked(), "Beautiful is better than?");
    fixture.caller.input(b"Ug");
    fixture.caller.input(b"ly.");
    assert_eq!(fixture.asked(), "Explicit is better than?");
    fixture.caller.input(b"Implicit.");
    assert_eq!(fixture.asked(), "Simple is better than?");
    fixture.caller.input(b"Complex.");
    assert_eq!(fixture.counts(Kind::Other), (2, 0, 0), "the last one counts when nothing came behind it");
    assert!(fixture.caller.is_write_closed() && fixture.caller.closed().is_none());
    fixture.caller.end();
    assert_eq!(fixture.counts(Kind::Other), (3, 0, 0));
    assert!(!fixture.desk.is_busy() && !fixture.desk.is_somebody_waiting());
}

#[test]
fn each_request_gets_a_connection_if_the_plan_says_so() {
    let mut fixture = Fixture::new(Plan { reconnect: true, ..plan(Service::Bytes) });
    for request in 1..=3 {
        assert_eq!(fixture.asked(), "5\n");
        fixture.caller.input(&content(5));
        assert_eq!(fixture.asked(), "");
        fixture.caller.end();
        assert_eq!(fixture.counts(Kind::Other), (request, 0, 0));
        if request < 3 {
            fixture.caller = connect(&fixture.desk);
        }
    }
    assert!(!fixture.desk.is_busy() && !fixture.desk.is_somebody_waiting());
    assert_eq!(fixture.desk.read(|tally| (tally.attempts, tally.connected, tally.received)), (3, 3, 15));
}

#[test]
fn several_requests_are_under_way_in_a_pipeline() {
    let mut fixture = Fixture::new(Plan { pipeline: 2, ..plan(Service::Bytes) });
    assert_eq!(fixture.asked(), "5\n5\n");
    let three = [content(5), content(5), content(5)].concat();
    fixture.caller.input(&three[..4]);
    assert_eq!(fixture.asked(), "");
    fixture.caller.input(&three[4..6]);
    assert_eq!(fixture.asked(), "5\n");
    fixture.caller.input(&three[6..]);
    fixture.caller.end();
    assert_eq!(fixture.counts(Kind::Other), (3, 0, 0));
}

#[test]
fn a_long_echo_is_made_no_faster_than_it_is_taken() {
    const LONG: usize = 10_000_000;
    let plan = Plan { bytes: LONG as u64, each: Some(2), pipeline: 2, ..plan(Service::Echo) };
    let desk = Desk::new(plan, Instant::now);
    let (slot, _) = desk.take_waiting(1).pop().unwrap();
    let marks = Watermarks::default();
    let mut caller = InMemory::with(Caller::new(&desk, slot), Limits::default(), marks);
    let mut echoed = 0;
    while caller.closed().is_none() {
        let heard = caller.take_output();
        caller.set_window(20_000);
        assert!(caller.unsent() < marks.high, "it would not read any more");
        echoed += heard.len();
        caller.input(&heard);
        if echoed == 2 * LONG {
            caller.end();
        }
    }
    assert_eq!(desk.read(|tally| (tally.answered, tally.sent)), (2, 2 * LONG as u64));
}

#[test]
fn other_bytes_are_a_wrong_answer() {
    let mut wrong = content(5);
    wrong[4] ^= 0x20;
    let more = [&content(5)[..], b"\x1b[2J"].concat();
    for (came, told) in
        [(&wrong, "byte 4 of an answer is"), (&more, "more came than was asked for: \"\\x1b[2J\"")]
    {
        let mut fixture = Fixture::new(Plan { each: Some(1), ..plan(Service::Bytes) });
        fixture.caller.input(came);
        assert_eq!(fixture.counts(Kind::WrongAnswer), (0, 1, 1));
        assert!(fixture.caller.closed().is_some());
        fixture.desk.read(|tally| assert!(tally.first_failure.as_ref().unwrap().starts_with(told)));
    }
}

#[test]
fn what_comes_behind_the_last_answer_makes_it_wrong() {
    let mut fixture = Fixture::new(Plan { each: Some(1), ..plan(Service::Bytes) });
    fixture.caller.input(&content(5));
    fixture.caller.input(b"!");
    assert_eq!(fixture.counts(Kind::WrongAnswer), (0, 1, 1));
}

#[test]
fn a_server_that_hangs_up_in_the_middle_closed_early() {
    let mut fixture = Fixture::new(plan(Service::Bytes));
    fixture.caller.input(&content(4));
    fixture.caller.end();
    assert_eq!(fixture.counts(Kind::ClosedEarly), (0, 1, 1));
    fixture.desk.read(|tally| {
        assert_eq!(
            tally.first_failure.as_deref(),
            Some("the server hung up with 4 of 5 bytes of an answer here")
        );
    });
}

#[test]
fn a_break_costs_what_is_under_way_and_the_caller_goes_on() {
    let mut fixture = Fixture::new(Plan { each: Some(4), pipeline: 2, ..plan(Service::Bytes) });
    fixture.caller.input(&content(5));
    fixture.caller.reset();
    assert_eq!(fixture.counts(Kind::Reset), (1, 2, 2));
    fixture.caller = connect(&fixture.desk);
    assert_eq!(fixture.asked(), "5\n", "one of four is left");
}

#[test]
fn an_answer_has_its_time() {
    let mut fixture = Fixture::new(plan(Service::Bytes));
    fixture.advance(Duration::from_secs(9));
    fixture.caller.input(&content(5));
    fixture.advance(Duration::from_secs(9));
    assert_eq!(fixture.counts(Kind::TimedOut), (1, 0, 0), "each has its own");
    fixture.advance(Duration::from_secs(1));
    assert_eq!(fixture.counts(Kind::TimedOut), (1, 1, 1));
    let latency = fixture.desk.read(|tally| tally.latency.longest()).unwrap();
    assert!(latency.abs_diff(Duration::from_secs(9)) < Duration::from_millis(10), "{latency:?}");
}

#[test]
fn a_server_that_does_not_hang_up_is_left_alone() {
    let mut fixture = Fixture::new(Plan { each: Some(1), ..plan(Service::Bytes) });
    fixture.caller.input(&content(5));
    fixture.advance(Duration::from_secs(5));
    assert_eq!(fixture.counts(Kind::Other), (1, 0, 0));
    assert!(!fixture.desk.is_busy());
}

#[test]
fn when_the_time_is_up_what_is_under_way_may_finish() {
    let mut fixture = Fixture::new(Plan { each: None, ..plan(Service::Bytes) });
    fixture.caller.input(&content(5));
    fixture.desk.close();
    fixture.caller.input(&content(5));
    assert!(fixture.caller.is_write_closed());
    fixture.caller.end();
    assert_eq!(fixture.counts(Kind::Other), (2, 0, 0));
    assert!(!fixture.desk.is_busy());
}

#[test]
fn a_full_backlog_is_waited_for_and_a_refusal_counted() {
    let desk = Desk::new(Plan { at_once: 2, ..plan(Service::Zen) }, Instant::now);
    let slots = desk.take_waiting(usize::MAX);
    desk.not_connected(slots[0].0, Kind::Other, &io::ErrorKind::WouldBlock.into());
    assert_eq!(desk.read(|tally| (tally.attempts, tally.made)), (0, 0));
    desk.not_connected(slots[1].0, Kind::Refused, &io::ErrorKind::ConnectionRefused.into());
    assert_eq!(desk.read(|tally| (tally.attempts, tally.made, tally.failed_as(Kind::Refused))), (1, 1, 1));
    let waiting = desk.take_waiting(usize::MAX);
    assert_eq!(waiting.iter().map(|(_, when)| *when).collect::<Vec<_>>(), [When::Rested; 2]);
    assert!(!desk.gave_up());
}

#[test]
fn if_nobodys_first_request_succeeds_it_gives_up() {
    let desk = Desk::new(Plan { at_once: 2, ..plan(Service::Zen) }, Instant::now);
    for (slot, _) in desk.take_waiting(2) {
        assert!(!desk.gave_up());
        desk.not_connected(slot, Kind::Refused, &io::ErrorKind::ConnectionRefused.into());
    }
    assert!(desk.gave_up());
    assert_eq!(desk.read(|tally| tally.made), 2);
}
