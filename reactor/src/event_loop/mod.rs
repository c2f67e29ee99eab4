//! (to come)

#[allow(dead_code)] // until the reactor stands on it
mod timer;

pub use timer::Timer;
