//! The last steps, in this order: configs, manifests, index, tag, and a look at what the destination
//! has of them.

use std::collections::HashMap;

use super::{
    ConvertError, Run,
    compare::{self, ExpectedEntry},
    copy,
    documents::{self, NewDocument, is_marked, made_format},
    format::Format,
    layers::ConvertedLayers,
    markers,
    plan::{IndexPlan, Slot, Variant, new_entry},
};
use crate::{
    image::{Descriptor, Digest, Manifest, media_type::OCI_INDEX},
    report::{ImageReport, LayerReport, LeftReport, ManifestReport},
    store::{self, RawManifest, Selector},
};

/// What has been published.
pub(super) struct Published {
    /// What the tag names.
    pub(super) image: ImageReport,
    /// What the tag named before.
    pub(super) before: Option<Digest>,
    /// The index, entry by entry.
    pub(super) manifests: Vec<ManifestReport>,
    /// What of the source is not in it.
    pub(super) left: Vec<LeftReport>,
    /// Annotations and fields of the source that had to go.
    pub(super) removed: Vec<String>,
}

/// Manifests of the plan's variants, in their order.
#[derive(Default)]
pub(super) struct NewManifests {
    pub(super) all: Vec<RawManifest>,
    removed: Vec<String>,
}

/// Writes config and manifest of each variant, under no tag.
pub(super) async fn manifests(
    run: &Run<'_>,
    layers: &ConvertedLayers,
) -> Result<NewManifests, ConvertError> {
    let mut new = NewManifests::default();
    for (variant, layers) in run.plan.variants.iter().zip(&layers.of_variant) {
        let source = &run.plan.image_of(*variant).source;
        let config = &source.manifest.config.blob;
        if !run.destination.has_blob(config).await? {
            let content = source.config_bytes.clone();
            run.destination.copy_blob(&config.digest, content, run.source.location()).await?;
        }
        let NewDocument { raw, removed } = documents::manifest(run, *variant, layers)?;
        run.destination.put_manifest(&raw).await?;
        new.all.push(raw);
        new.removed.extend(removed);
    }
    Ok(new)
}

/// Writes the index, if one is to be made, and the tag; and reads everything back.
pub(super) async fn publish(
    run: &Run<'_>,
    new: NewManifests,
    layers: &ConvertedLayers,
) -> Result<Published, ConvertError> {
    let NewManifests { all: made, mut removed } = new;
    let mut list = EntryList::default();
    let tagged = match &run.plan.index {
        None => made.first().cloned(),
        Some(index) => {
            for slot in &index.slots {
                list.add(run, slot, &made, layers).await?;
            }
            let index = list.index(run, index)?;
            removed.extend(index.removed);
            run.destination.put_manifest(&index.raw).await?;
            Some(index.raw)
        }
    };
    let tagged = tagged.ok_or_else(|| ConvertError::Internal("nothing was made".into()))?;
    // An archive shows nothing before it is complete.
    if !run.job.destination.is_archive() {
        store::publishing_begins();
    }
    let before = run.destination.tag(&tagged, run.job.expires_after.is_some()).await?;
    run.destination.complete().await?;
    read_back(run, &tagged, made.iter().chain(&list.kept)).await?;
    removed.sort_unstable();
    removed.dedup();
    let left = run.plan.index.iter().flat_map(|index| index.left.iter().cloned());
    Ok(Published {
        image: ImageReport {
            url: run.job.destination.to_string(),
            reference: format!("{}@{}", run.job.destination, tagged.digest),
            digest: tagged.digest,
            media_type: tagged.media_type,
        },
        before,
        manifests: list.reports,
        left: left.chain(list.left).collect(),
        removed,
    })
}

/// The entries of an index, as they are put together.
#[derive(Default)]
struct EntryList<'a> {
    entries: Vec<Descriptor>,
    expected: Vec<ExpectedEntry<'a>>,
    kept: Vec<RawManifest>,
    reports: Vec<ManifestReport>,
    left: Vec<LeftReport>,
}

impl<'a> EntryList<'a> {
    async fn add(
        &mut self,
        run: &'a Run<'_>,
        slot: &'a Slot,
        made: &'a [RawManifest],
        layers: &ConvertedLayers,
    ) -> Result<(), ConvertError> {
        match slot {
            Slot::Kept { entry, manifest, format } => {
                self.keep(run, entry, manifest.as_ref(), *format).await
            }
            Slot::Made { variant, entry } => {
                let layers = &layers.of_variant[*variant];
                self.list(run, entry, run.plan.variants[*variant], &made[*variant], layers)
            }
        }
    }

    /// Copies what stays and lists it, or reports why it cannot be copied.
    async fn keep(
        &mut self,
        run: &Run<'_>,
        entry: &'a Descriptor,
        manifest: Option<&'a RawManifest>,
        format: Option<Format>,
    ) -> Result<(), ConvertError> {
        if let Err(reason) = copy::copy(run, entry, manifest).await? {
            let digest = entry.blob.digest.clone();
            self.left.push(LeftReport { digest, reason: format!("it cannot be copied: {reason}") });
            return Ok(());
        }
        let (media_type, blob) = match manifest {
            Some(raw) => (raw.media_type.as_str(), raw.id()),
            None => (entry.media_type.as_str(), entry.blob.clone()),
        };
        self.kept.extend(manifest.cloned());
        self.reports.push(kept_report(entry, format));
        self.entries.push(entry.clone());
        self.expected.push(ExpectedEntry {
            media_type,
            blob,
            old: entry,
            marked: None,
            kept: true,
        });
        Ok(())
    }

    /// Lists a new manifest, each once for a platform.
    fn list(
        &mut self,
        run: &Run<'_>,
        entry: &'a Descriptor,
        variant: Variant,
        raw: &'a RawManifest,
        layers: &[LayerReport],
    ) -> Result<(), ConvertError> {
        let is_it = |other: &Descriptor| {
            other.blob.digest == raw.digest && other.platform() == entry.platform()
        };
        if self.entries.iter().any(is_it) {
            return Ok(());
        }
        let marked = is_marked(variant.format, layers);
        let source = &run.plan.image_of(variant).source;
        self.reports.push(ManifestReport {
            format: Some(made_format(variant.format, layers)),
            digest: raw.digest.clone(),
            size: raw.size(),
            made: true,
            source_digest: Some(source.raw.digest.clone()),
            config_digest: Some(source.manifest.config.blob.digest.clone()),
            layers: layers.to_vec(),
            ..kept_report(entry, None)
        });
        let new = new_entry(entry, &raw.id(), marked).map_err(|error| run.job.unfit(error))?;
        self.entries.push(new);
        self.expected.push(ExpectedEntry {
            media_type: &raw.media_type,
            blob: raw.id(),
            old: entry,
            marked: Some(marked),
            kept: false,
        });
        Ok(())
    }

    /// The index, compared with what it has to list.
    fn index(&self, run: &Run<'_>, index: &IndexPlan) -> Result<NewDocument, ConvertError> {
        if let Some(raw) = index.unchanged.as_ref().filter(|_| self.left.is_empty()) {
            return Ok(NewDocument { raw: raw.clone(), removed: Vec::new() });
        }
        let markers = markers::of_index(&run.plan.digest);
        let made = index.document.with_entries(self.entries.clone(), &markers);
        let (bytes, removed) = made.map_err(|error| run.job.unfit(error))?;
        let differences = compare::index(&bytes, &self.expected);
        let differences = differences.map_err(|error| run.job.unfit(error))?;
        if !differences.is_empty() {
            return Err(ConvertError::Differs { what: "index", differences });
        }
        Ok(NewDocument { raw: RawManifest::new(bytes, OCI_INDEX), removed })
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

/// Fails unless the destination serves the tag, each manifest and each blob.
async fn read_back<'a>(
    run: &Run<'_>,
    tagged: &'a RawManifest,
    manifests: impl Iterator<Item = &'a RawManifest>,
) -> Result<(), ConvertError> {
    let reference = &run.job.destination;
    let found = run.destination.manifest_soon(&Selector::of(reference), &tagged.digest).await?;
    if found.bytes != tagged.bytes {
        return Err(ConvertError::ReadBack {
            reference: reference.clone(),
            pushed: tagged.digest.clone(),
            found: found.digest,
        });
    }
    let distinct: HashMap<_, _> =
        manifests.chain([tagged]).map(|manifest| (&manifest.digest, manifest)).collect();
    run.destination.await_manifests(distinct.keys().copied()).await?;
    let unfit = |error| ConvertError::Unfit { reference: reference.clone(), error };
    let images = distinct.values().filter(|manifest| !manifest.is_index());
    let images: Vec<_> =
        images.map(|image| image.manifest().map_err(unfit)).collect::<Result<_, _>>()?;
    let blobs: HashMap<_, _> =
        images.iter().flat_map(Manifest::needed_blobs).map(|blob| (&blob.digest, blob)).collect();
    run.destination.await_blobs(blobs.into_values()).await
}
