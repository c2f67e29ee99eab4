//! One thread, one conversation at a time: the server that everybody writes first.
//!
//! Accept, converse until the client leaves, accept the next. **Who waits:** everybody. The thread waits in recv(2) for a client
//! that thinks, and all other clients wait for that one, in the backlog, which the kernel keeps. **It costs** next to nothing.
//! **Where it breaks:** at the second client. With `--trace` one sees how little of its time such a thread is at work; that
//! the rest could be somebody else's is what all other models are about.

use zen_server::services::Serve;

use super::hall::Hall;
use super::{Failure, Job};

/// Serves one client after the other.
pub fn serve<S: Serve>(job: &Job<'_>) -> Result<(), Failure> {
    let doors = job.open_for_workers()?;
    let hall = Hall::<S>::open(job, &doors, 1)?;
    job.announce([&*doors[0]]);
    while let Some(guest) = hall.accept(&doors[0]) {
        guest.converse(0);
    }
    hall.finish();
    Ok(())
}
