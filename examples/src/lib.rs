//! What the examples share: the manners of their command lines, and where they listen.
//!
//! ```no_run
//! use clap::Parser;
//! use zen_examples::{Listen, parse};
//!
//! /// Says hello.
//! #[derive(Parser)]
//! struct Options {
//!     #[command(flatten)]
//!     listen: Listen,
//! }
//!
//! let options: Options = parse();
//! let listener = std::net::TcpListener::bind(&*options.listen.addresses(1061))?;
//! zen_examples::announce(listener.local_addr()?);
//! # Ok::<(), std::io::Error>(())
//! ```
#![warn(missing_docs)]
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::process;

use clap::Parser;
use clap::error::ErrorKind;
use zen_server::command_line::one_line;

/// Where to listen.
#[derive(Debug, clap::Args)]
pub struct Listen {
    /// Where to listen: a name, or an IPv4 or IPv6 address; '' for all interfaces
    #[arg(default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen at; 0 takes a free one
    #[arg(short, long)]
    pub port: Option<u16>,
}

impl Listen {
    /// The addresses of the host, with the port given or else `port`. An unknown host ends the program.
    #[must_use]
    pub fn addresses(&self, port: u16) -> Vec<SocketAddr> {
        resolve(&self.host, self.port.unwrap_or(port))
    }
}

/// The addresses of a host; '' stands for all interfaces, IPv4 and IPv6. An unknown host ends the program.
#[must_use]
pub fn resolve(host: &str, port: u16) -> Vec<SocketAddr> {
    let host = if host.is_empty() { "::" } else { host };
    match (host, port).to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => fail(format_args!("unknown host {host:?}: {error}")),
    }
}

/// Says on standard output where the program listens: the first line of each.
pub fn announce(address: impl Display) {
    let mut stdout = io::stdout().lock();
    // Nobody may be reading; the program serves all the same.
    let _ = writeln!(stdout, "Listening at {address}").and_then(|()| stdout.flush());
}

/// Reads the command line. A mistake is told in one line and ends the program with 2; so do `--help` and `--version`, with 0.
#[must_use]
pub fn parse<T: Parser>() -> T {
    T::try_parse().unwrap_or_else(|error| {
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            let _ = error.print(); // whoever stops reading halfway has read enough
            process::exit(0)
        }
        wrong(one_line(&error.to_string()))
    })
}

/// Ends the program with 2: the command line is wrong, and this line says how.
pub fn wrong(mistake: impl Display) -> ! {
    let _ = writeln!(io::stderr(), "{}: {mistake} (see --help)", program());
    process::exit(2)
}

/// Ends the program with 1: it cannot go on, and this line says why.
pub fn fail(error: impl Display) -> ! {
    let _ = writeln!(io::stderr(), "{}: {error}", program());
    process::exit(1)
}

/// The name the program was started by.
fn program() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    std::path::Path::new(&path).file_name().unwrap_or(&path).to_string_lossy().into_owned()
}
