//! What a wait of several system calls needs: the time that is left.
//!
//! (How a timeout is rounded to what a system call counts is said beside the call, in `sys/waiting.rs`.)

use std::time::{Duration, Instant};

use crate::clock;

/// When a wait is over that may take several rounds through the kernel.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Deadline {
    Never,
    At(Instant),
    /// The timeout was zero, so there is no need to ask what time it is.
    Passed,
}

impl Deadline {
    /// `None` is never, and so is what lies beyond the range of the clock.
    pub(crate) fn after(timeout: Option<Duration>) -> Deadline {
        match timeout {
            None => Deadline::Never,
            Some(Duration::ZERO) => Deadline::Passed,
            Some(timeout) => clock::now().checked_add(timeout).map_or(Deadline::Never, Deadline::At),
        }
    }

    /// The timeout of the next round: zero when it is over. (That of the first one is known without asking the clock.)
    pub(crate) fn left(self) -> Option<Duration> {
        match self {
            Deadline::Never => None,
            Deadline::At(end) => Some(end.saturating_duration_since(clock::now())),
            Deadline::Passed => Some(Duration::ZERO),
        }
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
