//! The echo service: whatever a client sends comes back, until the client finishes.
//!
//! The shortest service there is. Whoever sends and never reads is read no further once the watermarks are reached; that
//! is the loop's business and takes no line here.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use reactor::event_loop::{CloseReason, Context, Protocol};

use super::{Book, Serve, Settings};
use crate::peer::Peer;

/// The port of the classic texts.
pub const DEFAULT_PORT: u16 = 1061;

/// What all conversations of one thread share.
#[derive(Debug, Default)]
pub struct Service {
    book: Book,
}

impl Serve for Service {
    type Conversation = Conversation;

    const PORT: u16 = DEFAULT_PORT;
    const REQUEST: &'static str = "piece";
    const TERMINATOR: Option<u8> = None;

    fn start(settings: &Settings) -> Rc<Service> {
        Rc::new(Service { book: Book::new(settings.tally.clone()) })
    }

    fn converse(self: &Rc<Self>, peer: Option<SocketAddr>) -> Conversation {
        Conversation { service: Rc::clone(self), peer: self.book.remember(peer) }
    }
}

/// One connection's side of the service.
#[derive(Debug)]
pub struct Conversation {
    service: Rc<Service>,
    peer: Peer,
}

impl Protocol for Conversation {
    type Message = Infallible;

    fn opened(&mut self, _: &mut Context<'_, Infallible>) {
        self.service.book.opened(&self.peer);
    }

    fn received(&mut self, input: &[u8], cx: &mut Context<'_, Infallible>) -> usize {
        cx.write(input);
        self.service.book.asked(input.len());
        self.service.book.said(input.len());
        input.len()
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, Infallible>) {
        self.service.book.closed(&self.peer, reason);
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

    #[test]
    fn every_byte_comes_back() {
        let every: Vec<u8> = (0..=255).collect();
        for size in [1, 7, 256] {
            let mut client = InMemory::new(Service::start(&Settings::default()).converse(None));
            every.chunks(size).for_each(|piece| client.input(piece));
            assert_eq!(client.take_output(), every);
            client.end();
            assert!(matches!(client.closed(), Some(CloseReason::Finished)));
        }
    }

    #[test]
    fn who_does_not_read_is_not_read() {
        let marks = Watermarks { high: 1000, low: 100 };
        let conversation = Service::start(&Settings::default()).converse(None);
        let mut client = InMemory::with(conversation, Limits::default(), marks);
        client.set_window(0);
        (0..100).for_each(|_| client.input(&[1; 100]));
        assert_eq!((client.unsent(), client.unconsumed()), (1000, 9000));
        client.set_window(usize::MAX);
        assert_eq!(client.take_output(), [1; 10_000]);
    }
}
