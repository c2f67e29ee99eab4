//! Nobody's loop: `converse`, which holds one conversation after the other, each in the system call itself.
//!
//! A client says everything and finishes sending before its turn comes, because here is one thread: so what the call would
//! wait for is there. When it is not, because an outcome says so, time passes as the socket's timeout has it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;

use reactor::event_loop::{Limits, converse};

use crate::calls::Call;
use crate::kernel::{self, Label};
use crate::zen::{Kind, Reason, SharedBook, Zen};

pub struct Blocking {
    listener: UnixListener,
    limits: Limits,
    book: SharedBook,
}

impl Blocking {
    pub fn new(at: &Path, limits: Limits, book: &SharedBook) -> io::Result<Blocking> {
        let listener = UnixListener::bind(at)?;
        listener.set_nonblocking(true)?;
        Ok(Blocking { listener, limits, book: book.clone() })
    }

    /// Talks to the next who is there.
    pub fn turn(&mut self) -> io::Result<()> {
        let Ok((stream, _)) = self.listener.accept() else { return Ok(()) };
        let stream = OwnedFd::from(stream);
        let number = kernel::with(|kernel| {
            kernel.may_block = true;
            kernel.accepted += 1;
            kernel.opened(stream.as_raw_fd(), Call::accept4, Some(Label::Accepted(kernel.accepted - 1)));
            kernel.accepted - 1
        });
        let protocol = Zen::accepted(&self.book, number);
        let result = kernel::armed(|| converse(stream, protocol, &self.limits));
        if let Err(error) = &result {
            let mut book = self.book.borrow_mut();
            let story = book.stories.entry(Label::Accepted(number)).or_default();
            if story.id.is_none() {
                // It could not even begin, so its protocol was told nothing; the program is.
                let (text, errno) = (error.to_string(), reactor::errno(error));
                story.reason = Some(Reason { text, kind: Kind::Io, errno });
            }
        }
        result.map(drop)
    }
}
