//! Conversations on a blocking thread that nobody helps to an end.

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use reactor::event_loop::{CloseReason, Context, Limits, Protocol, Timer, converse};

/// Longer than anything here takes. (IMPATIENT: with a bug planted, what is waited for never comes.)
const LONG: Duration = Duration::from_secs(if option_env!("IMPATIENT").is_some() { 4 } else { 10 });

/// Says so much and closes, at once or when a timer rings.
struct Say {
    bytes: usize,
    after: Option<Duration>,
}

impl Protocol for Say {
    type Message = ();

    fn opened(&mut self, cx: &mut Context<'_, ()>) {
        match self.after {
            Some(after) => _ = cx.start_timer(after),
            None => self.say(cx),
        }
    }
    fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize {
        input.len()
    }
    fn timer(&mut self, _: Timer, cx: &mut Context<'_, ()>) {
        self.say(cx);
    }
}

impl Say {
    fn say(&mut self, cx: &mut Context<'_, ()>) {
        cx.write_owned(vec![b'!'; self.bytes]);
        cx.close();
    }
}

/// The conversation's thread, and the peer's end.
fn begin(say: Say, linger_time: Duration) -> (JoinHandle<CloseReason>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let limits = Limits { linger_time, ..Limits::default() };
    (std::thread::spawn(move || converse(ours, say, &limits).expect("a conversation")), theirs)
}

/// Why it ended. Until then, `meanwhile` again and again.
fn ended(thread: JoinHandle<CloseReason>, meanwhile: impl Fn(&JoinHandle<CloseReason>)) -> String {
    let started = Instant::now();
    while !thread.is_finished() {
        assert!(started.elapsed() < LONG, "it has no end");
        meanwhile(&thread);
        std::thread::sleep(Duration::from_millis(1));
    }
    format!("{:?}", thread.join().expect("no panic"))
}

#[test]
fn a_timer_rings_however_many_signals_come() {
    extern "C" fn nothing(_: i32) {}
    let handler: extern "C" fn(i32) = nothing;
    // SAFETY: the handler does nothing, which any handler may do.
    unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
    let (thread, _theirs) = begin(Say { bytes: 1, after: Some(Duration::from_millis(100)) }, Duration::ZERO);
    // SAFETY: the thread is not joined yet, so its id stands for it.
    let signal =
        |thread: &JoinHandle<_>| unsafe { _ = libc::pthread_kill(thread.as_pthread_t(), libc::SIGUSR1) };
    assert_eq!(ended(thread, signal), "Finished");
}

#[test]
fn a_peer_that_never_reads_does_not_keep_a_conversation_that_closes() {
    let (thread, _theirs) = begin(Say { bytes: 4 << 20, after: None }, Duration::from_millis(50));
    assert!(ended(thread, |_| {}).starts_with("Unsent"));
}

#[test]
fn lingering_may_be_for_ever() {
    let (thread, mut theirs) = begin(Say { bytes: 1, after: None }, Duration::MAX);
    theirs.read_exact(&mut [0]).expect("what it says");
    drop(theirs);
    assert_eq!(ended(thread, |_| {}), "Finished");
}
