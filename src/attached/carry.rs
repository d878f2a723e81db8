//! Copying an SBOM to the new image.

use bytes::Bytes;
use serde::Serialize;

use super::{Attached, AttachedKind, FoundIn, SbomFormat, Subject, Unfit, attach, rewrite};
use crate::{
    image::{BlobId, Digest, DocumentError, ImageReference},
    store::{RawManifest, Selector, Store, StoreError},
};

/// The most that is read of an SBOM, in bytes; those of large images have some tens of megabytes.
pub const SBOM_SIZE_MAX: u64 = 64 << 20;

/// An SBOM that is attached to the new image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CarriedSbom {
    pub format: SbomFormat,
    /// Of the document.
    pub digest: Digest,
    /// Length of the document in bytes.
    pub size: u64,
    /// Of the manifest that refers to the image.
    pub referrer: Digest,
    /// The tag that cosign looks for it under.
    pub tag: String,
    /// Of the manifest that is attached to the source.
    pub source: Digest,
}

impl CarriedSbom {
    /// The document's blob at the image's destination: `quay.io/org/app@sha256:…`, as Konflux has
    /// it in the result `SBOM_BLOB_URL`.
    pub fn blob_url(&self, destination: &ImageReference) -> String {
        format!("{}@{}", destination.place(), self.digest)
    }
}

/// Why an SBOM is not copied. The run goes on.
#[derive(Debug, thiserror::Error)]
enum LeftBehind {
    #[error("it cannot be read from the source: {}", .0.with_causes())]
    Store(StoreError),
    #[error("its manifest is {0}")]
    Manifest(DocumentError),
    #[error("its manifest has no document")]
    Empty,
    #[error("it refers to another image")]
    Subject,
    #[error("it cannot be rewritten: {0}")]
    Unfit(Unfit),
    #[error("unsupported type {0:?}; only SPDX and CycloneDX in JSON are copied")]
    Type(String),
    #[error("rewriting it was interrupted")]
    Interrupted,
}

/// Which SBOM is copied, if there are several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SbomChoice {
    /// The only one. Anyone who may push to the source can attach one, so if several differ, none
    /// is picked.
    Only,
    /// The one with this digest: of the document, or of the manifest that attaches it.
    Named(Digest),
}

/// An SBOM that is attached to the source.
struct SbomCandidate {
    /// Which of the things that were found.
    number: usize,
    /// The document, or why it is not known.
    document: Result<SbomDocument, LeftBehind>,
}

struct SbomDocument {
    blob: BlobId,
    media_type: String,
}

/// Copies the SBOM among `found` from `old`, the image that it is attached to in `source`, to
/// `new`, whose manifest `destination` has already: rewritten, and attached as an OCI referrer and
/// under cosign's tag; what is there already is not written again. Tells in `found` what was carried
/// and what not, and why. What is wrong with a document or with the source is such a reason; what
/// goes wrong at the destination is an error. Nothing is done if `new` has the digest of `old`.
pub async fn carry_sbom(
    source: &Store,
    destination: &Store,
    found: &mut [Attached],
    choice: &SbomChoice,
    old: &Subject,
    new: &Subject,
    manifest: &RawManifest,
) -> Result<Option<CarriedSbom>, StoreError> {
    if old.digest() == new.digest() {
        // It is attached there already.
        return Ok(None);
    }
    let candidates = chosen(candidates(source, found, old).await, found, choice);
    let Some(first) = candidates.first() else { return Ok(None) };
    let number = first.number;
    let rewritten = match &first.document {
        Ok(document) => {
            rewritten(source, document, old, new).await.map_err(|left| left.to_string())
        }
        Err(left) => Err(left.to_string()),
    };
    let Some(item) = found.get_mut(number) else { return Ok(None) };
    let (format, document) = match rewritten {
        Ok(rewritten) => rewritten,
        Err(reason) => {
            for candidate in &candidates {
                found[candidate.number].leave(reason.as_str());
            }
            return Ok(None);
        }
    };
    let sbom = attach::attach(destination, manifest, format, document).await?;
    item.carried = true;
    item.reason = None;
    let carried = CarriedSbom {
        format,
        digest: sbom.blob.digest,
        size: sbom.blob.size,
        referrer: sbom.referrer,
        tag: sbom.tag,
        source: item.digest.clone(),
    };
    for candidate in &candidates[1..] {
        found[candidate.number].leave("the same document was copied");
    }
    Ok(Some(carried))
}

/// The SBOMs that are attached to `old` and to nothing else.
async fn candidates(source: &Store, found: &mut [Attached], old: &Subject) -> Vec<SbomCandidate> {
    let mut candidates = Vec::new();
    for number in in_order(found) {
        match document(source, &found[number], old).await {
            Err(LeftBehind::Subject) => found[number].leave(LeftBehind::Subject.to_string()),
            document => candidates.push(SbomCandidate { number, document }),
        }
    }
    candidates
}

/// Those of which one is to be carried: all of the same document.
fn chosen(
    mut candidates: Vec<SbomCandidate>,
    found: &mut [Attached],
    choice: &SbomChoice,
) -> Vec<SbomCandidate> {
    // An unreadable document counts as a different one.
    let identity = |candidate: &SbomCandidate, found: &[Attached]| match &candidate.document {
        Ok(document) => document.blob.digest.clone(),
        Err(_) => found[candidate.number].digest.clone(),
    };
    match choice {
        SbomChoice::Only => {
            let mut documents: Vec<_> =
                candidates.iter().map(|candidate| identity(candidate, found)).collect();
            documents.sort_unstable();
            documents.dedup();
            let count = documents.len();
            if count > 1 {
                for candidate in candidates.drain(..) {
                    found[candidate.number].leave(format!(
                        "the image has {count} different SBOMs; name one with --sbom=DIGEST"
                    ));
                }
            }
        }
        SbomChoice::Named(digest) => candidates.retain(|candidate| {
            let item = &mut found[candidate.number];
            let is_it = item.digest == *digest
                || candidate.document.as_ref().is_ok_and(|it| it.blob.digest == *digest);
            if !is_it {
                item.leave("--sbom names another SBOM");
            }
            is_it
        }),
    }
    candidates
}

/// The SBOMs in the order in which they are tried, which is not that of the registry's answer: SPDX
/// first, what refers to the image before tags.
fn in_order(found: &[Attached]) -> Vec<usize> {
    let mut sboms: Vec<usize> =
        (0..found.len()).filter(|&number| found[number].kind == AttachedKind::Sbom).collect();
    sboms.sort_by_key(|&number| {
        let item = &found[number];
        let is_tag = matches!(item.found_in, FoundIn::Tag(_));
        (!item.media_type.contains("spdx"), is_tag, item.digest.clone())
    });
    sboms
}

/// Finds the document of an SBOM.
async fn document(
    source: &Store,
    item: &Attached,
    old: &Subject,
) -> Result<SbomDocument, LeftBehind> {
    let manifest = source.manifest(&Selector::Digest(item.digest.clone())).await;
    let artifact = manifest.map_err(LeftBehind::Store)?.manifest().map_err(LeftBehind::Manifest)?;
    let refers = artifact.subject.as_ref().is_some_and(|found| found.blob.digest == *old.digest());
    if !matches!(item.found_in, FoundIn::Tag(_)) && !refers {
        return Err(LeftBehind::Subject);
    }
    let layer = artifact.layers.first().ok_or(LeftBehind::Empty)?;
    Ok(SbomDocument { blob: layer.blob.clone(), media_type: layer.media_type.clone() })
}

/// Reads a document and rewrites it.
async fn rewritten(
    source: &Store,
    document: &SbomDocument,
    old: &Subject,
    new: &Subject,
) -> Result<(SbomFormat, Bytes), LeftBehind> {
    if !is_json(&document.media_type) {
        return Err(LeftBehind::Type(super::list::printable(&document.media_type)));
    }
    let BlobId { digest, size } = &document.blob;
    let document = source.bytes(digest, *size, SBOM_SIZE_MAX).await.map_err(LeftBehind::Store)?;
    let (old, new) = (old.clone(), new.clone());
    let work = move || rewrite(&document, &old, &new);
    let rewritten = tokio::task::spawn_blocking(work).await.map_err(|_| LeftBehind::Interrupted)?;
    let (format, text) = rewritten.map_err(LeftBehind::Unfit)?;
    Ok((format, text.into()))
}

/// Types of SBOMs in JSON. Some name no encoding; then the document decides.
fn is_json(media_type: &str) -> bool {
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/json" | "text/spdx" | "application/spdx" | "application/vnd.cyclonedx" => true,
        other => (other.contains("spdx") || other.contains("cyclonedx")) && other.ends_with("json"),
    }
}
