//! A service with a defect, for tests: it is the echo service, and panics when a client sends `!`.
//!
//! Whatever waits for its clients has to end that conversation, that one only, and say so.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use reactor::event_loop::{CloseReason, Context, Protocol};

use super::{Serve, Settings, echo};

/// The echo service, spoilt.
#[derive(Debug)]
pub struct Service(Rc<echo::Service>);

impl Serve for Service {
    type Conversation = Conversation;

    const PORT: u16 = echo::DEFAULT_PORT;
    const REQUEST: &'static str = echo::Service::REQUEST;
    const TERMINATOR: Option<u8> = None;

    fn start(settings: &Settings) -> Rc<Service> {
        Rc::new(Service(echo::Service::start(settings)))
    }

    fn converse(self: &Rc<Self>, peer: Option<SocketAddr>) -> Conversation {
        Conversation(self.0.converse(peer))
    }
}

/// One connection's side of the service.
#[derive(Debug)]
pub struct Conversation(echo::Conversation);

impl Protocol for Conversation {
    type Message = Infallible;

    fn opened(&mut self, cx: &mut Context<'_, Infallible>) {
        self.0.opened(cx);
    }

    fn received(&mut self, input: &[u8], cx: &mut Context<'_, Infallible>) -> usize {
        assert!(!input.contains(&b'!'), "a client sent an exclamation mark");
        self.0.received(input, cx)
    }

    fn closed(&mut self, reason: &CloseReason, cx: &mut Context<'_, Infallible>) {
        self.0.closed(reason, cx);
    }
}
