//! The simulated kernel itself: that it repeats itself exactly, and that it uses every freedom it has.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use reactor::event_loop::Reactor;
use reactor::net::{TcpListener, TcpStream};
use reactor::simulation::{self, Simulation};
use reactor::{Events, Interest, Poll, Token, Trigger, errno};

use super::conversation::{Lengths, server};
use super::{Ends, address, elsewhere, is_over, live};

/// Everything that happens in a run, while descriptors get other numbers in every run: holes open and close.
fn story(simulation: &Simulation, mut holes: Vec<File>) -> io::Result<Vec<String>> {
    let (ends, story) = (Ends::default(), Rc::<RefCell<Vec<String>>>::default());
    let mut reactor = Reactor::<Lengths>::builder().build()?;
    let (theirs, told) = (ends.clone(), Rc::clone(&story));
    reactor.listen(address(), move |incoming| {
        drop(holes.pop());
        told.borrow_mut().push(format!("accepted {}", incoming.peer));
        Some(Lengths(theirs.clone()))
    })?;
    let clients: Vec<_> = (0..5).map(|_| simulation.connect(address())).collect();
    for client in &clients {
        client.send(b"one\nthree\n");
        client.finish();
    }
    live(simulation, &mut reactor, || {
        let lengths: Vec<usize> = clients.iter().map(|client| client.received().len()).collect();
        story.borrow_mut().push(format!("{lengths:?} {ends:?}"));
        clients.iter().all(is_over)
    })?;
    drop(reactor);
    Ok(story.take())
}

#[test]
fn a_seed_tells_the_same_story_whatever_the_numbers_of_descriptors_are() {
    let stories = |holes: usize| {
        let stories = RefCell::new(Vec::new());
        simulation::seeds(0..300, |simulation| {
            let holes: io::Result<Vec<File>> = (0..holes).map(|_| File::open("/dev/null")).collect();
            stories.borrow_mut().push(story(simulation, holes?)?);
            Ok(())
        });
        stories.into_inner()
    };
    assert_eq!(stories(0), stories(4));
}

/// What calls answered: 0, or the error.
#[derive(Default)]
struct Answers(RefCell<BTreeSet<(&'static str, i32)>>);

impl Answers {
    fn note<T>(&self, call: &'static str, answer: &io::Result<T>) {
        let error = answer.as_ref().err().map_or(0, |error| errno(error).unwrap_or(-1));
        self.0.borrow_mut().insert((call, error));
    }
}

/// Calls everything, a few times each, and lives with every answer.
fn call_everything(simulation: &Simulation, answers: &Answers) -> io::Result<()> {
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
    let mut listener = TcpListener::bind(address())?;
    poll.registry().register_with(&mut listener, Token(0), Interest::READABLE, Trigger::Level)?;
    simulation.allow_losses();
    let (client, server) = (simulation.connect(address()), simulation.serve(elsewhere()));
    client.send(b"question");
    server.send(b"answer");
    let connected = TcpStream::connect(elsewhere());
    answers.note("connect", &connected);
    let mut streams: Vec<TcpStream> = connected.into_iter().collect();
    for _ in 0..10 {
        answers.note("wait", &poll.poll(&mut events, None));
        let accepted = listener.accept();
        answers.note("accept", &accepted);
        if let Ok((mut stream, _)) = accepted {
            answers.note("watch", &poll.registry().register(&mut stream, Token(1), Interest::READABLE));
            streams.push(stream);
            break;
        }
    }
    for mut stream in streams {
        for _ in 0..4 {
            answers.note("wait", &poll.poll(&mut events, None));
            answers.note("receive", &stream.read(&mut [0; 4]));
            answers.note("send", &stream.write(b"0123456789"));
        }
        answers.note("error", &stream.take_error()?.map_or(Ok(()), Err));
    }
    Ok(())
}

#[test]
fn every_freedom_is_used_by_some_seed() {
    let answers = Answers::default();
    simulation::seeds(0..3_000, |simulation| call_everything(simulation, &answers));
    let answers = answers.0.into_inner();
    let expected: [(&str, &[i32]); 7] = [
        ("wait", &[0, libc::EINTR]),
        ("watch", &[0, libc::ENOMEM, libc::ENOSPC]),
        ("accept", &[0, libc::EINTR, libc::EAGAIN, libc::ENOBUFS, libc::ENOMEM, libc::EMFILE, libc::ENFILE]),
        ("accept", &[libc::ECONNABORTED, libc::EPROTO]),
        ("connect", &[0, libc::EINTR, libc::EADDRNOTAVAIL, libc::ENETUNREACH, libc::EMFILE, libc::ENFILE]),
        ("receive", &[0, libc::EINTR, libc::EAGAIN, libc::ENOMEM, libc::ECONNRESET, libc::ENOTCONN]),
        ("send", &[0, libc::EINTR, libc::EAGAIN, libc::ENOBUFS, libc::EPIPE, libc::ENOTCONN]),
    ];
    for (call, errors) in expected {
        let missing: Vec<&i32> = errors.iter().filter(|error| !answers.contains(&(call, **error))).collect();
        assert!(missing.is_empty(), "{call} never answered {missing:?}: {answers:?}");
    }
    assert!(answers.contains(&("error", libc::ETIMEDOUT)), "{answers:?}");
}

/// Told of something again and again, and doing nothing about it: that is a loop that spins.
#[test]
fn a_loop_that_does_nothing_about_what_it_is_told_is_ended() {
    simulation::seeds(0..20, |simulation| {
        let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
        let mut listener = TcpListener::bind(address())?;
        poll.registry().register_with(&mut listener, Token(0), Interest::READABLE, Trigger::Level)?;
        let client = simulation.connect(address());
        for _ in 0..10_000 {
            match poll.poll(&mut events, Some(Duration::from_secs(1))) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    assert!(error.to_string().contains("nobody did anything about it"), "{error}");
                    return Ok(());
                }
                Ok(()) => {}
            }
        }
        panic!("nobody noticed: {client:?}");
    });
}

/// shutdown(2) with `SHUT_RD`: the end is read at once, and the other side is not told.
#[test]
fn who_wants_to_hear_nothing_more_reads_the_end() {
    simulation::seeds(0..200, |simulation| {
        simulation.calm();
        let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(8));
        let server = simulation.serve(elsewhere());
        let mut stream = TcpStream::connect(elsewhere())?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register_with(&mut stream, Token(1), both, Trigger::Edge)?;
        poll.poll(&mut events, None)?;
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        stream.shutdown(Shutdown::Read)?;
        poll.poll(&mut events, None)?;
        assert!(events.iter().any(|event| event.is_read_closed()));
        assert_eq!(stream.read(&mut [0])?, 0);
        let wrote = stream.write(b"and yet it speaks")?;
        simulation.settle();
        assert_eq!((server.received().len(), server.is_finished()), (wrote, false));
        Ok(())
    });
}

/// Whoever waits for bytes that will not come goes on with its plan, in vain.
#[test]
fn a_peer_does_not_wait_for_what_will_not_come() {
    simulation::seeds(0..200, |simulation| {
        let ends = Ends::default();
        let mut reactor = server(&ends)?;
        let client = simulation.connect(address());
        client.send(b"one\n");
        client.await_bytes(2);
        client.finish();
        client.await_bytes(1_000);
        client.send(b"never sent");
        live(simulation, &mut reactor, || client.is_done() && ends.count() == 1)?;
        assert_eq!((client.received(), ends.all()), (b"3\n".to_vec(), vec!["Finished".to_owned()]));
        Ok(())
    });
}
