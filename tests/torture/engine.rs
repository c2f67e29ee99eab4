//! What waits for the clients of a scenario: the event loop, a loop on layer 1 alone, or nobody.

use std::io;
use std::time::Duration;

use reactor::Trigger;
use reactor::event_loop::Reactor;

use crate::bare::Bare;
use crate::blocking::Blocking;
use crate::kernel;
use crate::zen::Zen;

/// Which it is to be.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    EventLoop,
    Bare(Trigger),
    Blocking,
}

#[expect(clippy::large_enum_variant, reason = "there is one")]
pub enum Engine {
    EventLoop(Reactor<Zen>),
    Bare(Bare),
    Blocking(Blocking),
}

impl Engine {
    /// One turn; its calls are seen.
    pub fn turn(&mut self, limit: Option<Duration>) -> io::Result<()> {
        match self {
            Engine::EventLoop(reactor) => kernel::armed(|| reactor.turn(limit)),
            Engine::Bare(bare) => kernel::armed(|| bare.turn(limit)),
            Engine::Blocking(blocking) => blocking.turn(),
        }
    }

    pub fn connections(&self) -> usize {
        match self {
            Engine::EventLoop(reactor) => reactor.connections(),
            Engine::Bare(bare) => bare.connections(),
            Engine::Blocking(_) => 0,
        }
    }

    pub fn timers(&self) -> usize {
        match self {
            Engine::EventLoop(reactor) => reactor.timers(),
            Engine::Bare(_) | Engine::Blocking(_) => 0,
        }
    }

    /// Connections closed as soon as they were accepted, for want of descriptors; and turns without progress.
    pub fn shed_and_idle(&self) -> (u64, u64) {
        match self {
            Engine::EventLoop(reactor) => (reactor.counters().shed, reactor.counters().idle_turns),
            Engine::Bare(_) | Engine::Blocking(_) => (0, 0),
        }
    }
}
