//! Whole conversations, in memory: what a client sends, byte by byte or all at once, and what it hears.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use reactor::event_loop::{CloseReason, InMemory, Limits, Watermarks};

use crate::conversation::Conversation;
use crate::log::Log;
use crate::pace::{GRACE, RATE};
use crate::site::Site;
use crate::site::files::Root;

/// A document root that is removed when dropped.
struct Folder(PathBuf);

impl Folder {
    /// `index.html`, `hello.txt`, `sub/index.html`, `empty/`, and what must not be served.
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("zen-web-{}-{number}", std::process::id()));
        let root = folder.join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::create_dir_all(root.join("empty")).unwrap();
        fs::create_dir_all(folder.join("root-beside")).unwrap();
        for (path, text) in [
            ("root/index.html", "<p>index"),
            ("root/hello.txt", "0123456789"),
            ("root/a b%.txt", "blank"),
            ("root/none.unknown", ""),
            ("root/sub/index.html", "<p>sub"),
            ("secret.txt", "secret"),
            ("root-beside/secret.txt", "secret"),
        ] {
            fs::write(folder.join(path), text).unwrap();
        }
        symlink("hello.txt", root.join("inside.txt")).unwrap();
        symlink("../secret.txt", root.join("outside.txt")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("../root-beside", root.join("beside")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("../../secret.txt", root.join("empty/index.html")).unwrap();
        Folder(folder)
    }

    fn client(&self) -> InMemory<Conversation> {
        self.client_with(Watermarks::default())
    }

    fn client_with(&self, marks: Watermarks) -> InMemory<Conversation> {
        let root = Root::open(&self.0.join("root")).unwrap();
        // Later than the files, so that their dates are what they are.
        let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
        let site = Arc::new(Site { root, log: Log::Nowhere, clock });
        let conversation = Conversation::new(site, ([192, 0, 2, 1], 5000).into());
        InMemory::with(conversation, Limits::default(), marks)
    }

    /// What a client hears that sends `input` and nothing more.
    fn ask(&self, input: &str) -> String {
        let mut client = self.client();
        client.input(input.as_bytes());
        heard(&mut client)
    }

    /// What a client hears that asks for this, and closes.
    fn get(&self, target: &str) -> String {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn heard(client: &mut InMemory<Conversation>) -> String {
    String::from_utf8(client.take_output()).unwrap()
}

/// The codes of the answers, in order.
fn codes(heard: &str) -> Vec<u16> {
    let answers = heard.split("HTTP/1.1 ").skip(1);
    answers.filter_map(|answer| answer[..3].parse().ok()).collect()
}

fn content(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("there is an empty line").1
}

fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split_once("\r\n\r\n").expect("there is an empty line").0;
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[test]
fn files_are_served_with_their_type_and_length() {
    let folder = Folder::new();
    for (target, kind, text) in [
        ("/", "text/html; charset=utf-8", "<p>index"),
        ("/index.html", "text/html; charset=utf-8", "<p>index"),
        ("/hello.txt", "text/plain; charset=utf-8", "0123456789"),
        ("/hello.txt?query", "text/plain; charset=utf-8", "0123456789"),
        ("http://x/hello.txt", "text/plain; charset=utf-8", "0123456789"),
        ("/a%20b%25.txt", "text/plain; charset=utf-8", "blank"),
        ("/none.unknown", "application/octet-stream", ""),
        ("/sub/", "text/html; charset=utf-8", "<p>sub"),
        ("/inside.txt", "text/plain; charset=utf-8", "0123456789"),
    ] {
        let answer = folder.get(target);
        assert_eq!(codes(&answer), [200], "{target}: {answer}");
        assert_eq!(field(&answer, "Content-Type"), Some(kind), "{target}");
        assert_eq!(field(&answer, "Content-Length"), Some(&*text.len().to_string()), "{target}");
        assert_eq!(field(&answer, "Date"), Some("Tue, 02 Oct 2096 07:06:40 GMT"));
        assert!(field(&answer, "Last-Modified").is_some(), "{target}");
        assert_eq!(content(&answer), text, "{target}");
    }
}

#[test]
fn what_is_not_below_the_root_is_not_there() {
    let folder = Folder::new();
    for target in [
        "/missing",
        "/..",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/..%5csecret.txt",
        "/sub/../../secret.txt",
        "/hello.txt%00",
        "/hello.txt%00.html",
        "/outside.txt",
        "/up/secret.txt",
        "/up/",
        "/beside/secret.txt",
        "/beside",
        "/loop",
        "/empty/",
        "/hello.txt/",
        "/hello.txt/x",
        "//../secret.txt",
        &format!("/{}", "x".repeat(300)),
    ] {
        let answer = folder.get(target);
        assert_eq!(codes(&answer), [404], "{target}: {answer}");
        assert!(!answer.contains("secret"), "{target}: {answer}");
    }
}

#[test]
fn a_directory_is_found_under_its_name_with_a_slash() {
    let folder = Folder::new();
    for (target, location) in [("/sub", "./sub/"), ("//sub", "./sub/"), ("/sub?q", "./sub/?q")] {
        let answer = folder.get(target);
        assert_eq!((codes(&answer), field(&answer, "Location")), (vec![301], Some(location)));
    }
}

#[test]
fn a_head_is_answered_like_a_get_without_the_content() {
    let folder = Folder::new();
    for target in ["/", "/missing", "/sub", "/now", "/hello.txt"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        let get = folder.ask(&request);
        let head = folder.ask(&request.replace("GET", "HEAD"));
        assert_eq!(head, get.strip_suffix(content(&get)).unwrap(), "{target}");
        assert!(!content(&get).is_empty());
    }
}

#[test]
fn every_mistake_has_its_code() {
    let folder = Folder::new();
    let long = "x".repeat(9000);
    for (request, code, keep) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, false),
        ("GET /% HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400, true),
        ("GET * HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400, true),
        ("GET / HTTP/1.1\nHost: x\n\n".to_owned(), 400, false),
        ("\r\n\r\n".to_owned(), 400, false),
        ("POST / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 405, true),
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 405, true),
        ("BREW / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 501, true),
        ("get / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 501, true),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n".to_owned(), 505, false),
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), 414, false),
        (format!("GET /{long}"), 414, false),
        (format!("GET / HTTP/1.1\r\nA: {long}\r\nB: {long}\r\n\r\n"), 431, false),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n".to_owned(), 413, false),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            400,
            false,
        ),
        ("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n".to_owned(), 400, false),
        ("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_owned(), 501, false),
        ("GET / HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\n\r\n".to_owned(), 417, false),
        ("GET / HTTP/1.1\r\nHost: x\r\nIf-Match: \"x\"\r\n\r\n".to_owned(), 412, true),
        ("GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=8-\r\n\r\n".to_owned(), 416, true),
    ] {
        let told = request.get(..40).unwrap_or(&request).to_owned();
        let mut client = folder.client();
        client.input(request.as_bytes());
        let answer = heard(&mut client);
        assert_eq!(codes(&answer), [code], "{told:?}: {answer}");
        assert_eq!(client.closed().is_none(), keep, "{told:?}");
        assert_eq!(field(&answer, "Connection"), (!keep).then_some("close"), "{told:?}");
        assert_eq!(field(&answer, "Allow"), (code == 405).then_some("GET, HEAD"), "{told:?}");
        assert_eq!(client.unconsumed(), 0, "{told:?}");
    }
}

#[test]
fn nothing_is_answered_after_a_mistake() {
    let folder = Folder::new();
    let smuggled = "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n\
                    GET /now HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(codes(&folder.ask(smuggled)), [400]);
}

#[test]
fn a_connection_goes_on_as_the_client_wishes() {
    let folder = Folder::new();
    for (version, fields, keep, connection) in [
        ("1.1", "", true, None),
        ("1.1", "Connection: close\r\n", false, Some("close")),
        ("1.1", "Connection: x, Close\r\n", false, Some("close")),
        ("1.1", "Connection: keep-alive\r\n", true, None),
        ("1.0", "", false, Some("close")),
        ("1.0", "Connection: Keep-Alive\r\n", true, Some("keep-alive")),
        ("1.0", "Connection: keep-alive, close\r\n", false, Some("close")),
    ] {
        let mut client = folder.client();
        client.input(format!("GET /hello.txt HTTP/{version}\r\nHost: x\r\n{fields}\r\n").as_bytes());
        let answer = heard(&mut client);
        assert_eq!(codes(&answer), [200]);
        assert_eq!(field(&answer, "Connection"), connection, "{version} {fields}");
        assert_eq!(client.closed().is_none(), keep, "{version} {fields}");
    }
}

#[test]
fn a_client_that_finishes_sending_hears_its_answers() {
    let folder = Folder::new();
    let mut client = folder.client();
    client.set_window(0);
    client.input(b"GET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    client.end();
    assert!(client.closed().is_none());
    client.set_window(usize::MAX);
    assert_eq!(content(&heard(&mut client)), "0123456789");
    assert!(matches!(client.closed(), Some(CloseReason::Finished)));
}

#[test]
fn a_body_is_skipped_and_the_next_request_is_behind_it() {
    let folder = Folder::new();
    for (fields, body) in [
        ("Content-Length: 5\r\n", "GET /"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nGET /\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "1;x=y\r\n \r\n000\r\nTrailer: x\r\n\r\n"),
    ] {
        let input = format!(
            "GET /hello.txt HTTP/1.1\r\nHost: x\r\n{fields}\r\n{body}POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n{body}\
             GET /missing HTTP/1.1\r\nHost: x\r\n\r\n"
        );
        assert_eq!(codes(&folder.ask(&input)), [200, 405, 404], "{body:?}");
    }
}

#[test]
fn an_answer_waits_for_the_end_of_the_body() {
    let folder = Folder::new();
    let mut client = folder.client();
    client.input(b"GET /hello.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcd");
    assert_eq!(heard(&mut client), "");
    client.end();
    assert_eq!(codes(&heard(&mut client)), [400], "it never came whole");
    assert!(client.closed().is_some());
}

#[test]
fn whoever_asks_whether_to_send_the_body_is_told() {
    let folder = Folder::new();
    let fields = "Host: x\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n";
    let mut client = folder.client();
    client.input(format!("GET /hello.txt HTTP/1.1\r\n{fields}").as_bytes());
    assert_eq!(heard(&mut client), "HTTP/1.1 100 Continue\r\n\r\n");
    client.input(b"hi");
    assert_eq!(content(&heard(&mut client)), "0123456789");

    let mut client = folder.client();
    client.input(format!("POST /hello.txt HTTP/1.1\r\n{fields}").as_bytes());
    assert_eq!(codes(&heard(&mut client)), [405], "a refusal, at once");
    assert!(client.closed().is_some(), "is the body coming or not?");

    let mut client = folder.client();
    client.input(format!("GET /hello.txt HTTP/1.0\r\n{fields}hi").as_bytes());
    assert_eq!(codes(&heard(&mut client)), [200], "HTTP/1.0 knows of no such thing");
}

#[test]
fn a_part_of_a_file_is_a_part() {
    let folder = Folder::new();
    for (range, part, content_range) in
        [("2-4", "234", "bytes 2-4/10"), ("-1", "9", "bytes 9-9/10"), ("7-", "789", "bytes 7-9/10")]
    {
        let request = format!("GET /hello.txt HTTP/1.1\r\nHost: x\r\nRange: bytes={range}\r\n\r\n");
        let answer = folder.ask(&request);
        assert_eq!((codes(&answer), content(&answer)), (vec![206], part));
        assert_eq!(field(&answer, "Content-Range"), Some(content_range));
        assert_eq!(field(&answer, "Content-Length"), Some(&*part.len().to_string()));
    }
    let answer = folder.ask("GET /hello.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=10-\r\n\r\n");
    assert_eq!((codes(&answer), field(&answer, "Content-Range")), (vec![416], Some("bytes */10")));
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    let folder = Folder::new();
    let date = field(&folder.get("/hello.txt"), "Last-Modified").unwrap().to_owned();
    let answer =
        folder.ask(&format!("GET /hello.txt HTTP/1.1\r\nHost: x\r\nIf-Modified-Since: {date}\r\n\r\n"));
    assert_eq!((codes(&answer), content(&answer)), (vec![304], ""));
    assert_eq!(field(&answer, "Last-Modified"), Some(&*date));
    assert_eq!(field(&answer, "Content-Length"), None);
}

#[test]
fn the_time_and_the_request_are_shown() {
    let folder = Folder::new();
    assert_eq!(content(&folder.get("/now")), "Tue, 02 Oct 2096 07:06:40 GMT\n");
    let answer = folder.ask("GET /show_request?<b> HTTP/1.1\r\nHost: x\r\nX-Evil: <script>&\"'\r\n\r\n");
    assert!(!answer.contains("<script>") && !answer.contains("<b>"), "{answer}");
    for shown in ["192.0.2.1:5000", "/show_request?&lt;b&gt;", "X-Evil", "&lt;script&gt;&amp;&quot;&#39;"] {
        assert!(answer.contains(shown), "{shown} is not in {answer}");
    }
}

/// Several requests of every kind, and the codes they are answered with.
const CONVERSATION: &str = "GET /hello.txt HTTP/1.1\r\nHost: x\r\n\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\n\
    GET /missing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\nT: x\r\n\r\n\
    POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nGET / H\
    GET /hello.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=1-2\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n!\
    GET /sub HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n";

#[test]
fn it_does_not_matter_where_the_input_is_cut() {
    let folder = Folder::new();
    let whole = folder.ask(CONVERSATION);
    assert_eq!(codes(&whole), [200, 200, 404, 405, 100, 206, 301, 400]);
    for cut in 0..CONVERSATION.len() {
        let mut client = folder.client();
        client.input(&CONVERSATION.as_bytes()[..cut]);
        client.input(&CONVERSATION.as_bytes()[cut..]);
        assert_eq!(heard(&mut client), whole, "cut at {cut}");
    }
    let mut client = folder.client();
    CONVERSATION.as_bytes().chunks(1).for_each(|byte| client.input(byte));
    assert_eq!(heard(&mut client), whole, "byte by byte");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn it_does_not_matter_how_it_is_cut_or_how_much_room_there_is(
        cuts in prop::collection::vec(1_usize..60, 1..40),
        high in 1_usize..2000,
        window in 1_usize..500,
    ) {
        let folder = Folder::new();
        let whole = folder.ask(CONVERSATION);
        let mut client = folder.client_with(Watermarks { high, low: high - 1 });
        let mut rest = CONVERSATION.as_bytes();
        for cut in cuts.iter().cycle() {
            let (piece, behind) = rest.split_at((*cut).min(rest.len()));
            client.set_window(window);
            client.input(piece);
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        client.set_window(usize::MAX);
        prop_assert_eq!(heard(&mut client), whole);
    }

    #[test]
    fn no_input_is_a_panic_or_unbounded(input in prop::collection::vec(any::<u8>(), 0..3000), cut in 1_usize..100) {
        let folder = Folder::new();
        let mut client = folder.client();
        for piece in input.chunks(cut) {
            client.input(piece);
        }
        client.end();
        prop_assert!(client.closed().is_some());
    }
}

#[test]
fn who_does_not_read_is_not_answered_further() {
    let folder = Folder::new();
    let mut client = folder.client();
    client.set_window(0);
    let request = "GET /missing HTTP/1.1\r\nHost: x\r\n\r\n";
    client.input(request.repeat(2000).as_bytes());
    assert!(client.unsent() < 66 * 1024, "{}", client.unsent());
    assert!(client.unconsumed() > 0);
    client.set_window(usize::MAX);
    assert_eq!(codes(&heard(&mut client)).len(), 2000);
}

/// Asks for more than fits, so that the client is being waited for.
fn stuffed(folder: &Folder) -> InMemory<Conversation> {
    let mut client = folder.client();
    client.set_window(0);
    client.input("GET /missing HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2000).as_bytes());
    client
}

#[test]
fn patience_with_a_reader_ends() {
    let folder = Folder::new();
    let mut client = stuffed(&folder);
    for _ in 0..GRACE.as_secs() {
        assert!(client.closed().is_none());
        client.set_window(10);
        client.advance(Duration::from_secs(1));
    }
    client.advance(Duration::from_secs(10));
    assert!(matches!(client.closed(), Some(CloseReason::Aborted)));
}

#[test]
fn a_slow_but_steady_reader_is_served() {
    let folder = Folder::new();
    let mut client = stuffed(&folder);
    let mut received = String::new();
    while client.unconsumed() > 0 {
        client.set_window(2 * RATE as usize);
        client.advance(Duration::from_secs(1));
        assert!(client.closed().is_none());
        received += &heard(&mut client);
    }
    client.set_window(usize::MAX);
    received += &heard(&mut client);
    assert_eq!(codes(&received).len(), 2000);
}

#[test]
fn patience_with_a_writer_ends() {
    let folder = Folder::new();
    let mut client = folder.client();
    client.input(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut seconds = 0;
    while client.closed().is_none() {
        client.input(b"1\r\nx\r\n");
        client.advance(Duration::from_secs(1));
        seconds += 1;
        assert!(seconds < 2 * GRACE.as_secs());
    }
    assert!(seconds >= GRACE.as_secs());
}

#[test]
fn a_client_that_takes_its_answers_is_never_too_slow() {
    let folder = Folder::new();
    let mut client = stuffed(&folder);
    client.set_window(usize::MAX);
    for _ in 0..10 {
        client.advance(GRACE);
        client.input(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(client.closed().is_none());
    }
    assert_eq!(codes(&heard(&mut client)).len(), 2010);
}
