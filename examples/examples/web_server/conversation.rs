//! One connection's side of HTTP, without any I/O: heads come in, answers go out, in order.
//!
//! ```text
//!            a head                a body follows
//!   Head ────────────▶ answer     Head ─────────▶ Body ──▶ answer, when all of it is past
//!
//!            a large file, piece by piece: the next piece is queued when the last one is nearly gone,
//!   answer ──────────────────────────────▶ File ──▶ Head      and nothing is read meanwhile
//!
//!            the last answer is on its way
//!   answer ──────────────────────────────▶ Last ──▶ closed, when all of it is gone
//! ```
//!
//! Requests may come many at a time (pipelining); the loop in `received` answers them one after the other until there is no
//! room for more answers. This is the whole server: the files in `models/` only decide who waits for the bytes.

use std::convert::Infallible;
use std::fs::File;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use reactor::event_loop::{CloseReason, Context, Protocol, Timeout, Timer};

use crate::http::body::Body;
use crate::http::framing::Framing;
use crate::http::request::{self, MOST_FIELDS, Request};
use crate::http::response::{Content, Form, Response};
use crate::http::status::{EXPECTATION_FAILED, Fault};
use crate::log::{escaped, first_line};
use crate::pace::Pace;
use crate::site::{Site, pages};

/// Bytes of a file that are queued at once.
const PIECE: u64 = 256 * 1024;
/// More unsent bytes than this, and the client is one that is being waited for.
const MUCH: usize = 16 * 1024;

/// A client and what it is being told.
#[derive(Debug)]
pub struct Conversation {
    site: Arc<Site>,
    peer: SocketAddr,
    state: State,
    pace: Pace,
}

const _: () = assert!(size_of::<Conversation>() <= 96, "an idle client must stay small");

#[derive(Debug)]
enum State {
    /// A head is next.
    Head,
    /// A body is next; then this is answered.
    Body(Box<(Body, Answer)>),
    /// A file is on its way.
    File(Box<Sending>),
    /// The last answer is on its way, and then the connection ends.
    Last,
}

/// An answer that is ready.
#[derive(Debug)]
struct Answer {
    response: Response,
    form: Form,
    /// For the log.
    request_line: String,
}

/// What is left of a file.
#[derive(Debug)]
struct Sending {
    file: Arc<File>,
    rest: Range<u64>,
    /// Whether the connection goes on afterwards.
    keep: bool,
}

type Cx<'a> = Context<'a, Infallible>;

impl Conversation {
    /// A conversation with a client from there.
    pub fn new(site: Arc<Site>, peer: SocketAddr) -> Conversation {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Conversation { site, peer, state: State::Head, pace: Pace::default() }
    }

    /// Looks for a head, and answers it unless a body follows. How many bytes that were.
    fn head(&mut self, input: &[u8], scanned: usize, cx: &mut Cx<'_>) -> usize {
        let found = match request::find(input, scanned) {
            Ok(Some(found)) => found,
            Ok(None) => {
                cx.set_scanned(input.len());
                return 0;
            }
            Err(fault) => return self.refuse(fault, input, cx),
        };
        let end = found.end;
        let mut room = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let request = request::parse(&input[found], &mut room);
        match request.and_then(|request| self.begin(&request, cx)) {
            Ok(()) => end,
            Err(fault) => self.refuse(fault, input, cx),
        }
    }

    /// Answers a request, or waits for its body first. A fault here leaves open where the next request begins.
    fn begin(&mut self, request: &Request<'_>, cx: &mut Cx<'_>) -> Result<(), Fault> {
        request.check_host()?;
        let body = Body::new(Framing::of(request)?);
        let expects = expects_to_be_asked(request)?;
        let response = self.site.answer(request, self.peer);
        let keep = request.keeps_alive();
        let form = Form { head_only: request.method == "HEAD", minor: request.minor, keep };
        let request_line = format!("{} {} HTTP/1.{}", request.method, request.target, request.minor);
        let mut answer = Answer { response, form, request_line };
        match body {
            None => self.send(answer, cx),
            // The client asked whether to send the body. After a "no" nobody can know whether one comes all the same.
            Some(_) if expects && answer.response.status.is_error() => {
                answer.form.keep = false;
                self.send(answer, cx);
            }
            Some(body) => {
                if expects {
                    cx.write_static(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                self.state = State::Body(Box::new((body, answer)));
            }
        }
        Ok(())
    }

    /// Gets past the body, and answers behind its end. How many bytes that were.
    fn body(&mut self, input: &[u8], cx: &mut Cx<'_>) -> usize {
        let State::Body(waiting) = &mut self.state else { return 0 };
        match waiting.0.skip(input) {
            Ok(skipped) => {
                self.pace.count(skipped as u64);
                if waiting.0.is_over() {
                    if let State::Body(waiting) = std::mem::replace(&mut self.state, State::Head) {
                        self.send(waiting.1, cx);
                    }
                }
                skipped
            }
            Err(fault) => self.refuse(fault, input, cx),
        }
    }

    /// Answers what cannot be understood, and ends the conversation: what follows cannot be understood either.
    fn refuse(&mut self, fault: Fault, input: &[u8], cx: &mut Cx<'_>) -> usize {
        let request_line = match std::mem::replace(&mut self.state, State::Head) {
            State::Body(waiting) => waiting.1.request_line,
            _ => first_line(input),
        };
        self.send(Answer { response: pages::fault(fault), form: Form::LAST, request_line }, cx);
        input.len()
    }

    fn send(&mut self, answer: Answer, cx: &mut Cx<'_>) {
        let Answer { response, form, request_line } = answer;
        self.log(&request_line, &response, form);
        let head_begins = cx.unsent();
        response.write_head(form, (self.site.clock)(), cx.buffer());
        match response.content {
            Content::File(file, rest) if !form.head_only => {
                self.state = State::File(Box::new(Sending { file, rest, keep: form.keep }));
            }
            Content::Bytes(bytes) if !form.head_only => cx.write(&bytes),
            _ => {}
        }
        self.pace.count((cx.unsent() - head_begins) as u64);
        match self.state {
            State::File(_) => self.send_piece(cx),
            _ if form.keep => {}
            _ => self.end(cx),
        }
    }

    /// Ends the conversation when all was sent. Closing at once would give the rest only a short while (lingering is meant
    /// for peers who need not be waited for), and a slow reader of a large file would lose its end.
    fn end(&mut self, cx: &mut Cx<'_>) {
        if cx.unsent() == 0 {
            cx.close();
        } else {
            self.state = State::Last;
            cx.pause_reading();
            cx.notify_drained();
        }
    }

    /// Queues the next piece of a file. Until the last one is queued nothing else is answered, so nothing is read.
    fn send_piece(&mut self, cx: &mut Cx<'_>) {
        let State::File(sending) = &mut self.state else { return };
        let end = sending.rest.end.min(sending.rest.start + PIECE);
        let piece = sending.rest.start..end;
        self.pace.count(piece.end - piece.start);
        cx.write_file(Arc::clone(&sending.file), piece);
        sending.rest.start = end;
        if sending.rest.start < sending.rest.end {
            cx.pause_reading();
            cx.notify_drained();
            return;
        }
        let keep = sending.keep;
        self.state = State::Head;
        cx.resume_reading();
        if !keep {
            self.end(cx);
        }
    }

    /// Ends it with a client that would hold its place for ever; `true` if so.
    fn loses_patience(&mut self, cx: &mut Cx<'_>) -> bool {
        let is_too_slow = self.pace.is_too_slow(cx);
        if is_too_slow {
            self.site.log.tell(self.peer, "is too slow");
            cx.abort();
        }
        is_too_slow
    }

    fn watch_if_waiting(&mut self, cx: &mut Cx<'_>) {
        let is_long = matches!(self.state, State::Body(_) | State::File(_)) || cx.unsent() > MUCH;
        if is_long && !cx.is_closing() {
            self.pace.watch(cx);
        }
    }

    fn log(&self, request_line: &str, response: &Response, form: Form) {
        let length = if form.head_only { 0 } else { response.content.len() };
        let line = escaped(request_line.as_bytes());
        self.site.log.tell(self.peer, format_args!("\"{line}\" {} {length}", response.status.code));
    }
}

/// Whether the client waits for a word before it sends the body (RFC 9110, section 10.1.1).
fn expects_to_be_asked(request: &Request<'_>) -> Result<bool, Fault> {
    let mut expectations = request.elements("expect");
    match expectations.next() {
        Some(_) if request.minor == 0 => Ok(false), // HTTP/1.0 has no such thing
        Some(expectation) if expectation.eq_ignore_ascii_case(b"100-continue") => Ok(true),
        Some(_) => Err(Fault::new(EXPECTATION_FAILED, "The only expectation there is is 100-continue.")),
        None => Ok(false),
    }
}

impl Protocol for Conversation {
    type Message = Infallible;

    fn received(&mut self, input: &[u8], cx: &mut Cx<'_>) -> usize {
        let mut consumed = 0;
        while !cx.is_stopped() && consumed < input.len() {
            let rest = &input[consumed..];
            let step = match self.state {
                State::Head => self.head(rest, if consumed == 0 { cx.scanned() } else { 0 }, cx),
                State::Body(_) => self.body(rest, cx),
                State::File(_) | State::Last => 0,
            };
            if step == 0 {
                break;
            }
            consumed += step;
        }
        self.watch_if_waiting(cx);
        consumed
    }

    /// There is room for the next piece. A thread that waits for the peer to take bytes hears no timer, so this is the
    /// moment to look whether it is worth waiting for.
    fn drained(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.state, State::Last) {
            cx.close();
        } else if !self.loses_patience(cx) {
            self.send_piece(cx);
            self.watch_if_waiting(cx);
        }
    }

    fn timer(&mut self, _: Timer, cx: &mut Cx<'_>) {
        if !self.loses_patience(cx) {
            let is_busy = !matches!(self.state, State::Head) || cx.unsent() > 0;
            self.pace.look(is_busy, cx);
        }
    }

    fn eof(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.state, State::Body(_)) {
            self.refuse(Fault::bad("The body of the request is not complete."), &[], cx);
        } else {
            self.end(cx);
        }
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Cx<'_>) {
        let is_usual = match reason {
            CloseReason::Finished => true,
            CloseReason::TimedOut(Timeout::Idle) => matches!(self.state, State::Head), // between requests
            _ => false,
        };
        if !is_usual {
            self.site.log.tell(self.peer, reason);
        }
    }
}
