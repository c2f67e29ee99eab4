//! Frames that end with a byte: lines, NUL-ended messages, questions.

use crate::event_loop::{CloseReason, Context, Protocol, Timer};

/// A protocol of whole frames. Everything but [`frame`](Frames::frame) and [`too_long`](Frames::too_long) is as in
/// [`Protocol`].
pub trait Frames {
    /// As [`Protocol::Message`].
    type Message;

    /// The byte that ends a frame.
    fn delimiter(&self) -> u8;

    /// Bytes of the longest frame, without its delimiter.
    fn longest(&self) -> usize;

    /// A frame arrived; its delimiter is cut off.
    fn frame(&mut self, frame: &[u8], cx: &mut Context<'_, Self::Message>);

    /// The frames that were here have been given to [`frame`](Frames::frame), one or more. For a protocol that gathers what
    /// frames have to say, to say it at once.
    fn after_frames(&mut self, cx: &mut Context<'_, Self::Message>) {
        let _ = cx;
    }

    /// A frame is longer than the longest. Whatever this answers, the connection is closed.
    fn too_long(&mut self, cx: &mut Context<'_, Self::Message>) {
        let _ = cx;
    }

    /// As [`Protocol::opened`].
    fn opened(&mut self, cx: &mut Context<'_, Self::Message>) {
        let _ = cx;
    }

    /// As [`Protocol::eof`]. A frame without its delimiter is not delivered.
    fn eof(&mut self, cx: &mut Context<'_, Self::Message>) {
        cx.close();
    }

    /// As [`Protocol::drained`].
    fn drained(&mut self, cx: &mut Context<'_, Self::Message>) {
        let _ = cx;
    }

    /// As [`Protocol::timer`].
    fn timer(&mut self, timer: Timer, cx: &mut Context<'_, Self::Message>) {
        let _ = (timer, cx);
    }

    /// As [`Protocol::message`].
    fn message(&mut self, message: Self::Message, cx: &mut Context<'_, Self::Message>) {
        let _ = (message, cx);
    }

    /// As [`Protocol::closed`].
    fn closed(&mut self, reason: &CloseReason, cx: &mut Context<'_, Self::Message>) {
        let _ = (reason, cx);
    }
}

/// Makes a protocol of frames one of bytes.
///
/// Input is searched once, however small the pieces it comes in, and the frames of one piece are answered one after the
/// other for as long as there is room for the answers.
///
/// ```
/// use reactor::event_loop::adapter::{Delimited, Frames};
/// use reactor::event_loop::{Context, InMemory};
///
/// struct Shout;
/// impl Frames for Shout {
///     type Message = ();
///     fn delimiter(&self) -> u8 { b'\n' }
///     fn longest(&self) -> usize { 80 }
///     fn frame(&mut self, line: &[u8], cx: &mut Context<'_, ()>) {
///         cx.write(&line.to_ascii_uppercase());
///         cx.write(b"!\n");
///     }
/// }
///
/// let mut peer = InMemory::new(Delimited(Shout));
/// peer.input(b"one\ntw");
/// peer.input(b"o\n");
/// assert_eq!(peer.take_output(), b"ONE!\nTWO!\n");
/// ```
#[derive(Debug)]
pub struct Delimited<F>(
    /// What gets the frames.
    pub F,
);

impl<F: Frames> Delimited<F> {
    /// The conversation is over: what is here of the input is thrown away.
    #[cold]
    fn refuse(&mut self, input: &[u8], cx: &mut Context<'_, F::Message>) -> usize {
        self.0.too_long(cx);
        cx.close();
        input.len()
    }
}

impl<F: Frames> Protocol for Delimited<F> {
    type Message = F::Message;

    #[inline]
    fn received(&mut self, input: &[u8], cx: &mut Context<'_, F::Message>) -> usize {
        let (mut consumed, mut scanned) = (0, cx.scanned());
        loop {
            let rest = &input[consumed..];
            let end = memchr::memchr(self.0.delimiter(), &rest[scanned..]).map(|at| scanned + at);
            if end.unwrap_or(rest.len()) > self.0.longest() {
                if consumed > 0 {
                    self.0.after_frames(cx);
                }
                return self.refuse(input, cx);
            }
            let Some(length) = end else {
                cx.set_scanned(rest.len());
                break;
            };
            self.0.frame(&rest[..length], cx);
            (consumed, scanned) = (consumed + length + 1, 0);
            if consumed == input.len() || cx.is_stopped() {
                break;
            }
        }
        if consumed > 0 {
            self.0.after_frames(cx);
        }
        consumed
    }

    fn opened(&mut self, cx: &mut Context<'_, F::Message>) {
        self.0.opened(cx);
    }
    fn eof(&mut self, cx: &mut Context<'_, F::Message>) {
        self.0.eof(cx);
    }
    fn drained(&mut self, cx: &mut Context<'_, F::Message>) {
        self.0.drained(cx);
    }
    fn timer(&mut self, timer: Timer, cx: &mut Context<'_, F::Message>) {
        self.0.timer(timer, cx);
    }
    fn message(&mut self, message: F::Message, cx: &mut Context<'_, F::Message>) {
        self.0.message(message, cx);
    }
    fn closed(&mut self, reason: &CloseReason, cx: &mut Context<'_, F::Message>) {
        self.0.closed(reason, cx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::InMemory;

    /// Gathers the lengths of frames, and says them at once.
    #[derive(Default)]
    struct Gather(Vec<String>);

    impl Frames for Gather {
        type Message = ();
        fn delimiter(&self) -> u8 {
            b'.'
        }
        fn longest(&self) -> usize {
            3
        }
        fn frame(&mut self, frame: &[u8], _: &mut Context<'_, ()>) {
            self.0.push(frame.len().to_string());
        }
        fn after_frames(&mut self, cx: &mut Context<'_, ()>) {
            cx.write(format!("[{}]", self.0.join(" ")).as_bytes());
            self.0.clear();
        }
    }

    #[test]
    fn after_the_frames_that_are_here_comes_one_call_and_after_none_comes_none() {
        for (pieces, expected) in [
            (&["a.bb.ccc.", "a", "b", "c", "..x"][..], "[1 2 3][3 0]"),
            (&["a", "."], "[1]"),
            (&["a.bb.cccc."], "[1 2]"),
            (&["a.bb.cccc"], "[1 2]"),
            (&["cccc."], ""),
        ] {
            let mut peer = InMemory::new(Delimited(Gather::default()));
            pieces.iter().for_each(|piece| peer.input(piece.as_bytes()));
            assert_eq!(String::from_utf8(peer.take_output()).unwrap(), expected, "{pieces:?}");
        }
    }
}
