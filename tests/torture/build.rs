//! Reads which system calls the reactor makes, out of its source, so that one without a row in `outcomes.rs` does not compile.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Where all of them are made (a test in `tests/tests/architecture/` holds it to that).
const SYSTEM_CALLS: &str = "../../reactor/src/sys";

/// What it makes on other systems only: there is no such thing here to be interposed.
const ELSEWHERE: [&str; 5] = ["accept", "kevent", "kqueue", "pipe", "pread"];

fn main() {
    println!("cargo::rerun-if-changed={SYSTEM_CALLS}");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(SYSTEM_CALLS).expect("the reactor's source is beside us") {
        let path = entry.expect("the folder is readable").path();
        if path.is_file() {
            names.extend(calls_in(&path)); // (a folder is the simulated kernel, which calls nobody)
        }
    }
    names.retain(|name| !ELSEWHERE.contains(&name.as_str()));
    assert!(names.contains("recv"), "no system calls found in {SYSTEM_CALLS}");
    let calls: String = names.iter().map(|name| format!("Call::{name}, ")).collect();
    let code =
        format!("/// Out of the reactor's source.\npub const MADE_BY_THE_REACTOR: &[Call] = &[{calls}];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("made_by_the_reactor.rs"), code).expect("cargo's own folder is writable");
}

/// The names in `syscall!(NAME(…))`, and for `syscall!(syscall(libc::SYS_NAME, …))` the one that is meant.
fn calls_in(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("source is text");
    let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let calls = code.split("syscall!(").skip(1).map(|call| match word(call).as_str() {
        "syscall" => word(call.split("libc::SYS_").nth(1).expect("a number by name")),
        name => name.to_owned(),
    });
    calls.collect()
}

/// The identifier that `text` begins with.
fn word(text: &str) -> String {
    text.trim_start().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}
