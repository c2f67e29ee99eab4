//! One thread for all: the event loop waits for everybody at once, and whoever is ready has a turn.
//!
//! A client that says nothing costs a place in a table. A client that reads slowly costs that and what the kernel buffers
//! for it: of a large file there is never more than a piece in the queue, and no byte of it in our memory. The price is that
//! all share one thread: an answer that took a second to compute would keep everybody waiting for that second.

use std::io;
use std::sync::Arc;

use reactor::event_loop::Watermarks;
use reactor::net::Address;
use zen_examples::announce;

use super::{GRACE, first_that_opens, signals};
use crate::conversation::Conversation;
use crate::options::Options;
use crate::site::Site;

/// The next piece of a file, and the end of a connection, wait until the kernel has taken all of what was before.
const MARKS: Watermarks = Watermarks { high: 64 * 1024, low: 0 };

pub fn serve(options: &Options, site: &Arc<Site>) -> io::Result<()> {
    let builder = options.wait.builder::<Conversation>();
    let mut reactor = builder.limits(options.limits()).watermarks(MARKS).build()?;
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
