//! A process for each connection: how Unix servers were written before there were threads.
//!
//! The parent accepts and forks; the child has the connection, and ends with it. **Who waits:** each child for its client, the
//! parent for clients and for children that die: whoever does not wait(2) for them leaves zombies. **It costs** a process each:
//! some hundred microseconds to make one, and its page tables; but a child that crashes harms nobody, and memory cannot leak
//! for longer than a conversation. **Where it breaks:** with many short conversations, where the forking is all the work; and,
//! like threads, with many at all. So the bound has to be said (`--max-connections`), and who comes beyond it waits in the
//! backlog. A child's number is its place among those that live at the same time.

use std::sync::Arc;

use tracing::warn;
use zen_server::services::Serve;

use super::family::{Family, News};
use super::{Failure, Job};

/// Serves each client in a process of its own.
pub fn serve<S: Serve>(job: &Job<'_>) -> Result<(), Failure> {
    let doors = job.open()?.into_iter().map(Arc::new).collect::<Vec<_>>();
    doors.iter().try_for_each(|door| door.set_blocking(false)).map_err(Failure::of("a socket"))?;
    let mut family = Family::new(job, doors)?;
    job.announce(family.doors.iter().map(|door| &**door));
    while let Some(news) = family.wait(family.size() < job.limits.connections)? {
        for event in news {
            let News::Came(door) = event else { continue }; // the dead ones' work was done
            if family.size() >= job.limits.connections {
                break; // two doors, one place
            }
            let Some((stream, peer)) = family.accept(door) else { continue };
            let (number, guest) = (family.free_number(), Some(peer.clone()));
            let born = family.bear::<S>(number, guest, |hall, _| {
                if let Some(guest) = hall.admit(stream, &peer) {
                    guest.converse(0);
                }
            });
            if let Err(error) = born {
                warn!("no process for {peer}: {error}");
            }
        }
    }
    family.report::<S>();
    Ok(())
}
