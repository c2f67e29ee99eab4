//! Whether a body follows the head, and how its end is told (RFC 9112, section 6).
//!
//! This is where requests are smuggled: a proxy and a server that disagree about the end of a body disagree about where the
//! next request begins. So there is one way to say it right, and everything else is refused: a length *and* chunks, two
//! lengths (equal ones, too), a length that is not plain digits, chunks over HTTP/1.0, chunks that are not the last coding.

use super::request::Request;
use super::status::{CONTENT_TOO_LARGE, Fault, NOT_IMPLEMENTED};

/// Bytes of the longest body. Nothing here has a use for a body; a short one is thrown away so that the connection can go
/// on, a longer one is not worth that.
pub const LONGEST_BODY: u64 = 1 << 20;

/// A body that is longer than [`LONGEST_BODY`].
pub const TOO_LARGE: Fault = Fault::new(CONTENT_TOO_LARGE, "The body of the request is longer than 1 MiB.");

/// How the end of the body is told.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Nothing,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks, each with its size, the last one empty.
    Chunked,
}

impl Framing {
    /// What the head says.
    pub fn of(request: &Request<'_>) -> Result<Framing, Fault> {
        let mut lengths = request.values("content-length");
        let (length, second) = (lengths.next(), lengths.next());
        let is_coded = request.values("transfer-encoding").next().is_some();
        match (length, second) {
            (Some(_), _) if is_coded => {
                Err(Fault::bad("The request has both a Content-Length and a Transfer-Encoding."))
            }
            (_, Some(_)) => Err(Fault::bad("The request has more than one Content-Length.")),
            (Some(length), None) => of_length(length),
            (None, _) if is_coded => of_codings(request),
            (None, _) => Ok(Framing::Nothing),
        }
    }
}

fn of_length(digits: &[u8]) -> Result<Framing, Fault> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Fault::bad("The Content-Length is not a number."));
    }
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    match number {
        Some(0) => Ok(Framing::Nothing),
        Some(length) if length <= LONGEST_BODY => Ok(Framing::Length(length)),
        _ => Err(TOO_LARGE),
    }
}

fn of_codings(request: &Request<'_>) -> Result<Framing, Fault> {
    if request.minor == 0 {
        return Err(Fault::bad("HTTP/1.0 has no Transfer-Encoding."));
    }
    let mut chunked = 0;
    let (mut others, mut last_is_chunked) = (0, false);
    for coding in request.elements("transfer-encoding") {
        last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
        *(if last_is_chunked { &mut chunked } else { &mut others }) += 1;
    }
    match (chunked, others) {
        (1, 0) => Ok(Framing::Chunked),
        (1, _) if last_is_chunked => {
            Err(Fault::new(NOT_IMPLEMENTED, "The only transfer coding this server knows is chunked."))
        }
        _ => Err(Fault::bad("The last transfer coding of a request must be chunked, once.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::{MOST_FIELDS, parse};

    fn framing(version: &str, fields: &str) -> Result<Framing, u16> {
        let head = format!("GET / {version}\r\n{fields}\r\n");
        let mut room = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let request = parse(head.as_bytes(), &mut room).expect("the head is well-formed");
        Framing::of(&request).map_err(|fault| fault.status.code)
    }

    #[test]
    fn there_is_one_way_to_say_it() {
        for (fields, expected) in [
            ("", Framing::Nothing),
            ("Content-Length: 0\r\n", Framing::Nothing),
            ("content-length:  7 \r\n", Framing::Length(7)),
            ("Content-Length: 0007\r\n", Framing::Length(7)),
            ("Transfer-Encoding: Chunked\r\n", Framing::Chunked),
            ("Transfer-Encoding: , chunked ,\r\n", Framing::Chunked),
        ] {
            assert_eq!(framing("HTTP/1.1", fields), Ok(expected), "{fields:?}");
        }
    }

    #[test]
    fn whatever_is_ambiguous_is_refused() {
        for (fields, code) in [
            ("Content-Length: 1\r\nContent-Length: 2\r\n", 400),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", 400),
            ("Content-Length: 1, 1\r\n", 400),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", 400),
            ("Content-Length: +1\r\n", 400),
            ("Content-Length: -1\r\n", 400),
            ("Content-Length: 0x1\r\n", 400),
            ("Content-Length: 1 1\r\n", 400),
            ("Content-Length:\r\n", 400),
            ("Content-Length: 1048577\r\n", 413),
            ("Content-Length: 99999999999999999999999999\r\n", 413),
            ("Transfer-Encoding: chunked, chunked\r\n", 400),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: chunked, gzip\r\n", 400),
            ("Transfer-Encoding: xchunked\r\n", 400),
            ("Transfer-Encoding: \x0bchunked\r\n", 400),
            ("Transfer-Encoding: identity\r\n", 400),
            ("Transfer-Encoding:\r\n", 400),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ] {
            let head = format!("GET / HTTP/1.1\r\n{fields}\r\n");
            let mut room = [httparse::EMPTY_HEADER; MOST_FIELDS];
            let refused = parse(head.as_bytes(), &mut room).and_then(|request| Framing::of(&request));
            assert_eq!(refused.expect_err(fields).status.code, code, "{fields:?}");
        }
        assert_eq!(framing("HTTP/1.0", "Transfer-Encoding: chunked\r\n"), Err(400));
    }
}
