//! The files below the root, and nothing else.
//!
//! # How nothing else is guaranteed
//! A path is made canonical first (every symbolic link in it followed, by the kernel's own rules) and served only if the
//! result is still below the canonical root. Links that stay inside are fine, links that lead out are as good as absent.
//! Opening one component after the other with `O_NOFOLLOW` would refuse both kinds; `openat2(RESOLVE_BENEATH)` does exactly
//! what is wanted, but on Linux alone and not without `unsafe` or one more crate. The price of the portable way: between the
//! check and the opening, somebody who may *rename things below the root* could slip a link in. (Not for the last name: it
//! is opened with `O_NOFOLLOW`.) Whoever may write there is trusted here; they could publish what they like anyway.
//!
//! # What blocks
//! There is no readiness for files: poll(2) calls them always readable, and looking up or opening one that is not in the
//! cache waits for the disk, and with it everybody on the same loop. With files on a local disk that is a fraction of a
//! millisecond, and nginx does the same unless told otherwise; with files on a network it can be seconds, and then a model
//! with threads is the better one. A FIFO in the root would block for ever, so it is opened with `O_NONBLOCK` and then
//! refused, as is everything that is neither file nor directory.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::http::status::{FORBIDDEN, Fault, INTERNAL_SERVER_ERROR, NOT_FOUND, SERVICE_UNAVAILABLE};

/// Nothing is there, or nothing that is for the public.
pub const MISSING: Fault = Fault::new(NOT_FOUND, "There is nothing at this address.");

/// The directory whose content is served.
#[derive(Debug)]
pub struct Root {
    /// Canonical.
    directory: PathBuf,
}

/// What a path leads to.
#[derive(Debug)]
pub enum Found {
    File(Opened),
    Directory,
}

/// A file that is open, and what it was like at that moment.
#[derive(Debug)]
pub struct Opened {
    pub file: File,
    pub length: u64,
    pub modified: Option<SystemTime>,
}

impl Root {
    pub fn open(directory: &Path) -> io::Result<Root> {
        let directory = fs::canonicalize(directory)?;
        fs::read_dir(&directory)?; // a directory, and readable: better said now than with each request
        Ok(Root { directory })
    }

    /// Opens what is at a path below the root.
    pub fn find(&self, relative: &Path) -> Result<Found, Fault> {
        let path = fs::canonicalize(self.directory.join(relative)).map_err(|error| explain(&error))?;
        if !path.starts_with(&self.directory) {
            return Err(MISSING);
        }
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
        let file = file.map_err(|error| explain(&error))?;
        let metadata = file.metadata().map_err(|error| explain(&error))?;
        if metadata.is_dir() {
            Ok(Found::Directory)
        } else if metadata.is_file() {
            Ok(Found::File(Opened { file, length: metadata.len(), modified: metadata.modified().ok() }))
        } else {
            Err(MISSING)
        }
    }
}

/// What an error of the file system means to a client.
fn explain(error: &io::Error) -> Fault {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ENAMETOOLONG | libc::ENXIO) => MISSING,
        Some(libc::EACCES | libc::EPERM) => Fault::new(FORBIDDEN, "The server may not read this."),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => {
            Fault::new(SERVICE_UNAVAILABLE, "The server is too busy to open this now; try again later.")
        }
        _ => Fault::new(INTERNAL_SERVER_ERROR, "The server cannot read this."),
    }
}
