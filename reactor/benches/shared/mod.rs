//! What the programs that measure have in common: this package's `readiness` and the `compare` of `zen-server`.

pub mod counting;
pub mod machine;
pub mod progress;
pub mod report;
pub mod statistics;
