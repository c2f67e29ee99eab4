//! Waiting: what is told of what is ready, and when.

use std::io;
use std::os::fd::RawFd;
use std::time::Instant;

use super::network::Travel;
use super::{Kernel, State, Watch, errno};
use crate::sys::{ERR, Event, HUP, IN, OUT, RDHUP};

impl Kernel {
    pub(crate) fn new_selector(&mut self) -> u32 {
        self.selectors += 1;
        self.selectors
    }

    /// Whether the loop has edges is a choice, too.
    pub(crate) fn has_edges(&mut self) -> bool {
        self.choices.choose(2) == 0
    }

    pub(crate) fn watch(&mut self, selector: u32, fd: RawFd, watch: Watch, anew: bool) -> io::Result<()> {
        match (self.watches.contains_key(&(selector, fd)), anew) {
            (true, true) => errno(libc::EEXIST),
            (false, false) => errno(libc::ENOENT),
            _ => {
                self.watches.insert((selector, fd), watch);
                Ok(())
            }
        }
    }

    pub(crate) fn unwatch(&mut self, selector: u32, fd: RawFd) -> io::Result<()> {
        self.watches
            .remove(&(selector, fd))
            .map(drop)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    pub(crate) fn arm_clock(&mut self, selector: u32, deadline: Instant) {
        self.clocks.insert(selector, deadline);
    }

    /// Something happened to a socket: an edge for whoever watches it.
    pub(super) fn changed(&mut self, fd: RawFd) {
        for ((_, watched), watch) in &mut self.watches {
            if *watched == fd && !watch.one_shot {
                watch.loaded = true;
            }
        }
    }

    /// poll(2)'s flags of a socket as it is now.
    fn state_of(&self, fd: RawFd) -> u32 {
        let Some(socket) = self.sockets.get(&fd) else { return 0 };
        match &socket.state {
            _ if socket.error.is_some() => IN | OUT | ERR | HUP | RDHUP,
            State::Fresh => OUT | HUP,
            State::Listening(queue) => {
                if queue.is_empty() {
                    0
                } else {
                    IN
                }
            }
            State::Connecting(_) => 0,
            State::Connected(end) => {
                let link = &self.links[end.link];
                let (sends, incoming) = (&link.sides[end.side].sends, &link.sides[end.other().side].sends);
                if link.is_reset(end.side) {
                    let error = if incoming.reset == Travel::Arrived { ERR } else { 0 };
                    return IN | OUT | HUP | RDHUP | error;
                }
                let ended = incoming.fin == Travel::Arrived;
                let mut flags = 0;
                if incoming.arrived > 0 || ended {
                    flags |= IN;
                }
                if sends.bytes.len() < self.room {
                    flags |= OUT;
                }
                if ended {
                    flags |= RDHUP;
                }
                if ended && sends.fin != Travel::Unsent {
                    flags |= HUP;
                }
                flags
            }
        }
    }

    /// What this selector has to tell now.
    fn ready(&self, selector: u32, woken: &[RawFd]) -> Vec<(RawFd, u32)> {
        let watched = self.watches.range((selector, RawFd::MIN)..=(selector, RawFd::MAX));
        let told =
            watched.filter(|((_, fd), watch)| watch.loaded || woken.contains(fd)).map(|((_, fd), watch)| {
                let state = if woken.contains(fd) { IN } else { self.state_of(*fd) };
                (*fd, state & (watch.wanted | ERR | HUP | if watch.wanted & IN != 0 { RDHUP } else { 0 }))
            });
        told.filter(|(_, flags)| *flags != 0).collect()
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
        self.bury();
        if let Err(error) = self.interrupt() {
            return Some(Err(error));
        }
        let moved = self.progress();
        if self.clocks.get(&selector).is_some_and(|rings| *rings <= self.now) {
            self.clocks.remove(&selector);
            ready.push(Event::new(clock_key, IN));
        }
        let mut told = self.ready(selector, woken);
        self.select(&mut told);
        for (fd, flags) in told.into_iter().take(ready.capacity() - ready.len()) {
            let watch = self.watches.get_mut(&(selector, fd)).expect("it was found there");
            watch.loaded &= !(watch.edge || watch.one_shot);
            woken.retain(|woken| *woken != fd);
            ready.push(Event::new(watch.key, flags));
        }
        self.add_spurious(selector, ready);
        let clock = self.clocks.get(&selector).copied();
        if !ready.is_empty() || until.is_some_and(|until| until <= self.now) {
            Some(Ok(()))
        } else if moved {
            None
        } else if let Some(next) = [until, clock].into_iter().flatten().min() {
            self.now = self.now.max(next);
            None
        } else {
            let problem = "the simulation is at rest: nothing that was planned is left, and no clock is set";
            Some(Err(io::Error::new(io::ErrorKind::WouldBlock, problem)))
        }
    }

    /// Which of the ready are told, and in which order: all, in reverse, or only one. The others are told next time.
    fn select(&mut self, told: &mut Vec<(RawFd, u32)>) {
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
        let connected = |fd: &RawFd| {
            self.sockets.get(fd).is_some_and(|socket| matches!(socket.state, State::Connected(_)))
        };
        let watched = self.watches.range((selector, RawFd::MIN)..=(selector, RawFd::MAX));
        let others: Vec<(u64, u32)> = watched
            .filter(|((_, fd), watch)| watch.loaded | watch.edge && connected(fd))
            .map(|(_, watch)| (watch.key, watch.wanted))
            .filter(|(key, _)| ready.iter().all(|event| event.key() != *key))
            .collect();
        if ready.len() < ready.capacity() && !others.is_empty() && self.choices.choose(2) == 1 {
            let (key, wanted) = others[self.choices.index(others.len())];
            ready.push(Event::new(key, wanted & (IN | OUT)));
        }
    }
}
