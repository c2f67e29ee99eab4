//! What a client does, as a value: it can be made up, shrunk, printed, and read again.
//!
//! Its text is a service and what the client does, one thing after the other: `zen: say "Why?"; hear; say "Wh"; finish`.

use std::fmt;
use std::str::FromStr;

/// What is talked to.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Service {
    Zen,
    Bytes,
    Echo,
    Panics,
}

impl Service {
    const ALL: [Service; 4] = [Service::Zen, Service::Bytes, Service::Echo, Service::Panics];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Service::Zen => "zen",
            Service::Bytes => "bytes",
            Service::Echo => "echo",
            Service::Panics => "panics",
        }
    }
}

/// One thing that a client does.
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    /// Says this, so many times. While the server takes no more, it reads a little.
    Say(Vec<u8>, usize),
    /// Waits until all that was said is answered.
    Hear,
    /// Waits until so many bytes in all were heard.
    HearSome(usize),
}

/// The last thing that it does.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Says that nothing follows, and reads to the end.
    Finish,
    /// Leaves, as close(2) does.
    Close,
    /// Leaves with a reset.
    Reset,
    /// Reads until the server hangs up.
    Wait,
    /// Reads nothing more, and stays until the server says that it is over.
    Stay,
}

/// A client.
#[derive(Clone, PartialEq, Eq)]
pub struct Script {
    pub service: Service,
    pub steps: Vec<Step>,
    pub end: End,
}

impl Script {
    /// What is said before this step.
    pub fn said_before(&self, step: usize) -> Vec<u8> {
        let mut said = Vec::new();
        for step in &self.steps[..step] {
            if let Step::Say(text, times) = step {
                said.extend(text.repeat(*times));
            }
        }
        said
    }

    /// The same client, who says in one piece what is not parted by an answer.
    pub fn in_one_piece(&self) -> Script {
        let mut steps: Vec<Step> = Vec::new();
        for step in &self.steps {
            match (steps.last_mut(), step) {
                (Some(Step::Say(said, 1)), Step::Say(text, times)) => said.extend(text.repeat(*times)),
                (_, Step::Say(text, times)) => steps.push(Step::Say(text.repeat(*times), 1)),
                (_, step) => steps.push(step.clone()),
            }
        }
        Script { steps, ..self.clone() }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Say(text, 1) => write!(f, "say \"{}\"", text.escape_ascii()),
            Step::Say(text, times) => write!(f, "say \"{}\" {times} times", text.escape_ascii()),
            Step::Hear => f.write_str("hear"),
            Step::HearSome(bytes) => write!(f, "hear {bytes}"),
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.service.name())?;
        self.steps.iter().try_for_each(|step| write!(f, "{step}; "))?;
        f.write_str(match self.end {
            End::Finish => "finish",
            End::Close => "close",
            End::Reset => "reset",
            End::Wait => "wait",
            End::Stay => "stay",
        })
    }
}

/// What a failure prints can be read again.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Script {
    type Err = String;

    fn from_str(text: &str) -> Result<Script, String> {
        let (service, mut rest) = text.split_once(": ").ok_or("no service")?;
        let service =
            Service::ALL.into_iter().find(|known| known.name() == service).ok_or("no such service")?;
        let mut steps = Vec::new();
        loop {
            let end = match rest {
                "finish" => End::Finish,
                "close" => End::Close,
                "reset" => End::Reset,
                "wait" => End::Wait,
                "stay" => End::Stay,
                _ => {
                    let (step, behind) = step(rest).ok_or_else(|| format!("not a step: {rest}"))?;
                    steps.push(step);
                    rest = behind;
                    continue;
                }
            };
            return Ok(Script { service, steps, end });
        }
    }
}

/// The step with which the text begins, and what follows its semicolon.
fn step(text: &str) -> Option<(Step, &str)> {
    if let Some(quoted) = text.strip_prefix("say \"") {
        let end = closing_quote(quoted)?;
        let (times, behind) = quoted[end + 1..].split_once("; ")?;
        let times = match times.strip_suffix(" times") {
            Some(times) => times.trim().parse().ok()?,
            None => 1,
        };
        return Some((Step::Say(unescaped(&quoted[..end])?, times), behind));
    }
    let (step, behind) = text.split_once("; ")?;
    match step.strip_prefix("hear ") {
        Some(bytes) => Some((Step::HearSome(bytes.parse().ok()?), behind)),
        None => (step == "hear").then_some((Step::Hear, behind)),
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let found = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        found
    })
}

/// The other way round than `escape_ascii`.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (kind, behind) = rest.split_first()?;
        rest = behind;
        bytes.push(match kind {
            b't' => b'\t',
            b'r' => b'\r',
            b'n' => b'\n',
            b'x' => {
                let digits = rest.get(..2)?;
                rest = &rest[2..];
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            other => *other,
        });
    }
    Some(bytes)
}

#[test]
fn a_script_that_was_printed_is_read_again() {
    let every: Vec<u8> = (0..=255).collect();
    let steps = vec![Step::Say(every, 1), Step::Hear, Step::Say(b"\\\"; ".to_vec(), 70), Step::HearSome(3)];
    for end in [End::Finish, End::Close, End::Reset, End::Wait, End::Stay] {
        for service in Service::ALL {
            let script = Script { service, steps: steps.clone(), end };
            assert_eq!(script.to_string().parse(), Ok(script));
        }
    }
    for wrong in ["", "zen", "zen: ", "zen: say", "zen: hear", "tea: finish", "zen: say \"a; finish"] {
        assert!(wrong.parse::<Script>().is_err(), "{wrong}");
    }
}
