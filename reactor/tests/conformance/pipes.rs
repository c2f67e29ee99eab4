//! Pipes within the process. (`processes.rs` has those to a child: while one is born, it has all descriptors of its parent, so
//! nothing here could be sure to be closed.)

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

use reactor::unix::pipe::{self, Receiver, Sender};
use reactor::{Backend, Token};

use crate::support::{InPieces, READABLE, WRITABLE, Waiting, drain, fill};

/// One call each time: none until `WouldBlock`.
pub fn an_edge_of_a_pipe_is_told_again_after_a_read(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut sender, mut receiver) = pipe::new().unwrap();
    waiting.edge(&mut receiver, 1, READABLE);
    waiting.assert_silent();
    for round in 0..4 {
        assert_eq!(sender.write(b"simple").unwrap(), 6);
        assert!(waiting.wait_one(1).is_readable());
        let mut buffer = [0; 64];
        match round {
            0 => assert_eq!(receiver.read(&mut buffer).unwrap(), 6),
            1 => assert_eq!((&receiver).read_vectored(&mut [IoSliceMut::new(&mut buffer)]).unwrap(), 6),
            2 => {
                let mut other = std::fs::File::from(receiver.as_fd().try_clone_to_owned().unwrap());
                assert_eq!(receiver.try_io(|| other.read(&mut buffer)).unwrap(), 6);
            }
            _ => assert_eq!(drain(&mut receiver), 6),
        }
        waiting.assert_silent();
    }
}

pub fn an_edge_of_a_pipe_is_told_again_after_a_refused_write(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut sender, mut receiver) = pipe::new().unwrap();
    waiting.edge(&mut sender, 1, WRITABLE);
    for round in 0..4 {
        assert!(waiting.wait_one(1).is_writable());
        if round % 2 == 0 {
            fill(&mut sender)
        } else {
            fill(&mut InPieces(&sender))
        }
        waiting.assert_silent();
        assert!(drain(&mut receiver) >= 4096);
    }
    waiting.wait_one(1);
    assert_eq!(sender.write_vectored(&[IoSlice::new(b"sim"), IoSlice::new(b"ple")]).unwrap(), 6);
    (&sender).flush().unwrap();
    waiting.assert_silent();
}

pub fn a_pipe_ends_when_its_sender_is_gone(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut sender, mut receiver) = pipe::new().unwrap();
    waiting.edge(&mut receiver, 1, READABLE);
    sender.write_all(b"last words").unwrap();
    waiting.wait_one(1);
    assert_eq!(receiver.read(&mut [0; 64]).unwrap(), 10);
    drop(sender);
    assert!(waiting.wait_one(1).is_read_closed());
    for _ in 0..3 {
        assert_eq!(receiver.read(&mut [0; 64]).unwrap(), 0);
        waiting.assert_silent();
    }
}

pub fn a_pipe_nobody_reads_is_broken(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (mut sender, receiver) = pipe::new().unwrap();
    waiting.edge(&mut sender, 1, WRITABLE);
    assert!(waiting.wait_one(1).is_writable());
    fill(&mut sender); // waits for room, so that select notices too
    drop(receiver);
    let event = waiting.wait_one(1);
    // To kqueue it is the end, and no error.
    assert!(event.is_write_closed() && (event.is_error() || backend == Backend::Kqueue), "{event:?}");
    for _ in 0..3 {
        assert_eq!(sender.write(b"to nobody").unwrap_err().kind(), ErrorKind::BrokenPipe);
        waiting.assert_silent();
    }
}

pub fn a_pipe_told_to_block_blocks(backend: Backend) {
    let _ = backend;
    let (mut sender, mut receiver) = pipe::new().unwrap();
    assert_eq!(receiver.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    receiver.set_nonblocking(false).unwrap();
    let reader = std::thread::spawn(move || {
        let length = receiver.read(&mut [0; 8]);
        (receiver, length)
    });
    sender.write_all(b"late").unwrap();
    let (mut receiver, length) = reader.join().unwrap();
    assert_eq!(length.unwrap(), 4);
    receiver.set_nonblocking(true).unwrap();
    assert_eq!(receiver.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

pub fn pipes_convert_from_and_to_descriptors(backend: Backend) {
    let mut waiting = Waiting::with(backend);
    let (sender, receiver) = pipe::new().unwrap();
    let numbers = [sender.as_raw_fd(), receiver.as_raw_fd()];
    let sender = Sender::from(OwnedFd::from(sender));
    let receiver = Receiver::from(OwnedFd::from(receiver));
    // SAFETY: both numbers were given up by their owners on the same lines.
    let (mut sender, mut receiver) =
        unsafe { (Sender::from_raw_fd(sender.into_raw_fd()), Receiver::from_raw_fd(receiver.into_raw_fd())) };
    assert_eq!(numbers, [sender.as_fd().as_raw_fd(), receiver.as_fd().as_raw_fd()]);
    waiting.edge(&mut receiver, 1, READABLE);
    sender.write_all(b"flat").unwrap();
    waiting.wait_one(1);
    waiting.registry().reregister(&mut receiver, Token(2), READABLE).unwrap();
    waiting.wait_one(2);
    waiting.deregister(&mut receiver);
    assert!(format!("{sender:?} {receiver:?}").contains("Sender"));
}
