//! What the models have in common in which threads block: a hall with doors, and guests who each talk to one thread.
//!
//! A thread that blocks in recv(2) hears of nothing else, neither of a signal nor of a shutdown. What wakes it is the end of the
//! stream, and shutdown(2) can bring that about from another thread: of a socket that listens, it makes accept(2) return
//! `EINVAL`; of a connection, in the reading direction, it makes recv(2) return what has arrived already and then 0, so that a
//! conversation ends in order after what was asked so far. Only who has sent half a request gets time for the other half.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use reactor::event_loop::{CloseReason, Context, Limits, Protocol, Timer, converse};
use reactor::net::Address;
use rustix::io::Errno;
use rustix::net::{Shutdown, acceptfrom_with};
use tracing::{error, info, warn};
use zen_server::events;
use zen_server::services::{Serve, Settings, Totals};

use super::{Failure, Job, family, report, report_spread, trace};
use crate::listening::Door;
use crate::signals::Signals;
use crate::system::CLOSED_ON_EXEC;

/// How long accepting pauses when the kernel has no descriptor or memory left, doubled up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long those have to leave who were told to at once.
const LAST_CALL: Duration = Duration::from_millis(500);

/// Where threads talk to guests.
pub struct Hall<S> {
    settings: Settings,
    limits: Limits,
    trace: bool,
    state: Mutex<State>,
    changed: Condvar,
    /// How often each worker had a guest.
    spread: Vec<AtomicU64>,
    /// In a child: where the parent hears what was counted, and reports it.
    parent: Option<OwnedFd>,
    service: PhantomData<fn() -> S>,
}

#[derive(Default)]
struct State {
    stopping: bool,
    /// Guests who ever came.
    came: u64,
    here: BTreeMap<u64, Arc<Seat>>,
    per_address: HashMap<IpAddr, u32>,
}

/// One guest's connection, as it looks from outside of the conversation.
struct Seat {
    stream: OwnedFd,
    peer: Address,
    /// Half a request is here.
    owes: AtomicBool,
    /// The guest is to leave as soon as nothing is owed,
    leaving: AtomicBool,
    /// or at once.
    aborted: AtomicBool,
}

/// Somebody who was let in. Dropped, the place is free.
pub struct Guest<S: Serve> {
    hall: Arc<Hall<S>>,
    number: u64,
    stream: Option<OwnedFd>,
    seat: Arc<Seat>,
}

impl<S: Serve> Hall<S> {
    /// A hall for so many workers, whose doors a signal closes.
    pub fn open(job: &Job<'_>, doors: &[Arc<Door>], workers: usize) -> Result<Arc<Hall<S>>, Failure> {
        let hall = Hall::new(job, workers, None);
        let signals = Signals::catch().map_err(Failure::of("cannot handle signals"))?;
        hall.stop_on(signals, doors.to_vec(), job.grace).map_err(Failure::of("cannot handle signals"))?;
        Ok(hall)
    }

    /// A hall in a child, who lets its parent do the reporting, and the counting of addresses.
    pub fn of_child(job: &Job<'_>, parent: OwnedFd) -> Arc<Hall<S>> {
        Hall::new(job, 1, Some(parent))
    }

    fn new(job: &Job<'_>, workers: usize, parent: Option<OwnedFd>) -> Arc<Hall<S>> {
        let addresses = job.limits.connections_per_peer.filter(|_| parent.is_none());
        Arc::new(Hall {
            settings: job.settings.clone(),
            limits: Limits { connections_per_peer: addresses, ..job.limits },
            trace: job.options.trace,
            state: Mutex::default(),
            changed: Condvar::new(),
            spread: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            parent,
            service: PhantomData,
        })
    }

    /// Has a thread wait for a signal and then end everything within `grace`. A conversation that does not hear even then (it
    /// sleeps) cannot be waited for: the process ends without it.
    pub fn stop_on(
        self: &Arc<Self>,
        signals: Signals,
        doors: Vec<Arc<Door>>,
        grace: Duration,
    ) -> io::Result<()> {
        let hall = Arc::clone(self);
        let stop = move || {
            signals.wait();
            hall.tell_stopping(grace); // first: who is woken by a closing door may end the process
            doors.iter().for_each(|door| door.close());
            let all_left = hall.stop(grace);
            if hall.parent.is_some() || !all_left {
                hall.tell();
                process::exit(0);
            }
            loop {
                thread::park(); // the second signal ends the process as long as the first one's thread is here
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(stop).map(drop)
    }

    fn tell_stopping(&self, grace: Duration) {
        if self.parent.is_none() {
            let guests = self.state().here.len();
            info!("stopping: {guests} connected, at most {grace:?} for requests in progress");
        }
    }

    /// Asks everybody to leave; whether they did.
    fn stop(&self, grace: Duration) -> bool {
        let mut state = self.state();
        state.stopping = true;
        self.changed.notify_all();
        state.here.values().for_each(|seat| seat.leave());
        let somebody = |state: &mut State| !state.here.is_empty();
        (state, _) =
            self.changed.wait_timeout_while(state, grace, somebody).unwrap_or_else(PoisonError::into_inner);
        state.here.values().for_each(|seat| seat.abort());
        (state, _) = self
            .changed
            .wait_timeout_while(state, LAST_CALL, somebody)
            .unwrap_or_else(PoisonError::into_inner);
        state.here.values().for_each(|seat| events::closed(&name(&seat.peer), &CloseReason::Aborted));
        state.here.is_empty()
    }

    /// Waits until nobody is here, and tells what was done.
    pub fn finish(&self) {
        let state = self.state();
        drop(
            self.changed
                .wait_while(state, |state| !state.here.is_empty())
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.tell();
    }

    fn tell(&self) {
        if self.parent.is_some() {
            return;
        }
        report::<S>(self.settings.tally.totals());
        if self.spread.len() > 1 {
            report_spread("worker", self.spread.iter().map(|count| count.load(SeqCst)));
        }
    }

    /// Blocks until fewer than `most` are here; `false` if the hall closes.
    pub fn wait_for_room(&self, most: usize) -> bool {
        let full = |state: &mut State| state.here.len() >= most && !state.stopping;
        let state = self.changed.wait_while(self.state(), full).unwrap_or_else(PoisonError::into_inner);
        !state.stopping
    }

    /// Blocks until somebody comes in; `None` if the door was closed.
    pub fn accept(self: &Arc<Self>, door: &Door) -> Option<Guest<S>> {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let step = trace::begin_if(self.trace);
            match acceptfrom_with(door, CLOSED_ON_EXEC) {
                Ok((stream, peer)) => {
                    trace::step(step, "accept");
                    let peer = address_of(peer);
                    match self.admit(stream, &peer) {
                        Some(guest) => return Some(guest),
                        None => info!("refused {peer}: too many connections from this address"),
                    }
                }
                // The door was closed.
                Err(Errno::INVAL) => return None,
                // Something ran out: who comes waits in the backlog meanwhile. Told once.
                Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                    if pause == SHORTEST_PAUSE {
                        warn!("cannot accept at {}: {error}; trying again in {pause:?}", door.address());
                    }
                    thread::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(_) => {} // a signal came, or the client has left already (accept(2), "ERRORS")
            }
        }
    }

    /// Lets somebody in, if there are not too many from there.
    pub fn admit(self: &Arc<Self>, stream: OwnedFd, peer: &Address) -> Option<Guest<S>> {
        let duplicate = stream.try_clone().inspect_err(|error| warn!("cannot serve {peer}: {error}")).ok()?;
        let mut state = self.state();
        if let (Some(ip), Some(most)) = (peer.ip(), self.limits.connections_per_peer) {
            let count = state.per_address.entry(ip).or_default();
            if *count >= most {
                return None;
            }
            *count += 1;
        }
        let seat = Arc::new(Seat {
            stream: duplicate,
            peer: peer.clone(),
            owes: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
        });
        if state.stopping {
            seat.leave();
        }
        let number = state.came;
        state.came += 1;
        state.here.insert(number, Arc::clone(&seat));
        Some(Guest { hall: Arc::clone(self), number, stream: Some(stream), seat })
    }

    fn tell_parent(&self) {
        if let Some(parent) = &self.parent {
            family::tell_parent(parent, self.settings.tally.take());
        }
    }

    /// No code of a service runs under the lock, so a poisoned one holds nothing half-done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Serve> Guest<S> {
    /// Talks to the guest, in this thread, until the conversation is over. A panic ends it, and it alone.
    pub fn converse(mut self, worker: usize) {
        let Some(stream) = self.stream.take() else { return };
        let hall = &self.hall;
        hall.spread[worker].fetch_add(1, SeqCst);
        let talk = || {
            let peer = match self.seat.peer {
                Address::Inet(address) => Some(address),
                Address::Unix(_) => None,
            };
            let service = S::start(&hall.settings);
            let attended = Attended { conversation: service.converse(peer), seat: Arc::clone(&self.seat) };
            match hall.trace {
                false => converse(stream, attended, &hall.limits),
                true => trace::converse(stream, attended, &hall.limits),
            }
        };
        let message = match panic::catch_unwind(AssertUnwindSafe(talk)) {
            Ok(Ok(CloseReason::Panicked(message))) => message,
            Ok(Ok(_)) => return hall.tell_parent(),
            Ok(Err(error)) => {
                // It was gone before it began.
                let peer = name(&self.seat.peer);
                events::accepted(&peer);
                events::closed(&peer, &CloseReason::Io(error));
                hall.settings.tally.add(Totals { connections: 1, ..Totals::default() });
                return hall.tell_parent();
            }
            Err(_) => "in the service".to_owned(),
        };
        error!("connection {} closed: its protocol panicked: {message}", self.number);
        hall.tell_parent();
    }
}

impl<S: Serve> Drop for Guest<S> {
    fn drop(&mut self) {
        let mut state = self.hall.state();
        state.here.remove(&self.number);
        if let (Some(ip), Some(_)) = (self.seat.peer.ip(), self.hall.limits.connections_per_peer) {
            if let Some(count) = state.per_address.get_mut(&ip) {
                *count -= 1;
                if *count == 0 {
                    state.per_address.remove(&ip);
                }
            }
        }
        self.hall.changed.notify_all();
    }
}

impl Seat {
    /// The guest is to leave after what was asked so far. (Both sides write one flag and read the other, so one of them sees
    /// that both are set.)
    fn leave(&self) {
        self.leaving.store(true, SeqCst);
        if !self.owes.load(SeqCst) {
            self.end(Shutdown::Read);
        }
    }

    /// Half a request is here, or a whole one has become of it.
    fn owes(&self, owes: bool) {
        self.owes.store(owes, SeqCst);
        if !owes && self.leaving.load(SeqCst) {
            self.end(Shutdown::Read);
        }
    }

    fn abort(&self) {
        self.aborted.store(true, SeqCst);
        self.end(Shutdown::Both);
    }

    fn end(&self, how: Shutdown) {
        let _ = rustix::net::shutdown(self.stream.as_fd(), how); // the peer may have been quicker
    }
}

/// A conversation that keeps its seat informed.
struct Attended<P> {
    conversation: P,
    seat: Arc<Seat>,
}

impl<P: Protocol<Message = Infallible>> Protocol for Attended<P> {
    type Message = Infallible;

    fn opened(&mut self, cx: &mut Context<'_, Infallible>) {
        self.conversation.opened(cx);
    }
    fn received(&mut self, input: &[u8], cx: &mut Context<'_, Infallible>) -> usize {
        let consumed = self.conversation.received(input, cx);
        self.seat.owes(consumed < input.len() && !cx.is_stopped());
        consumed
    }
    fn eof(&mut self, cx: &mut Context<'_, Infallible>) {
        self.conversation.eof(cx);
    }
    fn drained(&mut self, cx: &mut Context<'_, Infallible>) {
        self.conversation.drained(cx);
    }
    fn timer(&mut self, timer: Timer, cx: &mut Context<'_, Infallible>) {
        self.conversation.timer(timer, cx);
    }
    fn closed(&mut self, reason: &CloseReason, cx: &mut Context<'_, Infallible>) {
        match self.seat.aborted.load(SeqCst) {
            true => self.conversation.closed(&CloseReason::Aborted, cx),
            false => self.conversation.closed(reason, cx),
        }
    }
}

/// An address from the kernel; what has none is a Unix socket's.
pub fn address_of(peer: Option<rustix::net::SocketAddrAny>) -> Address {
    match peer.and_then(|peer| SocketAddr::try_from(peer).ok()) {
        Some(peer) => Address::Inet(peer),
        None => Address::Unix(std::path::PathBuf::new()),
    }
}

/// As the events tell it.
fn name(peer: &Address) -> String {
    match peer {
        Address::Inet(_) => peer.to_string(),
        Address::Unix(_) => "the Unix socket".to_owned(),
    }
}
