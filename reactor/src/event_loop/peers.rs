//! How many connections each address has: a table beside the connections, which keep only their peer's place in it.

use std::collections::HashMap;
use std::net::IpAddr;

use slab::Slab;

/// The place of a connection whose peer is not counted.
pub(crate) const UNCOUNTED: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(crate) struct Peers {
    places: HashMap<IpAddr, u32>,
    counts: Slab<(IpAddr, u32)>,
}

impl Peers {
    /// Counts one more connection: its peer's place, or `None` if it has `limit` of them already.
    pub(crate) fn enter(&mut self, ip: IpAddr, limit: u32) -> Option<u32> {
        let counts = &mut self.counts;
        // There are fewer addresses than connections, and those fit into 24 bits.
        let place = *self.places.entry(ip).or_insert_with(|| counts.insert((ip, 0)) as u32);
        let (_, count) = &mut self.counts[place as usize];
        if *count >= limit {
            if *count == 0 {
                self.forget(place);
            }
            return None;
        }
        *count += 1;
        Some(place)
    }

    /// Counts one connection less.
    pub(crate) fn leave(&mut self, place: u32) {
        if place == UNCOUNTED {
            return;
        }
        let (_, count) = &mut self.counts[place as usize];
        *count -= 1;
        if *count == 0 {
            self.forget(place);
        }
    }

    fn forget(&mut self, place: u32) {
        let (ip, _) = self.counts.remove(place as usize);
        self.places.remove(&ip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_forgotten_with_its_last_connection() {
        let (mut peers, ip) = (Peers::default(), IpAddr::from([127, 0, 0, 1]));
        let first = peers.enter(ip, 2).unwrap();
        let second = peers.enter(ip, 2).unwrap();
        assert_eq!((first, peers.enter(ip, 2)), (second, None));
        peers.leave(first);
        assert!(peers.enter(ip, 2).is_some());
        peers.leave(first);
        peers.leave(second);
        assert!(peers.counts.is_empty() && peers.places.is_empty());
        assert_eq!(peers.enter(ip, 0), None);
        assert!(peers.counts.is_empty());
    }
}
