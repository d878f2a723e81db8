//! Where images live: registries and OCI image layouts, behind one door.
//!
//! A [`Store`] is one repository or one layout, opened to pull or to push. Everything that comes
//! out of it has been checked: manifests and small blobs before they are handed out, a blob that
//! is streamed by its [`BlobReader`] at the end of the stream.

mod blob;
mod error;
mod manifest;
mod oci_layout;
mod referrers;
mod registry;
mod secrets;
mod spool;

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;

pub use blob::{BlobContent, BlobMismatch, BlobReader, CopyError};
pub use error::{CredentialOrigin, Refusal, StoreError, Tried, Unreachable};
pub use manifest::{MANIFEST_SIZE_MAX, RawManifest};
pub use oci_layout::{LayoutError, OciLayout};
pub use referrers::Referrers;
pub use registry::{
    AuthError, RangeAnswer, RangeContent, RangePart, Repository, uploads_cancelled,
};
pub use secrets::mask;
pub use spool::{BlobSpool, SpoolWriter};

use crate::image::{
    BlobId, Digest, ImageReference,
    reference::{checked_ref_name, checked_tag},
};

/// What a store is opened for. In a registry this decides the scope of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Reading only.
    Pull,
    /// Reading and writing.
    Push,
}

/// How registries are accessed. Layouts need none of it.
#[derive(Clone, Debug)]
pub struct AccessOptions {
    /// The only file to look for credentials in; without it the usual ones are searched
    /// (containers-auth.json(5)).
    pub authfile: Option<PathBuf>,
    /// Whether HTTPS and a certificate that can be verified are required. Without it any
    /// certificate will do, and plain HTTP too where the registry speaks nothing else.
    pub tls_verify: bool,
    /// A PEM file with certificate authorities to trust besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// Whether `ca_file` may be missing or empty.
    pub ca_file_optional: bool,
    /// The only folder to look for certificates of the registry in; without it the usual ones are
    /// searched (containers-certs.d(5)).
    pub cert_dir: Option<PathBuf>,
    /// How long to bear with a registry in trouble.
    pub patience: Patience,
}

/// How long to bear with a registry in trouble.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How often a request is tried, and a transfer that comes no further; at least 1.
    pub tries: u32,
    /// The bound of the wait after the first failure. It doubles with each further one.
    pub first_delay: Duration,
    /// A connection on which nothing moves for so long is dead.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: 6, first_delay: Duration::from_secs(1), idle: Duration::from_secs(120) }
    }
}

impl Default for AccessOptions {
    fn default() -> Self {
        Self {
            authfile: None,
            tls_verify: true,
            ca_file: None,
            ca_file_optional: false,
            cert_dir: None,
            patience: Patience::default(),
        }
    }
}

/// Which manifest of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// The one with this digest.
    Digest(Digest),
    /// The one that this tag names now.
    Tag(String),
    /// The only one that a layout lists. A registry does not have that.
    Only,
}

impl Selector {
    /// What `reference` selects: its digest, else its tag, else the only image there is.
    pub fn of(reference: &ImageReference) -> Self {
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Self::Digest(digest.clone()),
            (None, Some(tag)) => Self::Tag(tag.to_owned()),
            (None, None) => Self::Only,
        }
    }
}

/// A repository of a registry, or a layout on disk.
#[derive(Debug)]
pub enum Store {
    /// A repository.
    Registry(Arc<Repository>),
    /// A layout.
    Layout(OciLayout),
}

impl Store {
    /// Opens the store that `reference` points into. For a registry this looks up credentials and
    /// asks for a token, so that a wrong password is told before any work is done. For a layout
    /// that is to be pushed to, the directory is created.
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
                OciLayout::open(reference.dir(), intent).await.map(Self::Layout)
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

    /// Reads something that is kept like a manifest, of whatever media type, at most
    /// [`MANIFEST_SIZE_MAX`] bytes. Its digest and its length have been checked, its form has not.
    pub async fn document(
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

    /// Opens a blob of `size` bytes to be streamed. The reader blocks, so it is for a thread of its
    /// own, and it works only as long as the tokio runtime that this was called on runs.
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

    /// Writes a small blob that the image `from` has too. If that is in the same registry, nothing
    /// needs to be sent.
    pub async fn copy_blob(
        &self,
        digest: &Digest,
        content: Bytes,
        from: &ImageReference,
    ) -> Result<(), StoreError> {
        let (size, content) = (content.len() as u64, BlobContent::Bytes(content));
        match self {
            Self::Registry(registry) => {
                let from = registry.neighbour(from);
                registry.put_blob(digest, size, content, from).await
            }
            Self::Layout(layout) => layout.put_blob(digest, size, content).await,
        }
    }

    /// Whether a blob that the image `from` has too, in the same registry, could be taken from
    /// there.
    pub async fn mount(&self, digest: &Digest, from: &ImageReference) -> bool {
        match self {
            Self::Registry(registry) => registry.mount_blob(digest, from).await,
            Self::Layout(_) => false,
        }
    }

    /// A spool for a blob that is to be put here: within a layout, which need not copy it then,
    /// else in the folder for temporary files.
    pub fn spool(&self) -> std::io::Result<(SpoolWriter, BlobSpool)> {
        match self {
            Self::Registry(_) => BlobSpool::new(),
            Self::Layout(layout) => BlobSpool::to_be_kept(&layout.spool_dir()),
        }
    }

    /// Where that spool is.
    pub fn spool_dir(&self) -> PathBuf {
        match self {
            Self::Registry(_) => std::env::temp_dir(),
            Self::Layout(layout) => layout.spool_dir(),
        }
    }

    /// Writes a blob that may still be growing; the upload of a large one begins at once. It ends
    /// when the spool is finished, and fails if that is abandoned. Returns whether the store had
    /// the blob already.
    pub async fn put_spool(&self, spool: BlobSpool) -> Result<bool, StoreError> {
        match self {
            Self::Registry(registry) => registry.put_spool(spool).await,
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
            Self::Registry(registry) => registry.put_manifest(manifest, tag).await.map(drop),
            Self::Layout(layout) => layout.put_manifest(manifest, tag).await,
        }
    }

    /// The store's name for messages.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Registry(registry) => registry.place().to_owned(),
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

/// Tells what went wrong while a blob was read.
fn blob_error(error: std::io::Error, digest: &Digest, place: &str) -> StoreError {
    let (what, place) = (blob_name(digest), place.to_owned());
    match BlobMismatch::of(&error).cloned() {
        Some(BlobMismatch::Digest { expected, actual }) => {
            StoreError::DigestMismatch { what, place, expected, actual }
        }
        Some(BlobMismatch::TooShort { expected, actual, .. }) => {
            StoreError::SizeMismatch { what, place, expected, actual: format!("{actual} bytes") }
        }
        Some(BlobMismatch::TooLong { expected, .. }) => {
            StoreError::SizeMismatch { what, place, expected, actual: "more".to_owned() }
        }
        None => StoreError::Read { what, place, source: error },
    }
}

/// A blob's name for messages.
fn blob_name(digest: &Digest) -> String {
    format!("blob {digest}")
}
