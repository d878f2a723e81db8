//! Manifests as raw bytes.

use bytes::Bytes;

use crate::image::{
    BlobId, Digest, DocumentError, Index, Manifest, document_type,
    media_type::{DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST},
};

/// The largest manifest that is read, in bytes: what a registry has to accept at least
/// (distribution-spec, "Pushing manifests"), and the limit of containers/image and containerd.
pub const MANIFEST_SIZE_MAX: u64 = 4 << 20;

/// The media types that are requested, the preferred ones first.
pub(super) const ACCEPTED: [&str; 4] =
    [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST];

/// A manifest or an index, byte for byte as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    /// A JSON object of the form that `media_type` promises, unless it was read as a document of an
    /// unknown type.
    pub bytes: Bytes,
    /// One of the OCI manifest, OCI index, Docker manifest and Docker manifest list types, unless it
    /// was read as a document of another type.
    pub media_type: String,
    pub digest: Digest,
}

impl RawManifest {
    /// A manifest that was made here.
    pub fn new(bytes: impl Into<Bytes>, media_type: &str) -> Self {
        let bytes = bytes.into();
        let digest = Digest::sha256_of(&bytes);
        Self { bytes, media_type: media_type.to_owned(), digest }
    }

    /// Whether it lists several images and is not one itself.
    pub fn is_index(&self) -> bool {
        matches!(self.media_type.as_str(), OCI_INDEX | DOCKER_MANIFEST_LIST)
    }

    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn id(&self) -> BlobId {
        BlobId { digest: self.digest.clone(), size: self.size() }
    }

    /// Reads it as the manifest of one image or artifact.
    pub fn manifest(&self) -> Result<Manifest, DocumentError> {
        if self.is_index() { Err(DocumentError::Index) } else { Manifest::parse(&self.bytes) }
    }

    pub fn index(&self) -> Result<Index, DocumentError> {
        if self.is_index() {
            Index::parse(&self.bytes)
        } else {
            Err(DocumentError::Shape(OCI_INDEX.to_owned()))
        }
    }

    /// A manifest that was read, and whose bytes have been found to have `digest`. `announced` is
    /// the type that came with it.
    pub(super) fn checked(
        bytes: Bytes,
        announced: Option<&str>,
        digest: Digest,
    ) -> Result<Self, DocumentError> {
        let media_type = document_type(&bytes, announced)?;
        Ok(Self { bytes, media_type, digest })
    }
}
