//! `zen-client`: asks a zen server questions and prints its answers, or puts a load on it.
#![forbid(unsafe_code)]

mod measure;
mod options;

use std::cell::RefCell;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::rc::Rc;

use reactor::event_loop::{Limits, Reactor};
use reactor::net::Address;
use zen_client::shuffle::shuffle;
use zen_client::{Conversation, Failure, Told};
use zen_server::services::zen::APHORISMS;

use measure::measure;
use options::{Options, PROGRAM, Request, Task};

fn main() -> ExitCode {
    let options = match Options::read(env::args_os()) {
        Ok(options) => options,
        Err(code) => return code,
    };
    let result = match &options.task {
        Task::Converse(request) => run(request, &options).map(|()| ExitCode::SUCCESS),
        Task::Load(plan) => {
            addresses(&options).map_err(Problem::from).and_then(|all| measure(plan, &all, &options))
        }
    };
    match result {
        Ok(code) => code,
        Err(Problem::NobodyListens) => ExitCode::FAILURE,
        Err(Problem::Told(message)) => {
            // Nobody is left to tell if standard error is gone.
            let _ = writeln!(io::stderr(), "{PROGRAM}: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Why not every answer was printed.
#[derive(Debug)]
enum Problem {
    /// In one line.
    Told(String),
    /// Whoever read our output has left, as `head` does: not worth a word.
    NobodyListens,
}

impl From<String> for Problem {
    fn from(message: String) -> Problem {
        Problem::Told(message)
    }
}

/// Tries the host's addresses one after the other until one can be connected to, and converses there.
fn run(request: &Request, options: &Options) -> Result<(), Problem> {
    let mut refused = Vec::new();
    for address in addresses(options)? {
        match converse(&address, request, options)? {
            Ok(()) => return farewell(request),
            Err(Failure::Connect(error)) => refused.push((address, error)),
            Err(failure) => return Err(format!("{address}: {failure}").into()),
        }
    }
    let attempts: Vec<String> =
        refused.iter().map(|(address, error)| format!("cannot connect to {address}: {error}")).collect();
    let nobody_there = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
    };
    let hint = if refused.iter().all(|(_, error)| nobody_there(error)) {
        " (is zen-server running there?)"
    } else {
        ""
    };
    Err(format!("{}{hint}", attempts.join("; ")).into())
}

/// Who leaves in the middle of a question has no answer to show, so it says what it did.
fn farewell(request: &Request) -> Result<(), Problem> {
    match request {
        Request::Beginning => write_line("Left in the middle of a question."),
        _ => Ok(()),
    }
}

fn addresses(options: &Options) -> Result<Vec<Address>, String> {
    if let Some(path) = &options.common.unix {
        return Ok(vec![path.as_path().into()]);
    }
    let host = &options.host;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match (bare, options.port()).to_socket_addrs() {
        Ok(found) => Ok(found.map(Address::from).collect()),
        Err(error) => match host.rsplit_once(':') {
            Some((name, port)) if port.parse::<u16>().is_ok() => {
                Err(format!("unknown host {host:?}: write the port as an option: {name} -p {port}"))
            }
            _ => Err(format!("unknown host {host:?}: {error}")),
        },
    }
}

/// One conversation, on a loop of its own. The outer error is this program's, the inner one the conversation's.
fn converse(address: &Address, request: &Request, options: &Options) -> Result<Result<(), Failure>, Problem> {
    let limits = Limits { connect_time: options.common.timeout, ..Limits::default() };
    let mut reactor = Reactor::builder()
        .backend(options.common.backend)
        .limits(limits)
        .build()
        .map_err(|error| error.to_string())?;
    let outcome = Rc::new(RefCell::new(None));
    let conversation = conversation(request, options, Rc::clone(&outcome));
    if let Err(error) = reactor.connect(address.clone(), conversation) {
        return Ok(Err(Failure::Connect(bare(error))));
    }
    while outcome.borrow().is_none() && reactor.connections() > 0 {
        reactor.turn(None).map_err(|error| format!("the event loop failed: {error}"))?;
    }
    outcome.take().unwrap_or_else(|| Err("the conversation ended without a word".to_owned().into()))
}

/// What the kernel said, without the reactor's words around it: this program has its own.
fn bare(error: io::Error) -> io::Error {
    match error.downcast::<reactor::Error>() {
        Ok(reactor::Error::Socket { source, .. }) => source,
        Ok(other) => io::Error::other(other),
        Err(error) => error,
    }
}

type Outcome = Rc<RefCell<Option<Result<Result<(), Failure>, Problem>>>>;

/// What to say, printing what comes back, and noting how it ended.
fn conversation(
    request: &Request,
    options: &Options,
    outcome: Outcome,
) -> Conversation<impl FnMut(Told<'_>) + use<>> {
    let mut printer = Printer::new(options);
    let tell = move |told: Told<'_>| match told {
        Told::Answer { question, answer } => {
            if let Err(problem) = printer.print(question, answer) {
                outcome.borrow_mut().get_or_insert(Err(problem));
            }
        }
        Told::End(result) => {
            outcome.borrow_mut().get_or_insert(Ok(result));
        }
    };
    let mut questions: Vec<String> = APHORISMS.iter().map(|(question, _)| (*question).to_owned()).collect();
    shuffle(&mut questions);
    match request {
        Request::Three => Conversation::new(questions, options.common.timeout, tell),
        Request::These(these) => Conversation::new(these.clone(), options.common.timeout, tell),
        Request::Beginning => Conversation::leaving(questions[0].trim_end_matches('?').to_owned(), tell),
    }
}

/// Prints answers as they come: for a human, or one JSON object per line.
struct Printer {
    json: bool,
    colour: bool,
}

impl Printer {
    fn new(options: &Options) -> Printer {
        let wants_colour = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Printer { json: options.common.json, colour: wants_colour && io::stdout().is_terminal() }
    }

    fn print(&mut self, question: &str, answer: &str) -> Result<(), Problem> {
        let line = if self.json {
            let [question, answer] = [question, answer].map(|text| serde_json::Value::from(text).to_string());
            format!("{{\"question\":{question},\"answer\":{answer}}}")
        } else if self.colour {
            format!("{} \x1b[1m{}\x1b[0m", harmless(question), harmless(answer))
        } else {
            format!("{} {}", harmless(question), harmless(answer))
        };
        write_line(&line)
    }
}

fn write_line(line: &str) -> Result<(), Problem> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Problem::NobodyListens,
        _ => Problem::Told(format!("cannot write to standard output: {error}")),
    })
}

/// Text from the network without the control characters that a terminal obeys.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_cannot_command_the_terminal() {
        assert_eq!(harmless("\x1b[2JComplex.\r\n"), "\u{fffd}[2JComplex.\u{fffd}\u{fffd}");
        assert_eq!(harmless("Ärger ist schön."), "Ärger ist schön.");
    }
}
