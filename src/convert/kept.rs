//! Images that stay in the index and that others were made from: what was not read to make those is
//! read now.

use std::collections::HashSet;

use super::{ConvertError, Run, format::Format, layers::ConvertedLayers, plan::prove};
use crate::{image::media_type::Suffix, report::LayerReport, verify::Checks};

/// Fails unless each kept image that a variant was made from is what it claims to be.
pub(super) async fn check(run: &Run<'_>, layers: &ConvertedLayers) -> Result<(), ConvertError> {
    let kept: HashSet<_> = run.plan.kept().collect();
    let checks = Checks::new(run.job.limits);
    for (variant, reports) in run.plan.variants.iter().zip(&layers.of_variant) {
        let image = &run.plan.image_of(*variant).source;
        let digest = &image.raw.digest;
        if !kept.contains(digest) || !image.manifest.is_readable_by_all() {
            continue;
        }
        let wrong = if reports.iter().any(|report| report.reused) {
            prove(&run.source, image, Format::Gzip, &checks).await?
        } else {
            let layers = image.manifest.layers.iter().zip(&image.layer_types).zip(reports);
            let mut wrong = layers.filter_map(|((layer, layer_type), report)| {
                mismatch(layer.is_chunked(), layer_type.suffix, report)
            });
            wrong.next()
        };
        if let Some(reason) = wrong {
            return Err(ConvertError::Kept { digest: digest.clone(), reason });
        }
    }
    Ok(())
}

/// What a layer turned out to be, if clients that go by its media type or annotations would fail.
fn mismatch(chunked: bool, suffix: Suffix, report: &LayerReport) -> Option<String> {
    let found = report.source_format?;
    let number = report.number;
    if found.is_zstd() && suffix != Suffix::Zstd {
        return Some(format!("layer {number} is zstd, but its media type is another one"));
    }
    (chunked && !found.is_zstd())
        .then(|| format!("layer {number} has the annotations of a TOC, but is {found}"))
}
