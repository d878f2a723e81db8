//! The manifests of variants, and whether registries accept what is to be published.

use super::{
    ConvertError, ConvertJob, Run, compare,
    format::Format,
    markers,
    plan::{Plan, PlannedImage, Variant},
};
use crate::{
    chunked::{annotations::ChunkedAnnotations, footer::Position},
    image::{BlobId, Digest, annotations::EXPIRES_AFTER, manifest::NewLayer, media_type::Suffix},
    report::{LayerKind, LayerReport},
    store::{MANIFEST_SIZE_MAX, RawManifest},
};

/// A document that was made, and the annotations and fields of the old one that had to go.
pub(super) struct NewDocument {
    pub(super) raw: RawManifest,
    pub(super) removed: Vec<String>,
}

/// Fails before the work if what is to be published may be more than registries accept.
pub(super) fn check_sizes(job: &ConvertJob, plan: &Plan) -> Result<(), ConvertError> {
    let check = |what, bytes: usize| match bytes as u64 {
        bytes if bytes > MANIFEST_SIZE_MAX => Err(ConvertError::ManifestTooLarge { what, bytes }),
        _ => Ok(()),
    };
    let position = Position { offset: u64::MAX, len: u64::MAX, raw_len: u64::MAX };
    let digest = Digest::sha256_of(b"");
    let blob = BlobId { digest: digest.clone(), size: u64::MAX >> 1 };
    let annotations = ChunkedAnnotations { toc_digest: digest, toc: position, tar_split: position };
    for variant in &plan.variants {
        let largest = NewLayer {
            blob: blob.clone(),
            suffix: variant.format.suffix(),
            annotations: match variant.format {
                Format::ZstdChunked => annotations.to_pairs().to_vec(),
                Format::Zstd | Format::Gzip => Vec::new(),
            },
        };
        let image = plan.image_of(*variant);
        let layers = image.layers.iter().map(|layer| (!layer.foreign).then(|| largest.clone()));
        let layers: Vec<_> = layers.collect();
        check("manifest", make(job, image, variant.format, &layers, true)?.0.len())?;
    }
    if let Some(index) = &plan.index {
        let entries = index.slots.iter().map(|slot| plan.draft(slot, &blob));
        let markers = markers::of_index(&plan.digest);
        let made = entries.collect::<Result<Vec<_>, _>>();
        let made = made.and_then(|entries| index.document.with_entries(entries, &markers));
        check("index", made.map_err(|error| job.unfit(error))?.0.len())?;
    }
    Ok(())
}

/// The manifest of a variant, compared with what its layers have become.
pub(super) fn manifest(
    run: &Run<'_>,
    variant: Variant,
    layers: &[LayerReport],
) -> Result<NewDocument, ConvertError> {
    let job = run.job;
    let image = run.plan.image_of(variant);
    let new = |layer: &LayerReport| NewLayer {
        blob: BlobId { digest: layer.digest.clone(), size: layer.size },
        suffix: if layer.kind == LayerKind::Gzip { Suffix::Gzip } else { Suffix::Zstd },
        annotations: match &layer.outline {
            Some(outline) => outline.annotations.to_pairs().to_vec(),
            None => Vec::new(),
        },
    };
    let blobs = layers.iter().map(|layer| (layer.kind != LayerKind::Foreign).then(|| new(layer)));
    let blobs: Vec<_> = blobs.collect();
    let is_mixed =
        |layer: &LayerReport| layer.reuse.as_ref().is_some_and(|reuse| !reuse.same_recipe);
    let is_mixed = layers.iter().any(is_mixed);
    let (bytes, removed) = make(job, image, variant.format, &blobs, is_mixed)?;
    let differences = compare::manifest(&bytes, &image.source, job.family, layers);
    let differences = differences.map_err(|error| job.unfit(error))?;
    if !differences.is_empty() {
        return Err(ConvertError::Differs { what: "manifest", differences });
    }
    Ok(NewDocument { raw: RawManifest::new(bytes, job.family.manifest()), removed })
}

fn make(
    job: &ConvertJob,
    image: &PlannedImage,
    format: Format,
    layers: &[Option<NewLayer>],
    is_mixed: bool,
) -> Result<(Vec<u8>, Vec<String>), ConvertError> {
    let source = &image.source;
    let mut annotations = markers::of_manifest(job, &source.raw.digest, format).to_vec();
    annotations.extend(markers::of_mixed(is_mixed, &source.manifest.annotations));
    annotations.extend(job.expires_after.clone().map(|period| (EXPIRES_AFTER, period)));
    let made = source.manifest.clone().with_layers(job.family, layers, &annotations);
    made.map_err(|error| job.unfit(error))
}

/// Whether an image is to be marked as one with zstd layers. One without any layer has nothing else
/// to tell it by.
pub(super) fn is_marked(format: Format, layers: &[LayerReport]) -> bool {
    let is_zstd =
        |layer: &LayerReport| matches!(layer.kind, LayerKind::Zstd | LayerKind::ZstdChunked);
    format.is_zstd() && (layers.is_empty() || layers.iter().any(is_zstd))
}

/// How the layers of an image that was made are compressed.
pub(super) fn made_format(wanted: Format, layers: &[LayerReport]) -> &'static str {
    let has = |kind| layers.iter().any(|layer| layer.kind == kind);
    match wanted {
        Format::ZstdChunked if has(LayerKind::Zstd) && !has(LayerKind::ZstdChunked) => {
            Format::Zstd.as_str()
        }
        _ if !layers.is_empty() && layers.iter().all(|layer| layer.kind == LayerKind::Foreign) => {
            LayerKind::Foreign.as_str()
        }
        wanted => wanted.as_str(),
    }
}
