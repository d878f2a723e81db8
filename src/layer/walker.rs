//! Walks the tar and divides it into batches, frames and chunks. All decisions about the layout of
//! the blob are made here, in one thread and only by the tar's bytes.

use std::{
    io::{BufRead, Read as _},
    sync::Arc,
};

use crc_fast::{CrcAlgorithm, Digest as Crc};
use crossbeam_channel::{Receiver, Sender};

use super::{
    admission::Admission,
    batch::{Batch, DigestFrom, Frame, FrameOf, Item, Mark, Sum, SumOf},
    budget::{CHUNKED_BATCH, PLAIN_BATCH},
    error::LayerError,
    pool::Pool,
    recipe::Recipe,
};
use crate::{
    chunked::{
        chunker::{Chunk, Chunker},
        eligibility::{LeftOut, Unchunkable},
    },
    tar::{Reader, TarEntry, TarStep},
};

/// A long file begins in the current batch only if this much room is left.
const LEAST_ROOM: usize = 64 << 10;

/// Where batches go.
pub(super) struct BatchOutputs<'a> {
    pub(super) pool: &'a Pool,
    /// Bounds the batches in flight: the walker needs one for each.
    pub(super) turns: &'a Receiver<()>,
    pub(super) digester: Sender<Arc<Batch>>,
    pub(super) assembler: Sender<Item>,
}

pub(super) struct Walker<'a> {
    recipe: Recipe,
    output: BatchOutputs<'a>,
    batch: Batch,
    marks: Vec<Mark>,
    /// Where the open frame begins in the batch's data.
    frame_start: usize,
    /// Of a layer that may have a TOC.
    entries: Admission,
    left_out: LeftOut,
    chunked: bool,
    begun: bool,
}

/// The file being cut.
struct Cutting {
    cuts: Vec<Chunk>,
    /// Bytes of the open chunk that are in frames already closed.
    closed: u64,
}

impl<'a> Walker<'a> {
    pub(super) fn new(recipe: Recipe, output: BatchOutputs<'a>) -> Self {
        Self {
            recipe,
            output,
            batch: Batch::default(),
            marks: Vec::new(),
            frame_start: 0,
            entries: Admission::new(recipe.lowest),
            left_out: LeftOut::default(),
            chunked: recipe.chunked,
            begun: false,
        }
    }

    /// Walks the tar to its last byte.
    pub(super) fn walk(mut self, tar: impl BufRead) -> Result<(), LayerError> {
        self.begin()?;
        let mut reader = Reader::new(tar);
        while let TarStep::Entry(entry) = reader.next_step().map_err(LayerError::tar)? {
            let len = reader.payload_left();
            self.headers(reader.raw(), &entry, len)?;
            if len == 0 {
                continue;
            }
            if self.chunked {
                self.content(&mut reader)?;
            } else {
                self.plain_content(&mut reader)?;
            }
        }
        if let Some(reason) = self.entries.end(reader.raw()).err().filter(|_| self.chunked) {
            self.give_up(reason);
        }
        self.tail(reader.raw())?;
        self.rest(reader.into_inner())?;
        if !self.begun && self.batch.data.is_empty() {
            // A blob has to begin with an ordinary frame to be recognized as zstd.
            self.push_frame(0, FrameOf::Tar);
        }
        self.flush()?;
        let end = Item::End(self.left_out);
        self.output.assembler.send(end).map_err(|_| LayerError::Interrupted)
    }

    fn headers(&mut self, raw: &[u8], entry: &TarEntry, len: u64) -> Result<(), LayerError> {
        self.make_room(raw.len())?;
        let more = raw.len().saturating_sub(self.capacity()).div_ceil(CHUNKED_BATCH);
        if more > 0 {
            self.batch.room.push(self.output.pool.budget().room_for(more));
        }
        let start = self.batch.data.len();
        self.batch.data.extend_from_slice(raw);
        if !self.chunked {
            return Ok(());
        }
        match self.entries.admit(entry, len) {
            Ok(metadata) => {
                self.left_out.note(entry);
                self.marks.push(Mark::Entry {
                    raw: start..self.batch.data.len(),
                    metadata: Box::new(metadata),
                });
            }
            Err(reason) => self.give_up(reason),
        }
        Ok(())
    }

    /// Makes the rest plain zstd, without regard to files.
    fn give_up(&mut self, reason: Unchunkable) {
        self.chunked = false;
        self.entries = Admission::default();
        self.marks.push(Mark::Unchunkable(reason));
    }

    fn capacity(&self) -> usize {
        if self.chunked { CHUNKED_BATCH } else { PLAIN_BATCH }
    }

    fn room(&self) -> usize {
        self.capacity().saturating_sub(self.batch.data.len())
    }

    /// Begins another batch unless the current one has room for `len` bytes or is empty.
    fn make_room(&mut self, len: usize) -> Result<(), LayerError> {
        if self.room() < len && !self.batch.data.is_empty() { self.flush() } else { Ok(()) }
    }

    fn plain_content(&mut self, reader: &mut Reader<impl BufRead>) -> Result<(), LayerError> {
        while reader.payload_left() > 0 {
            self.make_room(1)?;
            self.fill(reader)?;
        }
        Ok(())
    }

    /// Makes a file one frame, or one for each chunk.
    fn content(&mut self, reader: &mut Reader<impl BufRead>) -> Result<(), LayerError> {
        let len = reader.payload_left();
        self.close_frame();
        // What may stay whole has to be in one batch.
        self.make_room(if len <= CHUNKED_BATCH as u64 { to_usize(len) } else { LEAST_ROOM })?;
        self.marks.push(Mark::ContentStart { frame: self.batch.frames.len() });
        let mut crc = Crc::new(CrcAlgorithm::Crc64GoIso);
        let start = self.fill(reader)?;
        let content = &self.batch.data[start..];
        crc.update(content);
        if reader.payload_left() == 0 && len <= self.recipe.cuts.whole_max {
            self.whole();
        } else {
            self.chunks(reader, start, &mut crc)?;
        }
        let frame = self.batch.frames.len() - 1;
        self.marks.push(Mark::ContentEnd { frame, len, crc: crc.finalize() });
        Ok(())
    }

    /// Cuts a file into chunks; its first bytes are in the batch from `start` on.
    fn chunks(
        &mut self,
        reader: &mut Reader<impl BufRead>,
        mut start: usize,
        crc: &mut Crc,
    ) -> Result<(), LayerError> {
        let mut chunker = Chunker::new(self.recipe.cuts.chunk_min);
        let mut cutting = Cutting { cuts: Vec::new(), closed: 0 };
        let mut in_one_batch = true;
        loop {
            chunker.feed(&self.batch.data[start..], &mut cutting.cuts);
            if reader.payload_left() == 0 {
                break;
            }
            in_one_batch = false;
            self.close_chunks(&mut cutting);
            self.carry_over(&mut cutting, &chunker)?;
            start = self.fill(reader)?;
            crc.update(&self.batch.data[start..]);
        }
        chunker.finish(&mut cutting.cuts);
        if in_one_batch && cutting.cuts.len() == 1 {
            // Saves hashing it twice.
            self.whole();
            return Ok(());
        }
        self.close_chunks(&mut cutting);
        if let Some(sum) = self.batch.sums.last_mut() {
            sum.last = true;
        }
        Ok(())
    }

    /// Makes a file one frame: all that is in the batch from the last frame on.
    fn whole(&mut self) {
        let range = self.frame_start..self.batch.data.len();
        self.push_frame(range.end, FrameOf::Content);
        self.sum(SumOf::File, range, true);
    }

    fn close_chunks(&mut self, cutting: &mut Cutting) {
        for chunk in cutting.cuts.drain(..) {
            let end = self.frame_start + to_usize(chunk.len - cutting.closed);
            let range = self.frame_start..end;
            let frame = self.batch.frames.len();
            let (of, digest) = if chunk.hole {
                (FrameOf::Content, DigestFrom::Zeros(chunk.len))
            } else if cutting.closed == 0 {
                (FrameOf::Chunk, DigestFrom::Frame(frame))
            } else {
                self.sum(SumOf::Chunk, range.clone(), true);
                (FrameOf::Content, DigestFrom::Sum)
            };
            self.push_frame(end, of);
            self.sum(SumOf::File, range, false);
            self.marks.push(Mark::ChunkEnd { frame, len: chunk.len, hole: chunk.hole, digest });
            cutting.closed = 0;
        }
    }

    /// The batch is full in the middle of a file. Complete frames are sent; an open chunk moves to
    /// the next batch, or, if it fills a whole batch, is divided into several frames.
    fn carry_over(&mut self, cutting: &mut Cutting, chunker: &Chunker) -> Result<(), LayerError> {
        if self.frame_start == 0 {
            // Zeros at the end may turn out to be a hole, which has a frame of its own.
            let end = self.batch.data.len() - chunker.undecided();
            self.push_frame(end, FrameOf::Content);
            if !chunker.is_in_hole() {
                self.sum(SumOf::Chunk, 0..end, false);
            }
            self.sum(SumOf::File, 0..end, false);
            cutting.closed += end as u64;
        }
        let open = self.batch.data.split_off(self.frame_start);
        self.flush()?;
        self.batch.data.extend_from_slice(&open);
        Ok(())
    }

    fn tail(&mut self, raw: &[u8]) -> Result<(), LayerError> {
        if raw.is_empty() {
            return Ok(());
        }
        self.make_room(raw.len())?;
        let start = self.batch.data.len();
        self.batch.data.extend_from_slice(raw);
        self.mark_tail(start);
        Ok(())
    }

    fn rest(&mut self, mut tar: impl BufRead) -> Result<(), LayerError> {
        loop {
            self.make_room(1)?;
            let start = self.batch.data.len();
            let room = self.room() as u64;
            let read = tar.by_ref().take(room).read_to_end(&mut self.batch.data);
            if read.map_err(LayerError::input)? == 0 {
                return Ok(());
            }
            self.mark_tail(start);
        }
    }

    fn mark_tail(&mut self, start: usize) {
        if self.chunked {
            self.marks.push(Mark::Tail { raw: start..self.batch.data.len() });
        }
    }

    /// Reads content until it ends or the batch is full; returns where it begins in the data.
    fn fill(&mut self, reader: &mut Reader<impl BufRead>) -> Result<usize, LayerError> {
        let room = self.room() as u64;
        let data = &mut self.batch.data;
        let start = data.len();
        let end = start + to_usize(room.min(reader.payload_left()));
        data.reserve(end - start);
        while data.len() < end {
            let payload = reader.payload().map_err(LayerError::tar)?;
            let len = payload.len().min(end - data.len());
            data.extend_from_slice(&payload[..len]);
            reader.consume(len);
        }
        Ok(start)
    }

    fn close_frame(&mut self) {
        let end = self.batch.data.len();
        if end > self.frame_start {
            self.push_frame(end, FrameOf::Tar);
        }
    }

    fn push_frame(&mut self, end: usize, of: FrameOf) {
        self.batch.frames.push(Frame { end, of });
        self.frame_start = end;
    }

    fn sum(&mut self, of: SumOf, range: std::ops::Range<usize>, last: bool) {
        self.batch.sums.push(Sum { of, range, last });
    }

    /// Sends the batch and begins another.
    fn flush(&mut self) -> Result<(), LayerError> {
        self.close_frame();
        if self.batch.frames.is_empty() {
            return Ok(());
        }
        let batch = Arc::new(std::mem::take(&mut self.batch));
        let marks = std::mem::take(&mut self.marks);
        let frames = self.output.pool.encode(Arc::clone(&batch), self.recipe.level);
        let handed_on = self.output.digester.send(Arc::clone(&batch)).is_ok()
            && self.output.assembler.send(Item::Batch { batch, marks, frames }).is_ok();
        if !handed_on {
            return Err(LayerError::Interrupted);
        }
        self.begun = true;
        self.frame_start = 0;
        self.begin()
    }

    /// Waits for room, and begins a batch.
    fn begin(&mut self) -> Result<(), LayerError> {
        self.output.turns.recv().map_err(|_| LayerError::Interrupted)?;
        let units = self.capacity() / CHUNKED_BATCH;
        let room = self.output.pool.budget().room_for(units);
        if self.batch.data.is_empty() {
            self.batch.data = room.buffer();
        }
        self.batch.room.push(room);
        Ok(())
    }
}

/// Lengths within a batch always fit.
fn to_usize(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}
