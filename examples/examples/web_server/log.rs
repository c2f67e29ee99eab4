//! The access log: one line for each request, on standard error.
//!
//! ```text
//! 127.0.0.1:50314 "GET /index.html HTTP/1.1" 200 1024
//! ```
//!
//! What a client sent is escaped: a log that can be made to say anything (a line end, and then a line of its own; a control
//! sequence for the terminal of whoever reads it) is worth nothing.

use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;

/// Where the lines go.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Log {
    StandardError,
    Nowhere,
}

/// Bytes of a request line that could not be understood that are told.
const TOLD: usize = 100;

impl Log {
    /// Tells something about a client.
    pub fn tell(self, peer: SocketAddr, what: impl Display) {
        if self == Log::StandardError {
            // In one write, so that lines of several threads do not mix. Nobody is left to tell if that fails.
            let _ = io::stderr().write_all(format!("{peer} {what}\n").as_bytes());
        }
    }
}

/// The first line of what could not be understood, shortened and escaped.
pub fn first_line(input: &[u8]) -> String {
    let line = input.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    let line = line.unwrap_or_default().trim_ascii_end();
    let told = escaped(&line[..line.len().min(TOLD)]);
    if line.len() > TOLD { told + "…" } else { told }
}

/// Printable, and without quotation marks.
pub fn escaped(text: &[u8]) -> String {
    text.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_write_lines_of_its_own() {
        assert_eq!(first_line(b"\r\nGET /\x1b[31m\" HTTP/9\r\nEvil: yes"), "GET /\\x1b[31m\\\" HTTP/9");
        assert_eq!(first_line(&[b'x'; 500]), "x".repeat(100) + "…");
        assert_eq!(first_line(b""), "");
    }
}
