//! The event-driven server: nobody waits for a single client.
//!
//! One thread asks the kernel who is ready, among thousands, and gives each of them a short turn; a conversation is a value in
//! a table, and an idle one costs some tens of bytes. **Who waits:** the loop, for all of them at once. **Where it breaks:**
//! at a turn that is long. While one protocol computes, or a disk is slow, nobody else is served; and one loop is one core.
//!
//! `--workers N` has a loop on each of N threads. They share the listening address and nothing else, in one of three ways
//! (`--accept`), and at the end each says how many connections it got and how often it woke for one in vain.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::{Arc, mpsc};

use reactor::Backend;
use reactor::event_loop::{Builder, Counters, Incoming, Limits, Notice, Protocol, Reactor, Workers};
use reactor::net::Address;
use signal_hook::consts::{SIGINT, SIGTERM};
use tracing::{error, info, warn};
use zen_server::services::Serve;

use super::{Failure, Job, trace};
use crate::listening::Door;
use crate::options::{Accept, Trigger};
use crate::signals::Signals;

/// Serves with the protocols as they are.
pub fn serve<S: Serve>(job: &Job<'_>) -> Result<(), Failure> {
    match job.options.trace {
        false => serve_dressed::<S, _>(job, |conversation| conversation),
        true => serve_dressed::<S, _>(job, trace::Traced::new),
    }
}

/// Serves with protocols that are dressed up as something else.
pub fn serve_dressed<S: Serve, P>(job: &Job<'_>, dress: fn(S::Conversation) -> P) -> Result<(), Failure>
where
    P: Protocol<Message = Infallible> + 'static,
{
    let doors = Arc::new(job.open()?);
    match job.options.workers() {
        1 => serve_alone::<S, P>(job, doors, dress)?,
        workers => serve_with_workers::<S, P>(job, workers, &doors, dress)?,
    }
    job.report::<S>();
    Ok(())
}

/// One loop, in this thread; signals are events like others.
fn serve_alone<S: Serve, P>(
    job: &Job<'_>,
    doors: Arc<Vec<Door>>,
    dress: fn(S::Conversation) -> P,
) -> Result<(), Failure>
where
    P: Protocol<Message = Infallible> + 'static,
{
    let service = S::start(&job.settings);
    let builder = builder::<P>(job.options.backend, job.options.trigger, job.limits);
    let mut reactor =
        builder.measure_waits(job.options.trace).build().map_err(Failure::of("the event loop"))?;
    for door in &*doors {
        watch(&mut reactor, door, job.options.accept, &service, dress).map_err(Failure::of("a socket"))?;
    }
    // The second signal ends the process from within the handler, even if the loop is stuck; this is kept for that.
    let _signals = Signals::catch().map_err(Failure::of("cannot handle signals"))?;
    for signal in [SIGINT, SIGTERM] {
        let (doors, grace) = (Arc::clone(&doors), job.grace);
        let stop = move |reactor: &mut Reactor<P>| {
            reactor.shutdown(grace);
            doors.iter().for_each(Door::close); // the loop had a duplicate of each
            let clients = reactor.connections();
            info!("stopping: {clients} connected, at most {grace:?} for requests in progress");
        };
        reactor.on_signal(signal, stop).map_err(Failure::of("cannot handle signals"))?;
    }
    job.announce(&*doors);
    let began = trace::begin();
    reactor.run().map_err(Failure::of("the event loop failed"))?;
    if job.options.trace {
        trace::tell_loop(began, reactor.counters());
    }
    Ok(())
}

/// A loop in each of several threads; this one waits for signals.
fn serve_with_workers<S: Serve, P>(
    job: &Job<'_>,
    count: usize,
    doors: &Arc<Vec<Door>>,
    dress: fn(S::Conversation) -> P,
) -> Result<(), Failure>
where
    P: Protocol<Message = Infallible> + 'static,
{
    let signals = Arc::new(Signals::catch().map_err(Failure::of("cannot handle signals"))?);
    let (settings, accept) = (job.settings.clone(), job.options.accept);
    let (backend, trigger) = (job.options.backend, job.options.trigger);
    let (limits, of_worker) = (job.limits, Arc::clone(doors));
    let build = move |number: usize| {
        let mut reactor = builder::<P>(backend, trigger, share(limits, number, count)).build()?;
        let service = S::start(&settings);
        for door in &*of_worker {
            match accept {
                Accept::Reuseport if number > 0 => {
                    watch(&mut reactor, &door.another()?, accept, &service, dress)?
                }
                _ => watch(&mut reactor, door, accept, &service, dress)?,
            }
        }
        Ok(reactor)
    };
    let workers = Workers::start(count, build).map_err(Failure::of("the event loops"))?;
    job.announce(&**doors);
    let handles = workers.handles().to_vec();
    let (grace, first, outer) = (job.grace, Arc::clone(&signals), Arc::clone(doors));
    let stop = std::thread::spawn(move || {
        first.wait();
        info!("stopping: at most {grace:?} for requests in progress");
        let (gone, all_gone) = mpsc::channel::<Infallible>();
        for handle in handles {
            let gone = gone.clone();
            handle.shutdown(grace);
            handle.run(move |_| drop(gone));
        }
        drop(gone);
        let _ = all_gone.recv(); // nobody watches the doors any more
        outer.iter().for_each(Door::close);
    });
    let counters = workers.join();
    doors.iter().for_each(Door::remove_path);
    let counters = counters.map_err(Failure::of("an event loop failed"))?;
    let _ = stop.join(); // loops end in order after a signal only
    drop(signals); // until here the second one ends the process
    for (number, Counters { accepted, accepts_in_vain, .. }) in counters.iter().enumerate() {
        info!("worker {number} : {accepted} times, woken {accepts_in_vain} times in vain");
    }
    Ok(())
}

/// A loop as the options ask for it.
pub fn builder<P: Protocol + 'static>(
    backend: Backend,
    trigger: Option<Trigger>,
    limits: Limits,
) -> Builder<P> {
    let builder = Reactor::builder().backend(backend).limits(limits).on_notice(tell);
    match trigger {
        Some(trigger) => builder.trigger(trigger.into()),
        None => builder,
    }
}

/// Has a loop accept at a door.
fn watch<S: Serve, P: Protocol + 'static>(
    reactor: &mut Reactor<P>,
    door: &Door,
    accept: Accept,
    service: &Rc<S>,
    dress: fn(S::Conversation) -> P,
) -> std::io::Result<()> {
    let (socket, service) = (door.duplicate()?, Rc::clone(service));
    let make = move |incoming: &Incoming<'_>| {
        let peer = match incoming.peer {
            Address::Inet(address) => Some(*address),
            Address::Unix(_) => None,
        };
        Some(dress(service.converse(peer)))
    };
    match accept {
        Accept::Exclusive => reactor.listen_exclusively_on(socket, make),
        Accept::Shared | Accept::Reuseport => reactor.listen_on(socket, make),
    }
    .map(drop)
}

/// One worker's part of what is allowed in all.
fn share(limits: Limits, number: usize, count: usize) -> Limits {
    let connections = limits.connections / count + usize::from(number < limits.connections % count);
    Limits { connections, ..limits }
}

/// What the loop has to say besides the events of connections.
pub fn tell(notice: &Notice<'_>) {
    match notice {
        Notice::Panicked { .. } | Notice::SourceFailed { .. } => error!("{notice}"),
        Notice::Refused { .. } => info!("{notice}"),
        _ => warn!("{notice}"),
    }
}
