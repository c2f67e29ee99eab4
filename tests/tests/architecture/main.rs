//! Does the source keep what ARCHITECTURE.md promises?
//!
//! The rules are about text: what a file names, imports and how it begins. Each is a function from files to complaints
//! (`rules.rs`, `order.rs`), is run over the tree here, and must complain about a planted offence: a rule that cannot fail
//! proves nothing.

mod order;
mod rules;
mod source;

use std::collections::BTreeSet;
use std::fs;

use order::Order;
use source::{File, Tree};

/// Fails with all complaints, one a line.
#[track_caller]
fn assert_kept(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n  {}", complaints.len(), complaints.join("\n  "));
}

/// A file that is not there.
fn planted(path: &str, text: &str) -> Vec<File> {
    vec![File::new(path, text)]
}

fn architecture() -> String {
    fs::read_to_string(source::root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is readable")
}

#[test]
fn the_tree_is_read_whole() {
    let tree = Tree::read();
    let tops: BTreeSet<&str> = tree.files.iter().filter_map(|file| file.path.split('/').next()).collect();
    assert!(tops.is_superset(&BTreeSet::from(["reactor", "zen-server", "zen-client", "examples", "tests"])));
    for path in [
        "reactor/src/sys/mod.rs",
        "reactor/src/readiness/backend/epoll.rs",
        "reactor/src/event_loop/timer.rs",
    ] {
        assert!(tree.files.iter().any(|file| file.path == path), "{path} was not read");
    }
}

#[test]
fn the_reactors_system_calls_are_in_sys_rs() {
    assert_kept(&rules::system_calls(&Tree::read().under("reactor/src/")));
    for offence in [
        "fn f() { let n = libc::read(0, p, 1); }",
        "fn f() { syscall!(close(3)) }",
        "use libc::{c_int, close};",
        "use std::fs::remove_file;",
        "fn f() { std::fs::remove_file(path) }",
        "fn f() { File::open(path) }",
        "fn f() { path.symlink_metadata() }",
        "use std::process::Command;",
        "use std::process::{ChildStdin, Command};",
        "fn f() { std::thread::sleep(SECOND) }",
        "fn f() { let s = net::TcpStream::connect(address); }",
        "fn f() { let s = std::net::UdpSocket::bind(address); }",
        "use std::net::{SocketAddr, TcpStream};",
        "use std::os::unix::net::UnixStream;",
        "struct Socket { inner: net::TcpStream }",
        "fn f() { io::stdin() }",
    ] {
        assert!(
            !rules::system_calls(&planted("reactor/src/event_loop/x.rs", offence)).is_empty(),
            "{offence}"
        );
    }
    for fine in [
        "fn f() { (libc::EPOLLIN, libc::pollfd { fd }) }",
        "// libc::read(0) is called elsewhere\nconst S: &str = \"std::fs\";",
        "fn f() -> libc::pollfd { todo() }",
        "use std::fs::File;\nfn f(file: Arc<File>) {}",
        "use std::process::{ChildStderr, ChildStdin, ChildStdout};",
        "fn f() { crate::net::TcpStream::connect(address) }",
        "impl TcpStream { fn from_std(stream: net::TcpStream) {} }\nimpl From<TcpStream> for net::TcpStream {}",
        "#[cfg(test)]\nmod tests { use std::fs; }",
    ] {
        assert_kept(&rules::system_calls(&planted("reactor/src/event_loop/x.rs", fine)));
    }
}

#[test]
fn unsafe_is_where_it_is_allowed() {
    let tree = Tree::read();
    assert_kept(&rules::unsafe_code(&tree.files));
    assert_kept(&rules::unsafe_exceptions_gone(&tree.files));
    assert!(!rules::unsafe_exceptions_gone(&planted("reactor/src/sys/mod.rs", "fn f() {}")).is_empty());
    let offence = "fn f() { unsafe { g() } }";
    assert!(!rules::unsafe_code(&planted("reactor/src/net/x.rs", offence)).is_empty());
    assert!(!rules::unsafe_code(&planted("zen-server/src/main.rs", offence)).is_empty());
    let in_a_test = "#[cfg(test)]\nmod tests {\n    fn f() { unsafe { g() } }\n}";
    assert!(!rules::unsafe_code(&planted("reactor/src/net/x.rs", in_a_test)).is_empty());
    assert_kept(&rules::unsafe_code(&planted("reactor/src/sys/mod.rs", offence)));
    assert_kept(&rules::unsafe_code(&planted(
        "reactor/src/net/x.rs",
        "// unsafe, but only in words\nfn f() {}",
    )));
}

#[test]
fn the_reactor_reads_the_time_in_clock_rs() {
    assert_kept(&rules::time(&Tree::read().under("reactor/src/")));
    for offence in ["Instant::now()", "std::time::SystemTime::now()", "start.elapsed()", "Instant :: now ()"]
    {
        let text = format!("fn f() {{ let t = {offence}; }}");
        assert!(!rules::time(&planted("reactor/src/event_loop/x.rs", &text)).is_empty(), "{offence}");
        assert_kept(&rules::time(&planted("reactor/src/clock.rs", &text)));
    }
}

#[test]
fn operating_systems_are_listed_in_one_place() {
    assert_kept(&rules::operating_systems(&Tree::read().files));
    let offence = "#[cfg(target_os = \"linux\")]\nfn f() {}";
    assert!(!rules::operating_systems(&planted("reactor/src/net/x.rs", offence)).is_empty());
    let offence = "fn f() { if cfg!(any(target_os = \"macos\")) {} }";
    assert!(!rules::operating_systems(&planted("reactor/src/sys/mod.rs", offence)).is_empty());
    assert!(!rules::operating_systems(&planted("reactor/src/readiness/backend/mod.rs", offence)).is_empty());
    assert!(!rules::operating_systems(&planted("zen-client/src/main.rs", offence)).is_empty());
    assert_kept(&rules::operating_systems(&planted("reactor/build.rs", offence)));
    assert_kept(&rules::operating_systems(&planted("zen-server/src/system.rs", offence)));
    assert_kept(&rules::operating_systems(&planted("reactor/src/net/x.rs", "#[cfg(has_epoll)]\nfn f() {}")));
}

#[test]
fn backends_have_the_same_headings_in_the_same_order() {
    let tree = Tree::read();
    let backends = rules::backends(&tree.files);
    let names: BTreeSet<&str> = backends.iter().map(|file| file.name()).collect();
    for name in ["epoll", "poll", "select"] {
        assert!(names.contains(name), "{name} is no backend among {names:?}");
    }
    assert_kept(&rules::backend_headings(&backends));

    let epoll = backends.iter().find(|file| file.name() == "epoll").expect("found above");
    for (from, to) in [
        ("    // # Deregister\n", ""),
        ("// # State", "// # Data"),
        ("//! # Quirks", "//! # Notes"),
        ("    // # Register\n", "    // # Wait\n"),
    ] {
        assert!(epoll.text.contains(from), "{from:?} is not there to be spoilt");
        let spoilt = File::new(&epoll.path, &epoll.text.replacen(from, to, 1));
        assert!(!rules::backend_headings(&[&spoilt]).is_empty(), "{from:?} for {to:?}");
    }
    let long = File::new(&epoll.path, &epoll.text.replacen("// # New", &"\n".repeat(300), 1));
    assert!(!rules::backend_headings(&[&long]).is_empty());
}

#[test]
fn every_file_opens_with_a_paragraph() {
    assert_kept(&rules::opening_paragraph(&Tree::read().files));
    for offence in ["use std::io;", "// a comment\nuse std::io;", "//!\nuse std::io;", "//! (later)\n"] {
        assert!(!rules::opening_paragraph(&planted("reactor/src/net/x.rs", offence)).is_empty(), "{offence}");
    }
    assert_kept(&rules::opening_paragraph(&planted(
        "reactor/src/net/x.rs",
        "//! What this file is about.\n",
    )));
}

#[test]
fn nothing_is_left_to_be_written() {
    let tree = Tree::read();
    assert!(tree.texts.iter().any(|file| file.path == "ARCHITECTURE.md"));
    assert_kept(&rules::left_over(&tree.files));
    assert_kept(&rules::left_over(&tree.texts));
    for word in rules::left_over_words() {
        assert!(
            !rules::left_over(&planted("reactor/src/x.rs", &format!("// {word}: this"))).is_empty(),
            "{word}"
        );
    }
}

#[test]
fn no_module_of_the_reactor_uses_a_later_one() {
    let order = Order::of_modules(&architecture());
    assert_kept(&order::upward(&order, &Tree::read().under("reactor/src/")));
    for (path, offence) in [
        ("readiness/poll.rs", "use crate::event_loop::Timer;"),
        ("net/tcp.rs", "use crate::{event_loop::Protocol, sys};"),
        ("readiness/backend/epoll.rs", "use super::super::super::net::TcpStream;"),
        ("clock.rs", "fn f() { crate::readiness::timeout::to_millis(t); }"),
        ("sys/mod.rs", "use crate::clock;"),
        ("error.rs", "use crate::Backend;"), // by another name, which lib.rs gives it
    ] {
        let path = format!("reactor/src/{path}");
        assert!(!order::upward(&order, &planted(&path, offence)).is_empty(), "{path}: {offence}");
    }
    for (path, fine) in [
        ("event_loop/reactor.rs", "use crate::{readiness::Interest, sys};\nuse super::timer::Wheel;"),
        ("readiness/poll.rs", "/// See [`Reactor`](crate::event_loop::Reactor).\nuse super::event::Event;"),
        ("net/tcp.rs", "#[cfg(test)]\nmod tests { use crate::event_loop::Reactor; }"),
    ] {
        assert_kept(&order::upward(&order, &planted(&format!("reactor/src/{path}"), fine)));
    }
}

#[test]
fn no_module_of_the_event_loop_uses_a_later_one() {
    let order = Order::of_event_loop(&architecture());
    assert_kept(&order::upward(&order, &Tree::read().under("reactor/src/event_loop/")));
    for (path, offence) in [
        ("timer.rs", "use super::reactor::Reactor;"),
        ("session.rs", "use crate::event_loop::{connection::Connection, timer};"),
        ("driver/readiness.rs", "use super::super::reactor::Reactor;"),
    ] {
        let path = format!("reactor/src/event_loop/{path}");
        assert!(!order::upward(&order, &planted(&path, offence)).is_empty(), "{path}: {offence}");
    }
}

#[test]
fn the_map_names_every_module_and_no_other() {
    let (tree, text) = (Tree::read(), architecture());
    for order in [Order::of_modules(&text), Order::of_event_loop(&text)] {
        assert_kept(&order::missing_or_gone(&order, &tree.files));
        let unknown = planted(&format!("{}unheard_of.rs", order.folder), "");
        assert!(!order::missing_or_gone(&order, &unknown).is_empty());
        assert!(!order::missing_or_gone(&order, &[]).is_empty());
    }
}
