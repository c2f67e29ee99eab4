//! The thread-safe door of a loop: letters from other threads, and the bell that ends its wait.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::outside::{Mail, Receiver};
use super::protocol::{ConnectionId, Protocol};
use super::reactor::Reactor;
use crate::readiness::Waker;
use crate::readiness::backend::AnySelector;
use crate::sync::{AtomicBool, Mutex, MutexGuard};

/// A function that another thread wants the loop to run.
pub(crate) type Run<P> = Box<dyn FnOnce(&mut Reactor<P>) + Send>;

/// What another thread may post.
pub(crate) enum Letter<P: Protocol> {
    Mail(Mail<P::Message>),
    Run(Run<P>),
    Shutdown(Duration),
}

/// Shared by a loop and its handles.
pub(crate) struct Mailbox<P: Protocol> {
    letters: Mutex<Letters<P>>,
    capacity: usize,
    /// Whether the bell rang and the loop has not looked since: one system call wakes for many letters.
    rung: AtomicBool,
    bell: Waker,
}

struct Letters<P: Protocol> {
    queue: VecDeque<Letter<P>>,
    /// The loop is gone.
    closed: bool,
}

impl<P: Protocol> Mailbox<P> {
    pub(crate) fn new(selector: Arc<AnySelector>, key: u64, capacity: usize) -> io::Result<Mailbox<P>> {
        let bell = Waker::of(selector, key)?;
        let letters = Mutex::new(Letters { queue: VecDeque::new(), closed: false });
        Ok(Mailbox { letters, capacity, rung: AtomicBool::new(false), bell })
    }

    fn post(&self, letter: Letter<P>) -> Result<(), Letter<P>> {
        let mut letters = self.lock();
        let urgent = matches!(letter, Letter::Shutdown(_));
        if letters.closed || (letters.queue.len() >= self.capacity && !urgent) {
            return Err(letter);
        }
        letters.queue.push_back(letter);
        drop(letters);
        if !self.rung.swap(true, Ordering::AcqRel) {
            // A waker that was made cannot refuse other than by being full, which it handles.
            let _ = self.bell.wake();
        }
        Ok(())
    }

    /// Whether the bell rang since `take`.
    #[inline]
    pub(crate) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    /// All letters that are here, and from now on the bell rings again.
    pub(crate) fn take(&self) -> VecDeque<Letter<P>> {
        self.rung.store(false, Ordering::Release);
        std::mem::take(&mut self.lock().queue)
    }

    /// The loop ends: nothing more is accepted, and what is here is dropped.
    pub(crate) fn close(&self) {
        let mut letters = self.lock();
        letters.closed = true;
        let dropped = std::mem::take(&mut letters.queue);
        drop(letters); // a message's drop may post again
        drop(dropped);
    }

    /// No code of a user runs under the lock, so a poisoned one holds nothing half-done.
    fn lock(&self) -> MutexGuard<'_, Letters<P>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A way into the loop from other threads. Cheap to clone; `Send` and `Sync` if the messages are `Send`.
///
/// ```
/// use reactor::event_loop::{Context, Protocol, Reactor};
/// use std::time::Duration;
///
/// struct Silent;
/// impl Protocol for Silent {
///     type Message = ();
///     fn received(&mut self, input: &[u8], _: &mut Context<'_, ()>) -> usize { input.len() }
/// }
///
/// let mut reactor = Reactor::<Silent>::builder().build()?;
/// let handle = reactor.handle();
/// let other = std::thread::spawn(move || {
///     assert!(handle.run(|reactor| println!("{} connections", reactor.connections())));
///     handle.shutdown(Duration::from_secs(1));
/// });
/// reactor.run()?; // until shutdown
/// other.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Handle<P: Protocol>(Arc<Mailbox<P>>);

impl<P: Protocol> Handle<P> {
    pub(crate) fn new(mailbox: Arc<Mailbox<P>>) -> Handle<P> {
        Handle(mailbox)
    }

    /// Sends a message to a connection. To one that is gone it is dropped.
    ///
    /// # Errors
    /// The mailbox is full or the loop is gone: the message is handed back.
    pub fn send(&self, to: ConnectionId, message: P::Message) -> Result<(), P::Message> {
        self.mail(Mail { to: Receiver::One(to), message })
    }

    /// Sends a clone of `message` to each of many connections; in the mailbox it is one entry.
    ///
    /// # Errors
    /// As [`send`](Handle::send).
    pub fn send_all(&self, to: Arc<[ConnectionId]>, message: P::Message) -> Result<(), P::Message>
    where
        P::Message: Clone,
    {
        self.mail(Mail { to: Receiver::Many(to, P::Message::clone), message })
    }

    fn mail(&self, mail: Mail<P::Message>) -> Result<(), P::Message> {
        self.0.post(Letter::Mail(mail)).map_err(|letter| match letter {
            Letter::Mail(mail) => mail.message,
            _ => unreachable!("the letter that was posted comes back"),
        })
    }

    /// Runs `run` on the loop's thread, in its mailbox phase. `false`, and `run` dropped, if the mailbox is full or the loop
    /// is gone.
    pub fn run(&self, run: impl FnOnce(&mut Reactor<P>) + Send + 'static) -> bool {
        self.0.post(Letter::Run(Box::new(run))).is_ok()
    }

    /// [`Reactor::shutdown`] from afar. Gets through however full the mailbox is; without effect if the loop is gone.
    pub fn shutdown(&self, grace: Duration) {
        let _ = self.0.post(Letter::Shutdown(grace));
    }
}

impl<P: Protocol> Clone for Handle<P> {
    fn clone(&self) -> Handle<P> {
        Handle(Arc::clone(&self.0))
    }
}

impl<P: Protocol> fmt::Debug for Handle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_loop::{Context, Protocol};
    use crate::readiness::Backend;
    use crate::readiness::backend::{Callers, Selector};

    struct Silent;

    impl Protocol for Silent {
        type Message = u8;
        fn received(&mut self, input: &[u8], _: &mut Context<'_, u8>) -> usize {
            input.len()
        }
    }

    fn mailbox(capacity: usize) -> (Arc<AnySelector>, Handle<Silent>) {
        mailbox_over(Backend::Auto, capacity)
    }

    fn mailbox_over(backend: Backend, capacity: usize) -> (Arc<AnySelector>, Handle<Silent>) {
        let selector = Arc::new(backend.open(Callers::OneThread).unwrap());
        let mailbox = Mailbox::new(Arc::clone(&selector), 7, capacity).unwrap();
        (selector, Handle::new(Arc::new(mailbox)))
    }

    fn rings(selector: &AnySelector) -> usize {
        let mut ready = Vec::with_capacity(8);
        selector.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        ready.len()
    }

    #[test]
    fn the_bell_rings_once_for_many_letters() {
        let (selector, handle) = mailbox(10);
        for round in 0..3 {
            assert!(!handle.0.is_rung());
            (0..5).for_each(|number| handle.send(ConnectionId::NONE, number).unwrap());
            assert!(handle.0.is_rung());
            assert_eq!(rings(&selector), 1, "round {round}");
            assert_eq!(handle.0.take().len(), 5);
            assert_eq!(rings(&selector), 0);
        }
    }

    #[test]
    fn a_full_mailbox_takes_a_shutdown_and_nothing_else() {
        let (_selector, handle) = mailbox(2);
        assert_eq!((handle.send(ConnectionId::NONE, 1), handle.run(|_| {})), (Ok(()), true));
        assert_eq!((handle.send(ConnectionId::NONE, 2), handle.run(|_| {})), (Err(2), false));
        handle.shutdown(Duration::ZERO);
        let kinds: Vec<_> =
            handle.0.take().into_iter().map(|letter| matches!(letter, Letter::Shutdown(_))).collect();
        assert_eq!(kinds, [false, false, true]);
        assert_eq!(handle.send(ConnectionId::NONE, 3), Ok(()), "there is room again");
    }

    /// What is dropped with the mailbox may write one more letter.
    #[test]
    fn a_letter_dropped_with_the_mailbox_may_post_again() {
        let (_selector, handle) = mailbox(10);
        struct Posts(Handle<Silent>);
        impl Drop for Posts {
            fn drop(&mut self) {
                assert_eq!(self.0.send(ConnectionId::NONE, 1), Err(1));
            }
        }
        let posts = Posts(handle.clone());
        assert!(handle.run(move |_| drop(posts)));
        handle.0.close();
        assert_eq!(handle.0.take().len(), 0);
    }

    #[cfg(loom)]
    mod models {
        use super::*;
        use crate::sync::model::check;

        /// Two threads post, and the loop sleeps whenever nobody rings: a letter nobody rang for would never be read.
        #[test]
        fn no_letter_is_left_in_the_mailbox_of_a_loop_that_sleeps() {
            check(|| {
                let (selector, handle) = mailbox_over(Backend::Poll, 10);
                let posting = [1, 2].map(|number| {
                    let handle = handle.clone();
                    loom::thread::spawn(move || handle.send(ConnectionId::NONE, number).unwrap())
                });
                let (mut ready, mut read) = (Vec::with_capacity(8), 0);
                while read < posting.len() {
                    selector.wait(&mut ready, None).unwrap();
                    if handle.0.is_rung() {
                        read += handle.0.take().len();
                    }
                }
                posting.into_iter().for_each(|thread| thread.join().unwrap());
            });
        }

        /// What is posted while the loop ends is either handed back or dropped with the mailbox, and nothing stays behind.
        #[test]
        fn nothing_is_posted_into_a_closed_mailbox() {
            check(|| {
                let (_selector, handle) = mailbox_over(Backend::Poll, 10);
                let poster = handle.clone();
                let posting = loom::thread::spawn(move || poster.send(ConnectionId::NONE, 1));
                handle.0.close();
                let _ = posting.join().unwrap();
                assert_eq!(handle.0.take().len(), 0);
                assert_eq!(handle.send(ConnectionId::NONE, 2), Err(2));
            });
        }
    }
}
