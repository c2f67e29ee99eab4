//! The end of a stream is ordered like a byte: it comes after everything that was sent before it, and it comes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use reactor::Backend;
use reactor::event_loop::{Context, Protocol, Reactor, Timer};

/// One share of a turn.
const SHARE: usize = 64 * 1024;

/// At the end says how many bytes came before it.
#[derive(Default)]
struct Count {
    bytes: usize,
    /// Reads nothing until a timer rings.
    pauses: bool,
}

impl Protocol for Count {
    type Message = ();

    fn opened(&mut self, cx: &mut Context<'_, ()>) {
        if self.pauses {
            cx.pause_reading();
            cx.start_timer(Duration::from_millis(20));
        }
    }
    fn timer(&mut self, _: Timer, cx: &mut Context<'_, ()>) {
        cx.resume_reading();
    }
    fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize {
        self.bytes += input.len();
        input.len()
    }
    fn eof(&mut self, cx: &mut Context<'_, ()>) {
        cx.write(self.bytes.to_string().as_bytes());
        cx.close();
    }
}

/// What a client hears that sends so many bytes and its end before the loop looks.
fn told_at_the_end(backend: Backend, bytes: usize, pauses: bool) -> String {
    let mut reactor = Reactor::builder().backend(backend).build().expect("a loop");
    let make = move |_: &reactor::event_loop::Incoming<'_>| Some(Count { bytes: 0, pauses });
    let listener = reactor.listen(([127, 0, 0, 1], 0), make).expect("a listener");
    let address = reactor.local_address(listener).expect("it listens").to_string();
    let mut client = TcpStream::connect(address).expect("a connection");
    // Everything is in the kernel's buffers, the end too, before the loop's first turn.
    client.write_all(&vec![b'!'; bytes]).expect("room in the kernel");
    client.shutdown(Shutdown::Write).expect("the end");
    let mut turns = 0;
    while reactor.counters().closed == 0 && turns < 30 {
        reactor.turn(Some(Duration::from_millis(100))).expect("a turn");
        turns += 1;
    }
    drop(reactor); // nobody answers any more
    let mut told = String::new();
    client.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    // Without an answer the assertion of the caller says more than this error.
    let _ = client.read_to_string(&mut told);
    told
}

#[test]
fn a_fin_behind_more_than_one_share_is_told() {
    for &backend in Backend::available() {
        for bytes in [0, 1, SHARE - 1, SHARE, SHARE + 1, 70_000, 2 * SHARE - 1, 2 * SHARE, 2 * SHARE + 1] {
            assert_eq!(told_at_the_end(backend, bytes, false), bytes.to_string(), "{backend}");
        }
    }
}

#[test]
fn a_fin_behind_a_pause_is_told_after_it() {
    for &backend in Backend::available() {
        for bytes in [0, 1, SHARE, SHARE + 1, 70_000] {
            assert_eq!(told_at_the_end(backend, bytes, true), bytes.to_string(), "{backend}");
        }
    }
}
