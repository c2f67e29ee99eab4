//! SIGINT and SIGTERM: the first ends a program in order, the second at once.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use reactor::event_loop::{Protocol, Reactor};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use signal_hook::low_level::pipe;
use tracing::info;

use crate::fail;

/// The exit status of a program that a signal ended, as a shell tells it.
const SIGNAL_STATUS: i32 = 128;

/// Shuts the reactor down at the first signal: what is in progress may take `grace` to finish. Ends the program at the second.
pub fn stop_on_signal<P: Protocol + 'static>(reactor: &mut Reactor<P>, grace: Duration) {
    second_signal_exits().unwrap_or_else(|error| cannot(&error));
    for signal in [SIGINT, SIGTERM] {
        let watched = reactor.on_signal(signal, move |reactor| {
            info!("stopping");
            reactor.shutdown(grace);
        });
        watched.unwrap_or_else(|error| cannot(&error));
    }
}

/// For programs that wait in blocking calls: their main thread waits for the signal, and others do the work.
///
/// ```no_run
/// let stop = zen_examples::Stop::catch();
/// std::thread::spawn(|| loop { /* the work */ });
/// stop.wait();
/// ```
#[derive(Debug)]
pub struct Stop(Signals);

impl Stop {
    /// From here on the first signal does not end the program, but [`wait`](Stop::wait); the second does.
    #[must_use]
    pub fn catch() -> Stop {
        let caught = second_signal_exits().and_then(|()| Signals::new([SIGINT, SIGTERM]));
        caught.map_or_else(|error| cannot(&error), Stop)
    }

    /// Waits for the first signal.
    pub fn wait(mut self) {
        self.0.forever().next();
    }
}

/// For loops of one's own: a stream that becomes readable at the first signal.
#[must_use]
pub fn stop_pipe() -> UnixStream {
    let connected = || -> io::Result<UnixStream> {
        second_signal_exits()?;
        let (stop, handler) = UnixStream::pair()?;
        pipe::register(SIGINT, handler.try_clone()?)?;
        pipe::register(SIGTERM, handler)?;
        Ok(stop)
    };
    connected().unwrap_or_else(|error| cannot(&error))
}

/// Both actions run inside the signal handler and in this order: the first signal only sets the flag, the second finds it
/// set. So even a program that is stuck can be ended.
fn second_signal_exits() -> io::Result<()> {
    let is_stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, SIGNAL_STATUS + signal, Arc::clone(&is_stopping))?;
        flag::register(signal, Arc::clone(&is_stopping))?;
    }
    Ok(())
}

fn cannot<T>(error: &io::Error) -> T {
    fail(format_args!("cannot handle signals: {error}"))
}
