//! Somebody else listens: the program is started when a client comes.
//!
//! inetd(8) listens for many services and starts a program when somebody wants one. With `nowait` it accepts, and the program
//! finds the connection at descriptor 0: it has one conversation and ends. With `wait` the program finds the socket that
//! listens there, serves whoever comes and, when nobody has been here for eight seconds, ends and lets inetd listen
//! again. systemd does the same and says so in the environment (`LISTEN_FDS`, sd_listen_fds(3)). Which of these it is can be seen
//! from the socket itself. **Who waits:** inetd, for all services that are not wanted just now. **It costs** a new process for a
//! client (`nowait`), or for the first one after a while (`wait`), and nothing in between. **Where it breaks:** `nowait` where
//! forking does, and some more, because each client has a program loaded.
//!
//! Under inetd, standard error is the client. So nothing is told there; `--log` names a file for it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use listenfd::ListenFd;
use reactor::event_loop::{Incoming, Reactor};
use reactor::net::Address;
use rustix::fs::{FileType, fstat};
use signal_hook::consts::{SIGINT, SIGTERM};
use tracing::info;
use zen_server::services::Serve;

use super::hall::{Hall, address_of};
use super::reactor as loops;
use super::{Failure, Job};
use crate::signals::Signals;
use crate::system;

/// How long a socket that is waited at may be without anybody.
const IDLE: Duration = Duration::from_secs(8);

/// Serves whoever is at the socket that this program was started with.
pub fn serve<S: Serve>(job: &Job<'_>) -> Result<(), Failure> {
    let sockets = inherited().map_err(Failure::of("a socket from LISTEN_FDS"))?;
    match system::listens(&sockets[0]) {
        Ok(true) => wait::<S>(job, sockets),
        Ok(false) => sockets.into_iter().try_for_each(|socket| nowait::<S>(job, socket)),
        Err(_) => Err(Failure::Refused(
            "--model inetd finds its socket at descriptor 0 or in LISTEN_FDS, and there is none: it is started by inetd or systemd"
                .to_owned(),
        )),
    }
}

/// What there is in `LISTEN_FDS`, or else standard input.
fn inherited() -> io::Result<Vec<OwnedFd>> {
    let mut given = ListenFd::from_env();
    let mut sockets = Vec::new();
    for number in 0..given.len() {
        // The names are about their type: a connection passes, too.
        let socket = match given.take_tcp_listener(number) {
            Ok(socket) => socket.map(OwnedFd::from),
            Err(_) => given.take_unix_listener(number)?.map(OwnedFd::from),
        };
        sockets.extend(socket);
    }
    if sockets.is_empty() {
        sockets.push(io::stdin().as_fd().try_clone_to_owned()?);
    }
    Ok(sockets)
}

/// One conversation.
fn nowait<S: Serve>(job: &Job<'_>, stream: OwnedFd) -> Result<(), Failure> {
    let hall = Hall::<S>::open(job, &[], 1)?;
    let peer = address_of(rustix::net::getpeername(&stream).ok().flatten());
    if let Some(guest) = hall.admit(stream, &peer) {
        guest.converse(0);
    }
    hall.finish();
    Ok(())
}

/// Whoever comes, until nobody has been here for a while.
fn wait<S: Serve>(job: &Job<'_>, sockets: Vec<OwnedFd>) -> Result<(), Failure> {
    let builder = loops::builder::<S::Conversation>(job.options.backend, job.options.trigger, job.limits);
    let mut reactor = builder.build().map_err(Failure::of("the event loop"))?;
    let service = S::start(&job.settings);
    let _signals = Signals::catch().map_err(Failure::of("cannot handle signals"))?;
    for signal in [SIGINT, SIGTERM] {
        let grace = job.grace;
        let stop = move |reactor: &mut Reactor<S::Conversation>| {
            info!(
                "stopping: {} connected, at most {grace:?} for requests in progress",
                reactor.connections()
            );
            reactor.shutdown(grace);
        };
        reactor.on_signal(signal, stop).map_err(Failure::of("cannot handle signals"))?;
    }
    for socket in &sockets {
        let service = std::rc::Rc::clone(&service);
        let make = move |incoming: &Incoming<'_>| {
            let peer = match incoming.peer {
                Address::Inet(address) => Some(*address),
                Address::Unix(_) => None,
            };
            Some(service.converse(peer))
        };
        let socket = socket.try_clone().map_err(Failure::of("a socket"))?;
        reactor.listen_on(socket, make).map_err(Failure::of("a socket"))?;
    }
    info!("serving until nobody has been here for {IDLE:?}");
    run_until_idle(&mut reactor).map_err(Failure::of("the event loop failed"))?;
    // Whether it blocks is a property of the socket, which others have, too; the loop has changed it.
    for socket in &sockets {
        let _ = rustix::io::ioctl_fionbio(socket, false);
    }
    drop((reactor, service));
    job.report::<S>();
    Ok(())
}

/// Turns until a shutdown is complete or nobody is here for too long.
fn run_until_idle<P: reactor::event_loop::Protocol + 'static>(reactor: &mut Reactor<P>) -> io::Result<()> {
    let mut idle_since = Instant::now();
    loop {
        let is_empty = reactor.connections() == 0;
        if !is_empty {
            idle_since = Instant::now();
        }
        let left = IDLE.saturating_sub(idle_since.elapsed());
        if is_empty && (reactor.is_stopping() || left.is_zero()) {
            return Ok(());
        }
        reactor.turn(is_empty.then_some(left))?;
    }
}

/// Whether this is the connection, or the socket that listens, that inetd has put at descriptors 0, 1 and 2.
pub fn talks_to_a_client(stream: impl AsFd) -> bool {
    let same = || {
        let (input, other) = (fstat(io::stdin()).ok()?, fstat(stream).ok()?);
        let is_socket = FileType::from_raw_mode(other.st_mode) == FileType::Socket;
        Some(is_socket && (input.st_dev, input.st_ino) == (other.st_dev, other.st_ino))
    };
    same().unwrap_or(false)
}
