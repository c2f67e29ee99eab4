//! The operations of a ring: what is handed over to the kernel, and what comes back.
//!
//! The table in `slots.rs` decides which polls there are to be; here they become operations, together with the clock and the
//! interruption, and what completes finds its way back. Whoever calls has the ring for himself, but for the one thread that
//! waits in the kernel: `io_uring.rs` has the lock.

use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use super::CLOCK_KEY;
use super::slots::{News, Slots, Step};
use crate::clock;
use crate::readiness::event::Event;
use crate::sys::{self, Completion, Entrance, EventFd, Ring};

/// Where the key of a poll has its descriptor, those of other operations have one of these numbers.
const NOBODY: u64 = u32::MAX as u64;
const CLOCK: u64 = NOBODY - 1;
const INTERRUPTION: u64 = NOBODY - 2;

/// How long a kernel that is short of memory is left alone.
const RELIEF: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Operations {
    ring: Ring,
    /// What is watched.
    pub(super) slots: Slots,
    /// When the clock is to ring; whether the kernel was told; the key it has there; and whether it rang.
    alarm: Option<Instant>,
    is_set: bool,
    clock: u64,
    rang: bool,
    /// Ends a wait, from another thread; none if there is no other thread. And whether a poll listens to it.
    interruption: Option<EventFd>,
    listening: bool,
    /// What the kernel said when it had no memory for something, the last time it was entered.
    shortage: Option<i32>,
    /// The kernel had no memory to keep completions, so what lives there is unknown.
    lost: bool,
    /// How many operations completed since the last wait began.
    completed: usize,
    /// The thread that entered the kernel so far, and whether there was another.
    enterer: Option<ThreadId>,
    crowded: bool,
    /// What is asked about doubtful news, and which of the events it is about. Empty between waits.
    questions: Vec<libc::pollfd>,
    places: Vec<usize>,
}

impl Operations {
    pub(super) fn new(ring: Ring, interruption: Option<EventFd>) -> Operations {
        Operations {
            ring,
            slots: Slots::new(interruption.is_none()),
            alarm: None,
            is_set: false,
            clock: CLOCK,
            rang: false,
            interruption,
            listening: false,
            shortage: None,
            lost: false,
            completed: 0,
            enterer: None,
            crowded: false,
            questions: Vec::new(),
            places: Vec::new(),
        }
    }

    /// A wait begins: what completed before is old, and so is what the kernel has to tell of it.
    pub(super) fn begin(&mut self) {
        self.slots.set_fresh(false);
        self.take();
        let has_work = self.has_work();
        self.slots.set_fresh(!has_work);
    }

    // --------------------------------------------------------------------------------------------------- to the kernel

    /// Queues all that is new.
    pub(super) fn hand_over(&mut self) -> io::Result<()> {
        if let (Some(interruption), false) = (&self.interruption, self.listening) {
            let fd = interruption.fd().as_raw_fd();
            self.make_room()?;
            self.ring.poll(fd, sys::IN, true, INTERRUPTION);
            self.listening = true;
        }
        if let (Some(deadline), false) = (self.alarm, self.is_set) {
            self.make_room()?;
            self.ring.cancel(self.clock, NOBODY); // the one before
            self.make_room()?;
            self.clock = self.clock.wrapping_add(1 << 32);
            self.ring.timeout(deadline.saturating_duration_since(clock::now()), self.clock);
            self.is_set = true;
        }
        while let Some(step) = self.slots.next_step() {
            self.queue(step)?;
        }
        Ok(())
    }

    /// Queues what nobody wants any more, and nothing else: polls are for the thread that waits.
    pub(super) fn hand_over_cancels(&mut self) -> io::Result<()> {
        while let Some(step) = self.slots.next_cancel() {
            self.queue(step)?;
        }
        Ok(())
    }

    /// The clock is to ring then, and not when it was to before.
    pub(super) fn set_clock(&mut self, deadline: Instant) {
        (self.alarm, self.is_set, self.rang) = (Some(deadline), false, false);
    }

    fn queue(&mut self, step: Step) -> io::Result<()> {
        self.make_room()?;
        match step {
            Step::Cancel { of } => self.ring.cancel(of, NOBODY),
            Step::Poll { fd, flags, goes_on, key } => self.ring.poll(fd, flags, goes_on, key),
        }
        Ok(())
    }

    fn make_room(&mut self) -> io::Result<()> {
        while !self.ring.has_room() {
            self.enter(Some(Duration::ZERO))?;
        }
        Ok(())
    }

    /// The way into the kernel for a wait that now begins.
    pub(super) fn entrance(&mut self) -> Entrance {
        self.completed = 0;
        self.ring.entrance()
    }

    /// Enters the kernel, for what does not take long.
    pub(super) fn enter(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let result = self.ring.entrance().enter(limit);
        match self.came_back(result) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn interrupt(&self) -> io::Result<()> {
        self.interruption.as_ref().map_or(Ok(()), EventFd::add)
    }

    #[cfg(test)]
    pub(super) fn is_interruptible(&self) -> bool {
        self.interruption.is_some()
    }

    // ------------------------------------------------------------------------------------------------- and back again

    /// Takes what completed. Of errors those remain that do not pass.
    pub(super) fn came_back(&mut self, result: io::Result<u32>) -> io::Result<u32> {
        let me = thread::current().id();
        self.crowded |= *self.enterer.get_or_insert(me) != me;
        self.shortage = None;
        self.take();
        let code = result.as_ref().err().and_then(io::Error::raw_os_error);
        self.lost |= code == Some(libc::EBADR);
        if self.lost {
            self.ring.replace()?;
            self.slots.start_over();
            (self.lost, self.listening, self.is_set) = (false, false, false);
            return Ok(0);
        }
        self.shortage = code.filter(|code| is_shortage(*code)).or(self.shortage);
        match code {
            Some(libc::ETIME) => Ok(0),
            _ if self.shortage.is_some() => sys::poll(&mut [], Some(RELIEF)).map(|_| 0),
            _ => result,
        }
    }

    /// The error with which the kernel said that it has no memory for something, if it did when it was entered last.
    pub(super) fn shortage(&self) -> Option<io::Error> {
        self.shortage.map(io::Error::from_raw_os_error)
    }

    fn take(&mut self) {
        while let Some(completion) = self.ring.next_completion() {
            self.complete(completion);
        }
    }

    /// Every completion passes through here.
    fn complete(&mut self, Completion { key, result, more }: Completion) {
        self.completed += 1;
        self.shortage = Some(-result).filter(|code| is_shortage(*code)).or(self.shortage);
        match key & NOBODY {
            NOBODY => {} // a cancellation that came too late
            CLOCK if key == self.clock => (self.rang, self.alarm) = (true, None),
            CLOCK => {} // one that was set before
            INTERRUPTION => self.listening = more,
            _ => self.slots.completed(key, result, more),
        }
    }

    /// How many operations completed since the last wait began.
    pub(super) fn completed(&self) -> usize {
        self.completed
    }

    /// Whether the kernel has something to do, and maybe to tell, for which it has to be entered.
    pub(super) fn has_work(&mut self) -> bool {
        self.ring.has_work()
    }

    /// What completes in another thread is seen a moment before that thread puts the file down. After this it has.
    pub(super) fn settle(&self) {
        if self.crowded {
            self.ring.settle();
        }
    }

    // ---------------------------------------------------------------------------------------------------- to the loop

    /// How much there is to report, at most.
    pub(super) fn news(&self) -> usize {
        usize::from(self.rang) + self.slots.news()
    }

    /// Moves news to `ready`, as long as there is room, and asks about the doubtful ones.
    pub(super) fn report(&mut self, ready: &mut Vec<Event>) {
        if mem::take(&mut self.rang) {
            ready.push(Event::new(CLOCK_KEY, sys::IN));
        }
        while ready.len() < ready.capacity() {
            let Some(News { fd, event, doubt }) = self.slots.next_news() else { break };
            if let Some(flags) = doubt {
                self.questions.push(sys::poll_entry(fd, flags));
                self.places.push(ready.len());
            }
            ready.push(event);
        }
        if !self.questions.is_empty() {
            self.ask(ready);
        }
    }

    /// One call for all of them; should it fail, what is known is told.
    fn ask(&mut self, ready: &mut Vec<Event>) {
        let answered = sys::poll(&mut self.questions, Some(Duration::ZERO)).is_ok();
        for (question, place) in self.questions.drain(..).zip(self.places.drain(..)).filter(|_| answered) {
            let flags = sys::poll_answer(&question);
            if flags & sys::INVALID != 0 {
                self.slots.forget(question.fd);
            } else if flags == 0 {
                self.slots.was_nothing(question.fd);
            }
            ready[place] = Event::new(ready[place].key(), flags & !sys::INVALID);
        }
        ready.retain(|event| event.flags() != 0);
    }
}

/// Whether an error says that the kernel has no room for something just now.
fn is_shortage(code: i32) -> bool {
    [libc::EAGAIN, libc::EBUSY, libc::ENOMEM, libc::ENOBUFS].contains(&code)
}
