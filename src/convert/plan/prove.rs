//! Images that stay as they are, checked as thoroughly as those that are made.

use crate::{
    check::{Findings, Rule},
    convert::{ConvertError, format::Format},
    limits::Limits,
    source::{Source, SourceImage},
    verify,
};

/// Checks every layer of an image against its diffID, and a TOC against all that clients ask of it.
/// Returns what is wrong, if anything is. Foreign layers are passed over, as in a conversion.
pub(super) async fn prove(
    source: &Source,
    image: &SourceImage,
    format: Format,
    limits: Limits,
) -> Result<Option<String>, ConvertError> {
    let report = verify::image_report(source, image, limits).await?;
    // An image that all clients can read is judged as they do it, by its content.
    let counts = |rule: Rule| match format {
        Format::Gzip => rule.effect() == crate::check::Effect::NoPull,
        Format::Zstd | Format::ZstdChunked => true,
    };
    let wrong = |findings: &Findings| {
        let errors = findings.kept().iter().filter(|finding| finding.rule.forbids_toc());
        let mut errors = errors.filter(|finding| counts(finding.rule));
        errors.next().map(|finding| format!("{}: {}", finding.rule, finding.detail))
    };
    let layers = report.layers.iter().zip(&image.manifest.layers);
    let layers = layers.filter(|(_, layer)| !layer.is_foreign());
    let of_layers = layers.filter_map(|(report, _)| {
        Some(format!("layer {}: {}", report.number, wrong(&report.findings)?))
    });
    Ok(wrong(&report.findings).into_iter().chain(of_layers).next())
}
