//! The same service on tokio's single-threaded runtime: a task for each connection, with a buffer of its own.

use std::io;
use std::net::TcpListener;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::zen;

pub fn serve(listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(converse(stream));
        }
    })
}

/// Ends, and closes the connection, at the end of input, an error or a question too long.
async fn converse(mut stream: TcpStream) {
    let mut input = [0; 1024];
    let mut held: Vec<u8> = Vec::new();
    let mut output = Vec::new();
    while let Ok(length @ 1..) = stream.read(&mut input).await {
        output.clear();
        let answered = if held.is_empty() {
            zen::answer_all(&input[..length], &mut output).map(|taken| held.extend(&input[taken..length]))
        } else {
            held.extend(&input[..length]);
            zen::answer_all(&held, &mut output).map(|taken| drop(held.drain(..taken)))
        };
        if stream.write_all(&output).await.is_err() || answered.is_err() {
            return;
        }
    }
}
