//! What a run has done, for its report.

use super::{
    Run,
    attachments::Attachments,
    documents::made_format,
    format::{Format, Wanted},
    layers::ConvertedLayers,
    publish::Published,
};
use crate::{
    chunked::{annotations::ChunkedAnnotations, footer::Position},
    image::BlobId,
    probe::ProbeBlob,
    report::{LayerReport, Summary},
};

pub(super) fn summary(
    run: &Run<'_>,
    published: Published,
    layers: ConvertedLayers,
    attachments: Attachments,
) -> Summary {
    let (job, plan) = (run.job, &run.plan);
    let Published { image, before, manifests, left, removed } = published;
    let ConvertedLayers { mut of_variant, distinct, reuse_notes } = layers;
    let (attached, unlisted) = attachments.report();
    // Layers of an index are reported with the manifests that have them.
    let (config_digest, layers, counted) = if plan.index.is_some() {
        (None, Vec::new(), distinct)
    } else {
        let layers = of_variant.pop().unwrap_or_default();
        let config = plan.images.first();
        let config = config.map(|image| image.source.manifest.config.blob.digest.clone());
        (config, layers.clone(), layers)
    };
    let makes = |format| job.wanted.makes(format);
    Summary {
        source: job.source.to_string(),
        source_digest: plan.digest.clone(),
        format: match &job.wanted {
            Wanted::Image { format, .. } => made_format(*format, &layers),
            wanted @ Wanted::Index { .. } => wanted.name(),
        },
        compression_level: if makes(Format::ZstdChunked) || makes(Format::Zstd) {
            job.zstd.level
        } else {
            i32::try_from(job.gzip_level).unwrap_or_default()
        },
        config_digest,
        size_before: counted.iter().map(|layer| layer.source_size).sum(),
        size_after: counted.iter().map(|layer| layer.size).sum(),
        plain_layers: counted.iter().filter(|layer| layer.reason.is_some()).count(),
        converted_layers: LayerSum::of(&counted, LayerReport::is_converted).layers,
        reused_layers: LayerSum::of(&counted, |layer| layer.reused).layers,
        unchanged_layers: LayerSum::of(&counted, LayerReport::is_unchanged).layers,
        converted_size: LayerSum::of(&counted, LayerReport::is_converted).size,
        reused_size: LayerSum::of(&counted, |layer| layer.reused).size,
        reuse_notes,
        already_published: before.as_ref() == Some(&image.digest),
        replaced_digest: before.filter(|before| *before != image.digest),
        image,
        layers,
        manifests,
        left,
        removed,
        notes: plan.notes.clone(),
        attached,
        unlisted,
        probe: None,
    }
}

/// How many layers of a kind there are, and their new length.
struct LayerSum {
    layers: usize,
    size: u64,
}

impl LayerSum {
    fn of(layers: &[LayerReport], is_counted: impl Fn(&LayerReport) -> bool) -> Self {
        let all = layers.iter().filter(|layer| is_counted(layer));
        all.fold(Self { layers: 0, size: 0 }, |sum, layer| Self {
            layers: sum.layers + 1,
            size: sum.size.saturating_add(layer.size),
        })
    }
}

/// The new layers that can be pulled partially.
pub(super) fn chunked<'a>(layers: impl Iterator<Item = &'a LayerReport>) -> Vec<ProbeBlob> {
    let blob = |layer: &LayerReport| {
        let ChunkedAnnotations { toc_digest, toc, tar_split } =
            &layer.outline.as_ref()?.annotations;
        let range = |at: &Position| at.offset..at.offset + at.len;
        Some(ProbeBlob {
            blob: BlobId { digest: layer.digest.clone(), size: layer.size },
            metadata: Some((toc_digest.clone(), [range(toc), range(tar_split)])),
        })
    };
    layers.filter_map(blob).collect()
}
