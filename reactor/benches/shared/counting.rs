//! Tools that count what a program does: the same on every run, whatever else the machine does.
//!
//! A count ends with the process, so what is asked is always the difference of two runs, one of which had more to do:
//! starting and ending cancel out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is counted.
#[derive(Copy, Clone, Debug)]
pub enum Count {
    /// Instructions that the program executes (callgrind); what the kernel executes for it is not in it.
    Instructions,
    /// System calls (strace, which slows a program down: one that has more to do with each call looks cheaper than it is).
    Calls,
}

impl Count {
    /// Why it cannot be counted here.
    pub fn missing(self) -> Option<String> {
        let (tool, what) = match self {
            Count::Instructions => ("valgrind", "instructions"),
            Count::Calls => ("strace", "system calls"),
        };
        let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        match found {
            Ok(status) if status.success() => None,
            _ => Some(format!("counting {what} needs `{tool}`, which does not run here")),
        }
    }

    /// The command to run a program under: it comes before the program's own.
    pub fn command(self, output: &Path) -> Vec<String> {
        let output = output.display().to_string();
        match self {
            Count::Instructions => {
                let option = format!("--callgrind-out-file={output}");
                ["valgrind", "--quiet", "--tool=callgrind", &option].map(str::to_owned).into()
            }
            Count::Calls => ["strace", "-f", "-c", "-o", &output].map(str::to_owned).into(),
        }
    }

    /// The sum in what the tool wrote.
    pub fn total(self, output: &Path) -> io::Result<u64> {
        let text = fs::read_to_string(output)?;
        let total = match self {
            // `totals: 123456`
            Count::Instructions => {
                let line = text.lines().find_map(|line| line.strip_prefix("totals: "));
                line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            }
            // `100.00    0.012345           1     12345         7 total`
            Count::Calls => {
                let line = text.lines().rev().find(|line| line.trim_end().ends_with(" total"));
                line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok())
            }
        };
        total.ok_or_else(|| io::Error::other(format!("the tool's output has no total: {text:?}")))
    }
}

/// A file that a tool writes into and that is removed in the end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        Scratch(std::env::temp_dir().join(format!("zen-bench-{}-{name}", std::process::id())))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0); // it may never have been written
    }
}
