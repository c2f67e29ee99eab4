//! Answers every connection with a reset.
//!
//! ```console
//! $ cargo run --example rst_server
//! Listening at 127.0.0.1:1062
//! $ nc 127.0.0.1 1062; echo $?        # in another terminal; or better: cargo run --example sigpipe
//! ```
//!
//! A TCP connection ends in order when both sides have sent FIN. It ends without order when one side sends RST: "forget this
//! connection". A kernel does that by itself when data arrive for a socket that nobody has open any more, or when a socket is
//! closed before its input was read. And a program can ask for it: with the option `SO_LINGER` switched on and a time of zero,
//! close(2) throws away what is unsent and sends RST instead of FIN (socket(7), tcp(7)).
//!
//! What the other side sees: whatever it does next with the socket fails with ECONNRESET, once; after that, reading says "end
//! of the stream" and writing EPIPE. The example `sigpipe` shows it.

use std::io;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use clap::Parser;
use rustix::net::sockopt::set_socket_linger;
use tracing::{info, warn};
use zen_examples::{Listen, Stop, announce, fail, parse, start_log};

/// Answers every connection with RST, the unfriendly end of a TCP connection
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    listen: Listen,
}

fn main() {
    let options: Options = parse();
    start_log();
    let listener = options.listen.bind(1062);
    let stop = Stop::catch();
    announce(listener.local_addr().unwrap_or_else(|error| fail(error)));
    thread::spawn(move || {
        loop {
            if let Err(error) = reset_next(&listener) {
                warn!("cannot reset a connection: {error}");
                thread::sleep(Duration::from_millis(50)); // no descriptors, perhaps: do not spin
            }
        }
    });
    stop.wait();
}

fn reset_next(listener: &TcpListener) -> io::Result<()> {
    let (stream, peer) = listener.accept()?;
    set_socket_linger(&stream, Some(Duration::ZERO))?;
    drop(stream); // close(2), and with it RST
    info!("reset {peer}");
    Ok(())
}
