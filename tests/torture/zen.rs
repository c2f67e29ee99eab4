//! What is said in the scenarios: the service of the classic texts, with a few commands that make a protocol use everything a
//! protocol can use, and a book in which every connection writes down how it went.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use reactor::event_loop::{CloseReason, ConnectionId, Context, Protocol, Spawner, Timer};
use reactor::net::Address;

use crate::kernel::{self, Label};

/// The questions of the classic texts.
pub const QUESTIONS: [&str; 3] =
    ["Beautiful is better than?", "Explicit is better than?", "Simple is better than?"];

/// What is in the file that "Pieces?" sends a part of.
pub const FILE: &[u8] = b"Readability counts.";

/// How long "Later?" and "Wait?" take.
const A_WHILE: Duration = Duration::from_millis(20);

/// The answer to a question.
pub fn answer(question: &str) -> Vec<u8> {
    let text = match question {
        "Beautiful is better than?" => "Ugly.",
        "Explicit is better than?" => "Implicit.",
        "Simple is better than?" => "Complex.",
        "Bye?" => "Bye.",
        "Abort?" => "",
        "Over?" => "Over.",
        "Later?" => "Later.",
        "Wait?" => "Waited.",
        "Call?" => "Called.",
        "Pieces?" => "<static shared owned Readability>.",
        "Drain?" => return [bytes(6000), b"Drained.".to_vec()].concat(),
        _ => match question.strip_prefix("Bytes ").and_then(|count| count.strip_suffix('?')?.parse().ok()) {
            Some(count) => return bytes(count),
            None => "Error: unknown aphorism.",
        },
    };
    text.as_bytes().to_vec()
}

/// The answers to all questions in `text` that are complete.
pub fn answers(text: &str) -> Vec<u8> {
    text.split_inclusive('?').filter(|question| question.ends_with('?')).flat_map(answer).collect()
}

/// Bytes of which each says where it is, roughly.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|place| b'a' + (place % 23) as u8).collect()
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub text: String,
    pub kind: Kind,
    pub errno: Option<i32>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Finished,
    /// Reset by the peer, or gone before everything was sent to it.
    Gone,
    Io,
    TimedOut,
    Other,
}

impl Reason {
    /// Whether it is the same but for numbers, of descriptors and of bytes.
    pub fn is_like(&self, other: &Reason) -> bool {
        let words = |reason: &Reason| reason.text.replace(|letter: char| letter.is_ascii_digit(), "");
        (self.kind, self.errno) == (other.kind, other.errno) && words(self) == words(other)
    }

    fn of(reason: &CloseReason) -> Reason {
        let (kind, errno) = match reason {
            CloseReason::Finished => (Kind::Finished, None),
            CloseReason::Reset | CloseReason::Unsent(_) => (Kind::Gone, None),
            CloseReason::Io(error) => (Kind::Io, reactor::errno(error)),
            CloseReason::TimedOut(_) => (Kind::TimedOut, None),
            _ => (Kind::Other, None),
        };
        Reason { text: reason.to_string(), kind, errno }
    }
}

/// How one connection went, as its protocol was told.
#[derive(Clone, Debug, Default)]
pub struct Story {
    pub id: Option<ConnectionId>,
    /// Questions that came.
    pub asked: usize,
    /// What should come back, and what does, where the loop is the one who asks.
    pub expects: Vec<u8>,
    pub heard: Vec<u8>,
    pub reason: Option<Reason>,
    /// Calls after the last one.
    pub after_the_end: usize,
}

/// What all protocols of a loop share.
#[derive(Default)]
pub struct Book {
    pub stories: BTreeMap<Label, Story>,
    /// What "Pieces?" sends from.
    pub file: Option<Arc<File>>,
    /// Whom "Call?" calls, and how.
    pub spawner: Option<Spawner<Zen>>,
    pub host: Option<Address>,
    /// How many connections the loop made itself.
    pub own: usize,
}

impl Book {
    /// The last connection that the loop was to make could not even begin.
    pub fn forget_the_last(&mut self) {
        self.own -= 1;
        self.stories.remove(&Label::Own(self.own));
    }
}

pub type SharedBook = Rc<RefCell<Book>>;

/// One side of a conversation.
pub struct Zen {
    label: Label,
    book: SharedBook,
    /// What it asks, where the loop is the one who asks.
    asks: Option<&'static str>,
    waiting: bool,
}

impl Zen {
    /// For a connection that was just accepted.
    pub fn accepted(book: &SharedBook, number: usize) -> Zen {
        Zen::new(Label::Accepted(number), book, None)
    }

    /// For a connection that the loop is about to make, to ask these questions.
    pub fn asking(book: &SharedBook, asks: &'static str) -> Zen {
        let label = Label::Own(book.borrow().own);
        book.borrow_mut().own += 1;
        kernel::with(|kernel| kernel.next_label = Some(label));
        Zen::new(label, book, Some(asks))
    }

    fn new(label: Label, book: &SharedBook, asks: Option<&'static str>) -> Zen {
        let expects = answers(asks.unwrap_or_default());
        book.borrow_mut().stories.insert(label, Story { expects, ..Story::default() });
        Zen { label, book: Rc::clone(book), asks, waiting: false }
    }

    /// Writes something into its story.
    fn note<R>(&self, note: impl FnOnce(&mut Story) -> R) -> R {
        note(self.book.borrow_mut().stories.entry(self.label).or_default())
    }

    /// Counts calls that come too late.
    fn called(&self) {
        self.note(|story| story.after_the_end += usize::from(story.reason.is_some()));
    }

    fn do_as_asked(&mut self, question: &str, cx: &mut Context<'_, &'static [u8]>) {
        match question {
            "Bye?" => {
                cx.write(b"Bye.");
                cx.close();
            }
            "Abort?" => cx.abort(),
            "Over?" => {
                cx.write(b"Over.");
                cx.close_write();
            }
            "Later?" => drop(cx.start_timer(A_WHILE)),
            "Wait?" => {
                self.waiting = true;
                cx.pause_reading();
                cx.start_timer(A_WHILE);
            }
            "Pieces?" => self.write_pieces(cx),
            "Drain?" => {
                cx.write(&bytes(6000));
                cx.notify_drained();
            }
            "Call?" => {
                let caller = Zen::asking(&self.book, QUESTIONS[0]);
                let book = self.book.borrow();
                let (spawner, host) = (book.spawner.as_ref(), book.host.clone());
                spawner.expect("the scenario has one").connect(host.expect("the scenario has one"), caller);
                cx.write(b"Called.");
            }
            question => cx.write(&answer(question)),
        }
    }

    fn write_pieces(&self, cx: &mut Context<'_, &'static [u8]>) {
        cx.write(b"<");
        cx.write_static(b"static ");
        cx.write_shared(Arc::from(&b"shared "[..]));
        cx.write_owned(b"owned ".to_vec());
        let file = self.book.borrow().file.clone().expect("the scenario has a file");
        cx.write_file(file, 0..11);
        cx.write(b">.");
    }
}

impl Protocol for Zen {
    type Message = &'static [u8];

    fn opened(&mut self, cx: &mut Context<'_, &'static [u8]>) {
        self.called();
        self.note(|story| story.id = Some(cx.id()));
        if let Some(asks) = self.asks {
            cx.write(asks.as_bytes());
        }
    }

    fn received(&mut self, input: &[u8], cx: &mut Context<'_, &'static [u8]>) -> usize {
        self.called();
        if self.asks.is_some() {
            let complete = self.note(|story| {
                story.heard.extend_from_slice(input);
                story.heard.len() >= story.expects.len()
            });
            if complete {
                cx.close();
            }
            return input.len();
        }
        let Some(end) = input.iter().position(|&byte| byte == b'?') else { return 0 };
        let question = String::from_utf8_lossy(&input[..=end]).into_owned();
        self.note(|story| story.asked += 1);
        self.do_as_asked(&question, cx);
        end + 1
    }

    fn eof(&mut self, cx: &mut Context<'_, &'static [u8]>) {
        self.called();
        cx.close();
    }

    fn drained(&mut self, cx: &mut Context<'_, &'static [u8]>) {
        self.called();
        cx.write(b"Drained.");
    }

    fn timer(&mut self, _: Timer, cx: &mut Context<'_, &'static [u8]>) {
        self.called();
        if std::mem::take(&mut self.waiting) {
            cx.write(b"Waited.");
            cx.resume_reading();
        } else {
            cx.write(b"Later.");
        }
    }

    fn message(&mut self, message: &'static [u8], cx: &mut Context<'_, &'static [u8]>) {
        self.called();
        cx.write(message);
    }

    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, &'static [u8]>) {
        self.called();
        self.note(|story| story.reason = Some(Reason::of(reason)));
    }
}
