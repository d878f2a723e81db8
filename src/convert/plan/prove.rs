//! Images that stay as they are, checked as thoroughly as those that are made.

use crate::{
    check::{BlobKind, Effect, Findings, Rule},
    convert::{ConvertError, format::Format},
    source::{Source, SourceImage},
    verify::{self, Checks},
};

/// Checks every layer of an image against its diffID, and a TOC against all that clients require.
/// Returns what is wrong, if anything is. Foreign layers are skipped, as in a conversion.
pub(in crate::convert) async fn prove(
    source: &Source,
    image: &SourceImage,
    format: Format,
    checks: &Checks,
) -> Result<Option<String>, ConvertError> {
    verify::expect(image);
    let report = verify::image_report(source, image, checks).await?;
    let layers = report.layers.iter().zip(&image.manifest.layers);
    let layers = layers.filter(|(_, layer)| !layer.is_foreign());
    let of_layers = layers.filter_map(|(report, _)| {
        let wrong = wrong(&report.findings, format, report.kind)?;
        Some(format!("layer {}: {wrong}", report.number))
    });
    Ok(wrong(&report.findings, format, None).into_iter().chain(of_layers).next())
}

fn wrong(findings: &Findings, format: Format, kind: Option<BlobKind>) -> Option<String> {
    // An image that all clients can read is judged by its content, as they do.
    let counts = |rule: Rule| match format {
        Format::Gzip => {
            matches!(rule.effect(), Effect::NoPull | Effect::Unknown)
                || rule == Rule::NotZstd
                || rule == Rule::MediaType && kind.is_some_and(BlobKind::is_zstd)
        }
        Format::Zstd | Format::ZstdChunked => true,
    };
    let errors = findings.kept().iter().filter(|finding| finding.rule.forbids_toc());
    let mut errors = errors.filter(|finding| counts(finding.rule));
    errors.next().map(|finding| format!("{}: {}", finding.rule, finding.detail))
}
