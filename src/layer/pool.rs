//! The worker threads, shared by all layers: they encode frames or pieces of gzip, and prove them.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use sha2::{Digest as _, Sha256};

use super::{
    batch::{Batch, EncodedFrames, FrameOf},
    budget::Budget,
    deflate::{Deflated, deflate},
    error::LayerError,
};
use crate::chunked::frame::FrameEncoder;

enum EncodeTask {
    Frames { batch: Arc<Batch>, level: i32, done: Sender<Result<EncodedFrames, LayerError>> },
    Gzip { piece: Vec<u8>, level: u32, done: Sender<Deflated> },
}

/// A fixed number of threads that encode for all layers. They end when the pool is dropped.
pub struct Pool {
    tasks: Option<Sender<EncodeTask>>,
    threads: Vec<JoinHandle<()>>,
    budget: Arc<Budget>,
}

impl Pool {
    /// Starts `threads` threads, at least one.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        // Not bounded here: callers have a bounded number of batches to send.
        let (tasks, inbox) = unbounded::<EncodeTask>();
        let threads = threads.max(1);
        let budget = Arc::new(Budget::new(threads));
        let threads = (0..threads)
            .map(|number| {
                let (inbox, budget) = (inbox.clone(), Arc::clone(&budget));
                thread::Builder::new()
                    .name(format!("encode-{number}"))
                    .spawn(move || work(&inbox, &budget))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { tasks: Some(tasks), threads, budget })
    }

    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Has a batch encoded. The answer comes through the channel returned, which closes without one
    /// if the worker panicked.
    pub(super) fn encode(
        &self,
        batch: Arc<Batch>,
        level: i32,
    ) -> Receiver<Result<EncodedFrames, LayerError>> {
        let (done, answer) = bounded(1);
        if let Some(tasks) = &self.tasks {
            // Fails only when all workers are gone; then the channel is closed.
            let _ = tasks.send(EncodeTask::Frames { batch, level, done });
        }
        answer
    }

    /// The same for a piece of a gzip stream.
    pub(super) fn deflate(&self, piece: Vec<u8>, level: u32) -> Receiver<Deflated> {
        let (done, answer) = bounded(1);
        if let Some(tasks) = &self.tasks {
            let _ = tasks.send(EncodeTask::Gzip { piece, level, done });
        }
        answer
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.tasks = None;
        for thread in self.threads.drain(..) {
            // The thread that waited for a worker that panicked has noticed.
            let _ = thread.join();
        }
    }
}

fn work(inbox: &Receiver<EncodeTask>, budget: &Arc<Budget>) {
    let mut encoder = FrameEncoder::new();
    for task in inbox {
        match task {
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
    let mut frames = EncodedFrames::for_batch(batch, budget);
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
