//! Protocols that wrap protocols.

mod delimited;

pub use delimited::{Delimited, Frames};
