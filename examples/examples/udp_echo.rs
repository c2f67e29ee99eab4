//! Sends every datagram back: a `UdpSocket` as a source of the loop.
//!
//! ```console
//! $ cargo run --example udp_echo
//! Listening at 127.0.0.1:1061
//! $ nc -u 127.0.0.1 1061               # in another terminal
//! ```
//!
//! A loop watches descriptors, and it does not care what they are of. Its protocols converse over connections, and datagrams
//! know none; so the socket is handed to it as a `Source`: a descriptor, what to watch it for, and what to do when it is ready.
//! Three rules make a good source:
//!
//! * It never blocks: the socket is nonblocking, as all of `reactor::net` are, and *would block* ends its turn.
//! * It does a bounded amount of work per turn, however much is waiting: the loop comes back to it, after the others.
//! * When it cannot go on because the kernel takes no more, it stops reading and asks to be told when it may write.
//!
//! A warning for real life: a datagram's sender can be forged, so a service that answers everybody can be made to bombard a
//! third party, or another such service, for ever. That is why the echo service of old (port 7) is switched off everywhere.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use clap::Parser;
use reactor::Interest;
use reactor::event::Event;
use reactor::event_loop::{Reactor, Source, SourceContext};
use reactor::net::UdpSocket;
use tracing::debug;
use zen_examples::{Listen, WaitWith, announce, fail, parse, start_log, stop_on_signal};

/// Datagrams in one turn.
const BUDGET: usize = 64;
/// Bytes of the longest datagram.
const LONGEST: usize = 65_535;

/// Sends every UDP datagram back to where it came from
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    listen: Listen,
    #[command(flatten)]
    wait_with: WaitWith,
}

fn main() {
    let options: Options = parse();
    start_log();
    serve(&options).unwrap_or_else(|error| fail(error));
}

fn serve(options: &Options) -> io::Result<()> {
    let socket = bind(&options.listen.addresses(1061))?;
    let address = socket.local_addr()?;
    // No connections in this loop, hence no protocol.
    let mut reactor: Reactor<Infallible> = options.wait_with.builder().build()?;
    reactor.add_source(Echo { socket, datagram: vec![0; LONGEST], waiting: None })?;
    stop_on_signal(&mut reactor, Duration::ZERO);
    announce(address);
    reactor.run()
}

/// At the first of the addresses that works.
fn bind(addresses: &[SocketAddr]) -> io::Result<UdpSocket> {
    let nowhere = Err(ErrorKind::AddrNotAvailable.into());
    addresses.iter().fold(nowhere, |bound, &address| bound.or_else(|_| UdpSocket::bind(address)))
}

struct Echo {
    socket: UdpSocket,
    datagram: Vec<u8>,
    /// The length of a datagram that the kernel did not take back yet, and whose it is.
    waiting: Option<(usize, SocketAddr)>,
}

impl<M> Source<M> for Echo {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn interest(&self) -> Interest {
        if self.waiting.is_some() { Interest::WRITABLE } else { Interest::READABLE }
    }

    fn ready(&mut self, _: &Event, _: &mut SourceContext<'_, M>) -> io::Result<()> {
        for _ in 0..BUDGET {
            let (length, peer) = match self.waiting.take() {
                Some(waiting) => waiting,
                None => match self.socket.recv_from(&mut self.datagram) {
                    Ok(received) => received,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                },
            };
            match self.socket.send_to(&self.datagram[..length], peer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.waiting = Some((length, peer));
                    return Ok(());
                }
                // UDP promises nothing: a datagram that cannot be sent is lost, and the service goes on.
                Err(error) => debug!("{length} bytes for {peer} are lost: {error}"),
                Ok(_) => {}
            }
        }
        Ok(())
    }
}
