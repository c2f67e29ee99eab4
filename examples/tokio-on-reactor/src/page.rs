//! The hello-world page, served by axum: hyper on tokio on mio's name on our reactor.

use std::process::Stdio;

use axum::Router;
use axum::routing::get;
use tokio::process::Command;

/// `/` greets; `/child` tells what a child process printed, which was started for this request.
pub fn router() -> Router {
    Router::new()
        .route("/", get(|| async { "Hello from tokio on zen-reactor!\n" }))
        .route("/child", get(|| async { child().await.unwrap_or_else(|error| format!("{error}\n")) }))
}

/// What `uname` prints. Its output comes through a pipe, its end through a pidfd or SIGCHLD: all of them are sources.
///
/// # Errors
/// There is no such program here, or no process to be had.
pub async fn child() -> std::io::Result<String> {
    let output = Command::new("uname").arg("-sr").stdin(Stdio::null()).output().await?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
