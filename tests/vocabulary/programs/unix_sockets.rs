//! A conversation between sockets of this machine: a listener and its clients, and datagrams with and without a name.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};

use mio::net::{UnixDatagram, UnixListener, UnixStream};
use mio::{Events, Interest, Poll, Token};

use crate::waiting::{poll_until, unless_blocked};

pub fn run() -> io::Result<Vec<String>> {
    let folder = std::env::temp_dir().join(format!("{}-{}", env!("CARGO_PKG_NAME"), std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut seen = Vec::new();
    let result = streams(&folder, &mut seen).and_then(|()| datagrams(&folder, &mut seen));
    std::fs::remove_dir_all(&folder)?;
    result.map(|()| seen)
}

fn streams(folder: &Path, seen: &mut Vec<String>) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    let path = folder.join("stream");
    let mut listener = UnixListener::bind(&path)?;
    poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
    let by_path = UnixStream::connect(&path)?;
    let by_address = UnixStream::connect_addr(&SocketAddr::from_pathname(&path)?)?;
    let mut accepted = Vec::new();
    poll_until(&mut poll, &mut events, |_, _| {
        while let Some((stream, peer)) = unless_blocked(listener.accept())? {
            accepted.push((stream, peer));
        }
        Ok(accepted.len() == 2)
    })?;
    for ((mut ours, peer), mut theirs) in accepted.into_iter().zip([by_path, by_address]) {
        seen.push(format!("{} {}", name(&peer, folder), name(&theirs.peer_addr()?, folder)));
        poll.registry().register(&mut ours, Token(1), Interest::READABLE)?;
        (&theirs).write_all(b"now")?;
        theirs.shutdown(Shutdown::Write)?;
        let mut heard = String::new();
        poll_until(&mut poll, &mut events, |_, event| {
            Ok(event.token() == Token(1) && unless_blocked(ours.read_to_string(&mut heard))?.is_some())
        })?;
        ours.write_all(b"is better than never")?;
        let mut answer = [0; 64];
        let length = theirs.read(&mut answer)?;
        seen.push(format!("{heard:?}, {:?}", String::from_utf8_lossy(&answer[..length])));
        poll.registry().deregister(&mut ours)?;
    }
    Ok(())
}

fn datagrams(folder: &Path, seen: &mut Vec<String>) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    let paths: [PathBuf; 2] = ["ours", "theirs"].map(|name| folder.join(name));
    let mut ours = UnixDatagram::bind(&paths[0])?;
    let theirs = UnixDatagram::bind_addr(&SocketAddr::from_pathname(&paths[1])?)?;
    poll.registry().register(&mut ours, Token(0), Interest::READABLE)?;
    theirs.send_to(b"from one with a name", &paths[0])?;
    UnixDatagram::unbound()?.send_to(b"from one without", &paths[0])?;
    theirs.connect(&paths[0])?;
    theirs.send(b"from one who is connected")?;
    let mut buffer = [0; 64];
    let mut count = 0;
    poll_until(&mut poll, &mut events, |_, _| {
        while let Some((length, sender)) = unless_blocked(ours.recv_from(&mut buffer))? {
            count += 1;
            let text = String::from_utf8_lossy(&buffer[..length]);
            seen.push(format!("{text:?} by {}", name(&sender, folder)));
        }
        Ok(count == 3)
    })?;
    let (one, other) = UnixDatagram::pair()?;
    one.send(b"in the face of ambiguity")?;
    seen.push(format!("{} {:?}", other.recv(&mut buffer[..11])?, one.take_error()?));
    Ok(())
}

/// A path without the folder, which is this process's own.
fn name(address: &SocketAddr, folder: &Path) -> String {
    match address.as_pathname() {
        Some(path) => format!("{}", path.strip_prefix(folder).unwrap_or(path).display()),
        None => format!("{address:?}"),
    }
}
