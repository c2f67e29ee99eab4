//! (to come)
use std::io;
use std::os::fd::OwnedFd;

use crate::event_loop::{CloseReason, Limits, Protocol};

/// (to come)
pub fn converse<P: Protocol>(
    stream: impl Into<OwnedFd>,
    protocol: P,
    limits: &Limits,
) -> io::Result<CloseReason> {
    let _ = (stream.into(), protocol, limits);
    Err(io::ErrorKind::Unsupported.into())
}
