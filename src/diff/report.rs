//! The report of `diff`: what clients fetch, in total, per layer, per file and per directory. Lists
//! are bounded; what they leave out is summed.

mod outlook;
mod text;

pub(crate) use self::outlook::Outlook;

use serde::Serialize;

use crate::image::Digest;

/// The largest files that are listed; all are counted.
pub(crate) const FILES_MAX: usize = 1000;
/// The directories that are listed; the content of others counts for the nearest one above.
pub(crate) const DIRECTORIES_MAX: usize = 1000;

/// What clients that have OLD fetch to get NEW.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DiffReport {
    pub(crate) old: DiffSide,
    pub(crate) new: DiffSide,
    /// One for each platform. Only a single one lists files and directories.
    pub(crate) images: Vec<ImageDiff>,
    /// Platforms that were not compared.
    pub(crate) skipped: Vec<SkippedPlatform>,
}

/// What one of the references leads to.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DiffSide {
    /// As it was given.
    pub(crate) reference: String,
    /// Of the manifest or index.
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct SkippedPlatform {
    pub(crate) platform: String,
    /// [`ONLY_OLD`], [`ONLY_NEW`], or an error.
    pub(crate) reason: String,
}

pub(crate) const ONLY_OLD: &str = "only in OLD";
pub(crate) const ONLY_NEW: &str = "only in NEW";

/// Two images for one platform. All numbers are of bytes, unless their names say otherwise.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ImageDiff {
    pub(crate) platform: Option<String>,
    pub(crate) old: DiffedImage,
    pub(crate) new: DiffedImage,
    pub(crate) clients: Clients,
    /// Files of all layers that are not in OLD.
    pub(crate) files: FileCounts,
    /// Of NEW, the lowest first.
    pub(crate) layers: Vec<LayerDiff>,
    /// Files that are fetched, at least in part, the most bytes first.
    pub(crate) largest: Vec<FileDiff>,
    /// The fetched files that are not listed.
    pub(crate) rest: FileCount,
    /// Sorted by path.
    pub(crate) directories: Vec<DirectoryDiff>,
    /// What could not be found out, and why.
    pub(crate) notes: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct DiffedImage {
    /// Of the manifest.
    pub(crate) digest: Digest,
    /// The image ID.
    pub(crate) config_digest: Digest,
    /// How many layers.
    pub(crate) layers: u64,
    /// How many of them have a TOC that clients use.
    pub(crate) layers_with_toc: u64,
    /// Of all layers, compressed.
    pub(crate) size: u64,
}

/// The same update for each kind of client.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Clients {
    /// Partial pulls that find whole files: on any file system.
    pub(crate) files: Fetched,
    /// Partial pulls that find chunks of files, too: on file systems with reflinks (XFS, btrfs).
    pub(crate) chunks: Fetched,
    /// No partial pulls: each layer that is not in OLD is fetched as a whole.
    pub(crate) layers: Fetched,
    /// The same update if both images are gzip, if that is known.
    pub(crate) gzip: Option<GzipUpdate>,
}

/// What a client fetches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Fetched {
    /// All of the next four.
    pub(crate) total: u64,
    /// Ranges of layers with the content of files.
    pub(crate) ranges: u64,
    /// Layers that are fetched as a whole.
    pub(crate) whole_layers: u64,
    /// TOCs and tar-split streams.
    pub(crate) metadata: u64,
    /// Manifest and config, and the index that leads to them.
    pub(crate) documents: u64,
    /// What docker-registry sends around ranges, not in the total: other registries send more or less.
    pub(crate) overhead: u64,
    /// How many ranges are requested, metadata included.
    pub(crate) range_count: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct GzipUpdate {
    /// As in [`Fetched`].
    pub(crate) total: u64,
    pub(crate) whole_layers: u64,
    pub(crate) documents: u64,
    /// Of all its layers.
    pub(crate) size: u64,
    /// Of the image whose sizes these are.
    pub(crate) digest: Digest,
    /// Where that was found.
    pub(crate) origin: GzipOrigin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GzipOrigin {
    /// It is NEW itself.
    Given,
    /// It is the other entry for the platform in the index of NEW.
    Index,
    /// NEW was made from it, and it is in the same repository or layout.
    Source,
}

/// A layer of NEW.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LayerDiff {
    /// Counted from 1, the lowest layer first.
    pub(crate) number: u64,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) state: LayerState,
    /// Why it is fetched as a whole.
    pub(crate) reason: Option<String>,
    /// By clients that find whole files, TOC and tar-split included.
    pub(crate) fetched: u64,
    /// By clients that find chunks, too.
    pub(crate) fetched_with_chunks: u64,
    /// Compressed TOC and tar-split.
    pub(crate) metadata: u64,
    /// Zeros that nobody fetches, uncompressed.
    pub(crate) holes: u64,
    pub(crate) files: FileCounts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LayerState {
    /// OLD has it: nothing is fetched.
    Same,
    /// Its files are compared with those of OLD.
    Partial,
    /// Fetched as a whole.
    Whole,
}

/// Files that are not empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct FileCounts {
    /// A layer of OLD has the same content, under any name.
    pub(crate) same: FileCount,
    /// OLD has a file with the same path and other content.
    pub(crate) changed: FileCount,
    /// OLD has no file with this path.
    pub(crate) new: FileCount,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct FileCount {
    /// How many.
    pub(crate) files: u64,
    /// Uncompressed.
    pub(crate) size: u64,
    /// What they take in the blobs.
    pub(crate) compressed: u64,
    /// By clients that find whole files.
    pub(crate) fetched: u64,
    /// By clients that find chunks, too.
    pub(crate) fetched_with_chunks: u64,
}

/// A file that is fetched, at least in part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FileDiff {
    /// As the TOC has it; a very long one is cut.
    pub(crate) name: String,
    pub(crate) state: FileState,
    /// Number of its layer.
    pub(crate) layer: u64,
    /// Uncompressed.
    pub(crate) size: u64,
    /// By clients that find whole files.
    pub(crate) fetched: u64,
    /// By clients that find chunks, too.
    pub(crate) fetched_with_chunks: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileState {
    Changed,
    New,
}

/// A directory, without those below it that are listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DirectoryDiff {
    /// Components joined by `/`, without one at either end; the root is empty.
    pub(crate) path: String,
    pub(crate) files: FileCounts,
}
