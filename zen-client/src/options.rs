//! The command line.

mod load;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use reactor::Backend;
use zen_client::load::Plan;
use zen_server::command_line::{duration, one_line, printed, wrong};
use zen_server::services::zen::DEFAULT_PORT;

/// The name under which the program speaks of itself.
pub const PROGRAM: &str = "zen-client";

/// A duration, or none. (The name keeps the parser from reading the `Option` as "may be left out".)
type Span = Option<Duration>;

const EXAMPLES: &str = "\
Examples:
  zen-client                                   ask 127.0.0.1:1060 the three questions, in random order
  zen-client localhost -p 2060 -e              send a question without its '?' there, and leave
  zen-client ask 'Simple is better than?'      ask one question
  zen-client ask ::1 'What?' 'Why?' --json     ask two at another host
  zen-client --unix /run/zen.sock              ask a server on this machine
  zen-client load --service zen --duration 5s  ask very often, and measure (see zen-client load --help)

Durations are written like 250ms, 30s, 5m, 1h.

Exit status: 0 if every question was answered, 1 if not, 2 for a wrong command line.";

/// Asks a zen server questions and prints its answers
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Arguments {
    /// The server: a name, or an IPv4 or IPv6 address [default: 127.0.0.1]
    host: Option<String>,

    /// Send a question without its '?', and leave
    #[arg(short, long)]
    error: bool,

    /// Print a completion script for a shell, and exit
    #[arg(long, value_name = "SHELL")]
    completions: Option<Shell>,

    #[command(flatten)]
    common: Common,

    #[command(subcommand)]
    command: Option<Command>,
}

/// What every way of asking has.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// The server's port [default: that of the service, 1060]
    #[arg(short, long, value_name = "PORT", global = true, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// Connect to a Unix socket instead
    #[arg(long, value_name = "PATH", global = true)]
    pub unix: Option<PathBuf>,

    /// How long to wait for the connection and for each answer; off: for ever
    #[arg(long, value_name = "D", default_value = "10s", global = true, value_parser = duration, allow_hyphen_values = true)]
    pub timeout: Span,

    /// How to wait for readiness: auto, select, poll, epoll, polling, io-uring
    #[arg(long, value_name = "NAME", default_value = "auto", global = true)]
    pub backend: Backend,

    /// Print JSON, an object per answer: {"question":"…","answer":"…"}; of a load, one object with all results
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Ask your own questions
    ///
    /// A question is one argument, in quotes, and ends with '?'. If the first of several does not, it is the HOST.
    #[command(after_help = EXAMPLES)]
    Ask {
        /// The questions, the HOST before them if it is not 127.0.0.1
        #[arg(value_name = "[HOST] QUESTION", required = true, num_args = 1..)]
        host_and_questions: Vec<String>,
    },
    Load(load::Arguments),
}

/// What the command line asks for.
#[derive(Debug)]
pub struct Options {
    /// The server's name or address; not used with a Unix socket.
    pub host: String,
    /// What to do there.
    pub task: Task,
    /// How.
    pub common: Common,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Task {
    /// To ask, and to print the answers.
    Converse(Request),
    /// To ask very often, and to measure.
    Load(Plan),
}

/// What to say.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// The three questions, in random order.
    Three,
    /// These questions.
    These(Vec<String>),
    /// A question without its `?`.
    Beginning,
}

impl Options {
    /// Reads the command line. `Err` is what to exit with at once: help and the like were printed, or a mistake was told.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, ExitCode> {
        let arguments = Arguments::try_parse_from(arguments).map_err(|error| match error.use_stderr() {
            true => wrong(PROGRAM, &mistake(&error)),
            false => printed(PROGRAM, error.print()),
        })?;
        if let Some(shell) = arguments.completions {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), PROGRAM, &mut script);
            return Err(printed(PROGRAM, io::stdout().write_all(&script)));
        }
        Options::understand(arguments).map_err(|mistake| wrong(PROGRAM, &mistake))
    }

    /// Turns what was written into what was meant.
    fn understand(arguments: Arguments) -> Result<Options, String> {
        let Arguments { host, error, common, command, .. } = arguments;
        common.backend.resolve().map_err(|error| format!("REACTOR_BACKEND in the environment: {error}"))?;
        let (host, task) = match (host, command) {
            (_, Some(_)) if error => {
                return Err(
                    "-e has a question of its own, and ask and load have others: one of them".to_owned()
                );
            }
            (host, None) => (host, Task::Converse(if error { Request::Beginning } else { Request::Three })),
            (host, Some(Command::Ask { host_and_questions })) => {
                let (host, questions) = match host {
                    Some(host) => (Some(host), host_and_questions),
                    None => host_and_questions_of(host_and_questions),
                };
                questions.iter().try_for_each(|question| check(question))?;
                (host, Task::Converse(Request::These(questions)))
            }
            (host, Some(Command::Load(load))) => {
                let plan = load.plan(common.timeout)?;
                (host.or(load.host), Task::Load(plan))
            }
        };
        if let (Some(unix), true) = (&common.unix, host.is_some() || common.port.is_some()) {
            return Err(format!("one server at a time: either --unix {} or HOST and -p", unix.display()));
        }
        Ok(Options { host: host.unwrap_or_else(|| "127.0.0.1".to_owned()), task, common })
    }

    /// The port asked for, or the usual one.
    pub fn port(&self) -> u16 {
        self.common.port.unwrap_or_else(|| match &self.task {
            Task::Load(plan) => plan.service.default_port(),
            Task::Converse(_) => DEFAULT_PORT,
        })
    }
}

/// Tells the host from the questions: a question ends with `?`, and no host does.
fn host_and_questions_of(mut arguments: Vec<String>) -> (Option<String>, Vec<String>) {
    let has_host = arguments.len() > 1 && !arguments[0].ends_with('?');
    let host = has_host.then(|| arguments.remove(0));
    (host, arguments)
}

/// Whether this is one question.
fn check(question: &str) -> Result<(), String> {
    match question.find('?') {
        Some(end) if end + 1 == question.len() => Ok(()),
        Some(_) => Err(format!("{question:?} has more than one '?': ask one question per argument")),
        None => {
            Err(format!("{question:?} is no question: one ends with '?', and stands in quotes as a whole"))
        }
    }
}

/// What is wrong, in one line. A word too many is most likely a question.
fn mistake(error: &clap::Error) -> String {
    let word = match error.kind() {
        ErrorKind::InvalidSubcommand => error.get(ContextKind::InvalidSubcommand),
        ErrorKind::UnknownArgument => error.get(ContextKind::InvalidArg),
        _ => None,
    };
    match word {
        Some(ContextValue::String(word)) if !word.starts_with('-') => {
            format!("{word:?} is too much: HOST is one word, and your own questions stand behind 'ask'")
        }
        _ => one_line(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(line: &str) -> Result<Options, String> {
        let words = line.split('|').map(str::trim);
        Options::understand(Arguments::try_parse_from(words).map_err(|error| one_line(&error.to_string()))?)
    }

    #[test]
    fn a_first_argument_without_a_question_mark_is_the_host() {
        let options = understood("zen-client | ask | example.net | What? | Why?").unwrap();
        assert_eq!(options.host, "example.net");
        let these = Request::These(vec!["What?".into(), "Why?".into()]);
        assert_eq!(options.task, Task::Converse(these));
        assert_eq!(understood("zen-client | ask | What?").unwrap().host, "127.0.0.1");
        assert_eq!(understood("zen-client | example.net | ask | What?").unwrap().host, "example.net");
    }

    #[test]
    fn words_without_quotes_are_told_to_need_them() {
        let mistake = understood("zen-client | ask | Simple | is | better | than?").unwrap_err();
        assert!(mistake.starts_with("\"is\" is no question"), "{mistake}");
        let mistake = understood("zen-client | ask | What? Why?").unwrap_err();
        assert!(mistake.contains("more than one '?'"), "{mistake}");
        for line in ["zen-client | ask | What", "zen-client | example.net | ask | What | Why?"] {
            assert!(understood(line).unwrap_err().contains("\"What\" is no question"), "{line}");
        }
    }

    #[test]
    fn options_may_stand_before_or_behind_the_command() {
        for line in ["zen-client | -p | 7 | ask | What?", "zen-client | ask | What? | -p | 7"] {
            assert_eq!(understood(line).unwrap().port(), 7, "{line}");
        }
    }

    #[test]
    fn two_servers_at_once_are_refused() {
        let mistake = understood("zen-client | localhost | --unix | /run/zen").unwrap_err();
        assert_eq!(mistake, "one server at a time: either --unix /run/zen or HOST and -p");
    }
}
