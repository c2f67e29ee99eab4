//! What is being measured right now: a line that is overwritten, on a terminal only.

use std::io::{IsTerminal, Write, stderr};

/// Replaces the line.
pub fn show(what: &str) {
    if stderr().is_terminal() {
        eprint!("\r\x1b[Kmeasuring {what} …"); // ECMA-48: erase to the end of the line
        let _ = stderr().flush(); // a terminal that is gone misses nothing
    }
}

/// Takes it away, before something is said that stays.
pub fn clear() {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K");
        let _ = stderr().flush();
    }
}
