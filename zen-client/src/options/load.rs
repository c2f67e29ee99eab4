//! The command line of a load.

use std::time::Duration;

use zen_client::load::{Plan, Service};
use zen_server::command_line::duration;

/// The texts' example.
const AT_ONCE: u32 = 15;
const EACH: u64 = 100;
const BYTES: u64 = 4096;

const LOAD_EXAMPLES: &str = "\
Examples:
  zen-client load --service bytes --reconnect -c 15 -t 100 -b 4096
      the texts' load: 15 at once make 100 connections each and request 4096 bytes over every one
  zen-client load --service zen -c 1000 --duration 10s
      1000 connections, each asked one question after the other for ten seconds
  zen-client load --service echo -b 100000 --pipeline 4 --json

What is counted: a request is answered if exactly the right bytes came back, and nothing behind the last of them. Every other
request failed, in one of these ways: refused, reset, timed out, closed early, answered wrongly, no descriptor or no local
port left. A connection that breaks costs the requests under way on it; the caller goes on with a new one. It ends early
if nobody's first request is answered, or nobody can be connected for as long as --timeout.

What the latencies mean: from the moment a request is handed to the event loop to the verification of its last byte. Every
caller waits for its answer before it asks again (a closed loop), so while the server stalls hardly anything is asked, and
the requests that independent clients would have made then are missing from the percentiles (\"coordinated omission\"). Use
them to compare servers under the same load, not as a promise to users.

--json prints one object: service, address, backend, plan, seconds, requests (planned, made, answered, failed, unfinished),
connections (attempted, connected, failed), bytes (received, sent), per_second (requests, connections, bytes), errors
(refused, reset, timed_out, closed_early, wrong_answer, no_descriptor, no_port, other), first_error, latency_us and
connect_us (count, p50, p90, p99, p99_9, max), gave_up, signal.

Ctrl-C prints what was measured so far.

Exit status: 0 if every request was answered correctly, 1 if not, 2 for a wrong command line, 130 or 143 after SIGINT or
SIGTERM.";

/// Ask very many things at once, verify every answer, and measure
///
/// So many callers (-c) at once ask one thing after the other. With --reconnect each makes -t connections, one after the
/// other, for one request each; without, each makes -t requests over one connection.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = LOAD_EXAMPLES)]
pub struct Arguments {
    /// The server: a name, or an IPv4 or IPv6 address [default: 127.0.0.1]
    pub host: Option<String>,

    /// What to ask for: zen (port 1060), bytes (port 2000), echo (port 1061)
    #[arg(long, value_name = "NAME")]
    service: Service,

    /// Make a connection for each request, instead of one for all of a caller's
    #[arg(long)]
    reconnect: bool,

    /// Callers at once, each with one connection at a time
    #[arg(short = 'c', long = "at-once", value_name = "N", default_value_t = AT_ONCE,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    at_once: u32,

    /// Connections (with --reconnect) or requests (without) of each caller [default: 100; with --duration: as many as fit]
    #[arg(short = 't', long = "times", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    times: Option<u64>,

    /// Bytes to request, or to have echoed; the zen service answers in its own words [default: 4096]
    #[arg(short = 'b', long = "bytes", value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    bytes: Option<u64>,

    /// Requests under way at once on one connection
    #[arg(long, value_name = "D", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pipeline: u32,

    /// Begin no request after so long; those under way may finish. With -t: whichever comes first
    #[arg(long, value_name = "D", value_parser = duration, allow_hyphen_values = true)]
    duration: Option<Span>,
}

/// A duration, or none. (The name keeps the parser from reading the `Option` as "may be left out".)
type Span = Option<Duration>;

impl Arguments {
    /// What the options mean together.
    pub fn plan(&self, timeout: Option<Duration>) -> Result<Plan, String> {
        let Some(timeout) = timeout else {
            return Err(
                "without --timeout a load might never end: write one that is long enough, like 5m".to_owned()
            );
        };
        if self.reconnect && self.pipeline > 1 {
            return Err(
                "--reconnect makes one request over each connection, so --pipeline has nothing to do"
                    .to_owned(),
            );
        }
        if self.service == Service::Zen && self.bytes.is_some() {
            return Err("-b is for bytes and echo: the zen service answers in its own words".to_owned());
        }
        let duration = self.duration.flatten();
        Ok(Plan {
            service: self.service,
            at_once: self.at_once,
            each: self.times.or(if duration.is_some() { None } else { Some(EACH) }),
            bytes: self.bytes.unwrap_or(BYTES),
            reconnect: self.reconnect,
            pipeline: self.pipeline as usize,
            duration,
            timeout,
        })
    }
}
