//! A web server with something to serve, and a client that reads answers.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Deref;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use zen_tests::{Client, Server, TemporaryPath, example_command};

/// Bytes of `big.bin`.
pub const BIG: usize = 20_000_000;

/// Writes one test per model, and per backend of the reactor, with `model` bound to the arguments that choose it.
#[macro_export]
macro_rules! on_every_model {
    ($($(#[$attribute:meta])* fn $name:ident($model:ident) $body:block)*) => {$(
        mod $name {
            use super::*;
            $(#[$attribute])*
            fn on($model: &[&str]) $body
            #[test]
            fn reactor_select() {
                on(&["--model", "reactor", "--backend", "select"]);
            }
            #[test]
            fn reactor_poll() {
                on(&["--model", "reactor", "--backend", "poll"]);
            }
            #[test]
            fn reactor_epoll() {
                on(&["--model", "reactor", "--backend", "epoll"]);
            }
            #[test]
            fn threads() {
                on(&["--model", "threads", "--max-connections", "50"]);
            }
            #[test]
            fn pool() {
                on(&["--model", "pool", "--workers", "8", "--queue", "8"]);
            }
        }
    )*};
}

/// A directory that is removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// `root/`, and beside it a file that is no business of anybody's.
    fn new() -> Folder {
        let folder = Folder(TemporaryPath::new().as_ref().to_owned());
        let root = folder.root();
        fs::create_dir_all(root.join("sub")).expect("a directory can be made");
        for (path, text) in [
            ("root/index.html", "<p>index"),
            ("root/hello.txt", "0123456789"),
            ("root/sub/index.html", "<p>sub"),
            ("secret.txt", "secret"),
        ] {
            fs::write(folder.0.join(path), text).expect("a file can be written");
        }
        symlink("hello.txt", root.join("inside.txt")).expect("a link can be made");
        symlink("../secret.txt", root.join("outside.txt")).expect("a link can be made");
        symlink("..", root.join("up")).expect("a link can be made");
        folder
    }

    pub fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running server, and what it serves.
pub struct Web {
    pub folder: Folder,
    pub server: Server,
}

impl Deref for Web {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Web {
    /// Starts it at a free port.
    #[track_caller]
    pub fn start(model: &[&str], arguments: &[&str]) -> Web {
        let folder = Folder::new();
        let mut command = example_command("web_server", &["-p", "0"]);
        command.args(model).args(arguments).arg(folder.root());
        Web { server: Server::from_command(command, 1), folder }
    }

    /// The same with a large file.
    #[track_caller]
    pub fn with_big_file(model: &[&str], arguments: &[&str]) -> Web {
        let web = Web::start(model, arguments);
        let bytes: Vec<u8> = (0..BIG).map(big_byte).collect();
        fs::write(web.folder.root().join("big.bin"), bytes).expect("a file can be written");
        web
    }

    /// The address of something there.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }
}

/// What stands at a place of `big.bin`: no two neighbourhoods are alike.
pub fn big_byte(at: usize) -> u8 {
    ((at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u8
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    /// By name in lower case.
    pub fields: HashMap<String, String>,
    pub content: String,
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

/// Reads the head of an answer and nothing more.
#[track_caller]
pub fn read_head(client: &mut Client<TcpStream>) -> Answer {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        let read = client.0.read_exact(&mut byte);
        read.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&head)));
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("a head is ASCII");
    let mut lines = head.lines();
    let code = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let fields = lines.filter_map(|line| line.split_once(": "));
    let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Answer { code: code.expect("there is a status line"), fields, content: String::new() }
}

/// Reads an answer with its content.
#[track_caller]
pub fn read_answer(client: &mut Client<TcpStream>) -> Answer {
    let mut answer = read_head(client);
    let length = answer.fields.get("content-length").map_or(0, |length| length.parse().expect("a number"));
    let mut content = vec![0; length];
    client.0.read_exact(&mut content).expect("the content follows");
    answer.content = String::from_utf8(content).expect("the content is text");
    answer
}

/// Asks, and reads the answer.
#[track_caller]
pub fn ask(client: &mut Client<TcpStream>, request: &str) -> Answer {
    client.0.write_all(request.as_bytes()).expect("the connection stands");
    read_answer(client)
}

/// Asks for the big file and reads the head only: the rest stays where it is.
#[track_caller]
pub fn ask_for_much(web: &Web) -> Client<TcpStream> {
    let mut client = web.connect();
    client.send(&get("/big.bin"));
    let answer = read_head(&mut client);
    assert_eq!((answer.code, &*answer.fields["content-length"]), (200, &*BIG.to_string()));
    client
}

/// Reads the big file, in pieces of at most this size, and compares it.
#[track_caller]
pub fn read_much(client: &mut Client<TcpStream>, piece: usize) {
    let (mut buffer, mut at) = (vec![0; piece], 0);
    while at < BIG {
        let most = piece.min(BIG - at);
        let read = client.0.read(&mut buffer[..most]).expect("the connection stands");
        assert_ne!(read, 0, "the file ended at {at}");
        let wrong = (0..read).find(|&offset| buffer[offset] != big_byte(at + offset));
        assert_eq!(wrong, None, "behind {at}");
        at += read;
    }
}
