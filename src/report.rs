//! What a run tells: events while it works, and a summary at its end.

mod bars;
pub mod human;
mod lines;

use std::sync::Arc;

use serde::Serialize;

use crate::{
    image::{Digest, ImageReference, manifest::Descriptor},
    layer::{Compression, Outline, Progress},
    probe::Probed,
};

/// What happens, in the order in which it happens.
#[derive(Debug)]
pub enum Event<'a> {
    /// The source has been read.
    Planned {
        /// The image to convert.
        source: &'a ImageReference,
        /// Where it goes.
        destination: &'a ImageReference,
        /// Length of each layer in bytes.
        sizes: Vec<u64>,
    },
    /// A layer is being converted.
    Started {
        /// Counted from 1.
        number: usize,
        /// Length of the source blob in bytes.
        size: u64,
        /// How far it is.
        progress: Arc<Progress>,
    },
    /// A layer has been converted.
    Converted {
        /// What has become of it.
        report: &'a LayerReport,
    },
    /// A layer's new blob is at the destination.
    Stored {
        /// What has become of it.
        report: &'a LayerReport,
    },
    /// The image has been published and read back.
    Published {
        /// The whole story.
        summary: &'a Summary,
    },
    /// The destination's registry has been asked what it does for partial pulls.
    Probed {
        /// What came out.
        probed: &'a Probed,
    },
}

/// What a layer has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum LayerKind {
    /// With a TOC.
    #[serde(rename = "zstd:chunked")]
    ZstdChunked,
    /// Without one.
    #[serde(rename = "zstd")]
    Zstd,
    /// As it was: it is not fetched from the registry, and was not read.
    #[serde(rename = "foreign")]
    Foreign,
}

impl LayerKind {
    /// As users write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ZstdChunked => "zstd:chunked",
            Self::Zstd => "zstd",
            Self::Foreign => "foreign",
        }
    }
}

/// One layer's story.
#[derive(Debug, Clone, Serialize)]
pub struct LayerReport {
    /// Counted from 1, the lowest layer first.
    pub number: usize,
    /// The source's blob.
    pub source_digest: Digest,
    /// Its length in bytes.
    pub source_size: u64,
    /// How it was compressed.
    pub source_compression: Option<Compression>,
    /// Digest of the content, the same before and after.
    pub diff_id: Digest,
    /// Length of the content in bytes.
    pub uncompressed_size: Option<u64>,
    /// What it has become.
    pub kind: LayerKind,
    /// The new blob.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Why it has no TOC although one was wanted.
    pub reason: Option<String>,
    /// The TOC.
    #[serde(flatten, serialize_with = "outline")]
    pub outline: Option<Outline>,
    /// The destination had the new blob before.
    pub already_there: bool,
}

impl LayerReport {
    pub(crate) fn foreign(number: usize, blob: &Descriptor, diff_id: &Digest) -> Self {
        Self {
            number,
            source_digest: blob.digest.clone(),
            source_size: blob.size,
            source_compression: None,
            diff_id: diff_id.clone(),
            uncompressed_size: None,
            kind: LayerKind::Foreign,
            digest: blob.digest.clone(),
            size: blob.size,
            reason: None,
            outline: None,
            already_there: true,
        }
    }
}

/// What was published.
#[derive(Debug, Clone, Serialize)]
pub struct ImageReport {
    /// `repository:tag`.
    pub url: String,
    /// Of the manifest.
    pub digest: Digest,
    /// `repository:tag@digest`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Of the manifest.
    pub media_type: &'static str,
}

/// The whole story of a run, as `--output json` prints it.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The reference as it was given.
    pub source: String,
    /// The manifest that was converted.
    pub source_digest: Digest,
    /// The new image.
    pub image: ImageReport,
    /// As in `zstd:chunked`.
    pub format: &'static str,
    /// zstd level of the data.
    pub compression_level: i32,
    /// The image ID, the same before and after.
    pub config_digest: Digest,
    /// All layers of the source, in bytes.
    pub size_before: u64,
    /// All layers of the new image, in bytes.
    pub size_after: u64,
    /// How many layers got no TOC although one was wanted.
    pub plain_layers: usize,
    /// Each layer.
    pub layers: Vec<LayerReport>,
    /// What the destination's registry does for partial pulls, where that was asked.
    pub probe: Option<Probed>,
}

#[derive(Serialize)]
struct OutlineFields {
    entries: u64,
    files: u64,
    chunks: u64,
    toc_size: u64,
    tar_split_size: u64,
}

#[expect(clippy::ref_option, reason = "the form that serde asks for")]
fn outline<S: serde::Serializer>(
    outline: &Option<Outline>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let fields = outline.as_ref().map(|outline| OutlineFields {
        entries: outline.entries,
        files: outline.files,
        chunks: outline.chunks,
        toc_size: outline.annotations.toc.len,
        tar_split_size: outline.annotations.tar_split.len,
    });
    fields.serialize(serializer)
}

/// Tells a person what happens, on standard error.
#[derive(Debug)]
pub enum Reporter {
    /// A line for each event, for logs.
    Lines,
    /// The same lines, with a bar for each layer at work below them.
    Bars(bars::Bars),
}

impl Reporter {
    /// Bars on a terminal, plain lines elsewhere.
    pub fn for_stderr() -> Self {
        use std::io::IsTerminal as _;
        if std::io::stderr().is_terminal() { Self::Bars(bars::Bars::new()) } else { Self::Lines }
    }

    /// Tells of an event.
    pub fn event(&self, event: &Event<'_>) {
        match self {
            Self::Lines => lines::print(event),
            Self::Bars(bars) => bars.event(event),
        }
    }
}
