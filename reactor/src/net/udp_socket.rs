//! A UDP socket.

use std::fmt;
use std::io;
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use super::socket::{Socket, source};
use super::{at, inet};
use crate::sys::{self, Membership, RawAddress};

/// A UDP socket: messages to any address, and from any; or, once [connected](UdpSocket::connect), with one peer.
///
/// A datagram arrives whole, or it does not arrive. What does not fit into the buffer it is received in is lost, and nobody
/// tells the sender of any of this.
///
/// ```
/// use reactor::{Events, Interest, Poll, Token, net::UdpSocket};
///
/// let mut socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
/// let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
/// poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
///
/// let friend = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// friend.send_to(b"now", socket.local_addr()?)?;
/// poll.poll(&mut events, None)?;
/// let mut buffer = [0; 1500];
/// let (length, sender) = socket.recv_from(&mut buffer)?;
/// assert_eq!((&buffer[..length], sender), (&b"now"[..], friend.local_addr()?));
/// assert_eq!(socket.recv_from(&mut buffer).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UdpSocket {
    inner: Socket,
}

impl UdpSocket {
    /// Receives at `addr`; port 0 picks a free one.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied` (ports below 1024), or no descriptor left. The error holds a
    /// [`reactor::Error`](crate::Error) that names the address.
    ///
    /// ```
    /// use reactor::net::UdpSocket;
    /// let socket = UdpSocket::bind("[::1]:0".parse().unwrap())?;
    /// let error = UdpSocket::bind(socket.local_addr()?).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
        let bind = || {
            let raw = RawAddress::inet(addr);
            let socket = sys::datagram_socket(raw.family())?;
            sys::bind(socket.as_fd(), &raw)?;
            Ok(UdpSocket::from(socket))
        };
        bind().map_err(at("bind to", addr))
    }

    /// Takes over a socket of std, which must be nonblocking already.
    ///
    /// ```
    /// let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.set_nonblocking(true)?;
    /// let socket = reactor::net::UdpSocket::from_std(socket);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn from_std(socket: net::UdpSocket) -> UdpSocket {
        OwnedFd::from(socket).into()
    }

    /// Where it receives.
    ///
    /// # Errors
    /// What getsockname(2) says.
    ///
    /// ```
    /// # let socket = reactor::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// assert_ne!(socket.local_addr()?.port(), 0); // it was picked
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet(sys::local_address(self.inner.as_fd())?)
    }

    /// Whom it is connected to.
    ///
    /// # Errors
    /// `NotConnected`, and what else getpeername(2) says.
    ///
    /// ```
    /// # let socket = reactor::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// assert_eq!(socket.peer_addr().unwrap_err().kind(), std::io::ErrorKind::NotConnected);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        inet(sys::peer_address(self.inner.as_fd())?)
    }

    /// Sends a datagram: how many bytes went, which is all of them.
    ///
    /// # Errors
    /// `WouldBlock` while the send buffer is full; `EMSGSIZE` for more than fits (65 507 bytes over IPv4); an error that an
    /// earlier datagram came back with, on a connected socket; and what else sendto(2) says.
    ///
    /// ```
    /// # use reactor::net::UdpSocket;
    /// # let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// # let friend = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// assert_eq!(socket.send_to(b"is better than", friend.local_addr()?)?, 14);
    /// assert_eq!(friend.recv_from(&mut [0; 64])?, (14, socket.local_addr()?));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.inner.send_to(buf, &RawAddress::inet(target))
    }

    /// The next datagram's length and sender. What `buf` has no room for is lost.
    ///
    /// # Errors
    /// `WouldBlock` if none is waiting; `ConnectionRefused`, on a connected socket, if nobody listened where an earlier one
    /// went; and what else recvfrom(2) says.
    ///
    /// ```
    /// # use reactor::net::UdpSocket;
    /// # let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let friend = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// friend.send_to(b"readability counts", socket.local_addr()?)?;
    /// # let socket = UdpSocket::from_std(socket); // it blocks, so there is no race
    /// assert_eq!(socket.recv_from(&mut [0; 11])?, (11, friend.local_addr()?)); // " counts" is lost
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, sender) = self.inner.receive_from(buf)?;
        Ok((length, inet(sender)?))
    }

    /// The next datagram, which stays where it is: the next receiving call gets it too (`MSG_PEEK`).
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    ///
    /// ```
    /// # use reactor::net::UdpSocket;
    /// # let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let friend = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// friend.send_to(b"flat", socket.local_addr()?)?;
    /// # let socket = UdpSocket::from_std(socket); // it blocks, so there is no race
    /// assert_eq!(socket.peek_from(&mut [0; 8])?, (4, friend.local_addr()?));
    /// assert_eq!(socket.recv_from(&mut [0; 8])?, (4, friend.local_addr()?));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, sender) = self.inner.peek_from(buf)?;
        Ok((length, inet(sender)?))
    }

    /// Sends a datagram to the peer that it is [connected](UdpSocket::connect) to.
    ///
    /// # Errors
    /// As [`send_to`](UdpSocket::send_to); `EDESTADDRREQ` if it is not connected.
    ///
    /// ```
    /// # use reactor::net::UdpSocket;
    /// # let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// # let friend = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.connect(friend.local_addr()?)?;
    /// assert_eq!(socket.send(b"explicit")?, 8);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.inner.send(buf)
    }

    /// The next datagram's length; from the peer, if it is [connected](UdpSocket::connect). What `buf` has no room for is lost.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    ///
    /// ```
    /// # use reactor::net::UdpSocket;
    /// # let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let friend = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// friend.send_to(b"sparse", socket.local_addr()?)?;
    /// # let socket = UdpSocket::from_std(socket); // it blocks, so there is no race
    /// assert_eq!(socket.recv(&mut [0; 8])?, 6);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.receive(buf)
    }

    /// The next datagram's length, and the datagram stays where it is (`MSG_PEEK`).
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    ///
    /// ```
    /// # use reactor::net::UdpSocket;
    /// # let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let friend = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// friend.send_to(b"dense", socket.local_addr()?)?;
    /// # let socket = UdpSocket::from_std(socket); // it blocks, so there is no race
    /// assert_eq!(socket.peek(&mut [0; 8])?, 5);
    /// assert_eq!(socket.recv(&mut [0; 8])?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.peek_datagram(buf)
    }

    /// Sends to `addr` from now on, hears nobody else, and is told when nobody listens there (`ConnectionRefused`).
    ///
    /// # Errors
    /// What connect(2) says. The error holds a [`reactor::Error`](crate::Error) that names the address.
    ///
    /// ```
    /// # use reactor::net::UdpSocket;
    /// # let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// # let friend = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// socket.connect(friend.local_addr()?)?;
    /// assert_eq!(socket.peer_addr()?, friend.local_addr()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn connect(&self, addr: SocketAddr) -> io::Result<()> {
        sys::connect(self.inner.as_fd(), &RawAddress::inet(addr)).map_err(at("connect to", addr))
    }

    /// Whether it may send to broadcast addresses (`SO_BROADCAST`). Not so at first.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    ///
    /// ```
    /// # let socket = reactor::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// socket.set_broadcast(true)?;
    /// assert!(socket.broadcast()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        sys::set_broadcast(self.inner.as_fd(), on)
    }

    /// The value of `SO_BROADCAST`; see [`set_broadcast`](UdpSocket::set_broadcast).
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn broadcast(&self) -> io::Result<bool> {
        sys::broadcast(self.inner.as_fd())
    }

    /// Whether receivers on this machine get what it sends to an IPv4 group (`IP_MULTICAST_LOOP`). So at first.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    ///
    /// ```
    /// # let socket = reactor::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// socket.set_multicast_loop_v4(false)?;
    /// assert!(!socket.multicast_loop_v4()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        sys::set_multicast_loop_v4(self.inner.as_fd(), on)
    }

    /// The value of `IP_MULTICAST_LOOP`; see [`set_multicast_loop_v4`](UdpSocket::set_multicast_loop_v4).
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        sys::multicast_loop_v4(self.inner.as_fd())
    }

    /// How many networks what it sends to an IPv4 group may cross (`IP_MULTICAST_TTL`). At first one: its own.
    ///
    /// # Errors
    /// `InvalidInput` beyond 255, and what else setsockopt(2) says.
    ///
    /// ```
    /// # let socket = reactor::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// socket.set_multicast_ttl_v4(5)?;
    /// assert_eq!(socket.multicast_ttl_v4()?, 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        sys::set_multicast_time_to_live_v4(self.inner.as_fd(), ttl)
    }

    /// The value of `IP_MULTICAST_TTL`; see [`set_multicast_ttl_v4`](UdpSocket::set_multicast_ttl_v4).
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        sys::multicast_time_to_live_v4(self.inner.as_fd())
    }

    /// Whether receivers on this machine get what it sends to an IPv6 group (`IPV6_MULTICAST_LOOP`). So at first.
    ///
    /// # Errors
    /// What setsockopt(2) says.
    ///
    /// ```
    /// # let socket = reactor::net::UdpSocket::bind("[::1]:0".parse().unwrap())?;
    /// socket.set_multicast_loop_v6(false)?;
    /// assert!(!socket.multicast_loop_v6()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        sys::set_multicast_loop_v6(self.inner.as_fd(), on)
    }

    /// The value of `IPV6_MULTICAST_LOOP`; see [`set_multicast_loop_v6`](UdpSocket::set_multicast_loop_v6).
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        sys::multicast_loop_v6(self.inner.as_fd())
    }

    /// Sets the time to live of the packets it sends to a single receiver (`IP_TTL`).
    ///
    /// # Errors
    /// What setsockopt(2) says.
    ///
    /// ```
    /// # let socket = reactor::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// socket.set_ttl(61)?;
    /// assert_eq!(socket.ttl()?, 61);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        sys::set_time_to_live(self.inner.as_fd(), ttl)
    }

    /// The time to live of the packets it sends (`IP_TTL`); see [`set_ttl`](UdpSocket::set_ttl).
    ///
    /// # Errors
    /// What getsockopt(2) says.
    pub fn ttl(&self) -> io::Result<u32> {
        sys::time_to_live(self.inner.as_fd())
    }

    /// Receives what is sent to the group `multiaddr` on the network of the interface with the address `interface`;
    /// unspecified: on one that the kernel chooses (`IP_ADD_MEMBERSHIP`, ip(7)).
    ///
    /// # Errors
    /// `InvalidInput` if it is no group, `AddrInUse` if it is in it already, `ENODEV` if there is no such interface.
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// # let socket = reactor::net::UdpSocket::bind("0.0.0.0:0".parse().unwrap())?;
    /// let group = Ipv4Addr::new(224, 0, 0, 123);
    /// socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
    /// socket.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        sys::set_membership_v4(self.inner.as_fd(), Membership::Join, *multiaddr, *interface)
    }

    /// Receives what is sent to the group `multiaddr` on the network of the interface with the index `interface`; zero: on one
    /// that the kernel chooses (`IPV6_ADD_MEMBERSHIP`, ipv6(7)).
    ///
    /// # Errors
    /// As [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    ///
    /// ```no_run
    /// # let socket = reactor::net::UdpSocket::bind("[::]:0".parse().unwrap())?;
    /// let group = "ff02::123".parse().unwrap();
    /// socket.join_multicast_v6(&group, 0)?;
    /// socket.leave_multicast_v6(&group, 0)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        sys::set_membership_v6(self.inner.as_fd(), Membership::Join, *multiaddr, interface)
    }

    /// Undoes [`join_multicast_v4`](UdpSocket::join_multicast_v4) with the same arguments. Closing the socket does, too.
    ///
    /// # Errors
    /// `AddrNotAvailable` if it is not in the group.
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        sys::set_membership_v4(self.inner.as_fd(), Membership::Leave, *multiaddr, *interface)
    }

    /// Undoes [`join_multicast_v6`](UdpSocket::join_multicast_v6) with the same arguments. Closing the socket does, too.
    ///
    /// # Errors
    /// `AddrNotAvailable` if it is not in the group.
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        sys::set_membership_v6(self.inner.as_fd(), Membership::Leave, *multiaddr, interface)
    }

    /// Whether an IPv6 socket leaves IPv4 to others (`IPV6_V6ONLY`). `net.ipv6.bindv6only` decides what it is at first.
    ///
    /// # Errors
    /// What getsockopt(2) says; for one, that this is an IPv4 socket.
    ///
    /// ```
    /// # let socket = reactor::net::UdpSocket::bind("[::1]:0".parse().unwrap())?;
    /// let _hears_ipv4_too = !socket.only_v6()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn only_v6(&self) -> io::Result<bool> {
        sys::only_v6(self.inner.as_fd())
    }

    /// The pending error (`SO_ERROR`), which asking clears: why an earlier datagram came back, for one.
    ///
    /// # Errors
    /// What getsockopt(2) says.
    ///
    /// ```
    /// # let socket = reactor::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// assert!(socket.take_error()?.is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.take_error()
    }

    /// Runs I/O of your own on its descriptor, so that backends which emulate edges hear of it. Whoever calls recvmmsg(2) or
    /// the like without it may miss events there.
    ///
    /// # Errors
    /// Those of `f`, which should be `WouldBlock` when the call would have blocked.
    ///
    /// ```
    /// # let socket = reactor::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
    /// let result = socket.try_io(|| {
    ///     // a call of another library on `socket.as_raw_fd()`
    ///     # Err::<(), _>(std::io::Error::from(std::io::ErrorKind::WouldBlock))
    /// });
    /// # assert!(result.is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_io<F, T>(&self, f: F) -> io::Result<T>
    where
        F: FnOnce() -> io::Result<T>,
    {
        self.inner.try_io(f)
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::describe("UdpSocket", self.inner.as_fd(), self.peer_addr().ok(), f)
    }
}

descriptor_traits!(UdpSocket, net::UdpSocket);
source!(UdpSocket);
