//! The door of a loop for its own callbacks: connections they want to be opened.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use crate::net::Address;

/// A connection to be opened.
pub(super) enum Spawn<P> {
    Connect(Address, P),
    Adopt(OwnedFd, P),
}

/// Opens connections from within callbacks, where the [`Reactor`](super::Reactor) itself is out of reach. They are opened in
/// the mailbox phase; one that cannot be is told to its protocol, through `closed`. Connections that ended in the same turn are
/// freed only after that, so at the very limit of connections or descriptors one that is to take another's place fails.
///
/// A protocol that needs it gets a clone from the function that makes it.
pub struct Spawner<P>(Rc<RefCell<VecDeque<Spawn<P>>>>);

impl<P> Spawner<P> {
    /// As [`Reactor::connect`](super::Reactor::connect).
    pub fn connect(&self, to: impl Into<Address>, protocol: P) {
        self.0.borrow_mut().push_back(Spawn::Connect(to.into(), protocol));
    }

    /// As [`Reactor::adopt`](super::Reactor::adopt).
    pub fn adopt(&self, stream: impl Into<OwnedFd>, protocol: P) {
        self.0.borrow_mut().push_back(Spawn::Adopt(stream.into(), protocol));
    }

    pub(super) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub(super) fn next(&self) -> Option<Spawn<P>> {
        self.0.borrow_mut().pop_front()
    }
}

impl<P> Default for Spawner<P> {
    fn default() -> Spawner<P> {
        Spawner(Rc::default())
    }
}

impl<P> Clone for Spawner<P> {
    fn clone(&self) -> Spawner<P> {
        Spawner(Rc::clone(&self.0))
    }
}

impl<P> fmt::Debug for Spawner<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").finish_non_exhaustive()
    }
}
