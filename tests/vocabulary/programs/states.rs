//! Sources in the states they can be in, each seen by one poll that was asked for everything: the event as text, every word of
//! which is one of mio's predicates.

use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use mio::event::Source;
use mio::net::{UdpSocket, UnixDatagram, UnixStream};
use mio::unix::{SourceFd, pipe};
use mio::{Events, Interest, Poll, Token};

pub fn run() -> io::Result<Vec<String>> {
    let mut seen = Vec::new();
    let mut tell = |state: &str, source: &mut dyn Source| -> io::Result<()> {
        let mut poll = Poll::new()?;
        let mut events = Events::with_capacity(8);
        let everything = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        poll.registry().register(source, Token(3), everything)?;
        poll.poll(&mut events, Some(Duration::ZERO))?;
        poll.registry().deregister(source)?;
        seen.push(format!("{state}: {events:?}"));
        Ok(())
    };

    let (mut near, mut far) = UnixStream::pair()?;
    tell("stream, nothing happened", &mut near)?;
    far.write_all(b"now")?;
    tell("stream, bytes arrived", &mut near)?;
    far.shutdown(Shutdown::Write)?;
    tell("stream, the peer finished sending", &mut near)?;
    near.shutdown(Shutdown::Write)?;
    tell("stream, both finished sending", &mut near)?;
    let (mut near, far) = UnixStream::pair()?;
    drop(far);
    tell("stream, the peer is gone", &mut near)?;

    let (mut near, far) = UnixDatagram::pair()?;
    tell("datagrams, nothing happened", &mut near)?;
    far.send(b"")?;
    tell("datagrams, an empty one arrived", &mut near)?;
    tell("UDP, nothing happened", &mut UdpSocket::bind("127.0.0.1:0".parse().expect("an address"))?)?;

    let (mut sender, mut receiver) = pipe::new()?;
    tell("pipe, empty, to read", &mut receiver)?;
    tell("pipe, empty, to write", &mut sender)?;
    sender.write_all(b"now")?;
    tell("pipe, to read", &mut receiver)?;
    drop(sender);
    tell("pipe, to read, the writer is gone", &mut receiver)?;
    let (mut sender, receiver) = pipe::new()?;
    drop(receiver);
    tell("pipe, to write, the reader is gone", &mut sender)?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let number: RawFd = listener.as_raw_fd();
    tell("listener, nobody came", &mut SourceFd(&number))?;
    let client = TcpStream::connect(listener.local_addr()?)?;
    let mut boxed: Box<dyn Source> = Box::new(mio::net::TcpListener::from_std(listener));
    tell("listener, somebody came", &mut boxed)?;
    tell("connected", &mut mio::net::TcpStream::from_std(client))?;
    Ok(seen)
}
