//! What is played: each scenario is a few clients, what they say, and what happens besides. They say nothing about faults, and
//! check nothing: that is the same for all (`verdict.rs`).

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::UdpSocket;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use reactor::Trigger;
use reactor::event_loop::{ConnectionId, Handle, Limits, Reactor, Watermarks};
use reactor::net::Address;

use crate::engine::Kind;
use crate::kernel::{self, Label};
use crate::run::Party;
use crate::stage::{Settings, Stage};
use crate::traced;
use crate::zen::{QUESTIONS, Zen};

pub struct Scenario {
    pub name: &'static str,
    pub settings: fn() -> Settings,
    pub play: fn(&mut Stage),
    /// How the conversations end that do not just finish, when nothing fails: a part of the reason. (Of those whom no protocol
    /// ever had, nobody says why.)
    pub ends: &'static [(Label, &'static str)],
}

impl Scenario {
    /// Whether it still shows what it is there to show.
    pub fn unlike_itself(&self, parties: &BTreeMap<Label, Party>) -> Vec<String> {
        let expected = |label: &Label| {
            let special = self.ends.iter().find(|(special, _)| label == special);
            special.map_or("finished", |(_, end)| end)
        };
        let said =
            |party: &Party| party.reason.as_ref().map_or("nobody says why", |reason| &reason.text).to_owned();
        let unlike = parties.iter().filter(|(label, party)| !said(party).contains(expected(label)));
        unlike
            .map(|(label, party)| format!("{label:?} should end as {:?}: {party}", expected(label)))
            .collect()
    }
}

macro_rules! scenarios {
    ($($name:ident: $settings:expr $(, $label:ident($number:literal) ends as $end:literal)*;)*) => {
        pub const SCENARIOS: &[Scenario] = &[$(Scenario {
            name: stringify!($name),
            settings: $settings,
            play: $name,
            ends: &[$((Label::$label($number), $end)),*],
        }),*];
    };
}

scenarios! {
    three_questions: Settings::default;
    three_questions_over_tcp: tcp;
    split: Settings::default;
    pipelined: Settings::default;
    half_close: Settings::default, Accepted(1) ends as "15 bytes of a request";
    reset: tcp, Accepted(0) ends as "reset";
    reset_while_being_answered: small, Accepted(0) ends as "closed before";
    slow_reader: small;
    idle_timeout: idle, Accepted(0) ends as "nothing moved";
    descriptor_limit: Settings::default, Accepted(1) ends as "nobody says why";
    table_full: one_at_a_time;
    refused: refuses_the_second, Accepted(1) ends as "nobody says why";
    too_many_from_one_address: one_from_each_address, Accepted(1) ends as "nobody says why";
    three_clients: Settings::default;
    wake_from_another_thread: Settings::default;
    signal: Settings::default;
    source: Settings::default;
    shutdown: Settings::default;
    grace_is_over: Settings::default, Accepted(0) ends as "aborted";
    timers_and_pauses: Settings::default;
    last_words: Settings::default, Accepted(2) ends as "aborted";
    pieces: Settings::default;
    calling_out: Settings::default;
    calling_out_over_tcp: tcp;
    calling_nobody: tcp, Own(0) ends as "Connection refused";
    a_path_that_was_left_behind: Settings::default;
    exclusive_listener: Settings::default;
    layer_1_by_edge: bare_by_edge;
    layer_1_by_level: bare_by_level;
    layer_1_by_one_shot: bare_by_one_shot;
    nobodys_loop: blocking, Accepted(1) ends as "15 bytes of a request", Accepted(4) ends as "aborted";
}

fn tcp() -> Settings {
    Settings { tcp: true, ..Settings::default() }
}

/// Output does not fit into the kernel, nor into the loop.
fn small() -> Settings {
    Settings { small_buffers: true, watermarks: Watermarks { high: 4096, low: 1024 }, ..Settings::default() }
}

fn refuses_the_second() -> Settings {
    Settings { refuses: Some(1), ..Settings::default() }
}

fn one_from_each_address() -> Settings {
    let limits = Limits { connections_per_peer: Some(1), ..Limits::default() };
    Settings { tcp: true, limits, ..Settings::default() }
}

fn bare_by_edge() -> Settings {
    Settings { engine: Kind::Bare(Trigger::Edge), ..small() }
}

fn bare_by_level() -> Settings {
    Settings { engine: Kind::Bare(Trigger::Level), ..small() }
}

fn bare_by_one_shot() -> Settings {
    Settings { engine: Kind::Bare(Trigger::OneShot), ..small() }
}

fn blocking() -> Settings {
    Settings { engine: Kind::Blocking, ..idle() }
}

fn idle() -> Settings {
    Settings {
        limits: Limits { idle: Some(Duration::from_secs(5)), ..Limits::default() },
        ..Settings::default()
    }
}

fn one_at_a_time() -> Settings {
    Settings { limits: Limits { connections: 1, ..Limits::default() }, ..Settings::default() }
}

/// One after the other, each when the last is answered.
fn three_questions(stage: &mut Stage) {
    let client = stage.client();
    for question in QUESTIONS {
        stage.say(client, question);
        stage.settle();
    }
}

fn three_questions_over_tcp(stage: &mut Stage) {
    three_questions(stage);
}

/// A question in pieces, and one that ends with the beginning of the next.
fn split(stage: &mut Stage) {
    let client = stage.client();
    for piece in ["S", "imple is bet", "ter than", "?Explicit is", " better than?"] {
        stage.say(client, piece);
        stage.turn();
    }
    stage.settle();
}

/// All at once, more than one read takes.
fn pipelined(stage: &mut Stage) {
    let client = stage.client();
    stage.say(client, &QUESTIONS.concat().repeat(60));
    stage.settle();
}

/// No more questions, but answers are still wanted; and one who leaves in the middle of a question.
fn half_close(stage: &mut Stage) {
    let (patient, forgetful) = (stage.client(), stage.client());
    stage.say(patient, "Simple is better than?What");
    stage.say(patient, " is better?");
    stage.finish_sending(patient);
    stage.say(forgetful, "Explicit is bet");
    stage.turn();
    stage.finish_sending(forgetful);
    stage.settle();
}

/// One is gone in the middle of a question, the other stays.
fn reset(stage: &mut Stage) {
    let (rude, polite) = (stage.client(), stage.client());
    stage.say(rude, QUESTIONS[0]);
    stage.say(polite, QUESTIONS[1]);
    stage.settle();
    stage.say(rude, "Simple is bet");
    stage.turn();
    stage.reset(rude);
    stage.say(polite, QUESTIONS[2]);
    stage.settle();
}

/// One is gone before it has read what it asked for, the other stays.
fn reset_while_being_answered(stage: &mut Stage) {
    let (rude, polite) = (stage.client(), stage.client());
    stage.clients[rude].slow = true;
    stage.say(rude, "Bytes 20000?");
    stage.turn();
    stage.turn();
    stage.reset(rude);
    stage.say(polite, QUESTIONS[2]);
    stage.settle();
}

/// More is asked for than the socket, and then the loop, is willing to hold; it is taken in bites.
fn slow_reader(stage: &mut Stage) {
    let (slow, other) = (stage.client(), stage.client());
    stage.clients[slow].slow = true;
    stage.say(slow, "Bytes 9000?Bytes 7000?Simple is better than?Drain?");
    for _ in 0..8 {
        stage.turn();
        stage.take(slow, 1500);
    }
    stage.say(other, QUESTIONS[0]);
    stage.settle();
    stage.clients[slow].slow = false;
    stage.settle();
}

/// One says nothing for too long; the other keeps talking.
fn idle_timeout(stage: &mut Stage) {
    let (silent, talking) = (stage.client(), stage.client());
    stage.say(silent, QUESTIONS[0]);
    stage.say(talking, QUESTIONS[1]);
    stage.settle();
    for _ in 0..14 {
        kernel::with(|kernel| kernel.pass(Duration::from_secs(1)));
        stage.turn();
        stage.say(talking, QUESTIONS[2]);
        stage.settle();
    }
}

/// No descriptor is left for the second and the third; then there are some again.
fn descriptor_limit(stage: &mut Stage) {
    let first = stage.client();
    stage.say(first, QUESTIONS[0]);
    stage.settle();
    kernel::with(|kernel| kernel.most_open = Some(kernel.open.len()));
    let (second, third) = (stage.client(), stage.client());
    stage.say(second, QUESTIONS[1]);
    stage.say(third, QUESTIONS[2]);
    stage.turn();
    stage.say(first, QUESTIONS[1]);
    stage.turn();
    kernel::with(|kernel| kernel.most_open = None);
    stage.settle();
}

/// There is room for one: the second waits in the backlog until the first has left.
fn table_full(stage: &mut Stage) {
    let (first, second) = (stage.client(), stage.client());
    stage.say(first, QUESTIONS[0]);
    stage.say(second, QUESTIONS[1]);
    for _ in 0..3 {
        stage.turn();
    }
    stage.finish_sending(first);
    stage.settle();
}

/// The second is hung up on, the others are not.
fn refused(stage: &mut Stage) {
    let clients = [stage.client(), stage.client(), stage.client()];
    for client in clients {
        stage.say(client, QUESTIONS[client]);
    }
    stage.settle();
}

/// So is the second here, as long as the first is there.
fn too_many_from_one_address(stage: &mut Stage) {
    let (first, second) = (stage.client(), stage.client());
    stage.say(first, QUESTIONS[0]);
    stage.say(second, QUESTIONS[1]);
    stage.settle();
    stage.finish_sending(first);
    stage.finish_sending(second); // who may have been let in, if the first was not
    stage.until("both are gone", |stage| stage.reactor().connections() == 0);
    let third = stage.client();
    stage.say(third, QUESTIONS[2]);
    stage.settle();
}

/// Three at once, who speak in turns.
fn three_clients(stage: &mut Stage) {
    let clients = [stage.client(), stage.client(), stage.client()];
    for round in 0..3 {
        for client in clients {
            stage.say(client, QUESTIONS[(round + client) % 3]);
        }
        stage.turn();
    }
    stage.settle();
}

/// Another thread sends messages and runs a function, while the loop waits and while it does not.
fn wake_from_another_thread(stage: &mut Stage) {
    let client = stage.client();
    stage.say(client, QUESTIONS[0]);
    stage.settle();
    let Some(id) = stage.story(client).and_then(|story| story.id) else { return };
    let handle = kernel::armed(|| stage.reactor().handle());
    stage.expect(client, b"First.");
    post(&handle, move |handle| {
        let _ = handle.send(id, b"First.");
    });
    stage.settle();
    let late = handle.clone();
    stage.turn(); // nothing is left that could end the wait in place of the call
    stage.expect(client, b"Second.Third.");
    stage.during_the_next_wait(Box::new(move || {
        post(&late, move |handle| {
            let _ = handle.send(id, b"Second.");
            handle.run(move |reactor| say(reactor, id, b"Third."));
        });
        false
    }));
    stage.turn_for_ever();
    stage.settle();
    kernel::armed(|| drop(handle));
}

/// From another thread, whose calls are the loop's as well; this one waits for it.
fn post(handle: &Handle<Zen>, post: impl FnOnce(&Handle<Zen>) + Send + 'static) {
    let handle = handle.clone();
    let thread = thread::spawn(move || {
        kernel::armed(|| {
            post(&handle);
            drop(handle);
        });
    });
    thread.join().expect("posting does not panic");
}

/// Has a connection say something.
fn say(reactor: &mut Reactor<Zen>, to: ConnectionId, what: &'static [u8]) {
    let _ = reactor.handle().send(to, what); // to somebody who is gone there is nothing to say
}

/// A signal comes while the loop waits, and one while it does not.
fn signal(stage: &mut Stage) {
    let client = stage.client();
    stage.say(client, QUESTIONS[0]);
    stage.settle();
    let Some(id) = stage.story(client).and_then(|story| story.id) else { return };
    let source = stage.twice("on_signal", |stage| {
        let reactor = stage.reactor();
        kernel::armed(|| reactor.on_signal(libc::SIGUSR1, move |reactor| say(reactor, id, b"Signal.")))
    });
    stage.expect(client, b"Signal.");
    raise();
    stage.settle();
    stage.turn();
    stage.expect(client, b"Signal.");
    stage.during_the_next_wait(Box::new(|| {
        traced::hidden(raise); // the handler's own call is not the loop's
        true
    }));
    stage.turn_for_ever();
    stage.settle();
    if let Some(source) = source {
        kernel::armed(|| stage.reactor().remove_source(source));
    }
}

/// To this thread.
fn raise() {
    // SAFETY: takes no pointers; a handler is installed.
    unsafe { libc::raise(libc::SIGUSR1) };
}

/// Something else that the loop watches.
fn source(stage: &mut Stage) {
    let client = stage.client();
    stage.say(client, QUESTIONS[0]);
    stage.settle();
    let Some(id) = stage.story(client).and_then(|story| story.id) else { return };
    let Some(mut far) = stage.watch_for(id) else { return };
    for _ in 0..2 {
        stage.expect(client, b"Source.");
        let _ = far.write_all(b"!"); // its other end may be gone, which the client will notice
        stage.settle();
    }
    drop(far); // and with it the source
    stage.turn();
}

/// One is busy and is answered first, one is idle, and nobody is let in any more; later the loop begins again.
fn shutdown(stage: &mut Stage) {
    let (busy, idle) = (stage.client(), stage.client());
    stage.say(busy, "Wait?");
    stage.say(idle, QUESTIONS[0]);
    stage.until("both have been heard", |stage| {
        let is_heard = |client: usize| stage.story(client).is_some_and(|story| story.asked > 0);
        [busy, idle].into_iter().all(|client| is_heard(client) || stage.clients[client].ended.is_some())
    });
    // Longer than the longest stop of the process.
    kernel::armed(|| stage.reactor().shutdown(Duration::from_secs(2 * 3600)));
    stage.listener = None;
    stage.settle();
    stage.turn();
    stage.finish_sending(busy);
    stage.finish_sending(idle);
    stage.until("the loop is shut down", |stage| stage.reactor().is_shut_down());
    stage.twice("listen", Stage::listen);
}

/// One is busy for longer than it is given.
fn grace_is_over(stage: &mut Stage) {
    let busy = stage.client();
    stage.say(busy, "Wait?");
    stage.until("it has been heard", |stage| {
        stage.story(busy).is_some_and(|story| story.asked > 0) || stage.clients[busy].ended.is_some()
    });
    kernel::armed(|| stage.reactor().shutdown(Duration::from_millis(5)));
    stage.listener = None;
    stage.settle();
    stage.until("the loop is shut down", |stage| stage.reactor().is_shut_down());
    stage.twice("listen", Stage::listen);
}

/// Answers that take a while, with reading paused and without.
fn timers_and_pauses(stage: &mut Stage) {
    let (one, other) = (stage.client(), stage.client());
    stage.say(one, "Later?");
    stage.say(other, "Wait?Simple is better than?");
    stage.settle();
}

/// The loop says goodbye: in order, in half, and with a reset.
fn last_words(stage: &mut Stage) {
    let clients = [stage.client(), stage.client(), stage.client()];
    for (client, word) in clients.into_iter().zip(["Bye?", "Over?", "Abort?"]) {
        stage.say(client, QUESTIONS[0]);
        stage.settle();
        stage.say(client, word);
        stage.settle();
        stage.turn();
        stage.say_in_vain(client, "Too late?");
        stage.turn();
        stage.finish_sending(client);
    }
    stage.settle();
}

/// Output in pieces, a file among them.
fn pieces(stage: &mut Stage) {
    let client = stage.client();
    stage.say(client, "Pieces?Simple is better than?");
    stage.settle();
    stage.say(client, "Pieces?");
    stage.settle();
}

/// The loop asks: by itself, for a client, and over a connection it was given.
fn calling_out(stage: &mut Stage) {
    let host = stage.host();
    stage.connect(&host, QUESTIONS[1]);
    stage.settle();
    let client = stage.client();
    stage.say(client, "Call?");
    stage.settle();
    stage.adopt(QUESTIONS[2]);
    stage.settle();
}

fn calling_out_over_tcp(stage: &mut Stage) {
    calling_out(stage);
}

/// The loop asks where nobody listens.
fn calling_nobody(stage: &mut Stage) {
    let host = stage.host();
    stage.forget_host();
    let client = stage.client();
    stage.say(client, QUESTIONS[0]);
    stage.connect(&host, QUESTIONS[1]);
    stage.settle();
}

/// Where the loop is to listen a dead server's socket stands.
fn a_path_that_was_left_behind(stage: &mut Stage) {
    let door = stage.side_door();
    let _ = fs::remove_file(&door); // of the run before
    drop(UnixListener::bind(&door)); // which leaves it there
    let listener = stage.twice("listen", |stage| stage.listen_at(Address::Unix(stage.side_door())));
    let client = stage.client_at(&door);
    stage.say(client, QUESTIONS[0]);
    stage.settle();
    if let Some(listener) = listener {
        stage.close_listener(listener);
    }
    stage.look_for(door);
}

/// A listener that several loops may share.
fn exclusive_listener(stage: &mut Stage) {
    let Some(Some(listener)) = stage.twice("listen", Stage::listen_exclusively) else { return };
    let client = stage.client_at(&stage.side_door());
    stage.say(client, QUESTIONS[0]);
    stage.settle();
    stage.close_listener(listener);
}

/// Layer 1 alone: three clients, of whom one is slow, and then a pipe, a datagram and another thread.
fn layer_1(stage: &mut Stage) {
    let (slow, split, other) = (stage.client(), stage.client(), stage.client());
    stage.clients[slow].slow = true;
    stage.say(slow, "Bytes 9000?Bytes 7000?");
    stage.say(split, "Simple is bet");
    stage.say(other, &QUESTIONS.concat());
    for _ in 0..4 {
        stage.turn();
        stage.take(slow, 1500);
    }
    stage.say(split, "ter than?What");
    stage.clients[slow].slow = false;
    stage.settle();
    stage.reset(other);
    if stage.twice("watch", |stage| kernel::armed(|| stage.bare().watch_more())).is_none() {
        return;
    }
    stage.note_rest();
    type Cause = fn(&mut Stage);
    let news: [(&[u8], Cause); 3] = [
        (b"Piped.", |stage| stage.bare().write_into_pipe()),
        (b"Datagram.", send_datagram),
        (b"Woken.", wake),
    ];
    for (expected, cause) in news {
        stage.expect(slow, expected);
        stage.expect(split, expected);
        cause(stage);
        stage.settle();
    }
}

fn send_datagram(stage: &mut Stage) {
    if let Some(address) = stage.bare().address() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let _ = socket.send_to(b"ping", address);
    }
}

/// From another thread, while the loop waits.
fn wake(stage: &mut Stage) {
    let call = stage.bare().caller();
    stage.turn(); // nothing is left that could end the wait in its place
    stage.during_the_next_wait(Box::new(move || {
        let thread = thread::spawn(move || kernel::armed(|| drop(call())));
        thread.join().expect("waking does not panic");
        false
    }));
    stage.turn_for_ever();
}

fn layer_1_by_edge(stage: &mut Stage) {
    layer_1(stage);
}

fn layer_1_by_level(stage: &mut Stage) {
    layer_1(stage);
}

fn layer_1_by_one_shot(stage: &mut Stage) {
    layer_1(stage);
}

/// Without any loop: conversations one after the other, each said before it is held.
fn nobodys_loop(stage: &mut Stage) {
    for said in ["Simple is better than?Later?", "Wait?Pieces?Explicit is bet", "Bye?", "Over?", "Abort?"] {
        let client = stage.client();
        stage.say(client, said);
        stage.finish_sending(client);
        stage.settle();
    }
}
