//! Waiting: what is told of what is ready, and when.

use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::network::{End, Travel};
use super::{DELAY, Kernel, State, Watch, errno};
use crate::sys::{ERR, Event, HUP, IN, OUT, RDHUP};

/// epoll_ctl(2), if losses are allowed: no memory, or `max_user_watches` reached.
const OF_WATCH: &[i32] = &[libc::ENOMEM, libc::ENOSPC];

/// Waits in a row that told of something although nothing was done about it: more is a loop that spins.
const MOST_IDLE: u32 = 1000;

impl Kernel {
    pub(crate) fn new_selector(&mut self) -> u32 {
        self.selectors += 1;
        self.selectors
    }

    /// Whether the loop has edges is a choice, too.
    pub(crate) fn has_edges(&mut self) -> bool {
        self.choices.choose(2) == 0
    }

    fn find(&mut self, selector: u32, fd: RawFd) -> Option<usize> {
        self.watches.iter().position(|watch| (watch.selector, watch.fd) == (selector, fd))
    }

    pub(crate) fn watch(&mut self, watch: Watch, anew: bool) -> io::Result<()> {
        if !watch.is_waker {
            if !self.sockets.contains_key(&watch.fd) {
                return Err(not_ours(watch.fd));
            }
            self.lose(OF_WATCH)?;
        }
        match (self.find(watch.selector, watch.fd), anew) {
            (Some(_), true) => errno(libc::EEXIST),
            (None, false) => errno(libc::ENOENT),
            (Some(at), false) => {
                self.watches[at] = watch;
                Ok(())
            }
            (None, true) => {
                self.watches.push(watch);
                Ok(())
            }
        }
    }

    pub(crate) fn unwatch(&mut self, selector: u32, fd: RawFd) -> io::Result<()> {
        match self.find(selector, fd) {
            Some(at) => {
                if !self.watches[at].is_waker {
                    self.lose(&[libc::ENOMEM])?;
                }
                self.watches.remove(at);
                Ok(())
            }
            None => errno(libc::ENOENT),
        }
    }

    pub(crate) fn arm_clock(&mut self, selector: u32, deadline: Instant) {
        self.clocks.insert(selector, deadline);
    }

    /// Something happened to a socket that makes it readable or writable: an edge for whoever waits for that. (What the edge
    /// then tells is all that is so.)
    pub(super) fn announce(&mut self, fd: RawFd, news: u32) {
        let hears = |watch: &&mut Watch| watch.fd == fd && !watch.one_shot && watch.wanted & news != 0;
        self.watches.iter_mut().filter(hears).for_each(|watch| watch.loaded = true);
    }

    /// poll(2)'s flags of a socket as it is now.
    fn state_of(&self, fd: RawFd) -> u32 {
        let Some(socket) = self.sockets.get(&fd) else { return 0 };
        match &socket.state {
            _ if socket.error.is_some() => IN | OUT | ERR | HUP | RDHUP,
            State::Fresh => OUT | HUP,
            State::Listening(queue) => flag(IN, !queue.is_empty()),
            State::Connecting(_) => 0,
            State::Connected(end) => self.state_of_connected(*end),
        }
    }

    fn state_of_connected(&self, end: End) -> u32 {
        let link = &self.links[end.link];
        let (here, incoming) = (&link.sides[end.side], &link.sides[end.other().side].sends);
        if link.is_reset(end.side) {
            return IN | OUT | HUP | RDHUP | flag(ERR, incoming.reset == Travel::Arrived);
        }
        let ended = here.hears_no_more || incoming.fin == Travel::Arrived;
        flag(IN, incoming.arrived > 0 || ended)
            | flag(OUT, here.sends.bytes.len() < self.room)
            | flag(RDHUP, ended)
            | flag(HUP, ended && here.sends.fin != Travel::Unsent)
    }

    /// What there is to tell of a watch now.
    fn flags(&self, watch: &Watch, woken: &[RawFd]) -> u32 {
        if watch.is_waker {
            return flag(IN, woken.contains(&watch.fd));
        }
        let asked_or_not = ERR | HUP | flag(RDHUP, watch.wanted & IN != 0);
        if watch.loaded { self.state_of(watch.fd) & (watch.wanted | asked_or_not) } else { 0 }
    }

    /// What this selector has to tell: which watches, by their places, and of what.
    fn ready(&self, selector: u32, woken: &[RawFd]) -> Vec<(usize, u32)> {
        let watches = self.watches.iter().enumerate().filter(|(_, watch)| watch.selector == selector);
        let ready = watches.map(|(at, watch)| (at, self.flags(watch, woken)));
        ready.filter(|(_, flags)| *flags != 0).collect()
    }

    /// The program has done what it wanted to, and waits. Counts the waits that tell of something nobody does anything about.
    pub(crate) fn begin_wait(&mut self) -> io::Result<()> {
        self.bury();
        let (told, changed) = (std::mem::take(&mut self.told), std::mem::take(&mut self.changed));
        self.idle = if changed { 0 } else { self.idle + u32::from(told) };
        if self.idle <= MOST_IDLE {
            return Ok(());
        }
        let problem =
            format!("{MOST_IDLE} waits in a row told of something, and nobody did anything about it");
        Err(io::Error::other(problem))
    }

    /// One look at what is ready, after the world moved on. `None`: nothing yet, but it moved; look again.
    ///
    /// An error if nothing will ever happen: the wait has no timeout, no clock is set and everybody is done.
    pub(crate) fn wait(
        &mut self,
        selector: u32,
        ready: &mut Vec<Event>,
        until: Option<Instant>,
        woken: &mut Vec<RawFd>,
        clock_key: u64,
    ) -> Option<io::Result<()>> {
        if let Err(error) = self.hinder(&[libc::EINTR]) {
            return Some(Err(error));
        }
        let moved = self.progress();
        if self.clocks.get(&selector).is_some_and(|rings| *rings <= self.now) {
            self.clocks.remove(&selector);
            self.changed = true;
            ready.push(Event::new(clock_key, IN));
        }
        self.tell(selector, ready, woken);
        self.add_spurious(selector, ready);
        let clock = self.clocks.get(&selector).copied();
        if !ready.is_empty() || until.is_some_and(|until| until <= self.now) {
            Some(Ok(()))
        } else if moved {
            None
        } else if let Some(next) = [until, clock].into_iter().flatten().min() {
            let late = if self.choices.choose(2) == 1 { DELAY } else { Duration::ZERO };
            (self.now, self.changed) = (self.now.max(next) + late, true);
            None
        } else {
            let problem = "the simulation is at rest: nothing that was planned is left, and no clock is set";
            Some(Err(io::Error::new(io::ErrorKind::WouldBlock, problem)))
        }
    }

    fn tell(&mut self, selector: u32, ready: &mut Vec<Event>, woken: &mut Vec<RawFd>) {
        let mut told = self.ready(selector, woken);
        self.select(&mut told);
        for (at, flags) in told.into_iter().take(ready.capacity() - ready.len()) {
            let watch = &mut self.watches[at];
            watch.loaded &= !(watch.edge || watch.one_shot);
            self.changed |= watch.is_waker;
            woken.retain(|woken| *woken != watch.fd);
            ready.push(Event::new(watch.key, flags));
        }
        self.told = !ready.is_empty();
    }

    /// Which of the ready are told, and in which order: all, in reverse, or only one. The others are told next time.
    fn select(&mut self, told: &mut Vec<(usize, u32)>) {
        if told.len() < 2 {
            return;
        }
        match self.choices.choose(3) {
            1 => told.reverse(),
            2 => {
                let only = self.choices.index(told.len());
                *told = vec![told[only]];
            }
            _ => {}
        }
    }

    /// Tells of somebody who is not ready.
    fn add_spurious(&mut self, selector: u32, ready: &mut Vec<Event>) {
        let is_silent = |watch: &Watch| ready.iter().all(|event| event.key() != watch.key);
        let is_armed = |watch: &Watch| !watch.is_waker && (watch.loaded || watch.edge);
        let watches = self.watches.iter().enumerate().filter(|(_, watch)| watch.selector == selector);
        let silent = watches.filter(|(_, watch)| is_armed(watch) && is_silent(watch));
        let silent: Vec<usize> = silent.map(|(at, _)| at).collect();
        if ready.len() < ready.capacity() && !silent.is_empty() && self.choices.choose(2) == 1 {
            let watch = &mut self.watches[silent[self.choices.index(silent.len())]];
            watch.loaded &= !watch.one_shot;
            ready.push(Event::new(watch.key, watch.wanted));
        }
    }
}

fn flag(flag: u32, is_so: bool) -> u32 {
    if is_so { flag } else { 0 }
}

fn not_ours(fd: RawFd) -> io::Error {
    let problem = format!(
        "descriptor {fd} is not simulated: while a simulation runs on a thread, what can be watched there are the TCP \
         sockets made there, by this library and since it began; no Unix or UDP sockets, pipes, files or signals"
    );
    io::Error::new(io::ErrorKind::Unsupported, problem)
}
