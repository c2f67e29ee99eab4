//! fork(2), the one thing in this program that the compiler cannot check.
#![allow(unsafe_code)]

use std::fs;
use std::io;

use rustix::process::Pid;

/// Makes a second process of this one. In the child it returns `None`, in the parent the child's number.
///
/// # Errors
/// There are too many processes; or this one has more than one thread, which makes fork a trap (see below).
pub fn fork() -> io::Result<Option<Pid>> {
    // Only the calling thread goes on in the child. A lock that another one holds (of the allocator, of the log) stays locked
    // there for ever, so a process with several threads may do next to nothing after a fork (fork(2), signal-safety(7)).
    let no_list =
        |error| io::Error::other(format!("this system has no list of this process's threads: {error}"));
    if fs::read_dir("/proc/self/task").map_err(no_list)?.count() != 1 {
        return Err(io::Error::other("a process with several threads must not be forked"));
    }
    // SAFETY: there is exactly one thread, the one that is here: nobody can start another between the look and the call. So
    // the child's memory is a complete and consistent copy, no lock in it is held by a thread that is not there, and whatever
    // safe code may do in the parent it may do in the child. Descriptors are duplicates that each side closes for itself.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        child => Ok(Pid::from_raw(child)),
    }
}
