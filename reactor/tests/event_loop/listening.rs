//! Listeners: what they accept, when they rest, and what they leave behind.

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::{Ipv6Addr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;

use reactor::Backend;
use reactor::net::Address;

use crate::bench::{Bench, Scratch, Script, is_over};

pub fn a_listener_says_where_it_is_and_who_comes(backend: Backend) {
    let mut bench = Bench::new(backend);
    let diary = bench.diary.clone();
    let seen = Rc::new(Cell::new(None));
    let see = Rc::clone(&seen);
    let id = bench.reactor.listen(([127, 0, 0, 1], 0), move |incoming| {
        see.set(Some((incoming.peer.ip().unwrap(), incoming.listener)));
        Some(Script::echo(&diary))
    });
    let id = id.unwrap();
    let address = bench.address(id);
    assert!(address.port() != 0);
    let mut peer = TcpStream::connect(address).unwrap();
    peer.set_nonblocking(true).unwrap();
    assert_eq!(bench.ask(&mut peer, "hello", 5), "hello");
    assert_eq!(seen.get(), Some((address.ip(), id)));
}

pub fn an_address_in_use_is_an_error_in_words(backend: Backend) {
    let mut bench = Bench::new(backend);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = bench.reactor.listen(address, |_| None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().starts_with(&format!("cannot listen at {address}: ")), "{error}");
}

pub fn a_listener_at_all_addresses_serves_both_families(backend: Backend) {
    let mut bench = Bench::new(backend);
    let diary = bench.diary.clone();
    let id = match bench.reactor.listen((Ipv6Addr::UNSPECIFIED, 0), move |_| Some(Script::echo(&diary))) {
        Ok(id) => id,
        Err(error) if error.raw_os_error().is_none() && error.kind() == ErrorKind::AddrNotAvailable => return,
        Err(error) => {
            assert!(error.to_string().contains("Address family not supported"), "{error}");
            return; // a machine without IPv6
        }
    };
    let port = bench.address(id).port();
    let mut hosts = vec!["127.0.0.1"];
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        hosts.push("::1");
    }
    for host in hosts {
        let mut peer = TcpStream::connect((host, port)).unwrap();
        peer.set_nonblocking(true).unwrap();
        assert_eq!(bench.ask(&mut peer, "hello", 5), "hello", "{host}");
    }
}

pub fn a_path_is_removed_when_its_listener_ends(backend: Backend) {
    let scratch = Scratch::new();
    let path = scratch.path("socket");
    let mut bench = Bench::new(backend);
    let diary = bench.diary.clone();
    let id = bench.reactor.listen(path.as_path(), move |_| Some(Script::echo(&diary))).unwrap();
    assert_eq!(bench.reactor.local_address(id), Some(&Address::Unix(path.clone())));
    let mut peer = UnixStream::connect(&path).unwrap();
    peer.set_nonblocking(true).unwrap();
    assert_eq!(bench.ask(&mut peer, "hello", 5), "hello");
    drop(bench);
    assert!(!path.exists());
}

pub fn a_path_that_a_dead_server_left_behind_is_taken_over(backend: Backend) {
    let scratch = Scratch::new();
    let path = scratch.path("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let mut bench = Bench::new(backend);
    let diary = bench.diary.clone();
    bench.reactor.listen(path.as_path(), move |_| Some(Script::echo(&diary))).unwrap();
    let mut peer = UnixStream::connect(&path).unwrap();
    peer.set_nonblocking(true).unwrap();
    assert_eq!(bench.ask(&mut peer, "hello", 5), "hello");
}

pub fn a_path_where_somebody_listens_or_something_else_stands_is_left_alone(backend: Backend) {
    let scratch = Scratch::new();
    let mut bench = Bench::new(backend);
    let path = scratch.path("socket");
    let _living = UnixListener::bind(&path).unwrap();
    assert_eq!(bench.reactor.listen(path.as_path(), |_| None).unwrap_err().kind(), ErrorKind::AddrInUse);
    UnixStream::connect(&path).unwrap();
    let file = scratch.path("file");
    std::fs::write(&file, "precious").unwrap();
    assert_eq!(bench.reactor.listen(file.as_path(), |_| None).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}

pub fn a_connection_without_a_protocol_is_refused(backend: Backend) {
    let mut bench = Bench::new(backend);
    let id = bench.reactor.listen(([127, 0, 0, 1], 0), |_| None).unwrap();
    let mut peer = TcpStream::connect(bench.address(id)).unwrap();
    peer.set_nonblocking(true).unwrap();
    bench.until("the end", |_| is_over(&mut peer));
    assert_eq!((bench.reactor.counters().refused, bench.reactor.counters().accepted), (1, 0));
    assert!(bench.diary.find("notice: refused 127.0.0.1:").is_some());
}

pub fn a_listeners_function_that_panics_refuses_one_and_serves_the_next(backend: Backend) {
    let mut bench = Bench::new(backend);
    let diary = bench.diary.clone();
    let mut first = true;
    let id = bench.reactor.listen(([127, 0, 0, 1], 0), move |_| {
        if std::mem::take(&mut first) {
            panic!("in make");
        }
        Some(Script::echo(&diary))
    });
    let address = bench.address(id.unwrap());
    let mut unlucky = TcpStream::connect(address).unwrap();
    let mut lucky = TcpStream::connect(address).unwrap();
    unlucky.set_nonblocking(true).unwrap();
    lucky.set_nonblocking(true).unwrap();
    assert_eq!(bench.ask(&mut lucky, "hello", 5), "hello");
    bench.until("the end", |_| is_over(&mut unlucky));
    assert!(bench.diary.find("notice: refused").unwrap().ends_with("function panicked: in make"));
    assert_eq!((bench.reactor.counters().panics, bench.reactor.counters().refused), (1, 1));
}

pub fn two_listeners_speak_each_for_itself(backend: Backend) {
    let mut bench = Bench::new(backend);
    for word in ["one", "two"] {
        let diary = bench.diary.clone();
        let address = bench.listen(move || Script::new(&diary).opened(move |cx| cx.write(word.as_bytes())));
        let mut peer = TcpStream::connect(address).unwrap();
        peer.set_nonblocking(true).unwrap();
        assert_eq!(bench.read(&mut peer, 3), word.as_bytes());
    }
}

pub fn a_connection_that_was_reset_in_the_backlog_harms_nobody(backend: Backend) {
    let mut bench = Bench::new(backend);
    let diary = bench.diary.clone();
    let address = bench.listen(move || Script::echo(&diary));
    let gone = TcpStream::connect(address).unwrap();
    crate::support::reset_on_close(&gone);
    drop(gone);
    let mut peer = TcpStream::connect(address).unwrap();
    peer.set_nonblocking(true).unwrap();
    assert_eq!(bench.ask(&mut peer, "hello", 5), "hello");
    bench.until("only one is left", |bench| bench.reactor.connections() == 1);
}

pub fn a_listener_that_was_inherited_is_served_and_its_path_left_alone(backend: Backend) {
    let scratch = Scratch::new();
    let path = scratch.path("socket");
    let mut bench = Bench::new(backend);
    let diary = bench.diary.clone();
    bench.reactor.listen_on(UnixListener::bind(&path).unwrap(), move |_| Some(Script::echo(&diary))).unwrap();
    let mut peer = UnixStream::connect(&path).unwrap();
    peer.set_nonblocking(true).unwrap();
    assert_eq!(bench.ask(&mut peer, "hello", 5), "hello");
    assert!(bench.reactor.listen_on(crate::bench::null_device(), |_| None).is_err());
    drop(bench);
    assert!(path.exists(), "whoever made it removes it");
}
