//! What must hold of every protocol, whatever bytes a stranger sends.
//!
//! TCP keeps the order of bytes and nothing else: where one piece ends and the next begins is chance, and so is how fast the
//! peer takes what it is told. So a conversation is held several times, with the same bytes in other pieces and with a peer
//! that reads slowly, and must come out the same each time. On the way each call of the protocol is watched.

use reactor::event_loop::{CloseReason, Context, InMemory, Limits, Protocol, Timer, Watermarks};
use std::time::Duration;

/// So little room that many answers have to wait.
const NARROW: Watermarks = Watermarks { high: 64, low: 16 };

/// Bytes that the slow peer takes at a time.
const SIP: usize = 7;

/// Longer than any of the protocols waits before it believes that nothing more will come.
const SILENCE: Duration = Duration::from_secs(1);

/// Sends `sent` in several ways to a protocol of its own each, and returns what all of them answered, which must be the same.
/// While the peer takes nothing, no more than `most_unsent` bytes may wait for it.
pub fn answers_in_all_ways<P: Protocol>(sent: &[u8], most_unsent: usize, make: impl Fn() -> P) -> Vec<u8> {
    let whole = converse(sent, &[sent], make());
    let single: Vec<&[u8]> = sent.chunks(1).collect();
    assert_same("byte by byte", &whole, &converse(sent, &single, make()));
    assert_same("in pieces", &whole, &converse(sent, &pieces(sent), make()));
    assert_same("to a slow reader", &whole, &converse_slowly(sent, most_unsent, make()));
    whole.heard
}

/// What the peer heard, and how the conversation ended.
struct Outcome {
    heard: Vec<u8>,
    end: String,
}

#[track_caller]
fn assert_same(how: &str, whole: &Outcome, other: &Outcome) {
    let text = |outcome: &Outcome| format!("{} ({})", outcome.heard.escape_ascii(), outcome.end);
    let is_same = whole.heard == other.heard && whole.end == other.end;
    assert!(is_same, "sent at once:\n{}\n{how}:\n{}", text(whole), text(other));
}

/// Lengths from one to some tens, which depend on nothing but the bytes.
fn pieces(mut sent: &[u8]) -> Vec<&[u8]> {
    let mut state = sent.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3) // FNV-1a
    });
    let mut pieces = Vec::new();
    while !sent.is_empty() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17; // xorshift64
        let (piece, rest) = sent.split_at(sent.len().min(1 + (state % 64) as usize));
        pieces.push(piece);
        sent = rest;
    }
    pieces
}

fn converse<P: Protocol>(sent: &[u8], pieces: &[&[u8]], protocol: P) -> Outcome {
    let mut peer = InMemory::new(Watched::new(protocol, sent));
    pieces.iter().for_each(|piece| peer.input(piece));
    peer.advance(SILENCE);
    peer.end();
    let heard = peer.take_output();
    outcome(&peer, heard)
}

fn converse_slowly<P: Protocol>(sent: &[u8], most_unsent: usize, protocol: P) -> Outcome {
    let mut peer = InMemory::with(Watched::new(protocol, sent), Limits::default(), NARROW);
    peer.set_window(0);
    peer.input(sent);
    let mut heard = Vec::new();
    drink(&mut peer, &mut heard, most_unsent);
    peer.advance(SILENCE);
    peer.end();
    drink(&mut peer, &mut heard, most_unsent);
    outcome(&peer, heard)
}

/// The peer takes what there is, a sip at a time.
fn drink<P: Protocol>(peer: &mut InMemory<P>, heard: &mut Vec<u8>, most_unsent: usize) {
    loop {
        assert!(peer.unsent() <= most_unsent, "{} bytes wait for a peer who does not read", peer.unsent());
        peer.set_window(SIP);
        let sip = peer.take_output();
        if sip.is_empty() {
            return;
        }
        heard.extend(sip);
        peer.set_window(0);
    }
}

fn outcome<P: Protocol>(peer: &InMemory<Watched<'_, P>>, heard: Vec<u8>) -> Outcome {
    let end = peer.closed().expect("the peer has finished, so the conversation is over");
    assert!(peer.protocol().is_closed, "closed without a word to the protocol");
    Outcome { heard, end: end.to_string() }
}

/// A protocol that is looked over the shoulder: what it is given, and what it makes of that.
struct Watched<'a, P> {
    protocol: P,
    /// What the peer sent that was not consumed yet.
    rest: &'a [u8],
    /// How much of that has been shown to the protocol.
    shown: usize,
    is_ended: bool,
    is_closed: bool,
}

impl<'a, P> Watched<'a, P> {
    fn new(protocol: P, sent: &'a [u8]) -> Watched<'a, P> {
        Watched { protocol, rest: sent, shown: 0, is_ended: false, is_closed: false }
    }
}

impl<P: Protocol> Protocol for Watched<'_, P> {
    type Message = P::Message;

    fn received(&mut self, input: &[u8], cx: &mut Context<'_, P::Message>) -> usize {
        assert!(!self.is_ended && !self.is_closed, "input after the end");
        assert!(!input.is_empty() && self.rest.starts_with(input), "not what the peer sent next");
        assert!(input.len() >= self.shown, "something that was not consumed is not offered again");
        assert!(cx.scanned() <= self.shown, "more scanned than was there the last time");
        let consumed = self.protocol.received(input, cx);
        assert!(consumed <= input.len(), "{consumed} bytes consumed of {}", input.len());
        self.shown = input.len() - consumed;
        self.rest = &self.rest[consumed..];
        consumed
    }

    fn eof(&mut self, cx: &mut Context<'_, P::Message>) {
        assert!(!self.is_ended && !self.is_closed, "a second end");
        self.is_ended = true;
        self.protocol.eof(cx);
    }

    fn closed(&mut self, reason: &CloseReason, cx: &mut Context<'_, P::Message>) {
        assert!(!self.is_closed, "closed twice");
        self.is_closed = true;
        self.protocol.closed(reason, cx);
    }

    fn opened(&mut self, cx: &mut Context<'_, P::Message>) {
        self.protocol.opened(cx);
    }
    fn drained(&mut self, cx: &mut Context<'_, P::Message>) {
        self.protocol.drained(cx);
    }
    fn timer(&mut self, timer: Timer, cx: &mut Context<'_, P::Message>) {
        self.protocol.timer(timer, cx);
    }
    fn message(&mut self, message: P::Message, cx: &mut Context<'_, P::Message>) {
        self.protocol.message(message, cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// Answers with a dot, by a rule.
    struct Dots(fn(&[u8], &mut Context<'_, Infallible>) -> usize);

    impl Protocol for Dots {
        type Message = Infallible;
        fn received(&mut self, input: &[u8], cx: &mut Context<'_, Infallible>) -> usize {
            (self.0)(input, cx)
        }
    }

    fn answers(rule: fn(&[u8], &mut Context<'_, Infallible>) -> usize) -> Vec<u8> {
        answers_in_all_ways(&[b'x'; 300], 100, || Dots(rule))
    }

    #[test]
    fn a_dot_for_each_byte_is_the_same_in_all_ways() {
        let heard = answers(|_, cx| {
            cx.write(b".");
            1
        });
        assert_eq!(heard, [b'.'; 300]);
    }

    #[test]
    #[should_panic = "byte by byte"]
    fn a_dot_for_each_piece_is_found_out() {
        answers(|input, cx| {
            cx.write(b".");
            input.len()
        });
    }

    #[test]
    #[should_panic = "bytes wait for a peer who does not read"]
    fn who_answers_without_minding_the_room_is_found_out() {
        answers(|input, cx| {
            cx.write(&vec![b'.'; input.len()]);
            input.len()
        });
    }

    #[test]
    #[should_panic = "bytes consumed of"]
    fn who_consumes_more_than_there_is_is_found_out() {
        answers(|input, _| input.len() + 1);
    }
}
