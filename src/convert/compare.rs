//! The last check before something is published: each descriptor in a new manifest or index is
//! compared, field by field, with what was computed or checked. It reads the bytes that are about to
//! be published, and shares nothing with the code that made them.

use crate::{
    image::{
        BlobId, Descriptor, DocumentError, Index, Manifest,
        annotations::{Annotations, ZSTD_MARK, is_of_the_bytes},
        media_type::{Family, ImpossibleLayer, LayerType, Suffix},
    },
    report::{LayerKind, LayerReport},
    source::SourceImage,
};

/// What a descriptor has to contain.
struct Expected<'a> {
    media_type: &'a str,
    blob: &'a BlobId,
    annotations: Annotations,
    /// The one that it was made from: inlined content and other places to fetch it from are taken over
    /// only if the content is the same.
    old: &'a Descriptor,
}

/// Adds each difference to `differences`.
fn compare(what: &str, found: &Descriptor, expected: &Expected<'_>, differences: &mut Vec<String>) {
    let Expected { media_type, blob, annotations, old } = expected;
    let mut differ = |field: &str, found: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug| {
        differences.push(format!("{what}: {field} is {found:?}, expected {expected:?}"));
    };
    if found.media_type != *media_type {
        differ("mediaType", &found.media_type, media_type);
    }
    if found.blob.digest != blob.digest {
        differ("digest", &found.blob.digest, &blob.digest);
    }
    if found.blob.size != blob.size {
        differ("size", &found.blob.size, &blob.size);
    }
    if found.annotations != *annotations {
        differ("annotations", &found.annotations, annotations);
    }
    let same = old.blob.digest == blob.digest;
    let urls: &[String] = if same { &old.urls } else { &[] };
    if found.urls != urls {
        differ("urls", &found.urls, &urls);
    }
    let data = old.object().raw("data").filter(|_| same);
    if found.object().raw("data") != data {
        differ("data", &found.object().has("data"), &data.is_some());
    }
    if found.artifact_type != old.artifact_type {
        differ("artifactType", &found.artifact_type, &old.artifact_type);
    }
    if found.object().raw("platform") != old.object().raw("platform") {
        let (found, old) = (found.object().raw("platform"), old.object().raw("platform"));
        differ("platform", &found, &old);
    }
}

/// What differs between a new manifest and what was made of the layers of `image`.
pub(super) fn manifest(
    bytes: &[u8],
    image: &SourceImage,
    family: Family,
    layers: &[LayerReport],
) -> Result<Vec<String>, DocumentError> {
    let (made, mut differences) = (Manifest::parse(bytes)?, Vec::new());
    let old = &image.manifest;
    let expected = Expected {
        media_type: family.config(),
        blob: &old.config.blob,
        annotations: old.config.annotations.clone(),
        old: &old.config,
    };
    compare("config", &made.config, &expected, &mut differences);
    if made.layers.len() != layers.len() || old.layers.len() != layers.len() {
        differences.push(format!("{} layers, expected {}", made.layers.len(), layers.len()));
    }
    for (index, ((found, old), layer)) in
        made.layers.iter().zip(&old.layers).zip(layers).enumerate()
    {
        let blob = BlobId { digest: layer.digest.clone(), size: layer.size };
        let expected = Expected {
            media_type: layer_media_type(old, family, layer)?,
            blob: &blob,
            annotations: layer_annotations(old, layer),
            old,
        };
        compare(&format!("layer {}", index + 1), found, &expected, &mut differences);
    }
    if made.subject.is_some() {
        differences.push("subject: expected none".to_owned());
    }
    let pointers = made.annotations.keys().filter(|key| is_of_the_bytes(key));
    differences.extend(pointers.map(|key| format!("annotation {key}: expected none")));
    Ok(differences)
}

fn layer_media_type(
    old: &Descriptor,
    family: Family,
    layer: &LayerReport,
) -> Result<&'static str, ImpossibleLayer> {
    let old = LayerType::parse(&old.media_type);
    let distributable = old.is_none_or(|old| old.distributable);
    let suffix = match layer.kind {
        LayerKind::ZstdChunked | LayerKind::Zstd => Suffix::Zstd,
        LayerKind::Gzip => Suffix::Gzip,
        LayerKind::Foreign => old.map_or(Suffix::None, |old| old.suffix),
    };
    family.layer(LayerType { distributable, suffix })
}

fn layer_annotations(old: &Descriptor, layer: &LayerReport) -> Annotations {
    let mut annotations = old.annotations.clone();
    if layer.kind != LayerKind::Foreign {
        annotations.retain(|key, _| !is_of_the_bytes(key));
    }
    if let Some(outline) = &layer.outline {
        let ours = outline.annotations.to_pairs();
        annotations.extend(ours.map(|(key, value)| (key.to_owned(), value)));
    }
    annotations
}

/// What an entry of a new index has to name.
pub(super) struct ExpectedEntry<'a> {
    /// Media type and content of the manifest, as it is at the destination.
    pub(super) media_type: &'a str,
    pub(super) blob: BlobId,
    /// The entry that this one was made from, or is.
    pub(super) old: &'a Descriptor,
    /// Whether it is to be marked as one with zstd layers; `None` leaves that to `old`.
    pub(super) marked: Option<bool>,
    /// It is the same manifest as that of `old`.
    pub(super) kept: bool,
}

/// What differs between a new index and what it has to list.
pub(super) fn index(
    bytes: &[u8],
    expected: &[ExpectedEntry<'_>],
) -> Result<Vec<String>, DocumentError> {
    let (made, mut differences) = (Index::parse(bytes)?, Vec::new());
    let count = made.entries().count();
    if count != expected.len() {
        differences.push(format!("{count} entries, expected {}", expected.len()));
    }
    for (index, (found, entry)) in made.entries().zip(expected).enumerate() {
        let mut annotations = entry.old.annotations.clone();
        if !entry.kept {
            annotations.retain(|key, _| !is_of_the_bytes(key));
        }
        if let Some(marked) = entry.marked {
            annotations.remove(ZSTD_MARK);
            annotations.extend(marked.then(|| (ZSTD_MARK.to_owned(), "true".to_owned())));
        }
        let expected = Expected {
            media_type: entry.media_type,
            blob: &entry.blob,
            annotations,
            old: entry.old,
        };
        compare(&format!("entry {}", index + 1), found, &expected, &mut differences);
    }
    Ok(differences)
}
