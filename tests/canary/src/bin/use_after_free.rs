//! A number is read after its memory was given back: what the address sanitizer must report.

use std::hint::black_box;

#[inline(never)]
fn planted(number: *const u64) -> u64 {
    // SAFETY: none; this is the error that is planted.
    unsafe { *number }
}

fn main() {
    let number = Box::new(1);
    let dangling = &raw const *number;
    drop(number);
    black_box(planted(black_box(dangling)));
}
