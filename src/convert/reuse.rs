//! The work of an earlier run of the same job: found at the destination by what it says of itself,
//! and used only after each byte of it has been checked.
//!
//! Anybody who may push there can put something that says the same. So a layer counts only if it
//! passes all that `verify` asks: its content has the diffID of the source's config, and its TOC
//! describes just that content. Such a layer is right whoever made it. Checking costs a download
//! and a fraction of the time that it takes to compress; what is longer than the layer of the source
//! may come to is given up on before that takes more.

use std::collections::HashMap;

use super::{
    ConvertJob,
    format::Format,
    plan::{Plan, PlannedLayer},
    publish::recipe,
};
use crate::{
    check::{self, Annotations, Claims, Findings, LayerKind, LayerVerdict},
    chunked::{annotations::ChunkedAnnotations, eligibility::LeftOut, footer::Position},
    image::{
        BlobId, Digest, EntryKind,
        annotations::{FORMAT, SOURCE_DIGEST},
        media_type::OCI_LAYER_ZSTD,
    },
    layer::Outline,
    limits::Limits,
    store::{RawManifest, Selector, Store},
};

/// A layer as an earlier run has left it, or somebody who says so.
#[derive(Debug, Clone)]
pub(super) struct Known {
    blob: BlobId,
    annotations: Annotations,
}

/// A layer that was found to be right.
#[derive(Debug)]
pub(super) struct Proved {
    pub(super) blob: BlobId,
    pub(super) raw_len: u64,
    pub(super) outline: Option<Outline>,
}

/// What there is, by the source's blob, its diffID, the format and whether it is the lowest layer.
#[derive(Debug, Default)]
pub(super) struct Reusable {
    layers: HashMap<(Digest, Digest, Format, bool), Known>,
}

impl Reusable {
    /// Looks at what the destination's tag names now. Whatever is wrong with it, there is just
    /// nothing to be used again.
    pub(super) async fn find(job: &ConvertJob, plan: &Plan, destination: &Store) -> Self {
        let mut found = Self::default();
        let Ok(tagged) = destination.manifest(&Selector::of(&job.destination)).await else {
            return found;
        };
        if !tagged.is_index() {
            found.take_in(job, plan, &tagged);
            return found;
        }
        let Ok(index) = tagged.index() else { return found };
        // An index of ours has as many as the plan; another one is not worth the requests.
        let slots = plan.index.as_ref().map_or(0, |index| index.slots.len());
        let manifests = index.entries().filter(|entry| entry.entry_kind() == EntryKind::Manifest);
        for entry in manifests.take(slots) {
            let which = Selector::Digest(entry.blob.digest.clone());
            if let Ok(manifest) = destination.manifest(&which).await {
                found.take_in(job, plan, &manifest);
            }
        }
        found
    }

    fn take_in(&mut self, job: &ConvertJob, plan: &Plan, raw: &RawManifest) {
        let Ok(manifest) = raw.manifest() else { return };
        let says = |key: &str, value: &str| {
            manifest.annotations.get(key).is_some_and(|said| said == value)
        };
        for variant in plan.variants.iter().filter(|variant| variant.format.is_zstd()) {
            let image = plan.image_of(*variant);
            let is_it = says(SOURCE_DIGEST, image.source.raw.digest.as_str())
                && says(FORMAT, &recipe(job, variant.format))
                && manifest.layers.len() == image.layers.len();
            if !is_it {
                continue;
            }
            for (number, (layer, old)) in manifest.layers.iter().zip(&image.layers).enumerate() {
                let (digest, diff_id) = (old.blob.digest.clone(), old.diff_id.clone());
                let key = (digest, diff_id, variant.format, number == 0);
                let (blob, annotations) = (layer.blob.clone(), layer.annotations.clone());
                self.layers.insert(key, Known { blob, annotations });
            }
        }
    }

    pub(super) fn get(&self, layer: &PlannedLayer, format: Format, lowest: bool) -> Option<&Known> {
        self.layers.get(&(layer.blob.digest.clone(), layer.diff_id.clone(), format, lowest))
    }
}

impl Known {
    /// Downloads the layer and checks all of it. `None`: it is of no use, or not what this program
    /// would make of that diffID in that format, of the lowest layer or another one. It may come to
    /// what the limits allow the layer of the source, of `source_len` bytes, to come to.
    pub(super) async fn prove(
        &self,
        destination: &Store,
        (diff_id, format, lowest): (&Digest, Format, bool),
        limits: Limits,
        source_len: u64,
    ) -> Option<Proved> {
        let limits = limits.for_replacement_of(source_len);
        // Frames that save nothing, TOC and tar-split make a blob longer than its content.
        if self.blob.size > limits.size.saturating_mul(2) {
            return None;
        }
        let reader = destination.blob(&self.blob.digest, self.blob.size).await.ok()?;
        let (known, diff_id) = (self.clone(), diff_id.clone());
        let work = move || {
            let mut file = tempfile::tempfile().ok()?;
            reader.copy_to(&mut file).ok()?;
            let subject = check::Layer {
                blob: &file,
                len: known.blob.size,
                media_type: OCI_LAYER_ZSTD,
                annotations: &known.annotations,
                diff_id: &diff_id,
                limits,
                lowest,
            };
            let verdict = check::layer(subject).ok()?;
            known.judge(&verdict, format)
        };
        let proved = tokio::task::spawn_blocking(work).await.ok().flatten();
        if proved.is_none() {
            let digest = &self.blob.digest;
            tracing::warn!(%digest, "what the destination has of an earlier run is not used again");
        }
        proved
    }

    fn judge(self, verdict: &LayerVerdict, format: Format) -> Option<Proved> {
        if verdict.findings.first_obstacle().is_some() {
            return None;
        }
        let outline = match (format, verdict.kind) {
            (Format::ZstdChunked, LayerKind::ZstdChunked) => {
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
            (Format::Zstd, LayerKind::Zstd) => None,
            // Why a layer got no TOC would not be known.
            _ => return None,
        };
        Some(Proved { blob: self.blob, raw_len: verdict.tar_len, outline })
    }
}
