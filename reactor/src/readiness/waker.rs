use std::io;
use std::os::fd::BorrowedFd;

use crate::sys::EventFd;

/// The descriptor behind a waker: it is registered like any other source, and writing to it is what wakes.
#[derive(Debug)]
pub(crate) struct WakerFd(EventFd);

impl WakerFd {
    pub(crate) fn new() -> io::Result<WakerFd> {
        EventFd::new().map(WakerFd)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd()
    }

    /// Adds one to the counter; when it is full (after 2^64 - 2 wakes nobody drained), starts over.
    pub(crate) fn write(&self) -> io::Result<()> {
        match self.0.add() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.0.drain().or_else(|error| match error.kind() {
                    io::ErrorKind::WouldBlock => Ok(()), // somebody else drained it
                    _ => Err(error),
                })?;
                self.0.add()
            }
            result => result,
        }
    }
}
