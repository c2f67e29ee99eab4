//! Other descriptors in the same loop.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use reactor::event::Event;
use reactor::event_loop::{Source, SourceContext};
use reactor::{Backend, Interest};

use crate::bench::{Bench, Diary, Last, available, fill, shared};

type Ready = Box<dyn FnMut(&mut UnixStream, &Event, &mut SourceContext<'_, u64>) -> io::Result<()>>;

/// One end of a pair, and what to do when it is ready.
struct End {
    stream: UnixStream,
    interest: Rc<Cell<Interest>>,
    ready: Ready,
    _last: Last,
}

impl Source<u64> for End {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
    fn interest(&self) -> Interest {
        self.interest.get()
    }
    fn ready(&mut self, event: &Event, cx: &mut SourceContext<'_, u64>) -> io::Result<()> {
        (self.ready)(&mut self.stream, event, cx)
    }
}

fn end(
    diary: &Diary,
    ready: impl FnMut(&mut UnixStream, &Event, &mut SourceContext<'_, u64>) -> io::Result<()> + 'static,
) -> (End, UnixStream) {
    let (stream, far) = UnixStream::pair().unwrap();
    stream.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    let interest = Rc::new(Cell::new(Interest::READABLE));
    (End { stream, interest, ready: Box::new(ready), _last: Last(diary.clone(), "dropped") }, far)
}

/// Notes each byte, one in a call.
fn noting(diary: &Diary) -> (End, UnixStream) {
    let noted = diary.clone();
    end(diary, move |stream, event, _| {
        assert!(event.is_readable());
        let mut byte = [0];
        if stream.read(&mut byte)? == 1 {
            noted.note(String::from_utf8_lossy(&byte));
        }
        Ok(())
    })
}

pub fn a_source_is_called_on_every_turn_in_which_it_is_ready(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (source, mut far) = noting(&bench.diary);
    bench.reactor.add_source(source).unwrap();
    bench.rest();
    assert_eq!(bench.diary.lines().len(), 0);
    far.write_all(b"abc").unwrap();
    bench.rest();
    assert_eq!(bench.diary.lines(), ["a", "b", "c"], "although it reads only one byte each time");
}

pub fn a_source_removes_itself(backend: Backend) {
    let mut bench = Bench::new(backend);
    let diary = bench.diary.clone();
    let (source, mut far) = end(&bench.diary, move |_, _, cx| {
        diary.note("ready");
        cx.remove();
        Ok(())
    });
    let id = bench.reactor.add_source(source).unwrap();
    far.write_all(b"abc").unwrap();
    bench.rest();
    assert_eq!(bench.diary.lines(), ["ready", "dropped"]);
    assert!(!bench.reactor.remove_source(id));
}

pub fn a_removed_source_is_silent_and_its_place_is_anothers(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (source, mut far) = noting(&bench.diary);
    let first = bench.reactor.add_source(source).unwrap();
    far.write_all(b"x").unwrap();
    assert!(bench.reactor.remove_source(first));
    assert_eq!(bench.diary.take(), ["dropped"]);
    let (source, mut far) = noting(&bench.diary);
    let second = bench.reactor.add_source(source).unwrap();
    assert!(first != second && !bench.reactor.remove_source(first), "an old id means nobody");
    far.write_all(b"y").unwrap();
    bench.rest();
    assert_eq!(bench.diary.lines(), ["y"]);
}

pub fn a_source_changes_what_it_waits_for(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (interest, set) = (Rc::new(Cell::new(Interest::READABLE)), bench.diary.clone());
    let wanted = Rc::clone(&interest);
    let (mut source, mut far) = end(&bench.diary, move |stream, event, _| {
        if event.is_writable() && wanted.get().is_writable() {
            set.note("writable");
            wanted.set(Interest::READABLE);
        } else {
            set.note(format!("read {}", available(stream).len()));
            wanted.set(Interest::WRITABLE);
        }
        Ok(())
    });
    fill(&mut source.stream);
    source.interest = interest;
    bench.reactor.add_source(source).unwrap();
    far.write_all(b"abc").unwrap();
    bench.rest();
    assert_eq!(bench.diary.lines(), ["read 3"], "there is no room to write");
    far.write_all(b"de").unwrap();
    bench.rest();
    assert_eq!(bench.diary.lines(), ["read 3"], "and it does not wait for input now");
    available(&mut far);
    bench.rest();
    assert_eq!(bench.diary.lines(), ["read 3", "writable", "read 2", "writable"]);
}

pub fn a_source_that_fails_is_removed_and_the_operator_told(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (source, mut far) = end(&bench.diary, |_, _, _| Err(io::Error::other("the tape is torn")));
    bench.reactor.add_source(source).unwrap();
    far.write_all(b"x").unwrap();
    bench.rest();
    assert_eq!(bench.diary.lines(), ["dropped", "notice: a source was removed: the tape is torn"]);
}

pub fn a_descriptor_is_watched_once(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (source, _far) = noting(&bench.diary);
    let duplicate = Rc::new(source.stream.try_clone().unwrap());
    struct Same(Rc<UnixStream>);
    impl Source<u64> for Same {
        fn descriptor(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
        fn ready(&mut self, _: &Event, _: &mut SourceContext<'_, u64>) -> io::Result<()> {
            Ok(())
        }
    }
    let first = bench.reactor.add_source(Same(Rc::clone(&duplicate))).unwrap();
    let error = bench.reactor.add_source(Same(Rc::clone(&duplicate))).unwrap_err();
    assert!(error.to_string().contains("registered already"), "{error}");
    assert!(bench.reactor.remove_source(first));
    bench.reactor.add_source(Same(duplicate)).unwrap();
}

pub fn a_source_sends_messages(backend: Backend) {
    let mut bench = Bench::new(backend);
    let script = bench.script();
    let (id, _peer) = bench.pair(script);
    let (source, mut far) = end(&bench.diary, move |stream, _, cx| {
        let now = cx.now();
        assert_eq!(now, cx.now());
        cx.send(id, available(stream).len() as u64).unwrap();
        Ok(())
    });
    bench.reactor.add_source(source).unwrap();
    far.write_all(b"abcd").unwrap();
    bench.until_noted("message 4");
}

pub fn a_file_is_a_source_that_is_always_ready(backend: Backend) {
    let mut bench = Bench::new(backend);
    let scratch = crate::bench::Scratch::new();
    let file = scratch.file(b"12345");
    struct Bites(std::sync::Arc<std::fs::File>, Diary);
    impl Source<u64> for Bites {
        fn descriptor(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
        fn ready(&mut self, _: &Event, cx: &mut SourceContext<'_, u64>) -> io::Result<()> {
            let mut bite = [0; 2];
            match (&*self.0).read(&mut bite)? {
                0 => cx.remove(),
                length => self.1.note(String::from_utf8_lossy(&bite[..length])),
            }
            Ok(())
        }
    }
    bench.reactor.add_source(Bites(file, bench.diary.clone())).unwrap();
    bench.until("all of it", |bench| bench.diary.lines() == ["12", "34", "5"]);
    bench.rest();
}

/// An event already fetched for a source that another one's callback removes is dropped, and counted; not given to the next
/// in its place.
#[cfg(feature = "signal-hook")]
pub fn an_event_of_the_same_batch_for_a_removed_source_is_dropped(backend: Backend) {
    let signal = crate::signals::own_signal();
    crate::signals::with_the_signal_first(|| {
        let mut bench = Bench::new(backend);
        let victim = Rc::new(Cell::new(None));
        let (removed, (next, _next_far)) = (Rc::clone(&victim), noting(&bench.diary));
        let mut next = Some(next);
        bench
            .reactor
            .on_signal(signal, move |reactor| {
                let id: Option<reactor::event_loop::SourceId> = removed.take();
                assert!(reactor.remove_source(id.expect("once")));
                reactor.add_source(next.take().expect("once")).unwrap();
            })
            .unwrap();
        crate::signals::raise(signal);
        let (source, mut far) = noting(&bench.diary);
        victim.set(Some(bench.reactor.add_source(source).unwrap()));
        far.write_all(b"x").unwrap();
        bench.rest();
        bench.diary.lines() == ["dropped"] && bench.reactor.counters().stale == 1
    });
}

pub fn a_source_that_makes_no_progress_is_not_taken_for_a_busy_loop(backend: Backend) {
    let mut bench = Bench::new(backend);
    let (count, counted) = shared(0);
    let (source, mut far) = end(&bench.diary, move |_, _, _| {
        *count.borrow_mut() += 1;
        Ok(())
    });
    bench.reactor.add_source(source).unwrap();
    far.write_all(b"x").unwrap();
    (0..3000).for_each(|_| bench.turn());
    assert!(*counted.borrow() >= 3000);
    assert!(bench.diary.find("notice").is_none(), "what it does is out of the loop's sight");
}
