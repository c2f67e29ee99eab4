//! The client itself: it does what its script says, and waits for conditions only.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_linger;
use zen_tests::PATIENCE;

use super::script::{End, Script, Step};

/// What a slow reader takes at a time.
const SIP: usize = 4096;
const GULP: usize = 64 * 1024;

struct Client<'a> {
    stream: TcpStream,
    script: &'a Script,
    heard: Vec<u8>,
    /// The server finished, or is gone.
    is_over: bool,
    until: Instant,
}

/// Does what the script says; `due` is how much is to be heard in all before each step that hears. What was heard: all of it, if
/// the client reads to the end, and else what it was to wait for; and the connection, if the client did not leave.
pub fn play(stream: TcpStream, script: &Script, due: &[usize]) -> (Vec<u8>, Option<TcpStream>) {
    stream.set_nonblocking(true).expect("a socket can be nonblocking");
    stream.set_nodelay(true).expect("a socket need not wait");
    let until = Instant::now() + PATIENCE;
    let mut client = Client { stream, script, heard: Vec::new(), is_over: false, until };
    let mut awaited = 0;
    for (step, &due) in script.steps.iter().zip(due) {
        match step {
            Step::Say(text, times) => client.say(&text.repeat(*times)),
            Step::Hear | Step::HearSome(_) => {
                client.hear(due);
                awaited = due;
            }
        }
    }
    match script.end {
        End::Finish => {
            let _ = client.stream.shutdown(Shutdown::Write); // the server may have been quicker
            client.hear(usize::MAX);
        }
        End::Wait => client.hear(usize::MAX),
        End::Close | End::Stay => client.heard.truncate(awaited),
        End::Reset => {
            client.heard.truncate(awaited);
            set_socket_linger(&client.stream, Some(std::time::Duration::ZERO))
                .expect("a reset can be asked for");
        }
    }
    let Client { stream, heard, .. } = client;
    (heard, (!matches!(script.end, End::Close | End::Reset)).then_some(stream))
}

impl Client<'_> {
    /// Says all of it, unless the server is gone.
    fn say(&mut self, mut rest: &[u8]) {
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(PollFlags::IN | PollFlags::OUT);
                    self.read(SIP);
                }
                Err(_) => return,
            }
        }
    }

    /// Reads until so much was heard in all, or the server finished.
    fn hear(&mut self, due: usize) {
        while self.heard.len() < due && !self.is_over {
            self.wait(PollFlags::IN);
            self.read(GULP);
        }
    }

    fn read(&mut self, most: usize) {
        let start = self.heard.len();
        self.heard.resize(start + most, 0);
        let read = self.stream.read(&mut self.heard[start..]);
        self.heard.truncate(start + *read.as_ref().unwrap_or(&0));
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => self.is_over = !matches!(read, Ok(1..)),
        }
    }

    fn wait(&self, flags: PollFlags) {
        let left = self.until.saturating_duration_since(Instant::now());
        let (script, heard) = (self.script, self.heard.len());
        assert!(!left.is_zero(), "{script} never ends; {heard} bytes were heard");
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let _ = poll(&mut [PollFd::new(&self.stream, flags)], Some(&timeout)); // a signal: it is asked again
    }
}

/// Two ends of a connection: the server's and the client's.
pub fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let theirs = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    (listener.accept().expect("somebody connected").0, theirs)
}
