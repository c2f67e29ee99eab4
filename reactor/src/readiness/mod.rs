//! Layer 1: who is ready?

pub(crate) mod backend;
pub mod event;
mod interest;
mod source;
pub(crate) mod timeout;
mod token;
pub(crate) mod waker;

pub use backend::Backend;
pub use interest::{Interest, Trigger};
pub use token::Token;
