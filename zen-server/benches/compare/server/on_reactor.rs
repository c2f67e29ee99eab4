//! The same service as a protocol on the reactor, with limits on: what one gets, and what it costs. And the service of this
//! package, which does more.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::Duration;

use reactor::event_loop::{Context, Incoming, Limits, Protocol, Reactor};
use reactor::net::Address;
use zen_server::services::zen::Service;

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
            if consumed == input.len() || cx.is_stopped() {
                return consumed;
            }
        }
        cx.set_scanned(input.len() - consumed);
        consumed
    }
}

/// The protocol above.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    serve_with(listener, |_| Some(Zen))
}

/// The service of this package, as its program runs it: it reports on its clients, counts, and can answer late.
pub fn serve_as_the_program_does(listener: TcpListener) -> io::Result<()> {
    let service = Service::new(None);
    serve_with(listener, move |incoming| {
        let peer = match incoming.peer {
            Address::Inet(address) => Some(*address),
            Address::Unix(_) => None,
        };
        Some(service.converse(peer))
    })
}

fn serve_with<P: Protocol + 'static>(
    listener: TcpListener,
    make: impl FnMut(&Incoming<'_>) -> Option<P> + 'static,
) -> io::Result<()> {
    let limits = Limits {
        connections: 15_000,
        connections_per_peer: Some(15_000),
        request_bytes: zen::LONGEST_QUESTION,
        idle: Some(Duration::from_secs(60)),
        request_time: Some(Duration::from_secs(10)),
        ..Limits::default()
    };
    let mut reactor = Reactor::builder().limits(limits).build()?;
    reactor.listen_on(OwnedFd::from(listener), make)?;
    reactor.run()
}
