//! Testing a protocol against every whim of a kernel: thousands of runs in a second, each of which can be repeated exactly.
//!
//! While a simulation runs on a thread, the TCP sockets that this thread makes are simulated, and so is the time; what waits
//! for them is [`Backend::Sim`](crate::Backend::Sim), which [`Backend::Auto`](crate::Backend::Auto) then stands for. The same
//! [`Reactor`] and the same protocols run on it unchanged. [`Peer`]s are the clients: what they do is planned, and when it
//! happens is a choice.
//!
//! Wherever a kernel is free, a choice is made: how long bytes, a FIN and a RST travel, how much one read or write moves,
//! which of the ready are told and in which order, whether somebody is told who is not ready, a signal in a call, a descriptor
//! that is not to be had, a clock that is late. [`seeds`] makes them at random, from numbers; [`explore`] goes through all
//! runs with at most so many unkind choices. A run that fails prints what repeats it.
//!
//! ```
//! use reactor::event_loop::{Context, Protocol, Reactor};
//! use reactor::simulation::{self, Simulation};
//!
//! struct Shout;
//! impl Protocol for Shout {
//!     type Message = ();
//!     fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
//!         cx.write(&input.to_ascii_uppercase());
//!         input.len()
//!     }
//! }
//!
//! simulation::seeds(0..1000, |simulation: &Simulation| {
//!     let mut reactor = Reactor::<Shout>::builder().build()?;
//!     let address = ([127, 0, 0, 1], 1060).into();
//!     reactor.listen(address, |_| Some(Shout))?;
//!     let client = simulation.connect(address);
//!     client.send(b"simple");
//!     client.finish();
//!     simulation.run(&mut reactor, || client.is_finished())?;
//!     assert_eq!(client.received(), b"SIMPLE");
//!     Ok(())
//! });
//! ```

use std::env;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::num::ParseIntError;
use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock;
use crate::event_loop::{Protocol, Reactor, message_of};
use crate::sys::simulated::{self, Act, Choice, Choices, Kernel, PeerState, following, unkind_among};

/// The environment variable that repeats one run: `seed 7` or `choices 0,1,2`.
const REPEAT: &str = "REACTOR_SIM";

/// Turns in which nothing comes of what was planned, after which a run is given up.
const MOST_TURNS: usize = 100_000;

/// The world of one run. It belongs to its thread.
#[derive(Debug)]
pub struct Simulation {
    /// Neither `Send` nor `Sync`: the kernel is this thread's.
    this_thread: PhantomData<*const ()>,
}

impl Simulation {
    fn begin(choices: Choices) -> Simulation {
        assert!(!simulated::is_running(), "a simulation runs on this thread already");
        simulated::boot(choices, clock::now());
        Simulation { this_thread: PhantomData }
    }

    /// A client that connects to a simulated listener at `to`, sometime, and takes what it is sent.
    #[must_use]
    pub fn connect(&self, to: SocketAddr) -> Peer<'_> {
        let peer = self.peer(None);
        peer.plan(Act::Connect(to));
        peer
    }

    /// A server at `at`, to whom the loop may connect. It serves one connection: for a second, ask for a second.
    #[must_use]
    pub fn serve(&self, at: SocketAddr) -> Peer<'_> {
        self.peer(Some(at))
    }

    fn peer(&self, serves: Option<SocketAddr>) -> Peer<'_> {
        Peer { number: ask(|kernel| kernel.new_peer(serves)), simulation: PhantomData }
    }

    /// Turns the loop until it is `so`.
    ///
    /// # Errors
    /// Those of [`Reactor::turn`]; [`TimedOut`](io::ErrorKind::TimedOut) if it is not so after 100 000 turns; and `WouldBlock`
    /// if nothing that was planned is left to happen and it is not so.
    pub fn run<P: Protocol + 'static>(
        &self,
        reactor: &mut Reactor<P>,
        so: impl FnMut() -> bool,
    ) -> io::Result<()> {
        self.run_within(MOST_TURNS, reactor, so)
    }

    /// The same in at most so many turns. After a [`calm`](Simulation::calm), this is how to say that whatever is still alive
    /// ends: a hang is counted in turns, never in seconds.
    ///
    /// # Errors
    /// As of [`run`](Simulation::run).
    pub fn run_within<P: Protocol + 'static>(
        &self,
        turns: usize,
        reactor: &mut Reactor<P>,
        mut so: impl FnMut() -> bool,
    ) -> io::Result<()> {
        for _ in 0..turns {
            if so() {
                return Ok(());
            }
            match reactor.turn(None) {
                // What a turn begins with, timers, may have made it so before there was nothing left to wait for.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && so() => return Ok(()),
                result => result?,
            }
        }
        let problem = format!("what was waited for did not come about in {turns} turns");
        if so() { Ok(()) } else { Err(io::Error::new(io::ErrorKind::TimedOut, problem)) }
    }

    /// From now on a connection may be lost, at any time and without anybody's fault: no descriptor or no memory is left for it,
    /// it goes away before it is accepted, nobody answers it, it is cut. Who is cut off hears an RST. What opens sockets may
    /// fail then, [`Reactor::listen`] too.
    pub fn allow_losses(&self) {
        ask(Kernel::allow_losses);
    }

    /// From now on every choice is the kindest: nothing is delayed, cut short or interrupted. What is still alive must come to
    /// its end then.
    pub fn calm(&self) {
        ask(Kernel::calm);
    }

    /// Lets the time pass at once.
    pub fn pass(&self, time: Duration) {
        ask(|kernel| kernel.pass(time));
    }

    /// Lets everything happen that is under way or planned and does not need the loop: when the loop is gone, this is how its
    /// last words arrive.
    pub fn settle(&self) {
        ask(Kernel::settle);
    }

    /// The simulated time.
    #[must_use]
    pub fn now(&self) -> Instant {
        clock::now()
    }

    /// How many simulated sockets are open: listeners, and connections of the loop's side.
    #[must_use]
    pub fn open_sockets(&self) -> usize {
        ask(Kernel::open_sockets)
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        simulated::halt();
    }
}

/// A client in a simulation, who does one thing after the other, each when the world gets to it.
pub struct Peer<'a> {
    number: usize,
    simulation: PhantomData<&'a Simulation>,
}

impl Peer<'_> {
    fn plan(&self, act: Act) {
        ask(|kernel| kernel.plan(self.number, act));
    }

    fn state(&self) -> PeerState {
        ask(|kernel| kernel.peer(self.number))
    }

    /// Sends bytes, in one piece or in many.
    pub fn send(&self, bytes: &[u8]) {
        self.plan(Act::Send(bytes.to_vec()));
    }

    /// Sends nothing more (a FIN), and goes on reading.
    pub fn finish(&self) {
        self.plan(Act::Finish);
    }

    /// Ends the connection with an RST.
    pub fn reset(&self) {
        self.plan(Act::Reset);
    }

    /// Ends the connection as close(2) does: with a FIN, or with an RST if something is unread.
    pub fn close(&self) {
        self.plan(Act::Close);
    }

    /// Takes nothing any more, so that the loop's output stops.
    pub fn stop_reading(&self) {
        self.plan(Act::Read(false));
    }

    /// Takes again what comes.
    pub fn read_again(&self) {
        self.plan(Act::Read(true));
    }

    /// Does what is planned after this only when it has received so many bytes in all.
    pub fn await_bytes(&self, received: usize) {
        self.plan(Act::Await(received));
    }

    /// All bytes received so far.
    #[must_use]
    pub fn received(&self) -> Vec<u8> {
        self.state().received
    }

    /// Whether it stands, or stood.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state().is_connected
    }

    /// Whether nobody listened.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.state().is_refused
    }

    /// Whether the loop's side finished sending and everything it sent was received.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state().is_finished
    }

    /// Whether an RST came.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        self.state().is_reset
    }

    /// Whether everything planned is done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state().is_done
    }
}

impl fmt::Debug for Peer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state().fmt(f)
    }
}

/// A `Simulation` lives, so there is a kernel.
fn ask<R>(ask: impl FnOnce(&mut Kernel) -> R) -> R {
    simulated::with(ask).expect("a simulation runs on this thread")
}

/// One run for each seed. How many there were (one, if the environment variable `REACTOR_SIM` names one to repeat).
///
/// # Panics
/// If a run does, or returns an error: with that, and with a command that repeats the run.
///
/// The [module's text](self) has an example.
pub fn seeds(
    seeds: impl IntoIterator<Item = u64>,
    mut run: impl FnMut(&Simulation) -> io::Result<()>,
) -> usize {
    if repeated(&mut run) {
        return 1;
    }
    let mut runs = 0;
    for seed in seeds {
        one(Choices::of_seed(seed), Some(seed), &mut run);
        runs += 1;
    }
    runs
}

/// Every run with at most `unkind` choices that are not the kindest: first the one without, then all with one, with two, and so
/// on, so that what fails first is as simple as can be. How many there were.
///
/// # Panics
/// As [`seeds`]; and if a run that begins as one before comes out otherwise, because it depends on something besides the
/// simulation: the real time, a thread, the order of a hash table.
///
/// ```
/// use reactor::event_loop::{Context, Protocol, Reactor};
/// use reactor::simulation;
///
/// struct Silent;
/// impl Protocol for Silent {
///     type Message = ();
///     fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize { input.len() }
/// }
///
/// let runs = simulation::explore(1, |simulation| {
///     let mut reactor = Reactor::<Silent>::builder().build()?;
///     let address = ([127, 0, 0, 1], 1060).into();
///     reactor.listen(address, |_| Some(Silent))?;
///     let client = simulation.connect(address);
///     client.finish();
///     simulation.run(&mut reactor, || client.is_finished())
/// });
/// assert!(runs > 10);
/// ```
pub fn explore(unkind: usize, mut run: impl FnMut(&Simulation) -> io::Result<()>) -> usize {
    if repeated(&mut run) {
        return 1;
    }
    let mut runs = 0;
    for level in 0..=unkind {
        let mut next = Some(Vec::new());
        while let Some(given) = next {
            let made = one(Choices::given(given), None, &mut run);
            next = following(&made, level);
            runs += usize::from(unkind_among(&made) == level); // the others were counted before
        }
    }
    runs
}

/// One run: what was chosen in it.
fn one(
    choices: Choices,
    seed: Option<u64>,
    run: &mut impl FnMut(&Simulation) -> io::Result<()>,
) -> Vec<Choice> {
    let simulation = Simulation::begin(choices);
    let result = panic::catch_unwind(AssertUnwindSafe(|| run(&simulation)));
    let (made, strayed) = ask(|kernel| (kernel.choices().made().to_vec(), kernel.choices().strayed()));
    drop(simulation);
    let problem = match result {
        _ if strayed => {
            "it began as a run before and came out otherwise: it depends on more than the simulation".into()
        }
        Ok(Ok(())) => return made,
        Ok(Err(error)) => error.to_string(),
        Err(panic) => message_of(&*panic),
    };
    panic!("a simulated run failed: {problem}\nrepeat it with: {}", command(seed, &made))
}

/// What repeats a run, if a test does the running: the test's thread has its name.
fn command(seed: Option<u64>, made: &[Choice]) -> String {
    let which = match seed {
        Some(seed) => format!("seed {seed}"),
        None => {
            let end = made.iter().rposition(|choice| choice.taken > 0).map_or(0, |last| last + 1);
            let taken: Vec<String> = made[..end].iter().map(|choice| choice.taken.to_string()).collect();
            format!("choices {}", taken.join(","))
        }
    };
    let program = env::current_exe().map_or_else(|_| "PROGRAM".into(), |path| path.display().to_string());
    match thread::current().name() {
        Some(test) if test != "main" => format!("{REPEAT}='{which}' {program} --exact {test}"),
        _ => format!("{REPEAT}='{which}' {program}"),
    }
}

/// Repeats the run that the environment names, if it names one.
fn repeated(run: &mut impl FnMut(&Simulation) -> io::Result<()>) -> bool {
    let Ok(which) = env::var(REPEAT) else { return false };
    let wrong = || -> ! { panic!("{REPEAT} is {which:?}; it should be 'seed 7' or 'choices 0,1,2'") };
    let (choices, seed) = match which.split_once(' ') {
        Some(("seed", seed)) => match seed.parse() {
            Ok(seed) => (Choices::of_seed(seed), Some(seed)),
            Err(_) => wrong(),
        },
        Some(("choices", taken)) => {
            let taken = taken.split(',').filter(|taken| !taken.is_empty()).map(str::parse);
            let choices: Result<Vec<Choice>, _> =
                taken.map(|taken| Ok::<_, ParseIntError>(Choice { taken: taken?, ways: 0 })).collect();
            (Choices::given(choices.unwrap_or_else(|_| wrong())), None)
        }
        _ => wrong(),
    };
    one(choices, seed, run);
    true
}
