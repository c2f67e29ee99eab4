//! Two threads for each member: one waits for what it says, the other for the kernel to take what it is to hear.
//!
//! One thread alone would not do. A blocking write waits for the slowest reader, so the thread that hears a member must not
//! write to the others itself: one member who went to lunch would silence everybody. It puts what was said into each member's
//! *outbox* instead, and a second thread per member writes from there. The outbox is bounded, by throwing out who does not read.
//!
//! What that costs, compared with the loop:
//!
//! * two stacks per member, and with a thousand members two thousand threads for the kernel to choose from;
//! * one lock around the list of members, taken for every message. Held while all outboxes are filled, it also gives all
//!   members the same messages in the same order; and it makes all speakers queue up;
//! * for every message as many wake-ups as there are members, each a system call and a switch of threads.
//!
//! What it gives: all processors, and a member whose message takes long to look at delays nobody.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use reactor::event_loop::adapter::Delimited;
use reactor::event_loop::{Context, converse};
use reactor::net::Address;
use tracing::{error, info, warn};
use zen_examples::{Listen, Stop, announce, fail};

use crate::member::{self, MOST_UNREAD, Member, Room, Said, TooSlow};

/// Time for last words.
const GRACE: Duration = Duration::from_secs(2);
/// Who has more bytes than this to catch up with is not listened to meanwhile, so that whoever says much has to read, too.
const HOLD_BACK: usize = 64 * 1024;
/// A pause when the system has no descriptor or thread left.
const BREATH: Duration = Duration::from_millis(50);

pub fn serve(listen: &Listen, most_members: usize) {
    let listener = listen.bind(crate::DEFAULT_PORT);
    let stop = Stop::catch();
    let hall = Arc::new(Hall::default());
    announce(listener.local_addr().map_or_else(|error| fail(error), Address::Inet));
    let doorman = Arc::clone(&hall);
    thread::spawn(move || doorman.admit(&listener, most_members));
    stop.wait(); // the doorman ends with the process
    info!("stopping");
    hall.close();
}

/// What all threads share.
#[derive(Default)]
struct Hall {
    members: Mutex<Members>,
    /// Somebody left.
    left: Condvar,
}

#[derive(Default)]
struct Members {
    outboxes: BTreeMap<u64, Arc<Outbox>>,
    joined: u64,
    /// Threads that hear a member.
    threads: usize,
    is_closed: bool,
}

impl Hall {
    /// Accepts for ever. Who comes when all places are taken waits in the kernel's backlog.
    fn admit(self: &Arc<Self>, listener: &TcpListener, most: usize) {
        loop {
            let full = self.left.wait_while(lock(&self.members), |members| members.threads >= most);
            full.unwrap_or_else(PoisonError::into_inner).threads += 1;
            let begun = listener.accept().and_then(|(stream, peer)| {
                let hall = Arc::clone(self);
                thread::Builder::new().spawn(move || hall.hear(stream, &Address::Inet(peer)))
            });
            if let Err(problem) = begun {
                warn!("cannot let anybody in: {problem}");
                self.one_thread_less();
                thread::sleep(BREATH);
            }
        }
    }

    /// Holds one conversation, on this thread.
    fn hear(self: Arc<Self>, stream: TcpStream, peer: &Address) {
        match stream.try_clone() {
            Ok(to_write) => {
                let room = Place {
                    hall: Arc::clone(&self),
                    outbox: Arc::new(Outbox::new(to_write)),
                    number: None,
                    writer: None,
                };
                let member = Delimited(Member::new(peer, room));
                if let Err(problem) = converse(stream, member, &member::limits()) {
                    error!("{peer}: {problem}");
                }
            }
            Err(problem) => warn!("{peer} cannot be let in: {problem}"),
        }
        self.one_thread_less();
    }

    fn one_thread_less(&self) {
        lock(&self.members).threads -= 1;
        self.left.notify_all();
    }

    /// Everybody is taken to have finished, is told what it has still to hear, and leaves.
    fn close(&self) {
        let mut members = lock(&self.members);
        members.is_closed = true;
        members.outboxes.values().for_each(|outbox| outbox.shut(Shutdown::Read));
        let _ = self.left.wait_timeout_while(members, GRACE, |members| !members.outboxes.is_empty());
    }
}

/// What a member has still to hear.
struct Outbox {
    queue: Mutex<Queue>,
    changed: Condvar,
    stream: TcpStream,
}

#[derive(Default)]
struct Queue {
    texts: VecDeque<Arc<[u8]>>,
    /// Bytes not written yet, those being written included.
    unread: usize,
    state: State,
}

#[derive(Copy, Clone, Default, PartialEq)]
enum State {
    #[default]
    Open,
    /// Nothing follows what is here.
    Ending,
    /// Nothing is written any more: it was too slow,
    TooSlow,
    /// or is gone, or has heard everything.
    Ended,
}

impl Outbox {
    fn new(stream: TcpStream) -> Outbox {
        Outbox { queue: Mutex::default(), changed: Condvar::new(), stream }
    }

    /// Never waits: who has too much to catch up with is thrown out instead.
    fn put(&self, text: &Arc<[u8]>) {
        let mut queue = lock(&self.queue);
        if queue.state != State::Open {
            return;
        }
        queue.unread += text.len();
        queue.texts.push_back(Arc::clone(text));
        if queue.unread > MOST_UNREAD {
            self.end(queue, State::TooSlow);
        } else {
            self.changed.notify_all();
        }
    }

    /// Writes what comes in, until the end: what the second thread does.
    fn write(&self) {
        let is_idle = |queue: &mut Queue| queue.texts.is_empty() && queue.state == State::Open;
        loop {
            let queue = self.changed.wait_while(lock(&self.queue), is_idle);
            let mut queue = queue.unwrap_or_else(PoisonError::into_inner);
            let Some(text) = queue.texts.pop_front() else {
                let state = if queue.state == State::TooSlow { State::TooSlow } else { State::Ended };
                queue.state = state;
                return self.changed.notify_all();
            };
            drop(queue);
            let written = (&self.stream).write_all(&text);
            let mut queue = lock(&self.queue);
            queue.unread -= text.len();
            self.changed.notify_all();
            if written.is_err() && queue.state != State::TooSlow {
                self.end(queue, State::Ended);
            }
        }
    }

    /// Drops what is unread, and wakes both threads of the member: they find the connection closed.
    fn end(&self, mut queue: MutexGuard<'_, Queue>, state: State) {
        queue.state = state;
        queue.unread -= queue.texts.drain(..).map(|text| text.len()).sum::<usize>();
        drop(queue);
        self.shut(Shutdown::Both);
        self.changed.notify_all();
    }

    /// Waits until there is not much left to catch up with.
    fn catch_up(&self) {
        let is_behind = |queue: &mut Queue| queue.unread > HOLD_BACK && queue.state == State::Open;
        drop(self.changed.wait_while(lock(&self.queue), is_behind));
    }

    /// Waits until everything is written, or until there was time enough for it.
    fn finish(&self) {
        let mut queue = lock(&self.queue);
        if queue.state == State::Open {
            queue.state = State::Ending;
            self.changed.notify_all();
        }
        let waited = self.changed.wait_timeout_while(queue, GRACE, |queue| queue.state == State::Ending);
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if queue.state == State::Ending {
            self.end(queue, State::TooSlow);
        }
    }

    fn shut(&self, how: Shutdown) {
        let _ = self.stream.shutdown(how); // an error says that it is closed already
    }
}

/// A member's place in the room.
struct Place {
    hall: Arc<Hall>,
    outbox: Arc<Outbox>,
    number: Option<u64>,
    writer: Option<JoinHandle<()>>,
}

impl Room for Place {
    fn join(&mut self, cx: &mut Context<'_, Said>) {
        let outbox = Arc::clone(&self.outbox);
        match thread::Builder::new().spawn(move || outbox.write()) {
            Ok(writer) => self.writer = Some(writer),
            Err(problem) => {
                warn!("no thread to write with: {problem}");
                return cx.abort();
            }
        }
        let mut members = lock(&self.hall.members);
        if members.is_closed {
            return cx.close();
        }
        members.joined += 1;
        let number = members.joined;
        self.number = Some(number);
        members.outboxes.insert(number, Arc::clone(&self.outbox));
    }

    /// May wait for this member itself, which keeps nobody else waiting.
    fn tell_all(&mut self, said: Said, _: &mut Context<'_, Said>) -> Result<(), Said> {
        if let Said::Text(text) = &said {
            lock(&self.hall.members).outboxes.values().for_each(|outbox| outbox.put(text));
            self.outbox.catch_up();
        }
        Ok(())
    }

    /// It may wait: the thread has nothing else to do.
    fn ask_for_farewell(&mut self, cx: &mut Context<'_, Said>) -> bool {
        self.outbox.finish();
        cx.send(cx.id(), Said::Farewell).is_ok()
    }

    fn thrown_out(&self) -> Option<TooSlow> {
        (lock(&self.outbox.queue).state == State::TooSlow).then_some(TooSlow)
    }
}

/// Gone, also if its protocol panicked.
impl Drop for Place {
    fn drop(&mut self) {
        let queue = lock(&self.outbox.queue);
        let state = queue.state;
        self.outbox.end(queue, if state == State::TooSlow { state } else { State::Ended });
        if let Some(writer) = self.writer.take() {
            let _ = writer.join(); // it does not panic
        }
        if let Some(number) = self.number {
            lock(&self.hall.members).outboxes.remove(&number);
            self.hall.left.notify_all();
        }
    }
}

/// No thread panics with one of these locks held halfway through something.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
