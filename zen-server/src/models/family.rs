//! What the models have in common in which processes block: a parent with one thread, and children.
//!
//! Between the parent and each child is a pair of sockets. The child says there what it counted in each conversation, and when
//! it dies, however it dies, the kernel closes its end: so one poll(2) tells the parent of everything, and it needs no SIGCHLD.
//! A dead child is waited for at once, so that no zombie is left. A child of a dead parent is killed by the kernel
//! (`PR_SET_PDEATHSIG`, prctl(2)), even if the parent had no time to say anything.
//!
//! Everything that has a state in the kernel (threads, signal handlers, a loop) is made after the fork: before it, both would
//! have the same one.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use reactor::net::Address;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketType, acceptfrom_with};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, getppid, kill_process, waitpid};
use tracing::{info, warn};
use zen_server::services::{Serve, Totals};

use super::forking::fork;
use super::hall::{Hall, address_of};
use super::{Failure, Job, report_spread};
use crate::listening::Door;
use crate::signals::Signals;
use crate::system::{CLOSED_ON_EXEC, WITHOUT_SIGPIPE, die_with_parent};

/// How much longer than the grace children have before they are killed.
const LAST_CALL: Duration = Duration::from_secs(2);
/// A child that dies sooner than this after its start is not replaced at once: something may be wrong with all of them.
const TOO_SOON: Duration = Duration::from_millis(200);

/// A parent and its children.
pub struct Family<'a> {
    pub job: &'a Job<'a>,
    pub doors: Vec<Arc<Door>>,
    signals: Option<Signals>,
    children: BTreeMap<usize, Child>,
    /// How often each had a guest; dead ones' successors go on counting.
    spread: Vec<u64>,
    stopping: Option<Instant>,
}

struct Child {
    process: Pid,
    channel: OwnedFd,
    born: Instant,
    /// Whom it talks to.
    guest: Option<Address>,
}

/// What the parent has to deal with.
pub enum News {
    /// Somebody is at a door.
    Came(usize),
    /// A child is dead, and the server is not about to stop.
    Died(usize),
}

impl<'a> Family<'a> {
    /// A parent without children.
    pub fn new(job: &'a Job<'a>, doors: Vec<Arc<Door>>) -> Result<Family<'a>, Failure> {
        let signals = Some(Signals::catch().map_err(Failure::of("cannot handle signals"))?);
        Ok(Family { job, doors, signals, children: BTreeMap::new(), spread: Vec::new(), stopping: None })
    }

    /// Makes a child, which does what `live` says and ends with it. `guest` is whom it talks to from its birth.
    pub fn bear<S: Serve>(
        &mut self,
        number: usize,
        guest: Option<Address>,
        live: impl FnOnce(&Arc<Hall<S>>, &OwnedFd),
    ) -> io::Result<()> {
        let kind = SocketType::SEQPACKET;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, kind, CLOSED_ON_EXEC, None)?;
        let parent = getpid();
        if let Some(process) = fork()? {
            self.children.insert(number, Child { process, channel: ours, born: Instant::now(), guest });
            self.spread.resize(self.spread.len().max(number + 1), 0);
            return Ok(());
        }
        // From here on this is the child. Nothing may return into the parent's code.
        drop(ours);
        let code = match panic::catch_unwind(AssertUnwindSafe(|| self.grow_up(parent, theirs, live))) {
            Ok(Ok(())) => 0,
            Ok(Err(error)) => {
                warn!("child {number} cannot work: {error}");
                1
            }
            Err(_) => 101,
        };
        process::exit(code);
    }

    fn grow_up<S: Serve>(
        &mut self,
        parent: Pid,
        channel: OwnedFd,
        live: impl FnOnce(&Arc<Hall<S>>, &OwnedFd),
    ) -> io::Result<()> {
        die_with_parent()?;
        if getppid() != Some(parent) {
            return Ok(()); // it died before it could be asked about
        }
        self.children.clear(); // the ends of the siblings' channels
        self.doors.clear(); // should the parent be killed, its address is not kept from its successor
        let _ = self.job.settings.tally.take(); // what the parent counted
        // In this order no signal is lost: until here the parent's handlers ran, in this process's own copy.
        let signals = Signals::of_a_child()?;
        if self.signals.take().is_some_and(|parents| parents.came()) {
            return Ok(());
        }
        let hall = Hall::<S>::of_child(self.job, channel.try_clone()?);
        hall.stop_on(signals, Vec::new(), self.job.grace)?;
        live(&hall, &channel);
        Ok(())
    }

    /// Blocks until something happens; at the doors only if `accepting`. `None` when all is over.
    pub fn wait(&mut self, accepting: bool) -> Result<Option<Vec<News>>, Failure> {
        if self.stopping.is_some() && self.children.is_empty() {
            return Ok(None);
        }
        let accepting = accepting && self.stopping.is_none();
        let Some(signals) = &self.signals else { return Ok(None) };
        let numbers: Vec<usize> = self.children.keys().copied().collect();
        let doors = if accepting { &self.doors[..] } else { &[] };
        let bell = signals.bell();
        let descriptors = [bell].into_iter().chain(self.children.values().map(|child| child.channel.as_fd()));
        let mut watched: Vec<PollFd<'_>> = descriptors
            .chain(doors.iter().map(|door| door.as_fd()))
            .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
            .collect();
        let timeout = self.stopping.map(|until| until.saturating_duration_since(Instant::now()));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut watched, timeout.as_ref()) {
            Err(Errno::INTR) => return Ok(Some(Vec::new())), // a signal: the bell tells which, next time
            result => result.map_err(|error| Failure::of("poll")(error.into()))?,
        };
        let mut ready =
            watched.iter().map(|entry| !entry.revents().is_empty()).collect::<Vec<_>>().into_iter();
        let rang = ready.next() == Some(true);
        let mut news = Vec::new();
        for number in numbers {
            if ready.next() == Some(true) && self.hear(number) {
                news.push(News::Died(number));
            }
        }
        news.extend(ready.enumerate().filter(|(_, ready)| *ready).map(|(door, _)| News::Came(door)));
        if rang {
            self.signals.iter().for_each(Signals::answer);
        }
        if self.signals.as_ref().is_some_and(Signals::came) && self.stopping.is_none() {
            self.stop();
        }
        if self.stopping.is_some_and(|until| Instant::now() >= until) {
            self.send(Signal::KILL);
        }
        if self.stopping.is_some() {
            news.clear();
        }
        Ok(Some(news))
    }

    /// Reads what a child has to say; `true` if that was its last word and it has to be replaced.
    fn hear(&mut self, number: usize) -> bool {
        let Some(child) = self.children.get_mut(&number) else { return false };
        let mut record = [0; 32];
        loop {
            match rustix::net::recv(&child.channel, &mut record, RecvFlags::DONTWAIT) {
                Ok((32, _)) => {
                    self.job.settings.tally.add(read(&record));
                    self.spread[number] += 1;
                    child.guest = None;
                }
                Err(Errno::AGAIN) => return false,
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => break, // it is dead
            }
        }
        let Some(child) = self.children.remove(&number) else { return false };
        let status = loop {
            match waitpid(Some(child.process), WaitOptions::empty()) {
                Err(Errno::INTR) => {}
                result => break result.ok().flatten().map(|(_, status)| status),
            }
        };
        if let (Some(how), None) = (status.and_then(describe), self.stopping) {
            warn!("child {number} {how}");
        }
        if child.born.elapsed() < TOO_SOON && status.is_none_or(|status| status.exit_status() != Some(0)) {
            thread::sleep(TOO_SOON);
        }
        true
    }

    /// The first signal came.
    fn stop(&mut self) {
        let grace = self.job.grace;
        info!("stopping: {} children, at most {grace:?} for requests in progress", self.children.len());
        self.doors.iter().for_each(|door| door.close());
        self.send(Signal::TERM);
        self.stopping = Some(Instant::now() + grace + LAST_CALL);
    }

    /// Sends all children a signal. One that is dead already is a zombie until we have waited for it, so its number is nobody
    /// else's.
    fn send(&self, signal: Signal) {
        for child in self.children.values() {
            let _ = kill_process(child.process, signal);
        }
    }

    /// Takes somebody in who is at a door, unless there are too many from there.
    pub fn accept(&self, door: usize) -> Option<(OwnedFd, Address)> {
        match acceptfrom_with(&*self.doors[door], CLOSED_ON_EXEC) {
            Ok((stream, peer)) => {
                let peer = address_of(peer);
                let same = |child: &&Child| {
                    peer.ip().is_some() && child.guest.as_ref().and_then(Address::ip) == peer.ip()
                };
                let most = self.job.limits.connections_per_peer.map_or(usize::MAX, |most| most as usize);
                if self.children.values().filter(same).count() >= most {
                    info!("refused {peer}: too many connections from this address");
                    return None;
                }
                Some((stream, peer))
            }
            Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                warn!("cannot accept at {}: {error}; trying again", self.doors[door].address());
                thread::sleep(TOO_SOON);
                None
            }
            Err(_) => None, // it has left already, or a signal came (accept(2), "ERRORS")
        }
    }

    /// How many children there are.
    pub fn size(&self) -> usize {
        self.children.len()
    }

    /// The lowest number no child has.
    pub fn free_number(&self) -> usize {
        (0..).find(|number| !self.children.contains_key(number)).unwrap_or_default()
    }

    /// A child without a guest, and its channel.
    pub fn idle_child(&mut self) -> Option<(&OwnedFd, &mut Option<Address>)> {
        let idle = self.children.values_mut().find(|child| child.guest.is_none())?;
        Some((&idle.channel, &mut idle.guest))
    }

    /// Whether a child has no guest.
    pub fn has_idle_child(&self) -> bool {
        self.children.values().any(|child| child.guest.is_none())
    }

    /// Tells what was done, and by whom.
    pub fn report<S: Serve>(&self) {
        self.job.report::<S>();
        report_spread("child", self.spread.iter().copied());
    }
}

impl Drop for Family<'_> {
    /// The parent gives up before its time: nobody is left behind.
    fn drop(&mut self) {
        self.send(Signal::KILL);
        for child in self.children.values() {
            let _ = waitpid(Some(child.process), WaitOptions::empty());
        }
    }
}

/// What to tell of a child's end, if it was not in order.
fn describe(status: WaitStatus) -> Option<String> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("ended with status {code}")),
        (_, Some(signal)) => Some(format!("was killed by signal {signal}")),
        _ => Some("ended".to_owned()),
    }
}

/// What a child counted in one conversation, said to its parent in one packet.
pub fn tell_parent(channel: &OwnedFd, totals: Totals) {
    let mut record = [0; 32];
    let counts = [totals.connections, totals.requests, totals.received, totals.sent];
    for (bytes, count) in record.chunks_exact_mut(8).zip(counts) {
        bytes.copy_from_slice(&count.to_ne_bytes());
    }
    while let Err(Errno::INTR) = rustix::net::send(channel, &record, WITHOUT_SIGPIPE) {}
}

fn read(record: &[u8; 32]) -> Totals {
    let count = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&record[8 * at..8 * at + 8]);
        u64::from_ne_bytes(bytes)
    };
    Totals { connections: count(0), requests: count(1), received: count(2), sent: count(3) }
}
