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
    /// and how much of that is memory held for the peer.
    spliced_memory: usize,
}

/// What the splices have to send is counted up to here: nobody has so much to send, and whoever says so (the range of a file
/// may have any end) must not make a sum overflow.
const MOST: usize = usize::MAX / 16;

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

    /// Whether it holds memory for the peer.
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

    /// Memory it holds for the peer: of files and static pieces only their place in the queue.
    pub(crate) fn memory(&self) -> usize {
        self.copied.len() - self.start + self.spliced_memory + self.splices.len() * size_of::<Splice>()
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
        self.spliced = self.spliced.saturating_add(piece.len()).min(MOST);
        self.spliced_memory += if piece.is_memory() { piece.len() } else { 0 };
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
            self.spliced_memory -= if splice.piece.is_memory() { step } else { 0 };
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
        self.spliced = (self.spliced + other.spliced).min(MOST);
        self.spliced_memory += other.spliced_memory;
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
        (self.start, self.before_splices, self.spliced, self.spliced_memory) = (0, 0, 0, 0);
    }

    /// Bytes of memory it keeps for reuse.
    pub(crate) fn capacity(&self) -> usize {
        self.copied.capacity() + self.splices.capacity() * size_of::<Splice>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where a byte comes from.
    #[derive(Copy, Clone, Debug, PartialEq)]
    enum Origin {
        Copied,
        Memory,
        Elsewhere,
    }

    /// What an [`Output`] must be: bytes in a row.
    type Model = Vec<(u8, Origin)>;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u16),
        Buffer(u16),
        Static(u16),
        Shared(u16),
        Owned(u16),
        File(u16),
        /// Somebody shortens the buffer by so many bytes, against the rules.
        Shorten(u16),
        /// Everything written since is one callback's, and is queued behind the rest.
        Append,
        /// So much of what is queued is sent.
        Advance(prop::sample::Index),
        Clear,
    }

    static STATIC: [u8; 1024] = {
        let mut bytes = [0; 1024];
        let mut at = 0;
        while at < bytes.len() {
            bytes[at] = (at % 241) as u8;
            at += 1;
        }
        bytes
    };

    /// What stands at an offset of the file, which is never read: the kernel would.
    fn in_file(offset: u64) -> u8 {
        (offset % 239) as u8
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let length = 0..600u16;
        let step = prop_oneof![
            4 => length.clone().prop_map(Step::Write),
            1 => length.clone().prop_map(Step::Buffer),
            2 => length.clone().prop_map(Step::Static),
            2 => length.clone().prop_map(Step::Shared),
            2 => length.clone().prop_map(Step::Owned),
            2 => length.clone().prop_map(Step::File),
            1 => length.prop_map(Step::Shorten),
            4 => Just(Step::Append),
            4 => any::<prop::sample::Index>().prop_map(Step::Advance),
            1 => Just(Step::Clear),
        ];
        proptest::collection::vec(step, 0..60)
    }

    fn bytes(length: u16, seed: usize) -> Vec<u8> {
        (0..usize::from(length)).map(|at| (at * 7 + seed) as u8).collect()
    }

    /// The next bytes that go out: some of memory, or some of a file.
    fn next(output: &Output) -> Vec<u8> {
        let mut pieces = [IoSlice::new(&[]); 4];
        match output.front(&mut pieces) {
            Front::Pieces(count) => {
                assert!(pieces[..count].iter().all(|piece| !piece.is_empty()), "an empty piece");
                pieces[..count].iter().flat_map(|piece| piece.to_vec()).collect()
            }
            Front::File { offset, length, .. } => (offset..offset + length).map(in_file).collect(),
        }
    }

    fn check(output: &Output, model: &Model) {
        assert_eq!(output.len(), model.len());
        assert_eq!(output.is_empty(), model.is_empty());
        let elsewhere = model.iter().filter(|(_, origin)| *origin == Origin::Elsewhere).count();
        let places = output.splices.len() * size_of::<Splice>();
        assert_eq!(output.memory(), model.len() - elsewhere + places);
        let next = next(output);
        assert!(!next.is_empty() || model.is_empty(), "something is left, but nothing goes out");
        assert!(next.iter().eq(model.iter().take(next.len()).map(|(byte, _)| byte)));
        if let Some(plain) = output.plain() {
            assert!(plain.iter().eq(model.iter().map(|(byte, _)| byte)));
        }
    }

    proptest! {
        #[test]
        fn an_output_is_its_bytes_in_a_row(steps in steps()) {
            let file = Arc::new(File::open("/dev/null").unwrap());
            let (mut queued, mut queued_model) = (Output::default(), Model::new());
            let (mut fresh, mut fresh_model) = (Output::default(), Model::new());
            for (seed, step) in steps.into_iter().enumerate() {
                let mut expect = |bytes: &[u8], origin| fresh_model.extend(bytes.iter().map(|&byte| (byte, origin)));
                match step {
                    Step::Write(length) => {
                        fresh.write(&bytes(length, seed));
                        expect(&bytes(length, seed), Origin::Copied);
                    }
                    Step::Buffer(length) => {
                        fresh.buffer().extend(bytes(length, seed));
                        expect(&bytes(length, seed), Origin::Copied);
                    }
                    Step::Static(length) => {
                        let piece = &STATIC[seed..seed + usize::from(length)];
                        fresh.write_static(piece);
                        expect(piece, Origin::Elsewhere);
                    }
                    Step::Shared(length) => {
                        fresh.write_shared(bytes(length, seed).into());
                        expect(&bytes(length, seed), Origin::Memory);
                    }
                    Step::Owned(length) => {
                        fresh.write_owned(bytes(length, seed));
                        expect(&bytes(length, seed), Origin::Memory);
                    }
                    Step::File(length) => {
                        let range = seed as u64 * 100..seed as u64 * 100 + u64::from(length);
                        let piece: Vec<u8> = range.clone().map(in_file).collect();
                        fresh.write_file(Arc::clone(&file), range);
                        expect(&piece, Origin::Elsewhere);
                    }
                    Step::Shorten(length) => {
                        let left = fresh.buffer().len().saturating_sub(usize::from(length));
                        fresh.buffer().truncate(left);
                        fresh.mend();
                        let mut kept = 0;
                        fresh_model.retain(|(_, origin)| {
                            kept += usize::from(*origin == Origin::Copied);
                            *origin != Origin::Copied || kept <= left
                        });
                    }
                    Step::Append => {
                        queued.append(&mut fresh);
                        queued_model.append(&mut fresh_model);
                        check(&queued, &queued_model);
                    }
                    Step::Advance(share) => {
                        // What one system call takes: never more than it was shown.
                        let sent = share.index(next(&queued).len() + 1);
                        queued.advance(sent);
                        queued_model.drain(..sent);
                        check(&queued, &queued_model);
                    }
                    Step::Clear => {
                        fresh.clear();
                        fresh_model.clear();
                    }
                }
                check(&fresh, &fresh_model);
            }
            queued.append(&mut fresh);
            queued_model.append(&mut fresh_model);
            while !queued_model.is_empty() {
                check(&queued, &queued_model);
                let sent = next(&queued).len();
                queued.advance(sent);
                queued_model.drain(..sent);
            }
            check(&queued, &queued_model);
            prop_assert_eq!(queued.copied.len(), 0, "the memory is free for what comes");
        }
    }

    #[test]
    fn what_is_sent_does_not_pile_up_in_front_of_a_queue_that_is_never_empty() {
        let (mut queue, mut fresh) = (Output::default(), Output::default());
        queue.write(&[0; 1000]);
        for _ in 0..10_000 {
            fresh.write(&[0; 500]);
            queue.append(&mut fresh);
            queue.advance(500);
        }
        assert_eq!(queue.len(), 1000);
        assert!(queue.capacity() < 10_000, "{}", queue.capacity());
    }

    #[test]
    fn more_pieces_than_one_call_takes_go_out_in_several() {
        let mut output = Output::default();
        (0..10).for_each(|number| {
            output.write(&[number]);
            output.write_owned(vec![number + 100]);
        });
        let mut pieces = [IoSlice::new(&[]); 4];
        assert!(matches!(output.front(&mut pieces), Front::Pieces(4)));
        output.advance(3);
        assert_eq!(next(&output), [101, 2, 102, 3]);
    }
}
