//! The new blob on its way to the spool.

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};

use crate::image::Digest;

/// Counts and hashes what is written.
pub(super) struct BlobWriter<W> {
    inner: W,
    hasher: Sha256,
    len: u64,
}

impl<W: Write> BlobWriter<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256::new(), len: 0 }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        self.inner.write_all(bytes)
    }

    /// Digest and length of the blob.
    pub(super) fn finish(mut self) -> io::Result<(Digest, u64)> {
        self.inner.flush()?;
        Ok((Digest::from_sha256(self.hasher.finalize().into()), self.len))
    }
}
