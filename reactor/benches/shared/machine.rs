//! The machine that is measured on: its processors and its limits.

use std::io;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors this program may run on, as it was when first asked: before it was pinned. Most systems put their interrupts
/// on the first, so the last is the quietest.
pub fn cores() -> io::Result<&'static [usize]> {
    static CORES: OnceLock<Vec<usize>> = OnceLock::new();
    let allowed = sched_getaffinity(None)?;
    Ok(CORES.get_or_init(|| (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect()))
}

/// The quietest of them.
pub fn last_core() -> io::Result<usize> {
    cores()?.last().copied().ok_or_else(|| io::Error::other("there is no processor to run on"))
}

/// Lets this thread, and those it will start, run on one processor only.
pub fn pin_to(core: usize) -> io::Result<()> {
    if core >= CpuSet::MAX_CPU {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no such processor"));
    }
    let mut one = CpuSet::new();
    one.set(core);
    Ok(sched_setaffinity(None, &one)?)
}

/// Raises the soft limit of open descriptors to the hard one, and says what that is.
pub fn raise_descriptor_limit() -> io::Result<usize> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.and_then(|maximum| usize::try_from(maximum).ok()).unwrap_or(usize::MAX))
}
