//! Manners of the command line that the programs share: how a duration is written, and mistakes told in one line.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

/// The longest duration that makes sense on a command line: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A duration where `off` and `0` mean none, so `30s` is `Some` and `off` is `None`.
///
/// ```
/// use std::time::Duration;
/// use zen_server::command_line::duration;
/// assert_eq!(duration("250ms"), Ok(Some(Duration::from_millis(250))));
/// assert_eq!(duration("5m"), Ok(Some(Duration::from_secs(300))));
/// assert_eq!(duration("off"), Ok(None));
/// assert_eq!(duration("30").unwrap_err(), "30 of what? write a unit, like 250ms, 30s, 5m, 1h");
/// ```
///
/// # Errors
/// A sentence that says what is wrong and what would be right.
pub fn duration(text: &str) -> Result<Option<Duration>, String> {
    const RIGHT: &str = "write a number and a unit, like 250ms, 30s, 5m, 1h, or off";
    if text == "off" {
        return Ok(None);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(RIGHT.to_owned());
    }
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "" if number.bytes().all(|digit| digit == b'0') => return Ok(None),
        "" => return Err(format!("{number} of what? write a unit, like 250ms, 30s, 5m, 1h")),
        _ => return Err(RIGHT.to_owned()),
    };
    let duration =
        number.parse::<u64>().ok().and_then(|n| n.checked_mul(milliseconds)).map(Duration::from_millis);
    match duration {
        Some(Duration::ZERO) => Ok(None),
        Some(duration) if duration <= LONGEST => Ok(Some(duration)),
        _ => Err("longer than a year: write off for no limit".to_owned()),
    }
}

/// A duration as [`duration`] reads it, in the largest unit that needs no fraction.
///
/// ```
/// use std::time::Duration;
/// use zen_server::command_line::in_words;
/// assert_eq!(in_words(Duration::from_secs(120)), "2m");
/// assert_eq!(in_words(Duration::from_millis(1500)), "1500ms");
/// ```
#[must_use]
pub fn in_words(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let units = [(60 * 60 * 1000, "h"), (60 * 1000, "m"), (1000, "s"), (1, "ms")];
    let fits = units.into_iter().find(|(unit, _)| milliseconds >= *unit && milliseconds % unit == 0);
    fits.map_or_else(|| "off".to_owned(), |(unit, name)| format!("{}{name}", milliseconds / unit))
}

/// What a command-line parser says in a paragraph or two, as one line: the mistake, and the tip if there is one.
///
/// The parser's usage summary is left out: it would push the mistake itself off a small screen, and `--help` has it.
///
/// ```
/// use zen_server::command_line::one_line;
/// let said = "error: unexpected argument '--prot' found\n\n  tip: a similar argument exists: '--port'\n\nUsage: …";
/// assert_eq!(one_line(said), "unexpected argument '--prot' found; tip: a similar argument exists: '--port'");
/// ```
#[must_use]
pub fn one_line(said: &str) -> String {
    let told: Vec<&str> = said
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect();
    let line = told.join("; ").replace(":; ", ": ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

/// Tells a mistake on the command line of `program`; how to exit.
#[must_use]
pub fn wrong(program: &str, mistake: &str) -> ExitCode {
    // Nobody is left to tell if standard error is gone.
    let _ = writeln!(io::stderr(), "{program}: {mistake} (see {program} --help)");
    ExitCode::from(2)
}

/// How `program` exits after it was asked to print something, which went so. Whoever stops reading halfway, as `head` does, has
/// read enough.
#[must_use]
pub fn printed(program: &str, result: io::Result<()>) -> ExitCode {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr(), "{program}: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, milliseconds) in [("1ms", 1), ("007s", 7000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(Some(Duration::from_millis(milliseconds))), "{text}");
        }
        for nothing in ["off", "0", "00", "0ms", "0s"] {
            assert_eq!(duration(nothing), Ok(None), "{nothing}");
        }
    }

    #[test]
    fn whatever_else_is_refused_with_advice() {
        for wrong in ["", "s", "-1s", "1.5s", "1 s", "5 minutes", "5M", "٣s", "soon", "30"] {
            assert!(duration(wrong).unwrap_err().contains("like 250ms"), "{wrong}");
        }
        for long in ["8761h", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(long).unwrap_err().contains("a year"), "{long}");
        }
    }

    #[test]
    fn what_is_read_is_written_back_the_same() {
        for text in ["1ms", "1500ms", "30s", "90s", "5m", "24h", "8760h"] {
            assert_eq!(in_words(duration(text).unwrap().unwrap()), text);
        }
        assert_eq!(in_words(Duration::ZERO), "off");
    }

    #[test]
    fn a_list_under_a_colon_stays_on_the_line() {
        let said =
            "error: the following required arguments were not provided:\n  <QUESTION>...\n\nUsage: x\n";
        assert_eq!(one_line(said), "the following required arguments were not provided: <QUESTION>...");
    }
}
