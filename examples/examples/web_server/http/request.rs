//! The head of a request: the request line and the fields, up to the empty line.
//!
//! ```text
//! GET /index.html HTTP/1.1\r\n
//! Host: localhost\r\n
//! \r\n
//! ```
//!
//! Finding its end is ours, because bytes arrive in pieces and each is to be looked at once; taking it apart is the work of
//! the crate `httparse`. Two programs that read the same bytes as different requests can be played off against each other
//! (request smuggling: one takes for a body what the other takes for the next request), so whatever is ambiguous is refused
//! here with 400 rather than repaired, although RFC 9112 would often permit a repair: a line that ends with a bare LF, a
//! bare CR, a folded line, a blank before the colon.

use std::ops::Range;

use httparse::Header;

use super::status::{FIELDS_TOO_LARGE, Fault, URI_TOO_LONG, VERSION_NOT_SUPPORTED};

/// Bytes of the longest request line; whoever sends a longer one hears 414.
pub const LONGEST_LINE: usize = 8 * 1024;
/// Bytes of the longest head in all; whoever sends a longer one hears 431.
pub const LONGEST_HEAD: usize = 16 * 1024;
/// Most fields; whoever sends more hears 431.
pub const MOST_FIELDS: usize = 64;

/// The head of a request, taken apart.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    pub target: &'a str,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub minor: u8,
    pub fields: &'a [Header<'a>],
}

/// Where the head is in `input`: `None` until all of it is here. The first `scanned` bytes were searched before.
///
/// One empty line before it is skipped: old clients sent one too many after a body (RFC 9112, section 2.2).
pub fn find(input: &[u8], scanned: usize) -> Result<Option<Range<usize>>, Fault> {
    let start = if input.starts_with(b"\r\n") { 2 } else { 0 };
    let allowed = &input[..input.len().min(start + LONGEST_HEAD)];
    let from = scanned.clamp(start, allowed.len().max(start));
    for at in memchr::memchr_iter(b'\n', allowed.get(from..).unwrap_or_default()).map(|at| from + at) {
        let line_end = &allowed[start..=at];
        if !line_end.ends_with(b"\r\n") {
            return Err(Fault::bad("A line of the head ends with LF alone; each must end with CR LF."));
        }
        if line_end.len() == 2 {
            return Err(Fault::bad("There is no request line."));
        }
        if line_end.ends_with(b"\r\n\r\n") {
            check_line(&allowed[start..])?;
            return Ok(Some(start..at + 1));
        }
    }
    check_line(allowed.get(start..).unwrap_or_default())?;
    if input.len() >= start + LONGEST_HEAD {
        return Err(Fault::new(FIELDS_TOO_LARGE, "The head of the request is longer than 16 KiB."));
    }
    Ok(None)
}

/// Refuses a request line that is, or is going to be, too long.
fn check_line(head: &[u8]) -> Result<(), Fault> {
    let line = &head[..head.len().min(LONGEST_LINE)];
    if line.len() == LONGEST_LINE && memchr::memchr(b'\n', line).is_none() {
        return Err(Fault::new(URI_TOO_LONG, "The request line is longer than 8 KiB."));
    }
    Ok(())
}

/// Takes a whole head apart.
pub fn parse<'a>(head: &'a [u8], room: &'a mut [Header<'a>]) -> Result<Request<'a>, Fault> {
    let mut parsed = httparse::Request::new(room);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Fault::bad("The head of the request does not end where it should.")),
        Err(error) => return Err(explain(error, head)),
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Fault::bad("The request line is incomplete."));
    };
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Fault::bad("The target of the request holds a character that must be percent-encoded."));
    }
    Ok(Request { method, target, minor, fields: parsed.headers })
}

fn explain(error: httparse::Error, head: &[u8]) -> Fault {
    match error {
        httparse::Error::TooManyHeaders => {
            Fault::new(FIELDS_TOO_LARGE, "The request has more than 64 header fields.")
        }
        httparse::Error::Version if names_a_version(head) => {
            Fault::new(VERSION_NOT_SUPPORTED, "This server speaks HTTP/1.1 and HTTP/1.0.")
        }
        httparse::Error::Version | httparse::Error::Token | httparse::Error::Status => {
            Fault::bad("The request line is not of the form: METHOD TARGET HTTP/1.1.")
        }
        httparse::Error::HeaderName => {
            Fault::bad("The name of a header field is malformed, or a blank stands before its colon.")
        }
        httparse::Error::HeaderValue => Fault::bad("The value of a header field is malformed."),
        httparse::Error::NewLine => Fault::bad("A line of the head does not end with CR LF."),
    }
}

/// Whether the request line is well-formed and names another version: `HTTP/` digit `.` digit.
fn names_a_version(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    match words[..] {
        [_, _, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]] => {
            major.is_ascii_digit() && minor.is_ascii_digit()
        }
        _ => false,
    }
}

impl<'a> Request<'a> {
    /// The values of all fields of this name.
    pub fn values(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value)
    }

    /// The value of a field that makes sense only once; `None` if it is missing, repeated or no text.
    pub fn only(&self, name: &'static str) -> Option<&'a str> {
        let mut values = self.values(name);
        let value = values.next().and_then(|value| std::str::from_utf8(value).ok());
        if values.next().is_none() { value } else { None }
    }

    /// The elements of a field that is a list, trimmed; empty ones are left out (RFC 9110, section 5.6.1).
    pub fn elements(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        let elements = self.values(name).flat_map(|value| value.split(|&byte| byte == b','));
        elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
    }

    /// Whether a field that is a list has this element.
    pub fn has(&self, name: &'static str, element: &str) -> bool {
        self.elements(name).any(|found| found.eq_ignore_ascii_case(element.as_bytes()))
    }

    /// Whether the client wants to ask more on this connection (RFC 9112, section 9.3).
    pub fn keeps_alive(&self) -> bool {
        !self.has("connection", "close") && (self.minor > 0 || self.has("connection", "keep-alive"))
    }

    /// Checks the field `Host`: HTTP/1.1 wants exactly one, and it names a host (RFC 9112, section 3.2).
    pub fn check_host(&self) -> Result<(), Fault> {
        let mut hosts = self.values("host");
        match (hosts.next(), hosts.next()) {
            (None, _) if self.minor == 0 => Ok(()),
            (None, _) => Err(Fault::bad("The field Host is missing.")),
            (Some(_), Some(_)) => Err(Fault::bad("The field Host is there twice.")),
            (Some(host), None) if host.is_empty() || is_host(host) => Ok(()),
            (Some(_), None) => Err(Fault::bad("The field Host does not name a host.")),
        }
    }
}

/// Whether these bytes can be a host with an optional port: `example.org:8080`, `[::1]` (RFC 3986, section 3.2.2).
pub fn is_host(host: &[u8]) -> bool {
    let colon = host.iter().rposition(|&byte| byte == b':' || byte == b']');
    let (name, port) = match colon {
        Some(at) if host[at] == b':' => (&host[..at], &host[at + 1..]),
        _ => (host, &[][..]),
    };
    let is_name = match name {
        [b'[', address @ .., b']'] => {
            !address.is_empty() && address.iter().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte))
        }
        _ => {
            let marks = b"-._~%!$&'()*+;=";
            !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || marks.contains(byte))
        }
    };
    is_name && port.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::status::BAD_REQUEST;

    /// What becomes of a head: its method, target and version, or the status it is refused with.
    fn outcome(head: &str) -> Result<(String, String, u8), u16> {
        let input = head.as_bytes();
        let found = find(input, 0).map_err(|fault| fault.status.code)?.expect("the head is whole");
        let mut room = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let request = parse(&input[found], &mut room).map_err(|fault| fault.status.code)?;
        request.check_host().map_err(|fault| fault.status.code)?;
        Ok((request.method.to_owned(), request.target.to_owned(), request.minor))
    }

    fn refused(head: &str) -> u16 {
        outcome(head).expect_err(head)
    }

    #[test]
    fn a_head_is_taken_apart() {
        let head = "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(outcome(head), Ok(("GET".into(), "/a?b".into(), 1)));
        assert_eq!(outcome("HEAD / HTTP/1.0\r\n\r\n"), Ok(("HEAD".into(), "/".into(), 0)));
        assert_eq!(outcome(&format!("\r\n{head}")), outcome(head), "one empty line before it is skipped");
    }

    #[test]
    fn what_two_servers_could_read_differently_is_refused() {
        for head in [
            "GET / HTTP/1.1\nHost: x\n\n",
            "GET / HTTP/1.1\r\nHost: x\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost\t: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nname\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /  HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
            "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /ä HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / http/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/11\r\nHost: x\r\n\r\n",
        ] {
            assert_eq!(refused(head), BAD_REQUEST.code, "{head:?}");
        }
    }

    #[test]
    fn other_versions_are_named_as_such() {
        for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/1.2"] {
            assert_eq!(refused(&format!("GET / {version}\r\nHost: x\r\n\r\n")), 505, "{version}");
        }
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_here() {
        let long = "x".repeat(LONGEST_LINE);
        assert_eq!(find(format!("GET /{long}").as_bytes(), 0).unwrap_err().status.code, 414);
        assert_eq!(refused(&format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n")), 414);
        let head = format!("GET / HTTP/1.1\r\nA: {long}\r\nB: {long}");
        assert_eq!(find(head.as_bytes(), 0).unwrap_err().status.code, 431);
        assert_eq!(refused(&format!("{head}\r\n\r\n")), 431);
        let many = "A: b\r\n".repeat(MOST_FIELDS + 1);
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{many}\r\n")), 431);
    }

    #[test]
    fn a_head_is_found_wherever_the_search_resumes() {
        for head in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
            let input = format!("{head}GET");
            for scanned in 0..head.len() {
                let beginning = find(&input.as_bytes()[..scanned], 0);
                assert_eq!(beginning, Ok(None), "{scanned}");
                let found = find(input.as_bytes(), scanned).unwrap().expect("it is whole");
                assert_eq!(found.end, head.len(), "{scanned}");
            }
        }
    }

    #[test]
    fn http_1_1_wants_one_host() {
        for host in
            ["", "Host: x\r\nHost: x\r\n", "Host: a b\r\n", "Host: x/y\r\n", "Host: u@x\r\n", "Host: x:y\r\n"]
        {
            assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{host}\r\n")), 400, "{host:?}");
        }
        for host in ["x", "x:80", "[::1]", "[::1]:80", "a-b.example", ""] {
            assert!(outcome(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).is_ok(), "{host:?}");
        }
    }
}
