//! The worker threads, shared by all layers: they encode frames or pieces of gzip, and prove them.

use std::{
    mem,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use sha2::{Digest as _, Sha256};

use super::{
    LayerError,
    batch::{Batch, FrameOf},
    gzip::{Deflated, deflate},
    walker::{CHUNKED_BATCH, PLAIN_BATCH},
};
use crate::{chunked::frame::FrameEncoder, tar::MAX_METADATA};

/// So many batches more than threads are under way: one is filled, and one waits to be written.
pub(super) const SPARE_BATCHES: usize = 2;

/// Mebibytes that the longest header takes.
const LONGEST_HEADER: usize = 8;
const _: () = assert!(MAX_METADATA <= (LONGEST_HEADER * CHUNKED_BATCH) as u64);

/// Encoded frames of one batch.
#[derive(Debug, Default)]
pub(super) struct EncodedFrames {
    pub(super) bytes: Vec<u8>,
    /// Where each frame ends in `bytes`, and the SHA-256 of its content where it was wanted.
    pub(super) ends: Vec<(usize, Option<[u8; 32]>)>,
    /// Where `bytes` goes back to.
    budget: Option<Arc<Budget>>,
}

impl Drop for EncodedFrames {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.frames.give_back(mem::take(&mut self.bytes));
        }
    }
}

enum EncodeTask {
    Frames { batch: Arc<Batch>, level: i32, done: Sender<Result<EncodedFrames, LayerError>> },
    Gzip { piece: Vec<u8>, level: u32, done: Sender<Deflated> },
}

/// A fixed number of threads that encode for whoever asks. They end when the pool goes.
pub struct Pool {
    jobs: Option<Sender<EncodeTask>>,
    threads: Vec<JoinHandle<()>>,
    budget: Arc<Budget>,
}

/// Mebibytes of batches that may still be begun, by all layers together.
#[derive(Debug)]
struct Budget {
    free: Mutex<usize>,
    freed: Condvar,
    /// Two stores, so that the memory of a batch never becomes that of frames, of which most never
    /// fill their buffer.
    batches: Buffers,
    frames: Buffers,
}

/// Buffers to be used again. An allocator that gets them back from one thread and is asked for them
/// by another takes up to twice as much.
#[derive(Debug, Default)]
struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// A buffer with room for `len` bytes.
    fn buffer(&self, len: usize) -> Vec<u8> {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = spare.iter().position(|buffer| buffer.capacity() >= len) {
            return spare.swap_remove(found);
        }
        // One that is too small makes room for a larger one.
        spare.pop();
        Vec::with_capacity(len)
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
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

impl Pool {
    /// Starts `threads` threads, at least one. Four layers may use them at a time, and one more for
    /// each four threads.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        // Not bounded here: whoever asks has a bounded number of batches to hand in.
        let (jobs, inbox) = unbounded::<EncodeTask>();
        let threads = threads.max(1);
        // As much as one layer of plain zstd uses, and more than one with a TOC does.
        let units = PLAIN_BATCH / CHUNKED_BATCH;
        let free = units * (threads + SPARE_BATCHES);
        // Four layers may hold a batch each, and one of them still gets room for a long header.
        let free = free.max(units * 4 + LONGEST_HEADER);
        let budget = Arc::new(Budget {
            free: Mutex::new(free),
            freed: Condvar::new(),
            batches: Buffers::default(),
            frames: Buffers::default(),
        });
        let threads = (0..threads)
            .map(|number| {
                let (inbox, budget) = (inbox.clone(), Arc::clone(&budget));
                thread::Builder::new()
                    .name(format!("encode-{number}"))
                    .spawn(move || work(&inbox, &budget))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { jobs: Some(jobs), threads, budget })
    }

    /// Waits until there is room for so many mebibytes. Whoever waits may hold one batch that is not
    /// complete, and no more.
    pub(super) fn room_for(&self, count: usize) -> Units {
        let free = self.budget.free.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = self.budget.freed.wait_while(free, |free| *free < count);
        *enough.unwrap_or_else(PoisonError::into_inner) -= count;
        Units { budget: Arc::clone(&self.budget), count }
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Has a batch encoded. The answer comes through the channel returned, or the channel closes
    /// if a worker broke down.
    pub(super) fn encode(
        &self,
        batch: Arc<Batch>,
        level: i32,
    ) -> Receiver<Result<EncodedFrames, LayerError>> {
        let (done, answer) = bounded(1);
        if let Some(jobs) = &self.jobs {
            // Fails only when all workers are gone, which the closed channel tells.
            let _ = jobs.send(EncodeTask::Frames { batch, level, done });
        }
        answer
    }

    /// The same for a piece of a gzip stream.
    pub(super) fn deflate(&self, piece: Vec<u8>, level: u32) -> Receiver<Deflated> {
        let (done, answer) = bounded(1);
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(EncodeTask::Gzip { piece, level, done });
        }
        answer
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A worker that broke down was noticed by whoever waited for it.
            let _ = thread.join();
        }
    }
}

fn work(inbox: &Receiver<EncodeTask>, budget: &Arc<Budget>) {
    let mut encoder = FrameEncoder::new();
    for job in inbox {
        match job {
            EncodeTask::Frames { batch, level, done } => {
                let frames = encode(&mut encoder, &batch, level, budget);
                // The batch is let go before the answer, so that its memory can be used again.
                drop(batch);
                let _ = done.send(frames);
            }
            // Nobody waits any more if the writer has failed.
            EncodeTask::Gzip { piece, level, done } => drop(done.send(deflate(&piece, level))),
        }
    }
}

fn encode(
    encoder: &mut FrameEncoder,
    batch: &Batch,
    level: i32,
    budget: &Arc<Budget>,
) -> Result<EncodedFrames, LayerError> {
    // Enough for what cannot be compressed: growing would move it.
    let bytes = budget.frames.buffer(batch.data.len() + (64 << 10));
    let ends = Vec::with_capacity(batch.frames.len());
    let mut frames = EncodedFrames { bytes, ends, budget: Some(Arc::clone(budget)) };
    let mut start = 0;
    for frame in &batch.frames {
        let content = &batch.data[start..frame.end];
        match frame.of {
            FrameOf::Tar => encoder.encode_headers(content, level, &mut frames.bytes)?,
            FrameOf::Content | FrameOf::Chunk => {
                encoder.encode(content, level, &mut frames.bytes)?;
            }
        }
        let digest = (frame.of == FrameOf::Chunk).then(|| Sha256::digest(content).into());
        frames.ends.push((frames.bytes.len(), digest));
        start = frame.end;
    }
    Ok(frames)
}
