//! What a wait of several system calls needs: a timeout cut to what the kernel can wait, and the time that is left.
//!
//! (How a timeout is rounded to what a system call counts is said beside the call, in `sys/waiting.rs`.)

use std::time::{Duration, Instant};

use crate::clock;

/// What one system call can wait for on every kernel: 24.8 days, the milliseconds in an `i32`.
const LONGEST_WAIT: Duration = Duration::from_millis(i32::MAX as u64);

/// Splits a timeout into what the next system call waits for and what is left for those after it.
#[inline]
pub(crate) fn split(timeout: Option<Duration>) -> (Option<Duration>, Duration) {
    match timeout {
        None => (None, Duration::ZERO),
        Some(timeout) => (Some(timeout.min(LONGEST_WAIT)), timeout.saturating_sub(LONGEST_WAIT)),
    }
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
        /// However long a timeout is, the rounds it is split into add up to it, and each is one the kernel can wait.
        #[test]
        fn the_parts_of_a_timeout_add_up_to_it(seconds in 0u64..100_000_000, nanos in 0u32..1_000_000_000) {
            let timeout = Duration::new(seconds, nanos);
            let (mut sum, mut left) = (Duration::ZERO, timeout);
            loop {
                let (now, later) = split(Some(left));
                prop_assert!(now.is_some_and(|now| now <= LONGEST_WAIT));
                sum += now.unwrap_or_default();
                if later.is_zero() {
                    break;
                }
                left = later;
            }
            prop_assert_eq!(sum, timeout);
        }
    }

    #[test]
    fn no_timeout_and_one_beyond_the_clock_are_for_ever() {
        assert_eq!(split(None), (None, Duration::ZERO));
        assert_eq!(Deadline::after(None).left(), None);
        assert_eq!(Deadline::after(Some(Duration::MAX)).left(), None);
        assert!(!Deadline::after(Some(Duration::MAX)).is_over());
        assert!(Deadline::after(Some(Duration::ZERO)).is_over());
    }
}
