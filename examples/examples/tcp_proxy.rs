//! Passes connections on: what a client sends goes to TARGET, and what TARGET answers goes to the client.
//!
//! ```console
//! $ cargo run --bin zen-server                                    # in another terminal
//! $ cargo run --example tcp_proxy -- -p 2060 127.0.0.1:1060
//! Listening at 127.0.0.1:2060
//! $ cargo run --bin zen-client -- -p 2060                         # in a third
//! ```
//!
//! One client is two connections in the same loop: `Protocol` for both is the enum `End`. They never touch each other, they
//! send messages:
//!
//! * `Bytes`: what one end has received. It stops reading until the other end says `More`, and that comes when what the other
//!   end has unsent is little again. So a fast sender waits for a slow receiver, and each direction costs two reads of memory
//!   at most (128 KiB), however much goes through it, and whatever the other direction does.
//! * `Finished`: the peer of one end has finished sending (FIN). The other end passes that on (half-close), and the opposite
//!   direction goes on: `nc -N` sends its question, finishes, and still gets the answer.
//! * `Broken`: one end was reset or otherwise lost. The other one is reset, because a FIN would tell its
//!   peer that it has got everything.
//!
//! The connection to TARGET is opened with a `Spawner`, because callbacks cannot reach the reactor itself. TARGET's addresses
//! are tried one after the other; until one of them answers, nothing is read from the client.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use reactor::event_loop::{
    CloseReason, ConnectionId, Context, Limits, Protocol, Reactor, Spawner, Watermarks,
};
use reactor::net::Address;
use tracing::{info, warn};
use zen_examples::{
    Listen, WaitWith, announce, fail, parse, raise_descriptor_limit, resolve, start_log, stop_on_signal,
};
use zen_server::command_line::duration;

/// Connections at once, both ends counted.
const MOST_CONNECTIONS: usize = 100_000;
/// Messages that one end can have under way: bytes, more, finished, broken.
const MESSAGES_EACH: usize = 4;
/// With so many bytes unsent, an end takes no more from the other. The loop's own mark lies so far above that it is never
/// reached: there an end would stop *reading*, too, but whoever does not read may still have much to send.
const MOST_UNSENT: usize = 64 * 1024;
const WATERMARKS: Watermarks = Watermarks { high: 16 * MOST_UNSENT, low: MOST_UNSENT / 4 };
/// Time for what is under way after a signal.
const GRACE: Duration = Duration::from_secs(5);

/// Passes connections on to another address
#[derive(Parser)]
#[command(allow_missing_positional = true)]
struct Options {
    #[command(flatten)]
    listen: Listen,
    /// Where to pass connections on to, a host and a port like localhost:1060
    #[arg(value_parser = host_and_port)]
    target: (String, u16),
    /// Hang up on both ends when nothing has moved for so long: 30s, 5m, off
    #[arg(long, value_name = "D", default_value = "5m", value_parser = duration)]
    idle_timeout: Span,
    /// Try the next address of TARGET, or give up, when one has not accepted for so long
    #[arg(long, value_name = "D", default_value = "10s", value_parser = duration)]
    connect_timeout: Span,
    #[command(flatten)]
    wait_with: WaitWith,
}

/// (The name keeps the parser from reading the `Option` as "may be left out".)
type Span = Option<Duration>;

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match parts {
        Some((host, port)) if !host.is_empty() => Ok((host.trim_matches(['[', ']']).to_owned(), port)),
        _ => Err("write a host and a port, like localhost:1060".to_owned()),
    }
}

fn main() {
    let options: Options = parse();
    start_log();
    raise_descriptor_limit();
    serve(&options).unwrap_or_else(|error| fail(error));
}

fn serve(options: &Options) -> io::Result<()> {
    let (host, port) = &options.target;
    let limits = Limits {
        connections: MOST_CONNECTIONS,
        idle: options.idle_timeout,
        connect_time: options.connect_timeout,
        ..Limits::default()
    };
    let mailbox = MOST_CONNECTIONS * MESSAGES_EACH; // never full
    let mut reactor: Reactor<End> =
        options.wait_with.builder().limits(limits).watermarks(WATERMARKS).mailbox(mailbox).build()?;
    let target = Rc::new(Target { addresses: resolve(host, *port), spawner: reactor.spawner() });
    let listener = reactor.listen_on(options.listen.bind(2060), move |incoming| {
        Some(End::new(&Rc::new(Link::new(&target, incoming.peer))))
    })?;
    stop_on_signal(&mut reactor, GRACE);
    announce(reactor.local_address(listener).expect("it has just been opened"));
    reactor.run()
}

struct Target {
    addresses: Vec<SocketAddr>,
    spawner: Spawner<End>,
}

/// What both ends of one client's connection know.
struct Link {
    target: Rc<Target>,
    /// The client, for the log.
    name: String,
    /// The ends that stand.
    ends: [Cell<Option<ConnectionId>>; 2],
    /// Bytes that came in at each.
    received: [Cell<u64>; 2],
}

impl Link {
    fn new(target: &Rc<Target>, client: &Address) -> Link {
        let (target, name) = (Rc::clone(target), client.to_string());
        Link { target, name, ends: Default::default(), received: Default::default() }
    }

    /// Tries to reach the target at one of its addresses. `false` if there are no more.
    fn connect(self: &Rc<Self>, attempt: usize) -> bool {
        let address = self.target.addresses.get(attempt);
        if let Some(&address) = address {
            let end = End { role: Role::Target { attempt }, ..End::new(self) };
            self.target.spawner.connect(address, end);
        }
        address.is_some()
    }
}

/// Both ends are gone.
impl Drop for Link {
    fn drop(&mut self) {
        let [there, back] = &self.received;
        info!("{} is done: {} bytes there, {} back", self.name, there.get(), back.get());
    }
}

#[derive(Copy, Clone, PartialEq)]
enum Role {
    Client,
    /// Which of the target's addresses this is.
    Target {
        attempt: usize,
    },
}

/// One end: the connection of a client, or the one to the target.
struct End {
    link: Rc<Link>,
    role: Role,
    is_open: bool,
    /// Our peer finished,
    has_finished: bool,
    /// and so did the other end's.
    other_has_finished: bool,
}

/// What one end tells the other.
enum FromOther {
    Bytes(Vec<u8>),
    More,
    Finished,
    /// It is over, in order.
    Over,
    Broken,
}

impl End {
    fn new(link: &Rc<Link>) -> End {
        let link = Rc::clone(link);
        End { link, role: Role::Client, is_open: false, has_finished: false, other_has_finished: false }
    }

    fn side(&self) -> usize {
        usize::from(self.role != Role::Client)
    }

    /// Tells the other end, if there is one. The mailbox has room for all that all ends can have to say.
    fn tell(&self, what: FromOther, cx: &mut Context<'_, FromOther>) -> bool {
        let other = self.link.ends[1 - self.side()].get();
        other.is_some_and(|other| cx.send(other, what).is_ok())
    }

    /// The target did not answer at this address.
    fn try_next(&self, attempt: usize, reason: &CloseReason, cx: &mut Context<'_, FromOther>) {
        let address = self.link.target.addresses[attempt];
        warn!("{}: cannot reach {address}: {reason}", self.link.name);
        let client_waits = self.link.ends[0].get().is_some();
        if client_waits && !self.link.connect(attempt + 1) {
            self.tell(FromOther::Over, cx);
        }
    }
}

impl Protocol for End {
    type Message = FromOther;

    fn opened(&mut self, cx: &mut Context<'_, FromOther>) {
        self.is_open = true;
        self.link.ends[self.side()].set(Some(cx.id()));
        match self.role {
            Role::Client => {
                info!("{} is here", self.link.name);
                cx.pause_reading();
                self.link.connect(0);
            }
            Role::Target { .. } => {
                if !self.tell(FromOther::More, cx) {
                    cx.abort(); // the client did not wait
                }
            }
        }
    }

    fn received(&mut self, input: &[u8], cx: &mut Context<'_, FromOther>) -> usize {
        let received = &self.link.received[self.side()];
        received.set(received.get() + input.len() as u64);
        cx.pause_reading();
        if !self.tell(FromOther::Bytes(input.to_vec()), cx) {
            cx.abort();
        }
        input.len()
    }

    fn eof(&mut self, cx: &mut Context<'_, FromOther>) {
        self.has_finished = true;
        self.tell(FromOther::Finished, cx);
    }

    fn message(&mut self, message: FromOther, cx: &mut Context<'_, FromOther>) {
        match message {
            FromOther::Bytes(bytes) => {
                cx.write_owned(bytes);
                if cx.unsent() >= MOST_UNSENT {
                    cx.notify_drained();
                } else {
                    self.tell(FromOther::More, cx);
                }
            }
            FromOther::More => cx.resume_reading(),
            FromOther::Finished => {
                self.other_has_finished = true;
                cx.close_write();
            }
            FromOther::Over => cx.close(),
            FromOther::Broken => cx.abort(),
        }
    }

    fn drained(&mut self, cx: &mut Context<'_, FromOther>) {
        self.tell(FromOther::More, cx);
    }

    fn closed(&mut self, reason: &CloseReason, cx: &mut Context<'_, FromOther>) {
        self.link.ends[self.side()].set(None);
        match (self.role, reason) {
            (Role::Target { attempt }, _) if !self.is_open => self.try_next(attempt, reason, cx),
            (_, CloseReason::Finished) if self.has_finished && self.other_has_finished => {}
            (_, CloseReason::Finished) => drop(self.tell(FromOther::Over, cx)),
            (_, CloseReason::Aborted) => drop(self.tell(FromOther::Broken, cx)),
            _ => {
                let which = if self.role == Role::Client { "the client" } else { "the target" };
                info!("{}: {which}: {reason}", self.link.name);
                self.tell(FromOther::Broken, cx);
            }
        }
    }
}
