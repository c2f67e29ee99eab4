//! A member of the chat, alone in the room: it hears what it says, as long as that is text.
#![no_main]

#[path = "../../../examples/examples/chat_server/member.rs"]
#[allow(dead_code)] // what the programs use besides
mod member;

use libfuzzer_sys::fuzz_target;
use member::{Member, Room, Said};
use reactor::event_loop::Context;
use reactor::event_loop::adapter::Delimited;
use zen_fuzz::answers_in_all_ways;

/// What is said to oneself does not wait for room. (The server's limit is behind it.)
const MOST_UNSENT: usize = 1 << 20;

fuzz_target!(|sent: &[u8]| {
    let heard = answers_in_all_ways(sent, MOST_UNSENT, || Delimited(Member::new("me", Alone)));
    assert!(heard == expected(sent), "{}", heard.escape_ascii());
});

struct Alone;

impl Room for Alone {
    fn join(&mut self, _: &mut Context<'_, Said>) {}

    fn tell_all(&mut self, said: Said, cx: &mut Context<'_, Said>) -> Result<(), Said> {
        cx.send(cx.id(), said)
    }

    fn ask_for_farewell(&mut self, cx: &mut Context<'_, Said>) -> bool {
        cx.send(cx.id(), Said::Farewell).is_ok()
    }
}

fn expected(sent: &[u8]) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut messages = sent.split(|&byte| byte == 0).peekable();
    while let Some(message) = messages.next() {
        let is_whole = messages.peek().is_some();
        if message.len() > member::LONGEST_MESSAGE || (is_whole && std::str::from_utf8(message).is_err()) {
            break;
        }
        if is_whole {
            heard.extend([b"me: ", message, b"\0"].concat());
        }
    }
    heard
}
