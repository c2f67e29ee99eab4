//! A UDP echo, with what there is to say to a socket that sends to many or to one.

use std::io;
use std::net::SocketAddr;
use std::thread;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::waiting::{poll_until, unless_blocked};

const SAYINGS: [&str; 4] = ["flat", "", "is better than", "nested"];

pub fn run() -> io::Result<Vec<String>> {
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    let mut socket = UdpSocket::bind(any)?;
    poll.registry().register(&mut socket, Token(7), Interest::READABLE)?;
    let server = socket.local_addr()?;
    let client = thread::spawn(move || client(server));

    let (mut seen, mut buffer) = (Vec::new(), [0; 64]);
    poll_until(&mut poll, &mut events, |_, event| {
        assert_eq!(event.token(), Token(7));
        while let Some((peeked, whose)) = unless_blocked(socket.peek_from(&mut buffer))? {
            let (length, sender) = socket.recv_from(&mut buffer)?;
            assert_eq!((peeked, whose), (length, sender));
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            assert_eq!(socket.send_to(text.as_bytes(), sender)?, length);
            seen.push(format!("echoed {text:?}"));
        }
        Ok(seen.len() == SAYINGS.len())
    })?;
    seen.extend(client.join().expect("the client does not panic")?);

    poll.registry().reregister(&mut socket, Token(8), Interest::WRITABLE)?;
    poll_until(&mut poll, &mut events, |_, event| Ok(event.token() == Token(8) && event.is_writable()))?;
    poll.registry().deregister(&mut socket)?;
    Ok(seen)
}

/// One question at a time, from a connected socket.
fn client(server: SocketAddr) -> io::Result<Vec<String>> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    let mut socket = UdpSocket::bind("127.0.0.1:0".parse().expect("an address"))?;
    let unconnected = socket.peer_addr().map_err(|error| error.kind());
    let mut seen = vec![format!("before it is connected: {unconnected:?}")];
    socket.connect(server)?;
    seen.push(format!("connected to the server: {}", socket.peer_addr()? == server));
    poll.registry().register(&mut socket, Token(1), Interest::READABLE)?;
    for saying in SAYINGS {
        assert_eq!(socket.send(saying.as_bytes())?, saying.len());
        let mut buffer = [0; 64];
        let mut answer = None;
        poll_until(&mut poll, &mut events, |_, _| {
            if unless_blocked(socket.peek(&mut buffer))?.is_some() {
                answer = Some(socket.recv(&mut buffer)?);
            }
            Ok(answer.is_some())
        })?;
        let length = answer.expect("it was waited for");
        seen.push(format!("heard {:?}", String::from_utf8_lossy(&buffer[..length])));
    }
    for on in [true, false] {
        socket.set_broadcast(on)?;
        socket.set_multicast_loop_v4(on)?;
        seen.push(format!("{on}: {} {}", socket.broadcast()?, socket.multicast_loop_v4()?));
    }
    socket.set_ttl(7)?;
    socket.set_multicast_ttl_v4(9)?;
    seen.push(format!("{} {} {:?}", socket.ttl()?, socket.multicast_ttl_v4()?, socket.take_error()?));
    Ok(seen)
}
