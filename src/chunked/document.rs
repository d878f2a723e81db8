//! The two documents behind the data, TOC and tar-split: compressed while they grow, so that only
//! their compressed form is ever held.

use std::io::{self, BufWriter, Write};

use crate::image::Digest;

/// A finished document.
#[derive(Debug, Clone)]
pub struct Document {
    /// The compressed form, one zstd frame.
    pub compressed: Vec<u8>,
    /// Length in bytes before compression.
    pub raw_len: u64,
    /// Digest of the compressed form.
    pub digest: Digest,
}

/// Bytes that are handed to zstd at once: JSON comes a few bytes at a time.
const PIECE: usize = 32 << 10;

/// Takes in a document and keeps it compressed.
pub(super) struct DocumentWriter {
    encoder: BufWriter<zstd::stream::write::Encoder<'static, Vec<u8>>>,
    raw_len: u64,
}

impl DocumentWriter {
    pub(super) fn new(level: i32) -> io::Result<Self> {
        let encoder = zstd::stream::write::Encoder::new(Vec::new(), level)?;
        Ok(Self { encoder: BufWriter::with_capacity(PIECE, encoder), raw_len: 0 })
    }

    pub(super) fn raw_len(&self) -> u64 {
        self.raw_len
    }

    /// What there is of the compressed form.
    pub(super) fn compressed(&self) -> &[u8] {
        self.encoder.get_ref().get_ref()
    }

    pub(super) fn finish(self) -> io::Result<Document> {
        let encoder = self.encoder.into_inner().map_err(io::IntoInnerError::into_error)?;
        let compressed = encoder.finish()?;
        let digest = Digest::sha256_of(&compressed);
        Ok(Document { compressed, raw_len: self.raw_len, digest })
    }
}

impl Write for DocumentWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.encoder.write(bytes)?;
        self.raw_len += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.flush()
    }
}
