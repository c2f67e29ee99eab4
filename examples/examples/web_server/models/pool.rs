//! A few threads and a queue: the number of threads stays what it is, however many clients come.
//!
//! A worker takes a client from the queue, holds the whole conversation, and takes the next. Workers and queue together are
//! the bound: when both are full nobody is let in, and newcomers wait in the backlog, where nothing is lost.
//!
//! It is the right model for requests that are short and clients that leave. A client that keeps its connection keeps its
//! worker, and says nothing most of the time: as many of those as there are workers, and everybody else waits until the idle
//! timeout ends them. That is why such servers have a short one (`--idle-timeout 2s`), and it is what an event loop cures.

use std::io;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use reactor::event_loop::Limits;

use super::door::{Client, Door};
use super::threads::talk;
use crate::options::Options;
use crate::site::Site;

const WORKERS: usize = 8;
const QUEUE: usize = 32;

pub fn serve(options: &Options, site: &Arc<Site>) -> io::Result<()> {
    let (workers, queue) = (options.workers.map_or(WORKERS, usize::from), options.queue.unwrap_or(QUEUE));
    // The door lets in no more than this, so the channel never holds more than `queue`.
    let mut door = Door::open(options, workers.saturating_add(queue))?;
    let (sender, receiver) = mpsc::channel();
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..workers {
        let (receiver, site, limits) = (Arc::clone(&receiver), Arc::clone(site), options.limits());
        thread::Builder::new().spawn(move || work(&receiver, &site, &limits))?;
    }
    while let Some(client) = door.next()? {
        if sender.send(client).is_err() {
            break; // no worker is left
        }
    }
    door.close();
    Ok(())
}

/// One client after the other.
fn work(clients: &Mutex<Receiver<Client>>, site: &Arc<Site>, limits: &Limits) {
    loop {
        // The lock is held while waiting: the other workers wait for the lock instead, which comes to the same.
        let client = clients.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match client {
            Ok(client) => talk(client, site, limits),
            Err(_) => return,
        }
    }
}
