//! The README's event loop of twenty lines on layer 1: an echo server that asks the kernel who is ready.
//!
//! ```console
//! $ cargo run --example custom_loop
//! $ REACTOR_BACKEND=poll cargo run --example custom_loop
//! ```

use reactor::net::{TcpListener, TcpStream};
use reactor::{Events, Interest, Poll, Token, Trigger};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Result, Write};

fn main() -> Result<()> {
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 1061).into())?;
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(64));
    poll.registry().register_with(&mut listener, Token(0), Interest::READABLE, Trigger::Level)?;
    let (mut clients, mut last, mut buffer) = (HashMap::<Token, TcpStream>::new(), 0, [0; 4096]);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue, // stopped with Ctrl-Z, and resumed
            result => result?,
        }
        for token in events.iter().map(|event| event.token()) {
            if let Some(client) = clients.get_mut(&token) {
                let heard = client.read(&mut buffer).unwrap_or(0);
                // Nothing heard: the client has left. Not all of it sent back: it does not read, so it has to leave.
                if heard == 0 || !client.write(&buffer[..heard]).is_ok_and(|sent| sent == heard) {
                    poll.registry().deregister(client)?;
                    clients.remove(&token);
                }
            } else if let Ok((mut client, _)) = listener.accept() {
                last += 1;
                poll.registry().register_with(
                    &mut client,
                    Token(last),
                    Interest::READABLE,
                    Trigger::Level,
                )?;
                clients.insert(Token(last), client);
            }
        }
    }
}
