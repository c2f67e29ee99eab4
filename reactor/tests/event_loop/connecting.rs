//! Connections that begin on this side: connected, adopted, spawned.

use std::io::{ErrorKind, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use reactor::Backend;
use reactor::net::Address;

use crate::bench::{Bench, Scratch, Script, available, is_over, millis, null_device, shared};
use crate::limits::Crowded;

pub fn a_connection_over_tcp_is_opened_and_talks(backend: Backend) {
    let mut bench = Bench::new(backend);
    let diary = bench.diary.clone();
    let address = bench.listen(move || Script::echo(&diary).named("server"));
    let script = bench.script().named("client").opened(move |cx| {
        assert_eq!(cx.peer().unwrap(), Address::from(address));
        cx.write(b"hello");
    });
    let script = script.received(|input, cx| {
        cx.close();
        input.len()
    });
    let id = bench.reactor.connect(address, script).unwrap();
    assert!(!bench.diary.says("client opened"), "not before a turn said so");
    bench.until_empty();
    assert!(bench.diary.says("client received hello") && bench.diary.says("client closed: finished"));
    assert!(id.to_string().contains('.'), "{id}");
    assert_eq!((bench.reactor.counters().opened, bench.reactor.counters().accepted), (1, 1));
}

pub fn a_connection_over_a_unix_socket_is_opened_and_talks(backend: Backend) {
    let mut bench = Bench::new(backend);
    let scratch = Scratch::new();
    let path = scratch.path("socket");
    let diary = bench.diary.clone();
    bench.reactor.listen(path.as_path(), move |_| Some(Script::echo(&diary).named("server"))).unwrap();
    let script = bench.script().named("client").opened(|cx| cx.write(b"hello"));
    bench
        .reactor
        .connect(
            path.as_path(),
            script.received(|input, cx| {
                cx.close();
                input.len()
            }),
        )
        .unwrap();
    bench.until_empty();
    assert!(bench.diary.says("client received hello"));
}

/// Writable is not connected: the socket's error decides.
pub fn a_refused_connection_is_never_opened(backend: Backend) {
    let mut bench = Bench::new(backend);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (kind, noted) = shared(None);
    let script = bench.script().closed(move |reason, cx| match reason {
        reactor::event_loop::CloseReason::Io(error) => {
            cx.write(b"nobody hears this");
            assert!(reason.to_string().starts_with("connect on descriptor "), "{reason}");
            assert_eq!(reactor::errno(error), Some(libc::ECONNREFUSED));
            *kind.borrow_mut() = Some(error.kind());
        }
        other => panic!("{other}"),
    });
    match bench.reactor.connect(nobody, script) {
        Ok(_) => {
            bench.until_empty();
            assert_eq!(*noted.borrow(), Some(ErrorKind::ConnectionRefused));
            assert_eq!(bench.diary.lines().len(), 1, "{:?}", bench.diary.lines());
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
    }
}

pub fn a_path_that_leads_nowhere_is_an_error_in_words(backend: Backend) {
    let mut bench = Bench::new(backend);
    let scratch = Scratch::new();
    let path = scratch.path("missing");
    let error = bench.reactor.connect(path.as_path(), bench.script()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().starts_with(&format!("cannot connect to {}", path.display())), "{error}");
    drop(UnixListener::bind(&path).unwrap()); // the path stays, nobody listens
    let error = bench.reactor.connect(path.as_path(), bench.script()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let long = std::path::PathBuf::from("x".repeat(200));
    let error = bench.reactor.connect(long, bench.script()).unwrap_err();
    assert!(error.to_string().contains("1 to 107 bytes"), "{error}");
    assert_eq!(bench.reactor.connections(), 0);
}

pub fn what_is_no_connected_socket_is_not_adopted(backend: Backend) {
    let mut bench = Bench::new(backend);
    let error = bench.reactor.adopt(null_device(), bench.script()).unwrap_err();
    assert!(error.to_string().starts_with("cannot adopt a descriptor"), "{error}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(bench.reactor.adopt(listener, bench.script()).unwrap_err().kind(), ErrorKind::NotConnected);
    assert_eq!((bench.reactor.connections(), bench.diary.lines().len()), (0, 0));
}

pub fn an_adopted_stream_that_was_reset_is_told_so(backend: Backend) {
    let mut bench = Bench::new(backend);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    crate::support::reset_on_close(&theirs);
    drop(theirs);
    bench.until("the reset is here", |_| ours.peer_addr().is_err());
    bench.reactor.adopt(ours, bench.script()).unwrap();
    bench.until_empty();
    assert_eq!(bench.diary.lines(), ["opened", "closed: reset by the peer"]);
}

pub fn an_adopted_stream_with_bytes_in_it_is_read(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"early").unwrap();
    drop(theirs);
    bench.reactor.adopt(ours, bench.script()).unwrap();
    bench.until_empty();
    assert_eq!(bench.diary.lines(), ["opened", "received early", "eof", "closed: finished"]);
}

pub fn a_callback_opens_connections_through_a_spawner(backend: Backend) {
    let mut bench = Bench::new(backend);
    let diary = bench.diary.clone();
    let address = bench.listen(move || Script::echo(&diary).named("server"));
    let (spawner, diary) = (bench.reactor.spawner(), bench.diary.clone());
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut ours = Some(ours);
    let script = bench.script().named("parent").received(move |input, cx| {
        let id = cx.id();
        let child = Script::new(&diary).named("connected").opened(|cx| cx.write(b"hi"));
        let child = child.received(move |input, cx| {
            cx.send(id, input.len() as u64).unwrap();
            cx.close();
            input.len()
        });
        spawner.connect(address, child);
        if let Some(ours) = ours.take() {
            spawner.adopt(ours, Script::new(&diary).named("adopted").opened(|cx| cx.write(b"ho")));
        }
        assert!(diary.find("connected").is_none(), "not before this callback returned");
        input.len()
    });
    let (_, mut peer) = bench.pair(script);
    peer.write_all(b"go").unwrap();
    bench.until_noted("parent message 2");
    assert_eq!(bench.read(&mut theirs, 2), b"ho");
}

pub fn what_a_spawner_cannot_open_is_told_to_its_protocol(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().named("parent");
    let (parent, _peer) = bench.pair(script);
    let spawner = bench.reactor.spawner();
    let script = bench.script().named("child").closed(move |reason, cx| {
        assert!(matches!(reason, reactor::event_loop::CloseReason::Io(_)));
        cx.write(b"to nobody");
        assert_eq!(cx.peer().unwrap_err().raw_os_error(), Some(libc::EBADF));
        cx.send(parent, 1).unwrap();
        cx.start_timer(millis(1));
    });
    spawner.connect(Scratch::new().path("missing"), script);
    spawner.adopt(null_device(), bench.script().named("device"));
    bench.until_noted("parent message 1");
    let told = bench.diary.find("child").unwrap();
    assert!(told.starts_with("child closed: cannot connect to ") && told.contains("missing"), "{told}");
    assert!(bench.diary.find("device closed: cannot adopt").is_some(), "{:?}", bench.diary.lines());
    assert!(!bench.diary.says("child opened"));
    bench.rest();
    assert_eq!(bench.reactor.connections(), 1);
}

pub fn a_panic_in_a_protocol_that_could_not_be_opened_ends_nobody_else(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().closed(|_, _| panic!("in closed"));
    bench.reactor.spawner().adopt(null_device(), script);
    let script = bench.echo().named("other");
    let (_, mut other) = bench.pair(script);
    assert_eq!(bench.ask(&mut other, "hello", 5), "hello");
    assert_eq!(bench.reactor.counters().panics, 1);
}

/// Nobody has answered yet: the message waits for the connection, or its answer does.
pub fn a_message_before_the_connection_stands_does_not_lose_the_connection(backend: Backend) {
    let mut bench = Bench::new(backend);
    let crowded = Crowded::new();
    let script = bench.script().message(|_, cx| cx.write(b"early"));
    let id = bench.reactor.connect(crowded.address, script).unwrap();
    bench.rest();
    assert!(!bench.diary.says("opened"));
    bench.reactor.handle().send(id, 1).unwrap();
    bench.rest();
    assert_eq!(bench.reactor.connections(), 1, "{:?}", bench.diary.lines());
    // Now the crowd is let in, and the kernel tries again by itself.
    crowded.listener.set_nonblocking(true).unwrap();
    let mut let_in = Vec::new();
    bench.until("opened", |bench| {
        while let Ok((stream, _)) = crowded.listener.accept() {
            stream.set_nonblocking(true).unwrap();
            let_in.push(stream);
        }
        bench.diary.says("opened")
    });
    bench.until("the word", |_| {
        while let Ok((stream, _)) = crowded.listener.accept() {
            stream.set_nonblocking(true).unwrap();
            let_in.push(stream);
        }
        let_in.iter_mut().any(|stream| available(stream) == b"early")
    });
}

pub fn an_attempt_ended_by_a_message_is_over(backend: Backend) {
    let mut bench = Bench::new(backend);
    let crowded = Crowded::new();
    let ends: [fn(&mut crate::bench::Cx<'_>); 2] = [|cx| cx.close(), |cx| cx.abort()];
    for end in ends {
        let script = bench.script().message(move |_, cx| end(cx));
        let id = bench.reactor.connect(crowded.address, script).unwrap();
        bench.reactor.handle().send(id, 1).unwrap();
        bench.until_empty();
        assert!(!bench.diary.says("opened"));
    }
}

/// Descriptors change hands: what comes back out of a loop is as it went in.
pub fn the_peer_of_an_adopted_stream_sees_the_end_when_it_closes(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script().opened(|cx| {
        cx.write(b"bye");
        cx.close();
    });
    let (_, mut peer) = bench.pair(script);
    assert_eq!(bench.read_to_end(&mut peer), b"bye");
    drop(peer);
    bench.until_empty();
}

pub fn a_hundred_connections_at_once_are_opened(backend: Backend) {
    let mut bench = Bench::new(backend);
    let diary = bench.diary.clone();
    let address = bench.listen(move || Script::echo(&diary).named("server"));
    for _ in 0..100 {
        let script = bench.script().opened(|cx| cx.write(b"?")).received(|input, cx| {
            cx.close();
            input.len()
        });
        bench.reactor.connect(address, script).unwrap();
    }
    bench.until_empty();
    assert_eq!((bench.diary.count("opened"), bench.diary.count("closed: finished")), (100, 100));
    let mut probe = std::net::TcpStream::connect(address).unwrap();
    probe.set_nonblocking(true).unwrap();
    assert!(!is_over(&mut probe));
}
