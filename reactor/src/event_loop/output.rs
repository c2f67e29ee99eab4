//! What is still to be sent: copied bytes with other pieces spliced in.
//!
//! `write` copies into one vector, which is what nearly every answer does; static, shared and owned memory and ranges of
//! files are spliced in between without a copy. A splice remembers how many copied bytes come before it since the splice
//! before, so that sending from the front never renumbers the rest.

use std::collections::VecDeque;
use std::fs::File;
use std::io::IoSlice;
use std::mem;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// A queue of bytes and pieces, sent from the front.
#[derive(Debug, Default)]
pub struct Output {
    copied: Vec<u8>,
    /// How many of the copied bytes are sent.
    start: usize,
    splices: VecDeque<Splice>,
    /// The sum of the splices' `after`.
    before_splices: usize,
    /// The sum of what the splices still have to send,
    spliced: usize,
    /// and how much of that is memory held for this peer.
    memory: usize,
}

#[derive(Debug)]
struct Splice {
    /// Copied bytes that go before it.
    after: usize,
    piece: Piece,
    /// How much of the piece is sent.
    sent: usize,
}

#[derive(Debug)]
enum Piece {
    Static(&'static [u8]),
    Shared(Arc<[u8]>),
    Owned(Vec<u8>),
    File(Arc<File>, Range<u64>),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Piece::File(_, range) => {
                usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)
            }
            memory => memory.bytes().len(),
        }
    }

    /// Whether it is memory that its peer keeps from being freed: neither a file nor static.
    fn is_memory(&self) -> bool {
        matches!(self, Piece::Shared(_) | Piece::Owned(_))
    }

    /// Its bytes; empty for a file, whose bytes never enter our memory.
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Static(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
            Piece::Owned(bytes) => bytes,
            Piece::File(..) => &[],
        }
    }
}

/// What goes out next.
pub(crate) enum Front<'a> {
    /// Runs of memory, filled into the array that was given: this many.
    Pieces(usize),
    /// A stretch of a file: where and how long.
    File { file: BorrowedFd<'a>, offset: u64, length: u64 },
}

impl Output {
    /// Bytes not yet sent, those of files included.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.copied.len() - self.start + self.spliced
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory it holds for the peer: neither files nor static pieces. A sum that is kept, not made: it is asked for after
    /// every call, and a peer that reads nothing may have many thousand small pieces waiting.
    pub(crate) fn memory(&self) -> usize {
        self.copied.len() - self.start + self.memory
    }

    #[inline]
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.copied.extend_from_slice(bytes);
    }

    /// The copied bytes, to append to.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.copied
    }

    pub(crate) fn write_static(&mut self, bytes: &'static [u8]) {
        self.splice(Piece::Static(bytes));
    }

    pub(crate) fn write_shared(&mut self, bytes: Arc<[u8]>) {
        self.splice(Piece::Shared(bytes));
    }

    pub(crate) fn write_owned(&mut self, bytes: Vec<u8>) {
        self.splice(Piece::Owned(bytes));
    }

    pub(crate) fn write_file(&mut self, file: Arc<File>, range: Range<u64>) {
        self.splice(Piece::File(file, range));
    }

    fn splice(&mut self, piece: Piece) {
        if piece.len() == 0 {
            return;
        }
        let after = self.trailing();
        self.before_splices += after;
        self.spliced = self.spliced.saturating_add(piece.len());
        if piece.is_memory() {
            self.memory += piece.len();
        }
        self.splices.push_back(Splice { after, piece, sent: 0 });
    }

    /// Copied bytes behind the last splice.
    fn trailing(&self) -> usize {
        (self.copied.len() - self.start).saturating_sub(self.before_splices)
    }

    /// `buffer` lends the vector out whole, and whoever shortened it may have cut into what goes before a splice: such a
    /// splice moves up. Called before anything relies on the splices' positions.
    pub(crate) fn mend(&mut self) {
        let mut left = self.copied.len() - self.start;
        if self.before_splices <= left {
            return;
        }
        self.before_splices = 0;
        for splice in &mut self.splices {
            splice.after = splice.after.min(left);
            left -= splice.after;
            self.before_splices += splice.after;
        }
    }

    /// All of it, if nothing is spliced in.
    #[inline]
    pub(crate) fn plain(&self) -> Option<&[u8]> {
        self.splices.is_empty().then(|| &self.copied[self.start..])
    }

    /// What goes out next; runs of memory are listed in `pieces`.
    pub(crate) fn front<'a>(&'a self, pieces: &mut [IoSlice<'a>]) -> Front<'a> {
        let mut copied = &self.copied[self.start..];
        let mut count = 0;
        for splice in &self.splices {
            let (before, rest) = copied.split_at(splice.after);
            copied = rest;
            for run in [before, splice.piece.bytes().get(splice.sent..).unwrap_or_default()] {
                if count == pieces.len() {
                    return Front::Pieces(count);
                }
                if !run.is_empty() {
                    pieces[count] = IoSlice::new(run);
                    count += 1;
                }
            }
            if let Piece::File(file, range) = &splice.piece {
                let offset = range.start + splice.sent as u64;
                return match count {
                    0 => Front::File { file: file.as_fd(), offset, length: range.end - offset },
                    _ => Front::Pieces(count),
                };
            }
        }
        if !copied.is_empty() && count < pieces.len() {
            pieces[count] = IoSlice::new(copied);
            count += 1;
        }
        Front::Pieces(count)
    }

    /// Forgets the first `sent` bytes.
    #[inline]
    pub(crate) fn advance(&mut self, sent: usize) {
        if self.splices.is_empty() {
            self.start += sent;
            debug_assert!(self.start <= self.copied.len());
            if self.start == self.copied.len() {
                self.copied.clear();
                self.start = 0;
            }
        } else {
            self.advance_splices(sent);
        }
    }

    fn advance_splices(&mut self, mut sent: usize) {
        while let Some(splice) = self.splices.front_mut() {
            let step = sent.min(splice.after);
            splice.after -= step;
            self.before_splices -= step;
            self.start += step;
            sent -= step;
            let step = sent.min(splice.piece.len() - splice.sent);
            splice.sent += step;
            self.spliced -= step;
            if splice.piece.is_memory() {
                self.memory -= step;
            }
            sent -= step;
            if splice.after > 0 || splice.sent < splice.piece.len() {
                return;
            }
            self.splices.pop_front();
        }
        self.advance(sent);
    }

    /// Moves all of `other` behind what is here.
    pub(crate) fn append(&mut self, other: &mut Output) {
        other.mend();
        if self.is_empty() {
            self.clear();
            mem::swap(self, other);
            return;
        }
        self.reclaim();
        for mut splice in other.splices.drain(..) {
            self.copied.extend_from_slice(&other.copied[other.start..other.start + splice.after]);
            other.start += splice.after;
            splice.after = self.trailing();
            self.before_splices += splice.after;
            self.splices.push_back(splice);
        }
        self.copied.extend_from_slice(&other.copied[other.start..]);
        self.spliced += other.spliced;
        self.memory += other.memory;
        other.clear();
    }

    /// Drops what is sent from the front of the vector, once that is most of it: a copy of at most what was sent.
    fn reclaim(&mut self) {
        if self.start > self.copied.len() / 2 {
            self.copied.drain(..self.start);
            self.start = 0;
        }
    }

    /// Forgets everything, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.copied.clear();
        self.splices.clear();
        (self.start, self.before_splices, self.spliced, self.memory) = (0, 0, 0, 0);
    }

    /// Bytes of memory it keeps for reuse.
    pub(crate) fn capacity(&self) -> usize {
        self.copied.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the sum that is kept must be.
    fn counted(output: &Output) -> usize {
        let pieces = output.splices.iter().filter(|splice| splice.piece.is_memory());
        output.copied.len() - output.start
            + pieces.map(|splice| splice.piece.len() - splice.sent).sum::<usize>()
    }

    #[test]
    fn memory_counts_what_is_held_for_the_peer_however_it_is_sent() {
        for step in 1..40 {
            let (mut output, mut more) = (Output::default(), Output::default());
            for into in [&mut output, &mut more] {
                into.write(b"copied");
                into.write_static(b"static");
                into.write_shared(Arc::from(&b"shared"[..]));
                into.write(b"copied");
                into.write_owned(b"owned".to_vec());
                assert_eq!(into.memory(), 23);
            }
            output.append(&mut more);
            assert_eq!((output.memory(), more.memory(), output.len()), (46, 0, 58));
            while !output.is_empty() {
                output.advance(step.min(output.len()));
                assert_eq!(output.memory(), counted(&output), "in steps of {step}");
            }
            assert_eq!(output.memory(), 0);
        }
        let mut dropped = Output::default();
        dropped.write_owned(vec![0; 9]);
        dropped.clear();
        assert_eq!(dropped.memory(), 0);
    }
}
