//! TOC and tar-split stream are read back while they are written, with another reader than the one
//! that writers have in mind, as clients will do: when the last entry is written, all but a few have
//! been checked.

use std::io;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::{LayerError, input::Pieces};
use crate::check::Documents;

/// So much of a document is waited for, in bytes: who waits for it has to be woken up.
const PIECE: usize = 64 << 10;

/// A document on its way to who reads it back.
struct Feed {
    /// Not bounded: what waits here is a part of what is held anyway.
    pieces: Sender<Vec<u8>>,
    sent: usize,
}

impl Feed {
    /// `document` is all of it so far, in its compressed form.
    fn send(&mut self, document: &[u8], least: usize) {
        let rest = document.get(self.sent..).unwrap_or_default();
        if rest.len() >= least {
            // Fails only where the reader has failed, which is told at the end.
            let _ = self.pieces.send(rest.to_vec());
            self.sent = document.len();
        }
    }
}

/// Where the assembler sends both documents, and learns what they have come to.
pub(super) struct Proof {
    toc: Feed,
    tar_split: Feed,
    documents: Receiver<io::Result<Documents>>,
}

/// To be read on a thread of its own.
pub(super) struct Proofreader {
    toc: Pieces,
    tar_split: Pieces,
    documents: Sender<io::Result<Documents>>,
    lowest: bool,
}

/// For the lowest layer of an image or another one.
pub(super) fn begin(lowest: bool) -> (Proof, Proofreader) {
    let feed = || {
        let (pieces, incoming) = unbounded();
        // Nobody wants spent pieces back.
        (Feed { pieces, sent: 0 }, Pieces::new(incoming, unbounded().0))
    };
    let ((toc, toc_in), (tar_split, tar_split_in)) = (feed(), feed());
    let (done, documents) = unbounded();
    let reader = Proofreader { toc: toc_in, tar_split: tar_split_in, documents: done, lowest };
    (Proof { toc, tar_split, documents }, reader)
}

impl Proof {
    /// Shows what there is of both documents in their compressed form.
    pub(super) fn show(&mut self, toc: &[u8], tar_split: &[u8]) {
        self.toc.send(toc, PIECE);
        self.tar_split.send(tar_split, PIECE);
    }

    /// Shows all of both documents, and waits for what they have come to.
    pub(super) fn finish(mut self, toc: &[u8], tar_split: &[u8]) -> Result<Documents, LayerError> {
        self.toc.send(toc, 0);
        self.tar_split.send(tar_split, 0);
        drop((self.toc, self.tar_split));
        let documents = self.documents.recv().map_err(|_| LayerError::WorkerLost)?;
        documents.map_err(LayerError::Metadata)
    }
}

impl Proofreader {
    /// Reads until both documents have come to their ends.
    pub(super) fn read(self) {
        // Nobody wants to know if the layer turned out to have no TOC.
        let _ = self.documents.send(Documents::read(self.toc, self.tar_split, self.lowest));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::thread;

    use super::*;
    use crate::{
        chunked::{
            annotations::ChunkedAnnotations,
            document::Document,
            footer::Position,
            tar_split::TarSplitWriter,
            toc::{Metadata, TocWriter},
        },
        tar::{
            Reader, Step,
            testing::{Dialect, TarBuilder},
        },
    };

    /// TOC and tar-split stream of very many empty files.
    fn documents() -> (Document, Document) {
        let mut random = fastrand::Rng::with_seed(1);
        let tar = (0..20_000).fold(TarBuilder::new(), |builder, _| {
            builder.file(Dialect::Ustar, format!("{:x}", random.u64(..)).as_bytes(), b"")
        });
        let tar = tar.end().finish();
        let (mut toc, mut tar_split) =
            (TocWriter::new(1).unwrap(), TarSplitWriter::new(1).unwrap());
        let mut reader = Reader::new(&tar[..]);
        while let Step::Entry(entry) = reader.next_step().unwrap() {
            let metadata = Metadata::of(&entry).unwrap();
            tar_split.segment(reader.raw()).unwrap();
            tar_split.file(metadata.name(), None).unwrap();
            toc.push(&metadata, None).unwrap();
        }
        tar_split.tail(reader.raw()).unwrap();
        let tar_split = tar_split.finish().unwrap();
        (toc.finish(&tar_split.digest).unwrap(), tar_split)
    }

    fn annotations(toc: &Document, tar_split: &Document) -> crate::check::Annotations {
        let place = |document: &Document, offset| Position {
            offset,
            len: document.compressed.len() as u64,
            raw_len: document.raw_len,
        };
        let annotations = ChunkedAnnotations {
            toc_digest: toc.digest.clone(),
            toc: place(toc, 100),
            tar_split: place(tar_split, 1 << 30),
        };
        annotations.to_pairs().map(|(key, value)| (key.to_owned(), value)).into()
    }

    #[test]
    fn what_grows_is_read_as_a_whole() {
        let (toc, tar_split) = documents();
        assert!(toc.compressed.len() > 2 * PIECE && tar_split.compressed.len() > 2 * PIECE);
        let (mut proof, reader) = begin(false);
        let documents = thread::scope(|scope| {
            scope.spawn(|| reader.read());
            for len in (0..toc.compressed.len()).step_by(1000) {
                let [toc, tar_split] = [&toc, &tar_split]
                    .map(|all| all.compressed.get(..len).unwrap_or(&all.compressed));
                proof.show(toc, tar_split);
            }
            proof.finish(&toc.compressed, &tar_split.compressed).unwrap()
        });
        let (totals, _, findings) = documents.compare(&annotations(&toc, &tar_split));
        assert!(findings.first_error().is_none(), "{findings:?}");
        assert_eq!(totals.entries, 20_000);
    }

    #[test]
    fn a_fault_is_found_and_nobody_waits() {
        let (toc, tar_split) = documents();
        let mut broken = tar_split.clone();
        broken.compressed[PIECE / 2] ^= 1;
        let (proof, reader) = begin(false);
        let documents = thread::scope(|scope| {
            scope.spawn(|| reader.read());
            proof.finish(&toc.compressed, &broken.compressed).unwrap()
        });
        let (_, _, findings) = documents.compare(&annotations(&toc, &broken));
        assert!(findings.first_error().is_some());
    }

    #[test]
    fn a_proof_that_nobody_wants_any_more_ends() {
        let (toc, tar_split) = documents();
        let (mut proof, reader) = begin(false);
        proof.show(&toc.compressed[..2 * PIECE], &tar_split.compressed);
        drop(proof);
        reader.read();
    }
}
