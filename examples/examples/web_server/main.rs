//! A web server: HTTP/1.1, static files, one protocol and three ways to wait.
//!
//! ```console
//! $ cargo run --example web_server
//! Listening at 127.0.0.1:8080
//! $ cargo run --example web_server -- ~/site --model pool --workers 4 -p 8000
//! ```
//!
//! Then look at `http://127.0.0.1:8080/`, `/now`, or `/show_request` in a browser.
//!
//! What the server says is written once, in [`conversation`], as a protocol without any I/O; [`http`] holds the rules of
//! HTTP, [`site`] what there is to see. The files in [`models`] decide who waits for the bytes: one event loop, a thread for
//! each client, or a few threads and a queue. Compare those three by eye; nothing else differs between them.
#![forbid(unsafe_code)]

mod conversation;
mod http;
mod log;
mod models;
mod options;
mod pace;
mod site;

#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use zen_examples::{fail, parse, raise_descriptor_limit, start_log};

use log::Log;
use options::{Model, Options};
use site::Site;
use site::files::Root;

fn main() -> ExitCode {
    let options: Options = parse();
    options.check();
    start_log();
    // A client costs a descriptor, in some models two, and a file that is being sent another one.
    raise_descriptor_limit();
    let root = Root::open(&options.root)
        .unwrap_or_else(|error| fail(format_args!("cannot serve {}: {error}", options.root.display())));
    let log = if options.quiet { Log::Nowhere } else { Log::StandardError };
    let site = Arc::new(Site { root, log, clock: SystemTime::now });
    let served = match options.model {
        Model::Reactor => models::reactor::serve(&options, &site),
        Model::Threads => models::threads::serve(&options, &site),
        Model::Pool => models::pool::serve(&options, &site),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}
