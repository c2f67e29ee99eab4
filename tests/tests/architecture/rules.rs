//! The rules about what a file may say. Each returns its complaints.

use crate::source::File;

/// The only files and folders (they end with a slash) with `unsafe`, and what for.
const UNSAFE: &[(&str, &str)] = &[
    ("reactor/src/sys/", "every system call of the reactor"),
    ("zen-server/src/models/forking.rs", "fork, for the models that are processes"),
    ("reactor/benches/readiness/contender.rs", "the polling crate's way to register, to compare with"),
    ("tests/torture/", "functions of the C library, defined once more to fail at will"),
    ("reactor/tests/", "what a test does to sockets, processes and signals behind the reactor's back"),
    ("tests/canary/", "the errors that the sanitizers are tried on"),
    (
        "zen-server/benches/compare/sys.rs",
        "the bare loop the reactor is measured against, and an allocator that counts",
    ),
];

const SYSTEM_CALLS: &str = "reactor/src/sys/";
const CLOCK: &str = "reactor/src/clock.rs";
/// Where systems are named: for the library, and for the server's program.
const SYSTEMS: [&str; 2] = ["reactor/build.rs", "zen-server/src/system.rs"];
const BACKENDS: &str = "reactor/src/readiness/backend/";

/// What of the standard library makes system calls that `sys.rs` would not know of.
const FORBIDDEN_PATHS: [&str; 7] = [
    "std::process",
    "thread::sleep",
    "thread::spawn",
    "io::stdin",
    "io::stdout",
    "io::stderr",
    "std::env::current_dir",
];

/// A child's pipes turn into ours, as sockets do: their types do nothing by themselves.
const PIPES_OF_CHILDREN: &str = "use std::process::{ChildStderr,ChildStdin,ChildStdout};";

/// What it does with files. The type `File` alone is fine: files to be sent are handed in open.
const FILES: [&str; 8] = [
    "File::open(",
    "File::create(",
    "OpenOptions",
    ".metadata(",
    ".symlink_metadata(",
    ".exists(",
    ".canonicalize(",
    "read_dir(",
];

/// Sockets of the standard library do their system calls themselves: ours turn into them and back, and keep none.
const SOCKETS: [&str; 6] =
    ["TcpStream", "TcpListener", "UdpSocket", "UnixStream", "UnixListener", "UnixDatagram"];
const CONVERSIONS: [&str; 3] = ["fn from_std(", "From<", "descriptor_traits!("];

/// No call of the C library and no I/O of the standard library outside `sys.rs`; constants and types are free.
pub fn system_calls(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| !file.path.starts_with(SYSTEM_CALLS)) {
        let code = flattened(file.code_without_tests());
        for name in calls_of_libc(&code) {
            complaints.push(format!("{}: calls libc's `{name}`: it belongs into {SYSTEM_CALLS}", file.path));
        }
        if code.contains("syscall!") {
            complaints.push(format!("{}: `syscall!` belongs into {SYSTEM_CALLS}", file.path));
        }
        let calls = code.replace(PIPES_OF_CHILDREN, "");
        for path in FORBIDDEN_PATHS.iter().filter(|path| names_path(&calls, path)) {
            complaints.push(format!("{}: `{path}` makes system calls past {SYSTEM_CALLS}", file.path));
        }
        for call in FILES.iter().filter(|call| code.contains(**call)) {
            complaints.push(format!("{}: `{call}…` makes system calls past {SYSTEM_CALLS}", file.path));
        }
        for (at, _) in code.match_indices("fs::") {
            let is_module = !code[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
            if is_module && !code[at..].starts_with("fs::File") {
                complaints.push(format!("{}: of std's `fs` only the type `File` is for here", file.path));
            }
        }
        for socket in SOCKETS.iter().filter(|socket| uses_socket_of_std(&code, socket)) {
            complaints.push(format!("{}: std's {socket} makes system calls past {SYSTEM_CALLS}", file.path));
        }
    }
    complaints
}

/// Whether `code` does anything with a socket of the standard library but converting from and to it.
fn uses_socket_of_std(code: &str, socket: &str) -> bool {
    let imported = ["std::net", "std::os::unix::net"].iter().any(|module| {
        let branch = format!("{module}::{socket}");
        names_path(code, &branch) && code.contains(&format!("use {module}::"))
    });
    let path = format!("net::{socket}");
    let mut mentions = code.match_indices(&path).filter(|&(at, _)| {
        let statement = code[..at].rsplit([';', '{', '}']).next().unwrap_or_default();
        let is_ours = statement.ends_with("crate::") || statement.starts_with("pub use ");
        !is_ours && !CONVERSIONS.iter().any(|conversion| statement.contains(conversion))
    });
    imported || mentions.next().is_some()
}

/// What `code` calls of libc: lower-case names that are followed by a parenthesis or imported by name.
fn calls_of_libc(code: &str) -> Vec<String> {
    let mut calls = Vec::new();
    for (at, found) in code.match_indices("libc::") {
        let after = &code[at + found.len()..];
        if after.starts_with('{') || after.starts_with('*') {
            // Types cannot be told from functions there: name them where they are used.
            calls.push(after.split(';').next().unwrap_or(after).to_owned());
            continue;
        }
        let end =
            after.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(after.len());
        let (name, rest) = after.split_at(end);
        let is_function = name.starts_with(|letter: char| letter.is_lowercase());
        if is_function && (rest.starts_with('(') || code[..at].ends_with("use ")) {
            calls.push(name.to_owned());
        }
    }
    calls
}

/// Whether `code` names `path`, also as a branch of a braced import: `use std::{fs, io}`.
fn names_path(code: &str, path: &str) -> bool {
    let is_end = |rest: &str| !rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_');
    let spelt_out = code.match_indices(path).any(|(at, found)| is_end(&code[at + found.len()..]));
    let (parent, child) = path.rsplit_once("::").expect("a path has two parts");
    let braces = format!("use {parent}::{{");
    let in_braces = code.match_indices(&braces).any(|(at, found)| {
        let group = code[at + found.len()..].split(';').next().unwrap_or_default();
        group
            .split([',', '{', '}'])
            .any(|branch| branch == child || branch.starts_with(&format!("{child}::")))
    });
    spelt_out || in_braces
}

/// Files that may have `unsafe` and have none.
pub fn unsafe_exceptions_gone(files: &[File]) -> Vec<String> {
    let needed =
        |path: &str| files.iter().any(|file| is_at(file, path) && !keyword(&file.code, "unsafe").is_empty());
    let gone = UNSAFE.iter().filter(|(path, _)| !needed(path));
    gone.map(|(path, why)| format!("{path}: needs no exception for {why} any more")).collect()
}

/// Whether a file is the one meant, or in the folder meant.
fn is_at(file: &File, place: &str) -> bool {
    file.path == place || (place.ends_with('/') && file.path.starts_with(place))
}

/// The keyword `unsafe`, tests included.
pub fn unsafe_code(files: &[File]) -> Vec<String> {
    let allowed = |file: &File| UNSAFE.iter().any(|(place, _)| is_at(file, place));
    let places: Vec<&str> = UNSAFE.iter().map(|(place, _)| *place).collect();
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| !allowed(file)) {
        for at in keyword(&file.code, "unsafe") {
            complaints.push(format!("{}: `unsafe` is for {}", file.at(at), places.join(", ")));
        }
    }
    complaints
}

/// Readings of the time.
pub fn time(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.path != CLOCK) {
        let code = flattened(file.code_without_tests());
        for reading in ["Instant::now", "SystemTime::now", ".elapsed("] {
            if code.contains(reading) {
                complaints.push(format!("{}: `{reading}` reads the time past {CLOCK}", file.path));
            }
        }
    }
    complaints
}

/// Conditions on the operating system.
pub fn operating_systems(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| !SYSTEMS.contains(&&*file.path)) {
        for condition in ["target_os", "target_vendor", "target_family"] {
            for at in keyword(&file.code, condition) {
                complaints.push(format!(
                    "{}: `{condition}` belongs into {}",
                    file.at(at),
                    SYSTEMS.join(" or ")
                ));
            }
        }
    }
    complaints
}

/// The headings of a backend, in order. Those after the last may be followed by others of its own.
const DOCUMENTED: [&str; 2] = ["//! # What the kernel offers", "//! # Quirks"];
const MARKED: [&str; 7] = [
    "// # State",
    "// # New",
    "// # Register",
    "// # Reregister",
    "// # Deregister",
    "// # Wait",
    "// # Wake",
];
const LONGEST_BACKEND: usize = 300;

/// The files that implement a kernel interface.
pub fn backends(files: &[File]) -> Vec<&File> {
    let is_backend = |file: &&File| {
        let rest = file.path.strip_prefix(BACKENDS);
        rest.is_some_and(|rest| rest != "mod.rs") && file.code.contains("impl Selector for ")
    };
    files.iter().filter(is_backend).collect()
}

/// All headings, in order, and no more lines than one reads in one go.
pub fn backend_headings(backends: &[&File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in backends {
        let lines = file.text.lines().map(str::trim);
        let found: Vec<&str> =
            lines.filter(|line| line.starts_with("//! # ") || line.starts_with("// # ")).collect();
        let expected: Vec<&str> = DOCUMENTED.into_iter().chain(MARKED).collect();
        if !found.starts_with(&expected) {
            complaints
                .push(format!("{}: has the headings {found:?} where {expected:?} come first", file.path));
        }
        let lines = file.lines_without_tests();
        if lines > LONGEST_BACKEND {
            complaints
                .push(format!("{}: {lines} lines without tests, more than {LONGEST_BACKEND}", file.path));
        }
    }
    complaints
}

/// A file begins with what it is about, in a sentence.
pub fn opening_paragraph(files: &[File]) -> Vec<String> {
    let opens = |file: &&File| {
        let first = file.text.lines().next().and_then(|line| line.strip_prefix("//! "));
        first.is_some_and(|line| {
            line.starts_with(|letter: char| letter.is_alphanumeric() || letter == '`') && line.contains(' ')
        })
    };
    let silent = files.iter().filter(|file| !opens(file));
    silent.map(|file| format!("{}: does not open with a paragraph (`//! …`)", file.path)).collect()
}

/// What marks work that is not done, or a text that only its author's machine understands. Put together here, so that this
/// file does not contain them.
pub fn left_over_words() -> Vec<String> {
    let words = [("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("HA", "CK"), ("(to ", "come)"), ("/home", "/")];
    words.iter().map(|(first, second)| format!("{first}{second}")).collect()
}

pub fn left_over(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        for word in left_over_words() {
            for (at, _) in file.text.match_indices(&word) {
                let line = file.text[..at].matches('\n').count() + 1;
                complaints.push(format!("{}:{line}: says {word:?}", file.path));
            }
        }
    }
    complaints
}

/// Where a word stands alone.
fn keyword(code: &str, word: &str) -> Vec<usize> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let alone = |at: usize| !code[..at].ends_with(is_word) && !code[at + word.len()..].starts_with(is_word);
    code.match_indices(word).map(|(at, _)| at).filter(|&at| alone(at)).collect()
}

/// Code without white space where it means nothing, so that line breaks hide no path: one blank is left between words.
fn flattened(code: &str) -> String {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut flat = String::with_capacity(code.len());
    for piece in code.split_whitespace() {
        if flat.ends_with(is_word) && piece.starts_with(is_word) {
            flat.push(' ');
        }
        flat.push_str(piece);
    }
    flat
}
