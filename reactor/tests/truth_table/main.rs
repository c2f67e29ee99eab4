//! The tables in the guide's chapter "What is told", held against what each backend really tells. (mio#1110: what the flags of
//! a closed connection mean differed from system to system, and nobody had written it down.)
//!
//! With `WRITE_TRUTH_TABLE=1` in the environment the tables are written anew, from what the backends of this machine tell.

#[path = "../support/mod.rs"]
mod support;

mod how_often;
mod states;
mod table;

use reactor::event::Event;

/// An event as the tables have it: the letters of what is so, a dash for none.
fn letters(event: Option<&Event>) -> String {
    let Some(event) = event else { return "–".to_owned() };
    assert!(event.is_write_closed() || !event.is_error(), "an error does not wake the writer: {event:?}");
    let all = [
        (event.is_readable(), "R"),
        (event.is_writable(), "W"),
        (event.is_priority(), "P"),
        (event.is_error(), "E"),
        (event.is_read_closed(), "RC"),
        (event.is_write_closed(), "WC"),
    ];
    let so: Vec<&str> = all.iter().filter(|(is, _)| *is).map(|&(_, letters)| letters).collect();
    so.join(" ")
}
