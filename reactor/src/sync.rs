//! Locks and flags that threads share: the standard library's, or in models those of loom.
//!
//! A model is a test that is run in every order in which its threads can meet, not only in the one that a machine happens to
//! choose (`bash .ci/run models`). For that loom has to see whatever one thread does to another: locks, flags, and the kernel.
//! What has no model uses the standard library as it is.

#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic::AtomicBool};

#[cfg(all(test, loom))]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, atomic::AtomicBool};

/// What models are made of.
#[cfg(all(test, loom))]
pub(crate) mod model {
    use loom::sync::atomic::{AtomicUsize, Ordering};

    loom::lazy_static! {
        static ref CALLS: AtomicUsize = AtomicUsize::new(0);
        static ref WAITS_BEGUN: AtomicUsize = AtomicUsize::new(0);
        static ref WAITS_OVER: AtomicUsize = AtomicUsize::new(0);
    }

    /// A system call that other threads notice. To loom it is a change of one number for all of them, so that it has its place
    /// among the others in every order. Who is told by the kernel what another thread did sees what that thread did before:
    /// the kernel has locks of its own around a bell, and every waker on epoll relies on that.
    pub(crate) fn kernel_call() {
        CALLS.fetch_add(1, Ordering::AcqRel);
    }

    /// A wait in the kernel. Loom runs one thread at a time, so nobody may block: who waits lets others run, and asks again.
    pub(crate) fn kernel_wait<T>(mut answer: impl FnMut() -> Option<T>) -> T {
        WAITS_BEGUN.fetch_add(1, Ordering::Relaxed);
        loop {
            kernel_call();
            if let Some(answer) = answer() {
                WAITS_OVER.fetch_add(1, Ordering::Relaxed);
                return answer;
            }
            loom::thread::yield_now();
        }
    }

    /// How many waits have begun.
    pub(crate) fn waits_begun() -> usize {
        WAITS_BEGUN.load(Ordering::Relaxed)
    }

    /// How many of them are over.
    pub(crate) fn waits_over() -> usize {
        WAITS_OVER.load(Ordering::Relaxed)
    }

    /// Runs `model` in every order of its threads in which they are interrupted three times at most.
    pub(crate) fn check(model: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.max_branches = 10_000;
        builder.check(model);
    }
}
