//! How much memory the batches of all layers take together.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::tar::MAX_METADATA;

/// Content of a batch of a chunked layer, in bytes. Only a header may be longer.
pub(super) const CHUNKED_BATCH: usize = 1 << 20;

/// Content of a batch, and so of a frame, where frames do not follow the files: longer ones
/// compress better, shorter ones keep all workers busy and memory small.
pub(super) const PLAIN_BATCH: usize = 4 << 20;

/// So many batches more than threads are under way: one is filled, and one waits to be written.
pub(super) const SPARE_BATCHES: usize = 2;

/// Mebibytes that the longest header takes.
const LONGEST_HEADER: usize = 8;
const _: () = assert!(MAX_METADATA <= (LONGEST_HEADER * CHUNKED_BATCH) as u64);

/// Mebibytes of batches that may still be begun, by all layers together.
#[derive(Debug)]
pub(super) struct Budget {
    free: Mutex<usize>,
    freed: Condvar,
    /// Two stores, so that the memory of a batch never becomes that of frames, of which most never
    /// fill their buffer.
    batches: Buffers,
    pub(super) frames: Buffers,
}

impl Budget {
    /// For so many threads. Four layers may use them at a time, and one more for each four threads.
    pub(super) fn new(threads: usize) -> Self {
        // As much as one layer of plain zstd uses, and more than one with a TOC does.
        let units = PLAIN_BATCH / CHUNKED_BATCH;
        let free = units * (threads + SPARE_BATCHES);
        // Four layers may hold a batch each, and one of them still gets room for a long header.
        let free = free.max(units * 4 + LONGEST_HEADER);
        Self {
            free: Mutex::new(free),
            freed: Condvar::new(),
            batches: Buffers::default(),
            frames: Buffers::default(),
        }
    }

    /// Waits until there is room for so many mebibytes. Whoever waits may hold one batch that is not
    /// complete, and no more.
    pub(super) fn room_for(self: &Arc<Self>, count: usize) -> Units {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = self.freed.wait_while(free, |free| *free < count);
        *enough.unwrap_or_else(PoisonError::into_inner) -= count;
        Units { budget: Arc::clone(self), count }
    }
}

/// Buffers to be used again. An allocator that gets them back from one thread and is asked for them
/// by another takes up to twice as much.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// A buffer with room for `len` bytes.
    pub(super) fn buffer(&self, len: usize) -> Vec<u8> {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = spare.iter().position(|buffer| buffer.capacity() >= len) {
            return spare.swap_remove(found);
        }
        // One that is too small makes room for a larger one.
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
    /// A buffer for what these are the room of.
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
