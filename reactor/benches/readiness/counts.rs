//! What an operation adds to what the kernel does: instructions in the program, and the system calls themselves.
//!
//! Two runs of this program, one with more repetitions than the other; the difference is the operation's.

use std::io;
use std::process::{Command, Stdio};

use clap::ValueEnum;

use crate::Plan;
use crate::contender::{Kind, PEERS_STAND_ON};
use crate::operation::Operation;
use crate::shared::counting::{Count, Scratch};
use crate::shared::progress;
use crate::shared::report::{Figure, Report};

pub fn measure(count: Count, plan: &Plan, report: &mut Report) -> io::Result<()> {
    let (name, what, note, decimals) = match count {
        Count::Instructions => (
            "instructions",
            "user instructions",
            "callgrind, difference of two runs; with the write and the read",
            0,
        ),
        Count::Calls => {
            ("calls", "system calls", "strace, difference of two runs; with the write and the read", 2)
        }
    };
    report.section(name, &format!("{what} of an operation; mio and polling on {PEERS_STAND_ON}"), note);
    if let Some(why) = count.missing() {
        report.skipped(&why);
        return Ok(());
    }
    // Where it is only to be seen that it works, one operation is enough: starting the tools takes the time.
    let operations = if plan.turn.is_zero() { &[Operation::One] } else { Operation::value_variants() };
    for &operation in operations {
        for kind in Kind::by_interface().into_iter().flatten() {
            progress::show(&format!("{what} of {kind}: {operation}"));
            if let Some(value) = per_operation(count, operation, kind, plan.counted)? {
                report.figure(Figure::new(kind, operation, value, decimals));
            }
        }
    }
    report.end_of_section();
    Ok(())
}

/// What the tool counts of one repetition; nothing where a contender does not run under the tool (callgrind knows no
/// io_uring).
fn per_operation(count: Count, operation: Operation, kind: Kind, times: u64) -> io::Result<Option<f64>> {
    let output = Scratch::new("readiness");
    let tool = count.command(output.path());
    let run = |times: u64| -> io::Result<Option<u64>> {
        let status = Command::new(&tool[0])
            .args(&tool[1..])
            .arg(std::env::current_exe()?)
            .args(["repeat", &operation.name(), &kind.to_string(), &times.to_string()])
            .stderr(Stdio::null())
            .status()?;
        if status.success() { count.total(output.path()).map(Some) } else { Ok(None) }
    };
    let (Some(few), Some(many)) = (run(times / 4)?, run(times)?) else { return Ok(None) };
    Ok(Some(many.saturating_sub(few) as f64 / (times - times / 4) as f64))
}

/// What runs under the tool.
pub fn repeat(operation: Operation, kind: Kind, times: u64) -> io::Result<()> {
    let mut prepared = operation.prepare(kind)?;
    (0..times).try_for_each(|_| prepared.once())
}
