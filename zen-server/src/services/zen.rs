//! The zen service: a question that ends with `?` gets an answer that ends with `.`.
//!
//! ```text
//! Beautiful is better than?  ->  Ugly.
//! Explicit is better than?   ->  Implicit.
//! Simple is better than?     ->  Complex.
//! anything else?             ->  Error: unknown aphorism.
//! ```
//!
//! A client may ask as often as it likes. TCP is a stream, so a question may arrive in pieces and several in one piece:
//! every `?` ends one question, and every other byte, line ends included, belongs to a question.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use reactor::event_loop::adapter::{Delimited, Frames};
use reactor::event_loop::{CloseReason, Context, Timer};

use super::{Book, Serve, Settings, Totals};
use crate::events;
use crate::peer::Peer;

/// The port of the classic texts.
pub const DEFAULT_PORT: u16 = 1060;

/// The questions that have an answer, with it.
pub const APHORISMS: [(&str, &str); 3] = [
    ("Beautiful is better than?", "Ugly."),
    ("Explicit is better than?", "Implicit."),
    ("Simple is better than?", "Complex."),
];

/// Bytes of the longest question, its `?` included. Whoever sends more is told so and hung up on: without a bound, one
/// client that never asks could fill the memory.
pub const LONGEST_QUESTION: usize = 4096;

/// What there is to answer, in one byte.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The other half of the first aphorism,
    Ugly,
    /// the second,
    Implicit,
    /// the third.
    Complex,
    /// The question is none of the three.
    Unknown,
    /// More than [`LONGEST_QUESTION`] bytes.
    TooLong,
}

impl Answer {
    /// What a question, its `?` cut off, is answered with.
    ///
    /// ```
    /// use zen_server::services::zen::Answer;
    /// assert_eq!(Answer::to(b"Simple is better than").text(), "Complex.");
    /// assert_eq!(Answer::to(b"What is better").text(), "Error: unknown aphorism.");
    /// ```
    #[inline]
    #[must_use]
    pub fn to(question: &[u8]) -> Answer {
        // Comparisons, because a `match` on byte strings is compiled into a tree of single bytes, four times as long.
        let is = |(known, _): (&str, &str)| known.as_bytes().strip_suffix(b"?") == Some(question);
        let [beautiful, explicit, simple] = APHORISMS;
        if is(beautiful) {
            Answer::Ugly
        } else if is(explicit) {
            Answer::Implicit
        } else if is(simple) {
            Answer::Complex
        } else {
            Answer::Unknown
        }
    }

    /// The bytes that go over the wire.
    #[inline]
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Answer::Ugly => APHORISMS[0].1,
            Answer::Implicit => APHORISMS[1].1,
            Answer::Complex => APHORISMS[2].1,
            Answer::Unknown => "Error: unknown aphorism.",
            Answer::TooLong => "Error: question too long.",
        }
    }
}

/// What all conversations of one thread share: how long an answer takes, what was counted, and the clients' addresses.
#[derive(Debug, Default)]
pub struct Service {
    delay: Option<Duration>,
    book: Book,
}

impl Service {
    /// A service whose answers take `delay` each: the texts' "expensive answer".
    #[must_use]
    pub fn new(delay: Option<Duration>) -> Rc<Service> {
        Service::start(&Settings { delay, ..Settings::default() })
    }

    /// The protocol for one more connection, from `peer` (`None`: over a Unix socket).
    #[must_use]
    pub fn converse(self: &Rc<Self>, peer: Option<SocketAddr>) -> Conversation {
        Delimited(Questions { service: Rc::clone(self), peer: self.book.remember(peer), pending: None })
    }

    /// What was counted so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.book.totals()
    }
}

impl Serve for Service {
    type Conversation = Conversation;

    const PORT: u16 = DEFAULT_PORT;
    const REQUEST: &'static str = "question";
    const TERMINATOR: Option<u8> = Some(b'?');

    fn start(settings: &Settings) -> Rc<Service> {
        Rc::new(Service { delay: settings.delay, book: Book::new(settings.tally.clone()) })
    }

    fn converse(self: &Rc<Self>, peer: Option<SocketAddr>) -> Conversation {
        Service::converse(self, peer)
    }
}

/// One connection's side of the service, as a protocol of bytes.
pub type Conversation = Delimited<Questions>;

/// One connection's side of the service.
///
/// With ten thousand idle clients each byte here is ten thousand, so it remembers only whom it talks to and, while an
/// expensive answer is being worked out, which one.
#[derive(Debug)]
pub struct Questions {
    service: Rc<Service>,
    peer: Peer,
    pending: Option<Answer>,
}

const _: () = assert!(size_of::<Conversation>() == 16, "an idle client must stay small");

impl Questions {
    #[inline]
    fn say(&self, answer: Answer, cx: &mut Context<'_, Infallible>) {
        let text = answer.text();
        cx.write(text.as_bytes());
        self.service.book.said(text.len());
    }
}

impl Frames for Questions {
    type Message = Infallible;

    fn delimiter(&self) -> u8 {
        b'?'
    }

    fn longest(&self) -> usize {
        LONGEST_QUESTION - 1
    }

    fn opened(&mut self, _: &mut Context<'_, Infallible>) {
        self.service.book.opened(&self.peer);
    }

    /// Answers at once, or, if answers are expensive, later: no other question is looked at until then, so the answers
    /// stay in order, and no other client has to wait.
    #[inline]
    fn frame(&mut self, question: &[u8], cx: &mut Context<'_, Infallible>) {
        let answer = Answer::to(question);
        events::asked(question, answer.text());
        self.service.book.asked(question.len() + 1);
        match self.service.delay {
            None => self.say(answer, cx),
            Some(delay) => {
                self.pending = Some(answer);
                cx.pause_reading();
                cx.start_timer(delay);
            }
        }
    }

    fn timer(&mut self, _: Timer, cx: &mut Context<'_, Infallible>) {
        if let Some(answer) = self.pending.take() {
            self.say(answer, cx);
        }
        cx.resume_reading();
    }

    fn too_long(&mut self, cx: &mut Context<'_, Infallible>) {
        self.say(Answer::TooLong, cx);
        self.service.book.refused(&self.peer, Answer::TooLong.text());
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, Infallible>) {
        self.service.book.closed(&self.peer, reason);
    }
}

impl Drop for Questions {
    fn drop(&mut self) {
        self.service.book.forget(&self.peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reactor::event_loop::{InMemory, Limits, Watermarks};

    const UNKNOWN: &str = "Error: unknown aphorism.";

    fn client(delay: Option<Duration>) -> InMemory<Conversation> {
        InMemory::new(Service::new(delay).converse(None))
    }

    fn heard(client: &mut InMemory<Conversation>) -> String {
        String::from_utf8(client.take_output()).unwrap()
    }

    #[test]
    fn each_question_mark_ends_one_question_however_the_bytes_arrive() {
        let asked = "Beautiful is better than?Simple is better than??Explicit is better than?";
        let answered = ["Ugly.", "Complex.", UNKNOWN, "Implicit."].concat();
        for size in 1..=asked.len() {
            let mut client = client(None);
            asked.as_bytes().chunks(size).for_each(|piece| client.input(piece));
            assert_eq!(heard(&mut client), answered, "in pieces of {size}");
            assert_eq!(client.unconsumed(), 0);
        }
    }

    #[test]
    fn a_question_of_4_kib_is_answered_and_a_longer_one_is_refused() {
        for (length, answer) in [(4095, UNKNOWN), (4096, "Error: question too long.")] {
            for size in [1, 1000, 5000] {
                let mut client = client(None);
                let question = "x".repeat(length) + "?";
                question.as_bytes().chunks(size).for_each(|piece| client.input(piece));
                assert_eq!(heard(&mut client), answer, "{length} in pieces of {size}");
                assert_eq!(client.closed().is_some(), length > 4095);
            }
        }
    }

    #[test]
    fn nothing_is_said_after_a_refusal() {
        let mut client = client(None);
        client.input(("Why?".to_owned() + &"x".repeat(5000) + "?Why?").as_bytes());
        assert_eq!(heard(&mut client), format!("{UNKNOWN}Error: question too long."));
    }

    #[test]
    fn expensive_answers_come_one_by_one_in_order() {
        let second = Duration::from_secs(1);
        let mut client = client(Some(second));
        client.input(b"Simple is better than?Why?Beauti");
        client.end();
        assert_eq!(heard(&mut client), "");
        client.advance(second);
        assert_eq!(heard(&mut client), "Complex.");
        client.advance(second / 2);
        assert_eq!(heard(&mut client), "");
        client.advance(second / 2);
        assert_eq!(heard(&mut client), UNKNOWN);
        assert!(matches!(client.closed(), Some(CloseReason::MidRequest(6))));
    }

    #[test]
    fn who_does_not_read_is_not_answered_further() {
        let marks = Watermarks { high: 1000, low: 100 };
        let conversation = Service::new(None).converse(None);
        let mut client = InMemory::with(conversation, Limits::default(), marks);
        client.set_window(0);
        client.input(&[b'?'; 10_000]);
        assert!(client.unsent() < 1000 + UNKNOWN.len(), "{}", client.unsent());
        assert!(client.unconsumed() > 9900);
        client.set_window(usize::MAX);
        assert_eq!(heard(&mut client), UNKNOWN.repeat(10_000));
    }

    #[test]
    fn everything_is_counted() {
        let service = Service::new(None);
        let mut client = InMemory::new(service.converse(None));
        client.input(b"Simple is better than?Why?Beau");
        client.end();
        assert_eq!(
            service.totals().display("question").to_string(),
            "1 connection, 2 questions; 30 bytes received, 32 sent"
        );
    }
}
