//! `zen-server`: the services of the classic texts, with the architectures of the classic texts.
//!
//! In order: read the command line, and let the model that it names do the rest: listen, say where, serve until a signal says
//! stop, report what was done. What is said is in the library's `services`, who waits for it in `models`.
#![deny(unsafe_code)]

mod listening;
mod models;
mod options;
mod signals;
mod system;

use std::env;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use reactor::net::Address;
use tracing::level_filters::LevelFilter;
use tracing::warn;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use listening::Door;
use models::Failure;
use options::{Options, PROGRAM, Service};

fn main() -> ExitCode {
    let options = match Options::read(env::args_os()) {
        Ok(options) => options,
        Err(code) => return code,
    };
    if let Err(mistake) = start_log(&options) {
        return failed(&mistake, ExitCode::FAILURE);
    }
    raise_descriptor_limit();
    match models::serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(why)) => failed(&why, ExitCode::FAILURE),
        Err(Failure::Refused(why)) => failed(&why, ExitCode::from(2)),
    }
}

fn failed(why: &str, code: ExitCode) -> ExitCode {
    // Nobody is left to tell if standard error is gone. And if it is a client (inetd), it is not to be told this.
    if !models::inetd::talks_to_a_client(io::stderr()) {
        let _ = writeln!(io::stderr(), "{PROGRAM}: {why}");
    }
    code
}

/// Tells on standard output where the server listens, and a human besides what to do next.
fn announce(doors: &[&Door], options: &Options) {
    let mut stdout = io::stdout().lock();
    let told = doors.iter().try_for_each(|door| writeln!(stdout, "Listening at {}", door.address()));
    if let Err(error) = told.and_then(|()| stdout.flush()) {
        warn!("nobody reads standard output: {error}");
    }
    let is_for_a_human = io::stderr().is_terminal() && !options.quiet && options.service == Service::Zen;
    if let (Some(door), true) = (doors.first(), is_for_a_human) {
        let client = client_command(door.address(), options.service.port(), env::var_os("CARGO").is_some());
        let _ =
            writeln!(io::stderr(), "Ask it something from another terminal: {client}\nStop it with Ctrl-C.");
    }
}

/// The command that reaches this server, as short as it can be.
fn client_command(address: &Address, usual_port: u16, by_cargo: bool) -> String {
    let arguments = match address {
        Address::Unix(path) => format!(" --unix {}", path.display()),
        Address::Inet(address) => {
            let is_usual = address.ip().is_unspecified() || address.ip().to_string() == "127.0.0.1";
            let host = if is_usual { String::new() } else { format!(" {}", address.ip()) };
            let port =
                if address.port() == usual_port { String::new() } else { format!(" -p {}", address.port()) };
            host + &port
        }
    };
    match (by_cargo, arguments.is_empty()) {
        (false, _) => format!("zen-client{arguments}"),
        (true, true) => "cargo run --bin zen-client".to_owned(),
        (true, false) => format!("cargo run --bin zen-client --{arguments}"),
    }
}

/// Sends the events to standard error (coloured for a human only), or to a file.
///
/// Who serves writes them itself, line by line: who lets the log run into a pipe and stops reading it stops the server with it
/// (and ends it with two signals; see `signals.rs`). A thread and a queue between them would only lose lines instead.
fn start_log(options: &Options) -> Result<(), String> {
    let level = match (options.quiet, options.verbose) {
        (true, _) => LevelFilter::WARN,
        (_, true) => LevelFilter::DEBUG,
        _ => LevelFilter::INFO,
    };
    let wants_colour = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let writer = match &options.log {
        Some(path) => {
            let file = OpenOptions::new().append(true).create(true).open(path);
            BoxMakeWriter::new(file.map_err(|error| format!("cannot write to {}: {error}", path.display()))?)
        }
        None if models::inetd::talks_to_a_client(io::stderr()) => BoxMakeWriter::new(io::sink),
        None => BoxMakeWriter::new(io::stderr),
    };
    tracing_subscriber::fmt()
        .with_writer(writer)
        .with_ansi(wants_colour && options.log.is_none() && io::stderr().is_terminal())
        .with_target(false)
        .with_max_level(level)
        // Its way to report a closed standard error is to print to standard error, and that panics.
        .log_internal_errors(false)
        .init();
    Ok(())
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
            client_command(&Address::Inet(address.parse::<SocketAddr>().unwrap()), 1060, by_cargo)
        };
        assert_eq!(command("127.0.0.1:1060", false), "zen-client");
        assert_eq!(command("127.0.0.1:1060", true), "cargo run --bin zen-client");
        assert_eq!(command("[::]:2060", true), "cargo run --bin zen-client -- -p 2060");
        assert_eq!(command("[::1]:1060", false), "zen-client ::1");
        assert_eq!(
            client_command(&Address::Unix("/run/zen".into()), 1060, false),
            "zen-client --unix /run/zen"
        );
    }
}
