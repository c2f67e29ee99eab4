//! An answer: a status, some fields, and content that may be memory or part of a file.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::status::Status;

/// What is to be answered; whether the connection goes on afterwards is not its business.
#[derive(Debug)]
pub struct Response {
    pub status: Status,
    /// Names and values, besides those that every answer has.
    pub fields: Vec<(&'static str, String)>,
    pub content: Content,
}

/// What follows the head of an answer.
#[derive(Clone, Debug)]
pub enum Content {
    /// No content, and no length of it: of all our answers only 304.
    Nothing,
    Bytes(Vec<u8>),
    File(Arc<File>, Range<u64>),
}

impl Content {
    pub fn len(&self) -> u64 {
        match self {
            Content::Nothing => 0,
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File(_, range) => range.end - range.start,
        }
    }
}

/// What the request has to say about the form of its answer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The head only, as if there were content: the request was HEAD.
    pub head_only: bool,
    /// What version the client speaks: 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub minor: u8,
    /// Whether the connection goes on.
    pub keep: bool,
}

impl Form {
    /// For a request that could not be understood: the connection ends, because nobody knows where the next one begins.
    pub const LAST: Form = Form { head_only: false, minor: 1, keep: false };
}

impl Response {
    /// Writes the head of the answer, the empty line included.
    pub fn write_head(&self, form: Form, now: SystemTime, to: &mut Vec<u8>) {
        let Status { code, reason } = self.status;
        put(to, format_args!("HTTP/1.1 {code} {reason}\r\n"));
        if let Some(date) = http_date(now) {
            put(to, format_args!("Date: {date}\r\n"));
        }
        for (name, value) in &self.fields {
            put(to, format_args!("{name}: {value}\r\n"));
        }
        if !matches!(self.content, Content::Nothing) {
            put(to, format_args!("Content-Length: {}\r\n", self.content.len()));
        }
        match (form.keep, form.minor) {
            (false, _) => put(to, format_args!("Connection: close\r\n")),
            (true, 0) => put(to, format_args!("Connection: keep-alive\r\n")), // 1.0 would not assume it
            (true, _) => {}
        }
        to.extend_from_slice(b"\r\n");
    }
}

fn put(to: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    to.write_fmt(text).expect("a vector takes everything");
}

/// The year 10000, in seconds: HTTP's dates have four digits for the year.
const END_OF_DATES: u64 = 253_402_300_800;

/// A time as HTTP writes it, `Sun, 06 Nov 1994 08:49:37 GMT`; `None` if it has no way to (before 1970, after 9999).
pub fn http_date(time: SystemTime) -> Option<String> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since < Duration::from_secs(END_OF_DATES)).then(|| httpdate::fmt_http_date(time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::status::{NOT_MODIFIED, OK};

    fn head(response: &Response, form: Form) -> String {
        let mut head = Vec::new();
        response.write_head(form, SystemTime::UNIX_EPOCH, &mut head);
        String::from_utf8(head).unwrap()
    }

    #[test]
    fn a_head_says_how_long_the_content_is_and_whether_the_connection_goes_on() {
        let fields = vec![("Content-Type", "text/plain".to_owned())];
        let response = Response { status: OK, fields, content: Content::Bytes(b"hello".to_vec()) };
        let expected = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain\r\n\
                        Content-Length: 5\r\n";
        for (minor, keep, connection) in
            [(1, true, ""), (0, true, "Connection: keep-alive\r\n"), (1, false, "Connection: close\r\n")]
        {
            let form = Form { head_only: false, minor, keep };
            assert_eq!(head(&response, form), format!("{expected}{connection}\r\n"));
        }
    }

    #[test]
    fn not_modified_has_no_length() {
        let response = Response { status: NOT_MODIFIED, fields: Vec::new(), content: Content::Nothing };
        assert!(!head(&response, Form::LAST).contains("Content-Length"));
    }

    #[test]
    fn times_without_a_date_are_no_panic() {
        assert_eq!(http_date(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), None);
        assert_eq!(http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(END_OF_DATES)), None);
        let last = SystemTime::UNIX_EPOCH + Duration::from_secs(END_OF_DATES - 1);
        assert_eq!(http_date(last).as_deref(), Some("Fri, 31 Dec 9999 23:59:59 GMT"));
    }
}
