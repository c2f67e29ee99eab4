//! Who waits: three ways to let one protocol talk to many clients.
//!
//! | model | who waits | a client costs | breaks when |
//! |---|---|---|---|
//! | [`reactor`] | one thread, for all at once | less than 200 bytes while idle | an answer takes computing time, or the disk is slow |
//! | [`threads`] | a thread for each client | a thread, two descriptors | there are more clients than threads allowed |
//! | [`pool`] | a few threads, one client each | nothing while queued but two descriptors | clients keep their connection and say nothing |
//!
//! [`door`] is what the two with threads have in common: letting in no more than there is room for. [`signals`] is for all.

pub mod door;
pub mod pool;
pub mod reactor;
pub mod signals;
pub mod threads;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How long answers in progress may take after a signal to stop.
pub const GRACE: Duration = Duration::from_secs(5);

/// Opens the first of several addresses that can be opened; if none can, the error of the first.
fn first_that_opens<T>(
    addresses: &[SocketAddr],
    mut open: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut first_error = None;
    for &address in addresses {
        match open(address) {
            Ok(opened) => return Ok(opened),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.unwrap_or_else(|| io::Error::other("the host has no address")))
}
