//! Several loops, a thread each: how a program uses more than one core.
//!
//! The loops share nothing but what their builder gives to each of them, usually a listening socket. How the connections
//! spread is the kernel's business, and there are three ways to ask for it:
//!
//! * **one socket, watched by all** ([`listen_on`](Reactor::listen_on) of a duplicate): each connection wakes every loop that
//!   waits, one gets it, and the others have woken in vain. The *thundering herd*. Most who are late notice it within the
//!   kernel, which looks once more before it returns; the rest only when accept(2) finds nobody
//!   ([`Counters::accepts_in_vain`](super::Counters::accepts_in_vain)).
//! * **one socket, watched exclusively** ([`listen_exclusively_on`](Reactor::listen_exclusively_on)): a connection wakes "one or
//!   more" of the loops (epoll_ctl(2), `EPOLLEXCLUSIVE`) and not all of them. The queue is always searched from the same end, so
//!   one loop gets most of what comes slowly: of 1 000 connections one after the other, 921 went to the first of four.
//! * **a socket each at the same address** ([`net::listen`](crate::net::listen) with `reuse_port`): the kernel deals out by a
//!   hash, evenly and blindly. What waits in the backlog of a loop that is busy waits, even if another loop is idle.

use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::mailbox::Handle;
use super::outside::Counters;
use super::protocol::{Protocol, message_of};
use super::reactor::Reactor;
use crate::sys;

/// Threads with a loop in each.
///
/// ```
/// use reactor::event_loop::{Context, Protocol, Reactor, Workers};
/// use std::io::{Read, Write};
/// use std::net::{TcpListener, TcpStream};
/// use std::time::Duration;
///
/// struct Echo;
/// impl Protocol for Echo {
///     type Message = ();
///     fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
///         cx.write(input);
///         input.len()
///     }
/// }
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let workers = Workers::start(2, move |_| {
///     let mut reactor = Reactor::builder().build()?;
///     reactor.listen_on(listener.try_clone()?, |_| Some(Echo))?;
///     Ok(reactor)
/// })?;
/// for _ in 0..10 {
///     let mut client = TcpStream::connect(address)?;
///     client.write_all(b"hello")?;
///     client.read_exact(&mut [0; 5])?;
/// }
/// workers.shutdown(Duration::from_secs(1));
/// let counters = workers.join()?;
/// assert_eq!(counters.iter().map(|counters| counters.accepted).sum::<u64>(), 10);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Dropped without [`join`](Workers::join), the loops run on, and nobody hears how they end.
pub struct Workers<P: Protocol> {
    handles: Vec<Handle<P>>,
    threads: Vec<JoinHandle<io::Result<Counters>>>,
}

impl<P> Workers<P>
where
    P: Protocol + 'static,
    P::Message: Send,
{
    /// Starts so many threads. In each of them `build` makes a loop (it is given the number of the worker, from 0), which then
    /// runs. Returns when all loops are built. A loop that fails shuts down the others.
    ///
    /// # Errors
    /// What `build` said first, or that there can be no more threads; the loops that were built are shut down at once.
    pub fn start(
        count: usize,
        build: impl Fn(usize) -> io::Result<Reactor<P>> + Send + Sync + 'static,
    ) -> io::Result<Workers<P>> {
        let build = Arc::new(build);
        let (built, news) = mpsc::channel();
        let mut workers = Workers { handles: Vec::new(), threads: Vec::new() };
        let mut result = Ok(());
        for number in 0..count {
            let (build, built) = (Arc::clone(&build), built.clone());
            let work = move || work(number, || build(number), built);
            match sys::spawn_thread(format!("worker {number}"), work) {
                Ok(thread) => workers.threads.push(thread),
                Err(error) => result = result.and(Err(error)),
            }
        }
        drop(built);
        let mut doors = Vec::new(); // where each worker hears of the others
        for (number, handle, door) in news.iter().take(workers.threads.len()) {
            doors.push((number, handle, door));
        }
        doors.sort_by_key(|(number, ..)| *number);
        workers.handles = doors.iter().map(|(_, handle, _)| handle.clone()).collect();
        if workers.handles.len() < count {
            // Somebody failed: `work` reported nothing for it.
            workers.shutdown(Duration::ZERO);
            drop(doors);
            return Err(result.and(workers.join()).err().unwrap_or_else(|| io::Error::other("no worker")));
        }
        for (.., door) in doors {
            let _ = door.send(workers.handles.clone()); // a worker that ended already needs no others
        }
        Ok(workers)
    }

    /// Ways into the loops, in the order of their numbers.
    #[must_use]
    pub fn handles(&self) -> &[Handle<P>] {
        &self.handles
    }

    /// Shuts all loops down; see [`Reactor::shutdown`].
    pub fn shutdown(&self, grace: Duration) {
        self.handles.iter().for_each(|handle| handle.shutdown(grace));
    }

    /// Waits until all loops have ended, and tells what each counted.
    ///
    /// # Errors
    /// A loop failed or its thread panicked: the first of them, by number.
    pub fn join(self) -> io::Result<Vec<Counters>> {
        let results = self.threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => Err(io::Error::other(message_of(&*panic))),
        });
        // All of them are waited for, also behind one that failed.
        results.collect::<Vec<_>>().into_iter().collect()
    }
}

/// A worker that has built its loop: which, the way in, and where it is to hear of the others.
type Built<P> = (usize, Handle<P>, mpsc::Sender<Vec<Handle<P>>>);

/// One thread's life. However it ends otherwise than in order, the others are shut down.
fn work<P>(
    number: usize,
    build: impl FnOnce() -> io::Result<Reactor<P>>,
    built: mpsc::Sender<Built<P>>,
) -> io::Result<Counters>
where
    P: Protocol + 'static,
{
    let explain = |error: io::Error| io::Error::new(error.kind(), format!("worker {number}: {error}"));
    let mut reactor = build().map_err(explain)?;
    let (door, others) = mpsc::channel();
    let _ = built.send((number, reactor.handle(), door));
    drop(built); // when nobody holds one any more, everybody has been heard
    let Ok(others) = others.recv() else { return Ok(*reactor.counters()) }; // somebody could not be built
    let result = panic::catch_unwind(AssertUnwindSafe(|| reactor.run().map(|()| *reactor.counters())));
    let result =
        result.unwrap_or_else(|panic| Err(io::Error::other(format!("panicked: {}", message_of(&*panic)))));
    if result.is_err() {
        others.iter().for_each(|other| other.shutdown(Duration::ZERO));
    }
    result.map_err(explain)
}

impl<P: Protocol> fmt::Debug for Workers<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::Context;

    struct Silent;

    impl Protocol for Silent {
        type Message = ();
        fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize {
            input.len()
        }
    }

    fn build(_: usize) -> io::Result<Reactor<Silent>> {
        Reactor::builder().build()
    }

    #[test]
    fn all_loops_end_after_a_shutdown() {
        let workers = Workers::start(3, build).unwrap();
        assert_eq!(workers.handles().len(), 3);
        workers.shutdown(Duration::ZERO);
        assert_eq!(workers.join().unwrap().len(), 3);
    }

    #[test]
    fn one_that_cannot_be_built_is_the_end_of_all() {
        let workers = Workers::start(3, |number| match number {
            1 => Err(io::Error::other("no wish to")),
            _ => build(number),
        });
        assert_eq!(workers.unwrap_err().to_string(), "worker 1: no wish to");
    }

    #[test]
    fn one_that_panics_shuts_down_the_others_and_is_reported() {
        let workers = Workers::start(3, build).unwrap();
        assert!(workers.handles()[2].run(|_| panic!("a planted panic")));
        assert_eq!(workers.join().unwrap_err().to_string(), "worker 2: panicked: a planted panic");
    }

    #[test]
    fn one_that_panics_while_it_builds_is_reported() {
        let workers = Workers::<Silent>::start(2, |_| panic!("a planted panic"));
        assert_eq!(workers.unwrap_err().to_string(), "a planted panic");
    }
}
