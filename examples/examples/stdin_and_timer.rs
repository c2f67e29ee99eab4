//! What one types, and a clock that ticks, in one loop.
//!
//! ```console
//! $ cargo run --example stdin_and_timer -- --every 1s
//! tick 1
//! hello
//! typed: hello
//! tick 2
//! ```
//!
//! A program that sleeps between ticks does not hear the keyboard, and one that waits for the keyboard does not tick. A loop
//! waits for whichever comes first. Standard input is a `Source`, a tick a timer that starts the next one; neither of the two
//! knows of the other. Ctrl-D, or the end of the file, ends the program.

use std::convert::Infallible;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use clap::Parser;
use reactor::event::Event;
use reactor::event_loop::{Handle, Reactor, Source, SourceContext};
use zen_examples::{Typed, WaitWith, fail, parse, stop_on_signal};
use zen_server::command_line::duration;

/// A clock that ticks, and says what is typed
#[derive(Parser)]
#[command(after_help = "Ends at the end of its input.")]
struct Options {
    /// The time between ticks, like 250ms, 2s
    #[arg(long, value_name = "D", default_value = "1s", value_parser = period)]
    every: Duration,
    #[command(flatten)]
    wait_with: WaitWith,
}

fn period(text: &str) -> Result<Duration, String> {
    duration(text)?.ok_or_else(|| "a clock has to tick: write a duration, like 250ms, 2s".to_owned())
}

fn main() {
    let options: Options = parse();
    run(&options).unwrap_or_else(|error| fail(error));
}

fn run(options: &Options) -> io::Result<()> {
    // No connections in this loop, hence no protocol.
    let mut reactor: Reactor<Infallible> = options.wait_with.builder().build()?;
    stop_on_signal(&mut reactor, Duration::ZERO);
    let keyboard = Keyboard { typed: Typed::open(), handle: reactor.handle() };
    reactor.add_source(keyboard)?;
    tick(&mut reactor, Clock { began: Instant::now(), every: options.every, ticks: 0 });
    reactor.run()
}

#[derive(Copy, Clone)]
struct Clock {
    began: Instant,
    every: Duration,
    ticks: u32,
}

/// Starts the timer of the next tick. Its time counts from the beginning, not from the tick before: a clock that is a
/// millisecond late each time would lose a minute and a half a day.
fn tick(reactor: &mut Reactor<Infallible>, clock: Clock) {
    let clock = Clock { ticks: clock.ticks + 1, ..clock };
    let due = clock.began + clock.every.saturating_mul(clock.ticks);
    reactor.after(due.saturating_duration_since(Instant::now()), move |reactor| {
        say(&format!("tick {}", clock.ticks), &reactor.handle());
        tick(reactor, clock);
    });
}

struct Keyboard {
    typed: Typed,
    handle: Handle<Infallible>,
}

impl Source<Infallible> for Keyboard {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.typed.as_fd()
    }

    /// One read per turn, also of a large file: the clock ticks in between.
    fn ready(&mut self, _: &Event, _: &mut SourceContext<'_, Infallible>) -> io::Result<()> {
        match self.typed.read()? {
            Some(lines) => lines.iter().for_each(|line| say(&format!("typed: {line}"), &self.handle)),
            None => self.handle.shutdown(Duration::ZERO),
        }
        Ok(())
    }
}

/// Says a line; if nobody reads what is said, that is the end.
fn say(line: &str, handle: &Handle<Infallible>) {
    let mut stdout = io::stdout().lock();
    if writeln!(stdout, "{line}").and_then(|()| stdout.flush()).is_err() {
        handle.shutdown(Duration::ZERO);
    }
}
