//! Testing a protocol against every whim of a kernel: thousands of runs in a second, each of which can be repeated exactly.
//!
//! While a simulation runs on a thread, the TCP sockets that this library makes on that thread are simulated, and so is the
//! time; what waits for them is [`Backend::Sim`](crate::Backend::Sim), which [`Backend::Auto`](crate::Backend::Auto) then stands
//! for. The same [`Reactor`] and the same protocols run on it unchanged. [`Peer`]s are the clients and servers at the other ends:
//! what they do is planned, and when it happens is a choice.
//!
//! # A first test
//!
//! ```
//! use reactor::event_loop::{Context, Protocol, Reactor};
//! use reactor::simulation::{self, Simulation};
//!
//! /// Answers each line in capital letters.
//! struct Shout;
//! impl Protocol for Shout {
//!     type Message = ();
//!     fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
//!         let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return 0 };
//!         cx.write(&input[..=end].to_ascii_uppercase());
//!         end + 1
//!     }
//! }
//!
//! /// One run: what the world does, and what must come of it.
//! fn shouts(simulation: &Simulation) -> std::io::Result<()> {
//!     let mut reactor = Reactor::<Shout>::builder().build()?;
//!     let address = ([127, 0, 0, 1], 1060).into();
//!     reactor.listen(address, |_| Some(Shout))?;
//!     let client = simulation.connect(address);
//!     client.send(b"simple\ncomplex\n");
//!     client.finish();
//!     simulation.run(&mut reactor, || client.is_finished())?;
//!     assert_eq!(client.received(), b"SIMPLE\nCOMPLEX\n");
//!     Ok(())
//! }
//!
//! simulation::seeds(0..10_000, shouts);
//! ```
//!
//! That takes about a second in release, and a few without optimization. A protocol that takes whatever one call brings for a line
//! passes any test with a real client on a quiet machine; here it fails within the first few seeds.
//!
//! # What is chosen
//!
//! Wherever a kernel is free, a choice is made: how long bytes, a FIN and an RST travel; how much fits into a connection; how
//! much one read or write moves; which of the ready are told and in which order, and whether somebody who is not; who of
//! several clients comes first; a signal in a call, no memory just now, a read that finds nothing although something is there;
//! whether a connection stands at once, later, or is refused; whether there are edges; a clock that rings late. What no kernel
//! may do does not happen: bytes keep their order, none is lost in an orderly connection, an edge comes for everything new.
//!
//! With [`allow_losses`](Simulation::allow_losses), connections may also be cut, time out, or never be accepted because there is
//! no descriptor or no memory. Then an answer may be cut short, and the test asserts that what came is a beginning of it.
//!
//! [`seeds`] makes the choices at random, each run from a number: for large scenarios. [`explore`] goes through all runs with
//! at most so many unkind choices, the simplest first: for small ones.
//!
//! # When a run fails
//!
//! It panics with what went wrong and with a command, such as
//! ```text
//! repeat it with: REACTOR_SIM='seed 261' target/debug/deps/shout-42e148b08d2ba7bf --exact shouts_in_every_world
//! ```
//! which makes the test do that one run again. (`REACTOR_SIM='seed 261' cargo test shouts_in_every_world` does so as well.) A seed
//! stays good until the program makes other calls. A failure found by `explore` is repeated by its choices, in place of a seed,
//! and [`explore`] notices when a run cannot be repeated, because it depends on something besides the simulation.
//!
//! # Everything ends
//!
//! A hang is counted in turns, never in seconds. A run in which nothing is left to happen fails, and so does one in which the
//! loop is told of something again and again and nothing comes of it. To say that whatever goes wrong is overcome, let the world
//! be unkind for a while, and then give what is alive so many turns to come to its end:
//!
//! ```
//! # use reactor::event_loop::{Context, Protocol, Reactor};
//! # use reactor::simulation::{self, Simulation};
//! # struct Echo;
//! # impl Protocol for Echo {
//! #     type Message = ();
//! #     fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize { cx.write(input); input.len() }
//! # }
//! simulation::seeds(0..100, |simulation: &Simulation| {
//!     let mut reactor = Reactor::<Echo>::builder().build()?;
//!     let address = ([127, 0, 0, 1], 1060).into();
//!     reactor.listen(address, |_| Some(Echo))?;
//!     simulation.allow_losses();
//!     let client = simulation.connect(address);
//!     client.send(b"simple");
//!     client.finish();
//!     for _ in 0..50 {
//!         reactor.turn(Some(std::time::Duration::from_millis(1)))?;
//!     }
//!     simulation.calm();
//!     simulation.run_within(200, &mut reactor, || client.is_finished() || client.is_reset())?;
//!     assert!(b"simple".starts_with(&client.received()));
//!     drop(reactor);
//!     assert_eq!(simulation.open_sockets(), 0);
//!     Ok(())
//! });
//! ```
//!
//! # How it differs from a real kernel
//!
//! * It is one thread's. Another thread may send through a [`Handle`](crate::event_loop::Handle), but then what happens is not
//!   decided by choices alone, and a seed may not repeat it. [`Workers`](crate::event_loop::Workers) are threads: not here.
//! * TCP sockets of this library only, made while it runs. Unix and UDP sockets, pipes, signals and sockets of the standard library
//!   are real, and registering one fails with [`Unsupported`](io::ErrorKind::Unsupported) and an error that says so.
//!   [`write_file`](crate::event_loop::Context::write_file) works: the file is real, the socket is not.
//! * Time stands still while the program runs, and passes at once when it waits. [`Simulation::now`] tells it.
//! * Socket options are taken and mean nothing; a backlog has no end; several listeners at one address are refused.
//! * What a kernel may do but this one does not: break a connection without allowing losses, take more than 10 ms to bring
//!   anything on unless it chooses to several times, and fill a buffer of any size but 1, 8 or 65536 bytes.
//!
//! Loops over layer 1 ([`Poll`](crate::Poll)) can be tested in the same way, with each trigger.

mod runs;

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use runs::{explore, seeds};

use crate::clock;
use crate::event_loop::{Protocol, Reactor};
use crate::sys::simulated::{self, Act, Choices, Kernel, PeerState};

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

    /// Does what is planned after this only when it has received so many bytes in all, or no more will come.
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
