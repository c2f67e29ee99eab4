//! The chat: `chat_server` in both models and on every backend, and `chat_client`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use zen_tests::{
    PATIENCE, Process, Server, TemporaryPath, example, example_command, finish, is_installed,
    on_every_backend, raise_descriptor_limit, wait_until,
};

/// Writes one test per way to wait for many members.
macro_rules! in_every_model {
    ($($(#[$attribute:meta])* fn $name:ident($arguments:ident) $body:block)*) => {$(
        mod $name {
            use super::*;
            $(#[$attribute])*
            fn with($arguments: &[&str]) $body
            #[test]
            fn select() {
                with(&["--backend", "select"]);
            }
            #[test]
            fn poll() {
                with(&["--backend", "poll"]);
            }
            #[test]
            fn epoll() {
                with(&["--backend", "epoll"]);
            }
            #[test]
            fn threads() {
                with(&["--model", "threads"]);
            }
        }
    )*};
}

fn chat(arguments: &[&str]) -> Server {
    Server::example("chat_server", arguments)
}

/// A member made of a plain socket.
struct Member {
    stream: BufReader<TcpStream>,
    name: SocketAddr,
}

impl Member {
    /// Connects; who is to hear a message must have joined before it is said.
    #[track_caller]
    fn connect(server: &Server) -> Member {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let name = stream.local_addr().unwrap();
        Member { stream: BufReader::with_capacity(1024, stream), name }
    }

    /// Connects and waits until the server knows.
    #[track_caller]
    fn join(server: &Server) -> Member {
        let member = Member::connect(server);
        server.wait_for_log(&format!("{} joined", member.name), 1);
        member
    }

    #[track_caller]
    fn send(&self, bytes: &[u8]) {
        self.stream.get_ref().write_all(bytes).unwrap();
    }

    #[track_caller]
    fn say(&self, text: &str) {
        self.send(format!("{text}\0").as_bytes());
    }

    /// The next message, without its NUL; empty at the end.
    #[track_caller]
    fn hear(&mut self) -> String {
        let mut message = Vec::new();
        self.stream.read_until(0, &mut message).unwrap();
        if message.last() == Some(&0) {
            message.pop();
        }
        String::from_utf8(message).unwrap()
    }

    #[track_caller]
    fn finish(&self) {
        self.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    /// What others hear when it says this.
    fn said(&self, text: &str) -> String {
        format!("{}: {text}", self.name)
    }
}

in_every_model! {
    fn what_one_says_is_heard_by_all_the_sender_included(arguments) {
        let server = chat(arguments);
        let mut members: Vec<Member> = (0..3).map(|_| Member::join(&server)).collect();
        for speaker in 0..3 {
            for text in ["hello", "", "grüß dich, 世界\nzweite Zeile"] {
                members[speaker].say(text);
                let said = members[speaker].said(text);
                members.iter_mut().for_each(|member| assert_eq!(member.hear(), said));
            }
        }
    }

    fn a_message_ends_with_nul_however_it_arrives(arguments) {
        let server = chat(arguments);
        let mut member = Member::join(&server);
        for (pieces, messages) in [
            (&["one\0two\0three\0"][..], &["one", "two", "three"][..]),
            (&["ha", "lf\0 and", " half\0"], &["half", " and half"]),
        ] {
            pieces.iter().for_each(|piece| member.send(piece.as_bytes()));
            for text in messages {
                assert_eq!(member.hear(), member.said(text));
            }
        }
        let long = "x".repeat(64 * 1024);
        member.say(&long);
        assert_eq!(member.hear(), member.said(&long));
    }

    fn who_finishes_hears_its_own_last_words(arguments) {
        let server = chat(arguments);
        let (mut leaving, mut staying) = (Member::join(&server), Member::join(&server));
        leaving.say("one");
        leaving.say("goodbye");
        leaving.finish();
        for member in [&mut staying, &mut leaving] {
            assert!(member.hear().ends_with(": one"));
            assert!(member.hear().ends_with(": goodbye"));
        }
        assert_eq!(leaving.hear(), "");
        server.wait_for_log(&format!("{} left: finished", leaving.name), 1);
        staying.say("alone");
        assert_eq!(staying.hear(), staying.said("alone"));
    }

    fn half_a_message_is_told_in_the_log_and_to_nobody(arguments) {
        let server = chat(arguments);
        let member = Member::join(&server);
        member.send(b"whole\0half");
        member.finish();
        server.wait_for_log("left: the peer sent 4 bytes of a request but then closed", 1);
    }

    fn who_sends_no_text_is_thrown_out_and_nobody_else(arguments) {
        let server = chat(arguments);
        let (mut guilty, mut other) = (Member::join(&server), Member::join(&server));
        guilty.send(b"good\0\xff\xfe\0more\0");
        assert_eq!(guilty.hear(), guilty.said("good"));
        assert_eq!(guilty.hear(), "");
        drop(guilty.stream);
        server.wait_for_log(&format!("{} was thrown out: its message is not UTF-8", guilty.name), 1);
        assert!(other.hear().ends_with(": good"));
        other.say("here");
        assert_eq!(other.hear(), other.said("here"));
    }

    fn a_message_without_end_is_given_up(arguments) {
        let server = chat(arguments);
        let mut member = Member::join(&server);
        member.send(&[b'x'; 64 * 1024 + 1]);
        assert_eq!(member.hear(), "");
        drop(member.stream);
        server.wait_for_log("was thrown out: its message is too long", 1);
    }

    fn a_reset_does_not_touch_the_others(arguments) {
        let server = chat(arguments);
        let (leaving, mut staying) = (Member::join(&server), Member::join(&server));
        leaving.say("x");
        leaving.stream.get_ref().peek(&mut [0]).unwrap();
        let name = leaving.name;
        drop(leaving); // with unread input: RST
        server.wait_for_log(&format!("{name} left"), 1);
        assert!(staying.hear().ends_with(": x"));
        staying.say("y");
        assert_eq!(staying.hear(), staying.said("y"));
    }

    fn who_does_not_read_is_thrown_out_and_keeps_nobody_waiting(arguments) {
        let server = chat(arguments);
        let (mut talker, mut listener, slow) = (Member::join(&server), Member::join(&server), Member::join(&server));
        let text = "x".repeat(32 * 1024);
        let reason = format!("{} was thrown out: it reads too slowly", slow.name);
        wait_until("the slow one is thrown out", || {
            talker.say(&text);
            assert_eq!(talker.hear().len(), listener.hear().len());
            server.log().contains(&reason)
        });
        talker.say("done");
        assert_eq!(talker.hear(), talker.said("done"));
        assert_eq!(server.log().matches("thrown out").count(), 1, "{}", server.log());
    }

    fn who_says_much_and_reads_nothing_is_held_back(arguments) {
        let server = chat(arguments);
        let mut member = Member::join(&server);
        // 4 MiB of two-byte messages are 44 MiB of messages to hear.
        let stream = member.stream.get_ref().try_clone().unwrap();
        let writer = thread::spawn(move || (&stream).write_all(&b"x\0".repeat(2 << 20)).unwrap());
        let expected = member.said("x");
        for _ in 0..2 << 20 {
            assert_eq!(member.hear(), expected);
        }
        writer.join().unwrap();
        assert!(!server.log().contains("thrown out"), "{}", server.log());
    }

    fn a_thousand_members_hear_each_message_once_and_in_the_same_order(arguments) {
        if !raise_descriptor_limit(6000) {
            return;
        }
        let server = chat(arguments);
        let mut members: Vec<Member> = (0..1000).map(|_| Member::connect(&server)).collect();
        server.wait_for_log(" joined", 1000);
        // All in one go: more messages to all than are under way in a turn.
        let speakers = 500;
        members[..speakers].iter().for_each(|member| member.say("hello"));
        let order: Vec<String> = (0..speakers).map(|_| members[0].hear()).collect();
        let mut said: Vec<String> = members[..speakers].iter().map(|member| member.said("hello")).collect();
        for member in &mut members[1..] {
            order.iter().for_each(|expected| assert_eq!(&member.hear(), expected));
        }
        let mut sorted = order;
        sorted.sort_unstable();
        said.sort_unstable();
        assert_eq!(sorted, said);
        drop(members);
        server.wait_for_log(" left: ", 1000);
        assert!(!server.log().contains("thrown out"));
    }

    fn a_burst_of_tiny_messages_reaches_all(arguments) {
        let server = chat(arguments);
        let mut members: Vec<Member> = (0..100).map(|_| Member::connect(&server)).collect();
        server.wait_for_log(" joined", 100);
        members[7].send(&b"x\0".repeat(8000));
        let expected = members[7].said("x");
        for member in &mut members {
            for _ in 0..8000 {
                assert_eq!(member.hear(), expected);
            }
        }
    }

    fn further_members_wait_to_be_let_in(arguments) {
        let server = chat(&[arguments, &["--max-members", "2"]].concat());
        let (first, mut second) = (Member::join(&server), Member::join(&server));
        let mut third = Member::connect(&server);
        third.say("am I in?");
        second.say("no");
        assert_eq!(second.hear(), second.said("no"));
        assert_eq!(server.log().matches(" joined").count(), 2);
        drop(first);
        assert_eq!(third.hear(), third.said("am I in?"));
        assert!(second.hear().ends_with("am I in?"));
    }

    fn a_signal_ends_it_in_order(arguments) {
        for signal in ["INT", "TERM"] {
            let mut server = chat(arguments);
            let (mut talker, mut listener) = (Member::join(&server), Member::join(&server));
            talker.say("x");
            assert_eq!(listener.hear(), talker.hear());
            server.signal(signal);
            assert_eq!(talker.hear() + &listener.hear(), "", "they are hung up on in order");
            drop((talker, listener));
            assert_eq!(server.wait(), Some(0), "{signal}");
            server.wait_for_log(" left: finished", 2);
        }
    }

    fn its_place_can_be_taken_at_once(arguments) {
        let mut server = chat(arguments);
        let member = Member::join(&server);
        server.signal("KILL");
        server.wait();
        drop(member);
        let mut command = example_command("chat_server", &["-p", &server.port()]);
        command.args(arguments);
        Member::join(&Server::from_command(command, 1));
    }
}

// ------------------------------------------------------------------------------------------------------------ the client

/// The lines of a pipe as they come.
fn lines_of(pipe: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || BufReader::new(pipe).lines().try_for_each(|line| sender.send(line.unwrap())));
    receiver
}

/// A running `chat_client`.
struct Client {
    process: Process,
    keyboard: Option<ChildStdin>,
    screen: Receiver<String>,
}

impl Client {
    #[track_caller]
    fn start(arguments: &[&str]) -> Client {
        Client::typing(arguments, Stdio::piped())
    }

    #[track_caller]
    fn typing(arguments: &[&str], stdin: Stdio) -> Client {
        let mut command = example_command("chat_client", arguments);
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::start(&mut command);
        let keyboard = process.stdin();
        let screen = lines_of(process.stdout());
        Client { process, keyboard, screen }
    }

    #[track_caller]
    fn types(&mut self, text: &str) {
        self.keyboard.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    fn sees(&mut self) -> String {
        self.screen.recv_timeout(PATIENCE).unwrap()
    }

    /// The rest of its screen, its complaints, and its exit status.
    #[track_caller]
    fn end(mut self) -> (String, String, Option<i32>) {
        self.keyboard = None;
        let code = self.process.wait().code();
        let mut complaints = String::new();
        self.process.stderr().read_to_string(&mut complaints).unwrap();
        (self.screen.iter().map(|line| line + "\n").collect(), complaints, code)
    }

    /// The flags of its standard input: open(2)'s, octal.
    fn flags_of_stdin(&self) -> u32 {
        let text = fs::read_to_string(format!("/proc/{}/fdinfo/0", self.process.id())).unwrap();
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        u32::from_str_radix(flags.trim(), 8).unwrap()
    }
}

fn nothing() -> (String, String, Option<i32>) {
    (String::new(), String::new(), Some(0))
}

on_every_backend! {
    fn typed_lines_go_out_while_messages_come_in(backend) {
        let server = chat(&[]);
        let port = server.port();
        let mut members = [(); 2].map(|()| Client::start(&["-p", &port, "--backend", backend]));
        server.wait_for_log(" joined", 2);
        for (speaker, text) in [(0, "hello"), (1, "hello you"), (1, "wie schön"), (0, "bye")] {
            members[speaker].types(&format!("{text}\n"));
            let [first, second] = &mut members;
            let line = first.sees();
            assert!(line.ends_with(&format!(": {text}")), "{line:?}");
            assert_eq!(second.sees(), line);
        }
        for member in members {
            assert_eq!(member.flags_of_stdin() & 0o4000, 0, "O_NONBLOCK is not for standard input");
            assert_eq!(member.end(), nothing());
        }
        server.wait_for_log(" left: finished", 2);
    }

    fn a_file_is_sent_to_its_end_and_all_of_it_is_heard(backend) {
        let server = chat(&[]);
        let path = TemporaryPath::new();
        let lines: Vec<String> = (0..20_000).map(|number| format!("line {number}")).collect();
        fs::write(path.as_ref(), lines.join("\n")).unwrap(); // the last one without its end
        let file = fs::File::open(path.as_ref()).unwrap();
        let client = Client::typing(&["-p", &server.port(), "--backend", backend], file.into());
        let (screen, complaints, code) = client.end();
        assert_eq!((complaints.as_str(), code), ("", Some(0)));
        let seen: Vec<&str> = screen.lines().map(|line| line.split_once(": ").unwrap().1).collect();
        assert!(seen == lines, "{} lines of {}", seen.len(), lines.len());
    }

    fn an_input_that_has_ended_already_ends_it(backend) {
        let server = chat(&[]);
        assert_eq!(Client::typing(&["-p", &server.port(), "--backend", backend], Stdio::null()).end(), nothing());
    }

    fn a_server_that_does_not_read_stops_the_keyboard_and_not_the_ears(backend) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let path = TemporaryPath::new();
        let line = "x".repeat(99) + "\n";
        let lines = 400_000; // 40 MB
        fs::write(path.as_ref(), line.repeat(lines)).unwrap();
        let file = fs::File::open(path.as_ref()).unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let mut client = Client::typing(&["-p", &port, "--backend", backend], file.into());
        let mut stream = listener.accept().unwrap().0;
        let position = || {
            let text = fs::read_to_string(format!("/proc/{}/fdinfo/0", client.process.id())).unwrap();
            text.lines().find_map(|line| line.strip_prefix("pos:")?.trim().parse::<u64>().ok()).unwrap()
        };
        let (mut last, mut unchanged) = (0, 0);
        wait_until("it reads no more", || {
            (last, unchanged) = if position() == last { (last, unchanged + 1) } else { (position(), 0) };
            last > 0 && unchanged > 100
        });
        assert!(last < 30_000_000, "it read {last} bytes, and nobody took them");
        stream.write_all(b"do you hear?\0").unwrap();
        assert_eq!(client.sees(), "do you hear?");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert!(received.split_inclusive(|&byte| byte == 0).all(|message| message == "x".repeat(99).as_bytes().iter().copied().chain([0]).collect::<Vec<u8>>()));
        assert_eq!(received.len(), line.len() * lines);
        drop(stream);
        assert_eq!(client.end(), nothing());
    }

    fn long_lines_and_empty_ones(backend) {
        let server = chat(&[]);
        let mut client = Client::start(&["-p", &server.port(), "--backend", backend]);
        client.types("\n\nfirst\n\n");
        assert!(client.sees().ends_with(": first"), "an empty line is not sent");
        client.types(&("y".repeat(40_000) + "\n"));
        let mut length = 0;
        while length < 40_000 {
            length += client.sees().split_once(": ").unwrap().1.len();
        }
        assert_eq!(client.end(), nothing());
    }

    fn what_could_harm_the_terminal_is_not_shown(backend) {
        let server = chat(&[]);
        let member = Member::join(&server);
        let mut client = Client::start(&["-p", &server.port(), "--backend", backend]);
        server.wait_for_log(" joined", 2);
        member.say("\x1b]0;title\x07 a\nb\u{9b}c\td");
        assert_eq!(client.sees(), member.said(r"\u{1b}]0;title\u{7} a\nb\u{9b}c") + "\td");
        assert_eq!(client.end(), nothing());
    }

    fn a_server_that_leaves_is_told(backend) {
        let mut server = chat(&[]);
        let client = Client::start(&["-p", &server.port(), "--backend", backend]);
        server.wait_for_log(" joined", 1);
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
        let mut client = client;
        assert_eq!(client.process.wait().code(), Some(1));
        assert_eq!(client.end().1, "chat_client: the server has left\n");
    }

    fn a_signal_ends_the_client_in_order(backend) {
        let server = chat(&[]);
        for (ended, signal) in [(1, "INT"), (2, "TERM")] {
            let mut client = Client::start(&["-p", &server.port(), "--backend", backend]);
            server.wait_for_log(" joined", ended);
            client.types("x\n");
            assert!(client.sees().ends_with(": x")); // by now it handles signals
            zen_tests::signal(client.process.id(), signal);
            assert_eq!(client.process.wait().code(), Some(0), "{signal}");
            server.wait_for_log(" left: finished", ended);
        }
    }

    fn a_reader_that_has_enough_ends_it(backend) {
        let server = chat(&[]);
        let member = Member::join(&server);
        let mut command = example_command("chat_client", &["-p", &server.port(), "--backend", backend]);
        let mut client = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let keyboard = client.stdin();
        server.wait_for_log(" joined", 2);
        drop(client.stdout());
        member.say("x");
        assert_eq!(client.wait().code(), Some(0));
        drop(keyboard);
    }
}

#[test]
fn a_silent_server_keeps_nobody_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let client = Client::start(&["-p", &port]);
    let _stream = listener.accept().unwrap().0; // and it never closes
    assert_eq!(client.end(), nothing());
}

#[test]
fn a_server_that_cannot_be_reached_is_told_in_one_line() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let ran = finish(example_command("chat_client", &["-p", &port]));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        ran.stderr,
        format!("chat_client: cannot reach 127.0.0.1 at port {port}: Connection refused (os error 111)\n")
    );
}

#[test]
fn a_terminal_is_left_as_it_was_found() {
    if !is_installed("script") || !is_installed("stty") {
        return;
    }
    let server = chat(&[]);
    let client = example("chat_client");
    let flags = "sed -n 's/flags://p' /proc/self/fdinfo/0";
    let line = format!(
        "stty -g; {flags}; {} -p {}; echo status $?; stty -g; {flags}",
        client.display(),
        server.port()
    );
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command.env_remove("REACTOR_BACKEND").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process::start(&mut command);
    let mut keyboard = process.stdin().unwrap();
    let mut screen = BufReader::new(process.stdout()).lines().map(|line| line.unwrap().trim().to_owned());
    let before = [screen.next().unwrap(), screen.next().unwrap()];
    server.wait_for_log(" joined", 1);
    keyboard.write_all(b"hello\n").unwrap();
    assert!(screen.any(|line| line.ends_with(": hello")), "typed at a terminal, and heard");
    keyboard.write_all(b"\x04").unwrap();
    assert!(screen.any(|line| line.ends_with("status 0")), "Ctrl-D ends it");
    assert_eq!([screen.next().unwrap(), screen.next().unwrap()], before);
    assert_eq!(process.wait().code(), Some(0));
}

#[test]
fn what_is_shared_with_the_shell_is_not_made_nonblocking() {
    // A descriptor of ours for the same description, as the shell has one.
    let path = TemporaryPath::new();
    fs::write(path.as_ref(), "one\n").unwrap();
    let ours = fs::File::open(path.as_ref()).unwrap();
    let server = chat(&[]);
    let (screen, _, code) = Client::typing(&["-p", &server.port()], ours.try_clone().unwrap().into()).end();
    assert!(code == Some(0) && screen.ends_with(": one\n"));
    let flags =
        fs::read_to_string(format!("/proc/self/fdinfo/{}", std::os::fd::AsRawFd::as_raw_fd(&ours))).unwrap();
    let flags = flags.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim().to_owned();
    assert_eq!(u32::from_str_radix(&flags, 8).unwrap() & 0o4000, 0);
    assert_eq!(ours.read_at(&mut [0; 8], 0).unwrap(), 4);
}
