//! What a client hears whose connection was reset: ECONNRESET once, and then, if it writes, EPIPE or a deadly signal.
//!
//! ```console
//! $ cargo run --example rst_server                     # in another terminal
//! $ cargo run --example sigpipe
//! reading: Connection reset by peer (os error 104)
//! writing: Broken pipe (os error 32)
//! now with SIGPIPE as the system sets it:
//! reading: Connection reset by peer (os error 104)
//! the child process died while writing: signal 13 (SIGPIPE)
//! ```
//!
//! Whoever writes into a connection that is no more is sent the signal SIGPIPE, and its default action is to end the process:
//! right for `yes | head`, where the writer would run for ever, and fatal for a server, which would die with the first client
//! that leaves too early. Only if the signal is ignored (or handled) does the write fail with EPIPE instead.
//!
//! A Rust program starts with SIGPIPE ignored. Besides, the sockets of `std` and of the reactor write with send(2) and
//! MSG_NOSIGNAL, so no signal comes whatever its action is; here it is plain write(2), which has no such flag. What kills the
//! child is the default action, restored by its `--default-signal`.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use signal_hook::consts::SIGPIPE;
use zen_examples::{fail, parse, resolve};

/// Attempts to be connected before the reset arrives.
const ATTEMPTS: u32 = 100;

/// Reads from, then writes to a connection that the server resets
#[derive(Parser)]
#[command(
    after_help = "Needs the example rst_server. Exit status: 0, or death by SIGPIPE with --default-signal."
)]
struct Options {
    /// Where rst_server listens
    #[arg(default_value = "127.0.0.1")]
    host: String,
    /// The port of rst_server
    #[arg(short, long, default_value_t = 1062)]
    port: u16,
    /// Let SIGPIPE do to this process what it does by default: end it
    #[arg(long)]
    default_signal: bool,
}

fn main() {
    let options: Options = parse();
    if options.default_signal {
        // "If it is true, do what the signal does by default", and it is true.
        let always = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_default(SIGPIPE, always).unwrap_or_else(|error| fail(error));
    }
    let connection = connect(&options).unwrap_or_else(|error| {
        fail(format_args!("cannot reach {} at port {}: {error}", options.host, options.port))
    });
    read_and_write(connection);
    if !options.default_signal {
        say("now with SIGPIPE as the system sets it:");
        let status = run_again().unwrap_or_else(|error| fail(error));
        say(&told(status));
    }
}

/// The first end: reading hears of the reset. The second: writing.
fn read_and_write(mut connection: File) {
    match connection.read(&mut [0]) {
        Err(error) => say(&format!("reading: {error}")),
        Ok(_) => fail("the server did not reset the connection: is it rst_server?"),
    }
    match connection.write_all(b"Is somebody there?") {
        Err(error) => say(&format!("writing: {error}")),
        Ok(()) => fail("the kernel took bytes for a connection that was reset"),
    }
}

/// Connects. The reset may be quicker than we are, so that connect(2) itself hears of it: then once more.
fn connect(options: &Options) -> io::Result<File> {
    let addresses = resolve(&options.host, options.port);
    for _ in 1..ATTEMPTS {
        match TcpStream::connect(&*addresses) {
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            // As a file, so that it is read and written with read(2) and write(2).
            result => return result.map(|stream| File::from(OwnedFd::from(stream))),
        }
    }
    Err(ErrorKind::ConnectionReset.into())
}

/// The same program with the same arguments and one more, as a child process.
fn run_again() -> io::Result<ExitStatus> {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    Command::new(std::env::current_exe().unwrap_or(program.into()))
        .arg("--default-signal")
        .args(arguments)
        .status()
}

fn told(status: ExitStatus) -> String {
    match status.signal() {
        Some(SIGPIPE) => format!("the child process died while writing: signal {SIGPIPE} (SIGPIPE)"),
        _ => format!("the child process did not die of SIGPIPE: {status}"),
    }
}

/// (`println!` would panic if nobody read it.)
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
