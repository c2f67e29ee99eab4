//! Sockets of this machine: streams and datagrams, at a path, at a name in the abstract namespace, and without any.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
#[cfg(has_abstract_addresses)]
use std::os::unix::net::SocketAddr;

use reactor::net::{UnixDatagram, UnixListener, UnixStream};
use reactor::{Backend, Token};

use crate::support::{Folder, InPieces, READABLE, WRITABLE, Waiting, drain, fill};

pub fn a_listener_at_a_path_accepts_until_it_would_block(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let folder = Folder::new();
    let path = folder.path("socket");
    let mut listener = UnixListener::bind(&path).unwrap();
    assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(path.as_path()));
    assert!(listener.take_error().unwrap().is_none());
    waiting.edge(&mut listener, 1, READABLE);
    waiting.assert_silent();
    for _ in 0..3 {
        let one = UnixStream::connect(&path).unwrap();
        let _two = UnixStream::connect(&path).unwrap();
        assert!(waiting.wait_one(1).is_readable());
        let (mut stream, peer) = listener.accept().unwrap();
        assert!(peer.is_unnamed() && one.local_addr().unwrap().is_unnamed());
        assert_eq!(one.peer_addr().unwrap().as_pathname(), Some(path.as_path()));
        assert_eq!(stream.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        listener.accept().unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        waiting.assert_silent();
    }
}

/// One call each time: none until `WouldBlock`.
pub fn an_edge_is_told_again_after_an_accept(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let folder = Folder::new();
    let mut listener = UnixListener::bind(folder.path("socket")).unwrap();
    waiting.edge(&mut listener, 1, READABLE);
    for _ in 0..3 {
        let _client = UnixStream::connect(folder.path("socket")).unwrap();
        waiting.wait_one(1);
        listener.accept().unwrap();
        waiting.assert_silent();
    }
}

#[cfg(has_abstract_addresses)]
pub fn an_abstract_name_is_an_address(backend: Backend) {
    use std::os::linux::net::SocketAddrExt;

    let mut waiting = Waiting::with(backend);
    let name = |what: &str| {
        let name = format!("reactor {what} {} {backend}\0with a NUL", std::process::id());
        SocketAddr::from_abstract_name(name).unwrap()
    };
    let at = name("listener");
    let mut listener = UnixListener::bind_addr(&at).unwrap();
    assert_eq!(listener.local_addr().unwrap().as_abstract_name(), at.as_abstract_name());
    assert_eq!(UnixListener::bind_addr(&at).unwrap_err().kind(), ErrorKind::AddrInUse);
    waiting.edge(&mut listener, 1, READABLE);
    let client = UnixStream::connect_addr(&at).unwrap();
    waiting.wait_one(1);
    assert!(listener.accept().unwrap().1.is_unnamed());
    assert_eq!(client.peer_addr().unwrap().as_abstract_name(), at.as_abstract_name());

    let (ours, theirs) = (name("datagrams"), name("their datagrams"));
    let mut socket = UnixDatagram::bind_addr(&ours).unwrap();
    let friend = std::os::unix::net::UnixDatagram::bind_addr(&theirs).unwrap();
    friend.connect_addr(&ours).unwrap();
    waiting.edge(&mut socket, 2, READABLE);
    friend.send(b"special").unwrap();
    waiting.wait_one(2);
    let (length, sender) = socket.recv_from(&mut [0; 64]).unwrap();
    assert_eq!((length, sender.as_abstract_name()), (7, theirs.as_abstract_name()));
}

pub fn a_pair_talks_both_ways(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut one, mut other) = UnixStream::pair().unwrap();
    waiting.edge(&mut one, 1, READABLE);
    waiting.edge(&mut other, 2, READABLE);
    for _ in 0..3 {
        assert_eq!(one.write_vectored(&[IoSlice::new(b"sim"), IoSlice::new(b"ple")]).unwrap(), 6);
        assert!(waiting.wait_one(2).is_readable());
        let (mut head, mut tail) = ([0; 3], [0; 8]);
        let mut pieces = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
        assert_eq!(other.read_vectored(&mut pieces).unwrap(), 6);
        assert_eq!((&head, &tail[..3]), (b"sim", &b"ple"[..]));
        (&other).write_all(b"complex").unwrap();
        (&other).flush().unwrap();
        assert!(waiting.wait_one(1).is_readable());
        assert_eq!((&one).read(&mut [0; 8]).unwrap(), 7);
        waiting.assert_silent();
    }
}

pub fn a_unix_stream_waits_for_room(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    waiting.edge(&mut ours, 1, WRITABLE);
    for round in 0..4 {
        assert!(waiting.wait_one(1).is_writable());
        if round % 2 == 0 {
            fill(&mut ours)
        } else {
            fill(&mut InPieces(&ours))
        }
        waiting.assert_silent();
        drain(&mut theirs);
    }
    waiting.wait_one(1);
}

pub fn a_unix_stream_closes_in_two_halves(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    waiting.edge(&mut ours, 1, READABLE);
    theirs.shutdown(Shutdown::Write).unwrap();
    let event = waiting.wait_one(1);
    assert!(event.is_read_closed() && !event.is_write_closed(), "{event:?}");
    assert_eq!(ours.read(&mut [0; 8]).unwrap(), 0);
    ours.write_all(b"late").unwrap();
    assert_eq!(drain(&mut theirs), 4);
    drop(theirs);
    let both = READABLE | WRITABLE; // select does not notice what nobody waits for, nor kqueue a direction
    waiting.registry().reregister(&mut ours, Token(2), both).unwrap();
    let event = waiting.wait_until(|event| event.token() == Token(2));
    assert!(event.is_read_closed() && event.is_write_closed(), "{event:?}");
    assert_eq!(ours.write(b"to nobody").unwrap_err().kind(), ErrorKind::BrokenPipe);
    waiting.deregister(&mut ours);
}

pub fn own_calls_on_unix_sockets_go_through_try_io(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut stream, mut writer) = UnixStream::pair().unwrap();
    let (mut datagrams, sender) = UnixDatagram::pair().unwrap();
    waiting.edge(&mut stream, 1, READABLE);
    waiting.edge(&mut datagrams, 2, READABLE);
    for _ in 0..3 {
        writer.write_all(b"simple").unwrap();
        waiting.wait_one(1);
        let mut other = std::os::unix::net::UnixStream::from(stream.as_fd().try_clone_to_owned().unwrap());
        assert_eq!(stream.try_io(|| other.read(&mut [0; 8])).unwrap(), 6);
        sender.send(b"complex").unwrap();
        waiting.wait_one(2);
        let other = std::os::unix::net::UnixDatagram::from(datagrams.as_fd().try_clone_to_owned().unwrap());
        assert_eq!(datagrams.try_io(|| other.recv(&mut [0; 8])).unwrap(), 7);
        waiting.assert_silent();
    }
}

pub fn a_unix_datagram_names_its_sender(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let folder = Folder::new();
    let mut socket = UnixDatagram::bind(folder.path("ours")).unwrap();
    assert_eq!(socket.local_addr().unwrap().as_pathname(), Some(folder.path("ours").as_path()));
    assert_eq!(socket.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    waiting.edge(&mut socket, 1, READABLE);
    let friend = UnixDatagram::bind(folder.path("theirs")).unwrap();
    friend.connect(folder.path("ours")).unwrap();
    for _ in 0..3 {
        assert_eq!(friend.send(b"readability").unwrap(), 11);
        waiting.wait_one(1);
        let (length, sender) = socket.recv_from(&mut [0; 64]).unwrap();
        assert_eq!((length, sender.as_pathname()), (11, Some(folder.path("theirs").as_path())));
        assert_eq!(UnixDatagram::unbound().unwrap().send_to(b"counts", folder.path("ours")).unwrap(), 6);
        waiting.wait_one(1);
        let (length, sender) = socket.recv_from(&mut [0; 64]).unwrap();
        assert!(length == 6 && sender.is_unnamed());
        waiting.assert_silent();
    }
}

pub fn a_datagram_to_nobody_is_refused_and_says_so(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let folder = Folder::new();
    let (mut ours, theirs) = UnixDatagram::pair().unwrap();
    waiting.edge(&mut ours, 1, READABLE | WRITABLE);
    assert!(waiting.wait_one(1).is_writable());
    let nowhere = ours.send_to(b"now", folder.path("nobody")).unwrap_err();
    assert!(matches!(nowhere.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput), "{nowhere}");
    let gone = UnixDatagram::bind(folder.path("gone")).unwrap();
    drop(gone);
    let sender = UnixDatagram::unbound().unwrap();
    assert_eq!(sender.send_to(b"now", folder.path("gone")).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(sender.connect(folder.path("gone")).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    theirs.shutdown(Shutdown::Both).unwrap();
    drop(theirs);
    assert!(ours.send(b"to nobody").is_err());
    waiting.deregister(&mut ours);
}

pub fn a_path_that_is_taken_or_too_long_is_named_in_the_error(backend: Backend) {
    let _ = backend;
    let folder = Folder::new();
    let _listener = UnixListener::bind(folder.path("socket")).unwrap();
    let taken = UnixListener::bind(folder.path("socket")).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    assert!(taken.to_string().contains(folder.path("socket").to_str().unwrap()), "{taken}");
    assert_eq!(UnixDatagram::bind(folder.path("socket")).unwrap_err().kind(), ErrorKind::AddrInUse);
    let nobody = UnixStream::connect(folder.path("nobody")).unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::NotFound);
    assert!(nobody.to_string().contains("nobody"), "{nobody}");
    let long = folder.path(&"x".repeat(120));
    for error in [
        UnixListener::bind(&long).unwrap_err(),
        UnixStream::connect(&long).unwrap_err(),
        UnixDatagram::unbound().unwrap().send_to(b"now", &long).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("xxxx"), "{error}");
    }
}

/// unix(7), "BUGS": the kernel takes a path that leaves no room for its NUL. Nobody is refused for it.
pub fn a_client_whose_name_is_too_long_for_std_is_served(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let folder = Folder::in_short_path();
    let mut listener = UnixListener::bind(folder.path("s")).unwrap();
    waiting.edge(&mut listener, 1, READABLE);
    let Some(_client) = crate::support::connect_from_the_longest_path(&folder) else {
        println!("skipped: this folder's name is longer than a Unix socket's path may be");
        return;
    };
    waiting.wait_one(1);
    assert!(listener.accept().unwrap().1.is_unnamed());
}

pub fn unix_sockets_convert_from_and_to_descriptors(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let number = ours.as_raw_fd();
    let ours = UnixStream::from_std(std::os::unix::net::UnixStream::from(ours));
    let ours = UnixStream::from(OwnedFd::from(ours));
    // SAFETY: the number was given up by its owner on the same line.
    let mut ours = unsafe { UnixStream::from_raw_fd(ours.into_raw_fd()) };
    assert_eq!((ours.as_raw_fd(), ours.as_fd().as_raw_fd()), (number, number));
    waiting.edge(&mut ours, 1, READABLE);
    theirs.write_all(b"nested").unwrap();
    waiting.wait_one(1);
    waiting.registry().reregister(&mut ours, Token(2), READABLE).unwrap();
    waiting.wait_one(2);
    assert!(ours.take_error().unwrap().is_none());
    assert_eq!(
        format!("{ours:?}"),
        format!("UnixStream {{ fd: {number}, local: (unnamed), peer: (unnamed) }}")
    );

    let (one, other) = UnixDatagram::pair().unwrap();
    let one = UnixDatagram::from_std(std::os::unix::net::UnixDatagram::from(one));
    one.send(b"sparse").unwrap();
    // SAFETY: the number was given up by its owner on the same line.
    let other = unsafe { UnixDatagram::from_raw_fd(OwnedFd::from(other).into_raw_fd()) };
    assert_eq!(other.recv(&mut [0; 8]).unwrap(), 6);
    assert!(other.take_error().unwrap().is_none());

    let folder = Folder::new();
    let listener = UnixListener::bind(folder.path("socket")).unwrap();
    assert!(format!("{listener:?}").contains("socket"), "{listener:?}");
    let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(listener));
    // SAFETY: the number was given up by its owner on the same line.
    let listener = unsafe { UnixListener::from_raw_fd(OwnedFd::from(listener).into_raw_fd()) };
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}
