//! One layer: a compressed blob in, another one out, in one pass and on several threads.
//!
//! ```text
//! input ──pieces──► walker ──batches──► pool (encode, prove) ──┐
//!                     │                                        ├─► assembler ──► spool
//!                     └─────batches──► digester (diffID) ──────┘       │
//!                                                        proofreader ◄─┘
//! ```
//!
//! Memory: with `t` worker threads all layers together have at most `4t + 8` MiB of batches under
//! way (24 with fewer than three threads), each with its encoded form, about as long at the worst: at
//! most `2t + 2` batches of 1 MiB of a layer with a TOC, or `t + 2` of 4 MiB of one that becomes plain zstd;
//! a header may be longer. To
//! that come the encoders' own tables and, for each layer, pieces of 4 MiB, a window of up to 8 MiB,
//! or 128 MiB for one layer at a time ([`crate::limits`]), 2 MiB for TOC and tar-split, whose rest is
//! in temporary files, the sets of paths of walker and proofreader, about 50 and 60 bytes for each of
//! at most 2^20 entries, and, while a file is open, 56 bytes for each of its chunks, of which a TOC
//! holds at most 2^20. Nothing else depends on the length of a layer or of a file in it.

mod assembler;
mod batch;
mod cuts;
pub mod decompress;
mod digester;
pub mod gzip;
mod input;
mod pool;
mod proof;
mod scratch;
mod walker;
mod zeros;
mod zstd_frames;

#[cfg(test)]
mod agreement;

use std::{
    io::{self, Read, Write},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use crossbeam_channel::{bounded, unbounded};

pub use self::{
    assembler::Outline,
    cuts::Cuts,
    decompress::{Compression, UnsupportedCompression},
    pool::Pool,
};
use self::{
    batch::TarTotals,
    walker::{BatchOutputs, Walker},
};
use crate::{
    chunked::{eligibility::Unchunkable, frame::FrameError},
    image::{Digest, digest::Algorithm},
    limits::{Exceeded, Limits},
    tar::TarError,
};

/// How a layer is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// zstd:chunked, or plain zstd.
    pub chunked: bool,
    /// zstd level of the data frames, 1 to 22.
    pub level: i32,
    /// zstd level of TOC and tar-split.
    pub metadata_level: i32,
    /// How files are divided.
    pub cuts: Cuts,
    /// It is the lowest layer of its image. In others, devices and FIFOs rule out a TOC.
    pub lowest: bool,
}

/// How far a layer is, to be looked at from other threads, and how far it may go.
#[derive(Debug, Default)]
pub struct LayerProgress {
    read: AtomicU64,
    written: AtomicU64,
    limits: Limits,
}

impl LayerProgress {
    /// Nothing done yet, and these limits.
    pub fn within(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Whether the layer may have come to `total` bytes by now.
    fn allow(&self, total: u64) -> Result<(), LayerError> {
        Ok(self.limits.allow(total, self.bytes_read())?)
    }

    fn read(&self, len: usize) {
        self.read.fetch_add(len as u64, Ordering::Relaxed);
    }

    fn wrote(&self, len: usize) {
        self.written.fetch_add(len as u64, Ordering::Relaxed);
    }

    /// Bytes of the source blob read so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes of the new blob written so far.
    pub fn bytes_written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

/// A layer that could not be converted.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The blob could not be read, or is not what its digest says.
    #[error("the blob could not be read")]
    Blob(#[source] io::Error),
    /// The blob is not what it looks like.
    #[error("{}", broken(.kind.as_ref()))]
    Decompress {
        /// What it looks like.
        kind: Option<Compression>,
        /// What the decoder says.
        source: io::Error,
    },
    /// Clients know its compression, and this program does not.
    #[error(transparent)]
    Unsupported(UnsupportedCompression),
    /// The content is longer than allowed.
    #[error(
        "decompressed size exceeds {}; raise --max-layer-size if that is intended",
        bytesize::ByteSize::b(*.0)
    )]
    TooLong(u64),
    /// The blob is compressed more than allowed.
    #[error(
        "decompressed size exceeds {0} times the blob (possible decompression bomb); raise \
         --max-compression-ratio if that is intended"
    )]
    TooDense(u64),
    /// The content is no tar that a client could read.
    #[error("its content cannot be read as a tar")]
    Tar(#[source] TarError),
    /// The content is another than the config promises.
    #[error(
        "its content has the diffID {actual}, but the image's config promises {expected}; \
         the image is inconsistent and clients refuse it too, so rebuild it"
    )]
    DiffId {
        /// What the config has in `rootfs.diff_ids`.
        expected: Digest,
        /// What was read.
        actual: Digest,
    },
    /// A frame could not be encoded.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// TOC or tar-split could not be encoded.
    #[error("the layer's table of contents could not be written")]
    Metadata(#[source] io::Error),
    /// What was written reads back differently.
    #[error(
        "the layer's new table of contents does not describe the layer ({0}); this is a fault of \
         this program, please report it; nothing was published"
    )]
    SelfCheck(String),
    /// TOC or tar-split could not be written down.
    #[error(
        "cannot write a temporary file in {}; set TMPDIR to a folder with room",
        std::env::temp_dir().display()
    )]
    Scratch(#[source] io::Error),
    /// The new blob could not be written.
    #[error("the new blob could not be written to temporary storage")]
    Spool(#[source] io::Error),
    /// A thread ended without a word, which is a fault of this program.
    #[error("a worker thread broke down; this is a fault of this program, please report it")]
    WorkerLost,
    /// Another thread failed first; its error is the one that counts.
    #[error("stopped since another part of the work failed")]
    Interrupted,
}

impl From<Exceeded> for LayerError {
    fn from(exceeded: Exceeded) -> Self {
        match exceeded {
            Exceeded::Size(limit) => Self::TooLong(limit),
            Exceeded::Ratio(limit) => Self::TooDense(limit),
        }
    }
}

fn broken(kind: Option<&Compression>) -> String {
    match kind {
        Some(Compression::None) | None => "the blob cannot be converted".into(),
        Some(kind) => format!("the blob is broken {kind} data"),
    }
}

impl LayerError {
    fn tar(error: TarError) -> Self {
        match error {
            TarError::Io { source, .. } => Self::input(source),
            error => Self::Tar(error),
        }
    }

    /// The stream between the threads does not fail by itself.
    fn input(_: io::Error) -> Self {
        Self::Interrupted
    }
}

/// What became of a layer.
#[derive(Debug)]
pub struct Converted {
    /// Digest of the new blob.
    pub digest: Digest,
    /// Length of the new blob in bytes.
    pub len: u64,
    /// How the source was compressed.
    pub source: Compression,
    /// Digest of the tar.
    pub diff_id: Digest,
    /// Length of the tar in bytes.
    pub raw_len: u64,
    /// What the TOC has come to; or why there is none, with no reason where none was wanted.
    pub outline: Result<Outline, Option<Unchunkable>>,
}

/// Converts the layer that `blob` delivers and writes the new blob to `sink`. Where the blob
/// verifies its own digest, an error of that arrives as [`LayerError::Blob`]. With `expected`, the
/// content's diffID is compared with it. The new blob depends on the tar and the recipe alone.
///
/// Blocks until done, and works on five threads besides the pool's.
pub fn convert(
    blob: impl Read + Send,
    sink: impl Write + Send,
    expected: Option<&Digest>,
    recipe: Recipe,
    pool: &Pool,
    progress: &LayerProgress,
) -> Result<Converted, LayerError> {
    // All layers together are bounded by the pool; this keeps one from taking all of that.
    let batches = if recipe.chunked { 2 * pool.threads() } else { pool.threads() };
    let batches = batches + pool::SPARE_BATCHES;
    let (turns_out, turns) = bounded(batches);
    let (spent, pieces_spent) = bounded(input::PIECES);
    for _ in 0..batches {
        let _ = turns_out.send(());
    }
    for _ in 0..input::PIECES {
        let _ = spent.send(Vec::new());
    }
    let (pieces_out, pieces_in) = bounded(input::PIECES);
    let (digester_out, digester_in) = unbounded();
    let (sums_out, sums_in) = unbounded();
    let (items_out, items_in) = unbounded();
    let algorithm = expected.map_or(Algorithm::Sha256, Digest::algorithm);

    let (input, walked, totals, assembled) = thread::scope(|scope| {
        let input =
            scope.spawn(move || input::decompress(blob, &pieces_out, &pieces_spent, progress));
        let walker = scope.spawn(move || {
            let output =
                BatchOutputs { pool, turns: &turns, digester: digester_out, assembler: items_out };
            let tar = input::PieceReader::new(pieces_in, spent);
            Walker::new(recipe, output).walk(tar)
        });
        let proof = recipe.chunked.then(|| {
            let (proof, reader) = proof::begin(recipe.lowest);
            (proof, scope.spawn(move || reader.read()))
        });
        let (proof, proofreader) = proof.unzip();
        let digester =
            scope.spawn(move || digester::digest(algorithm.hasher(), &digester_in, &sums_out));
        let assembled =
            assembler::assemble(&recipe, sink, &items_in, &sums_in, &turns_out, proof, progress);
        // Whoever still waits to hand something on is told that nobody takes it.
        drop((items_in, sums_in, turns_out));
        // If it broke down, the assembler knows.
        let _ = proofreader.map(thread::ScopedJoinHandle::join);
        (
            input.join().unwrap_or(Err(LayerError::WorkerLost)),
            walker.join().unwrap_or(Err(LayerError::WorkerLost)),
            digester.join().map_err(|_| LayerError::WorkerLost),
            assembled,
        )
    });
    let (source, assembled) = first_failure(input, walked, assembled)?;
    let TarTotals { diff_id, raw_len } = totals?;
    if let Some(checked) = assembled.checked.filter(|checked| *checked != raw_len) {
        let detail = format!("it describes {checked} bytes, the layer has {raw_len}");
        return Err(LayerError::SelfCheck(detail));
    }
    if let Some(expected) = expected
        && *expected != diff_id
    {
        return Err(LayerError::DiffId { expected: expected.clone(), actual: diff_id });
    }
    Ok(Converted {
        digest: assembled.digest,
        len: assembled.len,
        source,
        diff_id,
        raw_len,
        outline: assembled.outline,
    })
}

/// One failing thread makes the others stop; the failure that came first is the one that is not
/// [`LayerError::Interrupted`]. A wrong blob explains everything after it.
fn first_failure<A, B>(
    input: Result<A, LayerError>,
    walked: Result<(), LayerError>,
    assembled: Result<B, LayerError>,
) -> Result<(A, B), LayerError> {
    match (input, walked, assembled) {
        (Ok(input), Ok(()), Ok(assembled)) => Ok((input, assembled)),
        (input, walked, assembled) => {
            let errors = [input.err(), walked.err(), assembled.err()];
            let mut errors: Vec<_> = errors.into_iter().flatten().collect();
            let first = errors.iter().position(|e| !matches!(e, LayerError::Interrupted));
            Err(errors.swap_remove(first.unwrap_or(0)))
        }
    }
}
