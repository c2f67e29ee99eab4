//! Layer 1: what registering and waiting cost with few ready among many idle, on every backend, beside mio.
//!
//! ```text
//! cargo bench -p zen-reactor --bench readiness
//! ```
//!
//! epoll's wait grows with what happened, poll's and select's with what is watched: the columns show it.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use reactor::readiness::{Backend, Events, Interest, Poll, Token, Trigger};
use reactor::unix::SourceFd;

/// Idle descriptors beside the active ones.
const IDLE: [usize; 3] = [0, 500, 4_000];
/// Descriptors that become readable before each wait.
const ACTIVE: [usize; 2] = [1, 50];
/// How long one figure is measured.
const LONG_ENOUGH: Duration = Duration::from_millis(200);

/// What is compared.
trait Poller {
    fn register(&mut self, fd: RawFd, token: usize) -> io::Result<()>;
    fn deregister(&mut self, fd: RawFd) -> io::Result<()>;
    /// Waits once and calls `ready` with each token.
    fn wait(&mut self, ready: impl FnMut(usize)) -> io::Result<()>;
}

/// Ours, level-triggered: without emulation, what the kernel's interface itself costs.
struct Ours(Poll, Events);

impl Poller for Ours {
    fn register(&mut self, fd: RawFd, token: usize) -> io::Result<()> {
        let source = &mut SourceFd(&fd);
        self.0.registry().register_with(source, Token(token), Interest::READABLE, Trigger::Level)
    }

    fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        self.0.registry().deregister(&mut SourceFd(&fd))
    }

    fn wait(&mut self, mut ready: impl FnMut(usize)) -> io::Result<()> {
        self.0.poll(&mut self.1, None)?;
        self.1.iter().for_each(|event| ready(event.token().0));
        Ok(())
    }
}

/// mio's, which is always edge-triggered.
struct Mio(mio::Poll, mio::Events);

impl Poller for Mio {
    fn register(&mut self, fd: RawFd, token: usize) -> io::Result<()> {
        let source = &mut mio::unix::SourceFd(&fd);
        self.0.registry().register(source, mio::Token(token), mio::Interest::READABLE)
    }

    fn deregister(&mut self, fd: RawFd) -> io::Result<()> {
        self.0.registry().deregister(&mut mio::unix::SourceFd(&fd))
    }

    fn wait(&mut self, mut ready: impl FnMut(usize)) -> io::Result<()> {
        self.0.poll(&mut self.1, None)?;
        self.1.iter().for_each(|event| ready(event.token().0));
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let long_enough = if measured { LONG_ENOUGH } else { Duration::ZERO };
    println!(
        "microseconds; a round: A socket pairs are written, waited for and read, beside N idle descriptors"
    );
    print!("  {:<8}{:>12}", "", "register +");
    IDLE.iter()
        .for_each(|idle| ACTIVE.iter().for_each(|active| print!("{:>14}", format!("N {idle} A {active}"))));
    print!("\n  {:<8}{:>12}", "", "deregister");
    println!("{:>14}", "a round");

    for &backend in Backend::available().iter().filter(|&&backend| backend != Backend::Auto) {
        measure(backend.name(), long_enough, || {
            Ok(Ours(Poll::with_backend(backend)?, Events::with_capacity(1024)))
        })?;
    }
    measure("mio", long_enough, || Ok(Mio(mio::Poll::new()?, mio::Events::with_capacity(1024))))
}

fn measure<P: Poller>(name: &str, long_enough: Duration, new: impl Fn() -> io::Result<P>) -> io::Result<()> {
    print!("  {name:<8}{:>12.2}", registering(&mut new()?, long_enough)?);
    for idle in IDLE {
        for active in ACTIVE {
            match rounds(&mut new()?, idle, active, long_enough) {
                Ok(micros) => print!("{micros:>14.2}"),
                // EMFILE: the reader's limit is not ours to raise here.
                Err(error) if error.raw_os_error() == Some(24) => print!("{:>14}", "ulimit -n"),
                Err(error) => return Err(error),
            }
        }
    }
    println!();
    Ok(())
}

/// Microseconds to register one descriptor and to deregister it.
fn registering(poller: &mut impl Poller, long_enough: Duration) -> io::Result<f64> {
    let (reader, _writer) = UnixStream::pair()?;
    each(long_enough, || {
        poller.register(reader.as_raw_fd(), 0)?;
        poller.deregister(reader.as_raw_fd())
    })
}

/// Microseconds for one round.
fn rounds(poller: &mut impl Poller, idle: usize, active: usize, long_enough: Duration) -> io::Result<f64> {
    // Duplicates of one socket that nobody writes to: one descriptor each, and each an entry of its own.
    let (quiet, _writer) = UnixStream::pair()?;
    let quiet = OwnedFd::from(quiet);
    let idle: Vec<OwnedFd> = (0..idle).map(|_| quiet.try_clone()).collect::<io::Result<_>>()?;
    let mut pairs: Vec<(UnixStream, UnixStream)> =
        (0..active).map(|_| UnixStream::pair()).collect::<io::Result<_>>()?;
    for (token, fd) in idle.iter().enumerate() {
        poller.register(fd.as_raw_fd(), active + token)?;
    }
    for (token, (reader, _)) in pairs.iter().enumerate() {
        poller.register(reader.as_raw_fd(), token)?;
    }
    let micros = each(long_enough, || {
        for (_, writer) in &mut pairs {
            writer.write_all(b"!")?;
        }
        let mut waiting = active;
        while waiting > 0 {
            poller.wait(|token| {
                let read = pairs[token].0.read(&mut [0]);
                assert!(matches!(read, Ok(1)), "an event for a socket with nothing in it");
                waiting -= 1;
            })?;
        }
        Ok(())
    })?;
    // Before they are closed: select and poll would find strangers under their numbers.
    let fds = pairs.iter().map(|(reader, _)| reader.as_raw_fd()).chain(idle.iter().map(AsRawFd::as_raw_fd));
    for fd in fds {
        poller.deregister(fd)?;
    }
    Ok(micros)
}

/// Microseconds that `run` takes, on average over as many times as fit.
fn each(long_enough: Duration, mut run: impl FnMut() -> io::Result<()>) -> io::Result<f64> {
    let (start, mut times) = (Instant::now(), 0u32);
    loop {
        for _ in 0..10 {
            run()?;
        }
        times += 10;
        let elapsed = start.elapsed();
        if elapsed >= long_enough {
            return Ok(elapsed.as_nanos() as f64 / 1000.0 / f64::from(times));
        }
    }
}
