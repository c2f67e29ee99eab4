//! What the answers consist of, so that every byte of them can be verified without being kept.

use zen_server::services::zen::APHORISMS;

use super::plan::Service;

/// Bytes that are compared at a time.
const SHARE: usize = 4096;

/// The question with this number: the three of the service in turn.
pub(super) fn question(number: u64) -> &'static str {
    aphorism(number).0
}

fn aphorism(number: u64) -> (&'static str, &'static str) {
    APHORISMS[(number % APHORISMS.len() as u64) as usize]
}

/// Bytes of the answer to request `number`, if `bytes` were asked for.
pub(super) fn length(service: Service, number: u64, bytes: u64) -> u64 {
    match service {
        Service::Zen => aphorism(number).1.len() as u64,
        Service::Bytes | Service::Echo => bytes,
    }
}

/// Fills `share` with what stands from byte `at` in the answer to request `number`.
fn fill(service: Service, number: u64, at: u64, share: &mut [u8]) {
    match service {
        Service::Zen => share.copy_from_slice(&aphorism(number).1.as_bytes()[at as usize..][..share.len()]),
        Service::Bytes => random(0, at, share),
        Service::Echo => random(number, at, share),
    }
}

/// Appends `length` bytes of what request `number` wants echoed, from byte `at`.
pub(super) fn append(number: u64, at: u64, length: usize, to: &mut Vec<u8>) {
    let start = to.len();
    to.resize(start + length, 0);
    random(number, at, &mut to[start..]);
}

/// Compares what came with what should have: the place of the first byte that differs, and what belongs there.
pub(super) fn difference(service: Service, number: u64, at: u64, came: &[u8]) -> Option<(u64, u8)> {
    let mut expected = [0; SHARE];
    let mut at = at;
    for share in came.chunks(SHARE) {
        let expected = &mut expected[..share.len()];
        fill(service, number, at, expected);
        if share != expected {
            let place = share.iter().zip(&*expected).position(|(came, expected)| came != expected)?;
            return Some((at + place as u64, expected[place]));
        }
        at += share.len() as u64;
    }
    None
}

/// Pseudo-random bytes of one of 2⁶⁴ sequences, from any place of it: SplitMix64 (Steele, Lea, Flood: "Fast splittable
/// pseudorandom number generators", 2014), which computes its n-th number without those before.
fn random(sequence: u64, at: u64, share: &mut [u8]) {
    let start = mix(sequence.wrapping_add(1));
    let (mut word, mut skip) = (at / 8, (at % 8) as usize);
    let mut rest = share;
    while !rest.is_empty() {
        let bytes = mix(start.wrapping_add(word.wrapping_mul(0x9e37_79b9_7f4a_7c15))).to_le_bytes();
        let length = rest.len().min(8 - skip);
        let (now, later) = rest.split_at_mut(length);
        now.copy_from_slice(&bytes[skip..skip + length]);
        (rest, word, skip) = (later, word + 1, 0);
    }
}

fn mix(mut word: u64) -> u64 {
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(number: u64, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        append(number, 0, length, &mut bytes);
        bytes
    }

    #[test]
    fn a_sequence_is_the_same_wherever_one_begins() {
        let whole = echo(7, 10_000);
        for (at, length) in [(0, 1), (1, 7), (3, 13), (8, 8), (4095, 2), (5000, 5000)] {
            let mut part = Vec::new();
            append(7, at as u64, length, &mut part);
            assert_eq!(part, whole[at..at + length], "{length} from {at}");
        }
        assert_ne!(whole, echo(8, 10_000), "each request has its own");
    }

    #[test]
    fn one_wrong_byte_is_found_anywhere() {
        for place in [0, 1, 4095, 4096, 9999] {
            let mut came = echo(7, 10_000);
            assert_eq!(difference(Service::Echo, 7, 0, &came), None);
            let right = came[place];
            came[place] ^= 1;
            assert_eq!(difference(Service::Echo, 7, 0, &came), Some((place as u64, right)));
            assert_eq!(difference(Service::Echo, 7, 0, &came[..place]), None);
        }
    }

    #[test]
    fn a_zen_answer_is_known_by_its_question() {
        assert_eq!(question(2), "Simple is better than?");
        assert_eq!(difference(Service::Zen, 2, 0, b"Complex."), None);
        assert_eq!(difference(Service::Zen, 2, 4, b"lex."), None);
        assert_eq!(difference(Service::Zen, 2, 0, b"Ugly."), Some((0, b'C')));
    }
}
