//! What is asked and what is answered: the zen service, the same for every server here and for the client.

/// The longest question a server listens to.
pub const LONGEST_QUESTION: usize = 4096;

/// What the client asks, in turn, and what it expects.
pub const CONVERSATION: [(&[u8], &[u8]); 3] = [
    (b"Beautiful is better than?", b"Ugly."),
    (b"Explicit is better than?", b"Implicit."),
    (b"Simple is better than?", b"Complex."),
];

/// The answer to one question. (A `match` on byte strings would be compiled into a tree of single bytes, four times as long
/// as these comparisons.)
#[inline]
pub fn answer(question: &[u8]) -> &'static [u8] {
    let known = CONVERSATION.iter().find(|(known, _)| *known == question);
    known.map_or(b"Error: unknown aphorism.", |(_, answer)| answer)
}

/// A question went on and on.
pub struct TooLong;

/// Answers every whole question in `input` and returns how many bytes they took.
#[inline]
pub fn answer_all(input: &[u8], output: &mut Vec<u8>) -> Result<usize, TooLong> {
    let mut taken = 0;
    while taken < input.len() {
        let Some(length) = memchr::memchr(b'?', &input[taken..]) else { break };
        output.extend_from_slice(answer(&input[taken..=taken + length]));
        taken += length + 1;
    }
    if input.len() - taken > LONGEST_QUESTION { Err(TooLong) } else { Ok(taken) }
}
