//! From the target of a request to the names of directories and files.
//!
//! What is asked for may be written in several ways, and an attacker tries them all: `/../../etc/passwd`, `/%2e%2e/`,
//! `/..%2f`, `/..\`, a NUL that ends the name for the kernel but not for the check. So it is cut at the slashes first and
//! decoded afterwards, once, and a name that then holds a slash, a backslash or NUL, or is `.` or `..`, names nothing.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::http::request::is_host;
use crate::http::status::Fault;

/// The target of a request, cut in two.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// As the client wrote it; it begins with a slash.
    pub path: &'a str,
    pub query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Takes both forms a server must understand (RFC 9112, section 3.2): `/path?query`, and the whole address, as it is
    /// sent to a proxy.
    pub fn parse(target: &'a str) -> Result<Target<'a>, Fault> {
        let rest = match scheme_removed(target) {
            Some(rest) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                if !is_host(&rest.as_bytes()[..end]) {
                    return Err(Fault::bad("The target of the request does not name a host."));
                }
                &rest[end..]
            }
            None => target,
        };
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let path = if path.is_empty() && rest.len() < target.len() { "/" } else { path };
        if !path.starts_with('/') || target.contains('#') {
            return Err(Fault::bad("The target of the request is neither a path nor an address."));
        }
        if !is_well_encoded(path) {
            return Err(Fault::bad(
                "A percent sign in the target is not followed by two hexadecimal digits.",
            ));
        }
        Ok(Target { path, query })
    }

    /// The path below the root; `None` if it names nothing that could be there.
    pub fn relative(&self) -> Option<PathBuf> {
        let names = self.path.split('/').filter(|name| !name.is_empty());
        names.map(decode).collect()
    }

    /// Whether the client means a directory.
    pub fn is_directory(&self) -> bool {
        self.path.ends_with('/')
    }

    /// The same with a slash behind it, relative to itself. That it begins with `./` keeps a browser from taking the name
    /// for another host (`//evil.example` plus a slash) or for a scheme (`javascript:`).
    pub fn with_slash(&self) -> String {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        let query = self.query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("./{name}/{query}")
    }
}

fn scheme_removed(target: &str) -> Option<&str> {
    ["http://", "https://"].into_iter().find_map(|scheme| {
        let (head, rest) = target.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

fn is_well_encoded(path: &str) -> bool {
    path.split('%')
        .skip(1)
        .all(|behind| behind.len() >= 2 && behind.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit))
}

fn decode(name: &str) -> Option<OsString> {
    let name: Vec<u8> = percent_decode_str(name).collect();
    let is_plain = !name.iter().any(|byte| b"/\\\0".contains(byte)) && name != b"." && name != b"..";
    is_plain.then(|| OsString::from_vec(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relative(target: &str) -> Option<PathBuf> {
        Target::parse(target).expect(target).relative()
    }

    #[test]
    fn both_forms_name_the_same() {
        for target in
            ["/a%20b/c?d", "http://x/a%20b/c?d", "HTTP://x:80/a%20b/c?d", "//a%20b//c?d", "/a%20b/%63?d"]
        {
            assert_eq!(relative(target), Some(PathBuf::from("a b/c")), "{target}");
            assert_eq!(Target::parse(target).unwrap().query, Some("d"));
        }
        for target in ["/", "http://x", "http://x/", "http://x?y", "//"] {
            assert_eq!(relative(target), Some(PathBuf::new()), "{target}");
        }
    }

    #[test]
    fn what_leads_upwards_names_nothing() {
        for target in [
            "/..",
            "/../etc/passwd",
            "/a/../b",
            "/%2e%2e/x",
            "/%2E./x",
            "/.%2e/x",
            "/..%2fx",
            "/a%2fb",
            "/a%2Fb",
            "/..%5cx",
            "/..\\x",
            "/a\\..\\b",
            "/a%00",
            "/a%00.html",
            "/.",
            "/a/./b",
            "http://x/../y",
        ] {
            assert_eq!(relative(target), None, "{target}");
        }
    }

    #[test]
    fn decoded_once_is_decoded() {
        assert_eq!(relative("/%252e%252e/x"), Some(PathBuf::from("%2e%2e/x")));
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for target in
            ["*", "x", "x:80", "http://", "http:///x", "http://u@x/", "ftp://x/", "/%", "/%x0", "/a%2", "/#"]
        {
            assert_eq!(Target::parse(target).expect_err(target).status.code, 400, "{target}");
        }
    }

    #[test]
    fn the_slash_is_added_relative_to_the_path() {
        for (target, location) in [
            ("/a/b", "./b/"),
            ("/b?c=d", "./b/?c=d"),
            ("//evil.example", "./evil.example/"),
            ("/a:b", "./a:b/"),
        ] {
            assert_eq!(Target::parse(target).unwrap().with_slash(), location);
        }
    }
}
