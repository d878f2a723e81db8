//! Where a file's content is, by the TOC: in one piece, or in chunks.

use super::{
    finding::{Findings, Rule, Shown, shown},
    toc::TocEntry,
};
use crate::image::{Digest, digest::Algorithm};

/// A stretch of a file that has frames of its own.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Where its first frame begins in the blob.
    pub(super) offset: u64,
    /// Just past its last frame, if the TOC says so.
    pub(super) end: Option<u64>,
    /// Uncompressed length in bytes.
    pub(super) len: u64,
    /// Of the uncompressed piece, if the TOC has one.
    pub(super) digest: Option<Digest>,
    pub(super) hole: bool,
}

/// A file's name, as messages show it.
pub(super) type Name<'a> = Shown<&'a str>;

/// What is known about a regular file after its last piece.
#[derive(Debug)]
pub(super) struct File<'a> {
    /// For messages.
    pub(super) name: Name<'a>,
    /// How many bytes at its end the TOC does not locate.
    pub(super) rest: u64,
    /// Just past a content of several pieces, if the TOC says so.
    pub(super) end: Option<u64>,
    pub(super) digest: Option<Digest>,
    /// CRC-64 of the content, from the tar-split stream.
    pub(super) crc: Option<u64>,
}

/// The pieces of one file, from its entries as they come. A piece is complete only when the entry
/// after it has come.
#[derive(Debug)]
pub(super) struct FilePieces {
    /// Length of the file in bytes.
    len: u64,
    /// Where the next piece begins in the file.
    at: u64,
    /// Where the pieces returned so far end.
    given: u64,
    /// How many were returned.
    number: usize,
    held: Option<Piece>,
    /// No further piece can be located.
    lost: bool,
}

/// Compares ranges with each other, in the order of the TOC.
#[derive(Debug)]
pub(super) struct Ranges {
    /// Just past the last piece, as far as known.
    taken: u64,
    /// Where the last piece began.
    start: Option<u64>,
    /// Nothing may be beyond.
    bound: u64,
}

fn sha256(text: &str) -> Option<Digest> {
    text.parse().ok().filter(|digest: &Digest| digest.algorithm() == Algorithm::Sha256)
}

impl Ranges {
    pub(super) fn new(bound: u64) -> Self {
        Self { taken: 0, start: None, bound }
    }

    /// Just past the last file, as far as known.
    pub(super) fn end(&self) -> u64 {
        self.taken
    }

    /// `end` is just past the piece, if known.
    pub(super) fn check(
        &mut self,
        piece: &Piece,
        number: usize,
        end: Option<u64>,
        name: Name<'_>,
        findings: &mut Findings,
    ) {
        let offset = piece.offset;
        if offset < self.taken || self.start.is_some_and(|start| offset <= start) {
            let detail = format!(
                "{name}: piece {number} begins at {offset}, before the end of what precedes it"
            );
            findings.add(Rule::RangeOrder, detail);
        }
        if end.is_some_and(|end| end <= offset) {
            let detail =
                format!("{name}: piece {number} begins at {offset}, but ends at or before that");
            findings.add(Rule::RangeOrder, detail);
        }
        if end.unwrap_or(offset) > self.bound {
            let detail =
                format!("{name}: piece {number} extends beyond {}, into the TOC", self.bound);
            findings.add(Rule::RangeBounds, detail);
        }
        self.taken = end.unwrap_or(offset);
        self.start = Some(offset);
    }
}

/// The digest of a file, which is required.
pub(super) fn file_digest(
    main: &TocEntry,
    name: Name<'_>,
    findings: &mut Findings,
) -> Option<Digest> {
    let digest = sha256(&main.digest);
    if digest.is_none() {
        let detail = format!("{name}: invalid digest {}; expected SHA-256", shown(&main.digest));
        findings.add(Rule::FileDigestMissing, detail);
    }
    digest
}

impl FilePieces {
    pub(super) fn new(len: u64) -> Self {
        Self { len, at: 0, given: 0, number: 0, held: None, lost: false }
    }

    /// How many pieces were returned.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// How many bytes are in none of the pieces returned.
    pub(super) fn rest(&self) -> u64 {
        self.len.saturating_sub(self.given)
    }

    /// Whether the whole file was located.
    pub(super) fn complete(&self) -> bool {
        !self.lost
    }

    /// Takes an entry, and returns the piece of the one before.
    pub(super) fn next(
        &mut self,
        entry: &TocEntry,
        name: Name<'_>,
        findings: &mut Findings,
    ) -> Option<Piece> {
        let Some(offset) = entry.offset.filter(|offset| *offset > 0) else {
            if !self.lost {
                let detail = format!("{name}: the TOC does not say where its content is");
                findings.add(Rule::FileRange, detail);
            }
            return self.lose();
        };
        if self.lost {
            return None;
        }
        let is_main = self.held.is_none();
        let empty = self.held.as_ref().is_some_and(|held| held.len == 0);
        if entry.chunk_offset != self.at || empty || self.at > self.len {
            let detail = format!(
                "{name}: chunk of {} bytes at {}, expected at {}",
                entry.chunk_size, entry.chunk_offset, self.at
            );
            findings.add(Rule::ChunkSize, detail);
            return self.lose();
        }
        if !matches!(entry.chunk_type.as_str(), "" | "zeros") {
            let detail = format!("{name}: unknown chunk type {}", shown(&entry.chunk_type));
            findings.add(Rule::ChunkEntry, detail);
        }
        let digest = sha256(&entry.chunk_digest);
        if digest.is_none() && !entry.chunk_digest.is_empty() {
            let detail = format!(
                "{name}: invalid chunk digest {}; expected SHA-256",
                shown(&entry.chunk_digest)
            );
            findings.add(Rule::ChunkDigest, detail);
        }
        let piece = Piece {
            offset,
            // The end of the first of several is that of the file.
            end: entry.end_offset.filter(|_| !is_main),
            len: entry.chunk_size,
            digest,
            hole: entry.chunk_type == "zeros",
        };
        self.at = self.at.saturating_add(piece.len);
        let before = self.held.replace(piece)?;
        self.give(before)
    }

    /// The last piece of the file, if the pieces are complete; `end` is just past it.
    pub(super) fn last(
        &mut self,
        end: Option<u64>,
        name: Name<'_>,
        findings: &mut Findings,
    ) -> Option<Piece> {
        let mut piece = self.held.take()?;
        if self.number == 0 {
            if piece.len == 0 {
                (piece.len, self.at) = (self.len, self.len);
            }
            piece.end = end;
        }
        if self.at != self.len {
            let (at, len) = (self.at, self.len);
            let detail = format!("{name}: its chunks add up to {at} bytes, but it has {len}");
            findings.add(Rule::ChunkSize, detail);
            return self.lose();
        }
        self.give(piece)
    }

    #[expect(clippy::unnecessary_wraps, reason = "returned by callers that may have no piece")]
    fn give(&mut self, piece: Piece) -> Option<Piece> {
        self.given = self.given.saturating_add(piece.len);
        self.number += 1;
        Some(piece)
    }

    /// The rest can only be checked as a whole.
    fn lose(&mut self) -> Option<Piece> {
        (self.lost, self.held) = (true, None);
        None
    }
}
