//! The command line.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use reactor::event_loop::{ConnectionId, Limits};
use zen_examples::{WaitWith, resolve, wrong};
use zen_server::command_line::duration;

/// A duration, or none. (The name keeps the parser from reading the `Option` as "may be left out".)
type Span = Option<Duration>;

/// Who waits for the bytes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Model {
    /// One thread, one event loop, all clients
    Reactor,
    /// A thread for each client, as many as --max-connections says
    Threads,
    /// As many threads as --workers says, and a queue of --queue clients
    Pool,
}

/// Serves the files below a directory over HTTP/1.1
#[derive(Debug, Parser)]
#[command(name = "web_server")]
pub struct Options {
    /// The directory whose content is served
    #[arg(default_value = ".")]
    pub root: PathBuf,

    /// Where to listen: a name, or an IPv4 or IPv6 address; '' for all interfaces
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,

    /// Port to listen at; 0 takes a free one
    #[arg(short, long, default_value_t = 8080)]
    pub port: u16,

    /// Who waits for the bytes
    #[arg(long, value_enum, default_value_t = Model::Reactor)]
    pub model: Model,

    #[command(flatten)]
    pub wait: WaitWith,

    /// Clients at once; further ones wait in the backlog. Required by --model threads
    #[arg(long, value_name = "N")]
    pub max_connections: Option<NonZeroUsize>,

    /// Threads of --model pool
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,

    /// Clients of --model pool that are let in and wait for a thread; further ones wait in the backlog
    #[arg(long, value_name = "N")]
    pub queue: Option<usize>,

    /// Hang up after so long without a byte in either direction
    #[arg(long, value_name = "D", default_value = "30s", value_parser = duration)]
    pub idle_timeout: Span,

    /// Hang up when the head of a request was begun so long ago and has not been finished
    #[arg(long, value_name = "D", default_value = "10s", value_parser = duration)]
    pub request_timeout: Span,

    /// No access log
    #[arg(short, long)]
    pub quiet: bool,
}

impl Options {
    /// Looks for what is right option by option and wrong together. A mistake ends the program.
    pub fn check(&self) {
        let is_pool = self.model == Model::Pool;
        if self.model == Model::Threads && self.max_connections.is_none() {
            wrong(
                "--model threads needs --max-connections: without a bound, clients could use up all memory",
            );
        }
        if is_pool && self.max_connections.is_some() {
            wrong("--model pool is bounded by --workers and --queue, not by --max-connections");
        }
        if !is_pool && (self.workers.is_some() || self.queue.is_some()) {
            wrong("--workers and --queue are for --model pool");
        }
    }

    /// Where to listen, in order of preference.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        resolve(&self.host, self.port)
    }

    /// What clients are allowed, whoever waits for them.
    pub fn limits(&self) -> Limits {
        Limits {
            connections: self
                .max_connections
                .map_or(ConnectionId::MOST, |most| most.get().min(ConnectionId::MOST)),
            // A head that is longer is refused with an answer; this is the bound behind it.
            request_bytes: 256 * 1024,
            idle: self.idle_timeout,
            request_time: self.request_timeout,
            ..Limits::default()
        }
    }
}
