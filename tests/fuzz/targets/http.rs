//! The web server's side of HTTP: nothing that is asked gets out what lies outside of the document root.
#![no_main]

macro_rules! modules_of_the_web_server {
    ($($name:ident = $path:literal),*) => {$(
        #[path = $path]
        #[allow(dead_code)] // what the program uses besides
        mod $name;
    )*};
}
modules_of_the_web_server! {
    conversation = "../../../examples/examples/web_server/conversation.rs",
    http = "../../../examples/examples/web_server/http/mod.rs",
    log = "../../../examples/examples/web_server/log.rs",
    pace = "../../../examples/examples/web_server/pace.rs",
    site = "../../../examples/examples/web_server/site/mod.rs"
}

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use conversation::Conversation;
use libfuzzer_sys::fuzz_target;
use log::Log;
use site::Site;
use site::files::Root;
use zen_fuzz::answers_in_all_ways;

/// An answer is written whole, so one more than fits into the room may wait: a page or a small file, and its head.
const MOST_UNSENT: usize = 64 * 1024;

const SECRET: &[u8] = b"what nobody is to read";

/// Small files below a root, a secret beside it, and a link from here to there.
static SITE: LazyLock<Arc<Site>> = LazyLock::new(|| {
    let root = Root::open(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/site/root"))).expect("it is there");
    let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000); // later than the files
    Arc::new(Site { root, log: Log::Nowhere, clock })
});

fuzz_target!(|sent: &[u8]| {
    let peer = ([192, 0, 2, 1], 5000).into();
    let said = answers_in_all_ways(sent, MOST_UNSENT, || Conversation::new(Arc::clone(&SITE), peer));
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 "), "{}", said.escape_ascii());
    let contains_secret = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET);
    assert!(!contains_secret(&said) || contains_secret(sent), "a file outside of the root was sent");
});
