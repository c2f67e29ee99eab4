//! What a registration asks for, and how often it is told.

use std::fmt;
use std::num::NonZeroU8;
use std::ops::{BitOr, BitOrAssign};

/// What a registration asks to be told about. Never empty.
///
/// ```
/// use reactor::Interest;
/// let both = Interest::READABLE | Interest::WRITABLE;
/// assert!(both.is_readable() && both.is_writable());
/// assert_eq!(both.remove(Interest::WRITABLE), Some(Interest::READABLE));
/// assert_eq!(Interest::READABLE.remove(Interest::READABLE), None);
/// ```
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interest(NonZeroU8);

impl Interest {
    /// There is something to read, or the peer finished sending.
    pub const READABLE: Interest = Interest::bit(0);
    /// There is room to write, or a connection attempt ended.
    pub const WRITABLE: Interest = Interest::bit(1);
    /// There is priority (out-of-band) data: `EPOLLPRI`, poll(2)'s `POLLPRI`, select(2)'s exceptional set.
    pub const PRIORITY: Interest = Interest::bit(4);

    /// Asynchronous I/O with files ended (`EVFILT_AIO`). It is for sources of other libraries, which register it with the
    /// kernel themselves (aio(4)): a [`Registry`](crate::Registry) cannot.
    #[cfg(has_evfilt_aio)]
    pub const AIO: Interest = Interest::ASYNCHRONOUS;
    /// A list of asynchronous I/O ended (`EVFILT_LIO`); as [`AIO`](Interest::AIO).
    #[cfg(has_evfilt_lio)]
    pub const LIO: Interest = Interest::ASYNCHRONOUS_LIST;

    const ASYNCHRONOUS: Interest = Interest::bit(2);
    const ASYNCHRONOUS_LIST: Interest = Interest::bit(3);

    const fn bit(place: u8) -> Interest {
        Interest(NonZeroU8::new(1 << place).expect("one bit is set"))
    }

    /// Both interests together; the same as `|`.
    ///
    /// ```
    /// use reactor::Interest;
    /// const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
    /// assert_eq!(BOTH, Interest::READABLE | Interest::WRITABLE);
    /// ```
    #[must_use]
    pub const fn add(self, other: Interest) -> Interest {
        Interest(self.0.saturating_add(other.0.get() & !self.0.get())) // `|` of these is no constant function yet
    }

    /// What is left without `other`, or `None` if nothing is.
    ///
    /// ```
    /// use reactor::Interest;
    /// let both = Interest::READABLE | Interest::WRITABLE;
    /// assert_eq!(both.remove(Interest::READABLE), Some(Interest::WRITABLE));
    /// assert_eq!(both.remove(both), None);
    /// ```
    #[must_use]
    pub fn remove(self, other: Interest) -> Option<Interest> {
        NonZeroU8::new(self.0.get() & !other.0.get()).map(Interest)
    }

    /// Whether [`READABLE`](Interest::READABLE) is part of it.
    ///
    /// ```
    /// assert!(reactor::Interest::READABLE.is_readable());
    /// ```
    #[must_use]
    pub const fn is_readable(self) -> bool {
        self.has(Interest::READABLE)
    }

    /// Whether [`WRITABLE`](Interest::WRITABLE) is part of it.
    ///
    /// ```
    /// assert!(reactor::Interest::WRITABLE.is_writable());
    /// ```
    #[must_use]
    pub const fn is_writable(self) -> bool {
        self.has(Interest::WRITABLE)
    }

    /// Whether [`PRIORITY`](Interest::PRIORITY) is part of it.
    ///
    /// ```
    /// assert!(reactor::Interest::PRIORITY.is_priority());
    /// ```
    #[must_use]
    pub const fn is_priority(self) -> bool {
        self.has(Interest::PRIORITY)
    }

    /// Whether asynchronous I/O with files is part of it, which only some systems with kqueue(2) have a name for.
    ///
    /// ```
    /// assert!(!reactor::Interest::READABLE.is_aio());
    /// ```
    #[must_use]
    pub const fn is_aio(self) -> bool {
        self.has(Interest::ASYNCHRONOUS)
    }

    /// Whether lists of asynchronous I/O are part of it, which only FreeBSD has a name for.
    ///
    /// ```
    /// assert!(!reactor::Interest::READABLE.is_lio());
    /// ```
    #[must_use]
    pub const fn is_lio(self) -> bool {
        self.has(Interest::ASYNCHRONOUS_LIST)
    }

    const fn has(self, other: Interest) -> bool {
        self.0.get() & other.0.get() != 0
    }
}

impl BitOr for Interest {
    type Output = Interest;
    fn bitor(self, other: Interest) -> Interest {
        self.add(other)
    }
}

impl BitOrAssign for Interest {
    fn bitor_assign(&mut self, other: Interest) {
        *self = *self | other;
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.is_readable(), "READABLE"),
            (self.is_writable(), "WRITABLE"),
            (self.is_aio(), "AIO"),
            (self.is_lio(), "LIO"),
            (self.is_priority(), "PRIORITY"),
        ];
        let present: Vec<&str> = names.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
        f.write_str(&present.join(" | "))
    }
}

/// When a registration speaks up.
///
/// [`Registry::register`](crate::Registry::register) uses `Edge`, as mio does;
/// [`Registry::register_with`](crate::Registry::register_with) takes any of the three, on every backend.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Once per change: read or write until [`WouldBlock`](std::io::ErrorKind::WouldBlock) (or until a transfer is
    /// shorter than asked) before waiting again.
    ///
    /// select, poll and polling have no edges. There it is emulated: what was told is not told again before the source was read
    /// or written, nor are news about it; and a source that was read but not drained may be told again.
    Edge,
    /// On every wait, as long as it is so.
    Level,
    /// Once; then silence until the next [`reregister_with`](crate::Registry::reregister_with).
    OneShot,
}
