//! The guide: the same as the reference, as chapters.
//!
//! | chapter | for whom |
//! |---|---|
//! | [`the_turn`] | whoever wants to know what happens when, and why in this order |
//! | [`coming_from`] | whoever knows mio, tokio, asyncio or calloop, and is about to be surprised |
//! | [`choosing_a_backend`] | whoever asks what select, poll and epoll have to do with it |
//! | [`what_is_told`] | whoever wants to know what an event says, of which state, and how often |
//! | [`who_waits`] | whoever asks whether a client can tell a thread from a loop, and where it can |
//! | `reactor::simulation`, with the feature `sim` | whoever tests a protocol, against every whim of a kernel |
//!
//! All code in it is compiled and run with the tests.

#[doc = include_str!("the_turn.md")]
pub mod the_turn {}

#[doc = include_str!("coming_from.md")]
pub mod coming_from {}

#[doc = include_str!("choosing_a_backend.md")]
pub mod choosing_a_backend {}

#[doc = include_str!("what_is_told.md")]
pub mod what_is_told {}

#[doc = include_str!("who_waits.md")]
pub mod who_waits {}
