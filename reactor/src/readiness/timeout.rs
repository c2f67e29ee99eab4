//! The one function that rounds a timeout.

use std::time::Duration;

/// A timeout in the milliseconds of epoll_wait(2): rounded up, so that a wait never ends before its time (truncating 0.9 ms
/// to 0 would spin), zero kept zero, and what is longer than `i32` counts (24.8 days) cut to that.
pub(crate) fn to_millis(timeout: Duration) -> i32 {
    let up = timeout.saturating_add(Duration::from_nanos(999_999));
    i32::try_from(up.as_millis()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Truncated to zero, a timeout spins; one millisecond too many is the over-correction. (Property: the smallest
        /// whole number of milliseconds that is not shorter.)
        #[test]
        fn rounds_up_and_only_what_must_be(seconds in 0u64..4_000_000, nanos in 0u32..1_000_000_000) {
            let timeout = Duration::new(seconds, nanos);
            let millis = to_millis(timeout);
            if timeout <= Duration::from_millis(i32::MAX as u64) {
                prop_assert!(Duration::from_millis(millis as u64) >= timeout);
                prop_assert!(millis == 0 || Duration::from_millis(millis as u64 - 1) < timeout);
            } else {
                prop_assert_eq!(millis, i32::MAX);
            }
        }
    }

    #[test]
    fn zero_stays_zero_and_the_longest_is_clamped() {
        assert_eq!(to_millis(Duration::ZERO), 0);
        assert_eq!(to_millis(Duration::from_nanos(1)), 1);
        assert_eq!(to_millis(Duration::MAX), i32::MAX);
    }
}
