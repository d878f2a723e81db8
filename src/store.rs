//! Where images live: registries, OCI image layouts and archives, behind one interface.
//!
//! A [`Store`] is one repository or one layout, opened to pull or to push. An archive is a layout,
//! too: one of `docker save` as that of the image that is meant. Everything that comes
//! out of it has been checked: manifests and small blobs before they are handed out, a blob that
//! is streamed by its [`BlobReader`] at the end of the stream.

mod access;
mod archive;
mod blob;
mod error;
mod extent;
mod foreign;
mod manifest;
mod oci_layout;
mod referrers;
mod registries_conf;
mod registry;
mod secrets;
mod spool;
mod user_file;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;

use self::blob::{blob_error, blob_name};
pub use access::{AccessOptions, Creds, Intent, NamedBy, Patience, Selector};
pub use archive::ArchiveIndex;
pub(crate) use blob::CopyError;
pub use blob::{BlobContent, BlobMismatch, BlobReader};
pub use error::{
    ArchiveError, ArchiveFileError, AuthError, CredentialOrigin, LayoutError, Refusal,
    RegistriesConfError, StoreError, Tried, Unreachable,
};
pub use foreign::{foreign, is_printable, one_line};
pub use manifest::{MANIFEST_SIZE_MAX, RawManifest};
pub use oci_layout::OciLayout;
pub use referrers::Referrers;
pub use registries_conf::{Endpoint, PullSources, RegistriesConf};
pub(crate) use registry::{RangeAnswer, RangeContent, RangePart, UploadSession};
pub use registry::{Repository, uploads_cancelled};
pub use secrets::mask;
pub use spool::{BlobSpool, SpoolWriter};

use crate::image::{
    BlobId, Descriptor, Digest, ImageReference, LayoutForm,
    reference::{checked_ref_name, checked_tag},
};

static PUBLISHING: AtomicBool = AtomicBool::new(false);

/// From now on, others may see the result of this process's run.
pub(crate) fn publishing_begins() {
    PUBLISHING.store(true, Ordering::Relaxed);
}

/// Whether others may see the result of this process's run.
pub fn publishing_has_begun() -> bool {
    PUBLISHING.load(Ordering::Relaxed)
}

/// A repository of a registry, or a layout.
#[derive(Debug)]
pub enum Store {
    Registry(Arc<Repository>),
    Layout(OciLayout),
}

impl Store {
    /// Opens the store that `reference` points into. For a registry this looks up credentials and
    /// asks for a token, so that a wrong password is reported before any work is done. A layout to
    /// push to is created if it does not exist; an archive must not exist, and appears with
    /// [`complete`](Self::complete).
    pub async fn open(
        reference: &ImageReference,
        intent: Intent,
        options: &AccessOptions,
    ) -> Result<Self, StoreError> {
        match reference {
            ImageReference::Registry(reference) => {
                Repository::open(reference, intent, options).await.map(Arc::new).map(Self::Registry)
            }
            ImageReference::Layout(reference) => {
                let path = reference.path();
                let layout = match reference.form() {
                    LayoutForm::Directory => OciLayout::open(path, intent).await,
                    LayoutForm::Archive => OciLayout::open_archive(path, intent).await,
                };
                layout.map(Self::Layout)
            }
            ImageReference::DockerArchive(reference) => {
                OciLayout::open_docker_archive(reference, intent).await.map(Self::Layout)
            }
        }
    }

    /// Reads a manifest of at most [`MANIFEST_SIZE_MAX`] bytes. Its digest, its media type and its
    /// form have been checked against each other.
    pub async fn manifest(&self, which: &Selector) -> Result<RawManifest, StoreError> {
        match self {
            Self::Registry(registry) => registry.manifest(which).await,
            Self::Layout(layout) => layout.manifest(which).await,
        }
    }

    /// The same for the manifest `expected` that was written before: a registry may need a while to
    /// show it, or go on showing another one under its tag. What is found last is returned.
    pub async fn manifest_soon(
        &self,
        which: &Selector,
        expected: &Digest,
    ) -> Result<RawManifest, StoreError> {
        match self {
            Self::Registry(registry) => registry.manifest_soon(which, expected).await,
            Self::Layout(layout) => layout.manifest(which).await,
        }
    }

    /// Reads something that is stored like a manifest, of any media type, at most
    /// [`MANIFEST_SIZE_MAX`] bytes. Its digest and its length have been checked, its form has not.
    pub(crate) async fn document(
        &self,
        blob: &BlobId,
        media_type: &str,
    ) -> Result<RawManifest, StoreError> {
        let bytes = match self {
            Self::Registry(registry) => registry.manifest_of_type(&blob.digest, media_type).await?,
            Self::Layout(_) => self.bytes(&blob.digest, blob.size, MANIFEST_SIZE_MAX).await?,
        };
        let (digest, media_type) = (blob.digest.clone(), media_type.to_owned());
        Ok(RawManifest { bytes, media_type, digest })
    }

    /// Opens a blob of `size` bytes to be streamed. The reader blocks, so it needs a thread of its
    /// own, and it works only as long as the tokio runtime of this call runs.
    pub async fn blob(&self, digest: &Digest, size: u64) -> Result<BlobReader, StoreError> {
        match self {
            Self::Registry(registry) => registry.blob(digest, size).await,
            Self::Layout(layout) => layout.blob(digest, size).await,
        }
    }

    /// Reads a whole blob of `size` bytes into memory, if that is at most `limit`.
    pub async fn bytes(&self, digest: &Digest, size: u64, limit: u64) -> Result<Bytes, StoreError> {
        if size > limit {
            let (what, place) = (blob_name(digest), self.place());
            return Err(StoreError::TooLarge { what, place, limit });
        }
        let reader = self.blob(digest, size).await?;
        read_all(reader, &self.place()).await
    }

    /// Whether the store has the blob with this digest and size in bytes.
    pub async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        match self {
            Self::Registry(registry) => registry.has_blob(digest, size).await,
            Self::Layout(layout) => layout.has_blob(digest, size).await,
        }
    }

    /// The same for a blob that was written before: a registry may need a while to show it, and has
    /// to serve it, not only to know of it.
    pub async fn has_blob_soon(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        match self {
            Self::Registry(registry) => registry.has_blob_soon(digest, size).await,
            Self::Layout(layout) => layout.has_blob(digest, size).await,
        }
    }

    /// Begins an upload before there is anything to upload. Fails if this may not push.
    pub(crate) async fn begin_upload(&self) -> Result<Option<UploadSession>, StoreError> {
        match self {
            Self::Registry(registry) => registry.begin_upload().await,
            Self::Layout(_) => Ok(None),
        }
    }

    pub async fn put_blob(
        &self,
        digest: &Digest,
        size: u64,
        content: BlobContent,
    ) -> Result<(), StoreError> {
        match self {
            Self::Registry(registry) => registry.put_blob(digest, size, content, None).await,
            Self::Layout(layout) => layout.put_blob(digest, size, content).await,
        }
    }

    /// Writes a small blob that the image `from` has too. If that is in the same registry, the blob
    /// may be mounted instead of sent.
    pub async fn copy_blob(
        &self,
        digest: &Digest,
        content: Bytes,
        from: &ImageReference,
    ) -> Result<(), StoreError> {
        let (size, content) = (content.len() as u64, BlobContent::Bytes(content));
        match self {
            Self::Registry(registry) => {
                let from = registry.neighbor(from);
                registry.put_blob(digest, size, content, from).await
            }
            Self::Layout(layout) => layout.put_blob(digest, size, content).await,
        }
    }

    /// Whether a blob that the image `from` has too, in the same registry, could be mounted.
    pub async fn mount(&self, digest: &Digest, from: &ImageReference) -> bool {
        match self {
            Self::Registry(registry) => registry.mount_blob(digest, from).await,
            Self::Layout(_) => false,
        }
    }

    /// A spool for a blob that is to be put here: within a layout, so that it need not be copied,
    /// otherwise in the directory for temporary files.
    pub(crate) fn spool(&self) -> std::io::Result<(SpoolWriter, BlobSpool)> {
        match self {
            Self::Registry(_) => BlobSpool::new(),
            Self::Layout(layout) => BlobSpool::to_be_kept(&layout.spool_dir()),
        }
    }

    pub(crate) fn spool_dir(&self) -> PathBuf {
        match self {
            Self::Registry(_) => tempfile::env::temp_dir(),
            Self::Layout(layout) => layout.spool_dir(),
        }
    }

    /// Writes a blob that may still be growing; the upload of a large one begins at once. Fails if
    /// the spool is abandoned. Returns whether the store had the blob already.
    pub async fn put_spool(&self, spool: BlobSpool) -> Result<bool, StoreError> {
        self.put_spool_into(spool, None).await
    }

    /// The same with an upload that was begun before.
    pub(crate) async fn put_spool_into(
        &self,
        spool: BlobSpool,
        session: Option<UploadSession>,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Registry(registry) => registry.put_spool(spool, session).await,
            Self::Layout(layout) => layout.put_spool(spool).await,
        }
    }

    /// Writes a manifest under `tag`, or under its digest alone. A layout lists in its
    /// `index.json` only what has a tag; without one the manifest can be read by digest.
    pub async fn put_manifest(
        &self,
        manifest: &RawManifest,
        tag: Option<&str>,
    ) -> Result<(), StoreError> {
        let checked = tag.map_or(Ok(()), |tag| match self {
            Self::Registry(_) => checked_tag(tag).map(drop),
            Self::Layout(_) => checked_ref_name(tag).map(drop),
        });
        checked.map_err(StoreError::Tag)?;
        match self {
            Self::Registry(registry) => registry.put_manifest(manifest, tag).await,
            Self::Layout(layout) => layout.put_manifest(manifest, tag).await,
        }
    }

    /// Shows what was put, if that is an archive: it is there as a whole or not at all. Nothing can be
    /// put after that.
    pub async fn complete(&self) -> Result<(), StoreError> {
        match self {
            Self::Registry(_) => Ok(()),
            Self::Layout(layout) => layout.complete().await,
        }
    }

    /// Lists the manifests whose `subject` is the given one. Nothing if the registry has no such
    /// API: then the index under the tag
    /// [`fallback_tag`](crate::image::referrer::fallback_tag) lists them.
    pub async fn referrers(&self, subject: &Digest) -> Result<Option<Referrers>, StoreError> {
        match self {
            Self::Registry(registry) => registry.referrers(subject).await,
            Self::Layout(layout) => layout.referrers(subject).await.map(Some),
        }
    }

    /// Like [`Store::manifest`], for a manifest that need not exist.
    pub(crate) async fn find_manifest(
        &self,
        which: &Selector,
    ) -> Result<Option<RawManifest>, StoreError> {
        match self.manifest(which).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(StoreError::NotFound { .. } | StoreError::Layout(LayoutError::NoImage { .. })) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a manifest that has a `subject`, under its digest. `referrer` describes it. Returns
    /// whether the store lists it among the referrers of its subject from now on; if not, an index
    /// under the tag [`fallback_tag`](crate::image::referrer::fallback_tag) has to.
    pub(crate) async fn put_referrer(
        &self,
        manifest: &RawManifest,
        referrer: &Descriptor,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Registry(registry) => registry.put_referrer(manifest).await,
            Self::Layout(layout) => layout.put_referrer(manifest, referrer).await.map(|()| true),
        }
    }

    /// What `reference`, by which this was opened, is read from: a mirror, perhaps.
    pub(crate) fn location(&self, reference: &ImageReference) -> ImageReference {
        match self {
            Self::Registry(registry) => ImageReference::Registry(registry.reference().clone()),
            Self::Layout(_) => reference.clone(),
        }
    }

    /// Whether it is a mirror only for what is asked for by digest: neither for tags, nor for lists.
    pub(crate) fn is_for_digests(&self) -> bool {
        matches!(self, Self::Registry(registry) if registry.is_for_digests())
    }

    /// The error for something that should be here.
    pub(crate) fn lacks(&self, what: String) -> StoreError {
        let is_local = matches!(self, Self::Layout(_));
        StoreError::NotFound { what, place: self.place(), is_local }
    }

    /// The store's name for messages.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Registry(registry) => registry.place(),
            Self::Layout(layout) => layout.place(),
        }
    }
}

/// Reads a small blob to its end, off the async threads.
async fn read_all(mut reader: BlobReader, place: &str) -> Result<Bytes, StoreError> {
    let (digest, reader) = (reader.digest().clone(), move || {
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut content).map(|_| content)
    });
    let result = tokio::task::spawn_blocking(reader)
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)));
    result.map(Bytes::from).map_err(|error| blob_error(error, &digest, place))
}
