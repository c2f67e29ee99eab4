//! Which types may be moved to other threads, which shared with them, and why.
//!
//! The compiler knows the first two and nobody would notice a change of them: a field that is an `Rc` is enough. So they are
//! written down here, for every public type, and a type that is missing is found in the listing of all that is public.

#![allow(dead_code)] // the assertions are made by compiling

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;
use std::io::Result;
use std::panic::UnwindSafe;
use std::path::Path;
use std::rc::Rc;

use reactor::event::{Event, Iter};
use reactor::event_loop::adapter::Delimited;
use reactor::event_loop::{
    Builder, CloseReason, ConnectionId, Context, Counters, Handle, InMemory, Incoming, Limit, Limits,
    ListenerId, Notice, Protocol, Reactor, Refusal, SourceContext, SourceId, Spawner, Step, Timeout, Timer,
    Watermarks, Workers,
};
use reactor::net::{Address, TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use reactor::unix::{
    SourceFd,
    pipe::{Receiver, Sender},
};
use reactor::{Backend, Error, Events, Interest, Poll, Registered, Registry, Token, Trigger, Waker};
use static_assertions::{assert_impl_all, assert_not_impl_any};

/// A protocol whose state and messages stay in their thread.
struct Local(Rc<()>);

impl Protocol for Local {
    type Message = Rc<()>;
    fn received(&mut self, input: &[u8], _: &mut Context<'_, Rc<()>>) -> usize {
        input.len()
    }
}

/// A protocol whose state stays in its thread, with messages that come from others.
struct Reachable(Rc<()>);

impl Protocol for Reachable {
    type Message = String;
    fn received(&mut self, input: &[u8], _: &mut Context<'_, String>) -> usize {
        input.len()
    }
}

/// `Type: Trait !Trait, "why"`: it has the one and does not have the other.
macro_rules! sharing {
    ($types:ident; $($type:ty: $($has:ident)* $(! $lacks:ident)*, $why:literal;)*) => {
        $(
            $(assert_impl_all!($type: $has);)*
            $(assert_not_impl_any!($type: $lacks);)*
        )*
        /// The types, as written below, each with the reason.
        const $types: &[(&str, &str)] = &[$((stringify!($type), $why)),*];
    };
}

sharing! { TYPES;
    // Layer 1: everything, as in mio.
    Poll: Send Sync UnwindSafe,
        "a program may set a loop up in one thread and run it in another; `poll` takes `&mut`, so only one thread waits";
    Registry: Send Sync UnwindSafe,
        "sources are registered from any thread, also while another waits";
    Registered<TcpStream>: Send Sync UnwindSafe,
        "it is as its source is, because it has a registry besides, which is free";
    Registered<LocalSource>: !Send !Sync,
        "it is as its source is";
    Waker: Send Sync UnwindSafe,
        "waking from another thread is all it is for";
    Events: Send Sync UnwindSafe,
        "a buffer of plain numbers";
    Event: Send Sync UnwindSafe,
        "a number and some flags, which may be handed to a worker";
    Iter<'static>: Send Sync UnwindSafe,
        "a reference to events";
    Token: Send Sync UnwindSafe,
        "a number";
    Interest: Send Sync UnwindSafe,
        "some bits";
    Trigger: Send Sync UnwindSafe,
        "one of three";
    Backend: Send Sync UnwindSafe,
        "one of a few";
    Error: Send Sync,
        "it rides in an `io::Error`, which requires it";

    // Sockets: a descriptor, and the kernel does not mind who uses it.
    TcpListener: Send Sync UnwindSafe,
        "several threads may accept from one listener";
    TcpStream: Send Sync UnwindSafe,
        "one thread may read while another writes";
    UdpSocket: Send Sync UnwindSafe,
        "datagrams are whole, whoever sends and receives them";
    UnixListener: Send Sync UnwindSafe,
        "several threads may accept from one listener";
    UnixStream: Send Sync UnwindSafe,
        "one thread may read while another writes";
    UnixDatagram: Send Sync UnwindSafe,
        "datagrams are whole, whoever sends and receives them";
    Address: Send Sync UnwindSafe,
        "numbers or a path";
    SourceFd<'static>: Send Sync UnwindSafe,
        "a reference to a number";
    Sender: Send Sync UnwindSafe,
        "a descriptor";
    Receiver: Send Sync UnwindSafe,
        "a descriptor";

    // Layer 2: a loop belongs to the thread that built it.
    Reactor<Reachable>: !Send !Sync,
        "protocols and callbacks need not be `Send`, and a handle is how others reach it";
    Builder<Reachable>: !Send !Sync,
        "it holds callbacks of the loop to be";
    Spawner<Reachable>: !Send !Sync,
        "it shares a queue with its loop, which is why a callback may use it without a lock";
    Handle<Reachable>: Send Sync UnwindSafe,
        "it is how other threads reach a loop: messages cross, protocols do not";
    Handle<Local>: !Send !Sync,
        "messages that must not leave their thread keep the handle there";
    Workers<Reachable>: Send Sync,
        "handles of several loops";
    Workers<Local>: !Send !Sync,
        "handles of several loops, none of which may leave its thread";
    InMemory<Infallible>: Send Sync,
        "a conversation without a kernel, as free as its protocol";
    InMemory<Local>: !Send !Sync,
        "a conversation without a kernel, as bound as its protocol";
    Context<'static, String>: Send Sync,
        "what a callback sees of its loop: nothing in it is shared with the loop while the callback runs";
    Context<'static, Rc<()>>: !Send !Sync,
        "it holds messages on their way";
    SourceContext<'static, String>: Send Sync,
        "as a context";
    SourceContext<'static, Rc<()>>: !Send !Sync,
        "it holds messages on their way";
    Delimited<String>: Send Sync UnwindSafe,
        "a wrapper around a protocol, and as free";
    Delimited<Rc<()>>: !Send !Sync,
        "a wrapper around a protocol, and as bound";

    // What is told and what is named: plain values.
    CloseReason: Send Sync,
        "it may be reported to another thread; it holds an `io::Error` at most";
    Notice<'static>: Send Sync,
        "references to plain values";
    Refusal<'static>: Send Sync UnwindSafe,
        "references to plain values";
    Step<'static>: Send Sync,
        "references to plain values";
    Incoming<'static>: Send Sync UnwindSafe,
        "references to plain values";
    Limit: Send Sync UnwindSafe,
        "one of a few";
    Timeout: Send Sync UnwindSafe,
        "one of a few";
    Limits: Send Sync UnwindSafe,
        "numbers, which every worker gets a copy of";
    Watermarks: Send Sync UnwindSafe,
        "two numbers";
    Counters: Send Sync UnwindSafe,
        "numbers, to be shown elsewhere";
    ConnectionId: Send Sync UnwindSafe,
        "a name by which other threads send to a connection";
    ListenerId: Send Sync UnwindSafe,
        "a name";
    SourceId: Send Sync UnwindSafe,
        "a name";
    Timer: Send Sync UnwindSafe,
        "a name, of no use in another loop";
}

#[cfg(not(feature = "sim"))]
const OF_SIMULATION: &[(&str, &str)] = &[];
#[cfg(feature = "sim")]
sharing! { OF_SIMULATION;
    reactor::simulation::Simulation: !Send !Sync,
        "while it is there, it is the kernel of the thread that made it";
    reactor::simulation::Peer<'static>: !Send !Sync,
        "a reference to a simulation";
}

/// A source that must not leave its thread.
struct LocalSource(TcpStream, Rc<()>);

impl reactor::event::Source for LocalSource {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> Result<()> {
        self.0.register(registry, token, interests)
    }
    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> Result<()> {
        self.0.reregister(registry, token, interests)
    }
    fn deregister(&mut self, registry: &Registry) -> Result<()> {
        self.0.deregister(registry)
    }
}

/// Every public type of the library, by the last part of its path (some can be reached by two).
fn public_types(listing: &str) -> BTreeSet<String> {
    let types = listing.lines().filter_map(|line| {
        let path = ["pub struct ", "pub enum ", "pub union "]
            .iter()
            .find_map(|kind| Some(line.split_once(kind)?.1))?;
        let is_built = cfg!(feature = "sim") || !path.starts_with("reactor::simulation::");
        name(path).filter(|_| is_built)
    });
    types.collect()
}

/// Of `reactor::event_loop::Handle<P: …>(_)` it is `Handle`.
fn name(path: &str) -> Option<String> {
    let path = path.split(['<', '(', ' ']).next()?;
    path.rsplit("::").next().map(str::to_owned)
}

#[test]
fn of_every_public_type_it_is_said_who_may_have_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("public-api.txt");
    let Ok(listing) = fs::read_to_string(path) else {
        println!("skipped: the listing is in the repository, not in the package");
        return;
    };
    let public = public_types(&listing);
    assert!(public.len() > 40, "{public:?}");
    let paths = TYPES.iter().chain(OF_SIMULATION).map(|(path, _)| path.replace(' ', ""));
    let said: BTreeSet<String> = paths.filter_map(|path| name(&path)).collect();
    let missing: Vec<_> = public.difference(&said).collect();
    assert!(missing.is_empty(), "nothing is said about {missing:?}");
    let gone: Vec<_> = said.difference(&public).collect();
    assert!(gone.is_empty(), "these are not public: {gone:?}");
}
