//! What an upload sends, and how much of it there is.

use std::sync::Arc;

use crate::{
    image::Digest,
    store::{
        blob::{BlobContent, blob_name},
        error::StoreError,
        registry::http::{Call, FilePart},
        spool::{BlobSpool, SpoolExtent},
    },
};

/// A blob to be uploaded.
pub(crate) enum UploadSource {
    Known { content: BlobContent, digest: Digest, size: u64 },
    Growing(BlobSpool),
}

impl UploadSource {
    /// A blob that is complete. Its length is checked against `size`.
    pub(crate) async fn known(
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

    /// What its upload is called in messages.
    pub(super) fn action(&self) -> Arc<str> {
        match self {
            Self::Known { digest, .. } => upload_of(digest),
            Self::Growing(_) => "upload of a blob that is still being written".into(),
        }
    }

    /// Waits until the blob has `length` bytes or is finished.
    pub(super) async fn wait_for(&mut self, length: u64) -> SpoolExtent {
        match self {
            Self::Known { digest, size, .. } => SpoolExtent::Finished(digest.clone(), *size),
            Self::Growing(spool) => spool.wait_for(length).await,
        }
    }

    /// Gives a request a part of the blob as its body; it has to exist.
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

pub(crate) fn upload_of(digest: &Digest) -> Arc<str> {
    format!("upload of {}", blob_name(digest)).into()
}
