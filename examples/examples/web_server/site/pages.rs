//! The pages that are no files: the time, the request as it was understood, and what went wrong.

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::time::SystemTime;

use crate::http::request::Request;
use crate::http::response::{Content, Response, http_date};
use crate::http::status::{Fault, OK, Status};

const HTML: &str = "text/html; charset=utf-8";

/// `/now`: what time it is.
pub fn now(now: SystemTime) -> Response {
    let time = http_date(now).unwrap_or_else(|| "no time that has a name".to_owned());
    let mut response = page(OK, "text/plain; charset=utf-8", format!("{time}\n"));
    response.fields.push(("Cache-Control", "no-store".to_owned()));
    response
}

/// `/show_request`: what the server understood of the request. All of it came from outside, so all of it is escaped.
pub fn show_request(request: &Request<'_>, peer: SocketAddr) -> Response {
    let mut rows = String::new();
    let version = format!("HTTP/1.{}", request.minor);
    let told = [("client", &*peer.to_string()), ("method", request.method), ("target", request.target)];
    for (name, value) in told.into_iter().chain([("version", &*version)]) {
        row(&mut rows, name, value);
    }
    for field in request.fields {
        row(&mut rows, field.name, &String::from_utf8_lossy(field.value));
    }
    let mut response = page(OK, HTML, document("Your request", &format!("<table>\n{rows}</table>")));
    response.fields.push(("Cache-Control", "no-store".to_owned()));
    response
}

fn row(rows: &mut String, name: &str, value: &str) {
    let row = format_args!("<tr><th>{}</th><td>{}</td></tr>\n", Escaped(name), Escaped(value)).to_string();
    rows.push_str(&row);
}

/// What went wrong, for people.
pub fn fault(fault: Fault) -> Response {
    page(fault.status, HTML, document(&fault.status.to_string(), &format!("<p>{}</p>", Escaped(fault.why))))
}

/// Where to go instead.
pub fn elsewhere(status: Status, location: String) -> Response {
    let link = format!("<p>It is <a href=\"{0}\">{0}</a>.</p>", Escaped(&location));
    let mut response = page(status, HTML, document(&status.to_string(), &link));
    response.fields.push(("Location", location));
    response
}

fn page(status: Status, kind: &str, text: String) -> Response {
    let fields = vec![("Content-Type", kind.to_owned())];
    Response { status, fields, content: Content::Bytes(text.into_bytes()) }
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <h1>{title}</h1>\n{body}\n</html>\n"
    )
}

/// Text that HTML shows as it is.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(Escaped("<a href='\"&").to_string(), "&lt;a href=&#39;&quot;&amp;");
    }
}
