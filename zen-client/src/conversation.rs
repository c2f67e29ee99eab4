//! What the client says: asks a question, waits for the answer, asks the next one.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::time::Duration;

use reactor::event_loop::{CloseReason, Context, Protocol, Timeout, Timer};

/// Bytes that an answer may have. Whoever sends more without a `.` is no zen server.
const LONGEST_ANSWER: usize = 4096;

/// What a [`Conversation`] tells the one who started it.
#[derive(Debug)]
pub enum Told<'a> {
    /// A question was answered.
    Answer {
        /// The question with its `?`.
        question: &'a str,
        /// The answer with its `.`.
        answer: &'a str,
    },
    /// The conversation is over; nothing follows.
    End(Result<(), Failure>),
}

/// Why a conversation ended before every question was answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// No connection came about.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// Nothing, or not all of it, came for as long as the caller was willing to wait.
    #[error("no answer to {question:?} within {patience:?}{}", so_far(half))]
    TooLate {
        /// The question that was asked.
        question: String,
        /// How long the answer was waited for.
        patience: Duration,
        /// What came of the answer.
        half: String,
    },
    /// The server hung up before, or in the middle of, an answer.
    #[error("the server closed before it answered {question:?}{}", so_far(half))]
    ClosedEarly {
        /// The question that was asked.
        question: String,
        /// What came of the answer.
        half: String,
    },
    /// What came is no answer of a zen server.
    #[error("that is no zen server: it answered {question:?} with {answer:?}")]
    NoZenServer {
        /// The question that was asked.
        question: String,
        /// The beginning of what came.
        answer: String,
    },
    /// The connection broke.
    #[error("the connection broke while {question:?} waited for its answer: {reason}")]
    Broken {
        /// The question that was asked.
        question: String,
        /// What the loop said of it.
        reason: String,
    },
}

fn so_far(half: &str) -> String {
    if half.is_empty() { String::new() } else { format!("; all that came is {half:?}") }
}

/// The client's side of one connection: a question, its answer, the next question.
///
/// `tell` hears of every answer as it comes, and of the end once.
///
/// ```
/// use reactor::event_loop::InMemory;
/// use zen_client::{Conversation, Told};
///
/// let questions = vec!["Simple is better than?".to_owned()];
/// let conversation = Conversation::new(questions, None, |told: Told<'_>| match told {
///     Told::Answer { question, answer } => assert_eq!((question, answer), ("Simple is better than?", "Complex.")),
///     Told::End(result) => assert!(result.is_ok()),
/// });
/// let mut client = InMemory::new(conversation);
/// assert_eq!(client.take_output(), b"Simple is better than?");
/// client.input(b"Complex.");
/// ```
pub struct Conversation<T> {
    /// Those not answered yet, in reverse order: the current one is the last.
    questions: Vec<String>,
    manner: Manner,
    /// How long to wait for each answer; `None`: for ever.
    patience: Option<Duration>,
    timer: Option<Timer>,
    /// What came so far of the answer.
    heard: Vec<u8>,
    is_open: bool,
    is_over: bool,
    tell: T,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Manner {
    Asks,
    /// Sends its question, which has no `?`, and hangs up: the texts' error case.
    Leaves,
}

impl<T: FnMut(Told<'_>)> Conversation<T> {
    /// Asks the questions one after the other, each of which ends with its only `?`, and waits up to `patience` for each
    /// answer.
    #[must_use]
    pub fn new(mut questions: Vec<String>, patience: Option<Duration>, tell: T) -> Conversation<T> {
        questions.reverse();
        let heard = Vec::new();
        let manner = Manner::Asks;
        Conversation { questions, manner, patience, timer: None, heard, is_open: false, is_over: false, tell }
    }

    /// Sends the beginning of a question and leaves.
    #[must_use]
    pub fn leaving(beginning: String, tell: T) -> Conversation<T> {
        Conversation { manner: Manner::Leaves, ..Conversation::new(vec![beginning], None, tell) }
    }

    /// Asks the current question, or takes leave after the last one.
    fn ask(&mut self, cx: &mut Context<'_, Infallible>) {
        let Some(question) = self.questions.last() else { return self.end(Ok(()), cx) };
        cx.write(question.as_bytes());
        match self.manner {
            Manner::Asks => self.timer = self.patience.map(|patience| cx.start_timer(patience)),
            Manner::Leaves => cx.close(),
        }
    }

    /// Takes what was heard as the answer, if it is one.
    fn understand(&mut self, cx: &mut Context<'_, Infallible>) {
        let Some(question) = self.questions.last() else { return };
        let answer = String::from_utf8_lossy(&self.heard);
        // One question is on its way at a time, so an answer ends with its `.` and nothing follows.
        let end = memchr::memchr(b'.', &self.heard).map(|at| at + 1);
        if end.is_some_and(|end| end < self.heard.len()) || self.heard.len() > LONGEST_ANSWER {
            let answer = answer.chars().take(40).collect();
            let failure = Failure::NoZenServer { question: question.clone(), answer };
            return self.end(Err(failure), cx);
        }
        if end.is_none() {
            return;
        }
        (self.tell)(Told::Answer { question, answer: &answer });
        self.questions.pop();
        self.heard.clear();
        if let Some(timer) = self.timer.take() {
            cx.cancel_timer(timer);
        }
        self.ask(cx);
    }

    fn end(&mut self, result: Result<(), Failure>, cx: &mut Context<'_, Infallible>) {
        if !self.is_over {
            self.is_over = true;
            (self.tell)(Told::End(result));
        }
        cx.close();
    }

    /// The current question, and what came of its answer.
    fn half(&self) -> (String, String) {
        let question = self.questions.last().cloned().unwrap_or_default();
        (question, String::from_utf8_lossy(&self.heard).into_owned())
    }
}

impl<T: FnMut(Told<'_>)> Protocol for Conversation<T> {
    type Message = Infallible;

    fn opened(&mut self, cx: &mut Context<'_, Infallible>) {
        self.is_open = true;
        self.ask(cx);
    }

    fn received(&mut self, input: &[u8], cx: &mut Context<'_, Infallible>) -> usize {
        self.heard.extend_from_slice(input);
        self.understand(cx);
        input.len()
    }

    fn timer(&mut self, _: Timer, cx: &mut Context<'_, Infallible>) {
        let (question, half) = self.half();
        let patience = self.patience.unwrap_or_default();
        self.end(Err(Failure::TooLate { question, patience, half }), cx);
    }

    fn closed(&mut self, reason: &CloseReason, cx: &mut Context<'_, Infallible>) {
        let (question, half) = self.half();
        let result = match reason {
            _ if !self.is_open => Err(Failure::Connect(why_not_connected(reason))),
            CloseReason::Finished if self.manner == Manner::Leaves => Ok(()),
            CloseReason::Finished
            | CloseReason::MidRequest(_)
            | CloseReason::Unsent(_)
            | CloseReason::Reset => Err(Failure::ClosedEarly { question, half }),
            _ => Err(Failure::Broken { question, reason: reason.to_string() }),
        };
        self.end(result, cx);
    }
}

/// What the kernel said to an attempt to connect; to a loop's limit it said nothing.
fn why_not_connected(reason: &CloseReason) -> io::Error {
    match reason {
        CloseReason::Io(error) => match reactor::errno(error) {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        },
        CloseReason::TimedOut(Timeout::Connect) => {
            io::Error::new(io::ErrorKind::TimedOut, "nobody answers there in the time allowed")
        }
        CloseReason::Reset => io::ErrorKind::ConnectionReset.into(),
        reason => io::Error::other(reason.to_string()),
    }
}

impl<T> fmt::Debug for Conversation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("questions", &self.questions)
            .field("heard", &self.heard)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reactor::event_loop::InMemory;
    use std::cell::RefCell;
    use std::rc::Rc;

    type Heard = Rc<RefCell<Vec<String>>>;

    /// A client that asks two questions, and what it told.
    fn client() -> (InMemory<Conversation<impl FnMut(Told<'_>)>>, Heard) {
        let heard = Heard::default();
        let note = Rc::clone(&heard);
        let questions = vec!["Why?".to_owned(), "How?".to_owned()];
        let conversation = Conversation::new(questions, Some(Duration::from_secs(5)), move |told| {
            note.borrow_mut().push(match told {
                Told::Answer { question, answer } => format!("{question} {answer}"),
                Told::End(Ok(())) => "the end".to_owned(),
                Told::End(Err(failure)) => failure.to_string(),
            });
        });
        (InMemory::new(conversation), heard)
    }

    #[test]
    fn a_question_follows_the_answer_to_the_one_before() {
        let (mut client, heard) = client();
        assert_eq!(client.take_output(), b"Why?");
        b"Because.".iter().for_each(|byte| client.input(&[*byte]));
        assert_eq!(client.take_output(), b"How?");
        client.input(b"So.");
        assert!(client.closed().is_some());
        assert_eq!(*heard.borrow(), ["Why? Because.", "How? So.", "the end"]);
    }

    #[test]
    fn an_answer_that_does_not_come_in_time_is_a_failure() {
        let (mut client, heard) = client();
        client.advance(Duration::from_secs(4));
        client.input(b"Because.");
        client.advance(Duration::from_secs(4));
        assert_eq!(heard.borrow().len(), 1, "each answer has its own time");
        client.input(b"S");
        client.advance(Duration::from_secs(1));
        assert_eq!(heard.borrow()[1..], ["no answer to \"How?\" within 5s; all that came is \"S\""]);
    }

    #[test]
    fn a_server_that_closes_early_is_a_failure() {
        for (said, told) in [("", ""), ("Bec", "; all that came is \"Bec\"")] {
            let (mut client, heard) = client();
            client.input(said.as_bytes());
            client.end();
            assert_eq!(*heard.borrow(), [format!("the server closed before it answered \"Why?\"{told}")]);
            let (mut client, heard) = self::client();
            client.input(said.as_bytes());
            client.reset();
            assert_eq!(*heard.borrow(), [format!("the server closed before it answered \"Why?\"{told}")]);
        }
    }

    #[test]
    fn more_than_an_answer_is_none() {
        for said in ["Because. So.", "\u{1b}[2J", &"x".repeat(5000)] {
            let (mut client, heard) = client();
            client.input(said.as_bytes());
            client.end();
            assert_eq!(heard.borrow().len(), 1);
            assert!(!heard.borrow()[0].starts_with("Why?"), "{heard:?}");
        }
    }
}
