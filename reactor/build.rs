//! The table of systems: what each one's kernel and C library offer, as conditions the source can ask for.
//!
//! Nowhere else is an operating system named. The source says `#[cfg(has_epoll)]`, which tells the reader why, and never
//! which systems that are today. To port the library, add a row here. A Unix without a row gets what POSIX promises: select,
//! poll, and a pipe to wake them with.
//!
//! Two conditions are for whoever tests (`RUSTFLAGS`):
//! * `--cfg reactor_force_kqueue` compiles the kqueue backend on any Unix, where it then is the first choice. It needs a
//!   `libc` crate that declares what the BSDs have; `tests/kqueue/run` makes one.
//! * `--cfg reactor_only_posix` takes a system for one without a row, so that what replaces a missing system call can be run
//!   where it is not missing.
//!
//! And three are other crates'. `--cfg loom` is how its models are asked for (`src/sync.rs`). Two are for the tests of mio and
//! polling: they make them use poll(2) where there is better. Our benchmarks do so to compare on the same kernel interface
//! (`benches/readiness`). A poller of polling is no descriptor then.

use std::env;

/// Every condition, and what it promises.
const CONDITIONS: &[(&str, &str)] = &[
    ("has_epoll", "epoll(7), with epoll_pwait2(2) where the kernel is new enough"),
    ("has_io_uring", "io_uring(7), and the crate that knows its memory; with the feature `io-uring`"),
    ("has_kqueue", "kqueue(2)"),
    ("has_evfilt_user", "kqueue: a filter that a thread triggers by itself"),
    ("has_evfilt_except", "kqueue: a filter for out-of-band data"),
    ("has_evfilt_aio", "kqueue: asynchronous I/O with files tells of its end"),
    ("has_evfilt_lio", "kqueue: so does a list of it"),
    ("has_polling", "the `polling` crate's poller is a descriptor: epoll, kqueue or an event port"),
    ("has_eventfd", "eventfd(2)"),
    ("has_timerfd", "timerfd_create(2)"),
    ("has_ppoll", "ppoll(2), which counts nanoseconds"),
    ("has_pollrdhup", "poll(2) tells of a half-close"),
    ("has_pselect6", "pselect6(2), called past the C library, takes bitmaps of any size"),
    ("has_pselect_of_any_size", "the C library's pselect(2) takes bitmaps of any size"),
    ("has_pselect_extsn", "so does its variant `pselect$DARWIN_EXTSN`, but no other"),
    ("has_socket_flags", "SOCK_NONBLOCK and SOCK_CLOEXEC, accept4(2), pipe2(2)"),
    ("has_msg_nosignal", "MSG_NOSIGNAL: no SIGPIPE from this call"),
    ("has_so_nosigpipe_only", "SO_NOSIGPIPE instead: no SIGPIPE from this socket"),
    ("has_sendfile_linux", "sendfile(2) as Linux has it: the offset moves"),
    ("has_sendfile_bsd", "sendfile(2) as FreeBSD has it: what was sent is an argument of its own"),
    ("has_sendfile_darwin", "sendfile(2) as Darwin has it: what was sent replaces the length"),
    ("has_abstract_addresses", "Unix sockets may have names outside of the file system"),
    ("has_ipv6_join_group", "IPV6_JOIN_GROUP, as POSIX calls what Linux calls IPV6_ADD_MEMBERSHIP"),
    ("lacks_so_reuseport", "several sockets cannot listen at one address"),
    ("has_enonet", "ENONET, an error of accept(2)"),
    ("has_rusage_thread", "getrusage(2) of one thread (for tests)"),
    ("has_sa_len", "addresses begin with their length"),
];

/// What is given from outside.
const FOR_TESTS: [&str; 5] = [
    "loom",
    "reactor_force_kqueue",
    "reactor_only_posix",
    "mio_unsupported_force_poll_poll",
    "polling_test_poll_backend",
];

/// The rows.
fn offered_by(system: &str) -> &'static [&'static str] {
    match system {
        "linux" | "android" => &[
            "has_epoll",
            "has_io_uring",
            "has_polling",
            "has_eventfd",
            "has_timerfd",
            "has_ppoll",
            "has_pollrdhup",
            "has_pselect6",
            "has_socket_flags",
            "has_msg_nosignal",
            "has_sendfile_linux",
            "has_abstract_addresses",
            "has_enonet",
            "has_rusage_thread",
        ],
        "freebsd" => &[
            "has_kqueue",
            "has_polling",
            "has_evfilt_user",
            "has_evfilt_aio",
            "has_evfilt_lio",
            "has_ppoll",
            "has_pollrdhup",
            "has_pselect_of_any_size",
            "has_socket_flags",
            "has_msg_nosignal",
            "has_sendfile_bsd",
            "has_ipv6_join_group",
            "has_rusage_thread",
            "has_sa_len",
        ],
        "dragonfly" => &[
            "has_kqueue",
            "has_polling",
            "has_evfilt_user",
            "has_evfilt_except",
            "has_evfilt_aio",
            "has_ppoll",
            "has_pselect_of_any_size",
            "has_socket_flags",
            "has_msg_nosignal",
            "has_sendfile_bsd",
            "has_ipv6_join_group",
            "has_sa_len",
        ],
        // ppoll(2) and EVFILT_USER are younger than the releases in use (NetBSD 10).
        "netbsd" => &[
            "has_kqueue",
            "has_polling",
            "has_pselect_of_any_size",
            "has_socket_flags",
            "has_msg_nosignal",
            "has_ipv6_join_group",
            "has_sa_len",
        ],
        // So is EVFILT_USER here (OpenBSD 7.7).
        "openbsd" => &[
            "has_kqueue",
            "has_polling",
            "has_evfilt_except",
            "has_ppoll",
            "has_pselect_of_any_size",
            "has_socket_flags",
            "has_msg_nosignal",
            "has_ipv6_join_group",
            "has_rusage_thread",
            "has_sa_len",
        ],
        "macos" | "ios" | "tvos" | "visionos" | "watchos" => &[
            "has_kqueue",
            "has_polling",
            "has_evfilt_user",
            "has_evfilt_except",
            "has_evfilt_aio",
            "has_pselect_extsn",
            "has_so_nosigpipe_only",
            "has_sendfile_darwin",
            "has_ipv6_join_group",
            "has_sa_len",
        ],
        "illumos" | "solaris" => &[
            "has_polling",
            "has_socket_flags",
            "has_msg_nosignal",
            "has_ipv6_join_group",
            "lacks_so_reuseport",
        ],
        _ => &[],
    }
}

/// Whether the `io-uring` crate knows this kind of processor. (The same list decides in Cargo.toml whether it is needed.)
fn knows_io_uring(system: &str) -> bool {
    let processor = env::var("CARGO_CFG_TARGET_ARCH").expect("Cargo names the target");
    system == "linux" && ["x86_64", "aarch64", "riscv64", "loongarch64", "powerpc64"].contains(&&*processor)
}

fn given_feature(name: &str) -> bool {
    env::var_os(format!("CARGO_FEATURE_{}", name.to_uppercase().replace('-', "_"))).is_some()
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for condition in CONDITIONS.iter().map(|&(name, _)| name).chain(FOR_TESTS) {
        println!("cargo::rustc-check-cfg=cfg({condition})");
    }
    let system = env::var("CARGO_CFG_TARGET_OS").expect("Cargo names the target");
    let given = |condition: &str| env::var_os(format!("CARGO_CFG_{}", condition.to_uppercase())).is_some();
    let mut offered = match given("reactor_only_posix") {
        true => vec!["has_pselect_of_any_size", "has_rusage_thread"], // what the tests cannot do without
        false => offered_by(&system).to_vec(),
    };
    if given("reactor_force_kqueue") && !offered.contains(&"has_kqueue") {
        offered.extend(["has_kqueue", "has_evfilt_user"]);
    }
    if given("polling_test_poll_backend") {
        offered.retain(|condition| *condition != "has_polling");
    }
    if !given_feature("io-uring") || !knows_io_uring(&system) {
        offered.retain(|condition| *condition != "has_io_uring");
    }
    for condition in offered {
        println!("cargo::rustc-cfg={condition}");
    }
}
