//! SIGINT and SIGTERM: the first lets requests in progress finish, the second does not wait for anything.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::{pipe, unregister};

/// The exit status of a program that a signal ended, as a shell tells it.
const SIGNAL_STATUS: i32 = 128;

/// Signals as something that can be waited for. A handler may do next to nothing (signal-safety(7)): these set a flag and
/// write a byte into a pipe.
#[derive(Debug)]
pub struct Signals {
    came: Arc<AtomicBool>,
    bell: UnixStream,
    handlers: Vec<SigId>,
}

impl Signals {
    /// Catches both.
    pub fn catch() -> io::Result<Signals> {
        Signals::of(&[SIGINT, SIGTERM])
    }

    /// Catches SIGTERM. Ctrl-C goes to parent and children alike, and the parent is to decide.
    pub fn of_a_child() -> io::Result<Signals> {
        Signals::of(&[SIGTERM])
    }

    fn of(signals: &[i32]) -> io::Result<Signals> {
        let (bell, ring) = UnixStream::pair()?;
        let mut all = Signals { came: Arc::default(), bell, handlers: Vec::new() };
        for &signal in signals {
            // These run inside the signal handler and in this order, so that even a program that is stuck (its log goes into a
            // pipe that nobody reads) can be ended: the first signal only sets the flag, the second finds it set.
            let status = SIGNAL_STATUS + signal;
            all.handlers.push(flag::register_conditional_shutdown(signal, status, Arc::clone(&all.came))?);
            all.handlers.push(flag::register(signal, Arc::clone(&all.came))?);
            all.handlers.push(pipe::register(signal, ring.try_clone()?)?);
        }
        Ok(all)
    }

    /// Whether one came. The bell alone is no proof: a child has the same pipe until it lets go of it.
    pub fn came(&self) -> bool {
        self.came.load(Ordering::SeqCst)
    }

    /// Readable when one came.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Sets the bell back.
    pub fn answer(&self) {
        let _ = (&self.bell).read(&mut [0; 64]); // another signal ends the process; no byte is missed
    }

    /// Blocks until one comes.
    pub fn wait(&self) {
        while !self.came() {
            self.answer();
        }
    }
}

impl Drop for Signals {
    /// From here on the signals are ignored.
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            unregister(handler);
        }
    }
}
