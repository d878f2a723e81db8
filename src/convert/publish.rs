//! The last steps: configs, manifests, index, tag, and a look at what the destination has made of
//! them.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    ConvertError, ConvertJob, compare,
    compare::ExpectedEntry,
    copy,
    format::Format,
    layers::Layers,
    plan::{IndexPlan, Plan, PlannedImage, Slot, Variant},
};
use crate::{
    chunked::{annotations::ChunkedAnnotations, footer::Position},
    image::{
        BlobId, Descriptor, Digest, DocumentError,
        annotations::{EXPIRES_AFTER, FORMAT, SOURCE_DIGEST, ZSTD_MARK},
        manifest::NewLayer,
        media_type::{OCI_INDEX, Suffix},
    },
    report::{ImageReport, LayerKind, LayerReport, LeftReport, ManifestReport},
    source::Source,
    store::{MANIFEST_SIZE_MAX, RawManifest, Selector, Store},
};

static TAGGING: AtomicBool = AtomicBool::new(false);

/// Whether a run of this process has begun to set its tag.
pub fn has_begun() -> bool {
    TAGGING.load(Ordering::Relaxed)
}

/// What has been published.
pub(super) struct Published {
    /// What the tag names.
    pub(super) image: ImageReport,
    /// The index, entry by entry.
    pub(super) manifests: Vec<ManifestReport>,
    /// What of the source is not in it.
    pub(super) left: Vec<LeftReport>,
    /// Annotations and fields of the source that had to go.
    pub(super) removed: Vec<String>,
}

/// Manifests of the plan's variants, in their order.
pub(super) struct Variants {
    pub(super) manifests: Vec<RawManifest>,
    removed: Vec<String>,
}

/// Finds out before the work whether what is to be published would be more than registries take.
pub(super) fn check_sizes(job: &ConvertJob, plan: &Plan) -> Result<(), ConvertError> {
    let largest = Position { offset: u64::MAX, len: u64::MAX, raw_len: u64::MAX };
    let digest = Digest::sha256_of(b"");
    let blob = BlobId { digest: digest.clone(), size: u64::MAX >> 1 };
    let pairs = ChunkedAnnotations { toc_digest: digest, toc: largest, tar_split: largest };
    let pairs = pairs.to_pairs().to_vec();
    let too_large = |what, bytes: u64| {
        if bytes > MANIFEST_SIZE_MAX {
            return Err(ConvertError::ManifestTooLarge { what, bytes });
        }
        Ok(())
    };
    for variant in &plan.variants {
        let suffix = variant.format.suffix();
        let annotations =
            if variant.format == Format::ZstdChunked { pairs.clone() } else { Vec::new() };
        let new = NewLayer { blob: blob.clone(), suffix, annotations };
        let image = plan.image_of(*variant);
        let layers = image.layers.iter().map(|layer| (!layer.foreign).then(|| new.clone()));
        let layers: Vec<_> = layers.collect();
        let (bytes, _) = make(job, image, *variant, &layers)?;
        too_large("manifest", bytes.len() as u64)?;
    }
    if let Some(index) = &plan.index {
        let entry = |slot: &Slot| match slot {
            Slot::Kept { entry, .. } => Ok((**entry).clone()),
            Slot::Made { entry, variant } => {
                let variant = plan.variants[*variant];
                variant_entry(entry, &blob, may_be_zstd(plan, variant))
            }
        };
        let entries = index.slots.iter().map(entry).collect::<Result<Vec<_>, _>>();
        let made =
            entries.and_then(|entries| index.document.with_entries(entries, &annotations_of(plan)));
        let (bytes, _) = made.map_err(|error| unfit(job, error))?;
        too_large("index", bytes.len() as u64)?;
    }
    Ok(())
}

/// Puts the manifest of each variant of the plan there, under no tag.
pub(super) async fn variants(
    job: &ConvertJob,
    plan: &Plan,
    destination: &Store,
    layers: &Layers,
) -> Result<Variants, ConvertError> {
    let failed = |error| ConvertError::Destination { reference: job.destination.clone(), error };
    let mut variants = Variants { manifests: Vec::new(), removed: Vec::new() };
    for (variant, layers) in plan.variants.iter().zip(&layers.of_variant) {
        let image = plan.image_of(*variant);
        let BlobId { digest, size } = &image.source.manifest.config.blob;
        if !destination.has_blob(digest, *size).await.map_err(failed)? {
            let config = image.source.config_bytes.clone();
            destination.copy_blob(digest, config, &job.source).await.map_err(failed)?;
        }
        let (manifest, removed) = manifest(job, image, *variant, layers)?;
        destination.put_manifest(&manifest, None).await.map_err(failed)?;
        variants.manifests.push(manifest);
        variants.removed.extend(removed);
    }
    Ok(variants)
}

/// Puts the index there, where there is one to be made, and the tag; and reads everything back.
pub(super) async fn publish(
    job: &ConvertJob,
    plan: &Plan,
    source: &Source,
    destination: &Store,
    variants: Variants,
    layers: &Layers,
) -> Result<Published, ConvertError> {
    let failed = |error| ConvertError::Destination { reference: job.destination.clone(), error };
    let Variants { manifests: made, mut removed } = variants;
    let mut listed = Listed::default();
    let tagged = match &plan.index {
        None => made.first().cloned(),
        Some(index) => {
            for slot in &index.slots {
                listed.add(job, plan, source, destination, slot, &made, layers).await?;
            }
            let (raw, gone) = listed.index(job, plan, index)?;
            removed.extend(gone);
            destination.put_manifest(&raw, None).await.map_err(failed)?;
            Some(raw)
        }
    };
    let tagged = tagged.ok_or_else(|| ConvertError::Internal("nothing was made".into()))?;
    TAGGING.store(true, Ordering::Relaxed);
    destination.put_manifest(&tagged, job.destination.tag()).await.map_err(failed)?;
    let all = made.iter().chain(&listed.kept);
    read_back(job, destination, &tagged, all).await?;
    removed.sort_unstable();
    removed.dedup();
    let left = plan.index.iter().flat_map(|index| index.left.iter().cloned());
    let left = left.map(|left| LeftReport { digest: left.digest, reason: left.reason });
    Ok(Published {
        image: ImageReport {
            url: job.destination.to_string(),
            reference: format!("{}@{}", job.destination, tagged.digest),
            digest: tagged.digest,
            media_type: tagged.media_type,
        },
        manifests: listed.reports,
        left: left.chain(listed.left).collect(),
        removed,
    })
}

/// The entries of an index, as they are put together.
#[derive(Default)]
struct Listed<'a> {
    entries: Vec<Descriptor>,
    expected: Vec<ExpectedEntry<'a>>,
    kept: Vec<RawManifest>,
    reports: Vec<ManifestReport>,
    left: Vec<LeftReport>,
}

impl<'a> Listed<'a> {
    #[expect(clippy::too_many_arguments, reason = "all of the run comes together here")]
    async fn add(
        &mut self,
        job: &ConvertJob,
        plan: &Plan,
        source: &Source,
        destination: &Store,
        slot: &'a Slot,
        made: &'a [RawManifest],
        layers: &Layers,
    ) -> Result<(), ConvertError> {
        match slot {
            Slot::Kept { entry, manifest, format } => {
                let copied = copy::copy(job, source, destination, entry, manifest.as_ref()).await?;
                if let Err(reason) = copied {
                    let digest = entry.blob.digest.clone();
                    let reason = format!("it cannot be copied: {reason}");
                    self.left.push(LeftReport { digest, reason });
                    return Ok(());
                }
                self.kept.extend(manifest.clone());
                self.reports.push(kept_report(entry, *format));
                self.entries.push((**entry).clone());
                let (media_type, blob) = match manifest {
                    Some(raw) => (raw.media_type.as_str(), id(raw)),
                    None => (entry.media_type.as_str(), entry.blob.clone()),
                };
                let expected =
                    ExpectedEntry { media_type, blob, old: entry, marked: None, kept: true };
                self.expected.push(expected);
            }
            Slot::Made { variant, entry } => {
                let (raw, of) = (&made[*variant], plan.variants[*variant]);
                let layers = &layers.of_variant[*variant];
                let marked = is_marked(of.format, layers);
                let is_it = |other: &Descriptor| {
                    other.blob.digest == raw.digest && other.platform() == entry.platform()
                };
                if self.entries.iter().any(is_it) {
                    return Ok(());
                }
                self.reports.push(made_report(plan, of, raw, layers, entry));
                let new = variant_entry(entry, &id(raw), marked);
                self.entries.push(new.map_err(|error| unfit(job, error))?);
                self.expected.push(ExpectedEntry {
                    media_type: &raw.media_type,
                    blob: id(raw),
                    old: entry,
                    marked: Some(marked),
                    kept: false,
                });
            }
        }
        Ok(())
    }

    /// The index, and what of the old one had to go.
    fn index(
        &self,
        job: &ConvertJob,
        plan: &Plan,
        index: &IndexPlan,
    ) -> Result<(RawManifest, Vec<String>), ConvertError> {
        if let Some(raw) = index.unchanged.as_ref().filter(|_| self.left.is_empty()) {
            return Ok((raw.clone(), Vec::new()));
        }
        let made = index.document.with_entries(self.entries.clone(), &annotations_of(plan));
        let (bytes, gone) = made.map_err(|error| unfit(job, error))?;
        let differences = compare::index(&bytes, &self.expected);
        let differences = differences.map_err(|error| unfit(job, error))?;
        if !differences.is_empty() {
            return Err(ConvertError::Differs { what: "index", differences });
        }
        Ok((RawManifest::new(bytes, OCI_INDEX), gone))
    }
}

/// What a layer's blob depends on besides its tar.
pub(super) fn recipe(job: &ConvertJob, format: Format) -> String {
    match format {
        Format::Gzip => format!("gzip level {}", job.gzip_level),
        Format::Zstd | Format::ZstdChunked => format!("{format} level {}", job.zstd.level),
    }
}

fn id(raw: &RawManifest) -> BlobId {
    BlobId { digest: raw.digest.clone(), size: raw.size() }
}

fn unfit(job: &ConvertJob, error: DocumentError) -> ConvertError {
    ConvertError::Unfit { reference: job.source.clone(), error }
}

fn annotations_of(plan: &Plan) -> [(&'static str, String); 1] {
    [(SOURCE_DIGEST, plan.digest.to_string())]
}

/// The entry of another manifest for the same image, with all else that its entry says.
pub(super) fn variant_entry(
    entry: &Descriptor,
    manifest: &BlobId,
    marked: bool,
) -> Result<Descriptor, DocumentError> {
    let mut variant = entry.clone();
    variant.point_at(crate::image::media_type::OCI_MANIFEST, manifest.clone());
    variant.forget_bytes()?;
    variant.set_annotation(ZSTD_MARK, marked.then_some("true"))?;
    Ok(variant)
}

/// Whether an image may come to have zstd layers, before that is known.
pub(super) fn may_be_zstd(plan: &Plan, variant: Variant) -> bool {
    let layers = &plan.image_of(variant).layers;
    variant.format.is_zstd() && (layers.is_empty() || layers.iter().any(|layer| !layer.foreign))
}

/// Whether an image is to be marked as one with zstd layers. One without any layer has nothing else
/// to tell it by.
fn is_marked(format: Format, layers: &[LayerReport]) -> bool {
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

fn kept_report(entry: &Descriptor, format: Option<Format>) -> ManifestReport {
    ManifestReport {
        platform: entry.platform().map(ToString::to_string),
        format: format.map(Format::as_str),
        digest: entry.blob.digest.clone(),
        size: entry.blob.size,
        made: false,
        source_digest: None,
        config_digest: None,
        layers: Vec::new(),
    }
}

fn made_report(
    plan: &Plan,
    variant: Variant,
    manifest: &RawManifest,
    layers: &[LayerReport],
    entry: &Descriptor,
) -> ManifestReport {
    let image = &plan.image_of(variant).source;
    ManifestReport {
        format: Some(made_format(variant.format, layers)),
        digest: manifest.digest.clone(),
        size: manifest.size(),
        made: true,
        source_digest: Some(image.raw.digest.clone()),
        config_digest: Some(image.manifest.config.blob.digest.clone()),
        layers: layers.to_vec(),
        ..kept_report(entry, None)
    }
}

fn manifest(
    job: &ConvertJob,
    image: &PlannedImage,
    variant: Variant,
    layers: &[LayerReport],
) -> Result<(RawManifest, Vec<String>), ConvertError> {
    let blobs: Vec<Option<NewLayer>> = layers
        .iter()
        .map(|layer| {
            (layer.kind != LayerKind::Foreign).then(|| NewLayer {
                blob: BlobId { digest: layer.digest.clone(), size: layer.size },
                suffix: if layer.kind == LayerKind::Gzip { Suffix::Gzip } else { Suffix::Zstd },
                annotations: match &layer.outline {
                    Some(outline) => outline.annotations.to_pairs().to_vec(),
                    None => Vec::new(),
                },
            })
        })
        .collect();
    let (bytes, removed) = make(job, image, variant, &blobs)?;
    let differences = compare::manifest(&bytes, &image.source, job.family, layers);
    let differences = differences.map_err(|error| unfit(job, error))?;
    if !differences.is_empty() {
        return Err(ConvertError::Differs { what: "manifest", differences });
    }
    Ok((RawManifest::new(bytes, job.family.manifest()), removed))
}

fn make(
    job: &ConvertJob,
    image: &PlannedImage,
    variant: Variant,
    layers: &[Option<NewLayer>],
) -> Result<(Vec<u8>, Vec<String>), ConvertError> {
    let from = image.source.raw.digest.to_string();
    let mut annotations = vec![(SOURCE_DIGEST, from), (FORMAT, recipe(job, variant.format))];
    if let Some(period) = &job.expires_after {
        annotations.push((EXPIRES_AFTER, period.clone()));
    }
    let made = image.source.manifest.clone().with_layers(job.family, layers, &annotations);
    made.map_err(|error| unfit(job, error))
}

/// The destination has the tag, each manifest and each blob, or the run has failed.
async fn read_back<'a>(
    job: &ConvertJob,
    destination: &Store,
    tagged: &'a RawManifest,
    manifests: impl Iterator<Item = &'a RawManifest>,
) -> Result<(), ConvertError> {
    let failed = |error| ConvertError::Destination { reference: job.destination.clone(), error };
    let unfit = |error| ConvertError::Unfit { reference: job.destination.clone(), error };
    let found = destination.manifest(&Selector::of(&job.destination)).await.map_err(failed)?;
    if found.bytes != tagged.bytes {
        return Err(ConvertError::ReadBack {
            reference: job.destination.clone(),
            pushed: tagged.digest.clone(),
            found: found.digest,
        });
    }
    for manifest in manifests.chain([tagged]) {
        let by_digest = Selector::Digest(manifest.digest.clone());
        destination.manifest(&by_digest).await.map_err(failed)?;
        if manifest.is_index() {
            continue;
        }
        let read = manifest.manifest().map_err(unfit)?;
        if let Some(digest) = copy::missing(job, destination, &read).await? {
            return Err(ConvertError::Lost { reference: job.destination.clone(), digest });
        }
    }
    Ok(())
}
