//! Descriptors that are always ready: regular files, directories, disks.

use std::io;
use std::os::fd::BorrowedFd;

use super::Registration;
use crate::readiness::event::Event;

#[derive(Debug, Default)]
pub(super) struct AlwaysReady {}

impl AlwaysReady {
    pub(super) fn register(&self, _fd: BorrowedFd<'_>, _registration: Registration) -> io::Result<()> {
        Ok(())
    }
    pub(super) fn reregister(&self, _fd: BorrowedFd<'_>, _registration: Registration) -> io::Result<()> {
        Ok(())
    }
    pub(super) fn deregister(&self, _fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(())
    }
    pub(super) fn is_pending(&self) -> bool {
        false
    }
    pub(super) fn report(&self, _ready: &mut Vec<Event>) {}
}
