//! What an upload sends, and how much of it there is.

use crate::{
    image::Digest,
    store::{
        BlobContent, StoreError, blob_name,
        registry::request::{Call, FilePart},
        spool::{BlobSpool, SpoolExtent},
    },
};

/// A blob to be uploaded.
pub(super) enum Source {
    Known { content: BlobContent, digest: Digest, size: u64 },
    Growing(BlobSpool),
}

impl Source {
    /// A blob that is all there. Its length is checked against `size`.
    pub(super) async fn known(
        digest: &Digest,
        size: u64,
        content: BlobContent,
    ) -> Result<Self, StoreError> {
        let (length, place) = match &content {
            BlobContent::Bytes(bytes) => (bytes.len() as u64, "memory".to_owned()),
            BlobContent::File(path) => {
                let metadata = tokio::fs::metadata(path).await.map_err(StoreError::io(path))?;
                (metadata.len(), path.display().to_string())
            }
        };
        if length != size {
            let (what, actual) = (blob_name(digest), format!("{length} bytes"));
            return Err(StoreError::SizeMismatch { what, place, expected: size, actual });
        }
        Ok(Self::Known { content, digest: digest.clone(), size })
    }

    /// Waits until the blob has `length` bytes or is finished.
    pub(super) async fn wait_for(&mut self, length: u64) -> SpoolExtent {
        match self {
            Self::Known { digest, size, .. } => SpoolExtent::Finished(digest.clone(), *size),
            Self::Growing(spool) => spool.wait_for(length).await,
        }
    }

    /// Gives a request a part of the blob as its body; it has to be there.
    pub(super) fn fill(&self, call: Call, offset: u64, length: u64) -> Call {
        let path = match self {
            Self::Known { content: BlobContent::Bytes(bytes), .. } => {
                let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
                return call.bytes(bytes.slice(at(offset)..at(offset.saturating_add(length))));
            }
            Self::Known { content: BlobContent::File(path), .. } => path.clone(),
            Self::Growing(spool) => spool.path().to_owned(),
        };
        call.file(FilePart { path, offset, length })
    }
}
