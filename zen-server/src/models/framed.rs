//! The reactor in the style of asynchat: `set_terminator`, `collect_incoming_data`, `found_terminator`.
//!
//! The oldest answer to the question what a stream of bytes has to do with requests: say what ends a request, and be called
//! when it is complete. The terminator is found here once, for every service; what is left of a service is the sentence "when a
//! question is there, answer it". The price is that a request is held whole. **Who waits, what it costs, where it breaks:** as
//! with the reactor, for it is the reactor: this face is a search for one byte.

use std::convert::Infallible;

use reactor::event_loop::{CloseReason, Context, Protocol, Timer};
use zen_server::services::{Serve, zen};

use super::{Failure, Job, reactor as loops};

/// What a method may use to answer.
type Channel<'a> = Context<'a, Infallible>;

/// The longest request that is collected. One that is longer is handed over unfinished, to be refused.
const LONGEST: usize = zen::LONGEST_QUESTION;

/// A connection, in asynchat's words.
trait Chat {
    /// What ends a request; `None`: whatever comes is handed over as it comes.
    fn terminator(&self) -> Option<u8>;
    /// A request, or a part of it, which is not kept for you. `channel` says how many bytes were taken.
    fn collect_incoming_data(&mut self, data: &[u8], channel: &mut Channel<'_>) -> usize;
    /// All other calls are those of any protocol.
    fn protocol(&mut self) -> &mut dyn Protocol<Message = Infallible>;

    /// The request is complete: `data` is all of it, its terminator included.
    fn found_terminator(&mut self, data: &[u8], channel: &mut Channel<'_>) -> usize {
        self.collect_incoming_data(data, channel)
    }
}

/// The loop's side: looks for the terminator, each byte once.
struct Framed<C>(C);

impl<C: Chat> Protocol for Framed<C> {
    type Message = Infallible;

    fn opened(&mut self, cx: &mut Channel<'_>) {
        self.0.protocol().opened(cx);
    }
    fn received(&mut self, input: &[u8], cx: &mut Channel<'_>) -> usize {
        let Some(terminator) = self.0.terminator() else { return self.0.collect_incoming_data(input, cx) };
        let scanned = cx.scanned();
        match input[scanned..].iter().position(|&byte| byte == terminator) {
            Some(found) => self.0.found_terminator(&input[..scanned + found + 1], cx),
            None if input.len() >= LONGEST => self.0.collect_incoming_data(input, cx),
            None => {
                cx.set_scanned(input.len());
                0
            }
        }
    }
    fn eof(&mut self, cx: &mut Channel<'_>) {
        self.0.protocol().eof(cx);
    }
    fn drained(&mut self, cx: &mut Channel<'_>) {
        self.0.protocol().drained(cx);
    }
    fn timer(&mut self, timer: Timer, cx: &mut Channel<'_>) {
        self.0.protocol().timer(timer, cx);
    }
    fn closed(&mut self, reason: &CloseReason, cx: &mut Channel<'_>) {
        self.0.protocol().closed(reason, cx);
    }
}

/// The service's side: any conversation, and what ends its requests.
struct Chatting<P> {
    conversation: P,
    terminator: Option<u8>,
}

impl<P: Protocol<Message = Infallible>> Chat for Chatting<P> {
    fn terminator(&self) -> Option<u8> {
        self.terminator
    }
    fn collect_incoming_data(&mut self, data: &[u8], channel: &mut Channel<'_>) -> usize {
        self.conversation.received(data, channel)
    }
    fn protocol(&mut self) -> &mut dyn Protocol<Message = Infallible> {
        &mut self.conversation
    }
}

/// Serves with requests that are cut out already.
pub fn serve<S: Serve>(job: &Job<'_>) -> Result<(), Failure> {
    loops::serve_dressed::<S, _>(job, |conversation| {
        Framed(Chatting { conversation, terminator: S::TERMINATOR })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reactor::event_loop::InMemory;

    #[test]
    fn a_request_is_handed_over_when_it_is_complete() {
        let conversation = zen::Service::new(None).converse(None);
        let mut peer = InMemory::new(Framed(Chatting { conversation, terminator: Some(b'?') }));
        peer.input(b"Simple is bet");
        assert_eq!(peer.unconsumed(), 13);
        peer.input(b"ter than?Why?Beauti");
        assert_eq!(peer.take_output(), b"Complex.Error: unknown aphorism.");
        assert_eq!(peer.unconsumed(), 6);
        peer.input(&[b'x'; 5000]);
        assert_eq!(peer.take_output(), b"Error: question too long.");
    }
}
