//! What the examples share: the manners of their command lines, where they listen, how they end, and how they read what is
//! typed.
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
//! let listener = options.listen.bind(1061);
//! zen_examples::announce(listener.local_addr()?);
//! # Ok::<(), std::io::Error>(())
//! ```
#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod signals;
mod typed;

pub use signals::{Stop, stop_on_signal, stop_pipe};
pub use typed::{LONGEST_LINE, Typed};

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::process;

use clap::Parser;
use clap::error::ErrorKind;
use reactor::Backend;
use reactor::event_loop::{Builder, Notice, Protocol, Reactor};
use tracing::{error, warn};
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

    /// Listens at the first of the addresses that works, with the port given or else `port`. If none does, that ends the
    /// program.
    #[must_use]
    pub fn bind(&self, port: u16) -> TcpListener {
        let addresses = self.addresses(port);
        TcpListener::bind(&*addresses).unwrap_or_else(|error| {
            let at: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            fail(format_args!("cannot listen at {}: {error}", at.join(" or ")))
        })
    }
}

/// What a loop waits with.
#[derive(Debug, clap::Args)]
pub struct WaitWith {
    /// How to wait for readiness: auto, select, poll, epoll, polling, io-uring
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub backend: Backend,
}

impl WaitWith {
    /// The backend, never [`Backend::Auto`]. A wrong name in the environment is a wrong command line: it ends the program.
    #[must_use]
    pub fn resolve(&self) -> Backend {
        let resolved = self.backend.resolve();
        resolved.unwrap_or_else(|error| wrong(format_args!("REACTOR_BACKEND in the environment: {error}")))
    }

    /// A loop to be built that waits so, and that logs what an operator should know.
    pub fn builder<P: Protocol + 'static>(&self) -> Builder<P> {
        Reactor::builder().backend(self.resolve()).on_notice(|notice| match notice {
            Notice::Panicked { .. } | Notice::SourceFailed { .. } => error!("{notice}"),
            _ => warn!("{notice}"),
        })
    }
}

/// Sends what is logged to standard error, coloured for a human only.
pub fn start_log() {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        // Its way to report a closed standard error is to print to standard error, and that panics.
        .log_internal_errors(false)
        .init();
}

/// Lets the process have as many descriptors as the system allows it: each connection needs one or more, and the soft limit
/// is 1024 on many systems.
pub fn raise_descriptor_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        warn!("cannot raise the limit of descriptors: {error}");
    }
}

/// The addresses of a host; '' stands for all interfaces, IPv4 and IPv6. An unknown host ends the program.
#[must_use]
pub fn resolve(host: &str, port: u16) -> Vec<SocketAddr> {
    if host.is_empty() {
        // IPv6's wildcard hears IPv4 clients as well; the other is for machines without IPv6.
        return vec![SocketAddr::from(([0u16; 8], port)), SocketAddr::from(([0u8; 4], port))];
    }
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
