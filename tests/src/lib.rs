//! Helpers of the black-box tests: the two programs as child processes, and clients made of plain sockets.
//!
//! A test here waits for conditions, never for a time to pass; the deadlines only turn a hang into a failure. Ports are
//! always 0, and a child process ends with the value that stands for it.
#![warn(missing_docs)]

use std::borrow::BorrowMut;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// Every way to wait that the programs offer and this machine has.
pub fn backends() -> Vec<&'static str> {
    let mut all = vec!["select", "poll", "epoll", "polling"];
    all.extend(is_available("io-uring").then_some("io-uring"));
    all
}

/// Whether this machine lets a test use that backend; if not, says why.
pub fn is_available(backend: &str) -> bool {
    backend.parse::<reactor::Backend>().map_err(|why| eprintln!("skipped: {why}")).is_ok()
}

/// How long a condition may take to come true on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The README's programs have to compile: they are doctests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// Writes one test per backend: `on_every_backend! { fn name(backend) { … } }` makes `name::select`, `name::poll`,
/// `name::epoll`, `name::polling` and `name::io_uring`, with `backend` bound to the name.
#[macro_export]
macro_rules! on_every_backend {
    ($($(#[$attribute:meta])* fn $name:ident($backend:ident) $body:block)*) => {$(
        mod $name {
            use super::*;
            $(#[$attribute])*
            fn on($backend: &str) $body
            #[test]
            fn select() {
                on("select");
            }
            #[test]
            fn poll() {
                on("poll");
            }
            #[test]
            fn epoll() {
                on("epoll");
            }
            #[test]
            fn polling() {
                on("polling");
            }
            #[test]
            fn io_uring() {
                if $crate::is_available("io-uring") {
                    on("io-uring");
                }
            }
        }
    )*};
}

/// One of the server's models, and what it needs on the command line.
#[derive(Copy, Clone, Debug)]
pub struct Model {
    /// What follows `--model`, and what it needs besides.
    pub arguments: &'static [&'static str],
    /// How many it serves at once, at least.
    pub at_once: usize,
}

impl Model {
    /// All that can be started from a command line.
    pub const NAMES: [&str; 11] = [
        "reactor",
        "reactor_workers",
        "callback",
        "framed",
        "single",
        "threads",
        "prethreaded",
        "pool",
        "fork",
        "prefork",
        "fd-passing",
    ];

    /// The model of this name (with two workers: `reactor_workers`), set up for tests.
    #[must_use]
    pub fn named(name: &str) -> Model {
        let (arguments, at_once): (&[&str], usize) = match name {
            "reactor" => (&["reactor"], 1000),
            "reactor_workers" => (&["reactor", "--workers", "2"], 1000),
            "callback" => (&["callback"], 1000),
            "framed" => (&["framed"], 1000),
            "single" => (&["single"], 1),
            "threads" => (&["threads", "--max-connections", "300"], 300),
            "prethreaded" => (&["prethreaded"], 4),
            "pool" => (&["pool"], 4),
            "fork" => (&["fork", "--max-connections", "50"], 50),
            "prefork" => (&["prefork"], 4),
            "fd-passing" => (&["fd-passing"], 4),
            other => panic!("no model {other}"),
        };
        Model { arguments, at_once }
    }
}

/// Writes one test per model: `on_every_model! { fn name(model) { … } }` makes `name::reactor` and so on, with `model` bound to
/// a [`Model`].
#[macro_export]
macro_rules! on_every_model {
    ($($(#[$attribute:meta])* fn $name:ident($model:ident) $body:block)*) => {$(
        mod $name {
            use super::*;
            $(#[$attribute])*
            fn with($model: $crate::Model) $body
            $crate::on_every_model!(@tests reactor reactor_workers callback framed single threads prethreaded pool fork prefork);
            #[test]
            fn fd_passing() {
                with($crate::Model::named("fd-passing"));
            }
        }
    )*};
    (@tests $($model:ident)*) => {$(
        #[test]
        fn $model() {
            with($crate::Model::named(stringify!($model)));
        }
    )*};
}

/// Waits until `condition` holds; panics with `what` if that takes longer than [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The path of one of the workspace's programs, built with the profile of the running test.
///
/// Cargo tells a test where the programs of its *own* package are, not those of others, so it is asked to build them. That
/// is a no-op if they are fresh.
pub fn program(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY
        .get_or_init(|| build(&["--package", "zen-server", "--package", "zen-client", "--bins"]))
        .join(name)
}

/// The path of one of the examples, likewise.
pub fn example(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    // Without naming the package, as the README does it.
    DIRECTORY.get_or_init(|| build(&["--examples"])).join("examples").join(name)
}

fn build(what: &[&str]) -> PathBuf {
    // target/PROFILE/deps/test-0123456789abcdef
    let test = env::current_exe().expect("a process knows its program");
    let directory = test.parent().and_then(Path::parent).expect("tests are built into PROFILE/deps");
    let target = directory.parent().expect("a profile's directory is in the target directory");
    let profile = match directory.file_name().and_then(OsStr::to_str) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", profile])
        .args(what)
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the programs do not build");
    directory.to_owned()
}

/// A command that runs one of the programs, away from the environment and the input of whoever runs the test.
pub fn command(name: &str, arguments: &[&str]) -> Command {
    isolated(&program(name), arguments)
}

/// The same for one of the examples.
pub fn example_command(name: &str, arguments: &[&str]) -> Command {
    isolated(&example(name), arguments)
}

fn isolated(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env_remove("REACTOR_BACKEND").env_remove("CARGO").stdin(Stdio::null());
    command
}

/// What a program that ran to its end left behind.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit status, if no signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// It said nothing but why it did not do what was asked: it ended with `code`, and on standard error stands one line with all
/// of `said`.
#[track_caller]
pub fn assert_one_line(ran: &Ran, code: i32, said: &[&str]) {
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    for text in said {
        assert!(ran.stderr.contains(text), "{:?} does not say {text:?}", ran.stderr);
    }
}

/// Runs a program to its end.
pub fn run(name: &str, arguments: &[&str]) -> Ran {
    finish(command(name, arguments))
}

/// Runs a command to its end; kills it if that does not come.
pub fn finish(mut command: Command) -> Ran {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = Process(child.expect("the program starts"));
    let stdout = collect(child.stdout());
    let stderr = collect(child.stderr());
    let code = child.wait().code();
    let text = |reader: thread::JoinHandle<Vec<u8>>| {
        String::from_utf8(reader.join().expect("the reader does not panic"))
            .expect("the programs write UTF-8")
    };
    Ran { code, stdout: text(stdout), stderr: text(stderr) }
}

fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

/// A child process that is killed, by its own number, when the test is through with it.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts it.
    pub fn start(command: &mut Command) -> Process {
        Process(command.spawn().expect("the program starts"))
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Its standard input, once, if it is a pipe.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.0.stdin.take()
    }

    /// Its standard output, once, if it is a pipe.
    pub fn stdout(&mut self) -> ChildStdout {
        self.0.stdout.take().expect("it is piped")
    }

    /// Its standard error, once, if it is a pipe.
    pub fn stderr(&mut self) -> ChildStderr {
        self.0.stderr.take().expect("it is piped")
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_while(|| {})
    }

    /// Waits for its end, and does something every now and then until it has come.
    #[track_caller]
    pub fn wait_while(&mut self, mut doing: impl FnMut()) -> ExitStatus {
        let mut status = None;
        wait_until("a process ended", || {
            doing();
            status = self.0.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("it ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a signal, by name, to a process, and waits until it was delivered: two of a kind that wait together are one.
#[track_caller]
pub fn signal(process: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -s {name} {process}")]).status();
    assert!(status.expect("sh runs").success(), "cannot send {name} to {process}");
    wait_until("a signal was delivered", || {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        // A zombie keeps the signal that killed it.
        value("State:").is_none_or(|state| state.starts_with('Z'))
            || value("ShdPnd:").is_none_or(|pending| pending.bytes().all(|digit| digit == b'0'))
    });
}

/// A running `zen-server`, or an example that listens.
#[derive(Debug)]
pub struct Server {
    process: Process,
    /// The program itself: not `process` when that is a tracer.
    id: u32,
    listening: Vec<String>,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts it at a free port (unless `-p` or `--unix` is among the arguments) and waits until it listens.
    #[track_caller]
    pub fn start(arguments: &[&str]) -> Server {
        let mut all = arguments.to_vec();
        if !arguments.iter().any(|argument| matches!(*argument, "-p" | "--unix")) {
            all.extend(["-p", "0"]);
        }
        Server::from_command(command("zen-server", &all), 1)
    }

    /// Starts one of its services with one of its models.
    #[track_caller]
    pub fn of(model: Model, service: &str, arguments: &[&str]) -> Server {
        Server::start(&[&["--service", service, "--model"], model.arguments, arguments].concat())
    }

    /// Starts one of the examples instead, at a free port, and waits until it listens.
    #[track_caller]
    pub fn example(name: &str, arguments: &[&str]) -> Server {
        let mut command = example_command(name, &["-p", "0"]);
        command.args(arguments);
        Server::from_command(command, 1)
    }

    /// Starts it and waits for as many lines that say where it listens.
    #[track_caller]
    pub fn from_command(mut command: impl BorrowMut<Command>, lines: usize) -> Server {
        let mut process = Process::start(command.borrow_mut().stdout(Stdio::piped()).stderr(Stdio::piped()));
        let log = Arc::new(Mutex::new(String::new()));
        keep_log(process.stderr(), Arc::clone(&log));
        let mut stdout = BufReader::new(process.stdout());
        let mut listening = Vec::new();
        for _ in 0..lines {
            let mut line = String::new();
            stdout.read_line(&mut line).expect("a pipe can be read");
            let Some(address) = line.trim_end().strip_prefix("Listening at ") else {
                panic!("the server said {line:?} and logged {:?}", log.lock().expect("no panic"));
            };
            listening.push(address.to_owned());
        }
        let id = process.id();
        Server { process, id, listening, log }
    }

    /// Starts it under `strace` with these arguments before it, and waits until it listens.
    #[track_caller]
    pub fn traced(tracing: &[&str], arguments: &[&str]) -> Server {
        let mut strace = Command::new("strace");
        strace.args(tracing).arg(program("zen-server")).args(arguments).args(["-p", "0"]);
        strace.env_remove("REACTOR_BACKEND").stdin(Stdio::null());
        let mut server = Server::from_command(strace, 1);
        let tracer = server.process.id();
        let children = fs::read_to_string(format!("/proc/{tracer}/task/{tracer}/children"));
        let child = children.ok().and_then(|children| children.split_whitespace().next()?.parse().ok());
        server.id = child.expect("the tracer has one child");
        server
    }

    /// Where it listens, as it says itself.
    pub fn listening(&self) -> &[String] {
        &self.listening
    }

    /// Where it listens over TCP.
    pub fn address(&self) -> SocketAddr {
        self.listening[0].parse().expect("it listens over TCP")
    }

    /// The port as an argument.
    pub fn port(&self) -> String {
        self.address().port().to_string()
    }

    /// A client of it.
    #[track_caller]
    pub fn connect(&self) -> Client<TcpStream> {
        Client::new(self.address())
    }

    /// Everything it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    /// Waits until it logged `text` at least `times`.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str, times: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.log.lock().expect("no panic").matches(text).count() < times {
            assert!(
                Instant::now() < deadline,
                "waited in vain for {times} times {text:?} in the log: {}",
                self.log()
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        signal(self.id, name);
    }

    /// Waits for its end; its exit status.
    #[track_caller]
    pub fn wait(&mut self) -> Option<i32> {
        self.process.wait().code()
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its child processes, zombies included.
    pub fn children(&self) -> Vec<u32> {
        let children =
            fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.id)).unwrap_or_default();
        children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
    }

    /// How much memory it has, in KiB: `VmRSS` of proc_pid_status(5).
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|size| size.trim().trim_end_matches(" kB").parse().ok()).expect("Linux counts it")
    }

    /// Open descriptors, but for clocks: a loop makes its own with its first connection, and which of several loops has had one
    /// is the kernel's choice.
    pub fn descriptors(&self) -> usize {
        let listed = fs::read_dir(format!("/proc/{}/fd", self.id)).expect("it lives").flatten();
        let is_clock = |path: PathBuf| {
            fs::read_link(path).is_ok_and(|target| target.as_os_str() == "anon_inode:[timerfd]")
        };
        listed.filter(|entry| !is_clock(entry.path())).count()
    }

    /// The processor time it used, in clock ticks: fields 14 and 15 of proc_pid_stat(5).
    pub fn processor_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id)).expect("it runs");
        let (_, behind_name) = stat.rsplit_once(')').expect("the name is in parentheses");
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        [11, 12].iter().map(|&field| fields[field].parse::<u64>().expect("a number")).sum()
    }

    /// How often it went to sleep: `voluntary_ctxt_switches` of proc_pid_status(5).
    pub fn sleeps(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse().ok()).expect("Linux counts them")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A killed tracer would let the server run on.
        if self.id != self.process.id() {
            let kill = format!("kill -s KILL {} 2>/dev/null", self.id);
            let _ = Command::new("sh").args(["-c", &kill]).status();
        }
    }
}

fn keep_log(stderr: impl Read + Send + 'static, log: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let mut stderr = BufReader::new(stderr);
        let mut line = String::new();
        while stderr.read_line(&mut line).is_ok_and(|length| length > 0) {
            log.lock().expect("no panic").push_str(&line);
            line.clear();
        }
    });
}

/// A client that says what a test wants it to say.
#[derive(Debug)]
pub struct Client<S>(pub S);

impl Client<TcpStream> {
    /// Connects over TCP.
    #[track_caller]
    pub fn new(address: impl Into<SocketAddr>) -> Client<TcpStream> {
        let stream = TcpStream::connect(address.into()).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Client(stream)
    }

    /// Says that nothing follows, and goes on reading.
    pub fn finish(&self) {
        self.0.shutdown(Shutdown::Write).expect("the connection stands");
    }

    /// Sends questions and reads no answers, until the server takes no more: all buffers are full, its own as well.
    #[track_caller]
    pub fn stuff(&mut self) {
        self.0.set_nonblocking(true).expect("a socket can be nonblocking");
        let mut refusals = 0;
        wait_until("the server takes no more", || {
            refusals = match self.0.write(&[b'?'; 64 * 1024]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => refusals + 1,
                other => other.map(|_| 0).expect("the connection stands"),
            };
            refusals > 50
        });
        self.0.set_nonblocking(false).expect("a socket can be blocking");
    }

    /// Leaves with a reset: closing a socket with unread bytes in it sends one.
    #[track_caller]
    pub fn reset(mut self) {
        self.send("Simple is better than?");
        self.0.peek(&mut [0]).expect("an answer comes");
    }
}

impl Client<UnixStream> {
    /// Connects over a Unix socket.
    #[track_caller]
    pub fn unix(path: &Path) -> Client<UnixStream> {
        let stream = UnixStream::connect(path).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Client(stream)
    }
}

impl<S: Read + Write> Client<S> {
    /// Sends text.
    #[track_caller]
    pub fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).expect("the connection stands");
    }

    /// Reads one answer, its `.` included.
    #[track_caller]
    pub fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        while answer.last() != Some(&b'.') {
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(0) => panic!("the server closed after {:?}", String::from_utf8_lossy(&answer)),
                Ok(_) => answer.push(byte[0]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&answer)),
            }
        }
        String::from_utf8(answer).expect("answers are ASCII")
    }

    /// Asks, and reads the answer.
    #[track_caller]
    pub fn ask(&mut self, question: &str) -> String {
        self.send(question);
        self.answer()
    }

    /// Reads until the server closes.
    #[track_caller]
    pub fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).expect("the server closes in order");
        rest
    }

    /// Waits until the server hung up, be it in order or with a reset.
    #[track_caller]
    pub fn wait_for_end(&mut self) {
        match self.0.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            other => panic!("the server was to hang up, but: {other:?}"),
        }
    }
}

/// A path in the directory for temporary files that no other test uses, and that is removed when dropped.
#[derive(Debug)]
pub struct TemporaryPath(PathBuf);

impl TemporaryPath {
    /// A new one; nothing is there yet.
    #[allow(clippy::new_without_default)] // each is another one
    pub fn new() -> TemporaryPath {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        TemporaryPath(env::temp_dir().join(format!("zen-test-{}-{number}", std::process::id())))
    }

    /// As an argument.
    pub fn text(&self) -> &str {
        self.0.to_str().expect("we named it")
    }
}

impl AsRef<Path> for TemporaryPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryPath {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Whether a program that a test would like to use is installed; says so if not.
pub fn is_installed(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).any(|directory| directory.join(name).is_file());
    if !found {
        println!("skipped: {name} is missing");
    }
    found
}

/// Lets this process open as many descriptors as the system allows; whether that is at least `wanted`.
pub fn raise_descriptor_limit(wanted: u64) -> bool {
    let allowed = rlimit::increase_nofile_limit(u64::MAX).expect("the soft limit may always be raised");
    if allowed < wanted {
        println!("skipped: {wanted} descriptors are needed, and the limit is {allowed}");
    }
    allowed >= wanted
}
