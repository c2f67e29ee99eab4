//! The command line.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use reactor::Backend;
use zen_server::command_line::{duration, in_words, one_line};
use zen_server::services::zen;

/// The name under which the program speaks of itself.
pub const PROGRAM: &str = "zen-server";

/// A duration, or none. (The name keeps the parser from reading the `Option` as "may be left out".)
type Span = Option<Duration>;
/// A count, or none.
type Bound = Option<u32>;

const EXAMPLES: &str = "\
Examples:
  zen-server                        listen at 127.0.0.1:1060
  zen-server '' -p 2060             at port 2060 of all interfaces, IPv4 and IPv6
  zen-server localhost -p 0         at whatever port is free; the first line tells which
  zen-server --unix /run/zen.sock   on a Unix socket only; with HOST or -p on both
  zen-server --backend poll --delay 2s -v

Durations are written like 250ms, 30s, 5m, 1h. Ctrl-C or SIGTERM lets requests in progress finish, a second one does not.

Exit status: 0 after a stop by signal, 1 if the server cannot run, 2 for a wrong command line,
130 or 143 after a second SIGINT or SIGTERM.";

/// Answers questions about the Zen of Python, all clients in one thread
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, after_help = EXAMPLES)]
pub struct Options {
    /// Where to listen: a name (at all its addresses), an IPv4 or IPv6 address, or '' for all interfaces [default: 127.0.0.1]
    pub host: Option<String>,

    /// Port to listen at; 0 takes a free one [default: 1060]
    #[arg(short, long, value_name = "PORT")]
    pub port: Option<u16>,

    /// Listen on a Unix socket: instead of TCP, or besides if HOST or -p is given
    #[arg(long, value_name = "PATH")]
    pub unix: Option<PathBuf>,

    /// How to wait for readiness: auto, select, poll, epoll
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub backend: Backend,

    /// Connections at once; further ones wait in the backlog. off: as many as there are descriptors for
    #[arg(long, value_name = "N", default_value = "off", value_parser = bound, allow_hyphen_values = true)]
    pub max_connections: Bound,

    /// Connections at once from one IP address; further ones are hung up on
    #[arg(long, value_name = "N", default_value = "off", value_parser = bound, allow_hyphen_values = true)]
    pub max_per_ip: Bound,

    /// Hang up after so long without a byte in either direction
    #[arg(long, value_name = "D", default_value = "5m", value_parser = duration, allow_hyphen_values = true)]
    pub idle_timeout: Span,

    /// Hang up when a question was begun so long ago and has not been finished
    #[arg(long, value_name = "D", default_value = "30s", value_parser = duration, allow_hyphen_values = true)]
    pub request_timeout: Span,

    /// Let each answer take so long, as if it were expensive; other clients do not wait for it
    #[arg(long, value_name = "D", default_value = "off", value_parser = duration, allow_hyphen_values = true)]
    pub delay: Span,

    /// Report only what goes wrong
    #[arg(short, long)]
    pub quiet: bool,

    /// Report each question, too
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,

    /// Print a completion script for a shell, and exit
    #[arg(long, value_name = "SHELL")]
    completions: Option<Shell>,
}

impl Options {
    /// Reads the command line. `Err` is what to exit with at once: help and the like were printed, or a mistake was told.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, ExitCode> {
        let options = Options::try_parse_from(arguments).map_err(|error| match error.use_stderr() {
            true => wrong(&one_line(&error.to_string())),
            false => printed(error.print()),
        })?;
        if let Some(shell) = options.completions {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Options::command(), PROGRAM, &mut script);
            return Err(printed(io::stdout().write_all(&script)));
        }
        options.check().map_err(|mistake| wrong(&mistake))?;
        Ok(options)
    }

    /// Looks for what is right option by option and wrong together.
    fn check(&self) -> Result<(), String> {
        self.backend.resolve().map_err(|error| format!("REACTOR_BACKEND in the environment: {error}"))?;
        match (self.delay, self.idle_timeout) {
            (Some(delay), Some(idle)) if delay >= idle => Err(format!(
                "--delay {} outlasts --idle-timeout {}, so nobody would get an answer; choose a longer --idle-timeout, or off",
                in_words(delay),
                in_words(idle)
            )),
            _ => Ok(()),
        }
    }

    /// The port asked for, or the usual one.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(zen::DEFAULT_PORT)
    }

    /// Where to listen over TCP, if at all.
    pub fn tcp_host(&self) -> Option<&str> {
        match &self.host {
            Some(host) => Some(host),
            None if self.unix.is_some() && self.port.is_none() => None,
            None => Some("127.0.0.1"),
        }
    }
}

/// A count, where `off` and `0` mean none.
fn bound(text: &str) -> Result<Bound, String> {
    match text.parse() {
        _ if text == "off" => Ok(None),
        Ok(0) => Ok(None),
        Ok(count) => Ok(Some(count)),
        Err(_) => Err("write a number, or off for no limit".to_owned()),
    }
}

fn wrong(mistake: &str) -> ExitCode {
    // Nobody is left to tell if standard error is gone.
    let _ = writeln!(io::stderr(), "{PROGRAM}: {mistake} (see {PROGRAM} --help)");
    ExitCode::from(2)
}

/// What was asked for is printed; whoever stops reading halfway, as `head` does, has read enough.
fn printed(result: io::Result<()>) -> ExitCode {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr(), "{PROGRAM}: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
