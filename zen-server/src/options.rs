//! The command line.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, ValueEnum};
use clap_complete::Shell;
use reactor::Backend;
use zen_server::command_line::{duration, in_words, one_line, printed, wrong};
use zen_server::services::{Serve, Settings, bytes, echo, zen};

use crate::models::{self, Model};

/// The name under which the program speaks of itself.
pub const PROGRAM: &str = "zen-server";

/// A duration, or none. (The name keeps the parser from reading the `Option` as "may be left out".)
type Span = Option<Duration>;
/// A count, or none.
type Bound = Option<u32>;

/// What the server says.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// Answers that end with `.` to questions that end with `?`
    Zen,
    /// As many bytes as the client asks for
    Bytes,
    /// What the client sends
    Echo,
    /// For tests.
    #[value(hide = true)]
    Panics,
}

impl Service {
    /// The usual port.
    pub fn port(self) -> u16 {
        match self {
            Service::Zen => zen::Service::PORT,
            Service::Bytes => bytes::Service::PORT,
            Service::Echo | Service::Panics => echo::Service::PORT,
        }
    }
}

/// How several workers share one address.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accept {
    /// All wait at one socket; a connection may wake them all (the thundering herd)
    Shared,
    /// All wait at one socket, and the kernel wakes one of them (EPOLLEXCLUSIVE)
    Exclusive,
    /// Each has a socket of its own, and the kernel deals the connections out (SO_REUSEPORT)
    Reuseport,
}

/// How a loop watches its connections.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Trigger {
    /// Told when something becomes so: not with select, poll and polling
    Edge,
    /// Told as long as it is so
    Level,
    /// Told once, and asked for anew each time
    OneShot,
}

impl From<Trigger> for reactor::Trigger {
    fn from(trigger: Trigger) -> reactor::Trigger {
        match trigger {
            Trigger::Edge => reactor::Trigger::Edge,
            Trigger::Level => reactor::Trigger::Level,
            Trigger::OneShot => reactor::Trigger::OneShot,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  zen-server                        listen at 127.0.0.1:1060
  zen-server '' -p 2060             at port 2060 of all interfaces, IPv4 and IPv6
  zen-server localhost -p 0         at whatever port is free; the first line tells which
  zen-server --unix /run/zen.sock   on a Unix socket only; with HOST or -p on both
  zen-server --backend poll --delay 2s -v
  zen-server --service bytes --model prefork --workers 8
  zen-server --model threads --max-connections 100
  zen-server --model reactor --workers 2 --accept exclusive

Durations are written like 250ms, 30s, 5m, 1h. Ctrl-C or SIGTERM lets requests in progress finish, a second one does not.

Exit status: 0 after a stop by signal, 1 if the server cannot run, 2 for a wrong command line,
130 or 143 after a second SIGINT or SIGTERM.";

/// Answers questions about the Zen of Python, sends bytes, or echoes: in one thread, or in many, or in many processes
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, after_help = EXAMPLES)]
pub struct Options {
    /// Where to listen: a name (at all its addresses), an IPv4 or IPv6 address, or '' for all interfaces [default: 127.0.0.1]
    pub host: Option<String>,

    /// Port to listen at; 0 takes a free one [default: 1060 for zen, 2000 for bytes, 1061 for echo]
    #[arg(short, long, value_name = "PORT")]
    pub port: Option<u16>,

    /// Listen on a Unix socket: instead of TCP, or besides if HOST or -p is given
    #[arg(long, value_name = "PATH")]
    pub unix: Option<PathBuf>,

    /// What to say
    #[arg(long, value_enum, value_name = "NAME", default_value_t = Service::Zen, hide_possible_values = false)]
    pub service: Service,

    /// Who waits for the clients
    #[arg(long, value_enum, value_name = "NAME", default_value_t = Model::Reactor)]
    pub model: Model,

    /// Threads, loops or processes, for a model that has several [default: 1 loop, or 4 of the others]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub workers: Option<u32>,

    /// Connections that wait for a worker of the pool; more wait in the backlog [default: as many as workers]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub queue: Option<u32>,

    /// How several workers share the address
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Accept::Shared)]
    pub accept: Accept,

    /// How to wait for readiness: auto, select, poll, epoll, polling, io-uring
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub backend: Backend,

    /// How a loop watches its connections [default: edge where the kernel has edges, else level]
    #[arg(long, value_enum, value_name = "HOW")]
    pub trigger: Option<Trigger>,

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

    /// The largest count the bytes service accepts [default: 10000000000]
    #[arg(long, value_name = "N")]
    pub max_bytes: Option<u64>,

    /// Let the bytes service hang up after one answer
    #[arg(long)]
    pub one_shot: bool,

    /// Show each step with its time and place in the source, and how much of the time was spent waiting
    #[arg(long)]
    pub trace: bool,

    /// Append the events to a file instead of telling them on standard error
    #[arg(long, value_name = "PATH")]
    pub log: Option<PathBuf>,

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
            true => wrong(PROGRAM, &one_line(&error.to_string())),
            false => printed(PROGRAM, error.print()),
        })?;
        if let Some(shell) = options.completions {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Options::command(), PROGRAM, &mut script);
            return Err(printed(PROGRAM, io::stdout().write_all(&script)));
        }
        options.check().map_err(|mistake| wrong(PROGRAM, &mistake))?;
        Ok(options)
    }

    /// Looks for what is right option by option and wrong together.
    fn check(&self) -> Result<(), String> {
        self.backend.resolve().map_err(|error| format!("REACTOR_BACKEND in the environment: {error}"))?;
        if let Some(why) = self.refusal() {
            return Err(why);
        }
        match (self.delay, self.idle_timeout) {
            (Some(delay), Some(idle)) if delay >= idle => Err(format!(
                "--delay {} outlasts --idle-timeout {}, so nobody would get an answer; choose a longer --idle-timeout, or off",
                in_words(delay),
                in_words(idle)
            )),
            _ => Ok(()),
        }
    }

    /// Why these options do not go together, if they do not.
    fn refusal(&self) -> Option<String> {
        let says_bytes = self.service == Service::Bytes;
        match self {
            Options { delay: Some(_), service, .. } if *service != Service::Zen => {
                Some("--delay is for --service zen: only its answers can be expensive".to_owned())
            }
            Options { max_bytes: Some(_), .. } if !says_bytes => {
                Some("--max-bytes is for --service bytes".to_owned())
            }
            Options { one_shot: true, .. } if !says_bytes => {
                Some("--one-shot is for --service bytes".to_owned())
            }
            _ => models::refusal(self),
        }
    }

    /// The port asked for, or the usual one.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(self.service.port())
    }

    /// How many workers, for a model that has several.
    pub fn workers(&self) -> usize {
        self.workers.map_or(self.model.usual_workers(), |workers| workers as usize)
    }

    /// What the service is to be like.
    pub fn settings(&self) -> Settings {
        let usual = Settings::default();
        Settings {
            delay: self.delay,
            largest: self.max_bytes.unwrap_or(usual.largest),
            one_shot: self.one_shot,
            ..usual
        }
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
