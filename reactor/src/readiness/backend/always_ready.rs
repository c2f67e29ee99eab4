//! Descriptors that are always ready: regular files, directories, disks, the null device.
//!
//! select(2) and poll(2) report them on every wait. epoll refuses them with EPERM, so there each gets a stand-in that epoll
//! accepts and that is always ready too: an eventfd whose counter is one has something to read and room to write. Registered
//! with the same key, interest and trigger it behaves like the rest: level reports it on every wait, edge and one-shot once
//! for each registration; and a wait need not know of it.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sys::EventFd;

/// The stand-ins of one epoll instance.
#[derive(Debug, Default)]
pub(super) struct AlwaysReady {
    stand_ins: Mutex<HashMap<RawFd, EventFd>>,
    /// How many there are, to be read without the lock.
    count: AtomicUsize,
}

impl AlwaysReady {
    /// Makes a stand-in for `fd` and registers that.
    #[cold]
    pub(super) fn register(
        &self,
        fd: BorrowedFd<'_>,
        register: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut stand_ins = self.lock();
        if stand_ins.contains_key(&fd.as_raw_fd()) {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        let stand_in = EventFd::new()?;
        stand_in.add()?;
        register(stand_in.fd())?;
        stand_ins.insert(fd.as_raw_fd(), stand_in);
        self.count.store(stand_ins.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Does to the stand-in what is to be done to `fd`.
    #[cold]
    pub(super) fn reregister(
        &self,
        fd: BorrowedFd<'_>,
        reregister: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        match self.lock().get(&fd.as_raw_fd()) {
            Some(stand_in) => reregister(stand_in.fd()),
            None => Err(io::Error::from_raw_os_error(libc::ENOENT)),
        }
    }

    /// Closes the stand-in, which has no duplicate: that deregisters it.
    #[cold]
    pub(super) fn deregister(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        match self.remove(fd.as_raw_fd()) {
            Some(_) => Ok(()),
            None => Err(io::Error::from_raw_os_error(libc::ENOENT)),
        }
    }

    /// The number now belongs to something else: whatever it stood for was closed without being deregistered.
    #[inline]
    pub(super) fn forget(&self, fd: BorrowedFd<'_>) {
        if self.count.load(Ordering::Relaxed) != 0 {
            self.close(fd.as_raw_fd());
        }
    }

    #[cold]
    fn close(&self, fd: RawFd) {
        drop(self.remove(fd));
    }

    fn remove(&self, fd: RawFd) -> Option<EventFd> {
        let mut stand_ins = self.lock();
        let removed = stand_ins.remove(&fd);
        self.count.store(stand_ins.len(), Ordering::Relaxed);
        removed
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RawFd, EventFd>> {
        self.stand_ins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
