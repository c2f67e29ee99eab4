//! Requests with an *if*, and requests for a part: when the file itself need not, or must not, be sent whole.
//!
//! The order in which the conditions are asked is RFC 9110's (section 13.2.2). This server has no entity tags: what a file is
//! known by is the second in which it was last changed.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use httpdate::parse_http_date;

use crate::http::request::Request;

/// What to send of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Whole,
    Part(Range<u64>),
    /// 304: the client has it already.
    NotModified,
    /// 412: it is not what the client thinks it is.
    Failed,
    /// 416: the part asked for is not there.
    NotThere,
}

/// Decides about a file of this length, last changed then.
pub fn judge(request: &Request<'_>, modified: Option<SystemTime>, length: u64, now: SystemTime) -> Verdict {
    let modified = modified.map(whole_seconds);
    if !is_still_the_same(request, modified) {
        return Verdict::Failed;
    }
    if is_known(request, modified) {
        return Verdict::NotModified;
    }
    match request.only("range").and_then(|range| parse(range, length)) {
        Some(part) if request.method == "GET" && is_for_this_version(request, modified, now) => part,
        _ => Verdict::Whole,
    }
}

/// HTTP's dates have no fractions of a second.
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

fn date(request: &Request<'_>, name: &'static str) -> Option<SystemTime> {
    parse_http_date(request.only(name)?).ok()
}

/// `If-Match` and `If-Unmodified-Since`: without tags, only `*` matches.
fn is_still_the_same(request: &Request<'_>, modified: Option<SystemTime>) -> bool {
    if request.values("if-match").next().is_some() {
        return request.has("if-match", "*");
    }
    match (modified, date(request, "if-unmodified-since")) {
        (Some(modified), Some(date)) => modified <= date,
        _ => true,
    }
}

/// `If-None-Match`, which overrides `If-Modified-Since`.
fn is_known(request: &Request<'_>, modified: Option<SystemTime>) -> bool {
    if request.values("if-none-match").next().is_some() {
        return request.has("if-none-match", "*");
    }
    match (modified, date(request, "if-modified-since")) {
        (Some(modified), Some(date)) => modified <= date,
        _ => false,
    }
}

/// `If-Range`: the part is wanted only of the version the client knows. A file changed within this second may change again
/// and keep its date, so such a date proves nothing (RFC 9110, section 8.8.2.2).
fn is_for_this_version(request: &Request<'_>, modified: Option<SystemTime>, now: SystemTime) -> bool {
    if request.values("if-range").next().is_none() {
        return true;
    }
    modified.is_some_and(|modified| {
        let is_settled = now.duration_since(modified).is_ok_and(|age| age >= Duration::from_secs(1));
        is_settled && date(request, "if-range") == Some(modified)
    })
}

/// A single range of bytes, `bytes=0-99`, `bytes=100-`, `bytes=-100`. Whatever else it says, several ranges included, is
/// ignored, which a server may always do; so is a range of nothing.
fn parse(range: &str, length: u64) -> Option<Verdict> {
    let (unit, range) = range.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    if !unit.eq_ignore_ascii_case("bytes") || length == 0 {
        return None;
    }
    let range = match (first, last) {
        ("", last) => length.saturating_sub(position(last)?)..length,
        (first, "") => position(first)?..length,
        (first, last) => {
            let (first, last) = (position(first)?, position(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some(if range.start < range.end { Verdict::Part(range) } else { Verdict::NotThere })
}

/// A position in a file; one beyond what a number can hold is beyond any file.
fn position(digits: &str) -> Option<u64> {
    let are_digits = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    are_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::{MOST_FIELDS, parse as parse_head};
    use crate::http::response::http_date;
    use Verdict::{Failed, NotModified, NotThere, Part, Whole};

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// What is sent of a file of ten bytes that was changed on 1 January 2000 and is asked for ten days later.
    fn verdict(method: &str, fields: &str) -> Verdict {
        let head = format!("{method} / HTTP/1.1\r\n{fields}\r\n");
        let mut room = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let request = parse_head(head.as_bytes(), &mut room).expect("the head is well-formed");
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_800);
        judge(&request, Some(changed + Duration::from_millis(300)), 10, changed + 10 * DAY)
    }

    fn day(number: u64) -> String {
        http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_800) + DAY * (number as u32 - 1))
            .unwrap()
    }

    #[test]
    fn a_range_is_a_part() {
        for (range, expected) in [
            ("bytes=0-9", Part(0..10)),
            ("bytes=0-0", Part(0..1)),
            ("Bytes=2-4", Part(2..5)),
            ("bytes=9-", Part(9..10)),
            ("bytes=-3", Part(7..10)),
            ("bytes=-99", Part(0..10)),
            ("bytes=3-99", Part(3..10)),
            ("bytes=0-99999999999999999999999", Part(0..10)),
            ("bytes=10-", NotThere),
            ("bytes=10-12", NotThere),
            ("bytes=99999999999999999999999-", NotThere),
            ("bytes=-0", NotThere),
            ("bytes=4-2", Whole),
            ("bytes=0-1,3-4", Whole),
            ("bytes=-", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("lines=0-1", Whole),
            ("bytes", Whole),
        ] {
            assert_eq!(verdict("GET", &format!("Range: {range}\r\n")), expected, "{range}");
            assert_eq!(verdict("HEAD", &format!("Range: {range}\r\n")), Whole, "{range}");
        }
    }

    #[test]
    fn nothing_of_an_empty_file_is_all_of_it() {
        assert_eq!(parse("bytes=0-", 0), None);
        assert_eq!(parse("bytes=-5", 0), None);
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        for (fields, expected) in [
            (format!("If-Modified-Since: {}\r\n", day(1)), NotModified),
            (format!("If-Modified-Since: {}\r\n", day(2)), NotModified),
            ("If-Modified-Since: Fri, 31 Dec 1999 23:59:59 GMT\r\n".to_owned(), Whole),
            ("If-Modified-Since: yesterday\r\n".to_owned(), Whole),
            ("If-None-Match: *\r\n".to_owned(), NotModified),
            (format!("If-None-Match: \"tag\"\r\nIf-Modified-Since: {}\r\n", day(2)), Whole),
            (format!("If-Unmodified-Since: {}\r\n", day(1)), Whole),
            ("If-Unmodified-Since: Fri, 31 Dec 1999 23:59:59 GMT\r\n".to_owned(), Failed),
            ("If-Match: *\r\n".to_owned(), Whole),
            ("If-Match: \"tag\"\r\n".to_owned(), Failed),
        ] {
            assert_eq!(verdict("GET", &fields), expected, "{fields}");
            assert_eq!(verdict("HEAD", &fields), expected, "{fields}");
        }
    }

    #[test]
    fn a_part_of_another_version_is_no_use() {
        for (version, expected) in [(day(1), Part(0..5)), (day(2), Whole), ("\"tag\"".to_owned(), Whole)] {
            let fields = format!("Range: bytes=0-4\r\nIf-Range: {version}\r\n");
            assert_eq!(verdict("GET", &fields), expected, "{version}");
        }
    }
}
