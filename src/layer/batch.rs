//! Units of work: a stretch of the tar, the frames it is to be divided into, and what is to be
//! known of it afterwards.

use std::{ops::Range, sync::Arc};

use crossbeam_channel::Receiver;

use super::{
    budget::{Budget, Units},
    error::LayerError,
};
use crate::{
    chunked::{
        eligibility::{LeftOut, Unchunkable},
        toc::Metadata,
    },
    image::Digest,
};

/// A stretch of the tar. Shared by the worker that encodes it and the digester; its division
/// depends on the tar alone, never on timing.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) data: Vec<u8>,
    /// The room that it takes.
    pub(super) room: Vec<Units>,
    /// In order and without gaps; the last ends where `data` does.
    pub(super) frames: Vec<Frame>,
    /// What is hashed along with the tar, in order: files, and chunks that go across frames.
    pub(super) sums: Vec<Sum>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(room) = self.room.first() {
            room.give_back(std::mem::take(&mut self.data));
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// Where its content ends in the batch's data.
    pub(super) end: usize,
    pub(super) of: FrameOf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameOf {
    /// Headers, or anything where frames do not follow the files.
    Tar,
    /// A file, or a part of one.
    Content,
    /// A chunk; its digest is wanted.
    Chunk,
}

#[derive(Debug, Clone)]
pub(super) struct Sum {
    pub(super) of: SumOf,
    pub(super) range: Range<usize>,
    /// The file or chunk ends here.
    pub(super) last: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SumOf {
    File,
    Chunk,
}

/// Encoded frames of one batch.
#[derive(Debug)]
pub(super) struct EncodedFrames {
    pub(super) bytes: Vec<u8>,
    /// Where each frame ends in `bytes`, and the SHA-256 of its content where it was wanted.
    pub(super) ends: Vec<(usize, Option<[u8; 32]>)>,
    /// Where `bytes` goes back to.
    budget: Arc<Budget>,
}

impl EncodedFrames {
    /// None yet, with room for those of `batch`.
    pub(super) fn for_batch(batch: &Batch, budget: &Arc<Budget>) -> Self {
        // Enough for what cannot be compressed: growing would move it.
        let bytes = budget.frames.buffer(batch.data.len() + (64 << 10));
        Self { bytes, ends: Vec::with_capacity(batch.frames.len()), budget: Arc::clone(budget) }
    }
}

impl Drop for EncodedFrames {
    fn drop(&mut self) {
        self.budget.frames.give_back(std::mem::take(&mut self.bytes));
    }
}

/// What happens in the course of a batch, in order. Ranges are of the batch's data, frames are
/// told by their number in the batch.
#[derive(Debug)]
pub(super) enum Mark {
    /// Headers of an entry, after the padding of the content before.
    Entry { raw: Range<usize>, metadata: Box<Metadata> },
    /// The content of the entry begins with this frame.
    ContentStart { frame: usize },
    /// A chunk has come to its end with this frame.
    ChunkEnd { frame: usize, len: u64, hole: bool, digest: DigestFrom },
    /// The content has come to its end with this frame.
    ContentEnd { frame: usize, len: u64, crc: u64 },
    /// Bytes after the last entry.
    Tail { raw: Range<usize> },
    /// From here on there is no TOC.
    Unchunkable(Unchunkable),
}

/// Who computes a chunk's digest.
#[derive(Debug, Clone, Copy)]
pub(super) enum DigestFrom {
    /// The worker, of the content of this frame.
    Frame(usize),
    /// The digester, in the order of the sums that end.
    Sum,
    /// The assembler, for these are so many zeros.
    Zeros(u64),
}

/// What the assembler is handed, in the order of the tar.
pub(super) enum Item {
    Batch {
        batch: Arc<Batch>,
        marks: Vec<Mark>,
        frames: Receiver<Result<EncodedFrames, LayerError>>,
    },
    /// The tar has come to its end; this is what a partial pull does not create.
    End(LeftOut),
}

/// What the digester tells at the end.
pub(super) struct TarTotals {
    pub(super) diff_id: Digest,
    pub(super) raw_len: u64,
}
