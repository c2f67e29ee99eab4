//! The one place that reads the time.
//!
//! Everything that needs *now* gets it here, so that a test can forbid every other reading, and a simulated kernel has one
//! thing to replace.

use std::time::Instant;

/// The monotonic time (clock_gettime(2), `CLOCK_MONOTONIC`).
#[inline]
pub(crate) fn now() -> Instant {
    #[cfg(feature = "sim")]
    {
        if let Some(now) = crate::sys::simulated::now() {
            return now;
        }
    }
    Instant::now()
}
