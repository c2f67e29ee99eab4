//! The door of the models with threads: lets in as many clients as there is room for, and shows them out in the end.
//!
//! At the bound nobody is accepted. Newcomers wait in the kernel's backlog, where nothing of theirs is lost; when that is
//! full, too, their SYN is dropped and their kernel repeats it. So a bound costs clients time, never an error.
//!
//! A thread that blocks in recv(2) hears nothing, so the way to tell it that the server stops is through its socket: with
//! the receiving direction shut down the kernel reports the end of the stream, and the protocol ends the conversation in
//! order, as if the client had finished. For that the door keeps a duplicate of each client's descriptor.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use reactor::net::TcpListener;
use reactor::{Events, Interest, Poll, Token, Trigger, Waker};
use tracing::warn;
use zen_examples::announce;

use super::{GRACE, first_that_opens, signals};
use crate::options::Options;

/// How long to wait when accepting fails because something ran out.
const PAUSE: Duration = Duration::from_millis(50);

/// Where clients come in, one after the other.
pub struct Door {
    listener: TcpListener,
    poll: Poll,
    events: Events,
    room: Arc<Room>,
    /// Held because a waker that is dropped takes a wake that was not yet heard with it.
    _waker: Arc<Waker>,
}

/// Who is inside.
#[derive(Debug)]
pub struct Room {
    most: usize,
    inside: Mutex<Inside>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inside {
    clients: HashMap<u64, TcpStream>,
    /// The number of the next client.
    next: u64,
    stopping: bool,
}

/// A client that was let in. Its place is free again when this is dropped.
#[derive(Debug)]
pub struct Client {
    pub stream: OwnedFd,
    pub peer: SocketAddr,
    pub place: Place,
}

#[derive(Debug)]
pub struct Place {
    room: Arc<Room>,
    number: u64,
}

impl Door {
    /// Listens, says where, and lets in `most` clients at once, until a signal says stop.
    pub fn open(options: &Options, most: usize) -> io::Result<Door> {
        let mut listener = first_that_opens(&options.addresses(), TcpListener::bind)?;
        let (poll, events) = (Poll::with_backend(options.wait.resolve())?, Events::with_capacity(2));
        let registry = poll.registry();
        registry.register_with(&mut listener, Token(0), Interest::READABLE, Trigger::Level)?;
        let waker = Arc::new(Waker::new(registry, Token(1))?);
        let room = Arc::new(Room { most, inside: Mutex::default(), changed: Condvar::new() });
        let (stopping, bell) = (Arc::clone(&room), Arc::clone(&waker));
        signals::on_the_first(move || {
            stopping.stop();
            bell.wake().expect("an eventfd can be written to");
        })?;
        signals::exit_on_the_second()?;
        announce(listener.local_addr()?);
        Ok(Door { listener, poll, events, room, _waker: waker })
    }

    /// The next client, as soon as there is room for it; `None` after a signal to stop.
    pub fn next(&mut self) -> io::Result<Option<Client>> {
        while self.room.wait_for_room() {
            match self.listener.accept() {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true); // a head and its file need not wait for each other
                    match Room::enter(&self.room, stream.into(), peer) {
                        Ok(client) => return Ok(Some(client)),
                        Err(error) => report(&error),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => report(&error),
            }
        }
        Ok(None)
    }

    fn wait(&mut self) -> io::Result<()> {
        match self.poll.poll(&mut self.events, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Lets nobody in any more, and waits until all have left. Those who are idle leave at once, answers in progress may
    /// take a while, and after that the connection is cut.
    pub fn close(self) {
        drop(self.listener);
        self.room.shut_down(Shutdown::Read);
        if !self.room.wait_until_empty(GRACE) {
            self.room.shut_down(Shutdown::Both);
            self.room.wait_until_empty(GRACE);
        }
    }
}

/// Something ran out, or the network failed for a moment: the client is in the backlog still, or gone.
fn report(error: &io::Error) {
    warn!("cannot accept a client: {error}");
    thread::sleep(PAUSE);
}

impl Room {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for one more; `false` if nobody is to enter any more.
    fn wait_for_room(&self) -> bool {
        let is_full = |inside: &mut Inside| inside.clients.len() >= self.most && !inside.stopping;
        let inside = self.changed.wait_while(self.lock(), is_full);
        !inside.unwrap_or_else(PoisonError::into_inner).stopping
    }

    fn enter(room: &Arc<Room>, stream: OwnedFd, peer: SocketAddr) -> io::Result<Client> {
        let duplicate = TcpStream::from(stream.as_fd().try_clone_to_owned()?);
        let mut inside = room.lock();
        let number = inside.next;
        inside.next += 1;
        inside.clients.insert(number, duplicate);
        Ok(Client { stream, peer, place: Place { room: Arc::clone(room), number } })
    }

    fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_all();
    }

    fn shut_down(&self, how: Shutdown) {
        for client in self.lock().clients.values() {
            let _ = client.shutdown(how); // it may be gone already
        }
    }

    /// `false` if that took too long.
    fn wait_until_empty(&self, patience: Duration) -> bool {
        let is_busy = |inside: &mut Inside| !inside.clients.is_empty();
        let waited = self.changed.wait_timeout_while(self.lock(), patience, is_busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let stream = self.room.lock().clients.remove(&self.number);
        drop(stream); // the client is hung up on before the next one is let in
        self.room.changed.notify_all();
    }
}
