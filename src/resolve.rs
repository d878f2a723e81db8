//! The digest that a reference leads to now: for people who need it, and for a conversion of what a tag
//! names. It is always that of bytes that were received.

use serde::{Serialize, Serializer};

use crate::{
    image::{Descriptor, Digest, EntryKind, ImageReference, Platform},
    source::{Source, SourceError},
    store::{AccessOptions, RawManifest},
};

/// An image that was found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Resolved {
    /// As it was given, with the digest; without the tag of an index of which it is one image.
    #[serde(serialize_with = "text")]
    pub(crate) reference: ImageReference,
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    /// Of the manifest or index, in bytes.
    pub(crate) size: u64,
    /// The images of an index, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) platforms: Vec<ListedImage>,
}

/// One manifest of an index.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ListedImage {
    /// `OS/ARCH[/VARIANT]`; nothing for attestations and the like.
    pub(crate) platform: Option<String>,
    /// Of the manifest.
    pub(crate) digest: Digest,
    /// Of the manifest.
    pub(crate) media_type: String,
    /// Marked as having zstd layers (`io.github.containers.compression.zstd`).
    pub(crate) marked_zstd: bool,
}

impl ListedImage {
    pub(crate) fn new(entry: &Descriptor) -> Self {
        Self {
            platform: entry.platform().map(Platform::to_string),
            digest: entry.blob.digest.clone(),
            media_type: entry.media_type.clone(),
            marked_zstd: entry.is_marked(),
        }
    }
}

/// Reads what `image` leads to, or the image for `platform` in that.
pub(crate) async fn resolve(
    image: &ImageReference,
    platform: Option<&Platform>,
    access: &AccessOptions,
) -> Result<Resolved, SourceError> {
    let source = Source::open(image, access).await?;
    let mut raw = source.root().await?;
    let mut image = image.clone();
    if platform.is_some() {
        let chosen = source.choose(raw.clone(), platform).await?.raw;
        if chosen.digest != raw.digest {
            // The tag names the index, and what is derived from it would be the same for all images.
            image = image.without_tag();
        }
        raw = chosen;
    }
    let platforms = if raw.is_index() { platforms(&source, &raw)? } else { Vec::new() };
    let size = raw.size();
    let RawManifest { digest, media_type, .. } = raw;
    Ok(Resolved { reference: image.with_digest(&digest), digest, media_type, size, platforms })
}

fn platforms(source: &Source, raw: &RawManifest) -> Result<Vec<ListedImage>, SourceError> {
    let index = source.index(raw)?;
    let images = index.entries().filter(|entry| entry.entry_kind() == EntryKind::Manifest);
    Ok(images.map(ListedImage::new).collect())
}

fn text<S: Serializer>(reference: &ImageReference, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(reference)
}
