//! `zen-server`: the zen service on a reactor.
//!
//! In order: read the command line, listen, say where, serve until a signal says stop, report what was done.
#![forbid(unsafe_code)]

mod listening;
mod options;
mod signals;

use std::env;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use reactor::event_loop::{ConnectionId, Limits, Notice, Reactor};
use reactor::net::Address;
use tracing::level_filters::LevelFilter;
use tracing::{error, info, warn};
use zen_server::services::zen::{self, Conversation, Service};

use listening::listen;
use options::{Options, PROGRAM};

/// How long requests in progress may take to finish after the first signal.
const GRACE: Duration = Duration::from_secs(5);
/// How much longer if answers are expensive.
const LONGEST_GRACE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let options = match Options::read(env::args_os()) {
        Ok(options) => options,
        Err(code) => return code,
    };
    start_log(&options);
    raise_descriptor_limit();
    match serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if standard error is gone.
            let _ = writeln!(io::stderr(), "{PROGRAM}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Options) -> Result<(), String> {
    let service = Service::new(options.delay);
    let mut reactor = Reactor::<Conversation>::builder()
        .backend(options.backend)
        .limits(limits(options))
        .on_notice(report)
        .build()
        .map_err(|error| error.to_string())?;
    let addresses = listen(&mut reactor, options, &service)?;
    // An answer that is being worked on is a request in progress, too.
    let grace = GRACE + options.delay.unwrap_or_default().min(LONGEST_GRACE);
    signals::stop_on_signal(&mut reactor, grace)
        .map_err(|error| format!("cannot handle signals: {error}"))?;
    announce(&addresses, options);
    reactor.run().map_err(|error| format!("the event loop failed: {error}"))?;
    info!("served {}", service.totals().display("question"));
    Ok(())
}

fn limits(options: &Options) -> Limits {
    Limits {
        connections: options
            .max_connections
            .map_or(ConnectionId::MOST, |most| (most as usize).min(ConnectionId::MOST)),
        connections_per_peer: options.max_per_ip,
        // The service refuses long questions itself, with an answer; this is the bound behind it.
        request_bytes: 2 * zen::LONGEST_QUESTION.max(64 * 1024),
        idle: options.idle_timeout,
        request_time: options.request_timeout,
        ..Limits::default()
    }
}

/// What the loop has to say besides the events of connections.
fn report(notice: &Notice<'_>) {
    match notice {
        Notice::Panicked { .. } | Notice::SourceFailed { .. } => error!("{notice}"),
        Notice::Refused { .. } => info!("{notice}"),
        _ => warn!("{notice}"),
    }
}

/// Tells on standard output where the server listens, and a human besides what to do next.
fn announce(addresses: &[Address], options: &Options) {
    let mut stdout = io::stdout().lock();
    let told = addresses.iter().try_for_each(|address| writeln!(stdout, "Listening at {address}"));
    if let Err(error) = told.and_then(|()| stdout.flush()) {
        warn!("nobody reads standard output: {error}");
    }
    if let (Some(address), true, false) = (addresses.first(), io::stderr().is_terminal(), options.quiet) {
        let client = client_command(address, env::var_os("CARGO").is_some());
        let _ =
            writeln!(io::stderr(), "Ask it something from another terminal: {client}\nStop it with Ctrl-C.");
    }
}

/// The command that reaches this server, as short as it can be.
fn client_command(address: &Address, by_cargo: bool) -> String {
    let arguments = match address {
        Address::Unix(path) => format!(" --unix {}", path.display()),
        Address::Inet(address) => {
            let is_usual = address.ip().is_unspecified() || address.ip().to_string() == "127.0.0.1";
            let host = if is_usual { String::new() } else { format!(" {}", address.ip()) };
            let port = if address.port() == zen::DEFAULT_PORT {
                String::new()
            } else {
                format!(" -p {}", address.port())
            };
            host + &port
        }
    };
    match (by_cargo, arguments.is_empty()) {
        (false, _) => format!("zen-client{arguments}"),
        (true, true) => "cargo run --bin zen-client".to_owned(),
        (true, false) => format!("cargo run --bin zen-client --{arguments}"),
    }
}

/// Sends the events to standard error, coloured for a human only.
///
/// The loop writes them itself, line by line: who lets the log run into a pipe and stops reading it stops the server with it
/// (and ends it with two signals; see `signals.rs`). A thread and a queue between them would only lose lines instead.
fn start_log(options: &Options) {
    let level = match (options.quiet, options.verbose) {
        (true, _) => LevelFilter::WARN,
        (_, true) => LevelFilter::DEBUG,
        _ => LevelFilter::INFO,
    };
    let wants_colour = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(wants_colour && io::stderr().is_terminal())
        .with_target(false)
        .with_max_level(level)
        // Its way to report a closed standard error is to print to standard error, and that panics.
        .log_internal_errors(false)
        .init();
}

/// Lets the process have as many descriptors as the system allows it: the soft limit is 1024 on many systems, for the sake
/// of old programs with fixed-size select(2) sets, and each client needs one.
fn raise_descriptor_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        warn!("cannot raise the limit of descriptors: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn the_client_command_says_only_what_differs_from_the_default() {
        let command = |address: &str, by_cargo| {
            client_command(&Address::Inet(address.parse::<SocketAddr>().unwrap()), by_cargo)
        };
        assert_eq!(command("127.0.0.1:1060", false), "zen-client");
        assert_eq!(command("127.0.0.1:1060", true), "cargo run --bin zen-client");
        assert_eq!(command("[::]:2060", true), "cargo run --bin zen-client -- -p 2060");
        assert_eq!(command("[::1]:1060", false), "zen-client ::1");
        assert_eq!(client_command(&Address::Unix("/run/zen".into()), false), "zen-client --unix /run/zen");
    }
}
