//! What moves the bytes: each driver tells sessions what happened and does what they demand.
//!
//! | driver | who waits | how |
//! |---|---|---|
//! | [`readiness`] | the loop, for everybody | select, poll or epoll says who is ready, then the system call is tried |
//! | [`blocking`] | a thread, for one | the system call itself |
//! | [`memory`] | nobody | a test plays the peer |

pub(super) mod blocking;
pub(super) mod memory;
pub(super) mod readiness;
