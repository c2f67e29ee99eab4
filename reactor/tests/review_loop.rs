//! What a second reading of the event loop found.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reactor::Backend;
use reactor::event::Event;
use reactor::event_loop::{
    CloseReason, ConnectionId, Context, Incoming, Limit, Limits, Protocol, Reactor, Source, SourceContext,
    Timer,
};

type Closed = Box<dyn FnMut(&CloseReason)>;
type Call<T> = Box<dyn FnMut(T, &mut Context<'_, u32>)>;

/// Does what the test says; consumes all input.
struct Script {
    opened: Call<()>,
    received: Call<usize>,
    drained: Call<()>,
    timer: Call<()>,
    message: Call<u32>,
    closed: Closed,
}

impl Default for Script {
    fn default() -> Script {
        Script {
            opened: Box::new(|(), _| {}),
            received: Box::new(|_, _| {}),
            drained: Box::new(|(), _| {}),
            timer: Box::new(|(), _| {}),
            message: Box::new(|_, _| {}),
            closed: Box::new(|_| {}),
        }
    }
}

impl Protocol for Script {
    type Message = u32;

    fn opened(&mut self, cx: &mut Context<'_, u32>) {
        (self.opened)((), cx);
    }
    fn received(&mut self, input: &[u8], cx: &mut Context<'_, u32>) -> usize {
        (self.received)(input.len(), cx);
        input.len()
    }
    fn drained(&mut self, cx: &mut Context<'_, u32>) {
        (self.drained)((), cx);
    }
    fn timer(&mut self, _: Timer, cx: &mut Context<'_, u32>) {
        (self.timer)((), cx);
    }
    fn message(&mut self, message: u32, cx: &mut Context<'_, u32>) {
        (self.message)(message, cx);
    }
    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, u32>) {
        (self.closed)(reason);
    }
}

/// Longer than anything here takes. (IMPATIENT: with a bug planted, what is waited for never comes.)
const LONG: Duration = Duration::from_secs(if option_env!("IMPATIENT").is_some() { 4 } else { 10 });

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn a_loop(backend: Backend, limits: Limits) -> Reactor<Script> {
    Reactor::builder().backend(backend).limits(limits).build().expect("a loop")
}

/// Turns until `done`, for so long at most; whether it was.
fn turn_until(
    reactor: &mut Reactor<Script>,
    limit: Duration,
    mut done: impl FnMut(&Reactor<Script>) -> bool,
) -> bool {
    let started = Instant::now();
    loop {
        if done(reactor) {
            return true;
        }
        if started.elapsed() > LONG {
            return false;
        }
        reactor.turn(Some(limit)).expect("a turn");
    }
}

#[test]
fn a_connection_that_a_timer_ends_is_closed_without_waiting_for_another_event() {
    for &backend in Backend::available() {
        let mut reactor = a_loop(backend, Limits::default());
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let script = Script {
            opened: Box::new(|(), cx| _ = cx.start_timer(millis(1))),
            timer: Box::new(|(), cx| cx.abort()),
            ..Script::default()
        };
        reactor.adopt(ours, script).expect("a connection");
        let started = Instant::now();
        assert!(turn_until(&mut reactor, LONG / 2, |reactor| reactor.connections() == 0));
        assert!(started.elapsed() < LONG / 2, "{backend}");
    }
}

#[test]
fn a_shutdown_is_complete_when_its_grace_is_over() {
    let mut reactor = a_loop(Backend::Auto, Limits::default());
    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    let busy = Script { opened: Box::new(|(), cx| cx.pause_reading()), ..Script::default() };
    reactor.adopt(ours, busy).expect("a connection");
    reactor.shutdown(millis(1));
    let started = Instant::now();
    assert!(turn_until(&mut reactor, LONG / 2, |reactor| reactor.connections() == 0));
    assert!(started.elapsed() < LONG / 2);
}

#[test]
fn timers_ring_while_there_is_always_mail() {
    for &backend in Backend::available() {
        let mut reactor = a_loop(backend, Limits::default());
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let rang = Rc::new(Cell::new(false));
        let rings = Rc::clone(&rang);
        let chatty = Script {
            opened: Box::new(|(), cx| {
                cx.start_timer(millis(1));
                cx.send(cx.id(), 0).expect("room");
            }),
            message: Box::new(|_, cx| cx.send(cx.id(), 0).expect("room")),
            timer: Box::new(move |(), _| rings.set(true)),
            ..Script::default()
        };
        reactor.adopt(ours, chatty).expect("a connection");
        assert!(turn_until(&mut reactor, millis(20), |_| rang.get()), "{backend}");
    }
}

#[test]
fn a_panic_when_told_that_a_connection_could_not_be_opened_is_survived() {
    let mut reactor = a_loop(Backend::Auto, Limits::default());
    let script = Script { closed: Box::new(|_| panic!("as told")), ..Script::default() };
    reactor.spawner().connect(Path::new("/nowhere/at/all"), script);
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert_eq!(reactor.counters().panics, 1);
}

/// A `closed` that notes why, and where.
fn noted() -> (Rc<RefCell<String>>, Closed) {
    let reason = Rc::new(RefCell::new(String::new()));
    let note = Rc::clone(&reason);
    (reason, Box::new(move |reason| *note.borrow_mut() = format!("{reason:?}")))
}

#[test]
fn messages_do_not_prolong_lingering() {
    for &backend in Backend::available() {
        let mut reactor = a_loop(backend, Limits { linger_time: millis(30), ..Limits::default() });
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let script = Script { opened: Box::new(|(), cx| cx.close()), ..Script::default() };
        let id = reactor.adopt(ours, script).expect("a connection");
        let handle = reactor.handle();
        let ended = |reactor: &Reactor<Script>| handle.send(id, 0).is_err() || reactor.connections() == 0;
        assert!(turn_until(&mut reactor, millis(1), ended), "{backend}");
    }
}

#[test]
fn an_idle_limit_does_not_end_a_connection_that_lingers() {
    let limits = Limits { idle: Some(millis(20)), linger_time: millis(200), ..Limits::default() };
    let mut reactor = a_loop(Backend::Auto, limits);
    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    let (reason, closed) = noted();
    let script = Script { opened: Box::new(|(), cx| cx.close()), closed, ..Script::default() };
    reactor.adopt(ours, script).expect("a connection");
    assert!(turn_until(&mut reactor, LONG, |reactor| reactor.counters().closed == 1));
    assert_eq!(*reason.borrow(), "Finished");
}

#[test]
fn messages_keep_their_order_when_a_receiver_panics() {
    let mut reactor = a_loop(Backend::Auto, Limits::default());
    let heard = Rc::new(RefCell::new(Vec::new()));
    let hears = Rc::clone(&heard);
    let panics = Script { message: Box::new(|_, _| panic!("as told")), ..Script::default() };
    let listens = Script { message: Box::new(move |m, _| hears.borrow_mut().push(m)), ..Script::default() };
    let ((near, _far), (here, _there)) = (UnixStream::pair().expect("two"), UnixStream::pair().expect("two"));
    let first = reactor.adopt(near, panics).expect("a connection");
    let second = reactor.adopt(here, listens).expect("a connection");
    let handle = reactor.handle();
    handle.send_all(Arc::from([first, second]), 1).expect("room");
    handle.send(second, 2).expect("room");
    assert!(turn_until(&mut reactor, Duration::ZERO, |_| heard.borrow().len() == 2));
    assert_eq!(*heard.borrow(), [1, 2]);
}

/// A listener whose queue is full, with those that fill it: whoever connects now waits until the queue is emptied.
fn a_full_listener() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    // SAFETY: takes no pointers; listening again only changes the length of the queue.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let address = listener.local_addr().expect("an address");
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, millis(100)) {
        waiting.push(stream);
    }
    (listener, waiting)
}

/// Sends a message to a connection that is being established, lets it be established, and turns until `done`.
fn told_before_it_stands(
    message: Call<u32>,
    timer: Call<()>,
    done: impl Fn(&mut TcpStream) -> bool,
) -> String {
    let (listener, waiting) = a_full_listener();
    let limits = Limits { connect_time: Some(LONG), linger_time: millis(100), ..Limits::default() };
    let mut reactor = a_loop(Backend::Auto, limits);
    let (reason, closed) = noted();
    let script = Script { message, timer, closed, ..Script::default() };
    let id = reactor.connect(listener.local_addr().expect("an address"), script).expect("an attempt");
    reactor.handle().send(id, 0).expect("room");
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert_eq!(reactor.counters().messages, 1);
    waiting.iter().for_each(|_| drop(listener.accept().expect("one of those that wait")));
    let accepted = std::thread::spawn(move || listener.accept().expect("the connection").0);
    assert!(
        turn_until(&mut reactor, millis(10), |reactor| accepted.is_finished() || reactor.connections() == 0)
    );
    if reactor.connections() > 0 {
        let mut stream = accepted.join().expect("no panic");
        stream.set_nonblocking(true).expect("a mode");
        assert!(turn_until(&mut reactor, millis(1), |_| done(&mut stream)));
    }
    reason.borrow().clone()
}

#[test]
fn a_timer_started_before_the_connection_stands_rings() {
    let message: Call<u32> = Box::new(|_, cx| _ = cx.start_timer(millis(2000)));
    let timer: Call<()> = Box::new(|(), cx| cx.write(b"!"));
    told_before_it_stands(message, timer, |stream| stream.read(&mut [0; 8]).is_ok_and(|read| read == 1));
}

#[test]
fn closing_our_direction_before_the_connection_stands_does_not_break_it() {
    let message: Call<u32> = Box::new(|_, cx| cx.close_write());
    let done = |stream: &mut TcpStream| stream.read(&mut [0; 8]).is_ok_and(|read| read == 0);
    assert_eq!(told_before_it_stands(message, Box::new(|(), _| {}), done), "");
}

#[test]
fn closing_before_the_connection_stands_ends_it_in_order() {
    let message: Call<u32> = Box::new(|_, cx| cx.close());
    assert_eq!(told_before_it_stands(message, Box::new(|(), _| {}), |_| true), "Finished");
}

#[test]
fn last_words_written_before_the_connection_stands_are_sent() {
    let message: Call<u32> = Box::new(|_, cx| {
        cx.write(b"!");
        cx.close();
    });
    let done = |stream: &mut TcpStream| stream.read(&mut [0; 8]).is_ok_and(|read| read == 1);
    assert_eq!(told_before_it_stands(message, Box::new(|(), _| {}), done), "");
}

#[test]
fn a_timer_started_between_turns_counts_from_its_start() {
    let mut reactor = a_loop(Backend::Auto, Limits::default());
    std::thread::sleep(millis(60)); // the program is busy with something else
    let rang = Rc::new(Cell::new(None));
    let rings = Rc::clone(&rang);
    let started = Instant::now();
    reactor.after(millis(50), move |_| rings.set(Some(Instant::now())));
    assert!(turn_until(&mut reactor, millis(20), |_| rang.get().is_some()));
    assert!(rang.get().is_some_and(|rang| rang - started >= millis(50)));
}

#[test]
fn an_endless_producer_hears_the_end_of_the_stream() {
    for &backend in Backend::available() {
        let mut reactor = a_loop(backend, Limits::default());
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let mut theirs =
            TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (ours, _) = listener.accept().expect("a connection");
        theirs.write_all(b"enough").expect("room");
        theirs.shutdown(Shutdown::Write).expect("the end");
        theirs.set_nonblocking(true).expect("a mode");
        let endless = Script {
            opened: Box::new(|(), cx| cx.notify_drained()),
            drained: Box::new(|(), cx| {
                cx.write(b"and so on");
                cx.notify_drained();
            }),
            ..Script::default()
        };
        reactor.adopt(ours, endless).expect("a connection");
        let mut turns = 0;
        while reactor.counters().closed == 0 && turns < 1000 {
            reactor.turn(Some(Duration::ZERO)).expect("a turn");
            let _ = theirs.read(&mut [0; 4096]); // the peer reads along
            turns += 1;
        }
        assert_eq!(reactor.counters().closed, 1, "{backend}");
    }
}

#[test]
fn small_pieces_without_end_reach_the_limit_of_output() {
    let mut reactor = a_loop(Backend::Auto, Limits { output_bytes: 100_000, ..Limits::default() });
    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    let (reason, closed) = noted();
    let script = Script { message: Box::new(|_, cx| cx.write_static(b"!")), closed, ..Script::default() };
    let id = reactor.adopt(ours, script).expect("a connection");
    let handle = reactor.handle();
    for message in 0..20_000 {
        handle.send(id, message).expect("room");
    }
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert_eq!(*reason.borrow(), format!("{:?}", CloseReason::Limit(Limit::OutputBytes)));
}

#[test]
fn a_range_beyond_all_files_is_an_early_end() {
    let mut reactor = a_loop(Backend::Auto, Limits::default());
    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    let (reason, closed) = noted();
    let file = Arc::new(File::open(file!().trim_start_matches("reactor/")).expect("this file"));
    let script = Script {
        opened: Box::new(move |(), cx| {
            cx.write(b"head");
            cx.write_file(Arc::clone(&file), 0..u64::MAX);
            cx.write_file(Arc::clone(&file), 0..u64::MAX);
            assert!(cx.unsent() > 4);
        }),
        closed,
        ..Script::default()
    };
    reactor.adopt(ours, script).expect("a connection");
    assert!(turn_until(&mut reactor, Duration::ZERO, |reactor| reactor.counters().closed == 1));
    assert!(reason.borrow().contains("UnexpectedEof"), "{}", reason.borrow());
}

/// Somebody who is heard, and how many bytes were heard last.
fn listened_to(reactor: &mut Reactor<Script>) -> (UnixStream, Rc<Cell<usize>>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let heard = Rc::new(Cell::new(0));
    let hears = Rc::clone(&heard);
    let script = Script { received: Box::new(move |length, _| hears.set(length)), ..Script::default() };
    reactor.adopt(ours, script).expect("a connection");
    reactor.turn(Some(Duration::ZERO)).expect("a turn"); // the edge of a socket that is writable is past
    (theirs, heard)
}

/// The observer is the program's, and its panic too; the other events of the same wait are still to be dispatched.
#[test]
fn a_program_that_goes_on_after_its_own_panic_has_lost_no_event() {
    let panics = Rc::new(Cell::new(true));
    let may_panic = Rc::clone(&panics);
    let builder = Reactor::builder().on_notice(move |_| assert!(!may_panic.take(), "as told"));
    let mut reactor: Reactor<Script> = builder.build().expect("a loop");
    let listener = reactor.listen(([127, 0, 0, 1], 0), |_: &Incoming<'_>| None).expect("a listener");
    let address = reactor.local_address(listener).expect("it listens").to_string();
    let (mut theirs, heard) = listened_to(&mut reactor);
    let _refused = TcpStream::connect(address).expect("a connection");
    theirs.write_all(b"!").expect("room");
    let turn = std::panic::AssertUnwindSafe(|| reactor.turn(Some(LONG)));
    assert!(std::panic::catch_unwind(turn).is_err());
    assert_eq!(heard.get(), 0, "the listener came first");
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert_eq!(heard.get(), 1);
}

/// A wait's other events must not be lost to a program that turns the loop within one.
#[cfg(feature = "signal-hook")]
#[test]
fn a_turn_within_a_turn_loses_no_event() {
    let mut reactor = a_loop(Backend::Auto, Limits::default());
    let (mut theirs, heard) = listened_to(&mut reactor);
    reactor
        .on_signal(libc::SIGUSR2, |reactor| reactor.turn(Some(Duration::ZERO)).expect("a turn within a turn"))
        .expect("a signal");
    signal_hook::low_level::raise(libc::SIGUSR2).expect("a signal");
    theirs.write_all(b"!").expect("room");
    for _ in 0..3 {
        reactor.turn(Some(Duration::ZERO)).expect("a turn");
    }
    assert_eq!(heard.get(), 1);
}

#[test]
fn what_does_not_listen_is_no_listener() {
    let mut reactor = a_loop(Backend::Auto, Limits::default());
    let none = |_: &Incoming<'_>| None;
    let (datagrams, _other) = UnixDatagram::pair().expect("a pair");
    assert!(reactor.listen_on(datagrams, none).is_err());
    assert!(reactor.listen_on(UnixStream::pair().expect("a pair").0, none).is_err());
    assert!(reactor.listen_on(TcpListener::bind("127.0.0.1:0").expect("a listener"), none).is_ok());
}

struct Panics(UnixStream);

impl Source<u32> for Panics {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
    fn ready(&mut self, _: &Event, _: &mut SourceContext<'_, u32>) -> std::io::Result<()> {
        panic!("as told")
    }
}

#[test]
fn a_source_that_panics_is_removed_and_the_loop_goes_on() {
    let notices = Rc::new(RefCell::new(Vec::new()));
    let hears = Rc::clone(&notices);
    let builder = Reactor::builder().on_notice(move |notice| hears.borrow_mut().push(notice.to_string()));
    let mut reactor: Reactor<Script> = builder.build().expect("a loop");
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let source = reactor.add_source(Panics(ours)).expect("a source");
    theirs.write_all(b"!").expect("room");
    reactor.turn(Some(LONG)).expect("a turn");
    assert_eq!(*notices.borrow(), ["a source was removed: it panicked: as told"]);
    assert_eq!(reactor.counters().panics, 1);
    assert!(!reactor.remove_source(source));
}

#[test]
fn half_closing_what_the_peer_has_reset_is_a_reset() {
    let mut reactor = a_loop(Backend::Auto, Limits::default());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let theirs = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let (reason, closed) = noted();
    let script = Script { message: Box::new(|_, cx| cx.close_write()), closed, ..Script::default() };
    let id = reactor.adopt(listener.accept().expect("a connection").0, script).expect("a connection");
    let handle = reactor.handle();
    // Within one mailbox phase: no event tells of the reset before the message is delivered.
    handle.run(move |_| {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        let length = size_of::<libc::linger>() as libc::socklen_t;
        let (fd, value) = (theirs.as_raw_fd(), (&raw const linger).cast());
        // SAFETY: `linger` is readable for the length given.
        unsafe { assert_eq!(libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, value, length), 0) };
        drop(theirs);
    });
    handle.send(id, 0).expect("room");
    reactor.turn(Some(Duration::ZERO)).expect("a turn");
    assert_eq!(*reason.borrow(), "Reset");
}

#[test]
fn what_was_to_be_opened_ends_with_the_loop() {
    let mut reactor = a_loop(Backend::Auto, Limits::default());
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let spawner = reactor.spawner();
    let its = spawner.clone();
    let script = Script { opened: Box::new(move |(), _| _ = &its), ..Script::default() };
    spawner.adopt(ours, script);
    reactor.shutdown(Duration::ZERO);
    drop((reactor, spawner));
    theirs.set_nonblocking(true).expect("a mode");
    assert_eq!(theirs.read(&mut [0]).expect("the end"), 0);
}

/// A server that was restarted has a socket of its own there when the old one ends.
#[test]
fn the_path_of_a_successor_is_left_alone() {
    let path = std::env::temp_dir().join(format!("zen-successor-{}", std::process::id()));
    let address = || reactor::net::Address::Unix(path.clone());
    let mut old = Reactor::<Script>::builder().build().unwrap();
    old.listen(address(), |_| None).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut new = Reactor::<Script>::builder().build().unwrap();
    new.listen(address(), |_| None).unwrap();
    drop(old);
    assert!(path.exists());
    drop(new);
    assert!(!path.exists());
}

#[test]
fn no_more_connections_are_allowed_than_ids_can_name() {
    let mut reactor = a_loop(Backend::Auto, Limits { connections: usize::MAX, ..Limits::default() });
    let (ours, _theirs) = UnixStream::pair().expect("a pair");
    let most = Rc::new(Cell::new(0));
    let notes = Rc::clone(&most);
    let script =
        Script { opened: Box::new(move |(), cx| notes.set(cx.limits().connections)), ..Script::default() };
    reactor.adopt(ours, script).expect("a connection");
    assert_eq!(most.get(), ConnectionId::MOST);
}

#[test]
fn a_shutdown_within_a_turn_ends_the_run_around_it_too() {
    let mut reactor = a_loop(Backend::Auto, Limits::default());
    reactor.after(Duration::ZERO, |reactor| {
        reactor.shutdown(Duration::ZERO);
        reactor.run().expect("the inner run");
    });
    reactor.run().expect("the outer run");
}

#[test]
fn a_shutdown_that_a_timer_begins_without_connections_needs_no_grace() {
    let mut reactor = a_loop(Backend::Auto, Limits::default());
    reactor.after(Duration::ZERO, |reactor| reactor.shutdown(Duration::from_secs(1_000_000)));
    reactor.run().expect("the end");
}
