//! The readiness driver: it is told who is ready and tries the system call.
//!
//! It owns the two scratch buffers through which all bytes pass, so that a connection with nothing left over owns none.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::error::in_call;
use crate::event_loop::output::{Front, Output};
use crate::readiness::backend::{AnySelector, Rearm, Registration, Selector};
use crate::readiness::{Backend, Interest, Trigger};
use crate::sys;

/// One per loop.
#[derive(Debug)]
pub(crate) struct Readiness {
    pub(crate) selector: Arc<AnySelector>,
    /// What a read fills: one connection's share of a turn.
    pub(crate) input: Box<[u8]>,
    /// What the call in progress writes. Empty between connections.
    pub(crate) output: Output,
    /// How connections are watched.
    pub(crate) trigger: Trigger,
}

/// Bytes of files sent for one connection in one go; the rest has its turn later.
const FILE_BUDGET: usize = 256 * 1024;
/// Runs of memory gathered into one system call.
const PIECES: usize = 32;

/// How a transmission ended.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) bytes: usize,
    /// The kernel takes no more: wait until the socket is writable.
    pub(crate) blocked: bool,
}

impl Readiness {
    /// Watches with `trigger`; if none is chosen, with edges where the kernel has them, and else with levels.
    pub(crate) fn new(
        selector: Arc<AnySelector>,
        read_budget: usize,
        trigger: Option<Trigger>,
    ) -> io::Result<Readiness> {
        let has_edges = selector.has_native_edge();
        let trigger = match trigger {
            None if has_edges => Trigger::Edge,
            None => Trigger::Level,
            Some(Trigger::Edge) if !has_edges => return Err(no_edges(selector.backend())),
            Some(trigger) => trigger,
        };
        let input = vec![0; read_budget].into_boxed_slice();
        Ok(Readiness { selector, input, output: Output::default(), trigger })
    }

    /// Whether a connection is registered once, for both directions, with the kernel's own edges.
    #[inline]
    pub(crate) fn has_edges(&self) -> bool {
        self.trigger == Trigger::Edge
    }

    /// Watches a connection: for good where there are edges, else for `interest` until told otherwise.
    pub(crate) fn watch(&self, socket: BorrowedFd<'_>, key: u64, interest: Interest) -> io::Result<()> {
        let registration = if self.has_edges() { both_edges(key) } else { self.wish(key, interest) };
        self.selector.register(socket, registration)
    }

    fn wish(&self, key: u64, interest: Interest) -> Registration {
        Registration { key, interest, trigger: self.trigger, rearm: Rearm::ByOwner }
    }

    /// Asks for the edges of now: what is ready is reported once more.
    pub(crate) fn rewatch(&self, socket: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        self.selector.reregister(socket, both_edges(key))
    }

    /// Changes what a connection is watched for where there are no edges: from this to that. From one thing to the same loads a
    /// one-shot again.
    pub(crate) fn change(
        &self,
        socket: BorrowedFd<'_>,
        key: u64,
        from: Option<Interest>,
        to: Option<Interest>,
    ) -> io::Result<()> {
        match (from, to) {
            (None, None) => Ok(()),
            (None, Some(to)) => self.selector.register(socket, self.wish(key, to)),
            (Some(_), Some(to)) => self.selector.reregister(socket, self.wish(key, to)),
            (Some(_), None) => {
                let explain = |error| self.selector.explain("deregister", socket, key, error);
                self.selector.deregister(socket).map_err(explain)
            }
        }
    }
}

fn both_edges(key: u64) -> Registration {
    let interest = Interest::READABLE | Interest::WRITABLE;
    Registration { key, interest, trigger: Trigger::Edge, rearm: Rearm::ByOwner }
}

fn no_edges(backend: Backend) -> io::Error {
    let why = format!("{backend} has no edges of its own for a loop to wait for; choose level or one-shot");
    io::Error::new(io::ErrorKind::Unsupported, why)
}

/// Whether an error of recv(2) or send(2) passes by itself: a signal came, or the kernel has no memory for it just now. Either is
/// tried again in the next turn and not at once, or a storm of signals would keep all others waiting.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::ENOBUFS | libc::ENOMEM))
}

/// Sends from the front of `output` until it is empty, the kernel takes no more, or the budget for files is used up.
#[inline]
pub(crate) fn transmit(socket: BorrowedFd<'_>, output: &mut Output) -> io::Result<Sent> {
    let mut total = 0;
    loop {
        let (call, asked, result) = match output.plain() {
            Some([]) => return Ok(Sent { bytes: total, blocked: false }),
            Some(bytes) => ("send", bytes.len(), sys::send(socket, bytes)),
            None if total >= FILE_BUDGET => return Ok(Sent { bytes: total, blocked: false }),
            None => send_spliced(socket, output),
        };
        match result {
            Ok(sent) => {
                output.advance(sent);
                total += sent;
                // A short transfer means the kernel is full: asking again would only hear WouldBlock.
                if sent < asked {
                    return Ok(Sent { bytes: total, blocked: true });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Sent { bytes: total, blocked: true });
            }
            Err(error) if is_passing(&error) => return Ok(Sent { bytes: total, blocked: false }), // the next turn tries again
            Err(error) => return Err(in_call(call, socket)(error)),
        }
    }
}

/// One system call for what has pieces spliced in: its name, how much was asked for, and what came of it.
#[cold]
fn send_spliced(socket: BorrowedFd<'_>, output: &mut Output) -> (&'static str, usize, io::Result<usize>) {
    output.mend();
    let mut pieces = [IoSlice::new(&[]); PIECES];
    match output.front(&mut pieces) {
        Front::Pieces(count) => {
            let pieces = &pieces[..count];
            let asked = pieces.iter().map(|piece| piece.len()).sum();
            ("sendmsg", asked, sys::send_pieces(socket, pieces))
        }
        Front::File { file, offset, length } => {
            let length = length.min(FILE_BUDGET as u64);
            let result = match sys::send_file(socket, file, offset, length) {
                Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file to send ended early")),
                result => result,
            };
            // Files are short now and then for reasons of their own (a page to be read): never take that for a full kernel.
            ("sendfile", *result.as_ref().unwrap_or(&0), result)
        }
    }
}

/// Whether there is somebody to converse with, or was: who was reset before a word was said has no address any more, but an error
/// to tell, and that is for the conversation to hear, as it is for one that accept(2) brought. (Reading it here would take it.)
pub(crate) fn check_connected(socket: BorrowedFd<'_>) -> io::Result<()> {
    match sys::peer_address(socket) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            let mut entry = [sys::poll_entry(socket.as_raw_fd(), 0)];
            sys::poll(&mut entry, Some(Duration::ZERO))?;
            if sys::poll_answer(&entry[0]) & sys::ERR != 0 { Ok(()) } else { Err(error) }
        }
        result => result.map(drop),
    }
}

/// The error a socket has to tell, or that it hung up without one.
pub(crate) fn pending_error(socket: impl AsFd) -> io::Error {
    match sys::take_error(socket.as_fd()) {
        Ok(Some(error)) | Err(error) => in_call("getsockopt(SO_ERROR)", socket.as_fd())(error),
        Ok(None) => io::ErrorKind::ConnectionReset.into(),
    }
}
