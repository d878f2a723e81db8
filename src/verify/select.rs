//! Which images are verified: all that an index has, or those for one platform. Others are
//! reported as skipped.

use std::collections::VecDeque;

use super::{SkippedEntry, VerifyError};
use crate::{
    check::{Findings, Rule},
    image::{Descriptor, EntryKind, Platform},
    source::{Source, SourceImage},
    store::RawManifest,
};

/// Indexes within indexes are followed this deep.
const DEPTH_MAX: usize = 4;

/// An image with what is wrong with the entry that led to it.
#[derive(Debug)]
pub(super) struct SelectedImage {
    pub(super) image: SourceImage,
    pub(super) findings: Findings,
}

/// The images that are meant.
pub(super) async fn select(
    source: &Source,
    raw: &RawManifest,
    platform: Option<&Platform>,
) -> Result<(Vec<SelectedImage>, Vec<SkippedEntry>), VerifyError> {
    if !raw.is_index() {
        let image = source.choose(raw.clone(), platform).await?;
        return Ok((vec![SelectedImage { image, findings: Findings::default() }], Vec::new()));
    }
    let (mut images, mut skipped) = (Vec::new(), Vec::new());
    let mut indexes = VecDeque::from([(raw.clone(), 1)]);
    while let Some((raw, depth)) = indexes.pop_front() {
        for entry in source.index(&raw)?.entries() {
            let mut skip = |reason: String| {
                skipped.push(SkippedEntry { digest: entry.blob.digest.clone(), reason });
            };
            let is_other = |found: &Platform| platform.is_some_and(|it| it.fit(found).is_none());
            match entry.entry_kind() {
                EntryKind::Attestation { .. } => skip("it is an attestation".into()),
                EntryKind::Unknown => skip(format!("its type is {:?}", entry.media_type)),
                EntryKind::Index if depth == DEPTH_MAX => {
                    skip(format!("it is an index nested in {DEPTH_MAX} others"));
                }
                EntryKind::Index => {
                    indexes.push_back((source.manifest(&entry.blob.digest).await?, depth + 1));
                }
                EntryKind::Manifest if entry.platform().is_some_and(is_other) => {}
                EntryKind::Manifest => {
                    let raw = source.manifest(&entry.blob.digest).await?;
                    match source.image(raw, entry.platform()).await {
                        Ok(image) if image.platform.as_ref().is_some_and(is_other) => {}
                        Ok(image) => {
                            let findings = compare(entry, &image);
                            images.push(SelectedImage { image, findings });
                        }
                        Err(error) if error.is_unfit() => skip(error.to_string()),
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
    }
    if let (true, Some(platform)) = (images.is_empty(), platform) {
        // For its message.
        source.choose(raw.clone(), Some(platform)).await?;
    }
    if images.is_empty() {
        let reference = source.reference().clone();
        let reasons = skipped.into_iter().map(|entry| entry.reason).collect();
        return Err(VerifyError::NoImage { reference, reasons });
    }
    Ok((images, skipped))
}

/// Holds an entry against the manifest that it leads to.
fn compare(entry: &Descriptor, image: &SourceImage) -> Findings {
    let mut findings = Findings::default();
    let (digest, raw) = (&entry.blob.digest, &image.raw);
    if entry.blob.size != raw.size() {
        let detail =
            format!("{digest} has {} bytes, its entry says {}", raw.size(), entry.blob.size);
        findings.add(Rule::IndexEntry, detail);
    }
    if entry.media_type != raw.media_type {
        let detail =
            format!("{digest} is {:?}, its entry says {:?}", raw.media_type, entry.media_type);
        findings.add(Rule::IndexEntry, detail);
    }
    if entry.is_marked() && image.manifest.is_readable_by_all() && !image.layer_types.is_empty() {
        findings.add(Rule::ZstdMark, format!("{digest} is marked and has no zstd layer"));
    }
    findings
}
