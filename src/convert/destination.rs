//! Where the image is published. Each error says so.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::sync::OnceCell;

use super::ConvertError;
use crate::{
    image::{BlobId, Digest, ImageReference},
    store::{
        AccessOptions, BlobSpool, Intent, RawManifest, Selector, SpoolWriter, Store, StoreError,
        UploadSession,
    },
};

/// Requests of one kind that are under way at the same time.
pub(super) const CHECKS: usize = 8;

pub(super) struct Destination<'a> {
    pub(super) reference: &'a ImageReference,
    pub(super) store: Store,
    /// What was begun to find out whether something may be pushed, for the first blob.
    session: OnceCell<Mutex<Option<UploadSession>>>,
}

impl<'a> Destination<'a> {
    pub(super) async fn open(
        reference: &'a ImageReference,
        access: &AccessOptions,
        intent: Intent,
    ) -> Result<Self, ConvertError> {
        let failed = |error| failed(reference, error);
        let store = Store::open(reference, intent, access).await.map_err(failed)?;
        Ok(Self { reference, store, session: OnceCell::new() })
    }

    /// Fails if nothing may be pushed. To be called before work is done for that.
    pub(super) async fn check_push(&self) -> Result<(), ConvertError> {
        let ask = async || self.store.begin_upload().await.map(Mutex::new);
        let session = self.session.get_or_try_init(ask).await;
        session.map(drop).map_err(|error| self.failed(error))
    }

    pub(super) fn failed(&self, error: StoreError) -> ConvertError {
        failed(self.reference, error)
    }

    /// What the tag of the reference names, or why that cannot be read. It is replaced all the same.
    pub(super) async fn named(
        &self,
    ) -> Result<Result<Option<RawManifest>, StoreError>, ConvertError> {
        match self.store.find_manifest(&Selector::of(self.reference)).await {
            Ok(found) => Ok(Ok(found)),
            Err(
                error @ (StoreError::Manifest { .. }
                | StoreError::TooLarge { .. }
                | StoreError::DigestMismatch { .. }
                | StoreError::SizeMismatch { .. }),
            ) => Ok(Err(error)),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// A manifest that was written as `expected`, or what is there in its place.
    pub(super) async fn manifest_soon(
        &self,
        which: &Selector,
        expected: &Digest,
    ) -> Result<RawManifest, ConvertError> {
        let found = self.store.manifest_soon(which, expected).await;
        found.map_err(|error| self.failed(error))
    }

    /// Fails unless all of these manifests, which were written, are served.
    pub(super) async fn await_manifests<'b>(
        &self,
        digests: impl Iterator<Item = &'b Digest>,
    ) -> Result<(), ConvertError> {
        let found = digests.map(async |digest| {
            self.manifest_soon(&Selector::Digest(digest.clone()), digest).await.map(drop)
        });
        stream::iter(found).buffer_unordered(CHECKS).try_collect().await
    }

    /// Fails unless all of these blobs, which were written, are served.
    pub(super) async fn await_blobs<'b>(
        &self,
        blobs: impl Iterator<Item = &'b BlobId>,
    ) -> Result<(), ConvertError> {
        let found = blobs.map(async |BlobId { digest, size }| {
            match self.store.has_blob_soon(digest, *size).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(ConvertError::Lost {
                    reference: self.reference.clone(),
                    digest: digest.clone(),
                }),
                Err(error) => Err(self.failed(error)),
            }
        });
        stream::iter(found).buffer_unordered(CHECKS).try_collect().await
    }

    /// Writes a manifest under its digest.
    pub(super) async fn put_manifest(&self, manifest: &RawManifest) -> Result<(), ConvertError> {
        let Err(error) = self.store.put_manifest(manifest, None).await else { return Ok(()) };
        // Some registries refuse to accept again what they have.
        let which = Selector::Digest(manifest.digest.clone());
        match self.store.find_manifest(&which).await {
            Ok(Some(_)) if error.is_refusal() => Ok(()),
            _ => Err(self.failed(error)),
        }
    }

    /// Writes a manifest under the tag of the reference, unless that names it already: a registry
    /// may have made its tags immutable. With `renew` it is written all the same, so that the life of
    /// a tag that expires begins again (Quay). Returns what the tag named before.
    pub(super) async fn tag(
        &self,
        manifest: &RawManifest,
        renew: bool,
    ) -> Result<Option<Digest>, ConvertError> {
        let which = Selector::of(self.reference);
        // What the tag names may be something that cannot be read; it is replaced all the same.
        let named = async || self.store.find_manifest(&which).await.ok().flatten();
        let is_it = |found: &RawManifest| found.bytes == manifest.bytes;
        let before = named().await;
        let is_done = !renew && before.as_ref().is_some_and(is_it);
        let before = before.map(|before| before.digest);
        if is_done {
            tracing::debug!("{} names this image already; it is not tagged again", self.reference);
            return Ok(before);
        }
        let Err(error) = self.store.put_manifest(manifest, self.reference.tag()).await else {
            return Ok(before);
        };
        match named().await {
            Some(found) if is_it(&found) => Ok(before),
            Some(found) if is_about_tag(&error) => Err(ConvertError::TagTaken {
                reference: self.reference.clone(),
                names: found.digest,
                error,
            }),
            _ => Err(self.failed(error)),
        }
    }

    /// Makes an archive appear.
    pub(super) async fn complete(&self) -> Result<(), ConvertError> {
        self.store.complete().await.map_err(|error| self.failed(error))
    }

    pub(super) async fn has_blob(&self, blob: &BlobId) -> Result<bool, ConvertError> {
        let has = self.store.has_blob(&blob.digest, blob.size).await;
        has.map_err(|error| self.failed(error))
    }

    /// Which of these blobs the destination does not have, in their order.
    pub(super) async fn lacks<'b>(
        &self,
        blobs: impl IntoIterator<Item = &'b BlobId>,
    ) -> Result<Vec<&'b BlobId>, ConvertError> {
        let has = blobs.into_iter().map(async |blob| {
            self.has_blob(blob).await.map(|has| if has { None } else { Some(blob) })
        });
        let found: Vec<_> = stream::iter(has).buffered(CHECKS).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
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
        let begun = self.session.get();
        let session =
            begun.and_then(|begun| begun.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.store.put_spool_into(spool, session).await.map_err(|error| self.failed(error))
    }

    /// The error for a blob that could not be written to its spool.
    pub(super) fn cannot_spool(&self, error: io::Error) -> ConvertError {
        let dir = self.store.spool_dir().display().to_string();
        let advice = match (error.kind(), &self.store) {
            (io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied, _) => {
                "make it writable, or name another directory"
            }
            (io::ErrorKind::FileTooLarge, _) => "raise the limit of file sizes (ulimit -f)",
            (_, Store::Registry(_)) => "set TMPDIR to a directory with room for the largest layers",
            (_, Store::Layout(_)) => "make room for all of the new image",
        };
        ConvertError::Spool { dir, error, advice }
    }
}

/// Whether a registry that refuses a tag may do so because of what it names.
fn is_about_tag(error: &StoreError) -> bool {
    error.is_refusal() && !matches!(error, StoreError::Unauthorized(_))
}

fn failed(reference: &ImageReference, error: StoreError) -> ConvertError {
    ConvertError::Destination { reference: reference.clone(), error }
}
