//! One thread for all members: the loop waits, and its mailbox carries what is said.
//!
//! Nothing is shared between threads, so nothing is locked. A message to all is *one* entry of the mailbox, and the mailbox
//! holds so few that one turn delivers them in a blink, also to thousands. When it is full, whoever has something to say
//! keeps it, is not read from, and tries again two milliseconds later: the mailbox is empty after every turn, so everybody
//! gets in sooner or later, and nobody waits for somebody who does not read.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use reactor::event_loop::adapter::Delimited;
use reactor::event_loop::{ConnectionId, Context, Limits, Reactor};
use zen_examples::{Listen, WaitWith, announce, fail, stop_on_signal};

use crate::member::{self, Member, Room, Said};

/// Messages to all that are under way in one turn.
const MAILBOX: usize = 256;
/// Bytes that a member may say in one turn. A burst of tiny messages grows tenfold by the names before them.
const READ_BUDGET: usize = 16 * 1024;
/// Time for last words after a signal.
const GRACE: Duration = Duration::from_secs(2);

pub fn serve(listen: &Listen, wait_with: &WaitWith, most_members: usize) {
    let limits = Limits { connections: most_members, ..member::limits() };
    let built = wait_with.builder::<Delimited<Member<Seat>>>().limits(limits);
    let built = built.mailbox(MAILBOX).read_budget(READ_BUDGET).build();
    let mut reactor: Reactor<_> = built.unwrap_or_else(|error| fail(error));
    let everyone = Rc::<RefCell<Everyone>>::default();
    let listener = reactor.listen_on(listen.bind(crate::DEFAULT_PORT), move |incoming| {
        let seat = Seat { everyone: Rc::clone(&everyone), id: None };
        Some(Delimited(Member::new(incoming.peer, seat)))
    });
    let listener = listener.unwrap_or_else(|error| fail(error));
    stop_on_signal(&mut reactor, GRACE);
    announce(reactor.local_address(listener).expect("it has just been opened"));
    reactor.run().unwrap_or_else(|error| fail(error));
}

/// Who is here.
#[derive(Default)]
struct Everyone {
    ids: BTreeSet<ConnectionId>,
    /// The same as a list to send to, until somebody comes or goes.
    list: Option<Arc<[ConnectionId]>>,
}

/// A member's place in the room.
struct Seat {
    everyone: Rc<RefCell<Everyone>>,
    id: Option<ConnectionId>,
}

impl Room for Seat {
    fn join(&mut self, cx: &mut Context<'_, Said>) {
        let mut everyone = self.everyone.borrow_mut();
        self.id = Some(cx.id());
        everyone.ids.insert(cx.id());
        everyone.list = None;
    }

    fn tell_all(&mut self, said: Said, cx: &mut Context<'_, Said>) -> Result<(), Said> {
        let Everyone { ids, list } = &mut *self.everyone.borrow_mut();
        let list = list.get_or_insert_with(|| ids.iter().copied().collect());
        cx.send_all(Arc::clone(list), said)
    }

    fn ask_for_farewell(&mut self, cx: &mut Context<'_, Said>) -> bool {
        cx.send(cx.id(), Said::Farewell).is_ok()
    }
}

/// Gone, also if its protocol panicked.
impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let mut everyone = self.everyone.borrow_mut();
            everyone.ids.remove(&id);
            everyone.list = None;
        }
    }
}
