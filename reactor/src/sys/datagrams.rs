//! Datagrams: messages that go to an address and come from one, and the options of the sockets they pass.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::RawAddress;
use super::bytes::NO_SIGNAL;
use super::sockets::{option, set_option};

/// recvfrom(2): a datagram and who sent it. What the buffer has no room for is lost.
pub(crate) fn receive_from(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, RawAddress)> {
    receive_with(fd, buffer, 0)
}

/// recvfrom(2) that leaves the datagram where it is (`MSG_PEEK`).
pub(crate) fn peek_from(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, RawAddress)> {
    receive_with(fd, buffer, libc::MSG_PEEK)
}

fn receive_with(fd: BorrowedFd<'_>, buffer: &mut [u8], flags: i32) -> io::Result<(usize, RawAddress)> {
    let mut sender = RawAddress::empty();
    let raw = ptr::from_mut(&mut sender.storage).cast();
    let (start, room) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: `buffer` is writable for the length given; the storage has room for any address and `length` says how much.
    let length =
        unsafe { syscall!(recvfrom(fd.as_raw_fd(), start, room, flags, raw, &raw mut sender.length))? };
    Ok((length as usize, sender)) // not -1, so not negative
}

/// sendto(2), without SIGPIPE. A datagram goes as a whole or not at all.
pub(crate) fn send_to(fd: BorrowedFd<'_>, bytes: &[u8], to: &RawAddress) -> io::Result<usize> {
    let raw = ptr::from_ref(&to.storage).cast();
    let (start, length, flags) = (bytes.as_ptr().cast(), bytes.len(), NO_SIGNAL);
    // SAFETY: `bytes` is readable and the address valid for the lengths given.
    let sent = unsafe { syscall!(sendto(fd.as_raw_fd(), start, length, flags, raw, to.length))? };
    Ok(sent as usize) // not -1, so not negative
}

/// `SO_BROADCAST` (socket(7)): sending to a broadcast address is meant.
pub(crate) fn set_broadcast(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_BROADCAST, i32::from(on))
}

/// `SO_BROADCAST`.
pub(crate) fn broadcast(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(option(fd, libc::SOL_SOCKET, libc::SO_BROADCAST)? != 0)
}

/// `IP_MULTICAST_LOOP` (ip(7)): datagrams to a group are heard on this machine too. The options of multicast over IPv4 are
/// bytes on the BSDs, and may be on Linux.
pub(crate) fn set_multicast_loop_v4(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    set_option(fd, libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP, u8::from(on))
}

/// `IP_MULTICAST_LOOP`.
pub(crate) fn multicast_loop_v4(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(byte_option(fd, libc::IPPROTO_IP, libc::IP_MULTICAST_LOOP)? != 0)
}

/// `IP_MULTICAST_TTL` (ip(7)): how many routers datagrams to a group may pass. `InvalidInput` beyond 255.
pub(crate) fn set_multicast_time_to_live_v4(fd: BorrowedFd<'_>, hops: u32) -> io::Result<()> {
    let hops = u8::try_from(hops).map_err(|_| io::ErrorKind::InvalidInput)?;
    set_option(fd, libc::IPPROTO_IP, libc::IP_MULTICAST_TTL, hops)
}

/// `IP_MULTICAST_TTL`.
pub(crate) fn multicast_time_to_live_v4(fd: BorrowedFd<'_>) -> io::Result<u32> {
    byte_option(fd, libc::IPPROTO_IP, libc::IP_MULTICAST_TTL).map(u32::from)
}

/// `IPV6_MULTICAST_LOOP` (ipv6(7)).
pub(crate) fn set_multicast_loop_v6(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP, i32::from(on))
}

/// `IPV6_MULTICAST_LOOP`.
pub(crate) fn multicast_loop_v6(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(option(fd, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP)? != 0)
}

/// `IPV6_V6ONLY`.
pub(crate) fn only_v6(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)? != 0)
}

/// Into a group of receivers, or out of it.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Membership {
    Join,
    Leave,
}

/// `IP_ADD_MEMBERSHIP` or `IP_DROP_MEMBERSHIP` (ip(7)). The interface is named by its address; unspecified: the kernel chooses.
pub(crate) fn set_membership_v4(
    fd: BorrowedFd<'_>,
    change: Membership,
    group: Ipv4Addr,
    interface: Ipv4Addr,
) -> io::Result<()> {
    let option = match change {
        Membership::Join => libc::IP_ADD_MEMBERSHIP,
        Membership::Leave => libc::IP_DROP_MEMBERSHIP,
    };
    let [group, interface] =
        [group, interface].map(|ip| libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) });
    set_option(fd, libc::IPPROTO_IP, option, libc::ip_mreq { imr_multiaddr: group, imr_interface: interface })
}

/// `IPV6_ADD_MEMBERSHIP` or `IPV6_DROP_MEMBERSHIP` (ipv6(7)). The interface is named by its index; zero: the kernel chooses.
pub(crate) fn set_membership_v6(
    fd: BorrowedFd<'_>,
    change: Membership,
    group: Ipv6Addr,
    interface: u32,
) -> io::Result<()> {
    #[cfg(not(has_ipv6_join_group))]
    use libc::{IPV6_ADD_MEMBERSHIP as JOIN, IPV6_DROP_MEMBERSHIP as LEAVE};
    #[cfg(has_ipv6_join_group)]
    use libc::{IPV6_JOIN_GROUP as JOIN, IPV6_LEAVE_GROUP as LEAVE};
    let option = match change {
        Membership::Join => JOIN,
        Membership::Leave => LEAVE,
    };
    let group = libc::in6_addr { s6_addr: group.octets() };
    let request = libc::ipv6_mreq { ipv6mr_multiaddr: group, ipv6mr_interface: interface };
    set_option(fd, libc::IPPROTO_IPV6, option, request)
}

/// getsockopt(2) of a byte.
fn byte_option(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<u8> {
    let (mut value, mut length) = (0u8, 1 as libc::socklen_t);
    let raw = ptr::from_mut(&mut value).cast();
    // SAFETY: `value` is writable for `length` bytes.
    unsafe { syscall!(getsockopt(fd.as_raw_fd(), level, name, raw, &raw mut length))? };
    Ok(value)
}
