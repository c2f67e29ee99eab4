//! The network: connections as two flows of bytes, each of which may be on its way for any time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use super::choices::Choices;

/// A connection. Side 0 is the one that connected.
#[derive(Debug)]
pub(super) struct Link {
    /// Of each side: who it is, its descriptor if it is a socket of the program under test, and what it sends.
    pub(super) sides: [Side; 2],
}

#[derive(Debug)]
pub(super) struct Side {
    pub(super) address: SocketAddr,
    pub(super) fd: Option<RawFd>,
    pub(super) sends: Flow,
    /// Nobody will read here any more: what comes is answered with an RST.
    pub(super) deaf: bool,
    /// It said that it wants to hear nothing more (shutdown(2), `SHUT_RD`), which nobody else is told.
    pub(super) hears_no_more: bool,
}

/// What goes one way.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Sent and not read.
    pub(super) bytes: VecDeque<u8>,
    /// How many of them have arrived.
    pub(super) arrived: usize,
    pub(super) fin: Travel,
    pub(super) reset: Travel,
}

/// Where a FIN or an RST is.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Travel {
    #[default]
    Unsent,
    Sent,
    Arrived,
    /// An RST that was told as an error, once.
    Told,
}

/// One end of a link.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) link: usize,
    pub(super) side: usize,
}

impl End {
    pub(super) fn other(self) -> End {
        End { side: 1 - self.side, ..self }
    }
}

impl Link {
    pub(super) fn new(from: SocketAddr, to: SocketAddr) -> Link {
        let side =
            |address| Side { address, fd: None, sends: Flow::default(), deaf: false, hears_no_more: false };
        Link { sides: [side(from), side(to)] }
    }

    /// What is sent to this side.
    pub(super) fn incoming(&mut self, side: usize) -> &mut Flow {
        &mut self.sides[1 - side].sends
    }

    /// Whether an RST reached this side.
    pub(super) fn is_reset(&self, side: usize) -> bool {
        matches!(self.sides[1 - side].sends.reset, Travel::Arrived | Travel::Told)
    }

    /// Whether this side can send nothing more.
    pub(super) fn is_over_for(&self, side: usize) -> bool {
        let Flow { fin, reset, .. } = self.sides[side].sends;
        self.is_reset(side) || (fin, reset) != (Travel::Unsent, Travel::Unsent)
    }

    /// A side stops: for good if it leaves something unread, or wants to.
    pub(super) fn close(&mut self, side: usize, abruptly: bool) {
        let unread = !self.incoming(side).bytes.is_empty();
        self.sides[side].deaf = true;
        let sends = &mut self.sides[side].sends;
        if abruptly || unread {
            sends.reset = sends.reset.max_sent();
        } else {
            sends.fin = sends.fin.max_sent();
        }
    }

    /// A side sends nothing more.
    pub(super) fn finish(&mut self, side: usize) {
        let fin = &mut self.sides[side].sends.fin;
        *fin = fin.max_sent();
    }

    /// The connection is lost on the way: both sides will hear.
    pub(super) fn cut(&mut self) {
        for side in &mut self.sides {
            side.sends.reset = side.sends.reset.max_sent();
        }
    }
}

impl Flow {
    /// Whether something is on its way.
    pub(super) fn is_moving(&self) -> bool {
        self.reset == Travel::Sent
            || (self.reset == Travel::Unsent && (self.arrived < self.bytes.len() || self.fin == Travel::Sent))
    }

    /// Brings on what is on its way: an RST overtakes all, a FIN nothing.
    pub(super) fn advance(&mut self, whole: bool, choices: &mut Choices) {
        let left = self.bytes.len() - self.arrived;
        if self.reset == Travel::Sent {
            self.reset = Travel::Arrived;
            self.bytes.clear();
            self.arrived = 0;
        } else if left > 0 && !whole {
            self.arrived += choices.portion(left);
        } else {
            self.arrived = self.bytes.len();
            // A FIN may come with the last bytes or after them.
            if self.fin == Travel::Sent && (left == 0 || choices.choose(2) == 0) {
                self.fin = Travel::Arrived;
            }
        }
    }

    /// Whether all is read and nothing follows.
    pub(super) fn is_over(&self) -> bool {
        self.arrived == 0 && self.fin == Travel::Arrived
    }

    /// Throws away what arrived.
    pub(super) fn take_all(&mut self) {
        self.take(self.arrived).for_each(drop);
    }

    pub(super) fn take(&mut self, count: usize) -> impl Iterator<Item = u8> + '_ {
        self.arrived -= count;
        self.bytes.drain(..count)
    }
}

impl Travel {
    fn max_sent(self) -> Travel {
        if self == Travel::Unsent { Travel::Sent } else { self }
    }
}
