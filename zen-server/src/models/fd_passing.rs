//! One process that accepts, and some that are passed the connections.
//!
//! A descriptor can be sent over a Unix socket (`SCM_RIGHTS`, unix(7)): the receiver gets another number for the same connection.
//! So the parent accepts, looks which child has nothing to do, passes the connection to it and closes its own number. **Who
//! waits:** each child for its client, or for a connection; the parent for clients, but only while a child is free: otherwise
//! they wait in the backlog, where the kernel keeps them, and not in a parent that can do nothing for them. **It costs** two
//! system calls more for a connection than preforking, and buys a parent that decides who gets it. **Where it breaks:** as with
//! preforking, at as many idle clients as there are children. A child that dies is replaced.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use reactor::net::Address;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, SendAncillaryBuffer, SendAncillaryMessage, recvmsg, sendmsg,
};
use tracing::warn;
use zen_server::services::{Serve, Totals};

use super::family::{Family, News, tell_parent};
use super::hall::Hall;
use super::{Failure, Job};
use crate::system::{RECEIVED_CLOSED_ON_EXEC, WITHOUT_SIGPIPE};

/// Serves with so many processes, and one that accepts for them.
pub fn serve<S: Serve>(job: &Job<'_>) -> Result<(), Failure> {
    let doors = job.open()?.into_iter().map(Arc::new).collect::<Vec<_>>();
    doors.iter().try_for_each(|door| door.set_blocking(false)).map_err(Failure::of("a socket"))?;
    let mut family = Family::new(job, doors)?;
    for number in 0..job.options.workers() {
        bear::<S>(&mut family, number)?;
    }
    job.announce(family.doors.iter().map(|door| &**door));
    while let Some(news) = family.wait(family.has_idle_child())? {
        for event in news {
            match event {
                News::Died(number) => bear::<S>(&mut family, number)?,
                News::Came(door) if family.has_idle_child() => {
                    let Some((stream, peer)) = family.accept(door) else { continue };
                    let Some((channel, guest)) = family.idle_child() else { continue };
                    match pass(channel, &stream, &peer) {
                        Ok(()) => *guest = Some(peer),
                        Err(error) => warn!("cannot pass {peer} on: {error}"),
                    }
                }
                News::Came(_) => {} // two doors, one child: that one waits
            }
        }
    }
    family.report::<S>();
    Ok(())
}

fn bear<S: Serve>(family: &mut Family<'_>, number: usize) -> Result<(), Failure> {
    family.bear::<S>(number, None, live::<S>).map_err(Failure::of("cannot fork"))
}

/// A child's life.
fn live<S: Serve>(hall: &Arc<Hall<S>>, channel: &OwnedFd) {
    while let Some((stream, peer)) = take(channel) {
        match hall.admit(stream, &peer) {
            Some(guest) => guest.converse(0),
            None => tell_parent(channel, Totals::default()), // free again
        }
    }
}

/// Passes a connection on; the message itself is the peer's address.
fn pass(channel: &OwnedFd, stream: &OwnedFd, peer: &Address) -> Result<(), Errno> {
    let (peer, stream) = (peer.to_string(), [stream.as_fd()]);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&stream)); // there is room for one
    loop {
        match sendmsg(channel, &[IoSlice::new(peer.as_bytes())], &mut control, WITHOUT_SIGPIPE) {
            Err(Errno::INTR) => {}
            result => return result.map(drop),
        }
    }
}

/// Blocks until a connection is passed; `None` when the parent is gone.
fn take(channel: &OwnedFd) -> Option<(OwnedFd, Address)> {
    loop {
        let (mut space, mut text) = ([MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))], [0; 128]);
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut pieces = [IoSliceMut::new(&mut text)];
        let message = match recvmsg(channel, &mut pieces, &mut control, RECEIVED_CLOSED_ON_EXEC) {
            Err(Errno::INTR) => continue,
            result => result.ok().filter(|message| message.bytes > 0)?,
        };
        let passed = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        match passed {
            Some(stream) => {
                let text = std::str::from_utf8(&text[..message.bytes]).unwrap_or_default();
                let peer = text.parse::<SocketAddr>().map(Address::Inet);
                return Some((stream, peer.unwrap_or(Address::Unix(PathBuf::new()))));
            }
            // This process had no descriptor left, and the connection is lost (unix(7)).
            None => tell_parent(channel, Totals::default()),
        }
    }
}
