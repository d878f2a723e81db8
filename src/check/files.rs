//! Where the TOC says that a content lies: a file in one piece, or its chunks.

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
    /// Just past its last frame, where the TOC says that.
    pub(super) end: Option<u64>,
    /// Uncompressed length in bytes.
    pub(super) len: u64,
    /// Of the uncompressed piece, where the TOC has one.
    pub(super) digest: Option<Digest>,
    /// All zeros.
    pub(super) hole: bool,
}

/// A file's name, as messages show it.
pub(super) type Name<'a> = Shown<&'a str>;

/// A regular file that is not empty.
#[derive(Debug)]
pub(super) struct File<'a> {
    /// For messages.
    pub(super) name: Name<'a>,
    /// CRC-64 of the content, as the tar-split stream has it.
    pub(super) crc: Option<u64>,
    /// SHA-256 of the content.
    pub(super) digest: Option<Digest>,
    /// Just past the content, where the TOC says that.
    pub(super) end: Option<u64>,
    /// At least one; their lengths add up to that of the file.
    pub(super) pieces: Vec<Piece>,
}

/// Holds ranges against each other as files come in the order of the TOC.
#[derive(Debug)]
pub(super) struct Ranges {
    /// Just past what the last file took, as far as that is known.
    taken: u64,
    /// Where the last file began.
    start: Option<u64>,
    /// Nothing may lie beyond.
    bound: u64,
}

fn sha256(text: &str) -> Option<Digest> {
    text.parse().ok().filter(|digest: &Digest| digest.algorithm() == Algorithm::Sha256)
}

impl Ranges {
    pub(super) fn new(bound: u64) -> Self {
        Self { taken: 0, start: None, bound }
    }

    /// Just past the last file, as far as that is known.
    pub(super) fn end(&self) -> u64 {
        self.taken
    }

    /// What the TOC says of a content of `len` bytes. `None` if it cannot be found by that.
    pub(super) fn file<'a>(
        &mut self,
        main: &'a TocEntry,
        chunks: &[TocEntry],
        len: u64,
        crc: Option<u64>,
        findings: &mut Findings,
    ) -> Option<File<'a>> {
        let name = shown(main.name.as_str());
        let digest = sha256(&main.digest);
        if digest.is_none() {
            let detail = format!("{name}: its digest is no SHA-256: {}", shown(&main.digest));
            findings.add(Rule::FileDigestMissing, detail);
        }
        let pieces = pieces(main, chunks, len, name, findings)?;
        self.check(&pieces, main.end_offset, name, findings);
        Some(File { name, crc, digest, end: main.end_offset, pieces })
    }

    fn check(
        &mut self,
        pieces: &[Piece],
        end: Option<u64>,
        name: Name<'_>,
        findings: &mut Findings,
    ) {
        let last = pieces.len().saturating_sub(1);
        for (number, piece) in pieces.iter().enumerate() {
            let Piece { offset, .. } = *piece;
            if offset < self.taken || self.start.is_some_and(|start| offset <= start) {
                let detail = format!(
                    "{name}: piece {number} begins at {offset}, within or before what precedes it"
                );
                findings.add(Rule::RangeOrder, detail);
            }
            let end = piece.end.or(end.filter(|_| number == last));
            if end.is_some_and(|end| end <= offset) {
                let detail =
                    format!("{name}: piece {number} begins at {offset} and ends at or before that");
                findings.add(Rule::RangeOrder, detail);
            }
            if end.unwrap_or(offset) > self.bound {
                let detail =
                    format!("{name}: piece {number} goes beyond {}, where the TOC is", self.bound);
                findings.add(Rule::RangeBounds, detail);
            }
            self.taken = end.unwrap_or(offset);
            self.start = Some(offset);
        }
    }
}

fn pieces(
    main: &TocEntry,
    chunks: &[TocEntry],
    len: u64,
    name: Name<'_>,
    findings: &mut Findings,
) -> Option<Vec<Piece>> {
    let mut at = 0_u64;
    let mut pieces = Vec::with_capacity(1 + chunks.len());
    for entry in std::iter::once(main).chain(chunks) {
        let Some(offset) = entry.offset.filter(|offset| *offset > 0) else {
            findings
                .add(Rule::FileRange, format!("{name}: the TOC does not say where its content is"));
            return None;
        };
        let alone = chunks.is_empty();
        let size = if alone && entry.chunk_size == 0 { len } else { entry.chunk_size };
        if entry.chunk_offset != at || size == 0 {
            let detail = format!(
                "{name}: a chunk of {size} bytes at {}, expected at {at}",
                entry.chunk_offset
            );
            findings.add(Rule::ChunkSize, detail);
        }
        if !matches!(entry.chunk_type.as_str(), "" | "zeros") {
            let detail = format!("{name}: a chunk of the type {}", shown(&entry.chunk_type));
            findings.add(Rule::ChunkEntry, detail);
        }
        let digest = sha256(&entry.chunk_digest);
        if digest.is_none() && !entry.chunk_digest.is_empty() {
            let detail = format!("{name}: no SHA-256: {}", shown(&entry.chunk_digest));
            findings.add(Rule::ChunkDigest, detail);
        }
        pieces.push(Piece {
            offset,
            // The end of the first is that of the file.
            end: entry.end_offset.filter(|_| at > 0 || alone),
            len: size,
            digest,
            hole: entry.chunk_type == "zeros",
        });
        at = at.saturating_add(size);
    }
    if at != len {
        let detail = format!("{name}: its chunks have {at} bytes together, it has {len}");
        findings.add(Rule::ChunkSize, detail);
        // Without their lengths, what can be checked is the file as a whole.
        pieces.truncate(1);
        if let Some(whole) = pieces.first_mut() {
            *whole = Piece { len, end: None, digest: None, hole: false, ..whole.clone() };
        }
    }
    Some(pieces)
}
