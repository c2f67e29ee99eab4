//! Descriptors that are always ready: regular files, directories, disks, the null device.
//!
//! select(2) and poll(2) report them on every wait. epoll refuses them with EPERM, so does the `polling` crate over it, and
//! kqueue takes "there is something to read" for a file by its offset. So there each gets a stand-in that is always ready too:
//! an eventfd whose counter is one has something to read and room to write, and so has a socket whose peer is ours and wrote a
//! byte. Registered with the same key, interest and trigger it behaves like the rest: level reports it on every wait, edge and
//! one-shot once for each registration; and a wait need not know of it.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The stand-ins of one backend.
#[derive(Debug, Default)]
pub(super) struct AlwaysReady {
    stand_ins: Mutex<HashMap<RawFd, StandIn>>,
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
        let stand_in = StandIn::new()?;
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

    /// Gives the stand-in back. It has no duplicate, so to drop it is to deregister it.
    #[cold]
    pub(super) fn deregister(&self, fd: BorrowedFd<'_>) -> io::Result<StandIn> {
        self.remove(fd.as_raw_fd()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    /// The number now belongs to something else: whatever it stood for was closed without being deregistered.
    #[inline]
    pub(super) fn forget(&self, fd: BorrowedFd<'_>) -> Option<StandIn> {
        if self.count.load(Ordering::Relaxed) == 0 { None } else { self.remove(fd.as_raw_fd()) }
    }

    #[cold]
    fn remove(&self, fd: RawFd) -> Option<StandIn> {
        let mut stand_ins = self.lock();
        let removed = stand_ins.remove(&fd);
        self.count.store(stand_ins.len(), Ordering::Relaxed);
        removed
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RawFd, StandIn>> {
        self.stand_ins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A descriptor that can always be read from and written to.
#[derive(Debug)]
pub(super) struct StandIn {
    #[cfg(has_eventfd)]
    counter: crate::sys::EventFd,
    #[cfg(not(has_eventfd))]
    ends: [std::os::fd::OwnedFd; 2],
}

#[cfg(has_eventfd)]
impl StandIn {
    fn new() -> io::Result<StandIn> {
        let counter = crate::sys::EventFd::new()?;
        counter.add()?;
        Ok(StandIn { counter })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.counter.fd()
    }
}

#[cfg(not(has_eventfd))]
impl StandIn {
    fn new() -> io::Result<StandIn> {
        let ends = crate::sys::stream_pair()?;
        crate::sys::send(std::os::fd::AsFd::as_fd(&ends[1]), b"!")?;
        Ok(StandIn { ends })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.ends[0])
    }
}
