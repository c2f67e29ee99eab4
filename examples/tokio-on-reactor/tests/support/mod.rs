//! Running a test under each kernel interface, in a process of its own, because the environment chooses it.

use std::any::type_name;
use std::env;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use reactor::Backend;
use rustix::process::{Pid, Signal, kill_process_group};

/// How long a condition may take to come true on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Marks the process that is to run the body of a test.
const CHILD: &str = "TOKIO_ON_REACTOR_CHILD";

/// The kernel interfaces to test: the one that `REACTOR_BACKEND` names, or else all that are available here.
fn backends() -> Vec<Backend> {
    let named = env::var("REACTOR_BACKEND").is_ok_and(|name| !name.is_empty());
    match named {
        true => vec![Backend::Auto.resolve().unwrap()],
        false => Backend::available().iter().copied().filter(|&backend| backend != Backend::Auto).collect(),
    }
}

/// Runs `body` once for each backend, in a child process: this program again, with `test` alone. `test` is the function that
/// calls this, by which the child knows what to run.
#[track_caller]
pub fn on_every_backend<T: Fn()>(test: T, body: impl FnOnce(Backend)) {
    on_every_backend_with(test, &|_| {}, body);
}

/// The same, with something to be prepared for the child.
#[track_caller]
pub fn on_every_backend_with<T: Fn()>(_: T, prepare: &dyn Fn(&mut Command), body: impl FnOnce(Backend)) {
    if env::var_os(CHILD).is_some() {
        return body(Backend::Auto.resolve().unwrap());
    }
    let name = type_name::<T>().split_once("::").unwrap().1;
    for backend in backends() {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args([name, "--exact", "--nocapture"]);
        command.env("REACTOR_BACKEND", backend.name()).env(CHILD, "yes");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0); // so that whatever it starts ends with it
        prepare(&mut command);
        let (status, output) = end_of(command.spawn().unwrap());
        assert!(
            status.is_some_and(|status| status.success()) && output.contains("1 passed"),
            "{name} with {backend}: {}\n{output}",
            status.map_or("it hung".to_owned(), |status| status.to_string())
        );
    }
}

/// Waits for the end of a child, not longer than [`PATIENCE`]: its status if it came to one, and all it said.
fn end_of(mut child: Child) -> (Option<ExitStatus>, String) {
    let (out, err) = (read_all(child.stdout.take().unwrap()), read_all(child.stderr.take().unwrap()));
    let begun = Instant::now();
    let group = Pid::from_child(&child);
    let mut status = None;
    while status.is_none() && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(5));
        status = child.try_wait().unwrap();
    }
    // What it started and left behind would keep its output open; if it hung itself, it is in there.
    let _ = kill_process_group(group, Signal::KILL);
    child.wait().unwrap();
    (status, out.join().unwrap() + &err.join().unwrap())
}

/// In a thread, so that a child that says much on both sides does not wait for us.
fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        let _ = from.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    })
}
