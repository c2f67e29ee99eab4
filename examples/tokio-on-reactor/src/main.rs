//! tokio on our reactor: it shows that layer 1 carries a whole runtime that was written for mio.
//!
//! ```console
//! $ REACTOR_BACKEND=poll cargo run
//! tokio waits with poll; open here: eventfd, eventfd
//! A child process says: Linux 6.18.0
//! The zen is at 127.0.0.1:1060, the page at http://127.0.0.1:8080/
//! ```
//!
//! tokio and axum come from the registry as they are; `Cargo.toml` puts the facade `reactor/mio` in mio's place, and
//! `REACTOR_BACKEND` chooses what all of it waits with. Under `strace -f -e trace=ppoll,pselect6,epoll_pwait2,epoll_wait` one
//! sees the same program wait in four different ways. Ctrl-C ends it.
#![forbid(unsafe_code)]

use std::env;
use std::error::Error;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_on_reactor::{page, proof, zen};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("{}", proof::sentence());
    print!("A child process says: {}", page::child().await?);

    let mut addresses = env::args().skip(1);
    let mut listen =
        async |default: &str| TcpListener::bind(addresses.next().as_deref().unwrap_or(default)).await;
    let zen = listen("127.0.0.1:1060").await?;
    let web = listen("127.0.0.1:8080").await?;
    // Before anybody hears that it runs, and may want it to end.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    println!("The zen is at {}, the page at http://{}/", zen.local_addr()?, web.local_addr()?);

    tokio::select! {
        result = zen::serve(zen) => result?,
        result = axum::serve(web, page::router()).into_future() => result?,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    println!("That was all.");
    Ok(())
}
