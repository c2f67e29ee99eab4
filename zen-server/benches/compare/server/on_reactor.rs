//! The same service as a protocol on the reactor, with every limit on: what one gets, and what it costs.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::Duration;

use reactor::event_loop::{Context, Limits, Protocol, Reactor};

use crate::zen;

struct Zen;

impl Protocol for Zen {
    type Message = ();

    #[inline]
    fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
        let (mut consumed, mut scanned) = (0, cx.scanned());
        while let Some(found) = memchr::memchr(b'?', &input[consumed + scanned..]) {
            let end = consumed + scanned + found + 1;
            cx.write(zen::answer(&input[consumed..end]));
            (consumed, scanned) = (end, 0);
            if cx.is_stopped() {
                return consumed;
            }
        }
        cx.set_scanned(input.len() - consumed);
        consumed
    }
}

pub fn serve(listener: TcpListener) -> io::Result<()> {
    let limits = Limits {
        connections: 15_000,
        connections_per_peer: Some(15_000),
        request_bytes: zen::LONGEST_QUESTION,
        idle: Some(Duration::from_secs(60)),
        request_time: Some(Duration::from_secs(10)),
        ..Limits::default()
    };
    let mut reactor = Reactor::builder().limits(limits).build()?;
    listener.set_nonblocking(true)?;
    reactor.listen_on(OwnedFd::from(listener), |_| Some(Zen))?;
    reactor.run()
}
