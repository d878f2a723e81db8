//! Layers that others have made: found by their diffIDs in images that the user names and in what
//! the destination's tag names now, and taken over instead of being converted.
//!
//! Anybody may have made them. By default a layer counts only if it passes all that `verify` checks:
//! its content has the diffID in the source's config, and its TOC describes exactly that content.
//! Checking costs a download and a fraction of the time of compression. A layer that exceeds what
//! the source's layer may come to is given up before it costs more.

mod base;
mod bring;
mod candidate;
mod proof;
mod unfit;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    bring::Brought,
    candidate::{Candidate, Origin},
    proof::Proof,
    unfit::Unfit,
};
use super::{ConvertError, Run, format::Format, markers, plan::LayerKey};
use crate::{
    check::Annotations,
    image::{BlobId, Digest, ImageReference},
    layer::Outline,
    report::{ReuseNote, ReusePlan, ReuseProof, ReuseReport},
};

/// Reading what all candidates say may take this long.
const FIND_TIME: Duration = Duration::from_secs(300);

/// Layers with the same diffID that are looked at.
const ALIKE_MAX: usize = 4;

/// Whose layers may be taken over.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct ReuseOptions {
    /// Nobody's, and not those of an earlier run either.
    pub off: bool,
    /// Those of the image that the source names as its base.
    pub base: bool,
    /// Those of these images.
    pub images: Vec<ImageReference>,
    /// Of an image that is named by digest, the documents of a layer are checked, and not its
    /// content.
    pub trust_digests: bool,
    /// Only those that are made as this run would make them.
    pub same_recipe: bool,
}

/// A layer of a candidate.
#[derive(Debug, Clone)]
struct FoundLayer {
    blob: BlobId,
    annotations: Annotations,
    chunked: bool,
    /// Its image says that this program has made it, with TOCs where possible.
    wanted_toc: bool,
    candidate: Arc<Candidate>,
    /// How its image says that it was made.
    recipe: Option<String>,
    /// Its image has layers that were made in another way.
    is_mixed: bool,
}

/// A layer that the destination has, and that need not be converted.
#[derive(Debug)]
pub(super) struct TakenLayer {
    pub(super) blob: BlobId,
    pub(super) raw_len: u64,
    pub(super) outline: Option<Outline>,
    /// Why it has no TOC although one is wanted.
    pub(super) reason: Option<String>,
    pub(super) report: ReuseReport,
    /// The destination had it before.
    pub(super) already_there: bool,
}

/// What there is, by diffID.
#[derive(Debug, Default)]
pub(super) struct Reusable {
    layers: HashMap<Digest, Vec<FoundLayer>>,
    notes: Vec<ReuseNote>,
}

/// Looks at what the destination's tag names now, and at the images that the user names. Whatever is
/// wrong with them only means that there is nothing to reuse.
pub(super) async fn find(run: &Run<'_>) -> Reusable {
    let (job, plan) = (run.job, &run.plan);
    let mut found = Reusable::default();
    let variants = plan.variants.iter().filter(|variant| variant.format.is_zstd());
    let layers = variants.flat_map(|variant| &plan.image_of(*variant).layers);
    let wanted: HashSet<_> =
        layers.filter(|layer| !layer.foreign).map(|layer| &layer.diff_id).collect();
    if job.reuse.off || wanted.is_empty() {
        return found;
    }
    let bases = if job.reuse.base { base::references(run) } else { Vec::new() };
    let named = job.reuse.images.iter().map(|image| (image, Origin::User));
    // Their layers cost less than the same layers under the destination's tag.
    let is_cheap = |image: &ImageReference| {
        job.reuse.trust_digests && image.registry().is_some() && image.digest().is_some()
    };
    let (cheap, others): (Vec<_>, Vec<_>) = named.partition(|(image, _)| is_cheap(image));
    let named = cheap.into_iter().chain([(&job.destination, Origin::Destination)]).chain(others);
    let end = Instant::now() + FIND_TIME;
    let (mut of_base, mut base_is_used) = (None, false);
    for (image, by) in named.chain(bases.iter().map(|base| (base, Origin::Source))) {
        let before = found.layers.len();
        let note = candidate::read(run, image, by, &wanted, end, &mut found).await;
        let count = found.layers.len() - before;
        tracing::debug!("{image} adds {count} layers to those that may be reused");
        match by {
            Origin::User => found.notes.extend(note),
            // Named by digest and by tag: one will do.
            Origin::Source if note.is_none() => base_is_used = true,
            Origin::Source => of_base = note,
            Origin::Destination => {}
        }
    }
    found.notes.extend(of_base.filter(|_| !base_is_used));
    found
}

impl Reusable {
    /// Adds a layer unless it is of no use, so that it takes no other's place. Fails with the reason.
    fn add(
        &mut self,
        run: &Run<'_>,
        diff_id: &Digest,
        layer: FoundLayer,
    ) -> Result<(), &'static str> {
        let formats = run.plan.variants.iter().map(|variant| variant.format);
        let formats = formats.filter(|format| format.is_zstd());
        formats.map(|format| layer.fits(run, format)).reduce(Result::or).unwrap_or(Ok(()))?;
        let alike = self.layers.entry(diff_id.clone()).or_default();
        let is_new = alike
            .iter()
            .all(|known| known.blob != layer.blob || known.annotations != layer.annotations);
        if is_new && alike.len() < ALIKE_MAX {
            alike.push(layer);
        }
        Ok(())
    }

    /// What there is to say of the images that the user named.
    pub(super) fn notes(&self) -> &[ReuseNote] {
        &self.notes
    }

    /// Whether there is a layer to look at.
    pub(super) fn has(&self, run: &Run<'_>, key: LayerKey<'_>) -> bool {
        self.fitting(run, key).next().is_some()
    }

    fn fitting(&self, run: &Run<'_>, key: LayerKey<'_>) -> impl Iterator<Item = &FoundLayer> {
        let alike = self.layers.get(key.diff_id).into_iter().flatten();
        alike.filter(move |layer| layer.fits(run, key.format).is_ok())
    }

    /// The first of the layers that will be looked at. `source_len` is the length of the source's
    /// blob.
    pub(super) async fn expected(
        &self,
        run: &Run<'_>,
        key: LayerKey<'_>,
        source_len: u64,
    ) -> Result<Option<ReusePlan>, ConvertError> {
        let mut fitting = self.fitting(run, key);
        let short = fitting.find(|layer| layer.check_len(source_len).is_ok());
        let Some(layer) = short else { return Ok(None) };
        let FoundLayer { blob, candidate, .. } = layer;
        let proof = if layer.is_trusted(run) { ReuseProof::Digest } else { ReuseProof::Verified };
        let already_there = candidate.is_there() || run.destination.has_blob(blob).await?;
        let is_sent = !already_there && !candidate.may_be_mounted(run);
        Ok(Some(ReusePlan {
            from: candidate.reference.to_string(),
            digest: blob.digest.clone(),
            size: blob.size,
            proof,
            already_there,
            is_downloaded: proof == ReuseProof::Verified || is_sent,
        }))
    }

    /// The first of the layers that passes, brought to the destination. `source_len` is the length of
    /// the source's blob.
    pub(super) async fn take(
        &self,
        run: &Run<'_>,
        key: LayerKey<'_>,
        source_len: u64,
    ) -> Result<Option<TakenLayer>, ConvertError> {
        for layer in self.fitting(run, key) {
            let proof = layer.prove(run, key, source_len).await;
            let Proof { raw_len, outline, reason, by, blob } = match proof {
                Ok(proof) => proof,
                Err(unfit) => {
                    layer.warn(&unfit);
                    continue;
                }
            };
            let Some(Brought { already_there, mounted }) = layer.bring(run, blob).await? else {
                continue;
            };
            let reason = reason.map(|reason| reason.to_string());
            let report = ReuseReport {
                from: layer.candidate.reference.to_string(),
                proof: by,
                mounted,
                same_recipe: layer.has_recipe(run, key.format) && !layer.is_mixed,
            };
            let blob = layer.blob.clone();
            return Ok(Some(TakenLayer { blob, raw_len, outline, reason, report, already_there }));
        }
        Ok(None)
    }
}

impl FoundLayer {
    /// Whether it is of the kind that is wanted, or why not. An earlier result counts unasked, so it
    /// must have been made as this run would make it.
    fn fits(&self, run: &Run<'_>, format: Format) -> Result<(), &'static str> {
        let same_recipe = run.job.reuse.same_recipe;
        match (self.chunked, format) {
            (_, Format::Gzip) => return Err("gzip is wanted"),
            (true, Format::Zstd) => return Err("plain zstd is wanted, and its layers have a TOC"),
            (false, Format::ZstdChunked) if !self.wanted_toc => {
                return Err("its layers are plain zstd, and it does not say that a TOC was wanted");
            }
            _ => {}
        }
        let needs_recipe = same_recipe || self.candidate.is_destination();
        if needs_recipe && !self.has_recipe(run, format) {
            return Err(if same_recipe {
                "--reuse-recipe=same is set, and it does not say that it was made with the same \
                 format and level"
            } else {
                "it does not say that it was made with the same format and level"
            });
        }
        if same_recipe && self.is_mixed {
            return Err(
                "--reuse-recipe=same is set, and it has layers that were made in other ways",
            );
        }
        Ok(())
    }

    fn warn(&self, unfit: &Unfit) {
        let (digest, from) = (&self.blob.digest, &self.candidate.reference);
        tracing::warn!("cannot reuse layer {digest} of {from}: {unfit}");
    }

    fn has_recipe(&self, run: &Run<'_>, format: Format) -> bool {
        self.recipe.as_ref() == Some(&markers::recipe(run.job, format))
    }
}
