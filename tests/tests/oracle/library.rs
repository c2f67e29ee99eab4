//! What differs for whoever uses the library: the same protocol, held by `converse` and by a loop over each backend.
//!
//! No service of the server gets that far: they look at the room they have, and write no more than that.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use reactor::event_loop::{CloseReason, Context, Limits, Protocol, Reactor, Timer, converse};
use reactor::{Backend, Trigger};
use zen_tests::{backends, wait_until};

use super::servers::triggers;

/// A protocol that differs, and how.
pub struct Unlike {
    pub what: &'static str,
    limits: Limits,
    /// When its timer rings, it is through: with an abort if something is still unsent.
    timer: Option<Duration>,
    reference: &'static str,
    pub loops: &'static str,
    pub why: &'static str,
}

const USUAL: Limits = Limits {
    connections: 1,
    connections_per_peer: None,
    request_bytes: 1000,
    output_bytes: 64 << 20,
    idle: None,
    request_time: None,
    connect_time: None,
    linger_time: Duration::from_secs(2),
    linger_bytes: 1000,
};

pub const UNLIKE: &[Unlike] = &[
    Unlike {
        what: "a protocol writes more than may be held, to a peer that takes nothing",
        limits: Limits { output_bytes: 1000, ..USUAL },
        timer: None,
        reference: "finished",
        loops: "too much is waiting to be sent",
        why: "a thread that waits until all is sent holds nothing; a loop goes on, and has to hold it",
    },
    Unlike {
        what: "a timer rings while a peer takes nothing",
        limits: USUAL,
        timer: Some(Duration::from_millis(20)),
        reference: "finished",
        loops: "aborted from this side",
        why: "a thread that waits in `send` hears no timer before all is sent",
    },
];

/// More than the buffers between two sockets hold.
const MUCH: usize = 8 << 20;

/// Says much at once.
struct Talkative {
    timer: Option<Duration>,
    closed: mpsc::Sender<String>,
}

impl Protocol for Talkative {
    type Message = ();
    fn opened(&mut self, cx: &mut Context<'_, ()>) {
        cx.write_owned(vec![b'.'; MUCH]);
        match self.timer {
            Some(timer) => drop(cx.start_timer(timer)),
            None => cx.close(),
        }
    }
    fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize {
        input.len()
    }
    fn timer(&mut self, _: Timer, cx: &mut Context<'_, ()>) {
        if cx.unsent() > 0 { cx.abort() } else { cx.close() }
    }
    fn closed(&mut self, reason: &CloseReason, _: &mut Context<'_, ()>) {
        let _ = self.closed.send(reason.to_string());
    }
}

impl Unlike {
    fn protocol(&self) -> (Talkative, mpsc::Receiver<String>) {
        let (closed, reason) = mpsc::channel();
        (Talkative { timer: self.timer, closed }, reason)
    }

    /// A blocking conversation with a peer that takes something when nothing else can happen.
    fn blocking(&self) -> String {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let ((protocol, reason), limits) = (self.protocol(), self.limits);
        let server = thread::spawn(move || converse(ours, protocol, &limits).map(drop));
        thread::sleep(self.timer.unwrap_or_default() * 2); // if it could ring, it would
        let mut heard = Vec::new();
        theirs.read_to_end(&mut heard).expect("it is all read");
        drop(theirs);
        server.join().expect("no panic").expect("a conversation");
        assert_eq!(heard.len(), MUCH, "{}", self.what);
        reason.recv().expect("it is closed")
    }

    /// The same on a loop.
    fn looping(&self, backend: Backend, trigger: Trigger) -> String {
        let (ours, _theirs) = UnixStream::pair().expect("a pair");
        let (protocol, reason) = self.protocol();
        let builder = Reactor::builder().backend(backend).trigger(trigger).limits(self.limits);
        let mut reactor = builder.build().expect("a loop");
        reactor.adopt(ours, protocol).expect("adopted");
        wait_until("the conversation is over", || {
            reactor.turn(Some(Duration::from_millis(5))).expect("a turn");
            reactor.connections() == 0
        });
        reason.recv().expect("it is closed")
    }
}

#[test]
fn a_loop_differs_from_a_blocking_conversation_as_the_table_says() {
    for unlike in UNLIKE {
        assert_ne!(unlike.reference, unlike.loops);
        assert_eq!(unlike.blocking(), unlike.reference, "{}", unlike.what);
        for name in backends() {
            let backend = name.parse().expect("a backend");
            for &trigger in triggers(name) {
                let which = match trigger {
                    "edge" => Trigger::Edge,
                    "level" => Trigger::Level,
                    _ => Trigger::OneShot,
                };
                assert_eq!(
                    unlike.looping(backend, which),
                    unlike.loops,
                    "{}: {name}, {trigger}",
                    unlike.what
                );
            }
        }
    }
}
