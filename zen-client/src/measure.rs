//! `zen-client load`: what the program adds to a load, a terminal and a descriptor limit.

use std::cell::Cell;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reactor::net::Address;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use zen_client::load::{Plan, Report, Tally, run};

use crate::options::{Options, PROGRAM};
use crate::{Problem, write_line};

/// The exit status of a program that a signal ended, as a shell tells it.
const SIGNAL_STATUS: i32 = 128;
/// Descriptors besides those of the connections: three standard ones, the loop's own, the signals' pipes, and some to spare.
const OTHER_DESCRIPTORS: u64 = 24;

/// Loads the first of the addresses where anybody listens, and prints the results.
pub fn measure(plan: &Plan, addresses: &[Address], options: &Options) -> Result<ExitCode, Problem> {
    raise_descriptor_limit(plan)?;
    end_at_the_second_signal().map_err(|error| format!("cannot handle signals: {error}"))?;
    for (place, address) in addresses.iter().enumerate() {
        let report = load(plan, address, options)?;
        if place + 1 == addresses.len() || !is_deserted(&report) {
            return print(&report, options.common.json);
        }
    }
    Err("the host has no address".to_owned().into())
}

fn load(plan: &Plan, address: &Address, options: &Options) -> Result<Report, String> {
    let progress = Progress::new(plan);
    run(plan, address, options.common.backend, |tally, elapsed| progress.show(tally, elapsed))
        .map_err(|error| format!("the event loop failed: {error}"))
}

/// Nobody could be connected at this address of the host; at another, perhaps.
fn is_deserted(report: &Report) -> bool {
    report.signal.is_none() && report.tally.connected == 0
}

/// The results on standard output, in one piece; what went wrong on standard error, in one line.
fn print(report: &Report, json: bool) -> Result<ExitCode, Problem> {
    let text = if json { report.to_json().to_string() } else { report.to_string() };
    let written = write_line(text.trim_end());
    if let Some(complaint) = report.complaint() {
        // Nobody is left to tell if standard error is gone.
        let _ = writeln!(io::stderr(), "{PROGRAM}: {complaint}");
    }
    match (written, report.signal) {
        (_, Some(signal)) => Ok(ExitCode::from(u8::try_from(SIGNAL_STATUS + signal).unwrap_or(u8::MAX))),
        (Err(problem), None) => Err(problem),
        (Ok(()), None) => Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
    }
}

/// The first signal ends the load, which is then reported; the second does not wait for whoever reads the report.
fn end_at_the_second_signal() -> io::Result<()> {
    let first = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // These run inside the signal handler and in this order: the first signal only sets the flag.
        flag::register_conditional_shutdown(signal, SIGNAL_STATUS + signal, Arc::clone(&first))?;
        flag::register(signal, Arc::clone(&first))?;
    }
    Ok(())
}

/// Each connection needs a descriptor, and the soft limit is 1024 on many systems.
fn raise_descriptor_limit(plan: &Plan) -> Result<(), String> {
    let needed = u64::from(plan.at_once) + OTHER_DESCRIPTORS;
    let allowed = rlimit::increase_nofile_limit(u64::MAX)
        .map_err(|error| format!("cannot raise the limit of descriptors: {error}"))?;
    if allowed >= needed {
        return Ok(());
    }
    Err(format!(
        "{} connections at once need {needed} descriptors, and this process may have {allowed}: choose a smaller -c, \
         or let the administrator raise the limit (ulimit -n {needed})",
        plan.at_once
    ))
}

/// How often the bar is drawn: a loop may turn a hundred thousand times in between.
const REDRAW: Duration = Duration::from_millis(50);

/// A bar on a terminal, and nothing elsewhere.
struct Progress {
    bar: ProgressBar,
    duration: Option<Duration>,
    /// When, since the start, it is drawn next.
    next: Cell<Duration>,
}

impl Progress {
    fn new(plan: &Plan) -> Progress {
        // Of count and time, the one that bounds the load shows how far it is; of both, time.
        let length = match (plan.duration, plan.requests()) {
            (Some(duration), _) => duration.as_millis() as u64,
            (None, requests) => requests.unwrap_or(0),
        };
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("[{bar:40}] {percent}% {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Progress { bar, duration: plan.duration, next: Cell::default() }
    }

    fn show(&self, tally: &Tally, elapsed: Duration) {
        if elapsed < self.next.get() || self.bar.is_hidden() {
            return;
        }
        self.next.set(elapsed + REDRAW);
        let done = tally.answered + tally.failures();
        self.bar.set_position(if self.duration.is_some() { elapsed.as_millis() as u64 } else { done });
        self.bar.set_message(format!("{} answered, {} failed", tally.answered, tally.failures()));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
