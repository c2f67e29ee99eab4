//! What can be registered.

use std::io;

use super::registry::Registry;
use super::{Interest, Token};

/// Something that can be registered.
///
/// The three methods are called by [`Registry`], not by the user. A type of your own hands them on to what it is made of: a
/// socket of [`net`](crate::net), or any descriptor in a [`SourceFd`](crate::unix::SourceFd). How often it speaks up
/// ([`Trigger`](crate::Trigger)) travels in the registry it is given.
///
/// A source must be deregistered before it is dropped: a duplicate of its descriptor would keep the registration alive, and
/// select and poll never learn of a close.
///
/// ```
/// use std::{fs::File, io, os::fd::AsRawFd};
/// use reactor::{Interest, Registry, Token, event::Source, unix::SourceFd};
///
/// struct Keyboard(File);
///
/// impl Source for Keyboard {
///     fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
///         SourceFd(&self.0.as_raw_fd()).register(registry, token, interests)
///     }
///     fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
///         SourceFd(&self.0.as_raw_fd()).reregister(registry, token, interests)
///     }
///     fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
///         SourceFd(&self.0.as_raw_fd()).deregister(registry)
///     }
/// }
/// ```
pub trait Source {
    /// Starts to watch. [`Registry::register`] says what can go wrong.
    ///
    /// # Errors
    /// As [`Registry::register`].
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()>;

    /// Replaces what is watched for.
    ///
    /// # Errors
    /// As [`Registry::reregister`].
    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()>;

    /// Stops watching.
    ///
    /// # Errors
    /// As [`Registry::deregister`].
    fn deregister(&mut self, registry: &Registry) -> io::Result<()>;
}

impl<T> Source for Box<T>
where
    T: Source + ?Sized,
{
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        (**self).register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        (**self).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        (**self).deregister(registry)
    }
}
