//! The joint between readiness and the kernel: one trait, one file per kernel interface.
//!
//! Read [`epoll`] first, then [`mod@poll`] and [`select`] with the same headings in the same order, and compare by eye. What the
//! two older interfaces lack, a memory and edges, they share in [`watch_list`], with [`polling`] as the third. The youngest,
//! `io_uring`, knows operations only: which of them stand for what is watched is kept in `slots`, and how they reach the kernel
//! and come back is in `operations`.

#[cfg(any(has_epoll, has_kqueue, has_polling))]
mod always_ready;
#[cfg(has_epoll)]
pub(crate) mod epoll;
#[cfg(has_io_uring)]
pub(crate) mod io_uring;
#[cfg(has_kqueue)]
mod knotes;
#[cfg(has_kqueue)]
pub(crate) mod kqueue;
#[cfg(has_io_uring)]
mod operations;
pub(crate) mod poll;
#[cfg(has_polling)]
pub(crate) mod polling;
pub(crate) mod select;
#[cfg(feature = "sim")]
pub(crate) mod sim;
#[cfg(has_io_uring)]
mod slots;
pub(crate) mod watch_list;

use std::fmt;
use std::io;
#[cfg(any(has_epoll, has_kqueue))]
use std::os::fd::AsFd;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::event::Event;
use super::interest::{Interest, Trigger};
use super::waker::WakerFd;
use crate::error::Error;

/// What a kernel interface must offer to carry a [`Poll`](crate::Poll) or a reactor.
///
/// The key given at registration comes back with each event, all 64 bits of it. Every method may be called from any thread
/// while another is in `wait`; only one thread waits at a time.
pub(crate) trait Selector {
    /// Starts watching `fd`. `AlreadyExists` if it is watched.
    fn register(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()>;

    /// Starts watching a socket that listens, as several loops may: a connection wakes one of them (or some), not all.
    /// `Unsupported` where the kernel has no such thing.
    fn register_exclusively(&self, _fd: BorrowedFd<'_>, _key: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Replaces what is watched for. `NotFound` if it is not watched. What is ready now is reported again.
    fn reregister(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()>;

    /// Stops watching. After it returned, no wait reports the descriptor any more, not even the one in progress.
    /// `NotFound` if it is not watched.
    fn deregister(&self, fd: BorrowedFd<'_>) -> io::Result<()>;

    /// Lets go of all that is watched, because its owner is about to close it: a kernel may hold open what it watches.
    fn let_go(&self) -> io::Result<()> {
        Ok(())
    }

    /// Replaces what `ready` held by what is ready now, at most its capacity; without events, waits for one, for `timeout`
    /// at most (`None`: for ever; zero: not at all; three years are enough). A timeout is `Ok` and no events; a signal is
    /// `Interrupted`.
    fn wait(&self, ready: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()>;

    /// Makes `waker`, registered before, readable: once, for the wait in progress or the next one.
    fn wake(&self, waker: &WakerFd) -> io::Result<()>;

    /// Sets the clock that ends a wait at `deadline` with an event of the key [`CLOCK_KEY`], in place of a timeout on every
    /// wait. `false`: there is none, use the timeout.
    fn arm_clock(&self, _deadline: Instant) -> io::Result<bool> {
        Ok(false)
    }

    /// Whether the kernel itself has edges, so that a source may stay registered for both directions without cost.
    fn has_native_edge(&self) -> bool {
        false
    }
}

/// The key of the clock's event. Whoever arms the clock keeps this key free.
pub(crate) const CLOCK_KEY: u64 = u64::MAX;

/// What one registration asks for.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Registration {
    /// Comes back with each event.
    pub(crate) key: u64,
    pub(crate) interest: Interest,
    pub(crate) trigger: Trigger,
    /// Who re-arms an emulated edge after I/O.
    pub(crate) rearm: Rearm,
}

/// Who tells a backend without edges that a source has been read or written, so that its edge may fire again.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rearm {
    /// The source itself, after each I/O call (`../rearm.rs`), as our sockets do.
    ByOwner,
    /// Nobody: the I/O on a raw descriptor is out of our sight, so the backend re-arms it after a millisecond.
    ByTime,
    /// Nobody, for it is a waker and never disarmed: its ring is taken out as it is told, so that the next one is news.
    Never,
}

/// Who calls a selector.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Callers {
    /// The thread that opened it, and no other: others only wake it.
    OneThread,
    /// Any thread, also while another waits; and who waits may change.
    AnyThread,
}

/// A kernel interface to wait with.
///
/// ```
/// use reactor::Backend;
/// let backend: Backend = "poll".parse()?;
/// assert!(Backend::available().contains(&backend));
/// let error = "pol".parse::<Backend>().unwrap_err();
/// assert!(error.to_string().starts_with(r#"no backend "pol" here; available: auto, select, poll"#));
/// # Ok::<(), reactor::Error>(())
/// ```
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// What the environment variable `REACTOR_BACKEND` names, else the best this system has.
    #[default]
    Auto,
    /// select(2), with bitmaps of its own: no limit of 1024 descriptors, except where the system insists on one.
    Select,
    /// poll(2).
    Poll,
    /// epoll(7): Linux.
    Epoll,
    /// io_uring(7), as a way to wait for readiness: Linux 5.18, where nobody forbids it.
    IoUring,
    /// kqueue(2): the BSDs and Apple's systems.
    Kqueue,
    /// The `polling` crate, over whatever it finds: to compare with, and as a last resort.
    Polling,
    /// No kernel at all: the simulation that runs on this thread, where it is the only choice (with the feature `sim`).
    Sim,
}

/// What there is here, best first. (Which system has what: `build.rs`.)
const BEST_FIRST: &[Backend] = &[
    #[cfg(has_kqueue)]
    Backend::Kqueue, // a system has one of the two, unless somebody forced the other upon it
    #[cfg(has_epoll)]
    Backend::Epoll,
    Backend::Poll,
    Backend::Select,
    #[cfg(has_polling)]
    Backend::Polling,
    #[cfg(has_io_uring)]
    Backend::IoUring,
];

/// All of them, in the order of the classic texts.
const KNOWN: &[Backend] = &[
    Backend::Auto,
    Backend::Select,
    Backend::Poll,
    #[cfg(has_epoll)]
    Backend::Epoll,
    #[cfg(has_kqueue)]
    Backend::Kqueue,
    #[cfg(has_polling)]
    Backend::Polling,
    #[cfg(has_io_uring)]
    Backend::IoUring,
];

impl Backend {
    /// Every name that works here: `Auto`, then in the order of the classic texts, and `Polling` at the end.
    ///
    /// ```
    /// use reactor::Backend;
    /// assert_eq!(Backend::available()[0], Backend::Auto);
    /// ```
    #[must_use]
    pub fn available() -> &'static [Backend] {
        #[cfg(feature = "sim")]
        {
            if crate::sys::simulated::is_running() {
                return &[Backend::Auto, Backend::Sim];
            }
        }
        static AVAILABLE: OnceLock<Vec<Backend>> = OnceLock::new();
        AVAILABLE
            .get_or_init(|| KNOWN.iter().copied().filter(|backend| backend.refusal().is_none()).collect())
    }

    /// Why this machine refuses it, although the program knows how to use it.
    fn refusal(self) -> Option<&'static str> {
        match self {
            #[cfg(has_io_uring)]
            Backend::IoUring => io_uring::IoUring::refusal(),
            _ => None,
        }
    }

    /// The kernel interface this stands for: itself, or for `Auto` what `REACTOR_BACKEND` names, else the best.
    ///
    /// # Errors
    /// It is not available here, or `REACTOR_BACKEND` names none that is.
    ///
    /// ```
    /// use reactor::Backend;
    /// assert_eq!(Backend::Select.resolve()?, Backend::Select);
    /// assert_ne!(Backend::Auto.resolve()?, Backend::Auto);
    /// # Ok::<(), reactor::Error>(())
    /// ```
    pub fn resolve(self) -> Result<Backend, Error> {
        if self != Backend::Auto {
            return self.name().parse();
        }
        #[cfg(feature = "sim")]
        {
            if crate::sys::simulated::is_running() {
                return Ok(Backend::Sim);
            }
        }
        match std::env::var("REACTOR_BACKEND") {
            Ok(name) if !name.is_empty() => match name.parse()? {
                Backend::Auto => Ok(BEST_FIRST[0]),
                chosen => Ok(chosen),
            },
            _ => Ok(BEST_FIRST[0]),
        }
    }

    /// Opens it.
    #[cfg_attr(not(has_io_uring), allow(unused_variables))] // the others work the same for all
    pub(crate) fn open(self, callers: Callers) -> io::Result<AnySelector> {
        match self.resolve().map_err(Error::into_io)? {
            Backend::Select => select::Select::new().map(AnySelector::Select),
            #[cfg(has_epoll)]
            Backend::Epoll => epoll::Epoll::new().map(AnySelector::Epoll),
            #[cfg(has_io_uring)]
            Backend::IoUring => io_uring::IoUring::new(callers).map(AnySelector::IoUring),
            #[cfg(has_kqueue)]
            Backend::Kqueue => kqueue::Kqueue::new().map(AnySelector::Kqueue),
            #[cfg(has_polling)]
            Backend::Polling => polling::Polling::new().map(AnySelector::Polling),
            #[cfg(feature = "sim")]
            Backend::Sim => sim::Sim::new().map(AnySelector::Sim),
            _ => poll::Poll::new().map(AnySelector::Poll), // what is not here was not resolved
        }
    }

    /// Its name, as [`FromStr`] takes it.
    ///
    /// ```
    /// assert_eq!(reactor::Backend::Epoll.name(), "epoll");
    /// ```
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Backend::Auto => "auto",
            Backend::Select => "select",
            Backend::Poll => "poll",
            Backend::Epoll => "epoll",
            Backend::IoUring => "io-uring",
            Backend::Kqueue => "kqueue",
            Backend::Polling => "polling",
            Backend::Sim => "sim",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Backend {
    type Err = Error;

    fn from_str(name: &str) -> Result<Backend, Error> {
        let available = || {
            let names: Vec<&str> = Backend::available().iter().map(|backend| backend.name()).collect();
            names.join(", ")
        };
        #[cfg(feature = "sim")]
        {
            if crate::sys::simulated::is_running() {
                let here = Backend::available().iter().find(|backend| backend.name() == name);
                let unknown = || Error::Backend { name: name.to_owned(), available: available() };
                return here.copied().ok_or_else(unknown); // a real one would wait for sockets that are none
            }
        }
        let Some(&known) = KNOWN.iter().find(|backend| backend.name() == name) else {
            return Err(Error::Backend { name: name.to_owned(), available: available() });
        };
        match known.refusal() {
            Some(why) => Err(Error::Refused { name: known.name(), why, available: available() }),
            None => Ok(known),
        }
    }
}

/// Whichever backend was chosen at run time: an enum, so that a call costs a predictable branch and no box.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // there is one for a loop, behind an `Arc`
pub(crate) enum AnySelector {
    Select(select::Select),
    Poll(poll::Poll),
    #[cfg(has_epoll)]
    Epoll(epoll::Epoll),
    #[cfg(has_io_uring)]
    IoUring(io_uring::IoUring),
    #[cfg(has_kqueue)]
    Kqueue(kqueue::Kqueue),
    #[cfg(has_polling)]
    Polling(polling::Polling),
    #[cfg(feature = "sim")]
    Sim(sim::Sim),
}

/// Calls the same method of whichever it is.
macro_rules! dispatch {
    ($any:expr, $selector:ident => $call:expr) => {
        match $any {
            AnySelector::Select($selector) => $call,
            AnySelector::Poll($selector) => $call,
            #[cfg(has_epoll)]
            AnySelector::Epoll($selector) => $call,
            #[cfg(has_io_uring)]
            AnySelector::IoUring($selector) => $call,
            #[cfg(has_kqueue)]
            AnySelector::Kqueue($selector) => $call,
            #[cfg(has_polling)]
            AnySelector::Polling($selector) => $call,
            #[cfg(feature = "sim")]
            AnySelector::Sim($selector) => $call,
        }
    };
}

impl AnySelector {
    pub(crate) fn backend(&self) -> Backend {
        match self {
            AnySelector::Select(_) => Backend::Select,
            AnySelector::Poll(_) => Backend::Poll,
            #[cfg(has_epoll)]
            AnySelector::Epoll(_) => Backend::Epoll,
            #[cfg(has_io_uring)]
            AnySelector::IoUring(_) => Backend::IoUring,
            #[cfg(has_kqueue)]
            AnySelector::Kqueue(_) => Backend::Kqueue,
            #[cfg(has_polling)]
            AnySelector::Polling(_) => Backend::Polling,
            #[cfg(feature = "sim")]
            AnySelector::Sim(_) => Backend::Sim,
        }
    }

    /// The descriptor that stands for all that is watched, if there is one.
    pub(crate) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            AnySelector::Select(_) | AnySelector::Poll(_) => None,
            #[cfg(has_polling)]
            AnySelector::Polling(_) => None, // it has one that says too little (quirk e of `polling.rs`)
            #[cfg(has_epoll)]
            AnySelector::Epoll(epoll) => Some(epoll.as_fd()),
            #[cfg(has_io_uring)]
            AnySelector::IoUring(_) => None, // what is registered reaches the kernel with the next wait only
            #[cfg(has_kqueue)]
            AnySelector::Kqueue(kqueue) => Some(kqueue.as_fd()),
            #[cfg(feature = "sim")]
            AnySelector::Sim(_) => None,
        }
    }

    /// kqueue, whose wakers are no descriptors.
    #[cfg(has_evfilt_user)]
    pub(crate) fn as_kqueue(&self) -> Option<&kqueue::Kqueue> {
        match self {
            AnySelector::Kqueue(kqueue) => Some(kqueue),
            _ => None,
        }
    }

    /// Adds to an error what was attempted on what.
    #[cold]
    pub(crate) fn explain(
        &self,
        operation: &'static str,
        fd: BorrowedFd<'_>,
        token: u64,
        source: io::Error,
    ) -> io::Error {
        let (fd, backend) = (fd.as_raw_fd(), self.backend().name());
        Error::Registration { operation, fd, token, backend, source }.into_io()
    }

    #[inline(never)]
    fn register_out_of_line(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        dispatch!(self, selector => selector.register(fd, registration))
    }

    #[inline(never)]
    fn reregister_out_of_line(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        dispatch!(self, selector => selector.reregister(fd, registration))
    }

    #[inline(never)]
    fn deregister_out_of_line(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        dispatch!(self, selector => selector.deregister(fd))
    }

    #[inline(never)]
    fn wait_out_of_line(&self, ready: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        dispatch!(self, selector => selector.wait(ready, timeout))
    }
}

impl Selector for AnySelector {
    /// Inlined always: else the registration goes through memory, for 112 instructions in place of 95 (with deregistering).
    #[inline(always)]
    fn register(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        let result = match self {
            #[cfg(has_epoll)]
            AnySelector::Epoll(epoll) => epoll.register(fd, registration),
            others => others.register_out_of_line(fd, registration),
        };
        result.map_err(|source| self.explain("register", fd, registration.key, source))
    }

    fn register_exclusively(&self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        dispatch!(self, selector => selector.register_exclusively(fd, key))
            .map_err(|source| self.explain("register exclusively", fd, key, source))
    }

    #[inline]
    fn reregister(&self, fd: BorrowedFd<'_>, registration: Registration) -> io::Result<()> {
        let result = match self {
            #[cfg(has_epoll)]
            AnySelector::Epoll(epoll) => epoll.reregister(fd, registration),
            others => others.reregister_out_of_line(fd, registration),
        };
        result.map_err(|source| self.explain("reregister", fd, registration.key, source))
    }

    #[inline]
    fn deregister(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        match self {
            #[cfg(has_epoll)]
            AnySelector::Epoll(epoll) => epoll.deregister(fd),
            others => others.deregister_out_of_line(fd),
        }
    }

    fn let_go(&self) -> io::Result<()> {
        dispatch!(self, selector => selector.let_go())
    }

    #[inline]
    fn wait(&self, ready: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            #[cfg(has_epoll)]
            AnySelector::Epoll(epoll) => epoll.wait(ready, timeout),
            others => others.wait_out_of_line(ready, timeout),
        }
    }

    fn wake(&self, waker: &WakerFd) -> io::Result<()> {
        dispatch!(self, selector => selector.wake(waker))
    }

    fn arm_clock(&self, deadline: Instant) -> io::Result<bool> {
        dispatch!(self, selector => selector.arm_clock(deadline))
    }

    fn has_native_edge(&self) -> bool {
        dispatch!(self, selector => selector.has_native_edge())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    /// Whoever waits with a buffer that does not grow still hears everybody.
    #[test]
    fn a_batch_that_is_cut_short_goes_on_where_it_ended() {
        for backend in &Backend::available()[1..] {
            let selector = backend.open(Callers::OneThread).unwrap();
            let sockets: Vec<_> = (0..5).map(|_| UnixStream::pair().unwrap().0).collect();
            for (key, socket) in (0..).zip(&sockets) {
                let (interest, trigger, rearm) = (Interest::WRITABLE, Trigger::Level, Rearm::ByOwner);
                selector.register(socket.as_fd(), Registration { key, interest, trigger, rearm }).unwrap();
            }
            let (mut ready, mut heard) = (Vec::with_capacity(2), BTreeSet::new());
            for _ in 0..3 {
                selector.wait(&mut ready, None).unwrap();
                assert_eq!(ready.len(), 2);
                heard.extend(ready.iter().map(Event::key));
            }
            assert_eq!(heard.len(), sockets.len(), "{backend}");
        }
    }
}
