//! SIGINT and SIGTERM: the first lets answers in progress finish, the second does not wait for anything.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// The signals that mean: stop.
pub const TO_STOP: [i32; 2] = [SIGINT, SIGTERM];

/// The exit status of a program that a signal ended, as a shell tells it.
const SIGNAL_STATUS: i32 = 128;

/// Sees to it that a second signal ends the program even if it is stuck.
pub fn exit_on_the_second() -> io::Result<()> {
    let is_stopping = Arc::new(AtomicBool::new(false));
    for signal in TO_STOP {
        // Both run inside the signal handler, in this order: the first signal only sets the flag, the second finds it set.
        flag::register_conditional_shutdown(signal, SIGNAL_STATUS + signal, Arc::clone(&is_stopping))?;
        flag::register(signal, Arc::clone(&is_stopping))?;
    }
    Ok(())
}

/// Runs `stop` once, in a thread of its own, after the first signal.
pub fn on_the_first(stop: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // A handler may do next to nothing (signal-safety(7)): it writes a byte, and a thread waits for that byte.
    let (mut receiver, sender) = UnixStream::pair()?;
    for signal in TO_STOP {
        low_level::pipe::register(signal, sender.try_clone()?)?;
    }
    let wait_and_stop = move || {
        let _ = receiver.read_exact(&mut [0]);
        stop();
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait_and_stop).map(drop)
}
