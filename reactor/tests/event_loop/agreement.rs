//! Who waits is a choice made afterwards. What a blocking thread answers ([`converse`]) is what everybody answers, and the
//! reason for which it ends is everybody's: a conversation in memory, a loop over each backend with each trigger, and a loop over
//! the simulated kernel with whatever whims it has, however the client's words are cut and whenever its pauses end.

use std::fmt;
#[cfg(feature = "sim")]
use std::io;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use reactor::event_loop::adapter::{Delimited, Frames};
use reactor::event_loop::{
    CloseReason, Context, InMemory, Limits, Protocol, Reactor, Timer, Watermarks, converse,
};
use reactor::{Backend, Trigger};

#[cfg(feature = "sim")]
use reactor::simulation::{self, Simulation};

use crate::bench::{PATIENCE, millis, read_available, write_some};
use crate::triggers::ways;

// ---------------------------------------------------------------------------------------------------------- protocols

/// Lines, some of which ask for something special: to be answered later (`wait`, `post`, `drain`), and what then (`wait bye`).
#[derive(Default)]
struct Lines {
    then: Then,
}

/// What follows a late answer.
#[derive(Default)]
enum Then {
    #[default]
    GoOn,
    Bye,
    Half,
}

impl Lines {
    fn late(&mut self, answer: &[u8], cx: &mut Context<'_, ()>) {
        cx.write(answer);
        match std::mem::take(&mut self.then) {
            Then::GoOn => cx.resume_reading(),
            Then::Bye => cx.close(),
            Then::Half => {
                cx.close_write();
                cx.resume_reading();
            }
        }
    }
}

impl Frames for Lines {
    type Message = ();
    fn delimiter(&self) -> u8 {
        b'\n'
    }
    fn longest(&self) -> usize {
        60
    }
    fn frame(&mut self, frame: &[u8], cx: &mut Context<'_, ()>) {
        let mut words = frame.splitn(2, |byte| *byte == b' ');
        let (first, then) = (words.next().unwrap_or_default(), words.next());
        self.then = match then {
            Some(b"bye") => Then::Bye,
            Some(b"half") => Then::Half,
            _ => Then::GoOn,
        };
        match first {
            b"bye" => {
                cx.write_static(b"bye yourself\n");
                cx.close();
            }
            b"half" => cx.close_write(),
            b"much" => cx.write_owned(vec![b'm'; 3000]),
            b"wait" => {
                cx.pause_reading();
                cx.start_timer(millis(1));
            }
            b"post" => {
                cx.pause_reading();
                cx.send(cx.id(), ()).expect("there is room in the mailbox");
            }
            b"drain" => {
                cx.write(&[b'd'; 500]);
                cx.pause_reading();
                cx.notify_drained();
            }
            line => {
                cx.buffer().extend(line.iter().rev());
                cx.write(b"\n");
            }
        }
    }
    fn too_long(&mut self, cx: &mut Context<'_, ()>) {
        cx.write(b"too long\n");
    }
    fn timer(&mut self, _: Timer, cx: &mut Context<'_, ()>) {
        self.late(b"waited\n", cx);
    }
    fn message(&mut self, (): (), cx: &mut Context<'_, ()>) {
        self.late(b"posted\n", cx);
    }
    fn drained(&mut self, cx: &mut Context<'_, ()>) {
        self.late(b"drained\n", cx);
    }
}

/// A byte that says how many follow. Some answers come later, and the input waits for them; so does the end.
#[derive(Default)]
struct Prefixed {
    waiting: Option<u8>,
}

impl Protocol for Prefixed {
    type Message = ();
    fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
        let length = usize::from(input[0] % 32);
        let Some(words) = input.get(1..=length) else { return 0 };
        let sum = words.iter().fold(length as u8, |sum, &byte| sum.wrapping_add(byte));
        match sum % 4 {
            0 => {
                self.waiting = Some(sum);
                cx.pause_reading();
                cx.start_timer(millis(u64::from(sum % 3)));
            }
            1 => cx.write(&vec![sum; usize::from(sum)]),
            _ => cx.write(&[length as u8, sum]),
        }
        1 + length
    }
    fn timer(&mut self, _: Timer, cx: &mut Context<'_, ()>) {
        let sum = self.waiting.take().expect("one timer at a time");
        cx.write(&[b'?', sum]);
        cx.resume_reading();
    }
    fn eof(&mut self, cx: &mut Context<'_, ()>) {
        assert_eq!(self.waiting, None, "not while paused");
        cx.write(b"the end");
        cx.close();
    }
}

/// Another protocol, and why it was closed.
struct Recorded<P> {
    inner: P,
    closed: Arc<Mutex<Vec<String>>>,
}

impl<P: Protocol<Message = ()>> Protocol for Recorded<P> {
    type Message = ();
    fn opened(&mut self, cx: &mut Context<'_, ()>) {
        self.inner.opened(cx);
    }
    fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
        self.inner.received(input, cx)
    }
    fn eof(&mut self, cx: &mut Context<'_, ()>) {
        self.inner.eof(cx);
    }
    fn drained(&mut self, cx: &mut Context<'_, ()>) {
        self.inner.drained(cx);
    }
    fn timer(&mut self, timer: Timer, cx: &mut Context<'_, ()>) {
        self.inner.timer(timer, cx);
    }
    fn message(&mut self, (): (), cx: &mut Context<'_, ()>) {
        self.inner.message((), cx);
    }
    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, ()>) {
        self.closed.lock().unwrap().push(reason.to_string());
    }
}

// ------------------------------------------------------------------------------------------------------ conversations

/// What the client says, and where it takes a breath.
#[derive(Clone)]
struct Speech {
    pieces: Vec<Vec<u8>>,
    marks: Watermarks,
    read_budget: usize,
}

/// In words that can be put into a test.
impl fmt::Debug for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Speech { pieces, marks: Watermarks { high, low }, read_budget } = self;
        let pieces: Vec<String> =
            pieces.iter().map(|piece| format!("b\"{}\"", piece.escape_ascii())).collect();
        write!(f, "said(&[{}], ({high}, {low}), {read_budget})", pieces.join(", "))
    }
}

/// What it heard, and how it ended for the other side.
#[derive(Debug, PartialEq)]
struct Outcome {
    answers: Vec<u8>,
    closed: Vec<String>,
}

fn in_memory<P: Protocol<Message = ()>>(inner: P, speech: &Speech) -> Outcome {
    let closed = Arc::default();
    let protocol = Recorded { inner, closed: Arc::clone(&closed) };
    let mut peer = InMemory::with(protocol, Limits::default(), speech.marks);
    for piece in &speech.pieces {
        peer.input(piece);
    }
    peer.end();
    for _ in 0..10_000 {
        if peer.closed().is_some() {
            break;
        }
        peer.advance(millis(1));
    }
    let closed = closed.lock().unwrap().clone();
    Outcome { answers: peer.take_output(), closed }
}

fn on_a_thread<P: Protocol<Message = ()> + Send + 'static>(inner: P, speech: &Speech) -> Outcome {
    let closed = Arc::default();
    let protocol = Recorded { inner, closed: Arc::clone(&closed) };
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    let server =
        std::thread::spawn(move || converse(ours, protocol, &Limits::default()).unwrap().to_string());
    for piece in &speech.pieces {
        if theirs.write_all(piece).is_err() {
            break; // it said goodbye
        }
    }
    let _ = theirs.shutdown(Shutdown::Write);
    let mut answers = Vec::new();
    let _ = theirs.read_to_end(&mut answers);
    drop(theirs);
    let reason = server.join().unwrap();
    let closed = closed.lock().unwrap().clone();
    assert_eq!(closed, [reason]);
    Outcome { answers, closed }
}

fn on_a_loop<P: Protocol<Message = ()> + 'static>(
    (backend, trigger): (Backend, Trigger),
    inner: P,
    speech: &Speech,
) -> Outcome {
    let closed = Arc::default();
    let protocol = Recorded { inner, closed: Arc::clone(&closed) };
    let mut reactor = Reactor::builder()
        .backend(backend)
        .trigger(trigger)
        .watermarks(speech.marks)
        .read_budget(speech.read_budget)
        .build()
        .unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    reactor.adopt(ours, protocol).unwrap();
    let (start, mut answers, mut pieces) = (Instant::now(), Vec::new(), speech.pieces.iter());
    loop {
        match pieces.next() {
            Some(piece) => {
                let mut rest = &piece[..];
                while !rest.is_empty() && reactor.connections() > 0 {
                    rest = &rest[write_some(&mut theirs, rest)..];
                    reactor.turn(Some(Duration::ZERO)).unwrap();
                }
            }
            None => {
                let _ = theirs.shutdown(Shutdown::Write);
            }
        }
        if read_available(&mut theirs, &mut answers).is_some() && reactor.connections() == 0 {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "it never ends: {answers:?}");
        reactor.turn(Some(millis(if pieces.len() > 0 { 0 } else { 5 }))).unwrap();
    }
    let closed = closed.lock().unwrap().clone();
    Outcome { answers, closed }
}

/// Under some seeds, with each trigger there is whatever the simulated kernel can do.
#[cfg(feature = "sim")]
fn in_simulations<P: Protocol<Message = ()> + 'static>(make: fn() -> P, speech: &Speech, expected: &Outcome) {
    for trigger in [None, Some(Trigger::Level), Some(Trigger::OneShot)] {
        // The seeds differ from speech to speech, and are the same when a speech is repeated.
        let first =
            speech.pieces.iter().flatten().fold(0, |sum: u64, byte| sum * 31 % 65_521 + u64::from(*byte));
        simulation::seeds(first..first + 3, |simulation| {
            let found = in_a_simulation(simulation, trigger, make, speech)?;
            assert_eq!(&found, expected, "simulated, {trigger:?}");
            Ok(())
        });
    }
}

#[cfg(feature = "sim")]
fn in_a_simulation<P: Protocol<Message = ()> + 'static>(
    simulation: &Simulation,
    trigger: Option<Trigger>,
    make: fn() -> P,
    speech: &Speech,
) -> io::Result<Outcome> {
    let builder = Reactor::builder().watermarks(speech.marks).read_budget(speech.read_budget);
    let builder = match trigger {
        Some(trigger) => builder.trigger(trigger),
        None => builder,
    };
    let mut reactor = builder.build()?;
    let closed = Arc::new(Mutex::new(Vec::new()));
    let (address, kept) = (([127, 0, 0, 1], 1060).into(), Arc::clone(&closed));
    reactor.listen(address, move |_| Some(Recorded { inner: make(), closed: Arc::clone(&kept) }))?;
    let client = simulation.connect(address);
    speech.pieces.iter().for_each(|piece| client.send(piece));
    client.finish();
    let mut turns = 0;
    simulation.run(&mut reactor, || {
        // A network that carries a byte at a time would carry them until tomorrow.
        turns += 1;
        if turns == 1000 {
            simulation.calm();
        }
        client.is_finished() && !closed.lock().unwrap().is_empty()
    })?;
    let closed = closed.lock().unwrap().clone();
    Ok(Outcome { answers: client.received(), closed })
}

fn all_agree<P: Protocol<Message = ()> + Send + 'static>(make: fn() -> P, speech: &Speech) {
    let expected = on_a_thread(make(), speech);
    assert_eq!(in_memory(make(), speech), expected, "in memory");
    for way in ways() {
        assert_eq!(on_a_loop(way, make(), speech), expected, "{way:?}");
    }
    #[cfg(feature = "sim")]
    in_simulations(make, speech, &expected);
}

// -------------------------------------------------------------------------------------------------------- the scripts

fn line() -> impl Strategy<Value = Vec<u8>> {
    let text = proptest::collection::vec(b'a'..=b'z', 0..40);
    let later: &'static [&str] = &[
        "wait",
        "wait bye",
        "wait half",
        "post",
        "post bye",
        "post half",
        "drain",
        "drain bye",
        "drain half",
    ];
    prop_oneof![
        12 => text,
        6 => prop::sample::select(later).prop_map(|line| line.as_bytes().to_vec()),
        2 => Just(b"much".to_vec()),
        1 => Just(b"bye".to_vec()),
        1 => Just(b"half".to_vec()),
        1 => proptest::collection::vec(b'a'..=b'z', 55..90),
    ]
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    let tail = prop_oneof![3 => Just(Vec::new()), 1 => line()];
    (proptest::collection::vec(line(), 0..12), tail).prop_map(|(lines, tail)| {
        let mut text: Vec<u8> = lines.into_iter().flat_map(|line| [line, b"\n".to_vec()].concat()).collect();
        text.extend(tail);
        text
    })
}

fn cut(text: Vec<u8>, mut cuts: Vec<prop::sample::Index>) -> Vec<Vec<u8>> {
    let mut at: Vec<usize> = cuts.drain(..).map(|cut| cut.index(text.len() + 1)).collect();
    at.extend([0, text.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| text[pair[0]..pair[1]].to_vec()).filter(|piece| !piece.is_empty()).collect()
}

fn speech(text: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Speech> {
    let cuts = proptest::collection::vec(any::<prop::sample::Index>(), 0..8);
    let marks = prop_oneof![
        2 => Just(Watermarks::default()),
        1 => (1usize..300).prop_map(|high| Watermarks { high, low: high / 3 }),
    ];
    let read_budget = prop_oneof![2 => Just(64 * 1024), 1 => 1usize..50];
    (text, cuts, marks, read_budget).prop_map(|(text, cuts, marks, read_budget)| Speech {
        pieces: cut(text, cuts),
        marks,
        read_budget,
    })
}

/// A speech as a failure prints it: each that ever failed is a test of its own below.
fn said(pieces: &[&[u8]], (high, low): (usize, usize), read_budget: usize) -> Speech {
    let pieces = pieces.iter().map(|piece| piece.to_vec()).collect();
    Speech { pieces, marks: Watermarks { high, low }, read_budget }
}

#[test]
fn a_farewell_behind_a_pause_is_answered_alike_with_room_for_little() {
    let speech = said(&[b"wait\nab", b"c\nmuch\nha", b"lf\nwait\nbye\nnever heard"], (1, 0), 3);
    all_agree(|| Delimited(Lines::default()), &speech);
}

#[test]
fn long_answers_with_room_for_little_are_answered_alike() {
    let speech = said(&[b"abc\nmuch\nab\nmuch\ni", b"swabbkgc\nabc\n", b"wvoenvhkt"], (1, 0), 65536);
    all_agree(|| Delimited(Lines::default()), &speech);
}

/// On the simulated kernel sendmsg(2) took the first piece and said no more: a short transfer without an edge to follow.
#[test]
fn an_answer_of_several_pieces_does_not_stop_between_two_of_them() {
    let speech = said(
        &[
            b"eudbmih\nmuch\nxjs\nmuch\nzsfzvaactvxjpplovypqqooqxdzmejrlyyyswxfucujhezfxvdbwgnodzplemduv",
            b"jqoolqfmdalhvxlnywb",
            b"amaq\nbhlrhrpuazatb\nwfivuqu",
        ],
        (65536, 16384),
        24,
    );
    all_agree(|| Delimited(Lines::default()), &speech);
}

#[test]
fn drained_comes_after_a_half_close_whoever_waits() {
    all_agree(
        || Delimited(Lines::default()),
        &said(&[b"half\ndrain\n", b"post\ndrain\nab"], (65536, 16384), 65536),
    );
}

#[test]
fn the_end_does_not_overtake_what_is_held_whoever_waits() {
    all_agree(|| Delimited(Lines::default()), &said(&[b"wait half\ndrain\nwait\n"], (65536, 16384), 65536));
}

#[test]
fn a_protocol_that_closes_with_requests_left_ends_for_the_same_reason_whoever_waits() {
    for pieces in [&[&b"wait half\ndrain half\nwait bye\n"[..], b"more\n"][..], &[b"wait bye\nmore\n"]] {
        all_agree(|| Delimited(Lines::default()), &said(pieces, (65536, 16384), 65536));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn lines_are_answered_alike_whoever_waits(speech in speech(lines())) {
        all_agree(|| Delimited(Lines::default()), &speech);
    }

    #[test]
    fn counted_words_are_answered_alike_whoever_waits(
        speech in speech(proptest::collection::vec(any::<u8>(), 0..300)),
    ) {
        all_agree(Prefixed::default, &speech);
    }
}
