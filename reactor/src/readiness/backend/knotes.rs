//! The memory that kqueue(2) does not share: which knotes belong to one registration.
//!
//! The kernel knows knotes, one for each direction of a descriptor, and takes whatever is said of one for an order. That two of
//! them are one source, that a source is registered already, that a one-shot was told, and which key its events carry, is
//! remembered here: a table keyed by descriptor. Each knote carries the number of its registration, so that an event that the
//! kernel told of a former one is not taken for news of the next.

use std::os::fd::RawFd;

use super::Registration;
use crate::readiness::event::Event;
use crate::readiness::interest::{Interest, Trigger};
use crate::sys::kqueue_flags::{CLEAR, DISABLE, DISPATCH, EOF, ERROR};
use crate::sys::{self, Filter, Kevent};

/// What is registered in one kqueue.
#[derive(Debug, Default)]
pub(super) struct Knotes {
    /// Indexed by descriptor: the kernel gives out the lowest number that is free, so there are few holes.
    watches: Vec<Option<Watch>>,
    /// The keys of wakers, indexed by their number.
    #[cfg(has_evfilt_user)]
    wakers: Vec<Option<u64>>,
    /// How many registrations there were.
    registrations: usize,
    /// How many batches of events there were.
    batches: u64,
}

/// A registration.
#[derive(Debug)]
pub(super) struct Watch {
    key: u64,
    /// Which registration it is; its knotes carry it.
    number: usize,
    interest: Interest,
    trigger: Trigger,
    /// A one-shot that was told: its knotes are there, disabled.
    is_spent: bool,
    /// Flags that its events tell beside the kernel's.
    besides: u32,
    /// The batch that told it last, and its event's place there.
    told_in: (u64, usize),
}

/// What is watched for an interest; writing first (quirk f of `kqueue.rs`).
pub(super) fn filters(interest: Interest) -> impl Iterator<Item = Filter> + Clone {
    let filters = [
        interest.is_writable().then_some(Filter::Write),
        interest.is_readable().then_some(Filter::Read),
        #[cfg(has_evfilt_except)]
        interest.is_priority().then_some(Filter::Except),
    ];
    filters.into_iter().flatten()
}

impl Watch {
    /// One change for each of its knotes.
    pub(super) fn changes(&self, fd: RawFd, flags: u32) -> impl Iterator<Item = Kevent> + Clone + use<> {
        let number = self.number;
        filters(self.interest).map(move |filter| Kevent::change(fd, filter, flags, number))
    }

    /// Its trigger in kqueue's words.
    pub(super) fn mode(&self) -> u32 {
        match self.trigger {
            Trigger::Edge => CLEAR,
            Trigger::Level => 0,
            Trigger::OneShot => DISPATCH,
        }
    }

    pub(super) fn is_spent(&self) -> bool {
        self.is_spent
    }
}

impl Knotes {
    /// Where a descriptor's registration is, if it has one.
    pub(super) fn place(&mut self, fd: RawFd) -> &mut Option<Watch> {
        let index = usize::try_from(fd).unwrap_or(0); // it was borrowed, so it is not negative
        if index >= self.watches.len() {
            self.watches.resize_with(index + 1, || None);
        }
        &mut self.watches[index]
    }

    /// The next registration.
    pub(super) fn next(&mut self, registration: Registration, besides: u32) -> Watch {
        let Registration { key, interest, trigger, rearm: _ } = registration;
        self.registrations = self.registrations.wrapping_add(1);
        let number = self.registrations;
        Watch { key, number, interest, trigger, is_spent: false, besides, told_in: (0, 0) }
    }

    /// Turns a batch of what the kernel told into events, one for each source; returns the changes that silence what is left
    /// of one-shots.
    pub(super) fn deliver(&mut self, told: &[Kevent], ready: &mut Vec<Event>) -> Vec<Kevent> {
        self.batches += 1;
        let mut silence = Vec::new();
        for event in told {
            match event.filter() {
                #[cfg(has_evfilt_user)]
                Some(Filter::User) => {
                    let key = self.wakers.get(event.ident()).copied().flatten();
                    ready.extend(key.map(|key| Event::new(key, sys::IN)));
                }
                Some(filter) => self.deliver_one(event, filter, ready, &mut silence),
                // Asynchronous I/O: such knotes are the program's, and carry the key itself.
                None => {
                    let key = event.number() as u64;
                    ready.extend(event.asynchronous().map(|flag| Event::new(key, flag)));
                }
            }
        }
        silence
    }

    /// The same of a descriptor's knote.
    fn deliver_one(
        &mut self,
        event: &Kevent,
        filter: Filter,
        ready: &mut Vec<Event>,
        silence: &mut Vec<Kevent>,
    ) {
        let watch = self.watches.get_mut(event.ident()).and_then(Option::as_mut);
        let Some(watch) = watch.filter(|watch| watch.number == event.number()) else { return };
        let flags = flags(event, filter) | watch.besides;
        if watch.told_in.0 == self.batches {
            let event = &mut ready[watch.told_in.1];
            *event = Event::new(watch.key, whole(event.flags() | flags));
            return;
        }
        watch.told_in = (self.batches, ready.len());
        ready.push(Event::new(watch.key, flags));
        if watch.trigger == Trigger::OneShot {
            watch.is_spent = true;
            let others = watch.changes(event.ident() as RawFd, DISABLE);
            silence.extend(others.filter(|change| change.filter() != Some(filter)));
        }
    }

    /// A number for a waker, the lowest that is free.
    #[cfg(has_evfilt_user)]
    pub(super) fn add_waker(&mut self, key: u64) -> usize {
        let free = self.wakers.iter().position(Option::is_none);
        let number = free.unwrap_or_else(|| {
            self.wakers.push(None);
            self.wakers.len() - 1
        });
        self.wakers[number] = Some(key);
        number
    }

    #[cfg(has_evfilt_user)]
    pub(super) fn remove_waker(&mut self, number: usize) {
        self.wakers[number] = None;
    }
}

/// An event of one knote in poll(2)'s words. A socket that ended with an error says so in the details, and is over in both
/// directions, whichever the knote is about.
fn flags(event: &Kevent, filter: Filter) -> u32 {
    let has_ended = event.has(EOF);
    let has_failed = event.has(ERROR) || (has_ended && event.has_details());
    let flags = match filter {
        Filter::Write => sys::OUT | if has_ended { sys::WRHUP } else { 0 },
        #[cfg(has_evfilt_except)]
        Filter::Except => sys::PRI,
        _ => sys::IN | if has_ended { sys::RDHUP } else { 0 },
    };
    flags | if has_failed { sys::ERR | sys::HUP } else { 0 }
}

/// The flags of several knotes together: what is ended in both directions is hung up.
fn whole(flags: u32) -> u32 {
    let both = sys::RDHUP | sys::WRHUP;
    if flags & both == both { flags | sys::HUP } else { flags }
}
