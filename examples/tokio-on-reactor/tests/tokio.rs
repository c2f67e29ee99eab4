//! What tokio promises, kept on our reactor with every backend: sockets, pipes, processes, signals, time, raw descriptors.
//!
//! tokio's own suite asks for much more (`reactor/mio/tokio-suite`); here is one test for each kind of source, to be read.

mod support;

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::{Duration, Instant};

use reactor::Backend;
use rustix::process::{Pid, Signal, getpid, kill_process, test_kill_process};
use support::on_every_backend;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time;
use tokio_on_reactor::{page, proof, zen};
use zen_server::services::zen::{APHORISMS, Answer};

/// Runs a future on a new runtime: two threads that run tasks, one of which waits for the reactor while the other registers.
fn in_tokio<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(future)
}

async fn listen() -> (TcpListener, std::net::SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn the_poll_is_ours() {
    on_every_backend(the_poll_is_ours, |backend| {
        let before = proof::kernel_objects();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let has = |name: &str| proof::kernel_objects().iter().any(|object| object == name);
        assert!(before.iter().all(|object| object != "eventpoll"), "{before:?}");
        // The real mio waits with epoll whatever the environment says.
        assert_eq!(has("eventpoll"), matches!(backend.name(), "epoll" | "polling"), "{}", proof::sentence());
        assert_eq!(has("io_uring"), backend.name() == "io-uring", "{}", proof::sentence());
        drop(runtime);
        assert!(proof::sentence().starts_with(&format!("tokio waits with {backend};")));
    });
}

#[test]
fn the_zen_is_told_to_many_at_once() {
    on_every_backend(the_zen_is_told_to_many_at_once, |_| {
        in_tokio(async {
            let (listener, address) = listen().await;
            tokio::spawn(zen::serve(listener));
            let mut clients = JoinSet::new();
            for client in 0..100 {
                clients.spawn(async move {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    for turn in 0..10 {
                        let (question, answer) = APHORISMS[(client + turn) % APHORISMS.len()];
                        stream.write_all(question.as_bytes()).await.unwrap();
                        let mut heard = vec![0; answer.len()];
                        stream.read_exact(&mut heard).await.unwrap();
                        assert_eq!(heard, answer.as_bytes());
                    }
                });
            }
            while let Some(client) = clients.join_next().await {
                client.unwrap();
            }
        });
    });
}

#[test]
fn a_client_that_half_closes_hears_all_its_answers_and_then_the_end() {
    on_every_backend(a_client_that_half_closes_hears_all_its_answers_and_then_the_end, |_| {
        in_tokio(async {
            let (listener, address) = listen().await;
            tokio::spawn(zen::serve(listener));
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"Simple is better than?Why?Beauti").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut heard = String::new();
            stream.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "Complex.".to_owned() + Answer::Unknown.text());
        });
    });
}

#[test]
fn a_question_without_an_end_is_refused_over_a_unix_socket_too() {
    on_every_backend(a_question_without_an_end_is_refused_over_a_unix_socket_too, |_| {
        in_tokio(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("zen.sock");
            let listener = UnixListener::bind(&path).unwrap();
            let server = tokio::spawn(async move { zen::converse(listener.accept().await?.0).await });
            let mut stream = UnixStream::connect(&path).await.unwrap();
            stream.write_all(&[b'x'; 4096]).await.unwrap();
            let mut heard = String::new();
            stream.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, Answer::TooLong.text());
            server.await.unwrap().unwrap();
        });
    });
}

/// Far more than the kernel holds for a connection: both sides wait for each other many times, in both directions.
#[test]
fn megabytes_go_both_ways_at_once() {
    const LENGTH: usize = 8 << 20;
    on_every_backend(megabytes_go_both_ways_at_once, |_| {
        in_tokio(async {
            let (listener, address) = listen().await;
            tokio::spawn(async move {
                let (mut reader, mut writer) = listener.accept().await.unwrap().0.into_split();
                tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            });
            let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
            let sent: Vec<u8> = (0..LENGTH).map(|index| (index % 251) as u8).collect();
            let expected = sent.clone();
            let write = async move {
                writer.write_all(&sent).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let mut heard = Vec::new();
            let (_, length) = tokio::join!(write, reader.read_to_end(&mut heard));
            assert_eq!(length.unwrap(), LENGTH);
            assert!(heard == expected, "the bytes differ");
        });
    });
}

#[test]
fn a_connection_that_is_refused_says_so() {
    on_every_backend(a_connection_that_is_refused_says_so, |_| {
        in_tokio(async {
            let unheard = TcpSocket::new_v4().unwrap();
            unheard.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            let error = TcpStream::connect(unheard.local_addr().unwrap()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        });
    });
}

#[test]
fn a_reset_wakes_who_waits_to_read() {
    on_every_backend(a_reset_wakes_who_waits_to_read, |_| {
        in_tokio(async {
            let (listener, address) = listen().await;
            let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
            let (mut client, (server, _)) = (client.unwrap(), server.unwrap());
            let waits = tokio::spawn(async move { client.read(&mut [0; 8]).await });
            tokio::task::yield_now().await;
            server.set_zero_linger().unwrap();
            drop(server);
            assert_eq!(waits.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
        });
    });
}

#[test]
fn datagrams_arrive_over_udp_and_unix_sockets() {
    on_every_backend(datagrams_arrive_over_udp_and_unix_sockets, |_| {
        in_tokio(async {
            let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            near.connect(far.local_addr().unwrap()).await.unwrap();
            let (one, other) = UnixDatagram::pair().unwrap();
            let mut buffer = [0; 32];
            for turn in 0..100 {
                let said = [turn; 2];
                let (received, sent) = tokio::join!(far.recv_from(&mut buffer), near.send(&said));
                assert_eq!((received.unwrap(), sent.unwrap()), ((2, near.local_addr().unwrap()), 2));
                assert_eq!(buffer[..2], said);
                let (received, sent) = tokio::join!(other.recv(&mut buffer), one.send(&said));
                assert_eq!((received.unwrap(), sent.unwrap()), (2, 2));
                assert_eq!(buffer[..2], said);
            }
        });
    });
}

#[test]
fn the_page_greets_and_its_child_process_speaks() {
    on_every_backend(the_page_greets_and_its_child_process_speaks, |_| {
        in_tokio(async {
            let (listener, address) = listen().await;
            tokio::spawn(axum::serve(listener, page::router()).into_future());
            let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
            for (path, expected) in [("/", "Hello from tokio on zen-reactor!\n"), ("/child", "Linux")] {
                let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
                stream.write_all(request.as_bytes()).await.unwrap();
                let body = response(&mut stream).await.unwrap();
                assert!(body.starts_with(expected), "{path}: {body}");
            }
        });
    });
}

/// The body of the next response on a connection that is kept alive.
async fn response(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        if let Some(number) = line.strip_prefix("content-length: ") {
            length = number.trim().parse().unwrap();
        }
        if line == "\r\n" {
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await?;
            return Ok(String::from_utf8(body).unwrap());
        }
    }
}

#[test]
fn a_child_process_is_talked_to_and_its_end_is_heard() {
    on_every_backend(a_child_process_is_talked_to_and_its_end_is_heard, |_| {
        in_tokio(async {
            let mut command = Command::new("cat");
            let mut cat = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let (mut to, mut from) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
            let mut heard = [0; 7];
            for _ in 0..100 {
                to.write_all(b"Sparse?").await.unwrap();
                from.read_exact(&mut heard).await.unwrap();
                assert_eq!(&heard, b"Sparse?");
            }
            drop(to);
            assert!(cat.wait().await.unwrap().success());
        });
    });
}

#[test]
fn many_children_end_at_once_and_each_end_is_heard() {
    on_every_backend(many_children_end_at_once_and_each_end_is_heard, |_| {
        in_tokio(async {
            let mut children = JoinSet::new();
            for code in 0..20 {
                let mut command = Command::new("sh");
                let mut child = command.args(["-c", &format!("exit {code}")]).spawn().unwrap();
                children.spawn(async move { (code, child.wait().await.unwrap().code()) });
            }
            while let Some(end) = children.join_next().await {
                let (code, heard) = end.unwrap();
                assert_eq!(heard, Some(code));
            }
        });
    });
}

#[test]
fn a_child_that_is_forgotten_is_killed_if_that_was_asked() {
    on_every_backend(a_child_that_is_forgotten_is_killed_if_that_was_asked, |_| {
        in_tokio(async {
            let child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
            let id = Pid::from_raw(child.id().unwrap() as i32).unwrap();
            drop(child);
            while test_kill_process(id).is_ok() {
                time::sleep(Duration::from_millis(1)).await; // until tokio has reaped it
            }
        });
    });
}

#[test]
fn signals_are_heard() {
    on_every_backend(signals_are_heard, |_| {
        in_tokio(async {
            let mut one = signal(SignalKind::user_defined1()).unwrap();
            let mut other = signal(SignalKind::user_defined2()).unwrap();
            for _ in 0..20 {
                kill_process(getpid(), Signal::USR1).unwrap();
                one.recv().await.unwrap();
                kill_process(getpid(), Signal::USR2).unwrap();
                other.recv().await.unwrap();
            }
        });
    });
}

#[test]
fn no_timer_is_early_and_a_timeout_ends_a_wait() {
    on_every_backend(no_timer_is_early_and_a_timeout_ends_a_wait, |_| {
        in_tokio(async {
            let (listener, _) = listen().await;
            for millis in [0, 1, 2, 5, 20] {
                let (begun, time) = (Instant::now(), Duration::from_millis(millis));
                assert!(time::timeout(time, listener.accept()).await.is_err());
                assert!(begun.elapsed() >= time);
            }
            let mut ticks = time::interval(Duration::from_millis(2));
            let begun = ticks.tick().await;
            for _ in 0..10 {
                ticks.tick().await;
            }
            assert!(begun.elapsed() >= Duration::from_millis(20));
        });
    });
}

#[test]
fn pipes_carry_more_than_they_hold() {
    on_every_backend(pipes_carry_more_than_they_hold, |_| {
        in_tokio(async {
            let (mut sender, mut receiver) = pipe::pipe().unwrap();
            let write = async move { sender.write_all(&vec![7; 1 << 20]).await.unwrap() };
            let mut heard = Vec::new();
            let (_, length) = tokio::join!(write, receiver.read_to_end(&mut heard));
            assert_eq!(length.unwrap(), 1 << 20);
        });
    });
}

/// `AsyncFd` does its I/O out of the reactor's sight (`SourceFd`), yet events must keep coming.
#[test]
fn a_raw_descriptor_fires_again_and_again() {
    on_every_backend(a_raw_descriptor_fires_again_and_again, |_| {
        in_tokio(async {
            let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
            let write = tokio::task::spawn_blocking(move || {
                for turn in 0..200u8 {
                    while rustix::io::write(&writer, &[turn]) == Err(rustix::io::Errno::AGAIN) {}
                    if turn % 3 == 0 {
                        std::thread::yield_now();
                    }
                }
            });
            // Its successor is unsafe, for the sake of owners that lie about their descriptor: this one cannot.
            #[allow(deprecated)]
            let reader: AsyncFd<OwnedFd> = AsyncFd::new(reader).unwrap();
            for turn in 0..200u8 {
                assert_eq!(read_byte(&reader).await.unwrap(), turn);
            }
            write.await.unwrap();
        });
    });
}

/// One byte, so that there may be more: readiness is cleared only when there was nothing.
async fn read_byte(reader: &AsyncFd<OwnedFd>) -> io::Result<u8> {
    loop {
        let mut byte = [0];
        let read = |inner: &AsyncFd<OwnedFd>| Ok(rustix::io::read(inner, &mut byte)?);
        match reader.readable().await?.try_io(read) {
            Ok(result) => return result.map(|_| byte[0]),
            Err(_would_block) => {}
        }
    }
}

/// Connections come and go while another thread waits: what is registered and deregistered under its eyes.
#[test]
fn connections_come_and_go_by_the_hundred() {
    on_every_backend(connections_come_and_go_by_the_hundred, |backend: Backend| {
        in_tokio(async {
            let (listener, address) = listen().await;
            tokio::spawn(zen::serve(listener));
            let mut clients = JoinSet::new();
            for _ in 0..4 {
                clients.spawn(async move {
                    for _ in 0..100 {
                        let mut stream = TcpStream::connect(address).await.unwrap();
                        stream.set_zero_linger().unwrap();
                        stream.write_all(b"Why?").await.unwrap();
                        let mut heard = vec![0; Answer::Unknown.text().len()];
                        stream.read_exact(&mut heard).await.unwrap();
                    }
                });
            }
            while let Some(client) = clients.join_next().await {
                client.unwrap_or_else(|error| panic!("{backend}: {error}"));
            }
        });
    });
}
