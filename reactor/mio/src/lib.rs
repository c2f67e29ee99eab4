//! The name of mio, the machinery of zen-reactor: everything here is re-exported from there, and nothing is added.
//!
//! A program or library written for mio 1.x, tokio among them, runs on our reactor when its workspace says
//!
//! ```toml
//! [patch.crates-io]
//! mio = { path = "…/zen-reactor/reactor/mio" }
//! ```
//!
//! and nothing else changes: not its source, not its `Cargo.toml` further down. The environment variable `REACTOR_BACKEND`
//! then chooses the kernel interface it waits with.
//!
//! ```
//! use mio::{Events, Interest, Poll, Token, net::TcpListener};
//!
//! let mut poll = Poll::new()?;
//! let mut listener = TcpListener::bind("127.0.0.1:0".parse().unwrap())?;
//! poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
//!
//! let client = std::net::TcpStream::connect(listener.local_addr()?)?;
//! poll.poll(&mut Events::with_capacity(8), None)?;
//! assert_eq!(listener.accept()?.1, client.local_addr()?);
//!
//! let ours: reactor::Poll = poll; // the same type, not one like it
//! println!("waited with {}", ours.backend());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What differs from mio
//! * The features of mio (`os-poll`, `os-ext`, `net`, `log`) may be asked for, and change nothing: all of it is there always,
//!   and nothing is logged.
//! * There is no part for Windows, WASI or Hermit.
//! * The version is 1.99.0, above every version of mio, because Cargo takes the highest that fits: a patch with a lower number
//!   than the latest mio would be left unused, with a warning that is easily overlooked. (`cargo update -p mio` moves an older
//!   `Cargo.lock` to it.)
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![deny(rustdoc::broken_intra_doc_links)]

pub use reactor::{Events, Interest, Poll, Registry, Token, Waker};

pub mod event {
    //! What can be registered, and what a wait reports.
    pub use reactor::event::{Event, Events, Iter, Source};
}

pub mod net {
    //! Nonblocking sockets.
    pub use reactor::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
}

pub mod unix {
    //! Raw descriptors and pipes.
    pub use reactor::unix::SourceFd;

    pub mod pipe {
        //! Unidirectional pipes (pipe(7)).
        pub use reactor::unix::pipe::{Receiver, Sender, new};
    }
}
