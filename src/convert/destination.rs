//! Where the image is published. Each error says so.

use std::io;

use bytes::Bytes;

use super::ConvertError;
use crate::{
    image::{BlobId, Digest, ImageReference, Manifest},
    store::{
        AccessOptions, BlobSpool, Intent, RawManifest, Selector, SpoolWriter, Store, StoreError,
    },
};

pub(super) struct Destination<'a> {
    pub(super) reference: &'a ImageReference,
    pub(super) store: Store,
}

impl<'a> Destination<'a> {
    pub(super) async fn open(
        reference: &'a ImageReference,
        access: &AccessOptions,
    ) -> Result<Self, ConvertError> {
        match Store::open(reference, Intent::Push, access).await {
            Ok(store) => Ok(Self { reference, store }),
            Err(error) => Err(failed(reference, error)),
        }
    }

    pub(super) fn failed(&self, error: StoreError) -> ConvertError {
        failed(self.reference, error)
    }

    pub(super) async fn manifest(&self, which: &Selector) -> Result<RawManifest, ConvertError> {
        self.store.manifest(which).await.map_err(|error| self.failed(error))
    }

    pub(super) async fn put_manifest(
        &self,
        manifest: &RawManifest,
        tag: Option<&str>,
    ) -> Result<(), ConvertError> {
        self.store.put_manifest(manifest, tag).await.map_err(|error| self.failed(error))
    }

    pub(super) async fn has_blob(&self, blob: &BlobId) -> Result<bool, ConvertError> {
        let has = self.store.has_blob(&blob.digest, blob.size).await;
        has.map_err(|error| self.failed(error))
    }

    /// The first blob that `manifest` needs and the destination does not have.
    pub(super) async fn missing(
        &self,
        manifest: &Manifest,
    ) -> Result<Option<Digest>, ConvertError> {
        for blob in manifest.needed_blobs() {
            if !self.has_blob(blob).await? {
                return Ok(Some(blob.digest.clone()));
            }
        }
        Ok(None)
    }

    /// Writes a small blob that the image `from` has too.
    pub(super) async fn copy_blob(
        &self,
        digest: &Digest,
        content: Bytes,
        from: &ImageReference,
    ) -> Result<(), ConvertError> {
        let copied = self.store.copy_blob(digest, content, from).await;
        copied.map_err(|error| self.failed(error))
    }

    pub(super) fn spool(&self) -> Result<(SpoolWriter, BlobSpool), ConvertError> {
        self.store.spool().map_err(|error| self.cannot_spool(error))
    }

    /// Returns whether the destination had the blob already.
    pub(super) async fn put_spool(&self, spool: BlobSpool) -> Result<bool, ConvertError> {
        self.store.put_spool(spool).await.map_err(|error| self.failed(error))
    }

    /// The error for a blob that could not be written to its spool.
    pub(super) fn cannot_spool(&self, error: io::Error) -> ConvertError {
        let dir = self.store.spool_dir().display().to_string();
        let advice = match (error.kind(), &self.store) {
            (io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied, _) => {
                "make it writable, or name another directory"
            }
            (_, Store::Registry(_)) => "set TMPDIR to a directory with room for the largest layers",
            (_, Store::Layout(_)) => "it needs room for all of the new image",
        };
        ConvertError::Spool { dir, error, advice }
    }
}

fn failed(reference: &ImageReference, error: StoreError) -> ConvertError {
    ConvertError::Destination { reference: reference.clone(), error }
}
