//! A thread for each client: it waits in recv(2) and send(2) for this one alone, and everything reads like a conversation.
//!
//! Easy to write, and an answer that takes long disturbs nobody. But a thread is dear (a stack, and the kernel's time to
//! switch to it), and without a bound a few thousand clients that say nothing bring the machine down: so there is none
//! without `--max-connections` here. At the bound newcomers wait, even if all the others are idle.

use std::io;
use std::sync::Arc;
use std::thread;

use reactor::event_loop::{Limits, converse};
use tracing::warn;

use super::door::{Client, Door};
use crate::conversation::Conversation;
use crate::options::Options;
use crate::site::Site;

pub fn serve(options: &Options, site: &Arc<Site>) -> io::Result<()> {
    let limits = options.limits();
    let mut door = Door::open(options, limits.connections)?;
    while let Some(client) = door.next()? {
        let site = Arc::clone(site);
        let spawned = thread::Builder::new().spawn(move || talk(client, &site, &limits));
        if let Err(error) = spawned {
            warn!("cannot start a thread, so a client is hung up on: {error}");
        }
    }
    door.close();
    Ok(())
}

/// Holds one conversation, to its end.
pub fn talk(client: Client, site: &Arc<Site>, limits: &Limits) {
    let Client { stream, peer, place } = client;
    let conversation = Conversation::new(Arc::clone(site), peer);
    if let Err(error) = converse(stream, conversation, limits) {
        site.log.tell(peer, error);
    }
    drop(place);
}
