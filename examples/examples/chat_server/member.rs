//! What a member says and hears: the protocol, without a word about who waits.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use reactor::event_loop::adapter::Frames;
use reactor::event_loop::{CloseReason, Context, Limit, Limits, Timer};
use tracing::info;

/// Bytes of the longest message, without its NUL.
pub const LONGEST_MESSAGE: usize = 64 * 1024;
/// Bytes that may wait for a member who does not read them.
pub const MOST_UNREAD: usize = 1 << 20;
/// Bytes that are passed on together, at least: more of them make a second message to all.
const TOGETHER: usize = 64 * 1024;
/// When there was no room for what a member says, it tries again after this.
const RETRY: Duration = Duration::from_millis(2);

/// What members are allowed, whoever waits.
pub fn limits() -> Limits {
    Limits {
        request_time: Some(Duration::from_secs(60)),
        output_bytes: MOST_UNREAD,
        // A member may be silent for days; a message, once begun, may not.
        idle: None,
        ..Limits::default()
    }
}

/// What is sent to a member.
#[derive(Clone)]
pub enum Said {
    /// Messages as they go over the wire, one or more. In memory they stand once, however many members they wait for.
    Text(Arc<[u8]>),
    /// Nothing follows.
    Farewell,
}

/// How what is said gets to the others: the model. Dropped, it has left.
pub trait Room {
    /// From here on the member hears what is said.
    fn join(&mut self, cx: &mut Context<'_, Said>);

    /// Tells all members, or hands it back when there is no room for it now.
    fn tell_all(&mut self, said: Said, cx: &mut Context<'_, Said>) -> Result<(), Said>;

    /// Asks for a `Farewell` behind everything this member has still to hear. `false`: not now.
    fn ask_for_farewell(&mut self, cx: &mut Context<'_, Said>) -> bool;

    /// Why the room threw the member out, if it did.
    fn thrown_out(&self) -> Option<TooSlow> {
        None
    }
}

/// Why a member is thrown out that does not read.
pub struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it reads too slowly: more than {MOST_UNREAD} bytes were waiting for it")
    }
}

/// One who is here.
pub struct Member<R> {
    room: R,
    name: String,
    /// Messages of the piece of input at hand: they are passed on together. A burst of 8 000 two-byte messages to 1 000
    /// members is one entry in the mailbox and 1 000 deliveries; passed on one by one it would be eight million.
    gathered: Vec<u8>,
    /// What there was no room for.
    waiting: Option<Said>,
    /// Says nothing more; leaves as soon as it has heard its own last words.
    is_leaving: bool,
    mistake: Option<&'static str>,
}

impl<R: Room> Member<R> {
    pub fn new(name: impl fmt::Display, room: R) -> Member<R> {
        let (gathered, waiting, is_leaving, mistake) = (Vec::new(), None, false, None);
        Member { room, name: name.to_string(), gathered, waiting, is_leaving, mistake }
    }

    /// Passes on what is gathered. While there is no room for it, nothing more is read from this member: the kernel's buffers
    /// fill, and who talks too much is held back. Everybody else goes on.
    fn pass_on(&mut self, cx: &mut Context<'_, Said>) {
        if !self.gathered.is_empty() {
            self.waiting = Some(Said::Text(Arc::from(mem::take(&mut self.gathered))));
        }
        self.waiting = self.waiting.take().and_then(|said| self.room.tell_all(said, cx).err());
        if self.waiting.is_some() || (self.is_leaving && !self.room.ask_for_farewell(cx)) {
            cx.pause_reading();
            cx.start_timer(RETRY);
        } else if !self.is_leaving {
            cx.resume_reading();
        }
    }

    /// Leaves, but not before what it said has been told to all, itself included: so the farewell goes the same way as the
    /// messages, behind them.
    fn leave(&mut self, cx: &mut Context<'_, Said>) {
        self.is_leaving = true;
        cx.pause_reading();
    }
}

impl<R: Room> Frames for Member<R> {
    type Message = Said;

    fn delimiter(&self) -> u8 {
        0
    }

    fn longest(&self) -> usize {
        LONGEST_MESSAGE
    }

    fn opened(&mut self, cx: &mut Context<'_, Said>) {
        self.room.join(cx);
        info!("{} joined", self.name);
    }

    fn frame(&mut self, message: &[u8], cx: &mut Context<'_, Said>) {
        if std::str::from_utf8(message).is_err() {
            self.mistake = Some("its message is not UTF-8");
            return self.leave(cx);
        }
        for part in [self.name.as_bytes(), b": ", message, b"\0"] {
            self.gathered.extend_from_slice(part);
        }
        if self.gathered.len() >= TOGETHER {
            cx.pause_reading(); // ends when it is passed on
        }
    }

    fn after_frames(&mut self, cx: &mut Context<'_, Said>) {
        self.pass_on(cx);
    }

    fn timer(&mut self, _: Timer, cx: &mut Context<'_, Said>) {
        self.pass_on(cx);
    }

    fn too_long(&mut self, _: &mut Context<'_, Said>) {
        self.mistake = Some("its message is too long");
    }

    fn eof(&mut self, cx: &mut Context<'_, Said>) {
        self.leave(cx);
        self.pass_on(cx);
    }

    fn message(&mut self, said: Said, cx: &mut Context<'_, Said>) {
        match said {
            Said::Text(text) => cx.write_shared(text),
            Said::Farewell => cx.close(),
        }
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, Said>) {
        let name = &self.name;
        match (self.room.thrown_out(), self.mistake, reason) {
            (Some(why), ..) => info!("{name} was thrown out: {why}"),
            (_, Some(why), _) => info!("{name} was thrown out: {why}"),
            (_, _, CloseReason::Limit(Limit::OutputBytes)) => info!("{name} was thrown out: {TooSlow}"),
            _ => info!("{name} left: {reason}"),
        }
    }
}
