//! The one function that rounds a timeout, and what a wait of several system calls needs.

use std::time::{Duration, Instant};

use crate::clock;

/// A timeout in the milliseconds of epoll_wait(2): rounded up, so that a wait never ends before its time (truncating 0.9 ms
/// to 0 would spin), zero kept zero, and what is longer than `i32` counts (24.8 days) cut to that.
pub(crate) fn to_millis(timeout: Duration) -> i32 {
    let up = timeout.saturating_add(Duration::from_nanos(999_999));
    i32::try_from(up.as_millis()).unwrap_or(i32::MAX)
}

/// The timeout in milliseconds if they say it exactly, as they do of most timeouts, zero among them.
#[inline]
pub(crate) fn whole_millis(timeout: Duration) -> Option<i32> {
    let (seconds, beyond) = (i32::try_from(timeout.as_secs()).ok()?, timeout.subsec_nanos());
    if beyond % 1_000_000 != 0 {
        return None;
    }
    seconds.checked_mul(1000)?.checked_add((beyond / 1_000_000) as i32)
}

/// When a wait is over that takes several rounds through the kernel.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// `None` is never, and so is what lies beyond the range of the clock.
    pub(crate) fn after(timeout: Option<Duration>) -> Deadline {
        Deadline(timeout.and_then(|timeout| clock::now().checked_add(timeout)))
    }

    /// The timeout of the next round: zero when it is over.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0.map(|end| end.saturating_duration_since(clock::now()))
    }

    pub(crate) fn is_over(self) -> bool {
        self.left() == Some(Duration::ZERO)
    }
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

        /// Whole milliseconds are those that rounding leaves alone, as far as they can be counted.
        #[test]
        fn what_milliseconds_say_exactly_is_not_rounded(seconds in 0u64..4_000_000, nanos in 0u32..1_000_000_000) {
            let timeout = Duration::new(seconds, nanos);
            let rounded = Duration::from_millis(to_millis(timeout) as u64);
            prop_assert_eq!(whole_millis(timeout), (rounded == timeout).then_some(to_millis(timeout)));
            prop_assert_eq!(whole_millis(rounded), Some(to_millis(timeout)));
        }
    }

    #[test]
    fn zero_stays_zero_and_the_longest_is_clamped() {
        assert_eq!(to_millis(Duration::ZERO), 0);
        assert_eq!(to_millis(Duration::from_nanos(1)), 1);
        assert_eq!(to_millis(Duration::MAX), i32::MAX);
        assert_eq!(whole_millis(Duration::from_secs(u64::MAX)), None);
    }

    #[test]
    fn no_timeout_and_one_beyond_the_clock_are_for_ever() {
        assert_eq!(Deadline::after(None).left(), None);
        assert_eq!(Deadline::after(Some(Duration::MAX)).left(), None);
        assert!(!Deadline::after(Some(Duration::MAX)).is_over());
        assert!(Deadline::after(Some(Duration::ZERO)).is_over());
    }
}
