//! A thread for each connection: the textbook's next step.
//!
//! The thread that accepts starts another one for each client and goes on accepting. **Who waits:** each thread for its own
//! client, so nobody waits for a stranger. **It costs** a stack, a descriptor and 64 KiB to read into for each connection, and
//! the kernel's scheduler does what an event loop would do. **Where it breaks:** nobody has said how many threads. Ten thousand
//! idle clients are ten thousand threads, and the one that cannot be started is the end of a program that has not thought
//! of it. So here the bound has to be said (`--max-connections`), and who comes beyond it waits in the backlog.

use std::thread;

use tracing::warn;
use zen_server::services::Serve;

use super::hall::Hall;
use super::{Failure, Job};

/// Serves each client in a thread of its own.
pub fn serve<S: Serve>(job: &Job<'_>) -> Result<(), Failure> {
    let doors = job.open_for_workers()?;
    let hall = Hall::<S>::open(job, &doors, 1)?;
    job.announce([&*doors[0]]);
    while hall.wait_for_room(job.limits.connections) {
        let Some(guest) = hall.accept(&doors[0]) else { break };
        // A guest whose thread cannot be started is dropped, and so hung up on; those who are here are not harmed.
        if let Err(error) =
            thread::Builder::new().name("conversation".to_owned()).spawn(move || guest.converse(0))
        {
            warn!("no thread for one more client: {error}");
        }
    }
    hall.finish();
    Ok(())
}
