//! The clients people use: curl, wrk and ab, where they are installed.

use std::fs;
use std::process::Command;

use zen_tests::{finish, is_installed};

use crate::on_every_model;
use crate::support::{Web, big_byte};

/// Runs curl; what it printed.
#[track_caller]
fn curl(arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60"]).args(arguments);
    let ran = finish(command);
    assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
    ran.stdout
}

on_every_model! {
    fn curl_is_satisfied(model) {
        if !is_installed("curl") {
            return;
        }
        let web = Web::with_big_file(model, &["-q"]);
        let hello = web.url("/hello.txt");
        assert_eq!(curl(&[&hello]), "0123456789");
        assert_eq!(curl(&["--http1.0", &hello]), "0123456789");
        assert_eq!(curl(&["--range", "2-4", &hello]), "234");
        assert!(curl(&["--head", &hello]).contains("Content-Length: 10\r\n"));
        assert_eq!(curl(&["--location", &web.url("/sub")]), "<p>sub");
        assert_eq!(curl(&["--path-as-is", "--write-out", "%{http_code}", "--output", "/dev/null", &web.url("/../secret.txt")]), "404");
        let twice = ["--write-out", " %{num_connects}\n", &hello, &hello];
        assert_eq!(curl(&twice), "0123456789 1\n0123456789 0\n", "the connection is used again");
        let big = web.folder.path("fetched");
        curl(&["--output", big.to_str().unwrap(), &web.url("/big.bin")]);
        let fetched = fs::read(big).unwrap();
        assert!(fetched.into_iter().enumerate().all(|(at, byte)| byte == big_byte(at)));
    }

    fn curl_may_send_bodies(model) {
        if !is_installed("curl") {
            return;
        }
        let web = Web::with_big_file(model, &["-q"]);
        let code = ["--write-out", "%{http_code}", "--output", "/dev/null"];
        let hello = web.url("/hello.txt");
        for (options, expected) in [
            (&["--data", "x=y"][..], "405"),
            (&["--request", "GET", "--data", "x=y"], "200"),
            (&["--request", "GET", "--data", "x=y", "--header", "Expect: 100-continue"], "200"),
            (&["--request", "GET", "--data", "x=y", "--header", "Transfer-Encoding: chunked"], "200"),
            (&["--data", "x=y", "--header", "Expect: 100-continue"], "405"),
            (&["--request", "BREW"], "501"),
            (&["--header", "Host:"], "400"),
        ] {
            assert_eq!(curl(&[&code[..], options, &[&hello]].concat()), expected, "{options:?}");
        }
    }

    fn wrk_is_satisfied(model) {
        if !is_installed("wrk") {
            return;
        }
        let web = Web::start(model, &["-q"]);
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "1", "--connections", "8", "--duration", "1s", &web.url("/hello.txt")]);
        let ran = finish(wrk);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.stdout.contains("Requests/sec"), "{}", ran.stdout);
        assert!(!ran.stdout.contains("Socket errors") && !ran.stdout.contains("Non-2xx"), "{}", ran.stdout);
    }

    fn ab_is_satisfied(model) {
        if !is_installed("ab") {
            return;
        }
        let web = Web::start(model, &["-q"]);
        for keep_alive in [&["-k"][..], &[]] {
            let mut ab = Command::new("ab");
            ab.args(["-q", "-n", "2000", "-c", "8"]).args(keep_alive).arg(web.url("/hello.txt"));
            let ran = finish(ab);
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            let line = |name: &str| {
                let line = ran.stdout.lines().find_map(|line| line.strip_prefix(name));
                line.map(|value| value.trim().to_owned()).unwrap_or_default()
            };
            assert_eq!(line("Complete requests:"), "2000");
            assert_eq!(line("Failed requests:"), "0");
            assert_eq!(line("Non-2xx responses:"), "");
            assert_eq!(line("Keep-Alive requests:"), if keep_alive.is_empty() { "" } else { "2000" });
        }
    }
}
