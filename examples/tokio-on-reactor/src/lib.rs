//! An unmodified tokio on our reactor: the parts of the program, for itself and for its tests.
//!
//! Nothing here names the reactor but [`proof`]. That is the point: `Cargo.toml` patches mio, and what stands on mio does not
//! notice.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod page;
pub mod proof;
pub mod zen;
