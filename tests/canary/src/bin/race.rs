//! Two threads change one number and nothing orders them: what the thread sanitizer must report.

use std::cell::UnsafeCell;
use std::thread;

/// A cell that claims what is not true: that it may be shared.
struct Shared(UnsafeCell<u64>);

// SAFETY: none; this is the error that is planted.
unsafe impl Sync for Shared {}

static NUMBER: Shared = Shared(UnsafeCell::new(0));

#[inline(never)]
fn planted() {
    for _ in 0..1000 {
        // SAFETY: none, as above.
        unsafe { *NUMBER.0.get() += 1 }
    }
}

fn main() {
    let other = thread::spawn(planted);
    planted();
    other.join().expect("adding does not panic");
}
