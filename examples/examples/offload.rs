//! Work that takes computing time, done by other threads: the prime factors of the number in each line.
//!
//! ```console
//! $ cargo run --example offload
//! Listening at 127.0.0.1:1063
//! $ printf '360\n999999999999989\n' | nc -N 127.0.0.1 1063       # in another terminal
//! 360: 2 2 2 3 3 5
//! 999999999999989: 999999999999989
//! ```
//!
//! One thread serves all connections, so a callback that computes for seconds keeps everybody waiting for seconds. Long work
//! goes to a pool of threads instead, and the result comes back into the loop as a message, through a `Handle`, which is the
//! one thing of a loop that other threads may hold. Three rules keep this in bounds:
//!
//! * **Order.** A connection that has work in the pool is paused: its next line is looked at when the answer is there. So
//!   the answers come in the order of the questions, and a client has one job at a time, however much it sends.
//! * **Bounded work.** The pool has a queue of a fixed length. A connection that finds it full keeps its number, stays paused,
//!   and gets in line; whenever a worker takes a job from the queue, the first in line is told that there is a place.
//! * **Backpressure.** A paused connection is not read from. The kernel's buffers fill up, and the client is held back.
//!
//! The factors are found in the most naive way, on purpose: it takes long.

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use clap::Parser;
use reactor::event_loop::adapter::{Delimited, Frames};
use reactor::event_loop::{CloseReason, ConnectionId, Context, Handle, Limits, Reactor};
use tracing::debug;
use zen_examples::{Listen, WaitWith, announce, fail, parse, start_log, stop_on_signal};

/// Connections at once.
const MOST_CONNECTIONS: usize = 10_000;
/// Bytes of the longest line: 20 digits and some blanks.
const LONGEST_LINE: usize = 80;
/// Time for work in progress after a signal.
const GRACE: Duration = Duration::from_secs(5);

/// Finds prime factors, with threads for the computing and one loop for all connections
#[derive(Parser)]
#[command(
    after_help = "Each line is a whole number; the answer is its prime factors. Try: printf '360\\n' | nc -N 127.0.0.1 1063"
)]
struct Options {
    #[command(flatten)]
    listen: Listen,
    /// Threads that compute [default: as many as there are processors]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// Jobs that may wait for a worker; further connections wait their turn
    #[arg(long, value_name = "N", default_value = "16")]
    queue: NonZeroUsize,
    #[command(flatten)]
    wait_with: WaitWith,
}

fn main() {
    let options: Options = parse();
    start_log();
    serve(&options).unwrap_or_else(|error| fail(error));
}

fn serve(options: &Options) -> io::Result<()> {
    let limits = Limits { connections: MOST_CONNECTIONS, ..Limits::default() };
    // Each connection has at most one answer and one free place under way to it, so the mailbox is never full.
    let mailbox = 2 * MOST_CONNECTIONS;
    let mut reactor: Reactor<Loop> = options.wait_with.builder().limits(limits).mailbox(mailbox).build()?;
    let pool = Arc::new(Pool::new(options.queue));
    for _ in 0..options.workers.or(thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get) {
        let (pool, handle) = (Arc::clone(&pool), reactor.handle());
        thread::Builder::new().spawn(move || work(&pool, &handle))?; // ends with the process
    }
    let listener = reactor.listen_on(options.listen.bind(1063), move |_| {
        Some(Delimited(Client { pool: Arc::clone(&pool), in_line: None }))
    })?;
    stop_on_signal(&mut reactor, GRACE);
    announce(reactor.local_address(listener).expect("it has just been opened"));
    reactor.run()
}

type Loop = Delimited<Client>;

/// What a worker does, as long as the process lives.
fn work(pool: &Pool, handle: &Handle<Loop>) {
    loop {
        let (Job { number, whose }, first_in_line) = pool.take();
        if let Some(waiting) = first_in_line {
            let _ = handle.send(waiting, FromPool::PlaceIsFree); // refused only when the loop is gone
        }
        debug!("computing {number}");
        let _ = handle.send(whose, FromPool::Factors(number, factors(number)));
    }
}

/// By trying every number.
fn factors(number: u64) -> Vec<u64> {
    let (mut rest, mut factors, mut divisor) = (number, Vec::new(), 2);
    while rest > 1 {
        if rest % divisor == 0 {
            factors.push(divisor);
            rest /= divisor;
        } else if divisor > rest / divisor {
            divisor = rest;
        } else {
            divisor += 1;
        }
    }
    factors
}

struct Job {
    number: u64,
    whose: ConnectionId,
}

/// The queue of jobs, and the line of connections that found it full.
struct Pool {
    queue: Mutex<Queue>,
    filled: Condvar,
    capacity: usize,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    line: VecDeque<ConnectionId>,
}

impl Pool {
    fn new(capacity: NonZeroUsize) -> Pool {
        Pool { queue: Mutex::default(), filled: Condvar::new(), capacity: capacity.get() }
    }

    /// No code that could panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never waits: if the queue is full, whoever has the job gets in line, and `false` says so.
    fn offer(&self, job: Job) -> bool {
        let mut queue = self.lock();
        if queue.jobs.len() >= self.capacity {
            queue.line.push_back(job.whose);
            return false;
        }
        queue.jobs.push_back(job);
        self.filled.notify_one();
        true
    }

    /// Waits for a job; besides, whom to tell that there is a place now.
    fn take(&self) -> (Job, Option<ConnectionId>) {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return (job, queue.line.pop_front());
            }
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Somebody in line leaves. If it has been told already that there is a place, that is for the next one.
    fn leave(&self, whose: ConnectionId) -> Option<ConnectionId> {
        let mut queue = self.lock();
        let before = queue.line.len();
        queue.line.retain(|&waiting| waiting != whose);
        if queue.line.len() == before { queue.line.pop_front() } else { None }
    }
}

/// What comes back from the pool.
enum FromPool {
    Factors(u64, Vec<u64>),
    PlaceIsFree,
}

/// One client: numbers in, factors out.
struct Client {
    pool: Arc<Pool>,
    /// The number that waits for a place in the queue.
    in_line: Option<u64>,
}

impl Client {
    /// Paused until the answer is there, wherever the number has to wait.
    fn compute(&mut self, number: u64, cx: &mut Context<'_, FromPool>) {
        cx.pause_reading();
        let has_place = self.pool.offer(Job { number, whose: cx.id() });
        self.in_line = (!has_place).then_some(number);
    }
}

impl Frames for Client {
    type Message = FromPool;

    fn delimiter(&self) -> u8 {
        b'\n'
    }

    fn longest(&self) -> usize {
        LONGEST_LINE
    }

    fn frame(&mut self, line: &[u8], cx: &mut Context<'_, FromPool>) {
        match std::str::from_utf8(line).ok().and_then(|line| line.trim().parse().ok()) {
            Some(number) => self.compute(number, cx),
            None => cx.write(b"Error: write a whole number below 2^64.\n"),
        }
    }

    fn too_long(&mut self, cx: &mut Context<'_, FromPool>) {
        cx.write(b"Error: the line is too long.\n");
    }

    fn message(&mut self, message: FromPool, cx: &mut Context<'_, FromPool>) {
        match message {
            FromPool::Factors(number, factors) => {
                let factors: String = factors.iter().map(|factor| format!(" {factor}")).collect();
                cx.write(format!("{number}:{factors}\n").as_bytes());
                cx.resume_reading();
            }
            FromPool::PlaceIsFree => {
                if let Some(number) = self.in_line.take() {
                    self.compute(number, cx);
                }
            }
        }
    }

    fn closed(&mut self, _: &CloseReason, cx: &mut Context<'_, FromPool>) {
        if self.in_line.is_some() {
            if let Some(next) = self.pool.leave(cx.id()) {
                let _ = cx.send(next, FromPool::PlaceIsFree); // the mailbox is never full
            }
        }
    }
}
