//! HTTP/1.1 itself, without files and without sockets: what a request is, where it ends, what an answer looks like.
//!
//! Read in this order: [`status`] (what became of a request), [`request`] (its head), [`framing`] (whether a body follows),
//! [`body`] (getting past it), [`response`] (the answer on the wire). RFC 9110 says what the words mean, RFC 9112 how they
//! are written.

pub mod body;
pub mod framing;
pub mod request;
pub mod response;
pub mod status;
