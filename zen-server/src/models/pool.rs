//! One thread that accepts and a pool of workers that converse, with a queue between them.
//!
//! **Who waits:** a worker for its client, a client in the queue for a worker, and when the queue is full, clients in the
//! kernel's backlog for a place in it: the acceptor takes nobody in whom it could not put somewhere, so nothing is lost. **It
//! costs** a fixed number of threads. **Where it breaks:** with idle clients, like every model that gives each a thread while
//! it is connected. The queue does not make it faster; it only decides who holds those that wait, and so it must be bounded,
//! or it would grow as unnoticed as threads without a bound.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use zen_server::services::Serve;

use super::hall::{Guest, Hall};
use super::{Failure, Job};

/// Serves with a pool.
pub fn serve<S: Serve>(job: &Job<'_>) -> Result<(), Failure> {
    let (workers, doors) = (job.options.workers(), vec![std::sync::Arc::new(job.open_one()?)]);
    let hall = Hall::<S>::open(job, &doors, workers)?;
    let queue = Queue::new(job.options.queue.map_or(workers, |queue| queue as usize));
    thread::scope(|scope| {
        for number in 0..workers {
            let queue = &queue;
            let work = move || {
                while let Some(guest) = queue.take() {
                    guest.converse(number);
                }
            };
            let thread = thread::Builder::new().name(format!("worker {number}"));
            if let Err(error) = thread.spawn_scoped(scope, work) {
                queue.close();
                return Err(Failure::Failed(format!("cannot start worker {number}: {error}")));
            }
        }
        job.announce([&*doors[0]]);
        while queue.wait_for_room() {
            let Some(guest) = hall.accept(&doors[0]) else { break };
            queue.put(guest);
        }
        queue.close();
        Ok(())
    })?;
    hall.finish();
    Ok(())
}

/// A queue that has room for so many, and that ends.
struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    most: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

impl<S: Serve> Queue<Guest<S>> {
    fn new(most: usize) -> Queue<Guest<S>> {
        let state = Mutex::new(State { waiting: VecDeque::new(), closed: false });
        Queue { state, changed: Condvar::new(), most }
    }

    /// Blocks until there is room for one more, which only the caller may use up.
    fn wait_for_room(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |state: &mut State<_>| state.waiting.len() >= self.most && !state.closed;
        let state = self.changed.wait_while(state, full).unwrap_or_else(PoisonError::into_inner);
        !state.closed
    }

    fn put(&self, guest: Guest<S>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).waiting.push_back(guest);
        self.changed.notify_all();
    }

    /// Blocks until somebody waits; `None` when nobody does and nobody will.
    fn take(&self) -> Option<Guest<S>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |state: &mut State<_>| state.waiting.is_empty() && !state.closed;
        let mut state = self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        let next = state.waiting.pop_front();
        self.changed.notify_all();
        next
    }

    /// Nobody comes any more; those who wait are served.
    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }
}
