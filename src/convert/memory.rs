//! How much memory a job takes, by its number of threads.

use super::{
    format::{Format, Wanted},
    layers::{UPLOADS, slots},
};
use crate::{chunked::effort::encoder_mebibytes, layer::batches_mebibytes};

/// Mebibytes of the program itself.
const PROGRAM: u64 = 12;
/// Mebibytes of one zstd window of a source, of which there is one at a time.
const WINDOW: u64 = 128;
/// Mebibytes of the buffers of a layer.
const LAYER: u64 = 6;

/// The most memory in bytes that encoding with `jobs` threads takes, whatever the layers are, if
/// none has hundreds of thousands of entries (`docs/performance.md`).
pub(crate) fn needed(jobs: usize, level: i32, wanted: &Wanted) -> u64 {
    let (threads, layers) = (jobs as u64, (slots(jobs) + UPLOADS) as u64);
    let pieces = if wanted.makes(Format::Gzip) { layers * 3 * (threads + 2) } else { 0 };
    let encoders = threads * encoder_mebibytes(level);
    let all = PROGRAM + WINDOW + batches_mebibytes(jobs) + encoders + layers * LAYER + pieces;
    // The allocator retains some of what is freed.
    (all * 5 / 4) << 20
}

/// The most threads, up to `jobs`, that `memory` bytes suffice for; the error is what one thread
/// needs.
pub(crate) fn threads_within(
    memory: u64,
    jobs: usize,
    level: i32,
    wanted: &Wanted,
) -> Result<usize, u64> {
    let fits = |threads: &usize| needed(*threads, level, wanted) <= memory;
    (1..=jobs).rev().find(fits).ok_or_else(|| needed(1, level, wanted))
}
