//! The adapter for frames that end with a byte: it finds the frames that a plain search finds. The first byte of the input says
//! how long a frame may be.
#![no_main]

use std::convert::Infallible;

use libfuzzer_sys::fuzz_target;
use reactor::event_loop::Context;
use reactor::event_loop::adapter::{Delimited, Frames};
use zen_fuzz::answers_in_all_ways;

fuzz_target!(|input: &[u8]| {
    let Some((&longest, sent)) = input.split_first() else { return };
    let longest = usize::from(longest);
    let said = answers_in_all_ways(sent, 600, || Delimited(Quoting { longest }));
    assert!(said == expected(sent, longest), "{}", said.escape_ascii());
});

/// Says each frame again, in brackets.
struct Quoting {
    longest: usize,
}

impl Frames for Quoting {
    type Message = Infallible;

    fn delimiter(&self) -> u8 {
        b'\n'
    }

    fn longest(&self) -> usize {
        self.longest
    }

    fn frame(&mut self, frame: &[u8], cx: &mut Context<'_, Infallible>) {
        for part in [b"[", frame, b"]"] {
            cx.write(part);
        }
    }

    fn too_long(&mut self, cx: &mut Context<'_, Infallible>) {
        cx.write(b"!");
    }
}

fn expected(sent: &[u8], longest: usize) -> Vec<u8> {
    let mut said = Vec::new();
    let mut frames = sent.split(|&byte| byte == b'\n').peekable();
    while let Some(frame) = frames.next() {
        if frame.len() > longest {
            said.push(b'!');
            break;
        }
        if frames.peek().is_some() {
            said.extend([b"[", frame, b"]"].concat());
        }
    }
    said
}
