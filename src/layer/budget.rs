//! How much memory the batches of all layers take together.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::tar::MAX_METADATA;

/// Content of a batch of a chunked layer, in bytes. Only a header may be longer.
pub(super) const CHUNKED_BATCH: usize = 1 << 20;

/// Content of a batch, and so of a frame, of a plain zstd layer: longer frames compress better,
/// shorter ones keep all workers busy and memory small.
pub(super) const PLAIN_BATCH: usize = 4 << 20;

/// Batches in flight beyond one a thread: one is being filled, and one waits to be written.
pub(super) const SPARE_BATCHES: usize = 2;

/// Mebibytes that the longest header takes.
const LONGEST_HEADER: usize = 8;
const _: () = assert!(MAX_METADATA <= (LONGEST_HEADER * CHUNKED_BATCH) as u64);

/// Mebibytes of all batches and their encoded form, with this many threads.
pub(crate) fn batches_mebibytes(threads: usize) -> u64 {
    2 * units(threads) as u64
}

fn units(threads: usize) -> usize {
    // As much as one layer of plain zstd uses, and more than one with a TOC does.
    let units = PLAIN_BATCH / CHUNKED_BATCH;
    let some = units * (threads + SPARE_BATCHES);
    // Four layers may hold a batch each, and one of them still gets room for a long header.
    some.max(units * 4 + LONGEST_HEADER)
}

/// Mebibytes of batches that all layers together may still begin.
#[derive(Debug)]
pub(super) struct Budget {
    free: Mutex<usize>,
    freed: Condvar,
    /// Two stores, because most frames never fill their buffer: the memory of a batch should not go
    /// to them.
    batches: Buffers,
    pub(super) frames: Buffers,
}

impl Budget {
    /// Four layers may share it, and one more for each four threads.
    pub(super) fn new(threads: usize) -> Self {
        Self {
            free: Mutex::new(units(threads)),
            freed: Condvar::new(),
            batches: Buffers::default(),
            frames: Buffers::default(),
        }
    }

    /// Waits until there is room for `count` mebibytes. The caller may hold one incomplete batch,
    /// and no more.
    pub(super) fn room_for(self: &Arc<Self>, count: usize) -> Units {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = self.freed.wait_while(free, |free| *free < count);
        *enough.unwrap_or_else(PoisonError::into_inner) -= count;
        Units { budget: Arc::clone(self), count }
    }
}

/// Buffers to use again. An allocator that gets them back from one thread and is asked for them by
/// another takes up to twice as much.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    pub(super) fn buffer(&self, len: usize) -> Vec<u8> {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = spare.iter().position(|buffer| buffer.capacity() >= len) {
            return spare.swap_remove(found);
        }
        // A larger one replaces one that is too small.
        spare.pop();
        Vec::with_capacity(len)
    }

    pub(super) fn give_back(&self, mut buffer: Vec<u8>) {
        // A batch with a long header is rare, and takes too much to be kept.
        if (CHUNKED_BATCH..=2 * PLAIN_BATCH).contains(&buffer.capacity()) {
            buffer.clear();
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        }
    }
}

/// A part of the budget, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Units {
    budget: Arc<Budget>,
    count: usize,
}

impl Units {
    /// A buffer of this size.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.budget.batches.buffer(self.count * CHUNKED_BATCH)
    }

    pub(super) fn give_back(&self, buffer: Vec<u8>) {
        self.budget.batches.give_back(buffer);
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        *self.budget.free.lock().unwrap_or_else(PoisonError::into_inner) += self.count;
        self.budget.freed.notify_all();
    }
}
