//! A server as a child process, and what can be learned about it from outside.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::server::Kind;
use crate::sys;

/// A server process; killed when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// The server's own, where `child` is a tool it runs under.
    pid: u32,
    counter: u64,
}

/// Says on standard output what [`Server::start`] wants to know.
pub fn announce(listener: &TcpListener) -> io::Result<()> {
    let (address, pid, counter) = (listener.local_addr()?, std::process::id(), sys::address_of_counter());
    let mut output = io::stdout().lock();
    writeln!(output, "listening at {address} as process {pid} counting at {counter}")?;
    output.flush()
}

impl Server {
    /// Starts it on any processor, or on one.
    pub fn start(kind: Kind, core: Option<usize>) -> io::Result<Server> {
        Server::start_under::<&str>(&[], kind, core)
    }

    /// Starts it under a tool: the command that comes before the server's own.
    pub fn start_under<S: AsRef<OsStr>>(tool: &[S], kind: Kind, core: Option<usize>) -> io::Result<Server> {
        let this = std::env::current_exe()?;
        let mut command = match tool {
            [] => Command::new(this),
            [tool, options @ ..] => {
                let mut command = Command::new(tool);
                command.args(options).arg(this);
                command
            }
        };
        command.args(["serve", &kind.to_string(), "--attached"]);
        if let Some(core) = core {
            command.args(["--core", &core.to_string()]);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line)?;
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["listening", "at", address, "as", "process", pid, "counting", "at", counter] => Ok(Server {
                child,
                address: address.parse().map_err(io::Error::other)?,
                pid: pid.parse().map_err(io::Error::other)?,
                counter: counter.parse().map_err(io::Error::other)?,
            }),
            _ => {
                child.kill()?;
                child.wait()?;
                Err(io::Error::other(format!("the {kind} server did not start: {line:?}")))
            }
        }
    }

    /// The CPU time it has used.
    pub fn cpu_time(&self) -> io::Result<Duration> {
        sys::cpu_time(self.pid)
    }

    /// Its resident memory in bytes. From smaps_rollup, which walks the page tables: the figures of /proc/PID/status are
    /// counters that are off by up to a quarter of a megabyte (proc_pid_statm(5), "inaccurate").
    pub fn resident_bytes(&self) -> io::Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(1024 * kilobytes.ok_or_else(|| io::Error::other("smaps_rollup has no Rss"))?)
    }

    /// How often it has allocated memory, read from its memory: the server does not notice.
    pub fn allocations(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        File::open(format!("/proc/{}/mem", self.pid))?.read_exact_at(&mut count, self.counter)?;
        Ok(u64::from_ne_bytes(count))
    }

    /// Ends it, and waits until the tool it runs under has written what it has to say.
    pub fn stop(mut self) -> io::Result<()> {
        sys::terminate(self.pid)?;
        self.child.wait().map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // What goes wrong here cannot be mended, and the kernel kills the server with its parent.
            let _ = sys::terminate(self.pid);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
