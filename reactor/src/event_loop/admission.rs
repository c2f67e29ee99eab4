//! How connections come into the loop.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};

use super::connection::{Connection, Verdict};
use super::driver::readiness::{Readiness, check_connected};
use super::listener::{AcceptError, Incoming, Listener, ListenerId};
use super::notice::{Notice, Refusal};
use super::outside::{Due, Outside};
use super::peers::UNCOUNTED;
use super::protocol::{CloseReason, ConnectionId, Protocol, message_of};
use super::reactor::{LISTENER, Reactor, key};
use super::session::Session;
use super::spawner::Spawn;
use crate::error::Error;
use crate::net::Address;
use crate::readiness::backend::{Rearm, Registration, Selector};
use crate::readiness::{Interest, Trigger};
use crate::sys;

/// Connections accepted from one listener in one turn.
const ACCEPT_BUDGET: usize = 64;

/// How a connection begins: it stands already, or is still to be established.
type Start<P> =
    fn(&mut Connection<P>, ConnectionId, &mut Readiness, &mut Outside<<P as Protocol>::Message>) -> Verdict;

impl<P: Protocol + 'static> Reactor<P> {
    // -------------------------------------------------------------------------------------------------- listening

    /// Listens at an address; `make` is asked for a protocol for each connection, and `None` refuses it. Port 0 picks one:
    /// [`local_address`](Reactor::local_address). `[::]` serves IPv4 too. At a path that a dead server left behind, the
    /// leftover is removed, as is the path when the listener ends.
    ///
    /// # Errors
    /// The address is in use, not ours, or not allowed; the loop is shutting down.
    pub fn listen(
        &mut self,
        at: impl Into<Address>,
        make: impl FnMut(&Incoming<'_>) -> Option<P> + 'static,
    ) -> io::Result<ListenerId> {
        self.refuse_while_stopping()?;
        self.add_listener(Listener::open(&at.into(), Box::new(make))?)
    }

    /// Takes over a socket that listens already: one that was inherited, or set up by other means. It becomes nonblocking.
    ///
    /// # Errors
    /// It is no socket that listens; the loop is shutting down.
    pub fn listen_on(
        &mut self,
        socket: impl Into<OwnedFd>,
        make: impl FnMut(&Incoming<'_>) -> Option<P> + 'static,
    ) -> io::Result<ListenerId> {
        self.refuse_while_stopping()?;
        self.add_listener(Listener::adopt(socket.into(), Box::new(make))?)
    }

    /// Takes over a socket that listens already and that other loops watch as well. Of the loops that do it this way a
    /// connection wakes one, or some; of those that use [`listen_on`](Reactor::listen_on) it wakes all, and all but one of
    /// them find that nobody is there: the *thundering herd*, counted as
    /// [`Counters::accepts_in_vain`](super::Counters::accepts_in_vain).
    ///
    /// # Errors
    /// The backend cannot do that (only epoll can, `EPOLLEXCLUSIVE`): `Unsupported`. And those of `listen_on`.
    pub fn listen_exclusively_on(
        &mut self,
        socket: impl Into<OwnedFd>,
        make: impl FnMut(&Incoming<'_>) -> Option<P> + 'static,
    ) -> io::Result<ListenerId> {
        self.refuse_while_stopping()?;
        let mut listener = Listener::adopt(socket.into(), Box::new(make))?;
        listener.exclusive = true;
        self.add_listener(listener)
    }

    fn add_listener(&mut self, mut listener: Listener<P>) -> io::Result<ListenerId> {
        self.begin_again();
        let entry = self.listeners.vacant_entry();
        let place = entry.key();
        let id = ListenerId(key(LISTENER, place, self.generation));
        self.generation = self.generation.wrapping_add(1);
        listener.key = id.0;
        entry.insert(listener);
        if let Err(error) = self.watch_listener(place) {
            self.listeners.remove(place);
            return Err(error);
        }
        Ok(id)
    }

    /// Where a listener listens; `None` if it was closed.
    #[must_use]
    pub fn local_address(&self, listener: ListenerId) -> Option<&Address> {
        self.place_of(listener).map(|place| &self.listeners[place].address)
    }

    /// Its place, if it is still there.
    fn place_of(&self, listener: ListenerId) -> Option<usize> {
        let place = ConnectionId::from_key(listener.0).index();
        self.listeners.get(place).is_some_and(|there| there.key == listener.0).then_some(place)
    }

    /// Stops listening; connections that were accepted go on. `false` if it was closed before.
    pub fn close_listener(&mut self, listener: ListenerId) -> bool {
        let Some(place) = self.place_of(listener) else { return false };
        self.unwatch_listener(place);
        self.listeners.remove(place);
        true
    }

    /// Watches a listener, unless there is a reason not to.
    fn watch_listener(&mut self, place: usize) -> io::Result<()> {
        let Some(listener) = self.listeners.get_mut(place) else { return Ok(()) };
        if listener.watched || listener.resting || self.full {
            return Ok(());
        }
        if listener.exclusive {
            self.driver.selector.register_exclusively(listener.socket.as_fd(), listener.key)?;
            listener.watched = true;
            return Ok(());
        }
        let registration = Registration {
            key: listener.key,
            interest: Interest::READABLE,
            trigger: Trigger::Level,
            rearm: Rearm::ByOwner,
        };
        self.driver.selector.register(listener.socket.as_fd(), registration)?;
        listener.watched = true;
        Ok(())
    }

    pub(super) fn unwatch_listener(&mut self, place: usize) {
        if let Some(listener) = self.listeners.get_mut(place) {
            if listener.watched {
                // The kernel may have no memory even for that (epoll_ctl(2), `ENOMEM`): then it is tried again with the next
                // event, and until then the listener counts as watched, which it is.
                listener.watched = self.driver.selector.deregister(listener.socket.as_fd()).is_err();
            }
        }
    }

    /// Watches a listener again; if the kernel has no memory for that, it rests a while longer.
    fn rewatch_listener(&mut self, place: usize) {
        if let Err(error) = self.watch_listener(place) {
            self.rest(place, &error);
        }
    }

    /// There is room for connections again, perhaps.
    pub(super) fn resume_listening(&mut self) {
        if self.full && self.connections.len() < self.outside.limits.connections {
            self.full = false;
            self.places_of_listeners().for_each(|place| self.rewatch_listener(place));
        }
    }

    pub(super) fn places_of_listeners(&self) -> impl Iterator<Item = usize> + use<P> {
        let places: Vec<usize> = self.listeners.iter().map(|(place, _)| place).collect();
        places.into_iter()
    }

    /// A listener's rest is over.
    pub(super) fn end_rest(&mut self, place: usize) {
        self.reserve.refill();
        if let Some(listener) = self.listeners.get_mut(place) {
            listener.resting = false;
            self.reserve.refill();
            self.rewatch_listener(place);
        }
    }

    /// Something ran out: reported on every wait it would be a busy loop, so the listener rests.
    fn rest(&mut self, place: usize, error: &io::Error) {
        self.unwatch_listener(place);
        let Some(listener) = self.listeners.get_mut(place) else { return };
        listener.resting = true;
        let (first, pause, address) = (listener.is_well(), listener.next_pause(), listener.address.clone());
        if first {
            self.notify(&Notice::AcceptFailed { listener: &address, error, pause });
        }
        self.outside.start(pause, Due::Listener(place as u32), None);
    }

    // -------------------------------------------------------------------------------------------------- accepting

    /// Accepts until nobody waits, the budget is used up, or there are as many connections as allowed.
    pub(super) fn accept_some(&mut self, place: usize) {
        if self.full || self.listeners.get(place).is_some_and(|listener| listener.resting) {
            return self.unwatch_listener(place); // the kernel refused to, when it was to rest
        }
        for accepted in 0..ACCEPT_BUDGET {
            if self.connections.len() >= self.outside.limits.connections {
                self.full = true;
                self.places_of_listeners().for_each(|place| self.unwatch_listener(place));
                return;
            }
            // A protocol's `opened` may have ended the listener.
            let Some(listener) = self.listeners.get_mut(place) else { return };
            match sys::accept(listener.socket.as_fd()) {
                Ok((socket, peer)) => {
                    listener.recovered();
                    self.admit(place, socket, &Address::from(&peer));
                }
                Err(error) => match AcceptError::of(&error) {
                    AcceptError::Nobody => {
                        self.outside.counters.accepts_in_vain += u64::from(accepted == 0);
                        return;
                    }
                    AcceptError::Skip => {}
                    AcceptError::NoDescriptors => {
                        match self.reserve.shed(&listener.socket) {
                            Ok(()) => self.outside.counters.shed += 1,
                            // accept(2) looks for a free descriptor before it looks who waits: nobody does.
                            Err(error) if AcceptError::of(&error) == AcceptError::Nobody => return,
                            Err(_) => {}
                        }
                        return self.rest(place, &error);
                    }
                    AcceptError::Rest => return self.rest(place, &error),
                },
            }
        }
    }

    /// Gives an accepted connection a protocol, or closes it.
    fn admit(&mut self, place: usize, socket: OwnedFd, peer: &Address) {
        let counted = match (peer.ip(), self.outside.limits.connections_per_peer) {
            (Some(ip), Some(limit)) => match self.peers.enter(ip, limit) {
                Some(counted) => counted,
                None => return self.refuse(peer, Refusal::TooManyFromPeer),
            },
            _ => UNCOUNTED,
        };
        let Listener { make, key, .. } = &mut self.listeners[place];
        let incoming = Incoming { peer, listener: ListenerId(*key) };
        match panic::catch_unwind(AssertUnwindSafe(|| make(&incoming))) {
            Ok(Some(protocol)) => {
                self.outside.counters.accepted += 1;
                self.insert(protocol, socket, counted, Connection::start);
            }
            Ok(None) => {
                self.peers.leave(counted);
                self.refuse(peer, Refusal::NoProtocol);
            }
            Err(panic) => {
                self.outside.counters.panics += 1;
                self.peers.leave(counted);
                self.refuse(peer, Refusal::Panicked(&message_of(&*panic)));
            }
        }
    }

    fn refuse(&mut self, peer: &Address, why: Refusal<'_>) {
        self.outside.counters.refused += 1;
        self.notify(&Notice::Refused { peer, why });
    }

    /// Puts a connection into the table and starts it.
    fn insert(&mut self, protocol: P, socket: OwnedFd, peer: u32, start: Start<P>) -> ConnectionId {
        self.begin_again();
        let generation = self.generation;
        self.generation = self.generation.wrapping_add(1);
        let connection = Connection::new(protocol, socket, generation, peer, self.outside.epoch);
        let id = ConnectionId::new(self.connections.insert(connection), generation);
        self.start_sweeping();
        self.guarded(|reactor| {
            reactor.with_connection(id, |connection, driver, outside| start(connection, id, driver, outside));
            false
        });
        id
    }

    // ------------------------------------------------------------------------------------------------- outgoing, adopted

    /// Connects to an address. `opened` tells that the connection stands, `closed` that it could not be made.
    ///
    /// # Errors
    /// The attempt could not even begin: no descriptors, no route, no such path, a Unix socket's backlog that is full
    /// (`WouldBlock`: try again later); or the loop is shutting down or full. The protocol is dropped.
    pub fn connect(&mut self, to: impl Into<Address>, protocol: P) -> io::Result<ConnectionId> {
        self.outside.forget_now(); // between turns it may be long ago
        self.try_connect(&to.into(), protocol).map_err(|(_, error)| error)
    }

    /// Takes over a connected stream socket: one that was passed, inherited, or made by other means. It becomes nonblocking.
    ///
    /// # Errors
    /// It is no socket; or the loop is shutting down or full.
    pub fn adopt(&mut self, stream: impl Into<OwnedFd>, protocol: P) -> io::Result<ConnectionId> {
        self.outside.forget_now(); // between turns it may be long ago
        self.try_adopt(stream.into(), protocol).map_err(|(_, error)| error)
    }

    fn try_connect(&mut self, to: &Address, protocol: P) -> Result<ConnectionId, (P, io::Error)> {
        let begin = || -> io::Result<OwnedFd> {
            self.refuse_while_stopping()?;
            self.refuse_when_full()?;
            let raw = to.to_raw()?;
            let socket = sys::stream_socket(raw.family())?;
            if let Address::Inet(_) = to {
                sys::set_no_delay(socket.as_fd(), true)?;
            }
            match sys::connect(socket.as_fd(), &raw) {
                Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
                // A connect that a signal interrupted goes on by itself (connect(2), "EINTR").
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(socket),
                result => result.map(|()| socket),
            }
        };
        let explain =
            |source| Error::Socket { operation: "connect to", address: to.to_string(), source }.into_io();
        match begin().map_err(explain) {
            Ok(socket) => {
                self.outside.counters.opened += 1;
                Ok(self.insert(protocol, socket, UNCOUNTED, Connection::start_connecting))
            }
            Err(error) => Err((protocol, error)),
        }
    }

    fn try_adopt(&mut self, stream: OwnedFd, protocol: P) -> Result<ConnectionId, (P, io::Error)> {
        let check = || -> io::Result<()> {
            self.refuse_while_stopping()?;
            self.refuse_when_full()?;
            check_connected(stream.as_fd())?;
            sys::set_nonblocking(stream.as_fd(), true).map(drop)
        };
        let explain = |source| {
            Error::Socket { operation: "adopt", address: "a descriptor".to_owned(), source }.into_io()
        };
        match check().map_err(explain) {
            Ok(()) => {
                self.outside.counters.opened += 1;
                Ok(self.insert(protocol, stream, UNCOUNTED, Connection::start))
            }
            Err(error) => Err((protocol, error)),
        }
    }

    fn refuse_when_full(&self) -> io::Result<()> {
        let most = self.outside.limits.connections;
        match self.connections.len() < most {
            true => Ok(()),
            false => Err(Error::TooMany { what: "connections", most }.into_io()),
        }
    }

    fn refuse_while_stopping(&self) -> io::Result<()> {
        match self.is_stopping() && !self.is_shut_down() {
            false => Ok(()),
            true => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the loop is shutting down")),
        }
    }

    /// Does what a callback asked the spawner for.
    pub(super) fn spawn(&mut self, spawn: Spawn<P>) {
        let result = match spawn {
            Spawn::Connect(to, protocol) => self.try_connect(&to, protocol),
            Spawn::Adopt(stream, protocol) => self.try_adopt(stream, protocol),
        };
        if let Err((protocol, error)) = result {
            self.tell_not_opened(protocol, error);
        }
    }

    /// Tells a protocol that its connection could not even begin. It has no place in the table, so nobody but us survives
    /// its panic.
    fn tell_not_opened(&mut self, protocol: P, error: io::Error) {
        let tell = || {
            let mut session = Session::new(protocol);
            session.finish(&CloseReason::Io(error), &mut self.driver.output, &mut self.outside);
        };
        if let Err(panic) = panic::catch_unwind(AssertUnwindSafe(tell)) {
            self.outside.counters.panics += 1;
            self.notify(&Notice::Panicked { id: ConnectionId::NONE, message: &message_of(&*panic) });
        }
        self.driver.output.clear();
    }
}
