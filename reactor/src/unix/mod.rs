//! Unix only: raw descriptors as sources.

mod source_fd;

pub use source_fd::SourceFd;
