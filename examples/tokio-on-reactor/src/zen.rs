//! The zen service as a task of tokio: what is said comes from `zen-server`, who waits is tokio.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use zen_server::services::zen::{Answer, LONGEST_QUESTION};

/// Serves whoever connects, a task each, for ever.
///
/// # Errors
/// The listener failed.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept().await?;
        // Whoever leaves in the middle of a question concerns nobody else.
        tokio::spawn(async move { converse(client).await.ok() });
    }
}

/// One client, until it has no more questions or asks one that is too long.
///
/// # Errors
/// What reading or writing says.
pub async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut question = Vec::new();
    loop {
        question.clear();
        (&mut stream).take(LONGEST_QUESTION as u64).read_until(b'?', &mut question).await?;
        match question.split_last() {
            Some((b'?', asked)) => stream.write_all(Answer::to(asked).text().as_bytes()).await?,
            Some(_) if question.len() == LONGEST_QUESTION => {
                stream.write_all(Answer::TooLong.text().as_bytes()).await?;
                return stream.shutdown().await;
            }
            _ => return stream.shutdown().await,
        }
    }
}
