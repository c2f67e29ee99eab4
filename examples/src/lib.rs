//! The examples are programs: `cargo run -p zen-examples --example NAME`.
