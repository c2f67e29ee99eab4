//! Messages: between connections, and from outside, with a wake.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use reactor::event_loop::{CloseReason, ConnectionId, Context, Protocol, Reactor};
use reactor::simulation::{self, Peer, Simulation};

use super::{Ends, address, is_over, live, wind_up};

/// A line goes to all members; a member says who it is and is in.
struct Member {
    ends: Ends,
    members: Rc<RefCell<Vec<ConnectionId>>>,
}

impl Protocol for Member {
    type Message = Vec<u8>;

    fn opened(&mut self, cx: &mut Context<'_, Vec<u8>>) {
        self.members.borrow_mut().push(cx.id());
        cx.write(b"+");
    }

    fn received(&mut self, input: &[u8], cx: &mut Context<'_, Vec<u8>>) -> usize {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return 0 };
        let members = self.members.borrow();
        assert!(
            cx.send_all(members.as_slice().into(), input[..=end].to_vec()).is_ok(),
            "the mailbox is full"
        );
        end + 1
    }

    fn message(&mut self, message: Vec<u8>, cx: &mut Context<'_, Vec<u8>>) {
        cx.write(&message);
        if message == b"bye\n" {
            cx.close();
        }
    }

    fn closed(&mut self, reason: &CloseReason, cx: &mut Context<'_, Vec<u8>>) {
        self.members.borrow_mut().retain(|member| *member != cx.id());
        self.ends.note("", reason);
    }
}

/// A world with members who all are in.
fn with_members(
    simulation: &Simulation,
    count: usize,
    go_on: impl FnOnce(&mut Reactor<Member>, &[ConnectionId], &[Peer<'_>]) -> io::Result<()>,
) -> io::Result<()> {
    let (ends, members) = (Ends::default(), Rc::<RefCell<Vec<ConnectionId>>>::default());
    let mut reactor = Reactor::<Member>::builder().build()?;
    let (noted, theirs) = (ends.clone(), Rc::clone(&members));
    reactor.listen(address(), move |_| Some(Member { ends: noted.clone(), members: Rc::clone(&theirs) }))?;
    let clients: Vec<Peer<'_>> = (0..count).map(|_| simulation.connect(address())).collect();
    simulation.run(&mut reactor, || clients.iter().all(|client| client.received() == b"+"))?;
    let ids = members.borrow().clone();
    go_on(&mut reactor, &ids, &clients)?;
    live(simulation, &mut reactor, || clients.iter().all(is_over))?;
    for client in &clients {
        client.close();
    }
    live(simulation, &mut reactor, || ends.count() == count)?;
    assert!(ends.all().iter().all(|end| end == "Finished"), "{ends:?}");
    wind_up(simulation, reactor, &ends)
}

/// Every member hears all that one says, in order.
fn said_to_all(simulation: &Simulation) -> io::Result<()> {
    with_members(simulation, 3, |reactor, _, clients| {
        clients[0].send(b"now\nis\nbetter\nbye\n");
        simulation.run(reactor, || clients.iter().all(is_over))?;
        for client in clients {
            assert_eq!(String::from_utf8_lossy(&client.received()), "+now\nis\nbetter\nbye\n");
        }
        Ok(())
    })
}

/// What comes through a handle ends the wait, keeps its order, and reaches whom it was meant for.
fn said_from_outside(simulation: &Simulation) -> io::Result<()> {
    with_members(simulation, 2, |reactor, ids, clients| {
        let handle = reactor.handle();
        for word in ["one\n", "two\n"] {
            handle.send(ids[0], word.into()).expect("there is room");
            reactor.turn(None)?;
        }
        let (everybody, other) = (ids.to_vec(), handle.clone());
        let run = handle.run(move |_| {
            for member in everybody {
                other.send(member, b"bye\n".to_vec()).expect("there is room");
            }
        });
        assert!(run);
        simulation.run(reactor, || clients.iter().all(is_over))?;
        let mut heard: Vec<String> =
            clients.iter().map(|client| String::from_utf8(client.received()).unwrap()).collect();
        heard.sort(); // which of the clients came first was a choice
        assert_eq!(heard, ["+bye\n", "+one\ntwo\nbye\n"]);
        Ok(())
    })
}

#[test]
fn every_member_hears_everything_in_order() {
    println!("{} runs", simulation::explore(1, said_to_all));
}

#[test]
fn thousands_of_members_hear_everything_in_order() {
    simulation::seeds(0..1_000, said_to_all);
}

#[test]
fn what_comes_from_outside_is_delivered() {
    println!("{} runs", simulation::explore(1, said_from_outside));
}

#[test]
fn what_comes_from_outside_is_delivered_under_thousands_of_seeds() {
    simulation::seeds(0..1_500, said_from_outside);
}
