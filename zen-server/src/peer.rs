//! A client's address in seven bytes.
//!
//! The event that tells of a connection's end names the client, and by then the kernel may have forgotten it
//! (`getpeername` after a reset says ENOTCONN). So each connection remembers its client; with ten thousand idle ones every
//! byte of that counts, and a `SocketAddr` has 32 of them. Nearly all clients of a small server are IPv4 and fit in six;
//! the IPv6 ones are kept in one table, and the connection keeps the row.

use std::cell::RefCell;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

use slab::Slab;

/// Who is at the other end. Made by [`Peers::remember`], given back to [`Peers::forget`].
///
/// ```
/// assert_eq!(size_of::<zen_server::peer::Peer>(), 7);
/// ```
#[derive(Debug)]
pub struct Peer(Place);

/// The numbers are arrays of bytes because those need no alignment: `u16` and `u32` would make it eight and let the
/// structure around it grow by eight more.
#[derive(Debug)]
enum Place {
    V4(Ipv4Addr, [u8; 2]),
    Row([u8; 4]),
    Local,
}

/// The table of those whose address does not fit into a [`Peer`].
#[derive(Debug, Default)]
pub struct Peers(RefCell<Slab<SocketAddrV6>>);

impl Peers {
    /// Keeps an address; `None` is a client of a Unix socket, which has none.
    ///
    /// ```
    /// use zen_server::peer::Peers;
    /// let peers = Peers::default();
    /// let peer = peers.remember(Some("[::1]:5000".parse()?));
    /// assert_eq!(peers.name(&peer).to_string(), "[::1]:5000");
    /// peers.forget(&peer);
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    #[must_use]
    pub fn remember(&self, address: Option<SocketAddr>) -> Peer {
        let Some(address) = address else { return Peer(Place::Local) };
        // A dual-stack listener shows IPv4 clients as ::ffff:192.0.2.1; they are told as what they are.
        Peer(match (address, address.ip().to_canonical()) {
            (_, IpAddr::V4(ip)) => Place::V4(ip, address.port().to_ne_bytes()),
            (SocketAddr::V6(address), _) => self.insert(address),
            (SocketAddr::V4(address), _) => Place::V4(*address.ip(), address.port().to_ne_bytes()),
        })
    }

    /// The loop has room for 2²⁴ connections, so a row's number always fits.
    fn insert(&self, address: SocketAddrV6) -> Place {
        let mut table = self.0.borrow_mut();
        match u32::try_from(table.vacant_key()) {
            Ok(row) => {
                table.insert(address);
                Place::Row(row.to_ne_bytes())
            }
            Err(_) => Place::Local,
        }
    }

    /// Frees the row, if the peer had one.
    pub fn forget(&self, peer: &Peer) {
        if let Place::Row(row) = peer.0 {
            self.0.borrow_mut().try_remove(u32::from_ne_bytes(row) as usize);
        }
    }

    /// The address as text: `192.0.2.1:5000`, `[2001:db8::1]:5000`, or `the Unix socket`.
    pub fn name(&self, peer: &Peer) -> impl fmt::Display {
        Name(match peer.0 {
            Place::V4(ip, port) => Some(SocketAddr::from((ip, u16::from_ne_bytes(port)))),
            Place::Row(row) => {
                self.0.borrow().get(u32::from_ne_bytes(row) as usize).copied().map(SocketAddr::V6)
            }
            Place::Local => None,
        })
    }
}

struct Name(Option<SocketAddr>);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("the Unix socket"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_address_is_named_as_it_came() {
        let peers = Peers::default();
        for address in ["192.0.2.1:5000", "[2001:db8::1]:65535", "0.0.0.0:0"] {
            let peer = peers.remember(Some(address.parse().unwrap()));
            assert_eq!(peers.name(&peer).to_string(), address);
        }
        let peer = peers.remember(None);
        assert_eq!(peers.name(&peer).to_string(), "the Unix socket");
    }

    #[test]
    fn an_ipv4_client_of_a_dual_stack_listener_is_named_as_ipv4() {
        let peers = Peers::default();
        let peer = peers.remember(Some("[::ffff:192.0.2.1]:5000".parse().unwrap()));
        assert_eq!(peers.name(&peer).to_string(), "192.0.2.1:5000");
    }

    #[test]
    fn a_forgotten_row_is_used_again() {
        let peers = Peers::default();
        for port in 1..100 {
            let peer = peers.remember(Some(SocketAddr::from(([1, 0, 0, 0, 0, 0, 0, 1], port))));
            peers.forget(&peer);
        }
        assert_eq!(peers.0.borrow().capacity(), 4, "one row, in the smallest table");
    }
}
