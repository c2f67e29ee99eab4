//! Getting past the body of a request, in whatever pieces it arrives.
//!
//! ```text
//! 5;name=value\r\n     a size in hexadecimal, perhaps extensions
//! hello\r\n            so many bytes
//! 0\r\n                the last chunk is empty
//! Trailer: x\r\n       fields that could not be known before
//! \r\n
//! ```
//!
//! Nothing of it is kept: the server has no use for it, but the next request stands behind it. As in the head, what another
//! program might read differently is refused: a size with a sign, a blank or too many digits, a bare LF.

use super::framing::{Framing, LONGEST_BODY, TOO_LARGE};
use super::request::LONGEST_HEAD;
use super::status::Fault;

/// Bytes of the longest line with a chunk's size, extensions included.
const LONGEST_SIZE_LINE: usize = 256;
/// Bytes of chunks in all: their data and what is around it.
const LONGEST_CHUNKS: u64 = 2 * LONGEST_BODY;

/// A body that is being thrown away.
#[derive(Debug)]
pub enum Body {
    /// So many bytes to go.
    Length(u64),
    Chunked(Chunks),
}

/// How far a chunked body has come.
#[derive(Debug, Default)]
pub struct Chunks {
    next: Next,
    /// Bytes of it so far,
    seen: u64,
    /// those that are data,
    data: u64,
    /// and those of the trailer.
    trailer: usize,
}

/// What comes next in a chunked body.
#[derive(Copy, Clone, Debug, Default)]
enum Next {
    #[default]
    Size,
    Data(u64),
    /// CR LF behind the data.
    EndOfData,
    Trailer,
    Nothing,
}

impl Body {
    /// The body that a head announced, if any.
    pub fn new(framing: Framing) -> Option<Body> {
        match framing {
            Framing::Nothing => None,
            Framing::Length(length) => Some(Body::Length(length)),
            Framing::Chunked => Some(Body::Chunked(Chunks::default())),
        }
    }

    /// Gets past as much of `input` as belongs to the body; how many bytes that was.
    pub fn skip(&mut self, input: &[u8]) -> Result<usize, Fault> {
        match self {
            Body::Length(left) => {
                let step = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= step as u64;
                Ok(step)
            }
            Body::Chunked(chunks) => chunks.skip(input),
        }
    }

    /// Whether the end was reached.
    pub fn is_over(&self) -> bool {
        match self {
            Body::Length(left) => *left == 0,
            Body::Chunked(chunks) => matches!(chunks.next, Next::Nothing),
        }
    }
}

impl Chunks {
    fn skip(&mut self, input: &[u8]) -> Result<usize, Fault> {
        let mut skipped = 0;
        loop {
            let step = self.step(&input[skipped..])?;
            skipped += step;
            self.seen += step as u64;
            if self.seen > LONGEST_CHUNKS {
                return Err(TOO_LARGE);
            }
            if step == 0 {
                return Ok(skipped);
            }
        }
    }

    /// Gets past the next part; zero if more of it must arrive first.
    fn step(&mut self, input: &[u8]) -> Result<usize, Fault> {
        match self.next {
            Next::Size => {
                let Some(line) = line(input, LONGEST_SIZE_LINE)? else { return Ok(0) };
                let size = size(line)?;
                self.data = self.data.saturating_add(size);
                if self.data > LONGEST_BODY {
                    return Err(TOO_LARGE);
                }
                self.next = if size == 0 { Next::Trailer } else { Next::Data(size) };
                Ok(line.len() + 2)
            }
            Next::Data(left) => {
                let step = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - step as u64;
                self.next = if left == 0 { Next::EndOfData } else { Next::Data(left) };
                Ok(step)
            }
            Next::EndOfData => match input {
                [b'\r', b'\n', ..] => {
                    self.next = Next::Size;
                    Ok(2)
                }
                [] | [b'\r'] => Ok(0),
                _ => Err(Fault::bad("The data of a chunk does not end where its size says.")),
            },
            Next::Trailer => self.trailer(input),
            Next::Nothing => Ok(0),
        }
    }

    /// One line of the trailer: a field, which is ignored, or the empty line that ends everything.
    fn trailer(&mut self, input: &[u8]) -> Result<usize, Fault> {
        let Some(line) = line(input, LONGEST_HEAD)? else { return Ok(0) };
        self.trailer += line.len() + 2;
        if self.trailer > LONGEST_HEAD {
            return Err(Fault::bad("The trailer of the chunked body is too long."));
        }
        if line.is_empty() {
            self.next = Next::Nothing;
        } else if !is_field(line) {
            return Err(Fault::bad("The trailer of the chunked body is malformed."));
        }
        Ok(line.len() + 2)
    }
}

/// The first line of `input` without its CR LF; `None` if its end has not arrived.
fn line(input: &[u8], longest: usize) -> Result<Option<&[u8]>, Fault> {
    match memchr::memchr(b'\n', &input[..input.len().min(longest)]) {
        None if input.len() >= longest => Err(Fault::bad("A line of the chunked body is too long.")),
        None => Ok(None),
        Some(end) => match input[..end].strip_suffix(b"\r") {
            Some(line) if !line.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t') => {
                Ok(Some(line))
            }
            _ => Err(Fault::bad("A line of the chunked body does not end with CR LF.")),
        },
    }
}

/// The size of a chunk: hexadecimal digits, and behind a semicolon whatever extensions there are.
fn size(line: &[u8]) -> Result<u64, Fault> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Fault::bad("The size of a chunk is not a hexadecimal number."));
    }
    let number = std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
    number.ok_or(TOO_LARGE)
}

/// Whether a line has the form of a header field: a name, right behind it a colon.
fn is_field(line: &[u8]) -> bool {
    let colon = line.iter().position(|&byte| byte == b':');
    colon.is_some_and(|colon| {
        colon > 0
            && line[..colon]
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Skips a body that arrives in pieces of `size`: how long it was, `None` if it has not ended.
    fn skip(framing: Framing, input: &[u8], size: usize) -> Result<Option<usize>, u16> {
        let mut body = Body::new(framing).expect("there is a body");
        let (mut arrived, mut skipped) = (0, 0);
        while !body.is_over() && arrived < input.len() {
            arrived = input.len().min(arrived + size);
            skipped += body.skip(&input[skipped..arrived]).map_err(|fault| fault.status.code)?;
        }
        Ok(body.is_over().then_some(skipped))
    }

    #[test]
    fn a_body_ends_where_its_framing_says_however_it_arrives() {
        let chunks = b"5\r\nhello\r\n1;a=\"b\"\r\n\n\r\n00A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        let next = b"GET / HTTP/1.1\r\n";
        for size in 1..chunks.len() {
            let input = [&chunks[..], next].concat();
            assert_eq!(skip(Framing::Chunked, &input, size), Ok(Some(chunks.len())), "{size}");
            assert_eq!(skip(Framing::Length(7), &input, size), Ok(Some(7)), "{size}");
            assert_eq!(skip(Framing::Chunked, &chunks[..chunks.len() - 1], size), Ok(None), "{size}");
        }
    }

    #[test]
    fn bad_chunks_are_refused() {
        for (input, code) in [
            ("\r\n", 400),
            ("x\r\n", 400),
            ("-1\r\n", 400),
            ("+1\r\n", 400),
            ("0x1\r\n", 400),
            (" 1\r\n", 400),
            ("1 \r\n", 400),
            ("1_0\r\n", 400),
            ("1\n", 400),
            ("1;a\rb\r\n", 400),
            ("1\r\nab\r\n", 400),
            ("1\r\na\n0\r\n\r\n", 400),
            ("10000000000000000\r\n", 400),
            ("ffffffffffffffff\r\n", 413),
            ("100001\r\n", 413),
            ("0\r\nnocolon\r\n\r\n", 400),
            ("0\r\nname : x\r\n\r\n", 400),
            ("0\r\n folded: x\r\n\r\n", 400),
            ("0\r\n\n", 400),
        ] {
            for size in [1, 1000] {
                assert_eq!(skip(Framing::Chunked, input.as_bytes(), size), Err(code), "{input:?}");
            }
        }
    }

    #[test]
    fn what_is_endless_is_refused() {
        let extensions = format!("1;{}\r\n", "x".repeat(300));
        assert_eq!(skip(Framing::Chunked, extensions.as_bytes(), 64), Err(400));
        let trailer = format!("0\r\n{}", "A: b\r\n".repeat(3000));
        assert_eq!(skip(Framing::Chunked, trailer.as_bytes(), 64), Err(400));
        let padded = format!("1;{}\r\nx\r\n", "x".repeat(200)).repeat(20_000);
        assert_eq!(skip(Framing::Chunked, padded.as_bytes(), 4096), Err(413));
        let chunks = "1000\r\n".to_owned() + &"x".repeat(4096) + "\r\n";
        assert_eq!(skip(Framing::Chunked, chunks.repeat(300).as_bytes(), 4096), Err(413));
    }
}
