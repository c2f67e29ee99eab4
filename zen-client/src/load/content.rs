//! What requests and answers consist of, so that every byte can be verified without being kept.

use zen_server::services::bytes::Content;
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

/// The answer to one request, from its first byte on. What is to be echoed is its own answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    service: Service,
    number: u64,
    /// Bytes of it that are behind us.
    position: u64,
    content: Content,
}

impl Answer {
    pub(super) fn new(service: Service, number: u64) -> Answer {
        Answer { service, number, position: 0, content: Content::new() }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Writes the next bytes.
    pub(super) fn fill(&mut self, share: &mut [u8]) {
        match self.service {
            Service::Zen => {
                let text = &aphorism(self.number).1.as_bytes()[self.position as usize..];
                share.copy_from_slice(&text[..share.len()]);
            }
            Service::Bytes => self.content.fill(share),
            Service::Echo => {
                // Different for each request: one that came back for another would not be noticed else.
                self.content.fill(share);
                let mark = self.number.to_le_bytes();
                let places = self.position as usize..;
                share.iter_mut().zip(places).for_each(|(byte, place)| *byte ^= mark[place % mark.len()]);
            }
        }
        self.position += share.len() as u64;
    }

    /// Compares what came with the next bytes: the place of the first that differs, and what belongs there.
    pub(super) fn difference(&mut self, came: &[u8]) -> Option<(u64, u8)> {
        let mut expected = [0; SHARE];
        for share in came.chunks(SHARE) {
            let (start, expected) = (self.position, &mut expected[..share.len()]);
            self.fill(expected);
            if share != expected {
                let place = share.iter().zip(&*expected).position(|(came, expected)| came != expected)?;
                return Some((start + place as u64, expected[place]));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(service: Service, number: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        Answer::new(service, number).fill(&mut bytes);
        bytes
    }

    #[test]
    fn an_answer_is_the_same_however_it_is_cut() {
        for service in [Service::Bytes, Service::Echo] {
            let whole = answer(service, 7, 10_000);
            for size in [1, 7, 8, 13, 4095, 4096, 4097] {
                let (mut made, mut expected) = (Answer::new(service, 7), Answer::new(service, 7));
                for piece in whole.chunks(size) {
                    let mut share = vec![0; piece.len()];
                    made.fill(&mut share);
                    assert_eq!(share, piece, "{service} by {size}");
                    assert_eq!(expected.difference(piece), None, "{service} by {size}");
                }
            }
        }
    }

    #[test]
    fn what_is_echoed_differs_from_request_to_request() {
        assert_ne!(answer(Service::Echo, 7, 8), answer(Service::Echo, 8, 8));
        assert_ne!(answer(Service::Echo, 7, 8), answer(Service::Echo, 7 + 256, 8));
        assert_eq!(answer(Service::Bytes, 7, 8), answer(Service::Bytes, 8, 8));
    }

    #[test]
    fn one_wrong_byte_is_found_anywhere() {
        for place in [0, 1, 4095, 4096, 9999] {
            let mut came = answer(Service::Bytes, 7, 10_000);
            let right = came[place];
            came[place] ^= 1;
            let found = Answer::new(Service::Bytes, 7).difference(&came);
            assert_eq!(found, Some((place as u64, right)));
            assert_eq!(Answer::new(Service::Bytes, 7).difference(&came[..place]), None);
        }
    }

    #[test]
    fn a_zen_answer_is_known_by_its_question() {
        assert_eq!(question(2), "Simple is better than?");
        assert_eq!(answer(Service::Zen, 2, 8), b"Complex.");
        assert_eq!(Answer::new(Service::Zen, 2).difference(b"Ugly."), Some((0, b'C')));
    }
}
