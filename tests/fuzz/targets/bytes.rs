//! The bytes service: whatever is asked, what is said is content from its beginning, or an error at the very end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zen_fuzz::answers_in_all_ways;
use zen_server::services::bytes::Service;
use zen_server::services::{Serve, Settings};

fuzz_target!(|sent: &[u8]| {
    let service = Service::start(&Settings { largest: 500, ..Settings::default() });
    answers_in_all_ways(sent, 200, || service.converse(None));
});
