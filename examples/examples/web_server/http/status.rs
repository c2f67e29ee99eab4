//! Status codes: how the first line of an answer says what became of the request (RFC 9110, section 15).

use std::fmt;

/// A code and the words that go with it. Programs read the code, people the words.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Status {
    pub code: u16,
    pub reason: &'static str,
}

const fn status(code: u16, reason: &'static str) -> Status {
    Status { code, reason }
}

pub const OK: Status = status(200, "OK");
pub const PARTIAL_CONTENT: Status = status(206, "Partial Content");
pub const MOVED_PERMANENTLY: Status = status(301, "Moved Permanently");
pub const NOT_MODIFIED: Status = status(304, "Not Modified");
pub const BAD_REQUEST: Status = status(400, "Bad Request");
pub const FORBIDDEN: Status = status(403, "Forbidden");
pub const NOT_FOUND: Status = status(404, "Not Found");
pub const METHOD_NOT_ALLOWED: Status = status(405, "Method Not Allowed");
pub const PRECONDITION_FAILED: Status = status(412, "Precondition Failed");
pub const CONTENT_TOO_LARGE: Status = status(413, "Content Too Large");
pub const URI_TOO_LONG: Status = status(414, "URI Too Long");
pub const RANGE_NOT_SATISFIABLE: Status = status(416, "Range Not Satisfiable");
pub const EXPECTATION_FAILED: Status = status(417, "Expectation Failed");
pub const FIELDS_TOO_LARGE: Status = status(431, "Request Header Fields Too Large");
pub const INTERNAL_SERVER_ERROR: Status = status(500, "Internal Server Error");
pub const NOT_IMPLEMENTED: Status = status(501, "Not Implemented");
pub const SERVICE_UNAVAILABLE: Status = status(503, "Service Unavailable");
pub const VERSION_NOT_SUPPORTED: Status = status(505, "HTTP Version Not Supported");

impl Status {
    /// Whether the request could not be fulfilled, whosever mistake that is.
    pub fn is_error(self) -> bool {
        self.code >= 400
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

/// What is wrong with a request, and a sentence for whoever sent it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    pub status: Status,
    pub why: &'static str,
}

impl Fault {
    pub const fn new(status: Status, why: &'static str) -> Fault {
        Fault { status, why }
    }

    /// A request that breaks the rules.
    pub const fn bad(why: &'static str) -> Fault {
        Fault::new(BAD_REQUEST, why)
    }
}
