//! A chat: what one says is heard by all, the sender included.
//!
//! ```console
//! $ cargo run --example chat_server
//! Listening at 127.0.0.1:4040
//! $ cargo run --example chat_client        # in other terminals, as many as you like
//! ```
//!
//! A message is UTF-8 text and ends with a NUL byte. The server passes it on as `ADDR: text`, where ADDR is the sender's
//! address as the server sees it, and again ends it with NUL: `127.0.0.1:50312: hello\0`. Joining and leaving stand in the log.
//!
//! What a member says and hears is written once, in `member.rs`. How it reaches the others is the model:
//!
//! * `--model reactor` (`on_reactor.rs`): one thread for all, and what is said goes through the loop's mailbox as one entry,
//!   however many members there are. A full mailbox keeps the *speaker* waiting, never the others.
//! * `--model threads` (`on_threads.rs`): two threads for each member, one that hears and one that speaks to it, and a lock
//!   around the list of members.
//!
//! Three things nobody can do here: keep the others waiting by not reading (whoever has a MiB of messages to catch up with is
//! thrown out), fill the memory with a message that never ends (64 KiB is the longest), or send what is no text (that ends the
//! conversation, with the reason in the log).

mod member;
mod on_reactor;
mod on_threads;

use clap::{Parser, ValueEnum};
use reactor::Backend;
use zen_examples::{Listen, WaitWith, parse, start_log, wrong};

const DEFAULT_PORT: u16 = 4040;

/// A chat server: what one says is heard by all
#[derive(Parser)]
#[command(
    after_help = "A message is UTF-8 and ends with NUL; all hear it as ADDR: text, NUL-ended. Try it with chat_client."
)]
struct Options {
    #[command(flatten)]
    listen: Listen,
    /// Who waits: one thread for all, or threads for each
    #[arg(long, value_enum, default_value = "reactor")]
    model: Model,
    #[command(flatten)]
    wait_with: WaitWith,
    /// Members at once; further ones wait to be let in
    #[arg(long, value_name = "N", default_value = "5000", value_parser = clap::value_parser!(u32).range(1..))]
    max_members: u32,
}

#[derive(Copy, Clone, PartialEq, ValueEnum)]
enum Model {
    Reactor,
    Threads,
}

fn main() {
    let options: Options = parse();
    if options.model == Model::Threads && options.wait_with.backend != Backend::Auto {
        wrong("--backend is for --model reactor: a thread waits in read(2) itself");
    }
    start_log();
    zen_examples::raise_descriptor_limit();
    let (listen, most) = (&options.listen, options.max_members as usize);
    match options.model {
        Model::Reactor => on_reactor::serve(listen, &options.wait_with, most),
        Model::Threads => on_threads::serve(listen, most),
    }
}
