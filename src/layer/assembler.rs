//! Puts the encoded frames in order, writes the blob, and writes TOC and tar-split along with it.

use std::io::{self, Read, Write};

use crossbeam_channel::{Receiver, Sender};

use super::{
    batch::{Batch, DigestFrom, EncodedFrames, Item, Mark},
    blob_writer::BlobWriter,
    converted::Outline,
    error::LayerError,
    proof::{PendingDocuments, Proof},
    scratch::Scratch,
    zeros::ZeroDigests,
};
use crate::{
    chunked::{
        annotations::ChunkedAnnotations,
        eligibility::{LeftOut, Unchunkable, is_metadata_too_long},
        footer::{Footer, Position},
        frame::{SKIPPABLE_HEADER, skippable_header, write_skippable},
        tar_split::TarSplitWriter,
        toc::{ChunkPlace, Metadata, TocContent, TocWriter},
    },
    image::Digest,
};

/// The new blob of a layer.
#[derive(Debug)]
pub(super) struct Assembled {
    pub(super) digest: Digest,
    pub(super) len: u64,
    /// Length in bytes of the tar that the TOC describes.
    pub(super) checked: Option<u64>,
    pub(super) outline: Result<Outline, Option<Unchunkable>>,
}

/// TOC or tar-split could not be written, because of the system or the encoder.
fn not_written(error: io::Error) -> LayerError {
    if error.raw_os_error().is_some() {
        LayerError::Scratch(error)
    } else {
        LayerError::Encode(error)
    }
}

/// How many bytes of a document are copied at once.
const DOCUMENT_PIECE: usize = 256 << 10;

fn copy(mut document: impl Read, blob: &mut BlobWriter<impl Write>) -> Result<(), LayerError> {
    let mut piece = vec![0; DOCUMENT_PIECE];
    loop {
        match document.read(&mut piece).map_err(LayerError::Scratch)? {
            0 => return Ok(()),
            len => blob.put(&piece[..len]).map_err(LayerError::Spool)?,
        }
    }
}

struct Outliner {
    verdict: PendingDocuments,
    toc: TocWriter<Scratch>,
    tar_split: TarSplitWriter<Scratch>,
    open: Option<OpenEntry>,
    entries: u64,
    files: u64,
    chunks: u64,
    /// Bytes from the end of the last content to the next block.
    padding: u64,
    /// Bytes after the last entry.
    tail_len: u64,
    /// Bytes of the tar so far.
    tar_len: u64,
}

/// An entry whose content has not ended.
struct OpenEntry {
    metadata: Metadata,
    offset: u64,
    /// Where the next chunk begins.
    next: u64,
    chunks: Vec<ChunkPlace>,
}

pub(super) fn assemble(
    sink: impl Write,
    items: &Receiver<Item>,
    sums: &Receiver<Vec<[u8; 32]>>,
    turns: &Sender<()>,
    proof: Option<Proof>,
) -> Result<Assembled, LayerError> {
    let mut blob = BlobWriter::new(sink);
    let mut outline = match proof {
        Some(proof) => Ok(Outliner::new(proof)?),
        None => Err(None),
    };
    let mut zeros = ZeroDigests::default();
    let left_out = loop {
        let (batch, marks, frames) = match items.recv() {
            Ok(Item::Batch { batch, marks, frames }) => (batch, marks, frames),
            Ok(Item::End(left_out)) => break left_out,
            Err(_) => return Err(LayerError::Interrupted),
        };
        let frames = frames.recv().map_err(|_| LayerError::WorkerLost)??;
        let sums = sums.recv().map_err(|_| LayerError::WorkerLost)?;
        let start = blob.len();
        blob.put(&frames.bytes).map_err(LayerError::Spool)?;
        if let Ok(outliner) = &mut outline {
            let sums = sums.into_iter();
            let digests = Digests { frames: &frames, sums, zeros: &mut zeros };
            let result = outliner.take_in(&batch, marks, start, digests)?;
            if let Err(reason) = result {
                outline = Err(Some(reason));
            }
        }
        // The last owner frees its memory, and the walker may begin another one.
        drop(batch);
        let _ = turns.send(());
    };
    let mut checked = None;
    let outline = match outline {
        Ok(outliner) => match outliner.finish(&mut blob, left_out)? {
            Ok((outline, tar_len)) => {
                checked = Some(tar_len);
                Ok(outline)
            }
            Err(reason) => Err(Some(reason)),
        },
        Err(reason) => Err(reason),
    };
    let (digest, len) = blob.finish().map_err(LayerError::Spool)?;
    Ok(Assembled { digest, len, checked, outline })
}

/// The digests of a batch, to be taken in order.
struct Digests<'a, I> {
    frames: &'a EncodedFrames,
    sums: I,
    zeros: &'a mut ZeroDigests,
}

impl<I: Iterator<Item = [u8; 32]>> Digests<'_, I> {
    fn take(&mut self, from: DigestFrom) -> Result<[u8; 32], LayerError> {
        match from {
            DigestFrom::Frame(number) => self.frames.ends.get(number).and_then(|end| end.1),
            DigestFrom::Sum => self.sums.next(),
            DigestFrom::Zeros(len) => Some(self.zeros.of(len)),
        }
        .ok_or(LayerError::WorkerLost)
    }

    /// Where the frame begins, in bytes from the batch's start in the blob; for the frame after the
    /// last one, the batch's end.
    fn start(&self, frame: usize) -> u64 {
        frame.checked_sub(1).map_or(0, |before| self.end(before))
    }

    fn end(&self, frame: usize) -> u64 {
        self.frames.ends.get(frame).map_or(self.frames.bytes.len(), |end| end.0) as u64
    }
}

impl Outliner {
    fn new(proof: Proof) -> Result<Self, LayerError> {
        Ok(Self {
            verdict: proof.verdict,
            toc: TocWriter::to(proof.toc).map_err(not_written)?,
            tar_split: TarSplitWriter::to(proof.tar_split).map_err(not_written)?,
            open: None,
            entries: 0,
            files: 0,
            chunks: 0,
            padding: 0,
            tail_len: 0,
            tar_len: 0,
        })
    }

    /// Describes a batch that begins at `start` in the blob. The inner error says that the layer
    /// gets no TOC.
    fn take_in(
        &mut self,
        batch: &Batch,
        marks: Vec<Mark>,
        start: u64,
        mut digests: Digests<'_, impl Iterator<Item = [u8; 32]>>,
    ) -> Result<Result<(), Unchunkable>, LayerError> {
        for mark in marks {
            match mark {
                Mark::Entry { raw, metadata } => {
                    self.close_without_content().map_err(not_written)?;
                    self.padding = 0;
                    self.tar_split.segment(&batch.data[raw]).map_err(not_written)?;
                    let open =
                        OpenEntry { metadata: *metadata, offset: 0, next: 0, chunks: Vec::new() };
                    self.open = Some(open);
                }
                Mark::ContentStart { frame } => {
                    if let Some(open) = &mut self.open {
                        open.offset = start + digests.start(frame);
                        open.next = open.offset;
                    }
                }
                Mark::ChunkEnd { frame, len, hole, digest } => {
                    let digest = digests.take(digest)?;
                    if let Some(open) = &mut self.open {
                        if self.toc.has_no_room_for(open.metadata.name(), open.chunks.len()) {
                            return Ok(Err(Unchunkable::TocTooLong));
                        }
                        open.chunks.push(ChunkPlace { offset: open.next, len, hole, digest });
                        open.next = start + digests.end(frame);
                    }
                }
                Mark::ContentEnd { frame, len, crc } => {
                    let digest = digests.take(DigestFrom::Sum)?;
                    self.padding = len.wrapping_neg() % 512;
                    let end = start + digests.end(frame);
                    self.close(digest, end, len, crc).map_err(not_written)?;
                }
                Mark::Tail { raw } => {
                    self.close_without_content().map_err(not_written)?;
                    self.tail_len += raw.len() as u64;
                    self.tar_split.tail(&batch.data[raw]).map_err(not_written)?;
                    if self.tar_split.is_too_long() {
                        return Ok(Err(Unchunkable::TailTooLong));
                    }
                }
                Mark::Unchunkable(reason) => return Ok(Err(reason)),
            }
        }
        self.tar_len += batch.data.len() as u64;
        let metadata = self.toc.compressed_len() + self.tar_split.compressed_len();
        Ok(if self.toc.is_too_long() {
            Err(Unchunkable::TocTooLong)
        } else if is_metadata_too_long(metadata, self.tar_len) {
            Err(Unchunkable::MetadataTooLong)
        } else {
            Ok(())
        })
    }

    fn close_without_content(&mut self) -> std::io::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        self.entries += 1;
        self.tar_split.file(open.metadata.name(), None)?;
        self.toc.push(&open.metadata, None)
    }

    fn close(&mut self, digest: [u8; 32], end: u64, len: u64, crc: u64) -> std::io::Result<()> {
        let Some(OpenEntry { metadata, offset, mut chunks, .. }) = self.open.take() else {
            return Ok(());
        };
        self.entries += 1;
        self.files += 1;
        self.chunks += chunks.len().max(1) as u64;
        if chunks.len() == 1 {
            chunks.clear();
        }
        self.tar_split.file(metadata.name(), Some((len, crc)))?;
        self.toc.push(&metadata, Some(&TocContent { digest, offset, end, chunks }))
    }

    /// Writes TOC, tar-split and footer after the data, once both documents have been read back and
    /// checked. Returns the length of the tar that they describe along with the outline.
    fn finish(
        mut self,
        blob: &mut BlobWriter<impl Write>,
        left_out: LeftOut,
    ) -> Result<Result<(Outline, u64), Unchunkable>, LayerError> {
        self.close_without_content().map_err(not_written)?;
        if self.tail_len > 0 && self.tail_len < self.padding {
            return Ok(Err(Unchunkable::PaddingCutShort));
        }
        let tar_split = self.tar_split.finish().map_err(not_written)?;
        let toc = self.toc.finish(&tar_split.digest).map_err(not_written)?;
        let toc_place = Position {
            offset: blob.len() + SKIPPABLE_HEADER as u64,
            len: toc.len,
            raw_len: toc.raw_len,
        };
        let tar_split_place = Position {
            offset: toc_place.offset + toc.len + SKIPPABLE_HEADER as u64,
            len: tar_split.len,
            raw_len: tar_split.raw_len,
        };
        // The readers end only when the writers are dropped.
        let documents = [toc.compressed, tar_split.compressed].map(|document| document.reader());
        let outline = Outline {
            annotations: ChunkedAnnotations {
                toc_digest: toc.digest,
                toc: toc_place,
                tar_split: tar_split_place,
            },
            entries: self.entries,
            files: self.files,
            chunks: self.chunks,
            left_out,
        };
        let tar_len = outline.compare(self.verdict.wait()?)?;
        for (document, place) in documents.into_iter().zip([toc_place, tar_split_place]) {
            let header = skippable_header(place.len).map_err(LayerError::Encode)?;
            blob.put(&header).map_err(LayerError::Spool)?;
            copy(document, blob)?;
        }
        let (mut frame, footer) =
            (Vec::new(), Footer { toc: toc_place, tar_split: tar_split_place });
        write_skippable(&mut frame, &footer.to_bytes()).map_err(LayerError::Encode)?;
        blob.put(&frame).map_err(LayerError::Spool)?;
        Ok(Ok((outline, tar_len)))
    }
}
