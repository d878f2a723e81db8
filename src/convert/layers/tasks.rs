//! The work that a plan comes to: each content once for each format, however many layers have it.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use crate::{
    convert::{
        ConvertError, Run,
        format::Format,
        plan::{LayerKey, Plan, PlannedLayer},
    },
    image::{Digest, Platform},
    report::{LayerReport, ReuseProof, ReuseReport},
};

/// One piece of work.
pub(super) struct LayerTask<'a> {
    pub(super) id: usize,
    /// For messages: which layer of which image.
    pub(super) label: String,
    pub(super) number: usize,
    /// The first layer of the plan that needs it: which blob is read does not depend on timing.
    pub(super) layer: &'a PlannedLayer,
    pub(super) key: LayerKey<'a>,
}

/// A layer of a variant, and the task that makes it.
pub(super) struct LayerUse<'a> {
    pub(super) task: usize,
    pub(super) label: String,
    number: usize,
    pub(super) layer: &'a PlannedLayer,
}

/// All work, and the layers of each variant.
pub(super) struct Tasks<'a> {
    pub(super) all: Vec<LayerTask<'a>>,
    pub(super) uses: Vec<Vec<LayerUse<'a>>>,
}

impl<'a> Tasks<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        let (mut all, mut known, mut uses) = (Vec::new(), HashMap::new(), Vec::new());
        let contradicted = contradicted(plan);
        let kept: HashSet<_> = plan.kept().collect();
        for variant in &plan.variants {
            let image = plan.image_of(*variant);
            let platform = image.source.platform.as_ref().filter(|_| plan.index.is_some());
            let is_kept = kept.contains(&image.source.raw.digest);
            let of_layer = |(place, layer): (usize, &'a PlannedLayer)| {
                let is_itself =
                    layer.foreign || is_kept || contradicted.contains(&layer.blob.digest);
                let key = layer.key(variant.format, place == 0, is_itself);
                let (number, label) = (place + 1, label(platform, place + 1));
                let task = *known.entry((key, layer.foreign)).or_insert_with(|| {
                    let (id, label) = (all.len(), label.clone());
                    all.push(LayerTask { id, label, number, layer, key });
                    id
                });
                LayerUse { task, label, number, layer }
            };
            uses.push(image.layers.iter().enumerate().map(of_layer).collect());
        }
        Self { all, uses }
    }

    /// Tasks that may have the same outcome: those of the lowest layer and of another one, in this
    /// order. The largest come first, so that none of them is left to run alone at the end.
    pub(super) fn groups(&self) -> Vec<Vec<&LayerTask<'a>>> {
        let (mut groups, mut known) = (Vec::<Vec<_>>::new(), HashMap::new());
        for task in &self.all {
            let anywhere = (LayerKey { lowest: false, ..task.key }, task.layer.foreign);
            let group = *known.entry(anywhere).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[group].push(task);
        }
        for group in &mut groups {
            group.sort_by_key(|task| !task.key.lowest);
        }
        groups.sort_by_key(|group| Reverse(group.first().map(|task| task.layer.blob.size)));
        groups
    }

    /// The first of each group, as the plan has them: mostly it does for the others, which is known
    /// only once it is done.
    pub(super) fn first(&self) -> Vec<&LayerTask<'a>> {
        let groups = self.groups().into_iter();
        let mut first: Vec<_> = groups.filter_map(|group| group.first().copied()).collect();
        first.sort_by_key(|task| task.id);
        first
    }
}

/// Blobs that are said to have several contents. At least one of these claims is wrong, which only
/// reading the blob for each of them finds.
fn contradicted(plan: &Plan) -> HashSet<&Digest> {
    let (mut known, mut contradicted) = (HashMap::new(), HashSet::new());
    for PlannedLayer { blob, diff_id, .. } in plan.images.iter().flat_map(|image| &image.layers) {
        if *known.entry(&blob.digest).or_insert(diff_id) != diff_id {
            contradicted.insert(&blob.digest);
        }
    }
    contradicted
}

fn label(platform: Option<&Platform>, number: usize) -> String {
    match platform {
        Some(platform) => format!("{platform} layer {number}"),
        None => format!("layer {number}"),
    }
}

impl LayerTask<'_> {
    /// The report of a layer that stays as it is.
    pub(super) fn unchanged(&self) -> LayerReport {
        let PlannedLayer { blob, diff_id, format, .. } = self.layer;
        LayerReport {
            source_is_chunked: *format == Format::ZstdChunked.as_str(),
            ..LayerReport::foreign(self.number, blob, diff_id)
        }
    }

    /// Whether `made`, by the task before it in its group, is what this one would make: a TOC that
    /// leaves nothing out has not come about because the layer is the lowest.
    pub(super) fn is_done_by(&self, made: &LayerReport) -> bool {
        let outline = made.outline.as_ref();
        self.key.format == Format::ZstdChunked
            && outline.is_some_and(|outline| outline.left_out.is_empty())
    }

    /// A foreign layer stays without a TOC.
    pub(super) fn check_foreign(&self, run: &Run<'_>) -> Result<(), ConvertError> {
        let reason = "it is foreign: clients fetch it from elsewhere, as it is";
        if run.job.require_chunked { Err(self.not_chunkable(reason)) } else { Ok(()) }
    }

    pub(super) fn not_chunkable(&self, reason: &str) -> ConvertError {
        ConvertError::NotChunkable {
            label: self.label.clone(),
            digest: self.layer.blob.digest.clone(),
            reason: reason.to_owned(),
        }
    }
}

impl LayerUse<'_> {
    /// The report of this layer, which is what `label` has become.
    pub(super) fn report(&self, made: &LayerReport, label: &str) -> LayerReport {
        let same = LayerReport { number: self.number, ..made.clone() };
        if !self.is_taken_over(made) {
            return same;
        }
        let converted = || ReuseReport {
            from: label.to_owned(),
            proof: ReuseProof::Converted,
            mounted: false,
            same_recipe: true,
        };
        LayerReport {
            source_digest: self.layer.blob.digest.clone(),
            source_size: self.layer.blob.size,
            source_format: None,
            reused: true,
            reuse: Some(same.reuse.clone().unwrap_or_else(converted)),
            ..same
        }
    }

    /// Whether it is another blob that `made` was made from.
    pub(super) fn is_taken_over(&self, made: &LayerReport) -> bool {
        self.layer.blob.digest != made.source_digest
    }
}
