//! One layer: a compressed blob in, another one out, in one pass and on several threads.
//!
//! ```text
//! input ──pieces──► walker ──batches──► pool (encode, prove) ──┐
//!                     │                                        ├─► assembler ──► spool
//!                     └─────batches──► digester (diffID) ──────┘       │
//!                                                        proofreader ◄─┘
//! ```
//!
//! Memory, with `t` worker threads:
//!
//! * All layers together have at most `4t + 8` MiB of batches in flight (24 with fewer than three
//!   threads), each with its encoded form, which is at worst about as long. A layer with a TOC has
//!   at most `2t + 2` batches of 1 MiB, one that becomes plain zstd `t + 2` of 4 MiB; headers may
//!   be longer.
//! * Each worker has the tables of its encoder.
//! * Each layer has 4 MiB of pieces, a window of up to 8 MiB, or 128 MiB for one layer at a time
//!   ([`crate::limits`]), and 2 MiB of TOC and tar-split, whose rest is in temporary files.
//! * The path sets of walker and proofreader take about 50 and 60 bytes for each of at most 2^20
//!   entries, and an open file 56 bytes for each of its chunks, of which a TOC holds at most 2^20.
//!
//! Nothing else depends on the length of a layer or of a file in it.

mod admission;
mod assembler;
mod batch;
mod blob_writer;
mod budget;
mod converted;
mod decompress;
mod deflate;
mod digester;
mod error;
pub(crate) mod gzip;
mod input;
mod pool;
mod progress;
mod proof;
mod recipe;
mod scratch;
mod walker;
mod zeros;
mod zstd_frames;

#[cfg(test)]
mod agreement;

use std::{
    io::{Read, Write},
    thread,
};

use crossbeam_channel::{bounded, unbounded};

pub(crate) use self::{
    admission::obstacle, budget::batches_mebibytes, decompress::Compression,
    zstd_frames::ZSTD_MAGIC,
};
use self::{
    batch::TarTotals,
    walker::{BatchOutputs, Walker},
};
pub use self::{
    converted::{Converted, Outline},
    error::LayerError,
    pool::Pool,
    progress::LayerProgress,
    recipe::{Cuts, Recipe},
};
use crate::image::{Digest, digest::Algorithm};

/// Converts the layer read from `blob` and writes the new blob to `sink`. If `blob` verifies its
/// own digest, a mismatch comes out as [`LayerError::Blob`]. With `expected`, the content's diffID
/// is compared with it. The new blob depends only on the tar and the recipe.
///
/// Blocks until done, on five threads besides the pool's.
pub fn convert(
    blob: impl Read + Send,
    sink: impl Write + Send,
    expected: Option<&Digest>,
    recipe: Recipe,
    pool: &Pool,
    progress: &LayerProgress,
) -> Result<Converted, LayerError> {
    // The pool bounds all layers together; this keeps one layer from taking all of it.
    let batches = if recipe.chunked { 2 * pool.threads() } else { pool.threads() };
    let batches = batches + budget::SPARE_BATCHES;
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
        let assembled = assembler::assemble(sink, &items_in, &sums_in, &turns_out, proof);
        // Threads that still wait to send something fail now.
        drop((items_in, sums_in, turns_out));
        // If it panicked, the assembler has noticed.
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

/// One failing thread makes the others stop with [`LayerError::Interrupted`]; the first other error
/// is the cause. A corrupt blob explains everything after it.
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
