//! Other crates that were written for mio, unmodified on our reactor: notify, signal-hook-mio, crossterm, rustls the way its own
//! example server uses mio; and quinn, which stands on tokio, for what it does to UDP sockets.

mod support;

use std::cell::RefCell;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crossterm::event::{Event, KeyCode};
use mio::{Events, Interest, Poll, Token};
use notify::{EventKind, RecursiveMode, Watcher};
use reactor::Backend;
use rustix::process::{Signal, getpid, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use signal_hook::consts::{SIGUSR1, SIGUSR2};
use signal_hook_mio::v1_0::Signals;
use support::{PATIENCE, on_every_backend, on_every_backend_with};

mod tls;

/// notify's thread waits for inotify's descriptor (a `SourceFd`) and for its own waker.
#[test]
fn notify_sees_files_come_and_go() {
    on_every_backend(notify_sees_files_come_and_go, |_| {
        let folder = tempfile::tempdir().unwrap();
        let (sender, events) = mpsc::channel();
        let mut watcher = notify::recommended_watcher(sender).unwrap();
        watcher.watch(folder.path(), RecursiveMode::Recursive).unwrap();
        for turn in 0..20 {
            let path = folder.path().join(turn.to_string());
            let hear = |wanted: fn(&EventKind) -> bool| loop {
                let event = events.recv_timeout(PATIENCE).unwrap().unwrap();
                if wanted(&event.kind) && event.paths.contains(&path) {
                    return;
                }
            };
            fs::write(&path, "beautiful").unwrap();
            hear(EventKind::is_create);
            fs::remove_file(&path).unwrap();
            hear(EventKind::is_remove);
        }
        watcher.unwatch(folder.path()).unwrap();
    });
}

#[test]
fn signal_hook_mio_tells_every_signal() {
    on_every_backend(signal_hook_mio_tells_every_signal, |_| {
        let mut signals = Signals::new([SIGUSR1, SIGUSR2]).unwrap();
        let (mut poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(8));
        poll.registry().register(&mut signals, Token(1), Interest::READABLE).unwrap();
        for turn in 0..50 {
            let (signal, number) = [(Signal::USR1, SIGUSR1), (Signal::USR2, SIGUSR2)][turn % 2];
            kill_process(getpid(), signal).unwrap();
            let mut heard = Vec::new();
            while heard.is_empty() {
                match poll.poll(&mut events, Some(PATIENCE)) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    result => result.unwrap(),
                }
                assert!(events.iter().all(|event| event.token() == Token(1) && event.is_readable()));
                heard.extend(signals.pending());
            }
            assert_eq!(heard, [number]);
        }
        poll.registry().deregister(&mut signals).unwrap();
    });
}

/// The terminal is a pseudo-terminal whose other end the parent holds, and whose keys were pressed before the child began.
#[test]
fn crossterm_reads_keys() {
    let keyboards = RefCell::new(Vec::new());
    let press = |command: &mut std::process::Command| {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let terminal = ptsname(&keyboard, Vec::new()).unwrap();
        let terminal =
            fs::OpenOptions::new().read(true).write(true).open(terminal.to_str().unwrap()).unwrap();
        rustix::io::write(&keyboard, b"zen\x1b[A").unwrap();
        command.stdin(terminal);
        keyboards.borrow_mut().push(keyboard);
    };
    on_every_backend_with(crossterm_reads_keys, &press, |_| {
        crossterm::terminal::enable_raw_mode().unwrap();
        let mut keys = Vec::new();
        while keys.len() < 4 {
            assert!(crossterm::event::poll(PATIENCE).unwrap(), "only {keys:?}");
            if let Event::Key(key) = crossterm::event::read().unwrap() {
                keys.push(key.code);
            }
        }
        crossterm::terminal::disable_raw_mode().unwrap();
        assert_eq!(keys, [KeyCode::Char('z'), KeyCode::Char('e'), KeyCode::Char('n'), KeyCode::Up]);
        // A resized window is a signal, which crossterm hears through signal-hook-mio.
        kill_process(getpid(), Signal::WINCH).unwrap();
        assert!(crossterm::event::poll(PATIENCE).unwrap());
        assert!(matches!(crossterm::event::read().unwrap(), Event::Resize(..)));
        assert!(!crossterm::event::poll(Duration::from_millis(1)).unwrap());
    });
}

#[test]
fn rustls_serves_many_over_mio() {
    on_every_backend(rustls_serves_many_over_mio, |backend: Backend| {
        let authority = tls::Authority::new();
        let server = tls::Server::start(&authority).unwrap();
        let address = server.address();
        let clients: Vec<_> = (0..8)
            .map(|number| {
                let config = authority.client();
                std::thread::spawn(move || tls::echoed(config, address, number))
            })
            .collect();
        for client in clients {
            let (sent, heard) = client.join().unwrap().unwrap();
            assert!(sent == heard, "{backend}: {} bytes came back of {}", heard.len(), sent.len());
        }
        server.stop();
    });
}

/// QUIC: quinn receives and sends many datagrams with one system call, on the number of tokio's socket.
#[test]
fn quinn_moves_many_streams_over_one_udp_socket() {
    const LENGTH: usize = 200_000;
    on_every_backend(quinn_moves_many_streams_over_one_udp_socket, |_| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let authority = tls::Authority::new();
            let config = quinn::ServerConfig::with_single_cert(authority.chain(), authority.key()).unwrap();
            let server = quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            let address = server.local_addr().unwrap();
            tokio::spawn(async move {
                let connection = server.accept().await.unwrap().await.unwrap();
                while let Ok((mut sender, mut receiver)) = connection.accept_bi().await {
                    tokio::spawn(async move {
                        sender.write_all(&receiver.read_to_end(LENGTH).await.unwrap()).await.unwrap();
                    });
                }
            });
            let client = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            let config = quinn::ClientConfig::with_root_certificates(Arc::new(authority.roots())).unwrap();
            let connection = client.connect_with(config, address, "localhost").unwrap().await.unwrap();
            let mut streams = tokio::task::JoinSet::new();
            for number in 0..8 {
                let connection = connection.clone();
                streams.spawn(async move {
                    let (mut sender, mut receiver) = connection.open_bi().await.unwrap();
                    sender.write_all(&[number; LENGTH]).await.unwrap();
                    sender.finish().unwrap();
                    assert!(receiver.read_to_end(LENGTH).await.unwrap() == [number; LENGTH]);
                });
            }
            while let Some(stream) = streams.join_next().await {
                stream.unwrap();
            }
        });
    });
}
