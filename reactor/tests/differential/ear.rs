//! What one registration must hear, and what it must not.
//!
//! * *Level*: on every wait exactly what poll(2) says.
//! * *One-shot*: the same, once.
//! * *Edge*: nothing that is not so; nothing if nothing happened since the last wait; if it is over, all that is so; and
//!   whatever is *owed*: what became ready after a registration, or after input or output that left the source not ready. (What
//!   else may be told and may not, in that backends differ. The table "How often" in the guide has it.)

use reactor::{Backend, Interest, Trigger};

use crate::source::Flags;

/// One registration with one backend.
#[derive(Clone, Copy, Debug)]
pub struct Ear {
    pub interest: Interest,
    pub trigger: Trigger,
    /// One-shot: it has not been told yet.
    pub is_loaded: bool,
    /// Edge: readiness to read and to write is to be told when it comes.
    owes: [bool; 2],
    /// Edge: nothing happened since the last wait.
    is_quiet: bool,
}

impl Ear {
    pub fn new(interest: Interest, trigger: Trigger) -> Ear {
        let owes = [interest.is_readable(), interest.is_writable()];
        Ear { interest, trigger, is_loaded: true, owes, is_quiet: false }
    }

    /// Somebody did something to the source.
    pub fn stirs(&mut self) {
        self.is_quiet = false;
    }

    /// Input left nothing to read.
    pub fn is_drained(&mut self) {
        self.owes[0] = self.interest.is_readable();
    }

    /// Output was refused.
    pub fn is_full(&mut self) {
        self.owes[1] = self.interest.is_writable();
    }

    /// A wait told `told` while `truth` was so.
    pub fn hears(
        &mut self,
        backend: Backend,
        truth: Option<Flags>,
        told: Option<Flags>,
    ) -> Result<(), String> {
        self.notes(backend, truth, told, told == self.expected(backend, truth))?;
        let missing = match self.trigger {
            Trigger::Level => self.expected(backend, truth).filter(|_| told.is_none()),
            Trigger::OneShot => self.expected(backend, truth).filter(|_| self.is_loaded),
            Trigger::Edge => truth.filter(|truth| {
                (self.owes[0] && truth.is_readable()) || (self.owes[1] && truth.is_writable())
            }),
        };
        self.is_quiet = true;
        match missing {
            None => Ok(()),
            Some(truth) => Err(format!("{backend} tells {told:?} of {self:?} and not {truth:?}")),
        }
    }

    /// The same of a wait that was not the last one: something may be told then. kqueue may tell of one direction before the
    /// other thread has come to the next (quirk a of `kqueue.rs`).
    pub fn hears_in_passing(
        &mut self,
        backend: Backend,
        truth: Option<Flags>,
        told: Option<Flags>,
    ) -> Result<(), String> {
        let is_part = told.is_some_and(|told| told.is_part_of(truth));
        let is_all = told == self.expected(backend, truth);
        self.notes(backend, truth, told, is_all || (backend == Backend::Kqueue && is_part))
    }

    /// Notes what was told. `is_so` is what a level may tell.
    fn notes(
        &mut self,
        backend: Backend,
        truth: Option<Flags>,
        told: Option<Flags>,
        is_so: bool,
    ) -> Result<(), String> {
        let Some(flags) = told else { return Ok(()) };
        let is_right = match self.trigger {
            Trigger::Level => is_so,
            Trigger::OneShot => self.is_loaded && is_so,
            Trigger::Edge if flags.is_over() => !self.is_quiet && (told == truth || is_so),
            Trigger::Edge => !self.is_quiet && flags.is_part_of(truth),
        };
        if !is_right {
            return Err(format!("{backend} tells {told:?} of {self:?} while {truth:?} is so"));
        }
        self.is_loaded = false;
        self.owes[0] &= !flags.is_readable();
        self.owes[1] &= !flags.is_writable();
        Ok(())
    }

    /// What a backend makes of what is so. select has no bit for a mere hang-up (quirk c of `select.rs`).
    fn expected(&self, backend: Backend, truth: Option<Flags>) -> Option<Flags> {
        truth.filter(|truth| backend != Backend::Select || !truth.is_mere_hang_up())
    }
}
