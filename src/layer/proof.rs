//! TOC and tar-split stream are read back while they are written, with an independent reader, as
//! clients will do. When the last entry is written, all but a few have been checked.

use std::io::{self, BufReader};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{
    error::LayerError,
    scratch::{Scratch, ScratchReader},
};
use crate::check::DocumentsCheck;

/// Bytes that are read of a document at once.
const BUFFER: usize = 64 << 10;

/// Both documents on their way to the proofreader.
pub(super) struct Proof {
    pub(super) toc: Scratch,
    pub(super) tar_split: Scratch,
    pub(super) verdict: PendingDocuments,
}

/// What the proofreader finds.
pub(super) struct PendingDocuments(Receiver<io::Result<DocumentsCheck>>);

/// To be read on a thread of its own.
pub(super) struct Proofreader {
    toc: ScratchReader,
    tar_split: ScratchReader,
    documents: Sender<io::Result<DocumentsCheck>>,
    lowest: bool,
}

/// For the lowest layer of an image or another one.
pub(super) fn begin(lowest: bool) -> (Proof, Proofreader) {
    let (toc, tar_split) = (Scratch::new(), Scratch::new());
    let (documents, verdict) = bounded(1);
    let reader =
        Proofreader { toc: toc.reader(), tar_split: tar_split.reader(), documents, lowest };
    (Proof { toc, tar_split, verdict: PendingDocuments(verdict) }, reader)
}

impl PendingDocuments {
    /// Waits until both documents have been read. They have to be complete.
    pub(super) fn wait(self) -> Result<DocumentsCheck, LayerError> {
        let documents = self.0.recv().map_err(|_| LayerError::WorkerLost)?;
        documents.map_err(LayerError::Scratch)
    }
}

impl Proofreader {
    /// Reads both documents to their ends.
    pub(super) fn read(self) {
        let [toc, tar_split] =
            [self.toc, self.tar_split].map(|document| BufReader::with_capacity(BUFFER, document));
        // Nobody receives it if the layer turned out to have no TOC.
        let _ = self.documents.send(DocumentsCheck::read(toc, tar_split, self.lowest));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{io::Write as _, thread};

    use test_support::archive::{Dialect, TarBuilder};

    use super::*;
    use crate::{
        chunked::{
            annotations::ChunkedAnnotations,
            document::CompressedDocument,
            footer::Position,
            tar_split::TarSplitWriter,
            toc::{Metadata, TocWriter},
        },
        tar::{Reader, TarStep},
    };

    /// TOC and tar-split stream of very many empty files.
    fn documents() -> (CompressedDocument, CompressedDocument) {
        let mut random = fastrand::Rng::with_seed(1);
        let tar = (0..20_000).fold(TarBuilder::new(), |builder, _| {
            builder.file(Dialect::Ustar, format!("{:x}", random.u64(..)).as_bytes(), b"")
        });
        let tar = tar.end().finish();
        let (mut toc, mut tar_split) = (TocWriter::new().unwrap(), TarSplitWriter::new().unwrap());
        let mut reader = Reader::new(&tar[..]);
        while let TarStep::Entry(entry) = reader.next_step().unwrap() {
            let metadata = Metadata::of(&entry).unwrap();
            tar_split.segment(reader.raw()).unwrap();
            tar_split.file(metadata.name(), None).unwrap();
            toc.push(&metadata, None).unwrap();
        }
        tar_split.tail(reader.raw()).unwrap();
        let tar_split = tar_split.finish().unwrap();
        (toc.finish(&tar_split.digest).unwrap(), tar_split)
    }

    fn annotations(
        toc: &CompressedDocument,
        tar_split: &CompressedDocument,
    ) -> crate::check::Annotations {
        let place = |document: &CompressedDocument, offset| Position {
            offset,
            len: document.len,
            raw_len: document.raw_len,
        };
        let annotations = ChunkedAnnotations {
            toc_digest: toc.digest.clone(),
            toc: place(toc, 100),
            tar_split: place(tar_split, 1 << 30),
        };
        annotations.to_pairs().map(|(key, value)| (key.to_owned(), value)).into()
    }

    /// Writes both a little at a time, and reads them meanwhile.
    fn proofread(toc: &CompressedDocument, tar_split: &CompressedDocument) -> DocumentsCheck {
        let (Proof { toc: mut toc_out, tar_split: mut split_out, verdict }, reader) = begin(false);
        thread::scope(|scope| {
            scope.spawn(|| reader.read());
            for piece in toc.compressed.chunks(1000) {
                toc_out.write_all(piece).unwrap();
            }
            for piece in tar_split.compressed.chunks(1000) {
                split_out.write_all(piece).unwrap();
            }
            drop((toc_out, split_out));
            verdict.wait().unwrap()
        })
    }

    #[test]
    fn what_grows_is_read_as_a_whole() {
        let (toc, tar_split) = documents();
        assert!(toc.compressed.len() > 2 * BUFFER && tar_split.compressed.len() > 2 * BUFFER);
        let documents = proofread(&toc, &tar_split);
        let (totals, _, findings) = documents.compare(&annotations(&toc, &tar_split));
        assert!(findings.first_error().is_none(), "{findings:?}");
        assert_eq!(totals.entries, 20_000);
    }

    #[test]
    fn a_fault_is_found_and_nobody_waits() {
        let (toc, tar_split) = documents();
        let mut broken = tar_split.clone();
        broken.compressed[BUFFER / 2] ^= 1;
        let documents = proofread(&toc, &broken);
        let (_, _, findings) = documents.compare(&annotations(&toc, &broken));
        assert!(findings.first_error().is_some());
    }

    #[test]
    fn a_proof_that_nobody_wants_any_more_ends() {
        let (toc, tar_split) = documents();
        let (mut proof, reader) = begin(false);
        proof.toc.write_all(&toc.compressed[..2 * BUFFER]).unwrap();
        proof.tar_split.write_all(&tar_split.compressed).unwrap();
        drop(proof);
        reader.read();
    }
}
