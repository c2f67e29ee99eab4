//! Programs written for mio.
//!
//! Two packages have this source: `on-mio` depends on mio, `on-reactor` says `mio = { package = "zen-reactor", … }` and changes
//! nothing else. Each program returns what it saw, line by line, and a test compares the two (`tests/tests/vocabulary.rs`).
//! [`signatures`] has every public item of mio with its type written out; that it compiles is all it is for.

pub mod child;
pub mod refusals;
pub mod signatures;
pub mod states;
pub mod tcp_server;
pub mod texts;
pub mod udp_echo;
pub mod unix_sockets;
pub mod wakers;

mod waiting;

/// A program's name, and what runs it.
pub type Program = (&'static str, fn() -> std::io::Result<Vec<String>>);

/// Every program.
pub const PROGRAMS: [Program; 8] = [
    ("a TCP server that shouts", tcp_server::run),
    ("a UDP echo", udp_echo::run),
    ("Unix sockets of both kinds", unix_sockets::run),
    ("a child process behind pipes", child::run),
    ("wakers across threads", wakers::run),
    ("the states of a source", states::run),
    ("what is refused", refusals::run),
    ("how things show themselves", texts::run),
];
