//! Does tokio ask our reactor? Only that one knows what `REACTOR_BACKEND` means: with a name that is none it refuses to start a
//! runtime, and tells which names it would have taken.

fn main() {
    match tokio::runtime::Runtime::new() {
        Ok(_) => println!("a runtime started"),
        Err(error) => println!("{error}"),
    }
}
