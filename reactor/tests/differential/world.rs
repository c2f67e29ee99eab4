//! The same sockets, watched by every backend and by `polling`.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;

use reactor::event::Event;
use reactor::{Backend, Interest, Registry, Token, Trigger, Waker};

use crate::ear::Ear;
use crate::source::{Flags, Source};
use crate::support::{PRIORITY, READABLE, Waiting, backends};
use crate::{Change, Step};

/// How many sockets a history is about: Unix sockets, and at the end some over TCP.
pub const SOURCES: usize = 5;
const OVER_TCP: usize = 2;

/// The token of the wakers that end what happens meanwhile.
const OVER: Token = Token(usize::MAX);

pub struct World {
    /// Dropped first, before what it watches is closed.
    poller: polling::Poller,
    sources: Vec<Source>,
    /// Of each source: how often it was registered. It is part of the token, so that what comes late is recognised.
    rounds: [usize; SOURCES],
    waiting: Vec<Waiting>,
    wakers: Vec<Waker>,
    /// Of each backend, and of each source: its registration.
    ears: Vec<[Option<Ear>; SOURCES]>,
    /// Of each source: the registration with `polling`, and what epoll told since `polling` was last asked.
    reference: [Option<(Ear, Option<Flags>)>; SOURCES],
}

type Result<T = ()> = std::result::Result<T, TestCaseError>;

/// How a registration hears what a backend told of what is so.
type Hears = fn(&mut Ear, Backend, Option<Flags>, Option<Flags>) -> std::result::Result<(), String>;

impl World {
    pub fn new() -> World {
        let waiting: Vec<_> = backends().map(Waiting::with).collect();
        World {
            sources: (0..SOURCES).map(|which| Source::new(which >= SOURCES - OVER_TCP)).collect(),
            rounds: [0; SOURCES],
            wakers: waiting.iter().map(|waiting| Waker::new(waiting.registry(), OVER).unwrap()).collect(),
            ears: vec![[None; SOURCES]; waiting.len()],
            waiting,
            poller: polling::Poller::new().unwrap(),
            reference: [None; SOURCES],
        }
    }

    pub fn run(&mut self, step: Step) -> Result {
        match step {
            Step::Change(which, change) => self.change(which, change)?,
            Step::ChangeMeanwhile(which, first, change) => self.change_meanwhile(which, first, change)?,
            Step::PeerWrites(which, length) => self.stir(which).peer_writes(length),
            Step::PeerReads(which) => self.stir(which).peer_reads(),
            Step::PeerFinishes(which) => self.stir(which).peer_finishes(),
            Step::PeerCloses(which) => self.stir(which).peer_closes(),
            Step::PeerResets(which) => self.stir(which).peer_resets(),
            Step::PeerUrges(which) => self.stir(which).peer_urges(),
            Step::Reads(which, length) => {
                let _ = self.stir(which).ours.read(&mut vec![0; length]);
                if !Flags::of(&self.sources[which], READABLE).is_some_and(Flags::is_readable) {
                    self.each_ear(which).for_each(Ear::is_drained);
                }
            }
            Step::ReceivesUrgent(which) => self.stir(which).receives_urgent(),
            Step::TakesError(which) => drop(self.stir(which).ours.take_error()),
            Step::Fills(which) => {
                if self.stir(which).fills() {
                    self.each_ear(which).for_each(Ear::is_full);
                }
            }
            Step::Finishes(which) => self.stir(which).finishes(),
            Step::Wait => self.compare()?,
        }
        Ok(())
    }

    /// A source to which something happens.
    fn stir(&mut self, which: usize) -> &mut Source {
        self.each_ear(which).for_each(Ear::stirs);
        &mut self.sources[which]
    }

    fn each_ear(&mut self, which: usize) -> impl Iterator<Item = &mut Ear> {
        self.ears.iter_mut().filter_map(move |ears| ears[which].as_mut())
    }

    fn change(&mut self, which: usize, change: Change) -> Result {
        let registries = self.registries();
        self.leave_reference(which, change);
        let token = self.next_token(which);
        let kinds = make(change, &mut self.sources[which], &registries, token);
        self.note(which, change, &kinds).map(drop)
    }

    /// The other thread makes the change and then wakes this one, which hears until then: of the others what is so, of this
    /// source what was so before or is so after.
    fn change_meanwhile(&mut self, which: usize, first: usize, change: Change) -> Result {
        let registries = self.registries();
        self.leave_reference(which, change);
        let (before, token) = (self.token(which), self.next_token(which));
        let (source, wakers) = (&mut self.sources[which], &self.wakers);
        let (waiting, count) = (&mut self.waiting, registries.len());
        let (kinds, heard) = thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let kinds = make(change, source, &registries, token);
                wakers.iter().for_each(|waker| waker.wake().unwrap());
                kinds
            });
            let heard: Vec<_> = (0..count)
                .map(|index| (first + index) % count)
                .map(|index| (index, batches_until_over(&mut waiting[index])))
                .collect();
            (thread.join().unwrap(), heard)
        });
        let is_made = self.note(which, change, &kinds)?;
        for (index, batch) in heard
            .into_iter()
            .flat_map(|(index, batches)| batches.into_iter().map(move |batch| (index, batch)))
        {
            let mut told = by_token(&batch)?;
            if is_made {
                told.remove(&before);
            }
            self.hear(index, told, Ear::hears_in_passing)?;
        }
        self.compare()
    }

    /// What every registry answered must be the same, and right. If it was not refused, the registration is another.
    fn note(&mut self, which: usize, change: Change, kinds: &[Option<ErrorKind>]) -> Result<bool> {
        let was_registered = self.ears[0][which].is_some();
        let expected = match change {
            Change::Register(..) => was_registered.then_some(ErrorKind::AlreadyExists),
            Change::Reregister(..) | Change::Deregister => (!was_registered).then_some(ErrorKind::NotFound),
            Change::Recycle => None,
        };
        for (kind, waiting) in kinds.iter().zip(&self.waiting) {
            prop_assert_eq!(*kind, expected, "{:?} with {}", change, waiting.poll.backend());
        }
        if expected.is_some() {
            return Ok(false);
        }
        let ear = match change {
            Change::Register(interest, trigger) | Change::Reregister(interest, trigger) => {
                self.rounds[which] += 1;
                Some(Ear::new(interest, trigger))
            }
            Change::Deregister | Change::Recycle => None,
        };
        self.ears.iter_mut().for_each(|ears| ears[which] = ear);
        self.enter_reference(which, change);
        Ok(true)
    }

    /// A wait of everybody, now.
    pub fn compare(&mut self) -> Result {
        for index in 0..self.waiting.len() {
            let told = by_token(&self.waiting[index].now())?;
            self.hear(index, told, Ear::hears)?;
        }
        self.compare_with_reference()
    }

    /// What one backend told in one wait, held against each registration with it.
    fn hear(&mut self, index: usize, mut told: BTreeMap<Token, Flags>, hears: Hears) -> Result {
        let backend = self.waiting[index].poll.backend();
        for which in 0..SOURCES {
            let token = self.token(which);
            let Some(ear) = &mut self.ears[index][which] else { continue };
            if self.sources[which].is_tcp {
                ear.stirs(); // what the peer sent after what is here may arrive at any time
            }
            let told = told.remove(&token);
            let truth = match backend {
                Backend::Kqueue => Flags::of_kqueue(&self.sources[which], ear.interest),
                _ => Flags::of(&self.sources[which], ear.interest),
            };
            hears(ear, backend, truth, told)
                .map_err(|why| TestCaseError::fail(format!("source {which}: {why}")))?;
            if let (Backend::Epoll, Some((_, since)), Some(told)) =
                (backend, &mut self.reference[which], told)
            {
                *since = Some(told.with(*since));
            }
        }
        prop_assert!(told.is_empty(), "{} tells of what is not registered: {:?}", backend, told);
        Ok(())
    }

    /// The token of a source's registration, or of its last.
    fn token(&self, which: usize) -> Token {
        Token(self.rounds[which] * SOURCES + which)
    }

    fn next_token(&self, which: usize) -> Token {
        Token((self.rounds[which] + 1) * SOURCES + which)
    }

    fn registries(&self) -> Vec<Registry> {
        self.waiting.iter().map(|waiting| waiting.registry().try_clone().unwrap()).collect()
    }
}

/// Makes a change with every registry, and returns what each had against it.
fn make(
    change: Change,
    source: &mut Source,
    registries: &[Registry],
    token: Token,
) -> Vec<Option<ErrorKind>> {
    let each = registries.iter().map(|registry| match change {
        Change::Register(interest, trigger) => {
            registry.register_with(&mut source.ours, token, interest, trigger)
        }
        Change::Reregister(interest, trigger) => {
            registry.reregister_with(&mut source.ours, token, interest, trigger)
        }
        Change::Deregister => registry.deregister(&mut source.ours),
        Change::Recycle => {
            let _ = registry.deregister(&mut source.ours); // it may not be registered
            Ok(())
        }
    });
    let kinds = each.map(|result| result.err().map(|error| error.kind())).collect();
    if let Change::Recycle = change {
        source.renew();
    }
    kinds
}

/// Waits until the waker rings, and returns what was told meanwhile.
fn batches_until_over(waiting: &mut Waiting) -> Vec<Vec<Event>> {
    let mut batches = Vec::new();
    loop {
        let (over, batch): (Vec<_>, Vec<_>) =
            waiting.wait().into_iter().partition(|event| event.token() == OVER);
        batches.push(batch);
        if !over.is_empty() {
            return batches;
        }
    }
}

fn by_token(events: &[Event]) -> Result<BTreeMap<Token, Flags>> {
    let told: BTreeMap<_, _> = events.iter().map(|event| (event.token(), Flags::told(event))).collect();
    prop_assert_eq!(told.len(), events.len(), "told twice in one wait: {:?}", events);
    Ok(told)
}

/// The reference.
impl World {
    /// `polling` wants sources deleted before they are closed.
    fn leave_reference(&mut self, which: usize, change: Change) {
        if let Change::Deregister | Change::Recycle = change {
            if self.reference[which].take().is_some() {
                self.poller.delete(&self.sources[which]).unwrap();
            }
        }
    }

    fn enter_reference(&mut self, which: usize, change: Change) {
        let source = &self.sources[which];
        match change {
            Change::Register(interest, trigger) => {
                let (event, mode) = in_its_words(which, interest, trigger);
                // SAFETY: deleted before it is closed, in `leave_reference` or with the poller at the end.
                unsafe { self.poller.add_with_mode(source, event, mode).unwrap() };
            }
            Change::Reregister(interest, trigger) => {
                let (event, mode) = in_its_words(which, interest, trigger);
                self.poller.modify_with_mode(source, event, mode).unwrap();
            }
            Change::Deregister | Change::Recycle => return,
        }
        self.reference[which] = self.ears[0][which].map(|ear| (ear, None));
    }

    /// It says readable and writable, nothing else, and to who asks for readable it tells urgent data as well.
    fn compare_with_reference(&mut self) -> Result {
        let mut events = polling::Events::new();
        self.poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
        let told: BTreeMap<_, _> =
            events.iter().map(|event| (event.key, (event.readable, event.writable))).collect();
        for which in 0..SOURCES {
            let Some((ear, since)) = &mut self.reference[which] else { continue };
            let interest = if ear.interest.is_readable() { ear.interest | PRIORITY } else { ear.interest };
            let truth = Flags::of(&self.sources[which], interest);
            let since = since.take();
            let expected = match ear.trigger {
                Trigger::Level => truth,
                Trigger::OneShot => truth.filter(|_| ear.is_loaded),
                // Its edges are epoll's; over TCP there may be another one between asking this and that.
                Trigger::Edge if self.sources[which].is_tcp => continue,
                Trigger::Edge => since,
            };
            let told = told.get(&which).copied();
            prop_assert_eq!(
                told,
                expected.map(Flags::as_polling_says),
                "`polling` of source {}, {:?}",
                which,
                ear
            );
            if told.is_some() {
                ear.is_loaded = false;
            }
        }
        Ok(())
    }
}

fn in_its_words(which: usize, interest: Interest, trigger: Trigger) -> (polling::Event, polling::PollMode) {
    let mut event = polling::Event::new(which, interest.is_readable(), interest.is_writable());
    event.set_priority(interest.is_priority());
    let mode = match trigger {
        Trigger::Edge => polling::PollMode::Edge,
        Trigger::Level => polling::PollMode::Level,
        Trigger::OneShot => polling::PollMode::Oneshot,
    };
    (event, mode)
}
