//! Standard input in lines, for a loop: one read(2) at a time, of what is there.
//!
//! A loop asks the kernel whether standard input is readable and then reads once, so the read does not block. Two habits of
//! other programs are avoided here on purpose:
//!
//! * `std::io::stdin` reads ahead into a buffer of its own. A line in there is one that the kernel does not know of any more,
//!   and the loop would wait for it in vain.
//! * Standard input is *not* made nonblocking. `O_NONBLOCK` belongs to the open file description, which the shell, and
//!   every other program of the terminal, shares: set here, it would be set for them, and stay when we are gone.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

/// Bytes of the longest line; a longer one is handed out in pieces, so that a file without line ends cannot fill the memory.
pub const LONGEST_LINE: usize = 16 * 1024;

/// Standard input. It can be read through a shared reference, so that a source of a loop and its owner may both hold it.
///
/// ```no_run
/// let typed = zen_examples::Typed::open();
/// while let Some(lines) = typed.read()? {
///     lines.iter().for_each(|line| println!("typed: {line}"));
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Typed {
    input: File,
    /// What is here of a line whose end is not.
    line: RefCell<Vec<u8>>,
    ended: Cell<bool>,
}

impl Typed {
    /// Standard input of the process.
    ///
    /// # Panics
    /// No descriptor is left for a duplicate.
    #[must_use]
    pub fn open() -> Typed {
        let duplicate =
            io::stdin().as_fd().try_clone_to_owned().expect("a program begins with descriptors left");
        Typed { input: File::from(duplicate), line: RefCell::default(), ended: Cell::new(false) }
    }

    /// Reads once, and gives the lines that are complete now, without their ends; `None` at the end of the input. What is no
    /// UTF-8 is replaced.
    ///
    /// # Errors
    /// What read(2) says.
    pub fn read(&self) -> io::Result<Option<Vec<String>>> {
        if self.ended.get() {
            return Ok(None);
        }
        let mut buffer = [0; 4096];
        let length = match (&self.input).read(&mut buffer) {
            Ok(length) => length,
            // Somebody else may have been quicker, or has made our input nonblocking.
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {
                return Ok(Some(Vec::new()));
            }
            // EIO: the terminal is gone.
            Err(error) if error.raw_os_error() == Some(5) => 0,
            Err(error) => return Err(error),
        };
        if length == 0 {
            self.ended.set(true);
            let unfinished = self.line.take();
            return Ok((!unfinished.is_empty()).then(|| vec![text(&unfinished)]));
        }
        Ok(Some(self.split(&buffer[..length])))
    }

    /// Appends what was read, and takes out what is complete.
    fn split(&self, read: &[u8]) -> Vec<String> {
        let (mut line, mut lines) = (self.line.borrow_mut(), Vec::new());
        for piece in read.split_inclusive(|&byte| byte == b'\n') {
            line.extend_from_slice(piece);
            if let Some(whole) = line.strip_suffix(b"\n") {
                lines.push(text(whole));
                line.clear();
            } else if line.len() > LONGEST_LINE {
                let at = boundary(&line, LONGEST_LINE);
                let rest = line.split_off(at);
                lines.push(text(&line));
                *line = rest;
            }
        }
        lines
    }
}

impl AsFd for Typed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// The last place at or before `at` that is not within a character: a byte within one begins with the bits 10.
fn boundary(text: &[u8], at: usize) -> usize {
    let within = text[..=at].iter().rev().take(4).take_while(|&&byte| byte & 0xC0 == 0x80).count();
    if within < 4 { at - within } else { at } // four in a row: no UTF-8 at all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed() -> Typed {
        Typed { input: File::open("/dev/null").unwrap(), line: RefCell::default(), ended: Cell::new(false) }
    }

    #[test]
    fn a_line_ends_where_its_end_is_however_it_arrives() {
        let typed = typed();
        assert_eq!(typed.split(b"one\ntw"), ["one"]);
        assert!(typed.split(b"").is_empty());
        assert_eq!(typed.split(b"o\n\nthr"), ["two", ""]);
        assert_eq!(typed.read().unwrap().unwrap(), ["thr"]);
        assert_eq!(typed.read().unwrap(), None);
    }

    #[test]
    fn a_long_line_comes_in_pieces_that_cut_no_character() {
        let long = "x".repeat(3) + &"äß€😀".repeat(LONGEST_LINE / 4) + "\n";
        let typed = typed();
        let lines: Vec<String> = long.as_bytes().chunks(4096).flat_map(|chunk| typed.split(chunk)).collect();
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= LONGEST_LINE));
        assert_eq!(lines.concat() + "\n", long);
    }

    #[test]
    fn what_is_no_text_comes_in_pieces_too() {
        let typed = typed();
        let pieces: usize = (0..100).map(|_| typed.split(&[0x80; 4096]).len()).sum();
        assert!(pieces >= 20 && typed.line.borrow().len() <= LONGEST_LINE + 4096);
    }
}
