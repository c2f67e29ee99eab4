//! A child process behind three pipes. More goes through than they hold, so everybody has to wait for everybody.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use mio::unix::pipe::{self, Receiver, Sender};
use mio::{Events, Interest, Poll, Token};

use crate::waiting::{poll_until, unless_blocked};

const LENGTH: usize = 300_000;

pub fn run() -> io::Result<Vec<String>> {
    let mut child = Command::new("sh")
        .args(["-c", "cat; echo that was all >&2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().map(Sender::from);
    let mut output = Receiver::from(child.stdout.take().expect("it was asked for"));
    let mut complaints = Receiver::from(child.stderr.take().expect("it was asked for"));
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    if let Some(input) = &mut input {
        input.set_nonblocking(true)?;
        poll.registry().register(input, Token(0), Interest::WRITABLE)?;
    }
    for (token, receiver) in [(Token(1), &mut output), (Token(2), &mut complaints)] {
        receiver.set_nonblocking(true)?;
        poll.registry().register(receiver, token, Interest::READABLE)?;
    }

    let text: Vec<u8> = (0..LENGTH).map(|index| (index % 251) as u8).collect();
    let (mut sent, mut echo, mut complaint, mut ended) = (0, Vec::new(), String::new(), [false, false]);
    poll_until(&mut poll, &mut events, |poll, event| {
        match (event.token(), &mut input) {
            (Token(0), Some(sender)) => {
                while let Some(length) = unless_blocked(sender.write(&text[sent..]))? {
                    sent += length;
                    if sent == LENGTH {
                        poll.registry().deregister(sender)?;
                        input = None; // the child reads the end
                        break;
                    }
                }
            }
            (Token(1), _) => ended[0] = unless_blocked(output.read_to_end(&mut echo))?.is_some(),
            (Token(2), _) => ended[1] = unless_blocked(complaints.read_to_string(&mut complaint))?.is_some(),
            _ => {}
        }
        Ok(ended == [true, true])
    })?;
    let mut seen = vec![format!("{} bytes came back as they went: {}", echo.len(), echo == text)];
    seen.push(format!("{complaint:?} {}", child.wait()?));
    seen.push(within_the_process()?);
    Ok(seen)
}

fn within_the_process() -> io::Result<String> {
    let (mut sender, mut receiver) = pipe::new()?;
    let empty = receiver.read(&mut [0; 8]).map_err(|error| error.kind());
    sender.write_all(b"honking")?;
    let length = receiver.read(&mut [0; 64])?;
    drop(sender);
    let end = receiver.read(&mut [0; 64])?;
    Ok(format!("{empty:?}, then {length}, then {end}"))
}
