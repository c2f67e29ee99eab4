//! Every system call of the loop is made to fail, in every way its manual allows, at every place it is made.
//!
//! ```console
//! $ cargo test -p zen-torture                    everything: some 150 000 runs, two or three minutes of one core
//! $ cargo test -p zen-torture -- epoll/split     what contains this name
//! $ cargo test -p zen-torture -- --replay epoll/split/19/recv/EINTR/once
//! $ TORTURE_PAIRS=1 cargo test -p zen-torture    two faults in one run, the second within ten calls of the first: an hour
//! $ tests/torture/coverage                       which code of the loop no run comes by (`unreached.txt`)
//! ```
//!
//! # How
//! A *scenario* ([`scenarios`]) is a loop, a few clients, and what they say; on one thread, step by step, so that it makes the
//! same calls in the same order each time. It is played once to write those down, and then once for every call and every
//! *outcome* that the call may have ([`outcomes`] has the table, with the manual's clause for each): failing once, and again
//! failing from there on. A run counts only if everything up to the fault was as it had been.
//!
//! The code under test is the one that is shipped. This executable defines `recv`, `send`, `epoll_wait` and the others of the
//! C library once more ([`interposed`]), and the linker prefers them. Between them and the kernel stands [`kernel`], which
//! keeps the time as well: it stands still until a wait would sleep. So a hang is a number of turns, never of seconds.
//!
//! # What must hold afterwards
//! * What a client has heard is exactly what it asked for; or it is the beginning of that, the connection is over, and its
//!   `CloseReason` names the call and the errno that were injected into that connection.
//! * Nobody else has noticed.
//! * As many descriptors, connections, timers and registrations are left as before, none is closed twice, and none before it
//!   was deregistered. The loop falls asleep.
//! * It took no more turns than usual, and [`stage::MORE_TURNS`].
//! * A fresh client is served.
//!
//! What cannot be survived unhurt stands in [`exceptions`], with reasons. That the harness would notice is checked as well
//! ([`canaries`]), and, where there is an strace(1), that no call passes it by ([`traced`]).
//!
//! # To add
//! A system call of the reactor that is not in [`calls`] does not compile here, nor does one without rows in [`outcomes`]. A
//! scenario is a function and a line. A backend needs nothing, if its calls are known: all of `Backend::available()` are
//! tortured.
//!
//! Each scenario and platform is a process of its own, so that they can run beside each other, and one that dies is reported
//! with the run it died in.

mod bare;
mod blocking;
mod calls;
mod campaign;
mod canaries;
mod clients;
mod engine;
mod exceptions;
mod interposed;
mod kernel;
mod outcomes;
mod ring;
mod run;
mod scenarios;
mod stage;
mod traced;
mod zen;

use std::collections::BTreeSet;
use std::io;
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::sync::Mutex;
use std::{env, thread};

use reactor::Backend;

use calls::{Call, MADE_BY_CRATES, MADE_BY_THE_REACTOR, MADE_BY_THE_STANDARD_LIBRARY};
use campaign::{Campaign, Tally};
use exceptions::{EXCEPTIONS, NEVER_MADE};
use run::Platform;
use scenarios::Scenario;
use stage::Scratch;

/// Every backend there is, epoll on a kernel of before 5.11, and none.
fn platforms() -> Vec<Platform> {
    let backends = Backend::available().iter().filter(|backend| **backend != Backend::Auto);
    let mut platforms: Vec<Platform> =
        backends.map(|&backend| Platform { name: backend.name(), backend, lacks: &[] }).collect();
    platforms.push(Platform { name: "epoll-of-5.10", backend: Backend::Epoll, lacks: &[Call::epoll_pwait2] });
    platforms.push(Platform { name: "blocking", backend: Backend::Auto, lacks: &[] });
    platforms
}

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--worker", job] => work(job),
        ["--traced", platform] => traced::play_everything(named(platform)).map(|()| ExitCode::SUCCESS),
        ["--replay", id] => replay(id),
        ["--list", ..] => Ok(ExitCode::SUCCESS),
        _ => supervise(&arguments),
    }
}

fn named(platform: &str) -> Platform {
    platforms().into_iter().find(|known| known.name == platform).expect("a platform's name")
}

/// `platform/scenario`, and what follows.
fn parse(job: &str) -> Option<(Platform, &'static Scenario, &str)> {
    let mut parts = job.splitn(3, '/');
    let (platform, scenario) = (parts.next()?, parts.next()?);
    let platform = platforms().into_iter().find(|known| known.name == platform)?;
    let scenario = platform.scenarios().find(|known| known.name == scenario)?;
    Some((platform, scenario, parts.next().unwrap_or_default()))
}

// ------------------------------------------------------------------------------------------------------------ one job

/// Does one job and prints what came of it, for the supervisor.
fn work(job: &str) -> io::Result<ExitCode> {
    let (platform, scenario, _) = parse(job).expect("a job's name");
    let mut campaign = Campaign::new(scenario, platform)?;
    campaign.run(env::var_os("TORTURE_PAIRS").is_some());
    let Tally { calls, made, runs, again, exceptions, detour, idle, wrong } = &campaign.tally;
    println!("calls {calls}\nruns {runs}\nagain {again}\ndetour {detour}\nidle {idle}");
    for call in made {
        println!("made {call}");
    }
    for count in exceptions {
        println!("exception {count}");
    }
    for what in wrong {
        println!("wrong {}", what.replace('\n', " "));
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows one run.
fn replay(id: &str) -> io::Result<ExitCode> {
    let Some((platform, scenario, injections)) = parse(id) else {
        eprintln!("no such run: {id}");
        return Ok(ExitCode::FAILURE);
    };
    let mut campaign = Campaign::new(scenario, platform)?;
    if !campaign.replay(injections) {
        eprintln!("no such run: {id}");
        return Ok(ExitCode::FAILURE);
    }
    for what in &campaign.tally.wrong {
        println!("WRONG {what}");
    }
    Ok(if campaign.tally.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

// --------------------------------------------------------------------------------------------------------- supervision

/// Wrong runs that are shown; of the others only the number.
const SHOWN: usize = 40;

/// Has every job done that the arguments do not rule out, and reports.
fn supervise(arguments: &[String]) -> io::Result<ExitCode> {
    let filters = filters(arguments);
    let wanted = |job: &str| filters.is_empty() || filters.iter().any(|filter| job.contains(*filter));
    let jobs: Vec<String> = platforms()
        .iter()
        .flat_map(|platform| {
            platform.scenarios().map(|scenario| format!("{}/{}", platform.name, scenario.name))
        })
        .filter(|job| wanted(job))
        .collect();
    let mut report = Report::default();
    if filters.is_empty() {
        report.wrong.extend(check_the_harness()?);
    }
    let (queue, report) = (Mutex::new(jobs.into_iter()), Mutex::new(report));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(|| {
                while let Some(job) = next(&queue) {
                    let tally = delegate(&job);
                    report.lock().expect("nobody panics with it").add(&job, tally);
                }
            });
        }
    });
    let mut report = report.into_inner().expect("nobody panics with it");
    if filters.is_empty() {
        report.look_for_idle_exceptions();
        report.look_for_calls_not_made();
    }
    report.print();
    Ok(if report.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn next(queue: &Mutex<impl Iterator<Item = String>>) -> Option<String> {
    queue.lock().expect("nobody panics with it").next()
}

/// What is no option. (Those of Rust's own test harness mean nothing here, and come when all tests are run with them.)
fn filters(arguments: &[String]) -> Vec<&str> {
    const WITH_VALUE: [&str; 5] = ["--test-threads", "--skip", "--color", "--format", "--logfile"];
    let mut arguments = arguments.iter().map(String::as_str);
    let mut filters = Vec::new();
    while let Some(argument) = arguments.next() {
        if WITH_VALUE.contains(&argument) {
            arguments.next();
        } else if !argument.starts_with('-') {
            filters.push(argument);
        }
    }
    filters
}

/// Whether the table is whole, the harness notices what it should, and sees what there is to see.
fn check_the_harness() -> io::Result<Vec<String>> {
    let known = [MADE_BY_THE_REACTOR, MADE_BY_THE_STANDARD_LIBRARY, MADE_BY_CRATES].concat();
    let unneeded = Call::ALL.iter().filter(|call| !known.contains(call));
    let mut wrong: Vec<String> =
        unneeded.map(|call| format!("the reactor does not call {} any more", call.name())).collect();
    let scratch = Rc::new(Scratch::new()?);
    for platform in platforms() {
        if !platform.is_blocking() {
            wrong.extend(canaries::silent(platform, &scratch));
        }
        match traced::unseen(platform, scratch.folder())? {
            Some(unseen) => wrong.extend(unseen),
            None => {
                println!("skipped: strace is missing, or may not trace: nobody looked for calls that pass by")
            }
        }
    }
    Ok(wrong)
}

/// Has a process do a job.
fn delegate(job: &str) -> Tally {
    let run = || -> io::Result<Tally> {
        let mut worker = Command::new(env::current_exe()?);
        worker.args(["--worker", job]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let worker = worker.spawn()?;
        let process = worker.id();
        let output = worker.wait_with_output()?;
        let mut tally = Tally::read(&String::from_utf8_lossy(&output.stdout));
        if !output.status.success() {
            let (run, said) = (Scratch::of_the_dead(process), String::from_utf8_lossy(&output.stderr));
            let said = said.lines().filter(|line| !line.is_empty()).take(2).collect::<Vec<_>>().join(" ");
            tally.wrong.push(format!("{job}/{run}: died of it ({}): {said}", output.status));
        }
        Ok(tally)
    };
    run().unwrap_or_else(|error| Tally { wrong: vec![format!("{job}: {error}")], ..Tally::default() })
}

impl Tally {
    /// What `work` has printed.
    fn read(text: &str) -> Tally {
        let (mut tally, mut exception) = (Tally::default(), 0);
        for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            let number = value.parse().unwrap_or(0);
            match key {
                "calls" => tally.calls = number,
                "made" => drop(tally.made.insert(value.to_owned())),
                "runs" => tally.runs = number,
                "again" => tally.again = number,
                "detour" => tally.detour = number,
                "idle" => tally.idle = number as u64,
                "exception" => {
                    tally.exceptions[exception] = number;
                    exception += 1;
                }
                _ => tally.wrong.push(value.to_owned()),
            }
        }
        tally
    }
}

#[derive(Default)]
struct Report {
    /// By platform: its name, scenarios, calls, runs.
    platforms: Vec<(String, usize, usize, usize)>,
    /// The names of all calls that were made.
    made: BTreeSet<String>,
    again: usize,
    exceptions: [usize; EXCEPTIONS.len()],
    detour: (usize, String),
    idle: (u64, String),
    wrong: Vec<String>,
}

impl Report {
    fn add(&mut self, job: &str, tally: Tally) {
        let platform = job.split('/').next().unwrap_or(job);
        if !self.platforms.iter().any(|(name, ..)| name == platform) {
            self.platforms.push((platform.to_owned(), 0, 0, 0));
        }
        for (name, scenarios, calls, runs) in &mut self.platforms {
            if name == platform {
                (*scenarios, *calls, *runs) = (*scenarios + 1, *calls + tally.calls, *runs + tally.runs);
            }
        }
        self.made.extend(tally.made);
        self.again += tally.again;
        for (sum, count) in self.exceptions.iter_mut().zip(tally.exceptions) {
            *sum += count;
        }
        if tally.detour > self.detour.0 {
            self.detour = (tally.detour, job.to_owned());
        }
        if tally.idle > self.idle.0 {
            self.idle = (tally.idle, job.to_owned());
        }
        self.wrong.extend(tally.wrong);
    }

    /// A call that no scenario makes was never made to fail, unless it is known why.
    fn look_for_calls_not_made(&mut self) {
        if !Backend::available().contains(&Backend::IoUring) {
            println!("skipped: without io-uring, nobody looked for calls that no scenario makes");
            return;
        }
        for call in Call::ALL {
            let why = NEVER_MADE.iter().find(|(never, _)| never == call);
            match (self.made.contains(call.name()), why) {
                (true, Some(_)) => {
                    self.wrong.push(format!("{} is made, and listed as never made", call.name()));
                }
                (false, None) => self.wrong.push(format!("no scenario makes {}", call.name())),
                _ => {}
            }
        }
    }

    /// What nobody needs any more is no exception.
    fn look_for_idle_exceptions(&mut self) {
        for (count, exception) in self.exceptions.iter().zip(EXCEPTIONS) {
            if *count == 0 {
                self.wrong.push(format!("no run needs the exception any more that {}", exception.what));
            }
        }
    }

    fn print(&self) {
        for (name, scenarios, calls, runs) in &self.platforms {
            println!("{name:>14}: {runs:6} runs; {scenarios} scenarios with {calls} calls");
        }
        let runs: usize = self.platforms.iter().map(|(.., runs)| runs).sum();
        let used = |(count, _): &(&usize, _)| **count > 0;
        for (count, exception) in self.exceptions.iter().zip(EXCEPTIONS).filter(used) {
            println!("exception, {count} times: {}; {}", exception.what, exception.why);
        }
        for (call, why) in NEVER_MADE {
            println!("never made, so never failed: {}; {why}", call.name());
        }
        println!("{} runs began differently and were made again", self.again);
        println!("one fault, once, cost {} turns at most ({})", self.detour.0, self.detour.1);
        println!("... and {} turns without progress ({})", self.idle.0, self.idle.1);
        for wrong in self.wrong.iter().take(SHOWN) {
            println!("WRONG {wrong}");
        }
        match self.wrong.len() {
            0 => println!(
                "{runs} runs; no byte lost, no descriptor leaked, no neighbour touched, no turn without progress"
            ),
            wrong => println!(
                "{runs} runs; {wrong} complaints. To see one: cargo test -p zen-torture -- --replay WHICH"
            ),
        }
    }
}
