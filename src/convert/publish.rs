//! The last steps: configs, manifests, index, tag, and a look at what the destination has made of
//! them.

use super::{
    ConvertError, Job, copy,
    format::Format,
    layers::Layers,
    plan::{Plan, Slot, SourceImage, Variant},
};
use crate::{
    image::{
        index::Entry,
        manifest::{Descriptor, NewLayer},
        media_type::{OCI_INDEX, Suffix},
    },
    report::{ImageReport, LayerKind, LayerReport, ManifestReport},
    store::{RawManifest, Selector, Store},
};

/// Annotation on what is made: digest of the manifest or index that it was made from.
pub(super) const SOURCE_DIGEST: &str = "io.github.recompress-image.source-digest";

/// Annotation on a manifest: how its layers are compressed, with the level.
pub(super) const FORMAT: &str = "io.github.recompress-image.format";

/// Annotation on a manifest that makes Quay remove its tag after a while, as the label of the same
/// name on an image does (quay/quay, `image/oci/manifest.py`).
const EXPIRES_AFTER: &str = "quay.expires-after";

/// What has been published.
pub(super) struct Published {
    /// What the tag names.
    pub(super) image: ImageReport,
    /// The index, entry by entry.
    pub(super) manifests: Vec<ManifestReport>,
}

/// Puts the manifest of each variant of the plan there, under no tag.
pub(super) async fn variants(
    job: &Job,
    plan: &Plan,
    destination: &Store,
    layers: &Layers,
) -> Result<Vec<RawManifest>, ConvertError> {
    let failed = |error| ConvertError::Destination { reference: job.destination.clone(), error };
    let mut variants = Vec::new();
    for (variant, layers) in plan.variants.iter().zip(&layers.of_variant) {
        let image = plan.image_of(*variant);
        let Descriptor { digest, size } = image.manifest.config();
        if !destination.has_blob(digest, *size).await.map_err(failed)? {
            let config = image.config.clone();
            destination.copy_blob(digest, config, &job.source).await.map_err(failed)?;
        }
        let manifest = manifest(job, image, *variant, layers)?;
        destination.put_manifest(&manifest, None).await.map_err(failed)?;
        variants.push(manifest);
    }
    Ok(variants)
}

/// Puts the index there, where there is one to be made, and the tag; and reads everything back.
pub(super) async fn publish(
    job: &Job,
    plan: &Plan,
    source: &Store,
    destination: &Store,
    variants: &[RawManifest],
    layers: &Layers,
) -> Result<Published, ConvertError> {
    let failed = |error| ConvertError::Destination { reference: job.destination.clone(), error };
    let mut manifests = Vec::new();
    let tagged = match &plan.index {
        None => variants.first().cloned(),
        Some(index) => {
            let mut entries = Vec::new();
            for slot in &index.slots {
                let entry = match slot {
                    Slot::Kept { entry, manifest, format } => {
                        copy::copy(job, source, destination, manifest).await?;
                        manifests.push(kept(entry, manifest, *format));
                        entry.clone()
                    }
                    Slot::Made { variant, entry } => {
                        let (raw, of) = (&variants[*variant], plan.variants[*variant]);
                        let at =
                            Descriptor { digest: raw.digest.clone(), size: raw.bytes.len() as u64 };
                        manifests.push(made(plan, of, raw, &layers.of_variant[*variant], entry));
                        entry.for_variant(&raw.media_type, &at, of.format.is_zstd())
                    }
                };
                entries.push(entry);
            }
            let annotations = [(SOURCE_DIGEST, plan.digest.to_string())];
            let bytes = index.document.clone().with_entries(&entries, &annotations);
            let bytes = bytes
                .map_err(|error| ConvertError::Unfit { reference: job.source.clone(), error })?;
            let raw = RawManifest::new(bytes, OCI_INDEX);
            destination.put_manifest(&raw, None).await.map_err(failed)?;
            Some(raw)
        }
    };
    let tagged = tagged.ok_or_else(|| ConvertError::Internal("nothing was made".into()))?;
    destination.put_manifest(&tagged, job.destination.tag()).await.map_err(failed)?;
    read_back(job, plan, destination, &tagged, variants).await?;
    Ok(Published {
        image: ImageReport {
            url: job.destination.to_string(),
            reference: format!("{}@{}", job.destination, tagged.digest),
            digest: tagged.digest,
            media_type: tagged.media_type,
        },
        manifests,
    })
}

/// What a layer's blob depends on besides its tar.
pub(super) fn recipe(job: &Job, format: Format) -> String {
    match format {
        Format::Gzip => format!("gzip level {}", job.gzip_level),
        Format::Zstd | Format::ZstdChunked => format!("{format} level {}", job.zstd.level),
    }
}

fn kept(entry: &Entry, manifest: &RawManifest, format: Option<Format>) -> ManifestReport {
    ManifestReport {
        platform: entry.platform().map(|platform| platform.to_string()),
        format: format.map(Format::as_str),
        digest: manifest.digest.clone(),
        size: manifest.bytes.len() as u64,
        made: false,
        source_digest: None,
        config_digest: None,
        layers: Vec::new(),
    }
}

fn made(
    plan: &Plan,
    variant: Variant,
    manifest: &RawManifest,
    layers: &[LayerReport],
    entry: &Entry,
) -> ManifestReport {
    let image = plan.image_of(variant);
    ManifestReport {
        format: Some(variant.format.as_str()),
        made: true,
        source_digest: Some(image.digest.clone()),
        config_digest: Some(image.manifest.config().digest.clone()),
        layers: layers.to_vec(),
        ..kept(entry, manifest, None)
    }
}

fn manifest(
    job: &Job,
    image: &SourceImage,
    variant: Variant,
    layers: &[LayerReport],
) -> Result<RawManifest, ConvertError> {
    let blobs: Vec<Option<NewLayer>> = layers
        .iter()
        .map(|layer| {
            (layer.kind != LayerKind::Foreign).then(|| NewLayer {
                blob: Descriptor { digest: layer.digest.clone(), size: layer.size },
                suffix: if layer.kind == LayerKind::Gzip { Suffix::Gzip } else { Suffix::Zstd },
                annotations: match &layer.outline {
                    Some(outline) => outline.annotations.to_pairs().to_vec(),
                    None => Vec::new(),
                },
            })
        })
        .collect();
    let mut annotations =
        vec![(SOURCE_DIGEST, image.digest.to_string()), (FORMAT, recipe(job, variant.format))];
    if let Some(period) = &job.expires_after {
        annotations.push((EXPIRES_AFTER, period.clone()));
    }
    let bytes = image
        .manifest
        .clone()
        .with_layers(job.family, &blobs, &annotations)
        .map_err(|error| ConvertError::Unfit { reference: job.source.clone(), error })?;
    Ok(RawManifest::new(bytes, job.family.manifest()))
}

/// The destination has the tag, each manifest and each blob, or the run has failed.
async fn read_back(
    job: &Job,
    plan: &Plan,
    destination: &Store,
    tagged: &RawManifest,
    variants: &[RawManifest],
) -> Result<(), ConvertError> {
    let failed = |error| ConvertError::Destination { reference: job.destination.clone(), error };
    let found = destination.manifest(&Selector::of(&job.destination)).await.map_err(failed)?;
    if found.bytes != tagged.bytes {
        return Err(ConvertError::ReadBack {
            reference: job.destination.clone(),
            pushed: tagged.digest.clone(),
            found: found.digest,
        });
    }
    let slots = plan.index.iter().flat_map(|index| &index.slots);
    let kept = slots.filter_map(|slot| match slot {
        Slot::Kept { manifest, .. } => Some(manifest),
        Slot::Made { .. } => None,
    });
    let indexes = plan.index.as_ref().map(|_| tagged);
    for manifest in variants.iter().chain(kept).chain(indexes) {
        let by_digest = Selector::Digest(manifest.digest.clone());
        destination.manifest(&by_digest).await.map_err(failed)?;
        if manifest.is_index() {
            continue;
        }
        if let Some(digest) = copy::missing(job, destination, manifest).await? {
            return Err(ConvertError::Lost { reference: job.destination.clone(), digest });
        }
    }
    Ok(())
}
