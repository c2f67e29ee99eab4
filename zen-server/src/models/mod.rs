//! Who waits for the clients: one file per architecture of the texts, each opening with what it is and where it breaks.
//!
//! What is said is none of their business: each is written for any [`Serve`]. Read [`single`] first, where everybody waits for
//! everybody, then [`threads`], [`prethreaded`] and [`pool`], where threads wait (what they share is in [`hall`]), then
//! [`fork`], [`prefork`] and [`fd_passing`], where processes do (what they share is in [`family`]), and [`reactor`], where
//! nobody does. [`inetd`] has somebody else wait. [`callback`] and [`framed`] show the reactor in other clothes.

pub mod callback;
pub mod family;
pub mod fd_passing;
pub mod fork;
pub mod forking;
pub mod framed;
pub mod hall;
pub mod inetd;
pub mod pool;
pub mod prefork;
pub mod prethreaded;
pub mod reactor;
pub mod single;
pub mod threads;
pub mod trace;

use std::sync::Arc;
use std::time::Duration;

use ::reactor::Backend;
use ::reactor::event_loop::{ConnectionId, Limits};
use clap::ValueEnum;
use tracing::info;
use zen_server::services::{Serve, Settings, Totals, bytes, echo, panics, zen};

use crate::listening::{self, Door};
use crate::options::{Accept, Options, Service};

/// How long requests in progress may take to finish after the first signal.
const GRACE: Duration = Duration::from_secs(5);
/// How much longer if answers are expensive.
const LONGEST_GRACE: Duration = Duration::from_secs(30);

/// Who waits.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Model {
    /// Event loops: nobody waits for a single client
    Reactor,
    /// One thread, one conversation at a time
    Single,
    /// A thread for each connection
    Threads,
    /// Some threads that all accept
    Prethreaded,
    /// One thread that accepts, and some that converse
    Pool,
    /// A process for each connection
    Fork,
    /// Some processes that all accept
    Prefork,
    /// One process that accepts, and some that are passed the connections
    FdPassing,
    /// Whoever started this program accepts, or has the socket
    Inetd,
    /// The reactor, in the style of asyncio's protocols
    Callback,
    /// The reactor, in the style of asynchat
    Framed,
}

impl Model {
    /// Loops in which protocols have their turn, not conversations that block.
    fn is_reactor(self) -> bool {
        matches!(self, Model::Reactor | Model::Callback | Model::Framed)
    }

    /// Several that accept, each for itself.
    fn has_acceptors(self) -> bool {
        self.is_reactor() || matches!(self, Model::Prethreaded | Model::Prefork)
    }

    /// As many conversations as workers, and no more.
    fn has_workers(self) -> bool {
        matches!(self, Model::Prethreaded | Model::Pool | Model::Prefork | Model::FdPassing)
    }

    /// How many workers there are if nobody says.
    pub fn usual_workers(self) -> usize {
        if self.has_workers() { 4 } else { 1 }
    }

    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Why a model does not do what the options ask for, in one line.
pub fn refusal(options: &Options) -> Option<String> {
    let model = options.model;
    let why = match options {
        Options { max_connections: None, .. } if matches!(model, Model::Threads | Model::Fork) => {
            "needs --max-connections: each connection costs a thread or a process, and who connects often enough would end it all"
        }
        Options { max_connections: Some(_), .. } if model.has_workers() => {
            "holds as many connections as it has workers: say --workers instead of --max-connections"
        }
        Options { max_connections: Some(_), .. } if matches!(model, Model::Single | Model::Inetd) => {
            "holds one connection at a time, or as many as come: --max-connections does not go with it"
        }
        Options { max_connections: Some(most), .. } if (*most as usize) < options.workers() => {
            "divides --max-connections among its --workers: there must be one for each at least"
        }
        Options { max_per_ip: Some(_), .. } if model == Model::Prefork || model == Model::Inetd => {
            "cannot count --max-per-ip: its processes accept without knowing of each other"
        }
        Options { max_per_ip: Some(_), .. } if model.is_reactor() && options.workers() > 1 => {
            "cannot count --max-per-ip with several --workers: its loops share nothing"
        }
        Options { workers: Some(_), .. } if !model.has_workers() && !model.is_reactor() => {
            "has no workers to choose a number of: --workers does not go with it"
        }
        Options { queue: Some(_), .. } if model != Model::Pool => "has no queue: --queue is for --model pool",
        Options { accept: Accept::Exclusive | Accept::Reuseport, .. } if !model.has_acceptors() => {
            "has one acceptor: --accept does not go with it"
        }
        Options { accept: Accept::Exclusive, .. } if !model.is_reactor() => {
            "blocks in accept(2), where the kernel wakes one waiter anyway: --accept exclusive is for loops"
        }
        Options { accept: Accept::Exclusive, backend, .. }
            if backend.resolve().ok() != Some(Backend::Epoll) =>
        {
            "needs --backend epoll for --accept exclusive: no other interface wakes only one"
        }
        Options { accept: Accept::Reuseport, unix: Some(_), .. } => {
            "cannot have --accept reuseport with --unix: a path is bound once"
        }
        Options { backend, .. }
            if *backend != Backend::Auto && !model.is_reactor() && model != Model::Inetd =>
        {
            "waits in accept(2) and recv(2), not for readiness: --backend does not go with it"
        }
        Options { trace: true, .. } if matches!(model, Model::Callback | Model::Framed) => {
            "is the reactor in other clothes: --trace is for --model reactor"
        }
        Options { trace: true, .. } if !model.is_reactor() && model != Model::Single => {
            "does several things at a time: --trace is for --model single and for a single loop"
        }
        Options { trace: true, .. } if options.workers() > 1 => {
            "does several things at a time: --trace is for one worker"
        }
        Options { host, port, unix, .. }
            if model == Model::Inetd && (host.is_some() || port.is_some() || unix.is_some()) =>
        {
            "is given its socket by whoever starts it: HOST, --port and --unix do not go with it"
        }
        _ => return None,
    };
    Some(format!("--model {} {why}", model.name()))
}

/// Why a server does not run.
#[derive(Debug)]
pub enum Failure {
    /// It could not be done.
    Failed(String),
    /// It was wrong to ask for it.
    Refused(String),
}

impl Failure {
    /// For errors that need to say what was attempted.
    pub fn of(what: &str) -> impl Fn(std::io::Error) -> Failure {
        move |error| Failure::Failed(format!("{what}: {error}"))
    }
}

/// What a model is given.
#[derive(Debug)]
pub struct Job<'a> {
    pub options: &'a Options,
    pub settings: Settings,
    pub limits: Limits,
    /// How long requests in progress may take after the first signal.
    pub grace: Duration,
}

impl Job<'_> {
    /// The sockets that the options ask for.
    pub fn open(&self) -> Result<Vec<Door>, Failure> {
        listening::open(self.options).map_err(Failure::Failed)
    }

    /// The same, for who blocks in accept(2) and so can wait at one socket only.
    pub fn open_one(&self) -> Result<Door, Failure> {
        let mut doors = self.open()?;
        match (doors.pop(), doors.is_empty()) {
            (Some(door), true) => door.set_blocking(true).map(|()| door).map_err(Failure::of("a socket")),
            _ => Err(Failure::Refused(format!(
                "--model {} blocks in accept(2), at one socket, and this is more than one: write an address instead of a name, and either TCP or --unix",
                self.options.model.name()
            ))),
        }
    }

    /// One for each worker, or the same for all of them.
    pub fn open_for_workers(&self) -> Result<Vec<Arc<Door>>, Failure> {
        let first = Arc::new(self.open_one()?);
        let door = |number| match self.options.accept {
            Accept::Reuseport if number > 0 => {
                let another = first.another()?;
                another.set_blocking(true)?;
                Ok(Arc::new(another))
            }
            _ => Ok(Arc::clone(&first)),
        };
        (0..self.options.workers()).map(door).collect::<std::io::Result<_>>().map_err(Failure::of("a socket"))
    }

    /// Tells where the server listens, now that it does.
    pub fn announce<'d>(&self, doors: impl IntoIterator<Item = &'d Door>) {
        crate::announce(&doors.into_iter().collect::<Vec<_>>(), self.options);
    }

    /// Tells what was done, in all.
    pub fn report<S: Serve>(&self) {
        report::<S>(self.settings.tally.totals());
    }
}

/// Tells what was done.
pub fn report<S: Serve>(totals: Totals) {
    info!("served {}", totals.display(S::REQUEST));
}

/// Tells how the connections spread over those who accepted them.
pub fn report_spread(kind: &str, counts: impl IntoIterator<Item = u64>) {
    for (number, count) in counts.into_iter().enumerate() {
        info!("{kind} {number} : {count} time{}", if count == 1 { "" } else { "s" });
    }
}

/// Does it.
pub fn serve(options: &Options) -> Result<(), Failure> {
    let limits = Limits {
        connections: options
            .max_connections
            .map_or(ConnectionId::MOST, |most| (most as usize).min(ConnectionId::MOST)),
        connections_per_peer: options.max_per_ip,
        // The services refuse long requests themselves, with an answer; this is the bound behind it.
        request_bytes: 2 * zen::LONGEST_QUESTION.max(64 * 1024),
        idle: options.idle_timeout,
        request_time: options.request_timeout,
        ..Limits::default()
    };
    // An answer that is being worked on is a request in progress, too.
    let grace = GRACE + options.delay.unwrap_or_default().min(LONGEST_GRACE);
    let job = Job { options, settings: options.settings(), limits, grace };
    match options.service {
        Service::Zen => serve_as::<zen::Service>(&job),
        Service::Bytes => serve_as::<bytes::Service>(&job),
        Service::Echo => serve_as::<echo::Service>(&job),
        Service::Panics => serve_as::<panics::Service>(&job),
    }
}

fn serve_as<S: Serve>(job: &Job<'_>) -> Result<(), Failure> {
    match job.options.model {
        Model::Reactor => reactor::serve::<S>(job),
        Model::Single => single::serve::<S>(job),
        Model::Threads => threads::serve::<S>(job),
        Model::Prethreaded => prethreaded::serve::<S>(job),
        Model::Pool => pool::serve::<S>(job),
        Model::Fork => fork::serve::<S>(job),
        Model::Prefork => prefork::serve::<S>(job),
        Model::FdPassing => fd_passing::serve::<S>(job),
        Model::Inetd => inetd::serve::<S>(job),
        Model::Callback => callback::serve::<S>(job),
        Model::Framed => framed::serve::<S>(job),
    }
}
