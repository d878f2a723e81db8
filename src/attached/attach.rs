//! Attaching a document to an image, in both ways that clients look for it.

use bytes::Bytes;

use super::SbomFormat;
use crate::{
    image::{
        BlobId, Descriptor, Digest, DocumentError, Index,
        artifact::{self, ArtifactBlob, EMPTY_CONFIG, SubjectManifest},
        media_type::{OCI_INDEX, OCI_MANIFEST},
        referrer::fallback_tag,
    },
    store::{BlobContent, RawManifest, Selector, Store, StoreError},
};

/// How often the index of what refers to the image is written, when others write it too.
const TRIES: u32 = 5;

/// What was attached.
pub(super) struct AttachedDocument {
    pub(super) blob: BlobId,
    /// Of the manifest that refers to the image.
    pub(super) referrer: Digest,
    /// cosign's.
    pub(super) tag: String,
}

/// Attaches `document` to the image with `manifest`, and reads it back. What is there already stays
/// as it is.
pub(super) async fn attach(
    store: &Store,
    manifest: &RawManifest,
    format: SbomFormat,
    document: Bytes,
) -> Result<AttachedDocument, StoreError> {
    let blob = put_blob(store, document).await?;
    put_blob(store, Bytes::from_static(EMPTY_CONFIG)).await?;
    let referrer = refer(store, manifest, format, &blob).await?;
    let tag = tag(store, manifest, format, &blob).await?;
    Ok(AttachedDocument { blob, referrer, tag })
}

/// Has a manifest refer to the image (distribution-spec, "Pushing Manifests with Subject").
async fn refer(
    store: &Store,
    manifest: &RawManifest,
    format: SbomFormat,
    blob: &BlobId,
) -> Result<Digest, StoreError> {
    let document =
        ArtifactBlob { blob, media_type: format.media_type(), file_name: format.file_name() };
    let subject = SubjectManifest {
        media_type: &manifest.media_type,
        digest: &manifest.digest,
        size: manifest.bytes.len() as u64,
    };
    let referring = RawManifest::new(artifact::referring(&document, &subject), OCI_MANIFEST);
    let at = BlobId { digest: referring.digest.clone(), size: referring.size() };
    let mut entry = Descriptor::new(OCI_MANIFEST, at);
    entry.set_artifact_type(format.media_type());
    // A registry that gives no list may take the manifest nevertheless.
    let listed = store.referrers(&manifest.digest).await.unwrap_or_else(|error| {
        tracing::debug!("cannot list what refers to the new image: {error}");
        None
    });
    let is_listed = listed
        .is_some_and(|all| all.list.iter().any(|other| other.blob.digest == entry.blob.digest));
    let by_digest = Selector::Digest(referring.digest.clone());
    if !is_listed {
        let has_it = store.find_manifest(&by_digest).await?.is_some();
        let is_in_index = has_it && is_in_index(store, manifest, &entry).await?;
        if !is_in_index && !store.put_referrer(&referring, &entry).await? {
            list_in_index(store, manifest, &entry).await?;
        }
    }
    store.manifest_soon(&by_digest, &referring.digest).await?;
    Ok(referring.digest)
}

/// The index that stands in for the referrers API (distribution-spec, "Referrers Tag Schema").
async fn index(store: &Store, manifest: &RawManifest) -> Result<Option<RawManifest>, StoreError> {
    store.find_manifest(&Selector::Tag(fallback_tag(&manifest.digest))).await
}

async fn is_in_index(
    store: &Store,
    manifest: &RawManifest,
    entry: &Descriptor,
) -> Result<bool, StoreError> {
    let Some(index) = index(store, manifest).await? else { return Ok(false) };
    Ok(Index::parse_list(&index.bytes).is_ok_and(|index| index.find(&entry.blob.digest).is_some()))
}

/// Adds an entry to the index. Somebody who writes it at the same time may undo that, so it is
/// looked at again.
async fn list_in_index(
    store: &Store,
    manifest: &RawManifest,
    entry: &Descriptor,
) -> Result<(), StoreError> {
    let tag = fallback_tag(&manifest.digest);
    for _ in 0..TRIES {
        let before = index(store, manifest).await?;
        let unfit = |reason| StoreError::Manifest {
            what: format!("tag {tag}"),
            place: store.place(),
            reason,
        };
        let mut after = match &before {
            Some(index) if index.media_type != OCI_INDEX => {
                return Err(unfit(DocumentError::Shape(OCI_INDEX.to_owned())));
            }
            Some(index) => Index::parse_list(&index.bytes).map_err(unfit)?,
            None => Index::new(),
        };
        if !after.add(entry.clone()) {
            return Ok(());
        }
        let after = RawManifest::new(after.to_json(), OCI_INDEX);
        store.put_manifest(&after, Some(&tag)).await?;
        // What is found is judged in the next round.
        let _ = store.manifest_soon(&Selector::Tag(tag.clone()), &after.digest).await;
    }
    if is_in_index(store, manifest, entry).await? {
        return Ok(());
    }
    Err(store.lacks(format!("{} under the tag {tag}", entry.blob.digest)))
}

/// Puts the document under the tag that cosign makes of the image's digest.
async fn tag(
    store: &Store,
    manifest: &RawManifest,
    format: SbomFormat,
    blob: &BlobId,
) -> Result<String, StoreError> {
    let tag = format!("{}-{}.sbom", manifest.digest.algorithm().as_str(), manifest.digest.hex());
    let (config, cosign) = artifact::cosign_sbom(blob, format.cosign_media_type());
    let cosign = RawManifest::new(cosign, OCI_MANIFEST);
    let selector = Selector::Tag(tag.clone());
    if store.find_manifest(&selector).await?.is_some_and(|there| there.bytes == cosign.bytes) {
        return Ok(tag);
    }
    put_blob(store, config.into()).await?;
    store.put_manifest(&cosign, Some(&tag)).await?;
    let found = store.manifest_soon(&selector, &cosign.digest).await?;
    if found.bytes == cosign.bytes {
        return Ok(tag);
    }
    let (what, place) = (format!("tag {tag}"), store.place());
    Err(StoreError::DigestMismatch { what, place, expected: cosign.digest, actual: found.digest })
}

async fn put_blob(store: &Store, content: Bytes) -> Result<BlobId, StoreError> {
    let blob = BlobId { digest: Digest::sha256_of(&content), size: content.len() as u64 };
    if !store.has_blob(&blob.digest, blob.size).await? {
        store.put_blob(&blob.digest, blob.size, BlobContent::Bytes(content)).await?;
    }
    if store.has_blob(&blob.digest, blob.size).await? {
        return Ok(blob);
    }
    Err(store.lacks(format!("blob {}", blob.digest)))
}
