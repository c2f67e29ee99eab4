//! The list that one poll fills in.

use std::fmt;
use std::slice;

use super::event::Event;

/// What one [`poll`](crate::Poll::poll) reports: at most [`capacity`](Events::capacity) events at a time, the rest with the
/// next. The capacity doubles when it was not enough.
///
/// ```
/// use std::time::Duration;
/// use reactor::{Events, Poll};
/// let mut events = Events::with_capacity(1024);
/// Poll::new()?.poll(&mut events, Some(Duration::ZERO))?;
/// for event in &events {
///     println!("{:?} is ready", event.token());
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Events {
    ready: Vec<Event>,
}

impl Events {
    /// With room for this many events, at least one.
    ///
    /// ```
    /// assert_eq!(reactor::Events::with_capacity(1024).capacity(), 1024);
    /// ```
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Events {
        Events { ready: Vec::with_capacity(capacity.max(1)) }
    }

    /// How many events one poll may report.
    ///
    /// ```
    /// assert_eq!(reactor::Events::with_capacity(0).capacity(), 1);
    /// ```
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ready.capacity()
    }

    /// Whether the last poll reported nothing: its timeout passed.
    ///
    /// ```
    /// assert!(reactor::Events::with_capacity(8).is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// The events of the last poll.
    ///
    /// ```
    /// let events = reactor::Events::with_capacity(8);
    /// assert_eq!(events.iter().len(), 0);
    /// ```
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: self.ready.iter() }
    }

    /// Forgets the events; a poll does so by itself.
    ///
    /// ```
    /// let mut events = reactor::Events::with_capacity(8);
    /// events.clear();
    /// assert!(events.is_empty());
    /// ```
    pub fn clear(&mut self) {
        self.ready.clear();
    }

    /// Where a wait puts them.
    #[inline]
    pub(super) fn ready(&mut self) -> &mut Vec<Event> {
        &mut self.ready
    }

    /// Doubles the capacity if the last wait used all of it.
    #[inline]
    pub(super) fn grow_if_full(&mut self) {
        if self.ready.len() == self.ready.capacity() {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        self.ready.reserve_exact(self.ready.len());
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a Event;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// Iterates over [`Events`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: slice::Iter<'a, Event>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Event;

    #[inline]
    fn next(&mut self) -> Option<&'a Event> {
        self.rest.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rest.size_hint()
    }
}

impl ExactSizeIterator for Iter<'_> {}
