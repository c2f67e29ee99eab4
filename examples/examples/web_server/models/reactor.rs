//! One thread for all: the event loop waits for everybody at once, and whoever is ready has a turn.
//!
//! A client that says nothing costs a place in a table. A client that reads slowly costs that and what the kernel buffers
//! for it: of a large file there is never more than a piece in the queue, and no byte of it in our memory. The price is that
//! all share one thread: an answer that took a second to compute would keep everybody waiting for that second.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use reactor::event_loop::Limits;
use reactor::net::Address;
use zen_examples::announce;

use super::{GRACE, first_that_opens, signals};
use crate::conversation::Conversation;
use crate::options::Options;
use crate::site::Site;

/// How long the last bytes of a connection that is being closed may stand still. A slow but honest reader of a large file
/// empties the kernel's buffers first, and meanwhile nothing moves here; so it is as long as for any other silence.
const LINGER: Duration = Duration::from_secs(30);

pub fn serve(options: &Options, site: &Arc<Site>) -> io::Result<()> {
    let limits = options.limits();
    let linger_time = limits.idle.unwrap_or(LINGER);
    let builder = options.wait.builder::<Conversation>();
    let mut reactor = builder.limits(Limits { linger_time, ..limits }).build()?;
    let listener = first_that_opens(&options.addresses(), |address| {
        let site = Arc::clone(site);
        reactor.listen(address, move |incoming| match incoming.peer {
            Address::Inet(peer) => Some(Conversation::new(Arc::clone(&site), *peer)),
            Address::Unix(_) => None, // there is no such listener
        })
    })?;
    for signal in signals::TO_STOP {
        reactor.on_signal(signal, |reactor| reactor.shutdown(GRACE))?;
    }
    signals::exit_on_the_second()?;
    if let Some(address) = reactor.local_address(listener) {
        announce(address);
    }
    reactor.run()
}
