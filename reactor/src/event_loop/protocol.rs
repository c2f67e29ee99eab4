//! What to say: a protocol reacts to what arrives and never does I/O itself.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Timer;
use super::limits::Limits;
use super::output::Output;
use super::outside::{Mail, Outside, Receiver};
use super::session::SessionState;
use crate::net::Address;

/// One end of a conversation, without I/O.
///
/// The loop calls these methods, one at a time; a method answers through its [`Context`]. Nothing is sent before the method
/// returns, and a slow method keeps everybody waiting. A panic ends this connection and no other.
///
/// ```
/// use reactor::event_loop::{Context, InMemory, Protocol};
///
/// /// Answers each line with its length.
/// struct Lengths;
///
/// impl Protocol for Lengths {
///     type Message = ();
///     fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
///         let Some(end) = input.iter().position(|&byte| byte == b'\n') else { return 0 };
///         cx.write(format!("{end}\n").as_bytes());
///         end + 1 // the rest, if any, is offered again
///     }
/// }
///
/// let mut peer = InMemory::new(Lengths);
/// peer.input(b"three\nand ");
/// peer.input(b"half\n");
/// assert_eq!(peer.take_output(), b"5\n8\n");
/// ```
pub trait Protocol {
    /// What other connections and threads may send to this one.
    type Message;

    /// The connection stands (an outgoing one: its error was asked for and there was none).
    fn opened(&mut self, cx: &mut Context<'_, Self::Message>) {
        let _ = cx;
    }

    /// Bytes arrived. Returns how many of them are consumed.
    ///
    /// The rest is kept. While something is consumed it is offered again at once; when nothing is, it is offered again longer,
    /// as soon as more arrived; after a pause or a lack of room it is offered again unchanged. A protocol that loops over
    /// its requests itself stops when [`Context::is_stopped`] says so.
    fn received(&mut self, input: &[u8], cx: &mut Context<'_, Self::Message>) -> usize;

    /// The peer finished sending. Comes once, after all input was offered, never while paused. Unless overridden, closes.
    fn eof(&mut self, cx: &mut Context<'_, Self::Message>) {
        cx.close();
    }

    /// What is unsent fell to the low-water mark. Comes once for each [`Context::notify_drained`].
    fn drained(&mut self, cx: &mut Context<'_, Self::Message>) {
        let _ = cx;
    }

    /// A timer started with [`Context::start_timer`] rang.
    fn timer(&mut self, timer: Timer, cx: &mut Context<'_, Self::Message>) {
        let _ = (timer, cx);
    }

    /// A message from another connection, or from a [`Handle`](super::Handle) of another thread. To a connection that is
    /// being established it comes before `opened`; what it writes then goes out once the connection stands.
    fn message(&mut self, message: Self::Message, cx: &mut Context<'_, Self::Message>) {
        let _ = (message, cx);
    }

    /// The last call: writing is ignored, sending messages works. Not made after a panic. A connection that could not be
    /// established hears this without having been `opened`.
    fn closed(&mut self, reason: &CloseReason, cx: &mut Context<'_, Self::Message>) {
        let _ = (reason, cx);
    }
}

impl<P: Protocol + ?Sized> Protocol for Box<P> {
    type Message = P::Message;

    fn opened(&mut self, cx: &mut Context<'_, Self::Message>) {
        (**self).opened(cx);
    }
    fn received(&mut self, input: &[u8], cx: &mut Context<'_, Self::Message>) -> usize {
        (**self).received(input, cx)
    }
    fn eof(&mut self, cx: &mut Context<'_, Self::Message>) {
        (**self).eof(cx);
    }
    fn drained(&mut self, cx: &mut Context<'_, Self::Message>) {
        (**self).drained(cx);
    }
    fn timer(&mut self, timer: Timer, cx: &mut Context<'_, Self::Message>) {
        (**self).timer(timer, cx);
    }
    fn message(&mut self, message: Self::Message, cx: &mut Context<'_, Self::Message>) {
        (**self).message(message, cx);
    }
    fn closed(&mut self, reason: &CloseReason, cx: &mut Context<'_, Self::Message>) {
        (**self).closed(reason, cx);
    }
}

/// For a loop that has no connections, only sources, timers and signals.
///
/// ```
/// use reactor::event_loop::Reactor;
/// use std::convert::Infallible;
/// use std::time::Duration;
///
/// let mut reactor = Reactor::<Infallible>::builder().build()?;
/// reactor.after(Duration::from_millis(1), |reactor| reactor.shutdown(Duration::ZERO));
/// reactor.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
impl Protocol for Infallible {
    type Message = Infallible;

    fn received(&mut self, _: &[u8], _: &mut Context<'_, Infallible>) -> usize {
        match *self {}
    }
}

/// Which connection: stays unique while the loop lives (until 2³² connections later).
///
/// ```
/// # use reactor::event_loop::ConnectionId;
/// fn log(id: ConnectionId) {
///     println!("connection {id}"); // 17.204: the 204th ever opened, in place 17 of the table
/// }
/// ```
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// How many places there can be: an index has 24 bits, and one value means nobody.
    pub const MOST: usize = (1 << 24) - 1;

    /// An id no connection has: of a protocol that has no connection yet, or none any more.
    pub(crate) const NONE: ConnectionId = ConnectionId((1 << 56) - 1);

    #[inline]
    pub(crate) fn new(index: usize, generation: u32) -> ConnectionId {
        debug_assert!(index < ConnectionId::MOST);
        ConnectionId(index as u64 | u64::from(generation) << 24)
    }

    /// The low 56 bits of a key in the event loop.
    #[inline]
    pub(crate) fn from_key(key: u64) -> ConnectionId {
        ConnectionId(key & ((1 << 56) - 1))
    }

    #[inline]
    pub(crate) fn key(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) fn index(self) -> usize {
        (self.0 & ((1 << 24) - 1)) as usize
    }

    #[inline]
    pub(crate) fn generation(self) -> u32 {
        (self.0 >> 24) as u32
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ConnectionId::NONE => f.write_str("(none)"),
            id => write!(f, "{}.{}", id.index(), id.generation()),
        }
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({self})")
    }
}

/// Why a connection is over. Where something was still to be sent, and after [`Aborted`](CloseReason::Aborted) and
/// [`Io`](CloseReason::Io), the peer hears a reset: an end in order would say that this was all.
#[derive(Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// Both sides said what they had to say.
    Finished,
    /// The peer finished in the middle of a request: so many bytes of it were here.
    MidRequest(usize),
    /// The peer was gone before so many bytes were sent to it.
    Unsent(usize),
    /// The peer reset the connection, and nothing was unsent.
    Reset,
    /// A time limit passed.
    TimedOut(Timeout),
    /// Another limit was reached.
    Limit(Limit),
    /// Ended from this side without waiting for the peer: [`Context::abort`], or the end of a shutdown's grace.
    Aborted,
    /// A method of the protocol panicked, with this message.
    Panicked(String),
    /// The kernel reported an error.
    Io(io::Error),
}

/// Which time limit passed; see [`Limits`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timeout {
    /// [`Limits::idle`]
    Idle,
    /// [`Limits::request_time`]
    Request,
    /// [`Limits::connect_time`]
    Connect,
}

/// Which limit was reached; see [`Limits`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::request_bytes`]
    RequestBytes,
    /// [`Limits::output_bytes`]
    OutputBytes,
}

impl CloseReason {
    /// Whether the peer must not take the end, with so many bytes unsent, for one in order.
    pub(crate) fn is_abrupt(&self, unsent: usize) -> bool {
        unsent > 0 || matches!(self, CloseReason::Aborted | CloseReason::Io(_))
    }

    /// What an error of `recv`, `send` or `connect` means, with so many bytes unsent.
    pub(crate) fn of_error(error: io::Error, unsent: usize) -> CloseReason {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe if unsent > 0 => {
                CloseReason::Unsent(unsent)
            }
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => CloseReason::Reset,
            _ => CloseReason::Io(error),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Finished => f.write_str("finished"),
            CloseReason::MidRequest(bytes) => {
                write!(f, "the peer sent {bytes} bytes of a request but then closed")
            }
            CloseReason::Unsent(bytes) => write!(f, "the peer closed before {bytes} bytes were sent to it"),
            CloseReason::Reset => f.write_str("reset by the peer"),
            CloseReason::TimedOut(Timeout::Idle) => f.write_str("nothing moved for the time allowed"),
            CloseReason::TimedOut(Timeout::Request) => f.write_str("the request was not finished in time"),
            CloseReason::TimedOut(Timeout::Connect) => f.write_str("no connection in the time allowed"),
            CloseReason::Limit(Limit::RequestBytes) => f.write_str("the request is too long"),
            CloseReason::Limit(Limit::OutputBytes) => f.write_str("too much is waiting to be sent"),
            CloseReason::Aborted => f.write_str("aborted from this side"),
            CloseReason::Panicked(message) => write!(f, "the protocol panicked: {message}"),
            CloseReason::Io(error) => write!(f, "{error}"),
        }
    }
}

/// What a panic said, if it said it in words.
pub(crate) fn message_of(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(message), _) => (*message).to_owned(),
        (_, Some(message)) => message.clone(),
        _ => "(no message)".to_owned(),
    }
}

/// What a protocol may do while it is called: write, pause, close, start timers, send messages.
///
/// Every effect on somebody else is queued, so a call never meets another connection halfway through something.
#[derive(Debug)]
pub struct Context<'a, M> {
    pub(super) state: &'a mut SessionState,
    pub(super) output: &'a mut Output,
    pub(super) outside: &'a mut Outside<M>,
}

impl<M> Context<'_, M> {
    /// Queues a copy of `bytes`. Ignored once the connection is closing.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) {
        if self.state.may_write() {
            self.output.write(bytes);
        }
    }

    /// The vector that [`write`](Context::write) copies to, for encoders that append to one. Append only; what stands there
    /// belongs to this call.
    ///
    /// ```
    /// # use reactor::event_loop::{Context, Protocol};
    /// use std::io::Write;
    /// # struct Answer(u32);
    /// # impl Protocol for Answer {
    /// # type Message = ();
    /// fn received(&mut self, input: &[u8], cx: &mut Context<'_, ()>) -> usize {
    ///     write!(cx.buffer(), "{}\r\n", self.0).expect("a vector takes everything");
    ///     input.len()
    /// }
    /// # }
    /// ```
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.state.may_write() { self.output.buffer() } else { self.outside.void() }
    }

    /// Queues `bytes` without a copy.
    pub fn write_static(&mut self, bytes: &'static [u8]) {
        if self.state.may_write() {
            self.output.write_static(bytes);
        }
    }

    /// Queues `bytes` without a copy; they are shared with whoever else holds them.
    pub fn write_shared(&mut self, bytes: Arc<[u8]>) {
        if self.state.may_write() {
            self.output.write_shared(bytes);
        }
    }

    /// Queues `bytes` without a copy.
    pub fn write_owned(&mut self, bytes: Vec<u8>) {
        if self.state.may_write() {
            self.output.write_owned(bytes);
        }
    }

    /// Queues a range of a file, given in bytes, which the kernel sends without passing it through this process
    /// (sendfile(2)). A file that turns out shorter ends the connection with an error of kind `UnexpectedEof`.
    pub fn write_file(&mut self, file: Arc<File>, range: Range<u64>) {
        if self.state.may_write() {
            self.output.write_file(file, range);
        }
    }

    /// Bytes not yet given to the kernel: queued, in flight, and written in this call.
    #[inline]
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.state.queued() + self.output.len()
    }

    /// How many more bytes may be unsent before reading pauses: high-water mark less [`unsent`](Context::unsent).
    #[inline]
    #[must_use]
    pub fn room(&self) -> usize {
        self.outside.watermarks.high.saturating_sub(self.unsent())
    }

    /// Asks for one call of [`Protocol::drained`] when what is unsent is at the low-water mark or below; at the earliest in
    /// the next turn, so that a producer of endless output lets others have theirs. It comes after
    /// [`close_write`](Context::close_write) too, where that producer has to stop by itself: what it writes is ignored.
    pub fn notify_drained(&mut self) {
        self.state.notify_drained();
    }

    /// Stops input: nothing is `received` and no `eof` comes until [`resume_reading`](Context::resume_reading). For a
    /// protocol that answers later. A reset may go unnoticed meanwhile; [`Limits::idle`] bounds that.
    pub fn pause_reading(&mut self) {
        self.state.pause(true);
    }

    /// Ends a pause: what is kept is offered again, then the kernel is asked for more.
    pub fn resume_reading(&mut self) {
        self.state.pause(false);
    }

    /// Whether [`pause_reading`](Context::pause_reading) is in force.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.state.is_paused()
    }

    /// Whether the connection was closed or aborted, so that writing is ignored.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        !self.state.may_write()
    }

    /// Whether a protocol that loops over its requests must return now: paused, closing, or no room.
    ///
    /// 64 KiB of two-byte requests whose answers are large are unbounded memory otherwise.
    #[inline]
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state.is_stopped() || self.room() == 0
    }

    /// In `received`: how many of the first bytes of the input were in vain searched for the end of a request before.
    #[inline]
    #[must_use]
    pub fn scanned(&self) -> usize {
        self.outside.scanned as usize
    }

    /// Declares, in `received`, that the first `of_the_rest` bytes behind what this call consumes hold no end of a request.
    /// The next call reads it as [`scanned`](Context::scanned). Without it a long request that arrives in small pieces is
    /// searched from its start with each of them: quadratic, and so an attack. Both mean nothing in other methods.
    #[inline]
    pub fn set_scanned(&mut self, of_the_rest: usize) {
        self.state.set_scanned(of_the_rest);
    }

    /// Ends the connection in order: what is unsent is flushed, FIN is sent, and what the peer still sends is thrown away
    /// for a bounded while, so that our last words are not lost to a reset. Further writes are ignored; timers are dropped.
    pub fn close(&mut self) {
        self.state.close();
        self.drop_timers();
    }

    /// Ends our direction only: what is unsent is flushed and FIN is sent, reading goes on. Further writes are ignored.
    pub fn close_write(&mut self) {
        self.state.close_write();
    }

    /// Ends the connection at once with RST; what is unsent is lost.
    pub fn abort(&mut self) {
        self.state.abort();
        self.drop_timers();
    }

    /// Which connection this is.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.outside.id
    }

    /// The peer's address (getpeername(2)), asked for when wanted.
    ///
    /// # Errors
    /// What the kernel says: after a reset there is no peer any more (`NotConnected`).
    pub fn peer(&self) -> io::Result<Address> {
        self.outside.peer()
    }

    /// The limits of the loop this runs on.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.outside.limits
    }

    /// The time of this turn: read from the clock at most once per turn.
    pub fn now(&mut self) -> Instant {
        self.outside.now()
    }

    /// Calls [`Protocol::timer`] once, so long after the time of this turn ([`now`](Context::now)) or a little later: the
    /// wheel counts milliseconds and rounds up.
    pub fn start_timer(&mut self, after: Duration) -> Timer {
        self.outside.start_timer(after, self.state)
    }

    /// Stops a timer of this connection. `false` if it rang or was cancelled before.
    pub fn cancel_timer(&mut self, timer: Timer) -> bool {
        self.outside.cancel_timer(timer, self.state)
    }

    fn drop_timers(&mut self) {
        self.outside.drop_timers(self.state);
    }

    /// Sends a message to a connection of the same loop, delivered in the mailbox phase of this turn (of the next, if sent in
    /// that phase). To a connection that is gone it is dropped.
    ///
    /// # Errors
    /// The mailbox is full: the message is handed back.
    pub fn send(&mut self, to: ConnectionId, message: M) -> Result<(), M> {
        self.outside.post(Mail { to: Receiver::One(to), message })
    }

    /// Sends a clone of `message` to each of many connections. In the mailbox it is one entry, however many they are.
    ///
    /// # Errors
    /// The mailbox is full: the message is handed back.
    pub fn send_all(&mut self, to: Arc<[ConnectionId]>, message: M) -> Result<(), M>
    where
        M: Clone,
    {
        self.outside.post(Mail { to: Receiver::Many(to, M::clone), message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_all_of_index_and_generation() {
        for (index, generation) in [(0, 0), (1, 1 << 16), (ConnectionId::MOST - 1, u32::MAX)] {
            let id = ConnectionId::from_key(ConnectionId::new(index, generation).key());
            assert_eq!((id.index(), id.generation()), (index, generation));
        }
    }
}
