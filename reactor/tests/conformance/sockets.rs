//! The socket types, and what a connection's life looks like from one end.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};

use reactor::net::{TcpListener, TcpStream};
use reactor::{Backend, Token};

use crate::support::{
    PRIORITY, READABLE, WRITABLE, Waiting, drain, pair, receive_urgent, reset_on_close, send_urgent, tcp_pair,
};

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

pub fn a_listener_accepts_until_it_would_block(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let mut listener = TcpListener::bind(any_port()).unwrap();
    waiting.edge(&mut listener, 1, READABLE);
    waiting.assert_silent();
    for _ in 0..3 {
        let clients: Vec<_> =
            (0..3).map(|_| std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap()).collect();
        let mut accepted = 0;
        while accepted < clients.len() {
            waiting.wait_one(1);
            loop {
                match listener.accept() {
                    Ok((stream, peer)) => {
                        assert_eq!(stream.peer_addr().unwrap(), peer);
                        assert_eq!(stream.local_addr().unwrap(), listener.local_addr().unwrap());
                        assert!(
                            (&stream).read(&mut [0; 1]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock)
                        );
                        accepted += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock);
                        break;
                    }
                }
            }
        }
    }
}

pub fn a_connection_is_told_as_writable(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let listener = TcpListener::bind(any_port()).unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    waiting.edge(&mut stream, 1, READABLE | WRITABLE);
    let event = waiting.wait_until(|event| event.is_writable());
    assert!(!event.is_write_closed() && !event.is_error());
    assert!(stream.take_error().unwrap().is_none());
    assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
}

pub fn a_refused_connection_wakes_the_writer(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let nobody = std::net::TcpListener::bind(any_port()).unwrap().local_addr().unwrap();
    let mut stream = match TcpStream::connect(nobody) {
        Ok(stream) => stream,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
    };
    waiting.edge(&mut stream, 1, WRITABLE);
    let event = waiting.wait_one(1);
    assert!(event.is_writable() && event.is_write_closed() && event.is_error());
    assert_eq!(stream.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    assert_eq!(stream.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionRefused);
    assert!(stream.take_error().unwrap().is_none());
}

pub fn a_half_close_is_not_a_hang_up(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = tcp_pair();
    waiting.edge(&mut ours, 1, READABLE | WRITABLE);
    theirs.write_all(b"question").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    let mut received = 0;
    loop {
        let event = waiting.wait_until(|event| event.is_readable());
        assert!(!event.is_write_closed() && !event.is_error());
        received += drain(&mut ours);
        if event.is_read_closed() {
            break;
        }
    }
    assert_eq!(received, 8);
    ours.write_all(b"answer").unwrap();
    ours.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    theirs.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
}

pub fn a_close_in_both_directions_is_a_hang_up(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, theirs) = tcp_pair();
    waiting.level(&mut ours, 1, READABLE);
    ours.shutdown(Shutdown::Write).unwrap();
    waiting.assert_silent();
    drop(theirs);
    assert!(waiting.wait_until(|event| event.is_read_closed()).is_readable());
    waiting.registry().reregister(&mut ours, Token(2), READABLE | WRITABLE).unwrap();
    let event = waiting.wait_until(|event| event.is_read_closed() && event.is_write_closed());
    assert!(event.is_readable() && event.is_writable());
}

pub fn a_reset_is_told_and_read_as_such(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, theirs) = tcp_pair();
    waiting.edge(&mut ours, 1, READABLE | WRITABLE);
    waiting.wait_one(1); // there is room
    reset_on_close(&theirs);
    drop(theirs);
    let event = waiting.wait_one(1);
    assert!(event.is_read_closed() && event.is_write_closed() && event.is_error());
    assert!(event.is_readable() && event.is_writable());
    assert_eq!(ours.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(ours.write(b"to nobody").unwrap_err().kind(), ErrorKind::BrokenPipe);
    waiting.deregister(&mut ours);
}

pub fn a_hung_up_edge_is_told_once_and_does_not_spin(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE);
    drop(theirs);
    let event = waiting.wait_one(1);
    // kqueue tells of the directions that were asked about.
    assert!(event.is_read_closed() && (event.is_write_closed() || backend == Backend::Kqueue));
    for _ in 0..3 {
        waiting.assert_silent();
    }
    waiting.registry().reregister(&mut ours, Token(2), READABLE | WRITABLE).unwrap();
    let event = waiting.wait_one(2);
    assert!(event.is_read_closed() && event.is_write_closed());
    waiting.deregister(&mut ours);
}

pub fn urgent_data_is_its_own_interest(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, theirs) = tcp_pair();
    waiting.level(&mut ours, 1, PRIORITY);
    (&theirs).write_all(b"plain").unwrap();
    waiting.assert_silent();
    send_urgent(&theirs, b'!');
    let event = waiting.wait_until(|event| event.is_priority());
    assert!(event.is_readable() && !event.is_writable());
    assert_eq!(receive_urgent(&ours).unwrap(), b'!');
    waiting.assert_silent();
    assert_eq!(drain(&mut ours), 5);
}

pub fn urgent_data_is_told_as_an_edge(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, theirs) = tcp_pair();
    waiting.edge(&mut ours, 1, READABLE | PRIORITY);
    for byte in b"!?" {
        send_urgent(&theirs, *byte);
        waiting.wait_until(|event| event.is_priority());
        waiting.assert_silent();
        assert_eq!(ours.try_io(|| receive_urgent(&ours)).unwrap(), *byte);
        waiting.assert_silent();
    }
    for _ in 0..2 {
        send_urgent(&theirs, b'!');
        waiting.wait_until(|event| event.is_priority());
        assert_eq!(drain(&mut ours), 0); // passes over it
        waiting.assert_silent();
    }
}

pub fn peeking_takes_nothing(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = tcp_pair();
    waiting.edge(&mut ours, 1, READABLE);
    assert_eq!(ours.peek(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    theirs.write_all(b"simple").unwrap();
    waiting.wait_one(1);
    assert_eq!(ours.peek(&mut [0; 8]).unwrap(), 6);
    assert_eq!(ours.read(&mut [0; 8]).unwrap(), 6);
}

pub fn a_peeked_source_is_told_again(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE);
    theirs.write_all(b"simple").unwrap();
    waiting.wait_one(1);
    assert_eq!(ours.peek(&mut [0; 8]).unwrap(), 6);
    theirs.write_all(b"complex").unwrap();
    waiting.wait_one(1);
}

pub fn vectored_calls_move_bytes(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE);
    assert_eq!(ours.write_vectored(&[IoSlice::new(b"sim"), IoSlice::new(b"ple")]).unwrap(), 6);
    let mut received = [0; 6];
    theirs.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"simple");
    theirs.write_all(b"complex").unwrap();
    waiting.wait_one(1);
    let (mut head, mut tail) = ([0; 3], [0; 8]);
    let length = ours.read_vectored(&mut [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)]).unwrap();
    assert_eq!((length, &head, &tail[..4]), (7, b"com", &b"plex"[..]));
    ours.flush().unwrap();
    waiting.assert_silent();
}

pub fn own_input_and_output_goes_through_try_io(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = pair();
    waiting.edge(&mut ours, 1, READABLE);
    for _ in 0..3 {
        theirs.write_all(b"simple").unwrap();
        waiting.wait_one(1);
        let mut other = std::os::unix::net::UnixStream::from(ours.as_fd().try_clone_to_owned().unwrap());
        ours.try_io(|| other.read_exact(&mut [0; 6])).unwrap();
        waiting.assert_silent();
    }
}

pub fn options_are_those_of_the_socket(backend: Backend) {
    let _ = backend; // they are the same with each
    let (ours, _theirs) = tcp_pair();
    ours.set_nodelay(true).unwrap();
    assert!(ours.nodelay().unwrap());
    ours.set_ttl(61).unwrap();
    assert_eq!(ours.ttl().unwrap(), 61);
    let listener = TcpListener::bind(any_port()).unwrap();
    listener.set_ttl(62).unwrap();
    assert_eq!(listener.ttl().unwrap(), 62);
    assert!(listener.take_error().unwrap().is_none());
    assert!(format!("{listener:?}").starts_with("TcpListener"));
    assert!(format!("{ours:?}").starts_with("TcpStream"));
    let six = TcpListener::bind("[::1]:0".parse().unwrap());
    assert!(six.is_ok_and(|six| six.local_addr().unwrap().is_ipv6()));
}

pub fn sockets_convert_from_and_to_descriptors(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (ours, mut theirs) = tcp_pair();
    let fd = ours.as_raw_fd();
    let ours = std::net::TcpStream::from(ours);
    let owned = OwnedFd::from(TcpStream::from_std(ours));
    let mut ours = TcpStream::from(owned);
    assert_eq!((ours.as_raw_fd(), ours.as_fd().as_raw_fd()), (fd, fd));
    waiting.edge(&mut ours, 1, READABLE);
    theirs.write_all(b"simple").unwrap();
    waiting.wait_one(1);
    waiting.deregister(&mut ours);
    assert_eq!(ours.into_raw_fd(), fd);
    let listener = std::net::TcpListener::from(TcpListener::bind(any_port()).unwrap());
    assert!(TcpListener::from_std(listener).accept().is_err_and(|e| e.kind() == ErrorKind::WouldBlock));
}

pub fn a_ping_pong_of_ten_thousand_rounds(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut one, theirs) = pair();
    let mut two = TcpStream::from(OwnedFd::from(theirs));
    waiting.edge(&mut one, 1, READABLE);
    waiting.edge(&mut two, 2, READABLE);
    one.write_all(b"x").unwrap();
    for round in 0..10_000 {
        let (mut reader, token) = if round % 2 == 0 { (&two, 2) } else { (&one, 1) };
        waiting.wait_one(token);
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 1);
        reader.write_all(b"x").unwrap();
    }
}
