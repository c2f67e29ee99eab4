//! Some threads that all accept: as many conversations as threads, started before the first client comes.
//!
//! Each worker does what the single thread did, and all of them block in accept(2) at the same socket. The kernel wakes one of
//! them for a connection, so that there is no thundering herd here. **Who waits:** each thread, for a client to come and then
//! for that client. **It costs** a fixed number of threads. **Where it breaks:** as many idle clients as there are workers keep
//! everybody else out. At the end each worker says how often it was its turn.
//!
//! With `--accept reuseport` each worker has a socket of its own at the same address, and the kernel deals out: evenly, but a
//! client may wait for a busy worker while another one is idle.

use std::thread;

use zen_server::services::Serve;

use super::hall::Hall;
use super::{Failure, Job};

/// Serves with so many threads.
pub fn serve<S: Serve>(job: &Job<'_>) -> Result<(), Failure> {
    let doors = job.open_for_workers()?;
    let hall = Hall::<S>::open(job, &doors, doors.len())?;
    thread::scope(|scope| {
        for (number, door) in doors.iter().enumerate() {
            let hall = &hall;
            let work = move || {
                while let Some(guest) = hall.accept(door) {
                    guest.converse(number);
                }
            };
            let thread = thread::Builder::new().name(format!("worker {number}"));
            if let Err(error) = thread.spawn_scoped(scope, work) {
                doors.iter().for_each(|door| door.close()); // which ends the others
                return Err(Failure::Failed(format!("cannot start worker {number}: {error}")));
            }
        }
        job.announce([&*doors[0]]);
        Ok(())
    })?;
    hall.finish();
    Ok(())
}
