//! What became of a layer.

use super::{decompress::Compression, error::LayerError};
use crate::{
    check,
    chunked::{
        annotations::ChunkedAnnotations,
        eligibility::{LeftOut, Unchunkable},
    },
    image::Digest,
};

/// A new blob, and what was read to make it.
#[derive(Debug)]
pub struct Converted {
    pub digest: Digest,
    /// Length of the new blob in bytes.
    pub len: u64,
    /// How the source was compressed.
    pub source: Compression,
    /// Digest of the tar.
    pub diff_id: Digest,
    /// Length of the tar in bytes.
    pub raw_len: u64,
    /// What is in the TOC, or why there is none; no reason if none was asked for.
    pub outline: Result<Outline, Option<Unchunkable>>,
}

/// What is in the TOC of a layer.
#[derive(Debug, Clone)]
pub struct Outline {
    /// For the layer's descriptor.
    pub annotations: ChunkedAnnotations,
    /// Entries of the tar.
    pub entries: u64,
    /// Regular files with content.
    pub files: u64,
    /// Pieces that a client can fetch separately: chunks, and files in one piece.
    pub chunks: u64,
    /// What a partial pull does not create.
    pub left_out: LeftOut,
}

impl Outline {
    /// Compares TOC and tar-split, as they were read back, with what was walked. Returns the length
    /// of the tar that they describe.
    pub(super) fn compare(&self, documents: check::DocumentsCheck) -> Result<u64, LayerError> {
        let annotations = self.annotations.to_pairs();
        let annotations = annotations.map(|(key, value)| (key.to_owned(), value)).into();
        let (totals, left_out, findings) = documents.compare(&annotations);
        if let Some(check::Finding { rule, detail }) = findings.first_obstacle() {
            return Err(LayerError::SelfCheck(format!("{rule}: {detail}")));
        }
        if left_out.count != self.left_out.count {
            let detail = format!("{:?} was written, {left_out:?} was read back", self.left_out);
            return Err(LayerError::SelfCheck(detail));
        }
        let check::TocTotals { entries, files, chunks, tar_len } = totals;
        if (entries, files, chunks) != (self.entries, self.files, self.chunks) {
            let detail = format!("{self:?} was written, {totals:?} was read back");
            return Err(LayerError::SelfCheck(detail));
        }
        Ok(tar_len)
    }
}
