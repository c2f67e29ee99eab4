//! The one call of the `polling` crate that is unsafe.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Adds a descriptor to the poller's set, to be reported once. `AlreadyExists` if it is there.
pub(crate) fn poller_add(
    poller: &polling::Poller,
    fd: BorrowedFd<'_>,
    event: polling::Event,
) -> io::Result<()> {
    // SAFETY: the poller asks that a source be deleted before it is closed, because it keeps the number. Owners do so
    // (`event::Source`); after one that did not, all the poller does with the number is to ask the kernel whether it is
    // ready. It never reads, writes or closes it, and holds no pointer that could dangle.
    unsafe { poller.add(fd.as_raw_fd(), event) }
}
