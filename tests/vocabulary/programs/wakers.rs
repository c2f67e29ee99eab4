//! Threads that wake another through one waker, with messages in a channel beside it.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use mio::{Events, Poll, Token, Waker};

use crate::waiting::poll_until;

const WAKE: Token = Token(usize::MAX);

pub fn run() -> io::Result<Vec<String>> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(8);
    let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
    let (sender, messages) = mpsc::channel();
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let (sender, waker) = (sender.clone(), Arc::clone(&waker));
            thread::spawn(move || -> io::Result<()> {
                for message in 0..100 {
                    sender.send((number, message)).expect("the receiver is alive");
                    waker.wake()?;
                }
                Ok(())
            })
        })
        .collect();
    let mut received = Vec::new();
    poll_until(&mut poll, &mut events, |_, event| {
        assert!(event.token() == WAKE && event.is_readable());
        received.extend(messages.try_iter());
        Ok(received.len() == 400)
    })?;
    for thread in threads {
        thread.join().expect("it does not panic")?;
    }
    received.sort_unstable();
    let first_and_last = (received.first(), received.last());
    let mut seen = vec![format!("{} messages, {first_and_last:?}", received.len())];

    poll.poll(&mut events, Some(std::time::Duration::ZERO))?; // the rest of the wakes
    waker.wake()?;
    waker.wake()?;
    poll.poll(&mut events, None)?;
    seen.push(format!("two wakes before a poll: {events:?}"));
    poll.poll(&mut events, Some(std::time::Duration::ZERO))?;
    seen.push(format!("afterwards: {events:?}"));
    Ok(seen)
}
