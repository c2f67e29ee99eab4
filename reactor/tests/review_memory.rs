//! In memory a conversation goes as it does on a socket.

use std::time::Duration;

use reactor::event_loop::{CloseReason, Context, InMemory, Limit, Limits, Protocol, Watermarks};

/// Answers everything with the number of messages it sent to itself.
#[derive(Default)]
struct Echo {
    messages: u8,
}

impl Protocol for Echo {
    type Message = ();

    fn opened(&mut self, cx: &mut Context<'_, ()>) {
        cx.send(cx.id(), ()).expect("room");
    }
    fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
        cx.write(&vec![b'0' + self.messages; input.len()]);
        input.len()
    }
    fn message(&mut self, (): (), _: &mut Context<'_, ()>) {
        self.messages += 1;
    }
}

#[test]
fn a_message_to_itself_is_delivered_in_memory() {
    let mut peer = InMemory::new(Echo::default());
    peer.input(b"?");
    assert_eq!(peer.take_output(), b"1");
}

#[test]
fn output_is_limited_in_memory() {
    let limits = Limits { output_bytes: 4, ..Limits::default() };
    let mut peer = InMemory::with(Echo::default(), limits, Watermarks::default());
    peer.set_window(2);
    peer.input(b"12345");
    assert!(peer.closed().is_none(), "three are unsent");
    peer.input(b"67");
    assert!(matches!(peer.closed(), Some(CloseReason::Limit(Limit::OutputBytes))));
}

#[test]
fn time_may_pass_for_ever_in_memory() {
    let mut peer = InMemory::new(Echo::default());
    peer.advance(Duration::MAX);
    assert!(peer.closed().is_none());
}
