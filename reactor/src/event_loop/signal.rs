//! Signals as events: a handler may do next to nothing (signal-safety(7)), so it writes a byte into a pipe that the loop
//! watches, and the program's function runs in a turn like any other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use signal_hook::SigId;
use signal_hook::low_level::{pipe, unregister};

use super::driver::readiness::is_passing;
use super::protocol::Protocol;
use super::reactor::Reactor;
use super::source::{SourceId, What};
use crate::sys;

type Run<P> = Box<dyn FnMut(&mut Reactor<P>)>;

/// A signal the loop listens for.
pub(super) struct Signal<P: Protocol> {
    handler: SigId,
    pipe: OwnedFd,
    run: Run<P>,
}

impl<P: Protocol + 'static> Reactor<P> {
    /// Runs `run` in a turn after the process received a signal; several that come at once may run it once. Removed with
    /// [`remove_source`](Reactor::remove_source).
    ///
    /// ```
    /// # use reactor::event_loop::{Context, Protocol, Reactor};
    /// # use std::time::Duration;
    /// # struct Silent;
    /// # impl Protocol for Silent {
    /// #     type Message = ();
    /// #     fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize { input.len() }
    /// # }
    /// let mut reactor = Reactor::<Silent>::builder().build()?;
    /// reactor.on_signal(10, |reactor| reactor.shutdown(Duration::ZERO))?; // SIGUSR1
    /// # signal_hook::low_level::raise(10)?;
    /// reactor.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// The signal cannot be caught (SIGKILL, SIGSTOP and those of program faults), or descriptors ran out.
    pub fn on_signal(
        &mut self,
        signal: i32,
        run: impl FnMut(&mut Reactor<P>) + 'static,
    ) -> io::Result<SourceId> {
        if signal_hook::consts::FORBIDDEN.contains(&signal) {
            let problem = format!("signal {signal} cannot be caught");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let [pipe, sender] = sys::stream_pair()?;
        let handler = pipe::register(signal, sender)?;
        self.watch(What::Signal(Signal { handler, pipe, run: Box::new(run) }))
    }
}

impl<P: Protocol> Signal<P> {
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    pub(super) fn ready(&mut self, reactor: &mut Reactor<P>) -> io::Result<()> {
        let mut bytes = [0; 64];
        match sys::receive(self.pipe.as_fd(), &mut bytes) {
            Ok(_) => (self.run)(reactor),
            // It is watched by level, so it is told again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock || is_passing(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl<P: Protocol> Drop for Signal<P> {
    fn drop(&mut self) {
        unregister(self.handler);
    }
}
