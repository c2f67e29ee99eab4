//! Datagrams: UDP, and the same calls between sockets of this machine, where what one end does is seen at once by the other.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use reactor::event::Event;
use reactor::net::{UdpSocket, UnixDatagram};
use reactor::{Backend, Token};

use crate::support::{READABLE, WRITABLE, Waiting};

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Two UDP sockets of this machine, connected to each other.
fn udp_pair() -> (UdpSocket, UdpSocket) {
    let (one, other) = (UdpSocket::bind(any_port()).unwrap(), UdpSocket::bind(any_port()).unwrap());
    one.connect(other.local_addr().unwrap()).unwrap();
    other.connect(one.local_addr().unwrap()).unwrap();
    (one, other)
}

/// A socket whose peer refuses what it sends: somebody has that address but is connected to itself, and hears nobody else. As
/// long as that one lives, no other test is given its port.
fn connected_to_nobody() -> (UdpSocket, UdpSocket) {
    let (socket, deaf) = (UdpSocket::bind(any_port()).unwrap(), UdpSocket::bind(any_port()).unwrap());
    deaf.connect(deaf.local_addr().unwrap()).unwrap();
    socket.connect(deaf.local_addr().unwrap()).unwrap();
    (socket, deaf)
}

pub fn a_datagram_is_told_and_names_its_sender(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let mut socket = UdpSocket::bind(any_port()).unwrap();
    waiting.edge(&mut socket, 1, READABLE);
    waiting.assert_silent();
    let friend = UdpSocket::bind(any_port()).unwrap();
    for text in [&b"beautiful"[..], b"", b"ugly"] {
        assert_eq!(friend.send_to(text, socket.local_addr().unwrap()).unwrap(), text.len());
        assert!(waiting.wait_one(1).is_readable());
        let mut buffer = [0; 64];
        let (length, sender) = socket.peek_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], sender), (text, friend.local_addr().unwrap()));
        assert_eq!(socket.recv_from(&mut buffer).unwrap(), (length, sender));
        assert_eq!(socket.recv_from(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        waiting.assert_silent();
    }
}

pub fn a_connected_socket_hears_its_peer_alone(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, theirs) = udp_pair();
    assert_eq!(ours.peer_addr().unwrap(), theirs.local_addr().unwrap());
    waiting.edge(&mut ours, 1, READABLE);
    let stranger = UdpSocket::bind(any_port()).unwrap();
    let _ = stranger.send_to(b"now", ours.local_addr().unwrap());
    theirs.send(b"never").unwrap();
    waiting.wait_one(1);
    let mut buffer = [0; 64];
    assert_eq!(ours.recv(&mut buffer).unwrap(), 5);
    assert_eq!(ours.recv(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
}

type Receive = fn(&UdpSocket, &mut [u8]) -> io::Result<usize>;

/// However a datagram is received, the next one is news. It is one call each time: none until `WouldBlock`.
pub fn an_edge_is_told_again_after_every_way_to_receive(backend: Backend) {
    let ways: [Receive; 3] = [
        |socket, buffer| socket.recv_from(buffer).map(|(length, _)| length),
        |socket, buffer| socket.recv(buffer),
        |socket, buffer| {
            let other = std::net::UdpSocket::from(socket.as_fd().try_clone_to_owned()?);
            socket.try_io(|| other.recv(buffer))
        },
    ];
    for receive in ways {
        let mut waiting = Waiting::with(backend);
        let (mut ours, theirs) = udp_pair();
        waiting.edge(&mut ours, 1, READABLE);
        for _ in 0..3 {
            theirs.send(b"simple").unwrap();
            waiting.wait_one(1);
            assert_eq!(receive(&ours, &mut [0; 64]).unwrap(), 6);
            waiting.assert_silent();
        }
    }
}

pub fn an_edge_is_told_again_after_every_way_to_peek(backend: Backend) {
    let ways: [Receive; 2] = [
        |socket, buffer| socket.peek_from(buffer).map(|(length, _)| length),
        |socket, buffer| socket.peek(buffer),
    ];
    for peek in ways {
        let mut waiting = Waiting::with(backend);
        let (mut ours, theirs) = udp_pair();
        waiting.edge(&mut ours, 1, READABLE);
        for count in 1..4 {
            theirs.send(b"complex").unwrap();
            waiting.wait_one(1);
            assert_eq!(peek(&ours, &mut [0; 64]).unwrap(), 7, "the first of {count} that are waiting");
        }
    }
}

/// What a stream's read of nothing says, a datagram's does not.
pub fn an_empty_datagram_is_no_end(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, theirs) = UnixDatagram::pair().unwrap();
    waiting.edge(&mut ours, 1, READABLE);
    for _ in 0..3 {
        theirs.send(b"").unwrap();
        assert!(!waiting.wait_one(1).is_read_closed());
        assert_eq!(ours.recv(&mut [0; 8]).unwrap(), 0);
        waiting.assert_silent();
    }
}

/// A datagram that comes back is an event. Whichever call is answered by its error, the next one that comes back is news.
pub fn a_refusal_is_told_however_the_last_one_was_taken(backend: Backend) {
    let ways: [fn(&UdpSocket) -> io::Result<()>; 6] = [
        |socket| socket.recv(&mut [0; 8]).map(drop),
        |socket| socket.recv_from(&mut [0; 8]).map(drop),
        |socket| socket.peek_from(&mut [0; 8]).map(drop),
        |socket| socket.send(b"is better than").map(drop),
        |socket| socket.send_to(b"is better than", socket.peer_addr()?).map(drop),
        |socket| Err(socket.take_error()?.unwrap_or_else(|| ErrorKind::NotFound.into())),
    ];
    for take in ways {
        let mut waiting = Waiting::with(backend);
        let (mut socket, _deaf) = connected_to_nobody();
        waiting.edge(&mut socket, 1, READABLE | WRITABLE);
        for _ in 0..3 {
            socket.send(b"now").unwrap();
            waiting.wait_until(|event| tells_refusal(backend, event));
            assert_eq!(take(&socket).unwrap_err().kind(), ErrorKind::ConnectionRefused);
            assert!(socket.take_error().unwrap().is_none(), "it was taken");
        }
    }
}

pub fn a_refusal_nobody_takes_does_not_spin(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut socket, _deaf) = connected_to_nobody();
    waiting.edge(&mut socket, 1, READABLE);
    socket.send(b"now").unwrap();
    assert!(tells_refusal(backend, &waiting.wait_one(1)));
    for _ in 0..3 {
        waiting.assert_silent();
    }
}

/// kqueue tells an error that is no end as something to read.
fn tells_refusal(backend: Backend, event: &Event) -> bool {
    event.is_error() || (backend == Backend::Kqueue && event.is_readable())
}

pub fn room_for_datagrams_is_told_again_after_a_refused_send(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, theirs) = UnixDatagram::pair().unwrap();
    waiting.edge(&mut ours, 1, WRITABLE);
    for _ in 0..3 {
        assert!(waiting.wait_one(1).is_writable());
        while ours.send(b"crowded").is_ok() {}
        assert_eq!(ours.send(b"crowded").unwrap_err().kind(), ErrorKind::WouldBlock);
        waiting.assert_silent();
        while theirs.recv(&mut [0; 8]).is_ok() {}
    }
    waiting.wait_one(1);
}

pub fn a_datagram_that_was_sent_causes_no_event(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, _theirs) = UnixDatagram::pair().unwrap();
    waiting.edge(&mut ours, 1, READABLE | WRITABLE);
    assert!(waiting.wait_one(1).is_writable());
    for _ in 0..3 {
        ours.send(b"sparse").unwrap();
        waiting.assert_silent();
    }
}

pub fn a_datagram_too_long_for_the_buffer_loses_its_tail(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, theirs) = udp_pair();
    waiting.edge(&mut ours, 1, READABLE);
    theirs.send(b"the temptation to guess").unwrap();
    theirs.send(b"refuse").unwrap();
    waiting.wait_one(1);
    let mut buffer = [0; 14];
    assert_eq!(ours.recv(&mut buffer).unwrap(), 14);
    assert_eq!(&buffer, b"the temptation");
    let mut next = ours.recv(&mut buffer);
    while next.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
        waiting.wait_one(1);
        next = ours.recv(&mut buffer);
    }
    assert_eq!(next.unwrap(), 6);
}

pub fn udp_options_are_those_of_the_socket(backend: Backend) {
    let _ = backend; // they are the same with each
    let socket = UdpSocket::bind(any_port()).unwrap();
    for on in [true, false] {
        socket.set_broadcast(on).unwrap();
        assert_eq!(socket.broadcast().unwrap(), on);
        socket.set_multicast_loop_v4(on).unwrap();
        assert_eq!(socket.multicast_loop_v4().unwrap(), on);
    }
    for ttl in [1, 255] {
        socket.set_multicast_ttl_v4(ttl).unwrap();
        assert_eq!(socket.multicast_ttl_v4().unwrap(), ttl);
        socket.set_ttl(ttl).unwrap();
        assert_eq!(socket.ttl().unwrap(), ttl);
    }
    assert_eq!(socket.set_multicast_ttl_v4(256).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(socket.take_error().unwrap().is_none());
    assert!(socket.only_v6().is_err(), "it is an IPv4 socket");
    let six = UdpSocket::bind("[::1]:0".parse().unwrap()).unwrap();
    for on in [false, true] {
        six.set_multicast_loop_v6(on).unwrap();
        assert_eq!(six.multicast_loop_v6().unwrap(), on);
    }
    six.only_v6().unwrap();
    assert_eq!(UdpSocket::bind(socket.local_addr().unwrap()).unwrap_err().kind(), ErrorKind::AddrInUse);
}

/// The loopback interface carries groups too, once the sender is bound to it.
pub fn a_group_is_heard_while_it_is_joined(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let mut receiver = UdpSocket::bind("0.0.0.0:0".parse().unwrap()).unwrap();
    let sender = UdpSocket::bind(any_port()).unwrap();
    let group = Ipv4Addr::new(224, 0, 0, 123);
    let target = (group, receiver.local_addr().unwrap().port()).into();
    let here = Ipv4Addr::LOCALHOST;
    waiting.edge(&mut receiver, 1, READABLE);
    for _ in 0..2 {
        receiver.join_multicast_v4(&group, &here).unwrap();
        assert_eq!(receiver.join_multicast_v4(&group, &here).unwrap_err().kind(), ErrorKind::AddrInUse);
        sender.send_to(b"namespaces", target).unwrap();
        waiting.wait_one(1);
        assert_eq!(receiver.recv_from(&mut [0; 64]).unwrap(), (10, sender.local_addr().unwrap()));
        receiver.leave_multicast_v4(&group, &here).unwrap();
    }
    let again = receiver.leave_multicast_v4(&group, &here).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AddrNotAvailable);
}

pub fn a_group_over_ipv6_is_heard_while_it_is_joined(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let mut receiver = UdpSocket::bind("[::]:0".parse().unwrap()).unwrap();
    let sender = UdpSocket::bind("[::]:0".parse().unwrap()).unwrap();
    let group: Ipv6Addr = "ff01::123".parse().unwrap(); // of this interface only
    let interface = crate::support::loopback_index();
    let port = receiver.local_addr().unwrap().port();
    waiting.edge(&mut receiver, 1, READABLE);
    receiver.join_multicast_v6(&group, interface).unwrap();
    let again = receiver.join_multicast_v6(&group, interface).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AddrInUse);
    match sender.send_to(b"honking", SocketAddrV6::new(group, port, 0, interface).into()) {
        Err(error) if error.kind() == ErrorKind::NetworkUnreachable => {
            println!(
                "skipped: hearing it, because this machine's loopback interface has no route to IPv6 groups"
            );
        }
        sent => {
            assert_eq!(sent.unwrap(), 7);
            waiting.wait_one(1);
            assert_eq!(receiver.recv(&mut [0; 64]).unwrap(), 7);
        }
    }
    receiver.leave_multicast_v6(&group, interface).unwrap();
    let again = receiver.leave_multicast_v6(&group, interface).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AddrNotAvailable);
}

pub fn what_cannot_be_sent_says_why(backend: Backend) {
    let _ = backend;
    let socket = UdpSocket::bind(any_port()).unwrap();
    let nowhere = socket.send(b"to whom?").unwrap_err();
    assert_eq!(nowhere.raw_os_error(), Some(libc::EDESTADDRREQ));
    let too_long = socket.send_to(&[0; 70_000], socket.local_addr().unwrap()).unwrap_err();
    assert_eq!(too_long.raw_os_error(), Some(libc::EMSGSIZE));
    let not_ours = UdpSocket::bind("192.0.2.1:0".parse().unwrap()).unwrap_err();
    assert_eq!(not_ours.kind(), ErrorKind::AddrNotAvailable);
    assert!(not_ours.to_string().contains("bind to 192.0.2.1:0"), "{not_ours}");
}

pub fn datagram_sockets_convert_from_and_to_descriptors(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (ours, theirs) = udp_pair();
    let number = ours.as_raw_fd();
    let ours = UdpSocket::from_std(std::net::UdpSocket::from(ours));
    let ours = UdpSocket::from(OwnedFd::from(ours));
    // SAFETY: the number was given up by its owner on the same line.
    let mut ours = unsafe { UdpSocket::from_raw_fd(ours.into_raw_fd()) };
    assert_eq!((ours.as_raw_fd(), ours.as_fd().as_raw_fd()), (number, number));
    waiting.edge(&mut ours, 1, READABLE);
    theirs.send(b"flat").unwrap();
    waiting.wait_one(1);
    waiting.registry().reregister(&mut ours, Token(2), READABLE).unwrap();
    waiting.wait_one(2);
    waiting.deregister(&mut ours);
    let text = format!("{ours:?}");
    for part in ["UdpSocket", "addr: 127.0.0.1:", "peer: 127.0.0.1:", &format!("fd: {number}")] {
        assert!(text.contains(part), "{text}");
    }
}
