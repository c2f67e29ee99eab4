//! What is refused, and as what: programs match on the kind of an error.

use std::io;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::waiting::poll_until;

pub fn run() -> io::Result<Vec<String>> {
    let any = "127.0.0.1:0".parse().expect("an address");
    let mut seen = Vec::new();
    let mut tell = |what: &str, result: io::Result<()>| {
        seen.push(format!("{what}: {:?}", result.map_err(|error| error.kind())));
    };

    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    let registry = poll.registry().try_clone()?;
    let mut listener = TcpListener::bind(any)?;
    tell("change what is not registered", registry.reregister(&mut listener, Token(0), Interest::READABLE));
    tell("deregister what is not registered", registry.deregister(&mut listener));
    tell("register", registry.register(&mut listener, Token(0), Interest::READABLE));
    tell("register twice", registry.register(&mut listener, Token(0), Interest::READABLE));
    tell("deregister", registry.deregister(&mut listener));
    tell("deregister twice", registry.deregister(&mut listener));
    tell("register once more", registry.register(&mut listener, Token(0), Interest::READABLE));
    tell("a closed descriptor", registry.register(&mut SourceFd(&1_000_000), Token(1), Interest::READABLE));

    tell("accept from nobody", listener.accept().map(drop));
    tell("listen where somebody does", TcpListener::bind(listener.local_addr()?).map(drop));
    tell(
        "listen at a strange address",
        TcpListener::bind("192.0.2.1:0".parse().expect("an address")).map(drop),
    );
    tell("receive at a strange address", UdpSocket::bind("192.0.2.1:0".parse().expect("one")).map(drop));
    let socket = UdpSocket::bind(any)?;
    tell("receive nothing", socket.recv_from(&mut [0; 8]).map(drop));
    tell(
        "leave a group it is not in",
        socket.leave_multicast_v4(&[224, 0, 0, 9].into(), &[127, 0, 0, 1].into()),
    );
    let nowhere = std::env::temp_dir().join("nobody listens here");
    tell("connect to no path", UnixStream::connect(&nowhere).map(drop));
    tell("connect datagrams to no path", UnixDatagram::unbound()?.connect(&nowhere));
    tell("listen in no folder", UnixListener::bind(nowhere.join("socket")).map(drop));
    tell("a path that is too long", UnixListener::bind("x".repeat(200)).map(drop));
    tell("a path with NUL", UnixDatagram::bind("x\0y").map(drop));

    let nobody = "127.0.0.1:1".parse().expect("an address"); // tcpmux, which no machine has any more
    let mut stream = TcpStream::connect(nobody)?;
    registry.register(&mut stream, Token(2), Interest::WRITABLE)?;
    poll_until(&mut poll, &mut events, |_, event| Ok(event.token() == Token(2)))?;
    tell("connect where nobody listens", stream.take_error()?.map_or(Ok(()), Err));
    tell("whose is what was not connected", stream.peer_addr().map(drop));
    tell("wait for nothing", poll.poll(&mut events, Some(Duration::ZERO)));
    Ok(seen)
}
