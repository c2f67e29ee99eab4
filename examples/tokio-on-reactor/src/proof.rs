//! Whose poll is it? What shows that tokio waits with our reactor and with which kernel interface.

use std::fs;

/// The types are the same, not similar: mio's `Poll`, of which there is one version here (`Cargo.lock`), is the reactor's.
const _: fn(mio::Poll) -> reactor::Poll = |poll| poll;

/// The kernel objects without a name that this process has open, such as `eventpoll`, `io_uring` and `eventfd`.
///
/// epoll and io_uring are descriptors, select and poll are not: a runtime of the real tokio always shows an `eventpoll`.
#[must_use]
pub fn kernel_objects() -> Vec<String> {
    let links = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
    let names = targets.filter_map(|target| {
        let name = target.to_str()?.strip_prefix("anon_inode:")?;
        Some(name.trim_matches(['[', ']']).to_owned())
    });
    names.collect()
}

/// A sentence for people.
#[must_use]
pub fn sentence() -> String {
    let backend = match reactor::Backend::Auto.resolve() {
        Ok(backend) => backend.name(),
        Err(_) => "nothing",
    };
    format!("tokio waits with {backend}; open here: {}", kernel_objects().join(", "))
}
