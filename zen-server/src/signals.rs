//! SIGINT and SIGTERM: the first lets requests in progress finish, the second does not wait for anything.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use reactor::event_loop::Reactor;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use tracing::info;
use zen_server::services::zen::Conversation;

/// The exit status of a program that a signal ended, as a shell tells it.
const SIGNAL_STATUS: i32 = 128;

/// Shuts the reactor down at the first signal, giving requests in progress `grace` to finish, and exits at the second.
pub fn stop_on_signal(reactor: &mut Reactor<Conversation>, grace: Duration) -> io::Result<()> {
    let is_stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // These two run inside the signal handler and in this order, so that even a loop that is stuck (its log goes into a
        // pipe that nobody reads) can be ended: the first signal only sets the flag, the second finds it set.
        flag::register_conditional_shutdown(signal, SIGNAL_STATUS + signal, Arc::clone(&is_stopping))?;
        flag::register(signal, Arc::clone(&is_stopping))?;
    }
    for signal in [SIGINT, SIGTERM] {
        reactor.on_signal(signal, move |reactor| {
            reactor.shutdown(grace);
            let clients = reactor.connections();
            info!("stopping: {clients} connected, at most {grace:?} for requests in progress");
        })?;
    }
    Ok(())
}
