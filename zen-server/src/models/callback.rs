//! The reactor in the style of asyncio's protocols: `connection_made`, `data_received`, `connection_lost`.
//!
//! Whoever has written for asyncio (or Twisted, from where the names come) sees here that it is the same loop: an object for
//! each connection, methods that the loop calls, a transport to write to. Three things differ. Nothing is sent before a
//! method returns. Bytes that are not understood yet stay with the loop (`data_received` says how many it understood), where
//! asyncio leaves them to you; so the loop can bound them, and tells at the end that a request was unfinished. And flow control
//! works without `pause_writing`, because a transport that is full is not given more to answer. **Who waits, what it costs,
//! where it breaks:** as with the reactor, for it is the reactor.

use std::convert::Infallible;

use reactor::event_loop::{CloseReason, Context, Protocol, Timer};
use zen_server::services::Serve;

use super::{Failure, Job, reactor as loops};

/// What a method may use to answer.
type Transport<'a> = Context<'a, Infallible>;

/// A connection, in asyncio's words.
trait Callbacks {
    /// The connection stands.
    fn connection_made(&mut self, transport: &mut Transport<'_>);
    /// Bytes came; how many of them are understood.
    fn data_received(&mut self, data: &[u8], transport: &mut Transport<'_>) -> usize;
    /// The peer finished sending.
    fn eof_received(&mut self, transport: &mut Transport<'_>);
    /// The transport takes more again.
    fn resume_writing(&mut self, transport: &mut Transport<'_>);
    /// What `loop.call_later` was asked for.
    fn called_later(&mut self, timer: Timer, transport: &mut Transport<'_>);
    /// The connection is over.
    fn connection_lost(&mut self, reason: &CloseReason, transport: &mut Transport<'_>);
}

/// The loop's side: its calls, by their other names.
struct Called<C>(C);

impl<C: Callbacks> Protocol for Called<C> {
    type Message = Infallible;

    fn opened(&mut self, cx: &mut Transport<'_>) {
        self.0.connection_made(cx);
    }
    fn received(&mut self, input: &[u8], cx: &mut Transport<'_>) -> usize {
        self.0.data_received(input, cx)
    }
    fn eof(&mut self, cx: &mut Transport<'_>) {
        self.0.eof_received(cx);
    }
    fn drained(&mut self, cx: &mut Transport<'_>) {
        self.0.resume_writing(cx);
    }
    fn timer(&mut self, timer: Timer, cx: &mut Transport<'_>) {
        self.0.called_later(timer, cx);
    }
    fn closed(&mut self, reason: &CloseReason, cx: &mut Transport<'_>) {
        self.0.connection_lost(reason, cx);
    }
}

/// The service's side: any conversation, as an object that asyncio's loop would know how to call.
struct Conversing<P>(P);

impl<P: Protocol<Message = Infallible>> Callbacks for Conversing<P> {
    fn connection_made(&mut self, transport: &mut Transport<'_>) {
        self.0.opened(transport);
    }
    fn data_received(&mut self, data: &[u8], transport: &mut Transport<'_>) -> usize {
        self.0.received(data, transport)
    }
    fn eof_received(&mut self, transport: &mut Transport<'_>) {
        self.0.eof(transport);
    }
    fn resume_writing(&mut self, transport: &mut Transport<'_>) {
        self.0.drained(transport);
    }
    fn called_later(&mut self, timer: Timer, transport: &mut Transport<'_>) {
        self.0.timer(timer, transport);
    }
    fn connection_lost(&mut self, reason: &CloseReason, transport: &mut Transport<'_>) {
        self.0.closed(reason, transport);
    }
}

/// Serves with such objects.
pub fn serve<S: Serve>(job: &Job<'_>) -> Result<(), Failure> {
    loops::serve_dressed::<S, _>(job, |conversation| Called(Conversing(conversation)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use reactor::event_loop::InMemory;

    /// asyncio's example of an echo server, in its own words.
    struct Echo;

    impl Callbacks for Echo {
        fn connection_made(&mut self, transport: &mut Transport<'_>) {
            transport.write(b"hello ");
        }
        fn data_received(&mut self, data: &[u8], transport: &mut Transport<'_>) -> usize {
            transport.write(data);
            data.len()
        }
        fn eof_received(&mut self, transport: &mut Transport<'_>) {
            transport.write(b" bye");
            transport.close();
        }
        fn resume_writing(&mut self, _: &mut Transport<'_>) {}
        fn called_later(&mut self, _: Timer, _: &mut Transport<'_>) {}
        fn connection_lost(&mut self, _: &CloseReason, _: &mut Transport<'_>) {}
    }

    #[test]
    fn an_object_with_asyncios_methods_runs_on_the_reactor() {
        let mut peer = InMemory::new(Called(Echo));
        peer.input(b"world");
        peer.end();
        assert_eq!(peer.take_output(), b"hello world bye");
    }
}
