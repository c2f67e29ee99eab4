//! The zen service: each question has its answer, and nothing else is said.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zen_fuzz::answers_in_all_ways;
use zen_server::services::zen::{Answer, LONGEST_QUESTION, Service};

fuzz_target!(|sent: &[u8]| {
    let service = Service::new(None);
    let said = answers_in_all_ways(sent, 200, || service.converse(None));
    assert!(said == expected(sent).as_bytes(), "{} instead of {}", said.escape_ascii(), expected(sent));
});

/// The same, thought out once more. (The last piece is no question: no `?` ended it.)
fn expected(sent: &[u8]) -> String {
    let mut answers = String::new();
    let mut questions = sent.split(|&byte| byte == b'?').peekable();
    while let Some(question) = questions.next() {
        if question.len() >= LONGEST_QUESTION {
            return answers + Answer::TooLong.text();
        }
        if questions.peek().is_some() {
            answers += Answer::to(question).text();
        }
    }
    answers
}
