//! The world outside: what travels, what peers do, and that time passes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::Duration;

use super::network::End;
use super::{Act, Choices, DELAY, Kernel, Peer, PeerState, State};
use crate::sys::{IN, OUT};

/// How long the world may need to come to rest: should it never do so, a test still ends.
const MOST_MOVES: u32 = 100_000;

/// Something that can happen.
#[derive(Copy, Clone, Debug)]
enum Move {
    Arrive(End),
    Connected(RawFd),
    Act(usize),
    Read(usize),
    Cut(usize),
}

impl Kernel {
    /// Lets everything happen that can, or one thing, or nothing for now, or a misfortune. Whether something did.
    pub(super) fn progress(&mut self) -> bool {
        let moves = self.moves();
        if moves.is_empty() {
            return false;
        }
        self.changed = true;
        match self.choices.choose(if self.losses && !self.links.is_empty() { 5 } else { 4 }) {
            1 => {
                let one = moves[self.choices.index(moves.len())];
                self.happen(one, false);
            }
            2 => moves.into_iter().rev().for_each(|each| self.happen(each, true)),
            3 => self.now += DELAY,
            4 => {
                let lost = self.choices.index(self.links.len());
                self.happen(Move::Cut(lost), true);
            }
            _ => moves.into_iter().for_each(|each| self.happen(each, true)),
        }
        true
    }

    fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        for (at, link) in self.links.iter().enumerate() {
            let moving = (0..2).filter(|side| link.sides[*side].sends.is_moving());
            moves.extend(moving.map(|side| Move::Arrive(End { link: at, side })));
            let connects = link.sides[0].fd.filter(|fd| self.is_connecting(*fd));
            moves.extend(connects.map(Move::Connected));
        }
        for (at, peer) in self.peers.iter().enumerate() {
            if peer.plan.front().is_some_and(|act| self.is_possible(peer, act)) {
                moves.push(Move::Act(at));
            }
            let arrived = |end: End| self.links[end.link].sides[end.other().side].sends.arrived > 0;
            if peer.reads && peer.end.is_some_and(arrived) {
                moves.push(Move::Read(at));
            }
        }
        moves
    }

    fn is_connecting(&self, fd: RawFd) -> bool {
        self.sockets
            .get(&fd)
            .is_some_and(|socket| matches!(socket.state, State::Connecting(_)) && socket.error.is_none())
    }

    fn is_possible(&self, peer: &Peer, act: &Act) -> bool {
        match (act, peer.end) {
            (Act::Connect(_) | Act::Read(_), _) => true,
            (Act::Await(bytes), Some(end)) => {
                let no_more = self.links[end.link].is_reset(end.side)
                    || self.links[end.link].sides[end.other().side].sends.is_over();
                peer.received.len() >= *bytes || no_more
            }
            (_, None) => peer.serves.is_none(), // nobody has come yet
            (Act::Send(_), Some(end)) => {
                let link = &self.links[end.link];
                link.sides[end.side].sends.bytes.len() < self.room || link.is_over_for(end.side)
            }
            _ => true,
        }
    }

    fn happen(&mut self, what: Move, whole: bool) {
        match what {
            Move::Arrive(end) => {
                let link = &mut self.links[end.link];
                link.sides[end.side].sends.advance(whole, &mut self.choices);
                let there = end.other().side;
                // What arrives where nobody reads any more is answered with an RST.
                if link.sides[there].deaf && link.sides[end.side].sends.arrived > 0 {
                    link.sides[end.side].sends.take_all();
                    link.close(there, true);
                }
                let news = if link.is_reset(there) { IN | OUT } else { IN };
                if let Some(fd) = link.sides[there].fd {
                    self.announce(fd, news);
                }
            }
            Move::Connected(fd) => {
                if let State::Connecting(end) = self.sockets[&fd].state {
                    self.at(fd).state = State::Connected(end);
                    self.announce(fd, OUT);
                }
            }
            Move::Act(peer) => self.act(peer, whole),
            Move::Read(peer) => self.read(peer, whole),
            Move::Cut(link) => self.links[link].cut(),
        }
    }

    fn act(&mut self, at: usize, whole: bool) {
        let Some(act) = self.peers[at].plan.pop_front() else { return };
        match (act, self.peers[at].end) {
            (Act::Connect(to), _) => {
                let from = SocketAddr::new(to.ip(), self.port());
                let end = self.link(from, to);
                self.peers[at].end = end;
                self.peers[at].refused = end.is_none();
            }
            (Act::Read(reads), _) => self.peers[at].reads = reads,
            (Act::Await(_), _) => {}
            (Act::Send(mut bytes), Some(end)) => {
                let link = &mut self.links[end.link];
                if link.is_over_for(end.side) {
                    return; // in vain
                }
                let sends = &mut link.sides[end.side].sends;
                let fits = bytes.len().min(self.room.saturating_sub(sends.bytes.len()));
                let count = if whole { fits } else { self.choices.portion(fits) };
                sends.bytes.extend(bytes.drain(..count));
                if !bytes.is_empty() {
                    self.peers[at].plan.push_front(Act::Send(bytes));
                }
            }
            (Act::Finish, Some(end)) => self.links[end.link].finish(end.side),
            (Act::Reset, Some(end)) => self.links[end.link].close(end.side, true),
            (Act::Close, Some(end)) => self.links[end.link].close(end.side, false),
            (_, None) => {} // refused: nothing comes of it
        }
    }

    fn read(&mut self, at: usize, whole: bool) {
        let Some(end) = self.peers[at].end else { return };
        let incoming = self.links[end.link].incoming(end.side);
        let count = if whole { incoming.arrived } else { self.choices.portion(incoming.arrived) };
        let bytes: Vec<u8> = self.take(end, count).collect();
        self.peers[at].received.extend(bytes);
    }

    // ------------------------------------------------------------------------------------------ the peers' directors

    pub(crate) fn new_peer(&mut self, serves: Option<SocketAddr>) -> usize {
        let (plan, received) = (VecDeque::new(), Vec::new());
        self.peers.push(Peer { serves, end: None, plan, received, reads: true, refused: false });
        self.peers.len() - 1
    }

    pub(crate) fn plan(&mut self, peer: usize, act: Act) {
        self.peers[peer].plan.push_back(act);
    }

    pub(crate) fn peer(&self, at: usize) -> PeerState {
        let peer = &self.peers[at];
        let mut state = PeerState {
            received: peer.received.clone(),
            is_connected: peer.end.is_some(),
            is_refused: peer.refused,
            is_done: peer.plan.is_empty(),
            ..PeerState::default()
        };
        if let Some(end) = peer.end {
            let link = &self.links[end.link];
            state.is_reset = link.is_reset(end.side);
            state.is_finished = link.sides[end.other().side].sends.is_over();
        }
        state
    }

    /// From now on everything goes as well as it can.
    pub(crate) fn calm(&mut self) {
        self.choices.calm();
    }

    /// From now on a connection may be lost.
    pub(crate) fn allow_losses(&mut self) {
        self.losses = true;
    }

    /// Lets the clock go on.
    pub(crate) fn pass(&mut self, time: Duration) {
        (self.now, self.changed) = (self.now + time, true);
    }

    /// Lets the world go on without the program, until nothing is left to happen.
    pub(crate) fn settle(&mut self) {
        self.bury();
        let _ = (0..MOST_MOVES).find(|_| !self.progress());
    }

    pub(crate) fn choices(&self) -> &Choices {
        &self.choices
    }

    /// How many sockets of the program are open.
    pub(crate) fn open_sockets(&mut self) -> usize {
        self.bury();
        self.sockets.len()
    }
}
