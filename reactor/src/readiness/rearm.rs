//! How a backend without edges hears of the I/O on our sockets.
//!
//! A socket of [`net`](crate::net) is as large as std's: it does not know where it is registered. So the backends that emulate
//! edges are on one list in the process, and each I/O call tells them all its descriptor. As long as only epoll is in use the
//! list is empty, and that costs the call one relaxed load.

use std::io;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::backend::watch_list::WatchList;
use super::interest::Interest;

/// The lists of all live backends that emulate edges.
static LISTED: RwLock<Vec<Arc<WatchList>>> = RwLock::new(Vec::new());

/// How many they are. Relaxed is enough: who does I/O because of an event got it from a wait, and who made the backend did
/// so before that wait; I/O that nothing orders after the registration is covered by the registration's own first report.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// A watch list that hears of I/O until it is dropped.
#[derive(Debug)]
pub(super) struct Listed(Arc<WatchList>);

impl Listed {
    pub(super) fn new(list: WatchList) -> Listed {
        let list = Arc::new(list);
        let mut listed = LISTED.write().unwrap_or_else(PoisonError::into_inner);
        listed.push(Arc::clone(&list));
        LIVE.store(listed.len(), Ordering::Relaxed);
        Listed(list)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut listed = LISTED.write().unwrap_or_else(PoisonError::into_inner);
        listed.retain(|list| !Arc::ptr_eq(list, &self.0));
        LIVE.store(listed.len(), Ordering::Relaxed);
    }
}

impl Deref for Listed {
    type Target = WatchList;
    fn deref(&self) -> &WatchList {
        &self.0
    }
}

#[inline]
fn nobody_listens() -> bool {
    LIVE.load(Ordering::Relaxed) == 0
}

#[cold]
fn tell(fd: BorrowedFd<'_>, direction: Interest) {
    for list in LISTED.read().unwrap_or_else(PoisonError::into_inner).iter() {
        list.rearm(fd, direction);
    }
}

/// After a read into `room` bytes. It re-arms always, not only on `WouldBlock`, because callers may take a short read for the
/// last (tokio does); except at the end of the stream, which nothing follows. A read passes over urgent data, so a next urgent
/// byte is news as well (tcp(7), `SO_OOBINLINE`).
#[inline]
pub(crate) fn after_read(fd: BorrowedFd<'_>, room: usize, result: &io::Result<usize>) {
    if !nobody_listens() && !matches!(result, Ok(0) if room > 0) {
        tell(fd, Interest::READABLE | Interest::PRIORITY);
    }
}

/// After a write of `length` bytes. It re-arms only if something did not fit: after each full write the next wait would return
/// at once to say that there is room. A connection that is gone takes no more.
#[inline]
pub(crate) fn after_write(fd: BorrowedFd<'_>, length: usize, result: &io::Result<usize>) {
    if nobody_listens() {
        return;
    }
    match result {
        Ok(written) if *written >= length => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {}
        _ => tell(fd, Interest::WRITABLE),
    }
}

/// After an accept(2), whatever came of it: if it failed for want of descriptors the connection is still in the queue.
#[inline]
pub(crate) fn after_accept(fd: BorrowedFd<'_>) {
    if !nobody_listens() {
        tell(fd, Interest::READABLE);
    }
}

/// After a datagram was received, or was not. It re-arms always: an empty datagram is no end, as an empty read of a stream is.
#[inline]
pub(crate) fn after_receive<T>(fd: BorrowedFd<'_>, result: &io::Result<T>) {
    if !nobody_listens() {
        tell(fd, if took_an_error(result) { BOTH } else { Interest::READABLE });
    }
}

/// After a datagram was sent, or was not: it goes as a whole or not at all, so there is no short write.
#[inline]
pub(crate) fn after_send(fd: BorrowedFd<'_>, result: &io::Result<usize>) {
    if !nobody_listens() && result.is_err() {
        tell(fd, if took_an_error(result) { BOTH } else { Interest::WRITABLE });
    }
}

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Any call on a datagram socket may be answered by the pending error of an earlier one (udp(7), "Error handling"), whichever
/// way that went. Then it is taken, as if by `SO_ERROR`.
fn took_an_error<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() != io::ErrorKind::WouldBlock)
}

/// After I/O of the caller's own, in a direction only the caller knows.
#[inline]
pub(crate) fn after_some_io(fd: BorrowedFd<'_>) {
    if !nobody_listens() {
        tell(fd, Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY);
    }
}

/// Before the descriptor is handed to somebody who may read from it, now or soon, without telling: signal-hook-mio and whoever
/// else calls recv(2) on the number. What was read past us must not silence the source for ever.
#[inline]
pub(crate) fn lent(fd: BorrowedFd<'_>) {
    if !nobody_listens() {
        for list in LISTED.read().unwrap_or_else(PoisonError::into_inner).iter() {
            list.lent(fd);
        }
    }
}

/// After `SO_ERROR` was read: a pending error that was taken is no longer there, so a next one is news.
#[inline]
pub(crate) fn after_take_error(fd: BorrowedFd<'_>, result: &io::Result<Option<io::Error>>) {
    if !nobody_listens() && matches!(result, Ok(Some(_))) {
        tell(fd, BOTH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_listed_as_long_as_it_lives() {
        let is_listed =
            |list: &Arc<WatchList>| LISTED.read().unwrap().iter().any(|other| Arc::ptr_eq(other, list));
        let backend = Listed::new(WatchList::new().unwrap());
        let list = Arc::clone(&backend.0);
        assert!(is_listed(&list) && !nobody_listens());
        drop(backend);
        assert!(!is_listed(&list));
    }
}
