//! What a wait of several system calls needs: the time that is left.
//!
//! (How a timeout is rounded to what a system call counts is said beside the call, in `sys/waiting.rs`.)

use std::time::{Duration, Instant};

use crate::clock;

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

    #[test]
    fn no_timeout_and_one_beyond_the_clock_are_for_ever() {
        assert_eq!(Deadline::after(None).left(), None);
        assert_eq!(Deadline::after(Some(Duration::MAX)).left(), None);
        assert!(!Deadline::after(Some(Duration::MAX)).is_over());
        assert!(Deadline::after(Some(Duration::ZERO)).is_over());
    }
}
