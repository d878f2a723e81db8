//! The two documents after the data, TOC and tar-split, compressed while they grow.

use std::io::{self, BufWriter, Write};

use sha2::{Digest as _, Sha256};
use zstd::{
    stream::write::Encoder,
    zstd_safe::{CParameter, Strategy},
};

use crate::image::Digest;

/// A finished document.
#[derive(Debug, Clone)]
pub struct CompressedDocument<W = Vec<u8>> {
    /// The compressed form, one zstd frame.
    pub compressed: W,
    /// Length in bytes of the compressed form.
    pub len: u64,
    /// Length in bytes before compression.
    pub raw_len: u64,
    pub digest: Digest,
}

/// The zstd level that the parameters below are based on. It has a window of 512 KiB.
const LEVEL: i32 = 1;

/// Documents consist of digests and numbers, in which short matches are accidental and cost more
/// than they save, and of what the previous entries have, too, which takes a few attempts to find.
const PARAMETERS: [CParameter; 5] = [
    CParameter::Strategy(Strategy::ZSTD_lazy2),
    CParameter::MinMatch(6),
    CParameter::SearchLog(2),
    CParameter::HashLog(16),
    CParameter::ChainLog(16),
];

/// How many bytes zstd gets at once: JSON comes a few bytes at a time.
const PIECE: usize = 32 << 10;

/// Writes the compressed form of a document.
pub(super) struct DocumentWriter<W: Write> {
    encoder: BufWriter<Encoder<'static, HashedWriter<W>>>,
    raw_len: u64,
}

struct HashedWriter<W> {
    sink: W,
    hasher: Sha256,
    len: u64,
}

impl<W: Write> Write for HashedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.sink.write(bytes)?;
        self.hasher.update(&bytes[..taken]);
        self.len += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl<W: Write> DocumentWriter<W> {
    pub(super) fn new(sink: W) -> io::Result<Self> {
        let sink = HashedWriter { sink, hasher: Sha256::new(), len: 0 };
        let mut encoder = Encoder::new(sink, LEVEL)?;
        for parameter in PARAMETERS {
            encoder.set_parameter(parameter)?;
        }
        Ok(Self { encoder: BufWriter::with_capacity(PIECE, encoder), raw_len: 0 })
    }

    pub(super) fn raw_len(&self) -> u64 {
        self.raw_len
    }

    /// Length in bytes of the compressed form so far.
    pub(super) fn len(&self) -> u64 {
        self.encoder.get_ref().get_ref().len
    }

    pub(super) fn finish(self) -> io::Result<CompressedDocument<W>> {
        let encoder = self.encoder.into_inner().map_err(io::IntoInnerError::into_error)?;
        let HashedWriter { sink, hasher, len } = encoder.finish()?;
        let digest = Digest::from_sha256(hasher.finalize().into());
        Ok(CompressedDocument { compressed: sink, len, raw_len: self.raw_len, digest })
    }
}

impl<W: Write> Write for DocumentWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.encoder.write(bytes)?;
        self.raw_len += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.flush()
    }
}
