//! How things show themselves in logs.

use std::io;

use mio::net::{TcpListener, TcpStream, UdpSocket};
use mio::unix::SourceFd;
use mio::{Events, Interest, Token};

pub fn run() -> io::Result<Vec<String>> {
    let (one, two, three) = (Interest::READABLE, Interest::WRITABLE, Interest::PRIORITY);
    let mut all = one;
    all |= two;
    all |= three;
    let mut seen = vec![
        format!("{one:?}, {two:?}, {three:?}, {:?}, {all:?}, {:?}", two | one, three.add(one)),
        format!("{:?} {:?}", all.remove(one), one.remove(one)),
        format!("{:?}", [one < two, two < three, one == all, all.is_readable(), all.is_aio(), all.is_lio()]),
        format!("{:?} {:#?} {}", Token(7), Token(usize::MAX), usize::from(Token(3))),
        format!("{:?}", SourceFd(&7)),
    ];
    let events = Events::with_capacity(16);
    seen.push(format!(
        "{events:?} {} {} {:?}",
        events.capacity(),
        events.is_empty(),
        events.iter().size_hint()
    ));

    let listener = TcpListener::bind("127.0.0.1:0".parse().expect("an address"))?;
    let stream = TcpStream::connect(listener.local_addr()?)?;
    let socket = UdpSocket::bind("127.0.0.1:0".parse().expect("an address"))?;
    for text in [format!("{listener:?}"), format!("{stream:?}"), format!("{socket:?}")] {
        seen.push(without_numbers(&text));
    }
    Ok(seen)
}

/// Ports and descriptors differ from run to run.
fn without_numbers(text: &str) -> String {
    let mut without = String::new();
    for letter in text.chars() {
        match letter {
            '0'..='9' if without.ends_with('#') => {}
            '0'..='9' => without.push('#'),
            other => without.push(other),
        }
    }
    without
}
