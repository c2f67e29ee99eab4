//! Outcomes that nobody could survive unhurt, each with its reason. A run that needs one says so, and the report counts them;
//! one that no run needs any more fails the test.

use crate::calls::Call;
use crate::kernel::Hit;

/// Something that may happen although the table of outcomes does not allow it.
pub struct Exception {
    pub what: &'static str,
    pub why: &'static str,
    /// What is complained of contains this,
    complaint: &'static str,
    /// where one of these failed.
    calls: &'static [Call],
}

pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        what: "a Unix socket's path stays where it was",
        why: "the kernel refused to look at it (lstat) or to remove it (unlink), and when a listener ends there is nobody \
              left to try again; the next one at this path removes it",
        complaint: "the listener left its path behind",
        calls: &[Call::lstat, Call::unlink],
    },
    Exception {
        what: "listening there again says that the address is in use",
        why: "such a path is still there, and for as long as it cannot be looked at, tried or removed, nobody can tell that \
              its owner is gone",
        complaint: "(os error 98)",
        calls: &[Call::lstat, Call::socket, Call::connect, Call::unlink],
    },
];

/// Calls that no scenario makes, and why.
pub const NEVER_MADE: &[(Call, &str)] = &[(
    Call::io_uring_register,
    "only a ring that two threads wait in asks for it, one after the other; all that is played here waits in one",
)];

/// The exception that covers a complaint.
pub fn covering(complaint: &str, hits: &[Hit]) -> Option<usize> {
    EXCEPTIONS.iter().position(|exception| {
        let is_hit = hits.iter().any(|hit| exception.calls.contains(&hit.call));
        is_hit && complaint.contains(exception.complaint)
    })
}
