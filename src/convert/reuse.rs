//! What an earlier run of the same job has made: found at the destination by its markers, and used
//! only after every byte of it was checked.
//!
//! Anybody who may push there can write the same markers. So a layer counts only if it passes all
//! that `verify` checks: its content has the diffID in the source's config, and its TOC describes
//! exactly that content. Such a layer is right whoever made it. Checking costs a download and a
//! fraction of the time of compression. A layer that exceeds what the source's layer may come to is
//! given up before it costs more.

use std::collections::HashMap;

use super::{
    ConvertJob, Run,
    destination::Destination,
    format::Format,
    markers,
    plan::{LayerKey, Plan},
};
use crate::{
    check::{self, Annotations, BlobKind, Claims, Findings, LayerVerdict},
    chunked::{annotations::ChunkedAnnotations, eligibility::LeftOut, footer::Position},
    image::{BlobId, EntryKind, media_type::OCI_LAYER_ZSTD},
    layer::Outline,
    limits::Limits,
    store::{RawManifest, Selector},
};

/// A layer that an earlier run has made, or that claims to be one.
#[derive(Debug, Clone)]
pub(super) struct FoundLayer {
    blob: BlobId,
    annotations: Annotations,
}

/// A layer that was checked.
#[derive(Debug)]
pub(super) struct ProvenLayer {
    pub(super) blob: BlobId,
    pub(super) raw_len: u64,
    pub(super) outline: Option<Outline>,
}

pub(super) type Reusable<'a> = HashMap<LayerKey<'a>, FoundLayer>;

/// Looks at what the destination's tag names now. Whatever is wrong with it only means that there
/// is nothing to reuse.
pub(super) async fn find<'a>(run: &'a Run<'_>) -> Reusable<'a> {
    let (job, plan, destination) = (run.job, &run.plan, &run.destination.store);
    let mut found = Reusable::new();
    let Ok(tagged) = destination.manifest(&Selector::of(&job.destination)).await else {
        return found;
    };
    if !tagged.is_index() {
        add_layers(&mut found, job, plan, &tagged);
        return found;
    }
    let Ok(index) = tagged.index() else { return found };
    // An index of ours has as many as the plan; another one is not worth the requests.
    let slots = plan.index.as_ref().map_or(0, |index| index.slots.len());
    let manifests = index.entries().filter(|entry| entry.entry_kind() == EntryKind::Manifest);
    for entry in manifests.take(slots) {
        let which = Selector::Digest(entry.blob.digest.clone());
        if let Ok(manifest) = destination.manifest(&which).await {
            add_layers(&mut found, job, plan, &manifest);
        }
    }
    found
}

/// Adds the layers of a manifest that claims to be a variant of the plan.
fn add_layers<'a>(found: &mut Reusable<'a>, job: &ConvertJob, plan: &'a Plan, raw: &RawManifest) {
    let Ok(manifest) = raw.manifest() else { return };
    for variant in plan.variants.iter().filter(|variant| variant.format.is_zstd()) {
        let image = plan.image_of(*variant);
        let source = &image.source.raw.digest;
        if !markers::is_made_by(job, source, variant.format, &manifest.annotations)
            || manifest.layers.len() != image.layers.len()
        {
            continue;
        }
        for (number, (layer, old)) in manifest.layers.iter().zip(&image.layers).enumerate() {
            let (blob, annotations) = (layer.blob.clone(), layer.annotations.clone());
            found.insert(old.key(variant.format, number == 0), FoundLayer { blob, annotations });
        }
    }
}

impl FoundLayer {
    /// Downloads the layer and checks all of it. `None` if it cannot be had, or is not what this
    /// program would make. `limits` are those of the source's layer, of `source_len` bytes.
    pub(super) async fn prove(
        &self,
        destination: &Destination<'_>,
        key: LayerKey<'_>,
        limits: Limits,
        source_len: u64,
    ) -> Option<ProvenLayer> {
        let limits = limits.for_replacement_of(source_len);
        // Frames that save nothing, TOC and tar-split make a blob longer than its content.
        if self.blob.size > limits.size.saturating_mul(2) {
            return None;
        }
        let reader = destination.store.blob(&self.blob.digest, self.blob.size).await.ok()?;
        let (found, diff_id) = (self.clone(), key.diff_id.clone());
        let (format, lowest) = (key.format, key.lowest);
        let work = move || {
            let mut file = tempfile::tempfile().ok()?;
            reader.copy_to(&mut file).ok()?;
            let subject = check::Layer {
                blob: &file,
                len: found.blob.size,
                media_type: OCI_LAYER_ZSTD,
                annotations: &found.annotations,
                diff_id: &diff_id,
                limits,
                lowest,
            };
            let verdict = check::layer(subject).ok()?;
            found.judge(&verdict, format)
        };
        let proven = tokio::task::spawn_blocking(work).await.ok().flatten();
        if proven.is_none() {
            let digest = &self.blob.digest;
            tracing::warn!(%digest, "cannot reuse a layer of an earlier run; converting it again");
        }
        proven
    }

    fn judge(self, verdict: &LayerVerdict, format: Format) -> Option<ProvenLayer> {
        if verdict.findings.first_obstacle().is_some() {
            return None;
        }
        let outline = match (format, verdict.kind) {
            (Format::ZstdChunked, BlobKind::ZstdChunked) => Some(self.outline(verdict)?),
            (Format::Zstd, BlobKind::Zstd) => None,
            // Why a layer got no TOC would not be known.
            _ => return None,
        };
        Some(ProvenLayer { blob: self.blob, raw_len: verdict.tar_len, outline })
    }

    fn outline(&self, verdict: &LayerVerdict) -> Option<Outline> {
        let claims = Claims::read(&self.annotations, &mut Findings::default())?;
        let place = |span: check::Span| Position {
            offset: span.offset,
            len: span.len,
            raw_len: span.raw_len,
        };
        let totals = verdict.totals.as_ref()?;
        Some(Outline {
            annotations: ChunkedAnnotations {
                toc_digest: claims.toc_digest,
                toc: place(claims.toc),
                tar_split: place(claims.tar_split?),
            },
            entries: totals.entries,
            files: totals.files,
            chunks: totals.chunks,
            left_out: LeftOut {
                count: verdict.left_out.count,
                names: verdict.left_out.names.clone(),
            },
        })
    }
}
