//! The annotations by which this program recognizes what it has made: from which manifest, and how.

use super::{ConvertJob, format::Format};
use crate::image::{
    Digest,
    annotations::{Annotations, SOURCE_DIGEST},
};

/// On manifests: how the layers are compressed, with level and revision.
const FORMAT: &str = "io.github.recompress-image.format";

/// On manifests: `true` if a layer was taken over that may have been compressed in another way.
const MIXED: &str = "io.github.recompress-image.mixed";

/// Counts the changes of what a zstd blob depends on besides content and level: where files are cut
/// and how hard zstd searches at a level.
const REVISION: u32 = 2;

/// What a layer's blob depends on besides its content.
pub(super) fn recipe(job: &ConvertJob, format: Format) -> String {
    match format {
        Format::Gzip => format!("gzip level {}", job.gzip_level),
        Format::Zstd | Format::ZstdChunked => {
            format!("{format} level {} revision {REVISION}", job.zstd.level)
        }
    }
}

pub(super) fn of_manifest(
    job: &ConvertJob,
    source: &Digest,
    format: Format,
) -> [(&'static str, String); 2] {
    [(SOURCE_DIGEST, source.to_string()), (FORMAT, recipe(job, format))]
}

pub(super) fn of_index(source: &Digest) -> [(&'static str, String); 1] {
    [(SOURCE_DIGEST, source.to_string())]
}

/// What a manifest or an index says that it was made from.
pub(super) fn made_from(annotations: &Annotations) -> Option<&str> {
    annotations.get(SOURCE_DIGEST).map(String::as_str)
}

/// Whether a manifest says that it was made as zstd:chunked.
pub(super) fn is_made_as_chunked(annotations: &Annotations) -> bool {
    let format = annotations.get(FORMAT);
    format.is_some_and(|format| format.starts_with(Format::ZstdChunked.as_str()))
}

/// How a manifest says that its layers were compressed.
pub(super) fn recipe_of(annotations: &Annotations) -> Option<&str> {
    annotations.get(FORMAT).map(String::as_str)
}

/// Whether a manifest says that some of its layers were compressed in another way.
pub(super) fn is_mixed(annotations: &Annotations) -> bool {
    annotations.get(MIXED).is_some_and(|mixed| mixed == "true")
}

/// Says that of a new manifest, or takes back what the source's annotations say.
pub(super) fn of_mixed(is_mixed: bool, source: &Annotations) -> Option<(&'static str, String)> {
    (is_mixed || source.contains_key(MIXED)).then(|| (MIXED, is_mixed.to_string()))
}
