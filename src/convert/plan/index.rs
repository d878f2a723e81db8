//! An index to be made: of the entries of an index, or of one image.

use std::collections::HashMap;

use super::{
    IndexPlan, LeftEntry, Plan, Reading, Slot, Variant,
    arrange::{Arrangement, Candidate, Kind, arrange},
};
use crate::{
    convert::{
        ConvertError,
        format::{Format, IndexMode},
    },
    image::{
        index::{Entry, IndexDocument, Platform, platforms},
        manifest::{Descriptor, ImageManifest, ManifestError},
        media_type::Family,
    },
    store::{RawManifest, Selector},
};

/// More entries than any index has that people made; each is a request or two.
const ENTRIES_MAX: usize = 1000;

pub(super) async fn plan(
    reading: &Reading<'_>,
    raw: RawManifest,
    mode: IndexMode,
    formats: &[Format],
    wanted: &[Platform],
) -> Result<Plan, ConvertError> {
    let unfit = |error| reading.unfit(error);
    let is_index = raw.is_index();
    if !is_index && (mode == IndexMode::AllPlatforms || !wanted.is_empty()) {
        return Err(ConvertError::NoIndex { reference: reading.job.source.clone() });
    }
    let (document, manifests) = if is_index {
        let document = IndexDocument::parse(&raw.media_type, &raw.bytes).map_err(unfit)?;
        let manifests = manifests(reading, &document).await?;
        (document, manifests)
    } else {
        let mut document = IndexDocument::new();
        let image = reading.image(&raw, None).await?;
        let at = Descriptor { digest: raw.digest.clone(), size: raw.bytes.len() as u64 };
        document.entries.push(Entry::of_image(&raw.media_type, &at, &image.config));
        (document, vec![raw.clone()])
    };
    let candidates = document
        .entries
        .iter()
        .zip(&manifests)
        .map(|(entry, manifest)| candidate(entry, manifest))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unfit)?;
    let Arrangement { steps, left } =
        arrange(&candidates, mode, formats, wanted).map_err(|platform| {
            let reference = reading.job.source.clone();
            match platform {
                Some(platform) => ConvertError::NoSuchPlatform {
                    reference,
                    platform,
                    available: platforms(&raw.bytes).unwrap_or_default(),
                },
                None => unfit(ManifestError::Malformed("the index has no image".into())),
            }
        })?;

    let mut plan = Plan { digest: raw.digest, images: vec![], variants: vec![], index: None };
    let mut images: HashMap<usize, usize> = HashMap::new();
    let mut slots = Vec::new();
    for step in steps {
        let (entry, manifest) = (document.entries[step.entry].clone(), &manifests[step.entry]);
        let Some(format) = step.made else {
            let format = match candidates[step.entry].kind {
                Kind::Image { format, .. } => Some(format),
                Kind::Attestation { .. } | Kind::Other => None,
            };
            slots.push(Slot::Kept { entry, manifest: manifest.clone(), format });
            continue;
        };
        let image = if let Some(image) = images.get(&step.entry) {
            *image
        } else {
            plan.images.push(reading.image(manifest, entry.platform()).await?);
            images.insert(step.entry, plan.images.len() - 1);
            plan.images.len() - 1
        };
        slots.push(Slot::Made { variant: plan.variants.len(), entry });
        plan.variants.push(Variant { image, format });
    }
    let left = left
        .into_iter()
        .map(|left| LeftEntry {
            digest: candidates[left.entry].digest.clone(),
            reason: left.reason,
        })
        .collect();
    plan.index = Some(IndexPlan { document, slots, left });
    Ok(plan)
}

/// The manifests that the entries of an index point at.
async fn manifests(
    reading: &Reading<'_>,
    document: &IndexDocument,
) -> Result<Vec<RawManifest>, ConvertError> {
    if document.entries.len() > ENTRIES_MAX {
        let reason = format!("the index has more than {ENTRIES_MAX} entries");
        return Err(reading.unfit(ManifestError::Malformed(reason)));
    }
    let mut manifests = Vec::new();
    for entry in &document.entries {
        let digest = entry.descriptor().digest.clone();
        manifests.push(reading.manifest(&Selector::Digest(digest)).await?);
    }
    Ok(manifests)
}

fn candidate(entry: &Entry, manifest: &RawManifest) -> Result<Candidate, ManifestError> {
    if manifest.is_index() {
        return Err(ManifestError::NestedIndex);
    }
    let kind = if let Some(of) = entry.speaks_of() {
        Kind::Attestation { of: of.to_owned() }
    } else if entry.is_for_nobody() {
        Kind::Other
    } else {
        match ImageManifest::parse(&manifest.media_type, &manifest.bytes) {
            Ok(image) => {
                let family = Family::of(&manifest.media_type).unwrap_or(Family::Oci);
                Kind::Image { format: format_of(entry, &image), family }
            }
            Err(ManifestError::Artifact(_)) => Kind::Other,
            Err(error) => return Err(error),
        }
    };
    let digest = entry.descriptor().digest.clone();
    Ok(Candidate { digest, key: entry.platform_key(), platform: entry.platform(), kind })
}

/// How an image is compressed, for its readers: what has no zstd layer can be read by all of them.
fn format_of(entry: &Entry, image: &ImageManifest) -> Format {
    if image.layers().is_empty() {
        // There is nothing to tell it by but what was written on it.
        return if entry.is_marked() { Format::ZstdChunked } else { Format::Gzip };
    }
    if image.is_readable_by_all() {
        Format::Gzip
    } else if image.is_chunked() {
        Format::ZstdChunked
    } else {
        Format::Zstd
    }
}
