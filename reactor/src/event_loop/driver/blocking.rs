//! The blocking driver: a thread waits, for one conversation, in the system call itself.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe, Location};
use std::time::{Duration, Instant};

use super::readiness::{check_connected, is_passing, transmit};
use crate::clock;
use crate::error::in_call;
use crate::event_loop::limits::{Limits, Watermarks};
use crate::event_loop::output::Output;
use crate::event_loop::outside::{Due, Outside, later};
use crate::event_loop::protocol::{CloseReason, ConnectionId, Protocol, Timeout, message_of};
use crate::event_loop::session::{Demand, Session};
use crate::sys::{self, Direction};

/// Holds one conversation, on the calling thread, until it is over: the same protocol, without a loop.
///
/// Limits on time, on a request's bytes and on lingering are those of a [`Reactor`](crate::event_loop::Reactor); output is not
/// held but waited for, and limits on connections are the caller's business. Timers ring while the thread waits for input, not
/// while it waits for the peer to take output. Messages
/// reach only the connection itself; there is no other. A panic of the protocol is a [`CloseReason`], as in the loop.
///
/// ```
/// use reactor::event_loop::{CloseReason, Context, Limits, Protocol, converse};
/// use std::io::{Read, Write};
/// use std::net::{Shutdown, TcpListener, TcpStream};
///
/// struct Echo;
/// impl Protocol for Echo {
///     type Message = ();
///     fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
///         cx.write(input);
///         input.len()
///     }
/// }
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// let server = std::thread::spawn(move || converse(listener.accept()?.0, Echo, &Limits::default()));
/// client.write_all(b"hello")?;
/// client.shutdown(Shutdown::Write)?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert_eq!(answer, "hello");
/// assert!(matches!(server.join().unwrap()?, CloseReason::Finished));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The stream is no connected socket; or the protocol waits for something that cannot come (`Deadlock`: it takes no input,
/// and no timer runs). How the conversation itself ended, well or badly, is the [`CloseReason`].
pub fn converse<P: Protocol>(
    stream: impl Into<OwnedFd>,
    protocol: P,
    limits: &Limits,
) -> io::Result<CloseReason> {
    hold(stream.into(), protocol, limits, None)
}

/// A system call that a conversation made, and that may have blocked.
#[derive(Debug)]
#[non_exhaustive]
pub struct Step<'a> {
    /// `recv`, `send` or, for the time until a timer, `ppoll`.
    pub call: &'static str,
    /// What the kernel answered: bytes, or an error.
    pub result: Result<usize, &'a io::Error>,
    /// When it was called,
    pub began: Instant,
    /// and how long it took. In `recv` and `ppoll` that is time spent waiting.
    pub took: Duration,
    /// Where in the source.
    pub place: &'static Location<'static>,
}

/// The same as [`converse`], and tells of each step that it makes.
///
/// # Errors
/// As those of [`converse`].
pub fn converse_observed<P: Protocol>(
    stream: impl Into<OwnedFd>,
    protocol: P,
    limits: &Limits,
    mut observer: impl FnMut(&Step<'_>),
) -> io::Result<CloseReason> {
    hold(stream.into(), protocol, limits, Some(&mut observer))
}

/// Who is told of each step.
type Observer<'a> = Option<&'a mut dyn FnMut(&Step<'_>)>;

/// Makes a call, and tells of it whoever wants to know.
#[track_caller]
fn observed(
    observer: &mut Observer<'_>,
    name: &'static str,
    call: impl FnOnce() -> io::Result<usize>,
) -> io::Result<usize> {
    let Some(observer) = observer else { return call() };
    let (place, began) = (Location::caller(), clock::now());
    let result = call();
    let took = clock::now() - began;
    observer(&Step { call: name, result: result.as_ref().copied(), began, took, place });
    result
}

fn hold<P: Protocol>(
    stream: OwnedFd,
    protocol: P,
    limits: &Limits,
    observer: Observer<'_>,
) -> io::Result<CloseReason> {
    check_connected(stream.as_fd()).map_err(in_call("getpeername", stream.as_fd()))?;
    // Blocking or not is a property shared with every duplicate of the descriptor: it is put back.
    let was_nonblocking = sys::set_nonblocking(stream.as_fd(), false)?;
    let mut conversation = Conversation::new(stream, protocol, limits, observer);
    let result = match panic::catch_unwind(AssertUnwindSafe(|| conversation.run())) {
        Ok(result) => result,
        Err(panic) => Ok(conversation.finish(CloseReason::Panicked(message_of(&*panic)))),
    };
    if was_nonblocking {
        sys::set_nonblocking(conversation.stream.as_fd(), true)?;
    }
    result
}

struct Conversation<'a, P: Protocol> {
    observer: Observer<'a>,
    session: Session<P>,
    outside: Outside<P::Message>,
    stream: OwnedFd,
    input: Box<[u8]>,
    output: Output,
    began: Instant,
    /// When bytes last moved.
    moved: Instant,
    /// The timeout that the socket has now.
    receive_timeout: Option<Duration>,
}

impl<'a, P: Protocol> Conversation<'a, P> {
    fn new(stream: OwnedFd, protocol: P, limits: &Limits, observer: Observer<'a>) -> Conversation<'a, P> {
        let now = clock::now();
        let mut outside = Outside::new(*limits, Watermarks::default(), usize::MAX, now);
        outside.enter(ConnectionId::new(0, 0), stream.as_raw_fd());
        Conversation {
            observer,
            session: Session::new(protocol),
            outside,
            stream,
            input: vec![0; 64 * 1024].into_boxed_slice(),
            output: Output::default(),
            began: now,
            moved: now,
            receive_timeout: None,
        }
    }

    fn run(&mut self) -> io::Result<CloseReason> {
        sys::set_timeout(self.stream.as_fd(), Direction::Send, self.outside.limits.idle)
            .map_err(in_call("setsockopt", self.stream.as_fd()))?;
        self.session.open(&mut self.output, &mut self.outside);
        loop {
            if let Some(reason) = self.settle() {
                return Ok(self.finish(reason));
            }
            let timeout = self.time_left();
            if let Some(reason) = self.expired() {
                return Ok(self.finish(reason));
            }
            if self.session.state.wants_input() {
                if let Some(reason) = self.read(timeout) {
                    return Ok(self.finish(reason));
                }
            } else if self.outside.wheel.next_deadline().is_some() {
                let sleep = || {
                    sys::sleep(timeout);
                    Ok(0)
                };
                observed(&mut self.observer, "ppoll", sleep)?;
            } else {
                self.finish(CloseReason::Aborted);
                let problem = "the protocol takes no input and no timer runs: nothing can ever happen";
                return Err(io::Error::new(io::ErrorKind::Deadlock, problem));
            }
            self.ring();
        }
    }

    /// Waits for input. The time the kernel may take is a property of the socket, set only when it changes.
    fn read(&mut self, timeout: Option<Duration>) -> Option<CloseReason> {
        if timeout != self.receive_timeout {
            if let Err(error) = sys::set_timeout(self.stream.as_fd(), Direction::Receive, timeout) {
                return Some(CloseReason::Io(in_call("setsockopt", self.stream.as_fd())(error)));
            }
            self.receive_timeout = timeout;
        }
        let received =
            observed(&mut self.observer, "recv", || sys::receive(self.stream.as_fd(), &mut self.input));
        self.notice_time();
        match received {
            Ok(0) => self.session.end(&mut self.output, &mut self.outside),
            Ok(received) => {
                self.moved = self.outside.now();
                self.session.input(&self.input[..received], &mut self.output, &mut self.outside);
            }
            // The time is over, or a signal came: then what is left of the time is worked out anew.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) if is_passing(&error) => sys::sleep(Some(Duration::from_millis(1))),
            Err(error) => {
                let error = in_call("recv", self.stream.as_fd())(error);
                return Some(CloseReason::of_error(error, 0));
            }
        }
        None
    }

    /// Time went by. An epoch is a millisecond here.
    fn notice_time(&mut self) {
        self.outside.forget_now();
        let since = self.outside.now() - self.began;
        self.outside.epoch = since.as_millis() as u32; // wraps, as epochs may
    }

    /// Rings the timers that are due.
    fn ring(&mut self) {
        self.notice_time();
        let (now, mut left) = (self.outside.now(), self.outside.wheel.len());
        while left > 0 {
            left -= 1;
            let Some((timer, due)) = self.outside.wheel.pop_due(now) else { return };
            if let Due::Protocol(_) = due {
                self.session.timer(timer, &mut self.output, &mut self.outside);
            }
        }
    }

    /// Sends, offers again, delivers, until nothing is left to do. A reason, if that was the end.
    fn settle(&mut self) -> Option<CloseReason> {
        loop {
            if let Err(reason) = self.send() {
                return Some(reason);
            }
            let drained = self.session.is_drained_due(&self.outside);
            self.session.tell_drained(&mut self.output, &mut self.outside);
            let moved = self.session.go_on(&mut self.output, &mut self.outside)
                || drained
                || self.session.take_own_mail(&mut self.output, &mut self.outside);
            if !moved {
                break;
            }
        }
        match self.session.state.demand() {
            Demand::Continue => None,
            Demand::Abort => Some(CloseReason::Aborted),
            Demand::Stop(limit) => Some(CloseReason::Limit(limit)),
            Demand::HalfClose => {
                self.session.state.write_closed();
                match sys::shutdown_write(self.stream.as_fd()) {
                    Ok(()) => self.settle(),
                    Err(error) => {
                        Some(CloseReason::of_error(in_call("shutdown", self.stream.as_fd())(error), 0))
                    }
                }
            }
            Demand::Close => {
                self.linger();
                Some(self.session.orderly_reason())
            }
        }
    }

    /// Sends everything. The kernel gives up when nothing moves for the idle limit, or at the end for the time of lingering.
    fn send(&mut self) -> Result<(), CloseReason> {
        let closing = self.session.state.is_closing();
        if closing && !self.output.is_empty() {
            let limit = self.outside.limits.flush_time();
            sys::set_timeout(self.stream.as_fd(), Direction::Send, Some(limit))
                .map_err(|error| CloseReason::Io(in_call("setsockopt", self.stream.as_fd())(error)))?;
        }
        while !self.output.is_empty() {
            let mut blocked = false;
            let transmit = || {
                let sent = transmit(self.stream.as_fd(), &mut self.output)?;
                blocked = sent.blocked;
                Ok(sent.bytes)
            };
            let sent = observed(&mut self.observer, "send", transmit)
                .map_err(|error| CloseReason::of_error(error, self.output.len()))?;
            if sent == 0 && blocked && closing {
                return Err(CloseReason::Unsent(self.output.len()));
            }
            if sent == 0 && blocked {
                return Err(CloseReason::TimedOut(Timeout::Idle));
            }
            if sent == 0 {
                sys::sleep(Some(Duration::from_millis(1))); // the kernel has no memory for it just now
            }
            self.notice_time();
            self.moved = self.outside.now();
        }
        self.session.sent(&self.outside);
        Ok(())
    }

    /// Until the next timer or the end of a limit.
    fn time_left(&mut self) -> Option<Duration> {
        let now = self.outside.now();
        let timer = self.outside.wheel.next_deadline().map(|next| next.saturating_duration_since(now));
        let idle = self.outside.limits.idle.map(|limit| limit.saturating_sub(now - self.moved));
        let request = self.request_time_left();
        // Zero would mean for ever.
        [timer, idle, request].into_iter().flatten().min().map(|left| left.max(Duration::from_millis(1)))
    }

    fn request_time_left(&self) -> Option<Duration> {
        let since = self.session.state.waiting_for_request_since()?;
        let waited = Duration::from_millis(u64::from(self.outside.epoch.wrapping_sub(since)));
        self.outside.limits.request_time.map(|limit| limit.saturating_sub(waited))
    }

    fn expired(&mut self) -> Option<CloseReason> {
        let now = self.outside.now();
        if self.request_time_left() == Some(Duration::ZERO) {
            Some(CloseReason::TimedOut(Timeout::Request))
        } else if self.outside.limits.idle.is_some_and(|limit| now - self.moved >= limit) {
            Some(CloseReason::TimedOut(Timeout::Idle))
        } else {
            None
        }
    }

    /// All is sent: FIN, and then what the peer still sends is thrown away for a bounded while, so that our last words are
    /// not lost to a reset.
    fn linger(&mut self) {
        if self.session.state.is_ended() || sys::shutdown_write(self.stream.as_fd()).is_err() {
            return;
        }
        let Limits { linger_time, linger_bytes, .. } = self.outside.limits;
        let (until, mut discarded) = (later(clock::now(), linger_time), 0);
        while discarded <= linger_bytes {
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero()
                || sys::set_timeout(self.stream.as_fd(), Direction::Receive, Some(left)).is_err()
            {
                return;
            }
            match sys::receive(self.stream.as_fd(), &mut self.input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return,
                Ok(received) => discarded += received,
            }
        }
    }

    fn finish(&mut self, reason: CloseReason) -> CloseReason {
        if reason.is_abrupt(self.output.len()) {
            let _ = sys::set_reset_on_close(self.stream.as_fd());
        }
        self.output.clear();
        self.session.finish(&reason, &mut self.output, &mut self.outside);
        reason
    }
}
