//! Does the interposer see everything? strace(1) looks from outside, at all scenarios without faults: between two marks it
//! may see only what was interposed, as often as that was noted, and what memory and locks need.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, fs, io};

use crate::calls::Call;
use crate::run::{Platform, play};
use crate::stage::Scratch;

static MARKING: AtomicBool = AtomicBool::new(false);

/// Numbers that are no descriptors: closing them harms nobody, and strace shows it.
const BEGIN: i32 = -4242;
const END: i32 = -4243;

/// Shows a tracer where the loop's calls begin, or end.
pub fn mark(begins: bool) {
    if MARKING.load(Ordering::Relaxed) {
        // SAFETY: no descriptor.
        unsafe { libc::close(if begins { BEGIN } else { END }) };
    }
}

/// Does something in the middle of the loop's calls that a tracer need not see.
pub fn hidden<R>(run: impl FnOnce() -> R) -> R {
    mark(false);
    let result = run();
    mark(true);
    result
}

/// What strace calls them, where each noted call is one that is made.
const ONE_TO_ONE: &[(&[Call], &str)] = &[
    (&[Call::recv, Call::recvfrom], "recvfrom"),
    (&[Call::recvmsg], "recvmsg"),
    (&[Call::send, Call::sendto], "sendto"),
    (&[Call::sendmsg], "sendmsg"),
    (&[Call::sendfile], "sendfile"),
    (&[Call::readv], "readv"),
    (&[Call::writev], "writev"),
    (&[Call::socket], "socket"),
    (&[Call::socketpair], "socketpair"),
    (&[Call::pipe2], "pipe2"),
    (&[Call::bind], "bind"),
    (&[Call::listen], "listen"),
    (&[Call::connect], "connect"),
    (&[Call::getsockname], "getsockname"),
    (&[Call::getpeername], "getpeername"),
    (&[Call::getsockopt], "getsockopt"),
    (&[Call::setsockopt], "setsockopt"),
    (&[Call::shutdown], "shutdown"),
    (&[Call::epoll_create1], "epoll_create1"),
    (&[Call::epoll_ctl], "epoll_ctl"),
    (&[Call::io_uring_setup], "io_uring_setup"),
    (&[Call::io_uring_register], "io_uring_register"),
    (&[Call::close], "close"),
    (&[Call::open], "openat"),
    (&[Call::unlink], "unlink"),
];

/// What else may be seen: calls that the interposer looks ahead of or makes in place of others, signals, memory, locks.
const BESIDES: &[&str] = &[
    "accept4",
    "io_uring_enter",
    "poll",
    "ppoll",
    "pselect6",
    "epoll_wait",
    "eventfd2",
    "read",
    "write",
    "ioctl",
    "fcntl",
    "newfstatat",
    "lstat",
    "fstat",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "mmap",
    "munmap",
    "mremap",
    "mprotect",
    "madvise",
    "brk",
    "futex",
    "getrandom",
    "sched_getaffinity",
    "set_robust_list",
    "rseq",
    "gettid",
    "tgkill",
    "getpid",
    "clone3",
    "clone",
    "sigaltstack",
    "exit",
    "prctl",
];

/// Plays everything once, with marks, and prints how often each call was noted.
pub fn play_everything(platform: Platform) -> io::Result<()> {
    let scratch = Rc::new(Scratch::new()?);
    let mut noted = BTreeMap::new();
    for scenario in platform.scenarios() {
        MARKING.store(true, Ordering::Relaxed);
        let record = play(scenario, platform, &scratch, Vec::new(), None);
        MARKING.store(false, Ordering::Relaxed);
        for entry in record.log {
            *noted.entry(entry.call).or_insert(0) += 1;
        }
    }
    for (calls, name) in ONE_TO_ONE {
        let count: usize = calls.iter().filter_map(|call| noted.get(call)).sum();
        println!("{name} {count}");
    }
    Ok(())
}

/// What strace saw and the interposer did not. `None`: there is no strace, or it may not trace here.
pub fn unseen(platform: Platform, folder: &Path) -> io::Result<Option<Vec<String>>> {
    let path = env::var_os("PATH").unwrap_or_default();
    if !env::split_paths(&path).any(|directory| directory.join("strace").is_file()) {
        return Ok(None);
    }
    let record = folder.join("strace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(&record).arg(env::current_exe()?).args(["--traced", platform.name]);
    let output = strace.output()?;
    let trace = fs::read_to_string(&record).unwrap_or_default();
    if !output.status.success() || !trace.contains(&format!("close({BEGIN})")) {
        return Ok(None);
    }
    let mut seen = between_marks(&trace);
    let mut wrong = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((name, noted)) = line.split_once(' ') else { continue };
        let count = seen.get(name).copied().unwrap_or(0);
        if noted.parse() != Ok(count) {
            wrong.push(format!("{}: {name} was made {count} times and noted {noted} times", platform.name));
        }
    }
    // A wait that was stopped and goes on is seen by this name; nobody calls it.
    seen.remove("restart_syscall");
    let known = |name: &str| BESIDES.contains(&name) || ONE_TO_ONE.iter().any(|(_, one)| *one == name);
    let strangers = seen.keys().filter(|name| !known(name));
    wrong.extend(strangers.map(|name| format!("{}: {name} was made past the interposer", platform.name)));
    Ok(Some(wrong))
}

/// How often each call was made between the marks, by whichever thread: while one that is armed waits for another, so is that.
fn between_marks(trace: &str) -> BTreeMap<&str, u64> {
    let (mut seen, mut depth) = (BTreeMap::new(), 0);
    for line in trace.lines() {
        let call = line.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ' ');
        let Some((name, arguments)) = call.split_once('(') else { continue };
        let is_name = name
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
        if arguments.starts_with(&BEGIN.to_string()) {
            depth += 1;
        } else if arguments.starts_with(&END.to_string()) {
            depth -= 1;
        } else if depth > 0 && is_name {
            *seen.entry(name).or_insert(0) += 1;
        }
    }
    seen
}
