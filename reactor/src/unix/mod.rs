//! Unix only: raw descriptors as sources, and pipes.

pub mod pipe;
mod source_fd;

pub use source_fd::SourceFd;
