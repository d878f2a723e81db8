//! Units of work: a stretch of the tar, the frames to divide it into, and what to compute for it.

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

/// A stretch of the tar, shared by the worker that encodes it and the digester. How it is divided
/// depends only on the tar, never on timing.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) data: Vec<u8>,
    /// Its share of the budget.
    pub(super) room: Vec<Units>,
    /// In order and without gaps; the last ends at the end of `data`.
    pub(super) frames: Vec<Frame>,
    /// What is hashed along with the tar, in order: files, and chunks that span several frames.
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
    /// Headers, or any part of a tar whose frames do not follow its files.
    Tar,
    /// A file, or a part of one.
    Content,
    /// A chunk whose digest is needed.
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
    /// Where each frame ends in `bytes`, and the SHA-256 of its content if that is needed.
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

/// What happens in the course of a batch, in order. Ranges are in the batch's data, frames are
/// numbered within the batch.
#[derive(Debug)]
pub(super) enum Mark {
    /// Headers of an entry, after the padding of the content before.
    Entry { raw: Range<usize>, metadata: Box<Metadata> },
    /// The content of the entry begins with this frame.
    ContentStart { frame: usize },
    /// A chunk ends with this frame.
    ChunkEnd { frame: usize, len: u64, hole: bool, digest: DigestFrom },
    /// The content ends with this frame.
    ContentEnd { frame: usize, len: u64, crc: u64 },
    /// Bytes after the last entry.
    Tail { raw: Range<usize> },
    /// From here on the layer is plain zstd.
    Unchunkable(Unchunkable),
}

/// Who computes a chunk's digest.
#[derive(Debug, Clone, Copy)]
pub(super) enum DigestFrom {
    /// The worker, of the content of this frame.
    Frame(usize),
    /// The digester, in the order of the sums that end.
    Sum,
    /// The assembler; the chunk is so many zeros.
    Zeros(u64),
}

/// What the assembler receives, in the order of the tar.
pub(super) enum Item {
    Batch {
        batch: Arc<Batch>,
        marks: Vec<Mark>,
        frames: Receiver<Result<EncodedFrames, LayerError>>,
    },
    /// The end of the tar, with what a partial pull does not create.
    End(LeftOut),
}

/// What the digester returns at the end.
pub(super) struct TarTotals {
    pub(super) diff_id: Digest,
    pub(super) raw_len: u64,
}
