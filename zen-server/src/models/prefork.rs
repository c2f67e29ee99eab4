//! Some processes that all accept: forked before the first client comes, from a parent that only looks after them.
//!
//! The children inherit the socket that listens and block in accept(2) at it, all at once. The kernel wakes one of them for a
//! connection. That was not always so: once all of them woke, one got the connection, and the others had run for nothing. This
//! *thundering herd* is what select(2) and epoll(7) still show where several processes or threads wait at one socket
//! (compare `--model reactor --workers 4` with and without `--accept exclusive`). **Who waits:** each child, for a client to come
//! and then for that client. **It costs** a fixed number of processes, and no fork while a client waits. **Where it breaks:** as
//! many idle clients as there are children keep everybody else out. A child that dies is replaced.
//!
//! With `--accept reuseport` each child has a socket of its own at the same address, and the kernel deals out: evenly, but a
//! client may wait for a busy child while another one is idle.

use std::sync::Arc;

use zen_server::services::Serve;

use super::family::{Family, News};
use super::{Failure, Job};

/// Serves with so many processes.
pub fn serve<S: Serve>(job: &Job<'_>) -> Result<(), Failure> {
    let mut family = Family::new(job, job.open_for_workers()?)?;
    for number in 0..job.options.workers() {
        bear::<S>(&mut family, number)?;
    }
    job.announce([&*family.doors[0]]);
    while let Some(news) = family.wait(false)? {
        for event in news {
            if let News::Died(number) = event {
                bear::<S>(&mut family, number)?;
            }
        }
    }
    family.report::<S>();
    Ok(())
}

fn bear<S: Serve>(family: &mut Family<'_>, number: usize) -> Result<(), Failure> {
    let door = Arc::clone(&family.doors[number]);
    let live = move |hall: &Arc<super::hall::Hall<S>>, _: &_| {
        while let Some(guest) = hall.accept(&door) {
            guest.converse(0);
        }
    };
    family.bear::<S>(number, None, live).map_err(Failure::of("cannot fork"))
}
