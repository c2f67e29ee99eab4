//! The commands in the README are run, and what they print is compared with what it shows.
//!
//! A block marked `console` is a terminal: a line that begins with `$ ` is a command, the lines below it are its output. Three
//! things differ from what a reader does: `cargo run --bin` is left out (the programs are built already), the server listens
//! at a free port instead of its usual one, and the order of the client's lines does not count where the client chooses it at random.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zen_tests::{Server, finish, is_installed, program};

/// One command of the README and the output it shows.
struct Shown {
    command: String,
    output: Vec<String>,
}

fn in_the_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn readme() -> String {
    fs::read_to_string(in_the_repository("README.md")).expect("there is a README")
}

fn shown() -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    let mut is_console = false;
    for line in readme().lines() {
        if let Some(language) = line.strip_prefix("```") {
            is_console = language == "console";
        } else if let (true, Some(command)) = (is_console, line.strip_prefix("$ ")) {
            all.push(Shown { command: command.to_owned(), output: Vec::new() });
        } else if is_console {
            all.last_mut().expect("a command stands above its output").output.push(line.to_owned());
        }
    }
    all
}

#[test]
fn the_first_command_starts_the_server_and_the_second_runs_the_tests() {
    let commands: Vec<String> = shown().into_iter().map(|shown| shown.command).collect();
    assert_eq!(commands[..2], ["cargo run --bin zen-server", "cargo test --workspace"]);
}

#[test]
fn every_command_prints_what_the_readme_shows() {
    let mut server = None;
    for Shown { command, output } in shown() {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            // That is us, and what takes longer than a test may.
            ["cargo", "test", ..] | ["bash", "tests/planted/run"] => assert!(output.is_empty()),
            // That is a workspace of its own.
            ["cd", folder] => assert!(in_the_repository(folder).join("Cargo.toml").exists(), "{command}"),
            ["REACTOR_BACKEND=poll", "cargo", "run"] => assert!(output.is_empty()),
            ["cargo", "run", "--bin", "zen-server", ref rest @ ..] => {
                let arguments: Vec<&str> = rest.iter().copied().filter(|word| *word != "--").collect();
                let started = Server::start(&arguments);
                let usual = if words.contains(&"bytes") { 2000 } else { 1060 };
                assert_eq!(output, [format!("Listening at 127.0.0.1:{usual}")], "{command}");
                assert_eq!(started.address().ip().to_string(), "127.0.0.1");
                server = Some(started);
            }
            _ => {
                let server: &Server = server.as_ref().expect("the server is started above its clients");
                compare(&command, output, &server.port());
            }
        }
    }
}

/// Runs a command of a client's in a shell.
fn compare(command: &str, mut output: Vec<String>, port: &str) {
    if command.contains("nc ") && !is_installed("nc") {
        return;
    }
    let client = program("zen-client");
    let line = command
        .replace("cargo run --bin zen-client --", &format!("{} -p {port}", client.display()))
        .replace("cargo run --bin zen-client", &format!("{} -p {port}", client.display()))
        .replace(" 1060", &format!(" {port}"))
        .replace(" 2000", &format!(" {port}"));
    let mut shell = Command::new("sh");
    shell.args(["-c", &line]).stdin(Stdio::null()).env_remove("REACTOR_BACKEND");
    let ran = finish(shell);
    let mut lines: Vec<&str> = ran.stdout.lines().collect();
    if !command.contains("ask") {
        output.sort_unstable();
        lines.sort_unstable();
    }
    assert_eq!(lines, output, "{command}: {}", ran.stderr);
}

#[test]
fn every_file_the_readme_points_to_exists() {
    let text = readme();
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
        let path = in_the_repository(target.split('#').next().unwrap_or(target));
        assert!(path.exists(), "the README points to {target}, which is not there");
    }
}

#[test]
fn the_event_loop_of_the_readme_is_the_example() {
    let path = in_the_repository("examples/examples/custom_loop.rs");
    let example = fs::read_to_string(path).expect("there is the example");
    let (_, code) = example.split_once("\n\n").expect("the code stands below the comment");
    assert!(readme().contains(&format!("```rust,no_run\n{code}```")), "change both");
}

#[test]
fn the_readme_counts_the_planted_bugs() {
    let folder = fs::read_dir(in_the_repository("tests/planted")).expect("there is the catalogue");
    let is_patch = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "patch");
    let count = folder.filter_map(|entry| Some(entry.ok()?.path())).filter(is_patch).count();
    assert!(readme().contains(&format!("is caught: {count} of {count}.")), "there are {count}");
}
