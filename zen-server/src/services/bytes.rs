//! The bytes service: a decimal count gets that many bytes.
//!
//! ```text
//! 4096\n  ->  4096 bytes of `Content`
//! nine    ->  Error: write a count in decimal digits, and the end of the conversation
//! ```
//!
//! The content is pseudo-random but always the same, so a client can check each byte: see [`Content`]. It is made while it
//! is sent, never more than the watermarks allow, so that ten billion bytes cost no more memory than ten.
//!
//! # Where does a count end?
//! At a newline, if there is one. The classic client sends bare digits and waits. That `40` was all, and not the beginning of
//! `4096`, no protocol can know from what it has received: TCP may cut anywhere, and so does a full buffer. What tells is that
//! the digits pause, and so [`PAUSE`] is a timer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use reactor::event_loop::{CloseReason, Context, Protocol, Timer};

use super::{Book, Serve, Settings};
use crate::events;
use crate::peer::Peer;

/// The port of the classic texts.
pub const DEFAULT_PORT: u16 = 2000;

/// Bare digits are a whole count when nothing followed them for so long.
pub const PAUSE: Duration = Duration::from_millis(20);

/// What is answered to anything but a count.
const NO_COUNT: &str = "Error: write a count in decimal digits.";

/// What [`Content::new`] begins with.
pub const SEED: u64 = 0x5EED_0F5E_A511_ADE5;

/// Bytes made in one go.
const CHUNK: u64 = 16 * 1024;

/// As many digits as the largest 64-bit number has.
const MOST_DIGITS: u8 = 20;

/// The bytes that are sent in answer to a count, from the first one on.
///
/// The *n*-th group of eight bytes, counted from zero, is the *n*-th output of SplitMix64 (Steele, Lea, Flood 2014) with the
/// state [`SEED`], little-endian. Each group can be computed without those before it.
///
/// ```
/// use zen_server::services::bytes::Content;
/// let mut whole = [0; 100];
/// Content::new().fill(&mut whole);
/// assert_eq!(whole[..4], [0x0E, 0x94, 0xEA, 0x4A]);
///
/// // However it is cut, it stays the same: this is how a client checks what it reads.
/// let (mut content, mut pieces) = (Content::new(), [0; 100]);
/// pieces.chunks_mut(7).for_each(|piece| content.fill(piece));
/// assert_eq!(whole, pieces);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    position: u64,
}

impl Content {
    /// From the first byte on.
    #[must_use]
    pub fn new() -> Content {
        Content::default()
    }

    /// Writes the next bytes.
    pub fn fill(&mut self, mut buffer: &mut [u8]) {
        while !buffer.is_empty() {
            let (group, skip) = (self.position / 8, (self.position % 8) as usize);
            let bytes = split_mix(group).to_le_bytes();
            let length = buffer.len().min(8 - skip);
            let (now, later) = buffer.split_at_mut(length);
            now.copy_from_slice(&bytes[skip..skip + length]);
            self.position += length as u64;
            buffer = later;
        }
    }

    /// Whether these are the next bytes; goes on behind them.
    ///
    /// ```
    /// use zen_server::services::bytes::Content;
    /// let mut sent = [0; 9];
    /// Content::new().fill(&mut sent);
    /// let mut expected = Content::new();
    /// assert!(expected.matches(&sent[..3]) && expected.matches(&sent[3..]));
    /// assert!(!Content::new().matches(&sent[1..]));
    /// ```
    #[must_use]
    pub fn matches(&mut self, bytes: &[u8]) -> bool {
        let mut expected = [0; 512];
        bytes.chunks(expected.len()).all(|chunk| {
            self.fill(&mut expected[..chunk.len()]);
            expected[..chunk.len()] == *chunk
        })
    }
}

fn split_mix(group: u64) -> u64 {
    let state = SEED.wrapping_add((group + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// What all conversations of one thread share.
#[derive(Debug, Default)]
pub struct Service {
    largest: u64,
    one_shot: bool,
    book: Book,
}

impl Serve for Service {
    type Conversation = Conversation;

    const PORT: u16 = DEFAULT_PORT;
    const REQUEST: &'static str = "count";
    const TERMINATOR: Option<u8> = None; // not always: see above

    fn start(settings: &Settings) -> Rc<Service> {
        let book = Book::new(settings.tally.clone());
        Rc::new(Service { largest: settings.largest, one_shot: settings.one_shot, book })
    }

    fn converse(self: &Rc<Self>, peer: Option<SocketAddr>) -> Conversation {
        Conversation {
            service: Rc::clone(self),
            peer: self.book.remember(peer),
            digits: 0,
            count: 0,
            returned: false,
            left: 0,
            content: Content::new(),
            pause: None,
            is_last: self.one_shot,
        }
    }
}

/// One connection's side of the service.
#[derive(Debug)]
pub struct Conversation {
    service: Rc<Service>,
    peer: Peer,
    /// Digits of the count received so far,
    digits: u8,
    /// and their value.
    count: u64,
    /// Whether a carriage return came behind them, which nothing but a newline may follow.
    returned: bool,
    /// Bytes still to be said.
    left: u64,
    content: Content,
    /// Rings when the digits pause.
    pause: Option<Timer>,
    /// Whether no other count is answered after this one.
    is_last: bool,
}

impl Protocol for Conversation {
    type Message = Infallible;

    fn opened(&mut self, _: &mut Context<'_, Infallible>) {
        self.service.book.opened(&self.peer);
    }

    fn received(&mut self, input: &[u8], cx: &mut Context<'_, Infallible>) -> usize {
        self.cancel_pause(cx);
        for (at, &byte) in input.iter().enumerate() {
            match byte {
                b'\n' if self.digits > 0 => self.answer(1, cx),
                b'\r' if self.digits > 0 && !self.returned => {
                    self.service.book.received(1);
                    self.returned = true;
                }
                b'0'..=b'9' if self.returned => self.refuse(NO_COUNT, cx),
                b'0'..=b'9' if self.digits < MOST_DIGITS => self.digit(byte - b'0', cx),
                b'0'..=b'9' => self.refuse(&self.too_many(), cx),
                _ => self.refuse(NO_COUNT, cx),
            }
            if cx.is_stopped() {
                return at + 1;
            }
        }
        if self.digits > 0 {
            self.pause = Some(cx.start_timer(PAUSE));
        }
        input.len()
    }

    fn timer(&mut self, _: Timer, cx: &mut Context<'_, Infallible>) {
        self.pause = None;
        self.answer(0, cx);
    }

    /// The last count needs neither a newline nor a pause.
    fn eof(&mut self, cx: &mut Context<'_, Infallible>) {
        self.cancel_pause(cx);
        self.is_last = true;
        match self.digits {
            0 => cx.close(),
            _ => self.answer(0, cx),
        }
    }

    fn drained(&mut self, cx: &mut Context<'_, Infallible>) {
        self.say_more(cx);
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, Infallible>) {
        // What was not made yet is unsent like what was.
        match (reason, usize::try_from(self.left).unwrap_or(usize::MAX)) {
            (CloseReason::Unsent(made), left) => {
                self.service.book.closed(&self.peer, &CloseReason::Unsent(made.saturating_add(left)));
            }
            (CloseReason::Reset, left) if left > 0 => {
                self.service.book.closed(&self.peer, &CloseReason::Unsent(left));
            }
            _ => self.service.book.closed(&self.peer, reason),
        }
    }
}

impl Conversation {
    fn cancel_pause(&mut self, cx: &mut Context<'_, Infallible>) {
        if let Some(pause) = self.pause.take() {
            cx.cancel_timer(pause);
        }
    }

    fn digit(&mut self, digit: u8, cx: &mut Context<'_, Infallible>) {
        self.service.book.received(1);
        self.digits += 1;
        let count = self.count.checked_mul(10).and_then(|count| count.checked_add(digit.into()));
        match count.filter(|&count| count <= self.service.largest) {
            Some(count) => self.count = count,
            None => self.refuse(&self.too_many(), cx),
        }
    }

    fn too_many(&self) -> String {
        format!("Error: at most {} bytes.", self.service.largest)
    }

    /// A count is complete. No other is looked at until its bytes are said.
    fn answer(&mut self, newline: usize, cx: &mut Context<'_, Infallible>) {
        events::counted(self.count);
        self.service.book.asked(newline);
        (self.left, self.content) = (self.count, Content::new());
        (self.digits, self.count, self.returned) = (0, 0, false);
        cx.pause_reading();
        self.say_more(cx);
    }

    /// Says as much as there is room for; `drained` calls again when there is more.
    fn say_more(&mut self, cx: &mut Context<'_, Infallible>) {
        while self.left > 0 && cx.room() > 0 {
            let length = self.left.min(CHUNK).min(cx.room() as u64) as usize;
            let buffer = cx.buffer();
            let start = buffer.len();
            buffer.resize(start + length, 0);
            self.content.fill(&mut buffer[start..]);
            self.left -= length as u64;
            self.service.book.said(length);
        }
        if self.left > 0 {
            cx.notify_drained();
        } else if self.is_last {
            cx.close();
        } else {
            cx.resume_reading();
        }
    }

    fn refuse(&self, answer: &str, cx: &mut Context<'_, Infallible>) {
        cx.write(answer.as_bytes());
        self.service.book.said(answer.len());
        self.service.book.refused(&self.peer, answer);
        cx.close();
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.service.book.forget(&self.peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reactor::event_loop::{InMemory, Limits, Watermarks};

    fn client(settings: &Settings) -> InMemory<Conversation> {
        InMemory::new(Service::start(settings).converse(None))
    }

    fn content(length: usize) -> Vec<u8> {
        let mut content = vec![0; length];
        Content::new().fill(&mut content);
        content
    }

    #[test]
    fn a_count_ends_with_a_newline_however_it_arrives() {
        let expected = [content(10), content(0), content(200_000), content(7)].concat();
        let asked = b"10\n0\r\n200000\n007\n";
        for size in 1..=asked.len() {
            let mut client = client(&Settings::default());
            asked.chunks(size).for_each(|piece| client.input(piece));
            assert!(client.take_output() == expected, "in pieces of {size}");
            client.end();
            assert!(matches!(client.closed(), Some(CloseReason::Finished)));
        }
    }

    #[test]
    fn bare_digits_end_when_they_pause_and_no_earlier() {
        let mut client = client(&Settings::default());
        for digit in [b"1", b"2"] {
            client.input(digit);
            client.advance(PAUSE / 2);
            assert_eq!(client.take_output(), b"");
        }
        client.advance(PAUSE / 2);
        assert_eq!(client.take_output(), content(12));
        client.input(b"3");
        client.end();
        assert_eq!(client.take_output(), content(3), "or when nothing can follow");
        assert!(matches!(client.closed(), Some(CloseReason::Finished)));
    }

    #[test]
    fn what_is_no_count_is_told_so_and_hung_up_on() {
        let settings = Settings { largest: 1000, ..Settings::default() };
        let not = NO_COUNT;
        let many = "Error: at most 1000 bytes.";
        let cases = [
            ("nine\n", not),
            ("-5\n", not),
            ("\n", not),
            ("+5", not),
            (" 5", not),
            ("5 ", not),
            ("5\r6", not),
            ("5\r\r\n", not),
            ("1001\n", many),
            ("99999999999999999999999\n", many),
            ("000000000000000000001\n", many),
        ];
        for (asked, answer) in cases {
            for size in [1, asked.len()] {
                let mut client = client(&settings);
                asked.as_bytes().chunks(size).for_each(|piece| client.input(piece));
                assert_eq!(String::from_utf8_lossy(&client.take_output()), answer, "{asked:?} by {size}");
                assert!(client.closed().is_some(), "{asked:?} by {size}");
            }
        }
        let mut client = client(&settings);
        client.input(b"1000\n");
        assert_eq!(client.take_output(), content(1000), "the largest itself is fine");
    }

    #[test]
    fn a_count_costs_no_more_memory_than_the_watermarks_allow() {
        let conversation = Service::start(&Settings::default()).converse(None);
        let marks = Watermarks { high: 1000, low: 100 };
        let mut client = InMemory::with(conversation, Limits::default(), marks);
        client.set_window(0);
        client.input(b"10000000000\n5\n");
        assert_eq!(client.unsent(), 1000);
        client.set_window(100_000);
        let mut expected = Content::new();
        assert!(expected.matches(&client.take_output()));
        assert_eq!(client.unsent(), 1000);
        client.reset();
        assert!(matches!(client.closed(), Some(CloseReason::Unsent(_))));
    }

    #[test]
    fn one_shot_means_one() {
        let mut client = client(&Settings { one_shot: true, ..Settings::default() });
        client.input(b"100000\n5\n");
        assert_eq!(client.take_output(), content(100_000));
        assert!(matches!(client.closed(), Some(CloseReason::Finished)));
    }

    #[test]
    fn everything_is_counted() {
        let settings = Settings::default();
        let mut client = client(&settings);
        client.input(b"10\n3");
        client.end();
        drop(client);
        let text = settings.tally.totals().display(Service::REQUEST).to_string();
        assert_eq!(text, "1 connection, 2 counts; 4 bytes received, 13 sent");
    }
}
