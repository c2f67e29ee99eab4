//! Two-way chat: what one types goes out while what others say comes in, in one thread.
//!
//! ```console
//! $ cargo run --example chat_client
//! hello
//! 127.0.0.1:50312: hello
//! 127.0.0.1:50316: hello you
//! $ cargo run --example chat_client < speech.txt
//! ```
//!
//! A program that waits for the keyboard in `read_line` hears nothing meanwhile, and one that waits for the socket cannot
//! type. Either there are two threads, or one thread waits for both: here standard input is a `Source` of the loop, beside the
//! connection. Each line is sent as a message when it is complete; the end of the input (Ctrl-D) ends our side of the
//! connection once everything is sent, and the program ends when the server has had its last word, too.
//!
//! The terminal is left as it was found, because nothing about it is changed: neither its modes nor `O_NONBLOCK` on standard
//! input, which would be set for the shell, too (see `examples/src/typed.rs`). And what others send is shown without
//! control characters, which could do to the terminal whatever they like.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use reactor::event::Event;
use reactor::event_loop::adapter::{Delimited, Frames};
use reactor::event_loop::{
    CloseReason, ConnectionId, Context, Reactor, Source, SourceContext, SourceId, Timer, Watermarks,
};
use zen_examples::{Typed, WaitWith, fail, parse, resolve, stop_on_signal};

/// Bytes of the longest message that is shown.
const LONGEST_MESSAGE: usize = 128 * 1024;
/// At so many bytes that the server has not taken the keyboard waits. The loop's own mark lies far above: there it would stop
/// *reading*, too, and if the server did the same, both would wait for each other for ever.
const MOST_UNSENT: usize = 64 * 1024;
const WATERMARKS: Watermarks = Watermarks { high: 16 * MOST_UNSENT, low: MOST_UNSENT / 4 };
/// After the end of the input, the server may be silent for so long before we leave.
const PATIENCE: Duration = Duration::from_secs(5);

/// Talks to a chat server: each line of standard input is a message
#[derive(Parser)]
#[command(
    after_help = "Ctrl-D ends it when everything is sent. Exit status: 0, or 1 if the server could not be reached or left first."
)]
struct Options {
    /// Where the server listens
    #[arg(default_value = "127.0.0.1")]
    host: String,
    /// The server's port
    #[arg(short, long, default_value_t = 4040)]
    port: u16,
    #[command(flatten)]
    wait_with: WaitWith,
}

/// What the keyboard and the conversation know of each other.
#[derive(Default)]
struct Shared {
    /// The server does not take what is typed fast enough: nothing more is read from the keyboard.
    is_full: Cell<bool>,
    /// There is nothing left to be typed.
    input_ended: Cell<bool>,
    /// Why it is over, unless all is well.
    problem: RefCell<Option<String>>,
}

fn main() {
    let options: Options = parse();
    let mut reactor = options
        .wait_with
        .builder::<Delimited<Conversation>>()
        .watermarks(WATERMARKS)
        .build()
        .unwrap_or_else(|error| fail(error));
    let shared = Rc::<Shared>::default();
    // Nobody is waiting for anything else yet, so this may block.
    let stream = TcpStream::connect(&*resolve(&options.host, options.port)).unwrap_or_else(|error| {
        fail(format_args!("cannot reach {} at port {}: {error}", options.host, options.port))
    });
    let conversation = Delimited(Conversation {
        shared: Rc::clone(&shared),
        shown: String::new(),
        unsent: 0,
        is_silent: false,
    });
    let connection = reactor.adopt(stream, conversation).unwrap_or_else(|error| fail(error));
    stop_on_signal(&mut reactor, Duration::from_secs(1));
    if let Err(error) = converse(&mut reactor, connection, &shared) {
        fail(error)
    }
    if let (Some(problem), false) = (shared.problem.take(), reactor.is_stopping()) {
        fail(problem)
    }
}

/// Turns until the connection is over. Between turns the keyboard is taken in, or put aside while the server is behind.
fn converse(
    reactor: &mut Reactor<Delimited<Conversation>>,
    connection: ConnectionId,
    shared: &Rc<Shared>,
) -> io::Result<()> {
    let typed = Rc::new(Typed::open());
    let mut watched: Option<SourceId> = None;
    while reactor.connections() > 0 {
        let is_wanted = !shared.is_full.get() && !shared.input_ended.get();
        if is_wanted && watched.is_none() {
            let keyboard = Keyboard { typed: Rc::clone(&typed), shared: Rc::clone(shared), connection };
            watched = Some(reactor.add_source(keyboard)?);
        } else if !is_wanted {
            watched = watched.and_then(|source| {
                reactor.remove_source(source);
                None
            });
        }
        reactor.turn(None)?;
    }
    Ok(())
}

/// From the keyboard to the conversation.
enum FromKeyboard {
    /// Messages as they go over the wire.
    Said(Vec<u8>),
    /// The input ended.
    Ended,
}

struct Keyboard {
    typed: Rc<Typed>,
    shared: Rc<Shared>,
    connection: ConnectionId,
}

impl Source<FromKeyboard> for Keyboard {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.typed.as_fd()
    }

    fn ready(&mut self, _: &Event, cx: &mut SourceContext<'_, FromKeyboard>) -> io::Result<()> {
        let typed = match self.typed.read() {
            Ok(Some(lines)) => {
                let lines = lines.iter().filter(|line| !line.is_empty());
                FromKeyboard::Said(lines.flat_map(|line| line.bytes().chain([0])).collect())
            }
            result => {
                *self.shared.problem.borrow_mut() =
                    result.err().map(|error| format!("standard input: {error}"));
                self.shared.input_ended.set(true);
                FromKeyboard::Ended
            }
        };
        // One message a turn, and every turn empties the mailbox: it is never full.
        cx.send(self.connection, typed).map_err(|_| io::Error::other("the mailbox is full"))
    }
}

/// Our side of the connection.
struct Conversation {
    shared: Rc<Shared>,
    /// What is to be printed when all that has arrived is looked at.
    shown: String,
    /// After the end of the input: what was unsent when we looked last,
    unsent: usize,
    /// and whether anything was heard since.
    is_silent: bool,
}

impl Frames for Conversation {
    type Message = FromKeyboard;

    fn delimiter(&self) -> u8 {
        0
    }

    fn longest(&self) -> usize {
        LONGEST_MESSAGE
    }

    fn frame(&mut self, message: &[u8], _: &mut Context<'_, FromKeyboard>) {
        self.is_silent = false;
        for letter in String::from_utf8_lossy(message).chars() {
            if letter.is_control() && letter != '\t' {
                self.shown.extend(letter.escape_default());
            } else {
                self.shown.push(letter);
            }
        }
        self.shown.push('\n');
    }

    fn after_frames(&mut self, cx: &mut Context<'_, FromKeyboard>) {
        let mut stdout = io::stdout().lock();
        if stdout.write_all(self.shown.as_bytes()).and_then(|()| stdout.flush()).is_err() {
            cx.close(); // whoever read our output has heard enough
            self.shared.input_ended.set(true);
        }
        self.shown.clear();
    }

    fn too_long(&mut self, _: &mut Context<'_, FromKeyboard>) {
        *self.shared.problem.borrow_mut() = Some("the server sent a message that is too long".to_owned());
    }

    fn message(&mut self, typed: FromKeyboard, cx: &mut Context<'_, FromKeyboard>) {
        match typed {
            FromKeyboard::Said(messages) => {
                cx.write(&messages);
                if cx.unsent() >= MOST_UNSENT {
                    self.shared.is_full.set(true);
                    cx.notify_drained();
                }
            }
            FromKeyboard::Ended => {
                cx.close_write();
                cx.start_timer(PATIENCE);
            }
        }
    }

    fn drained(&mut self, _: &mut Context<'_, FromKeyboard>) {
        self.shared.is_full.set(false);
    }

    /// The server has its time to answer, but it may not keep us for ever.
    fn timer(&mut self, _: Timer, cx: &mut Context<'_, FromKeyboard>) {
        if self.is_silent && self.unsent == cx.unsent() {
            cx.close();
        } else {
            (self.is_silent, self.unsent) = (true, cx.unsent());
            cx.start_timer(PATIENCE);
        }
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, FromKeyboard>) {
        let problem = match reason {
            CloseReason::Finished if self.shared.input_ended.get() => return,
            CloseReason::Finished => "the server has left".to_owned(),
            reason => format!("the connection is lost: {reason}"),
        };
        self.shared.problem.borrow_mut().get_or_insert(problem);
    }
}
