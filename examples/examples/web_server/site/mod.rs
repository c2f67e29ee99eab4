//! What this server has to say: from a request to what is answered, with no thought for how it gets there.

pub mod conditions;
pub mod files;
pub mod pages;
pub mod target;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use self::conditions::{Verdict, judge};
use self::files::{Found, MISSING, Opened, Root};
use self::target::Target;
use crate::http::request::Request;
use crate::http::response::{Content, Response, http_date};
use crate::http::status::{
    Fault, INTERNAL_SERVER_ERROR, METHOD_NOT_ALLOWED, MOVED_PERMANENTLY, NOT_IMPLEMENTED, NOT_MODIFIED, OK,
    PARTIAL_CONTENT, PRECONDITION_FAILED, RANGE_NOT_SATISFIABLE,
};
use crate::log::Log;

/// Files up to this size are copied and leave with the head of the answer in one packet and one system call; for larger ones
/// it pays to let the kernel send them (sendfile(2)), and only they could fill the memory.
pub const COPIED: u64 = 16 * 1024;

/// The methods that exist (RFC 9110, section 9, and PATCH) and that this server does not offer.
const OTHER_METHODS: [&str; 7] = ["POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// What all conversations share.
#[derive(Debug)]
pub struct Site {
    pub root: Root,
    pub log: Log,
    /// What the time is; a test has its own.
    pub clock: fn() -> SystemTime,
}

impl Site {
    /// What a well-formed request is answered with.
    pub fn answer(&self, request: &Request<'_>, peer: SocketAddr) -> Response {
        self.try_answer(request, peer).unwrap_or_else(|fault| {
            let mut response = pages::fault(fault);
            if fault.status == METHOD_NOT_ALLOWED {
                response.fields.push(("Allow", "GET, HEAD".to_owned()));
            }
            response
        })
    }

    fn try_answer(&self, request: &Request<'_>, peer: SocketAddr) -> Result<Response, Fault> {
        check_method(request.method)?;
        let target = Target::parse(request.target)?;
        match target.path {
            "/now" => Ok(pages::now((self.clock)())),
            "/show_request" => Ok(pages::show_request(request, peer)),
            _ => self.serve(request, target),
        }
    }

    /// Answers with a file, with the `index.html` of a directory, or with the way to that directory.
    fn serve(&self, request: &Request<'_>, target: Target<'_>) -> Result<Response, Fault> {
        let mut relative = target.relative().ok_or(MISSING)?;
        let found = match (self.root.find(&relative)?, target.is_directory()) {
            (Found::Directory, false) => {
                return Ok(pages::elsewhere(MOVED_PERMANENTLY, target.with_slash()));
            }
            (Found::Directory, true) => {
                relative.push("index.html");
                self.root.find(&relative)?
            }
            (Found::File(_), true) => return Err(MISSING),
            (file, false) => file,
        };
        match found {
            Found::File(opened) => self.send(request, &relative, opened),
            Found::Directory => Err(MISSING),
        }
    }

    /// Answers with a file, or the part of it that is wanted.
    fn send(&self, request: &Request<'_>, path: &Path, opened: Opened) -> Result<Response, Fault> {
        let Opened { file, length, modified } = opened;
        let now = (self.clock)();
        let modified = modified.map(|modified| modified.min(now)); // a date in the future would be a lie
        let (status, range) = match judge(request, modified, length, now) {
            Verdict::Whole => (OK, 0..length),
            Verdict::Part(range) => (PARTIAL_CONTENT, range),
            Verdict::NotModified => {
                let fields = last_modified(modified).into_iter().collect();
                return Ok(Response { status: NOT_MODIFIED, fields, content: Content::Nothing });
            }
            Verdict::Failed => {
                return Err(Fault::new(PRECONDITION_FAILED, "The file is not what you think it is."));
            }
            Verdict::NotThere => return Ok(not_there(length)),
        };
        let mut fields = vec![("Content-Type", content_type(path)), ("Accept-Ranges", "bytes".to_owned())];
        fields.push(("X-Content-Type-Options", "nosniff".to_owned())); // the type is what we say, not what it looks like
        fields.extend(last_modified(modified));
        if status == PARTIAL_CONTENT {
            let (first, last) = (range.start, range.end - 1);
            fields.push(("Content-Range", format!("bytes {first}-{last}/{length}")));
        }
        let content = content(file, range).map_err(|_| {
            Fault::new(INTERNAL_SERVER_ERROR, "The file changed while it was being read; try again.")
        })?;
        Ok(Response { status, fields, content })
    }
}

fn check_method(method: &str) -> Result<(), Fault> {
    match method {
        "GET" | "HEAD" => Ok(()),
        other if OTHER_METHODS.contains(&other) => {
            Err(Fault::new(METHOD_NOT_ALLOWED, "Here things can only be looked at: GET and HEAD."))
        }
        _ => Err(Fault::new(NOT_IMPLEMENTED, "This server does not know this method.")),
    }
}

fn not_there(length: u64) -> Response {
    let mut response = pages::fault(Fault::new(RANGE_NOT_SATISFIABLE, "The file is not that long."));
    response.fields.push(("Content-Range", format!("bytes */{length}")));
    response
}

fn last_modified(modified: Option<SystemTime>) -> Option<(&'static str, String)> {
    modified.and_then(http_date).map(|date| ("Last-Modified", date))
}

/// What a file is, as far as its name tells. Text is UTF-8 today.
fn content_type(path: &Path) -> String {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    let is_text = guess.type_() == mime_guess::mime::TEXT && guess.get_param("charset").is_none();
    if is_text { format!("{guess}; charset=utf-8") } else { guess.to_string() }
}

fn content(file: File, range: Range<u64>) -> io::Result<Content> {
    if range.end - range.start > COPIED {
        return Ok(Content::File(Arc::new(file), range));
    }
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(Content::Bytes(bytes))
}
