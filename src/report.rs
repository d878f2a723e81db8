//! What a run reports: events while it works, and a summary at its end.

pub(crate) mod html;
pub(crate) mod human;
mod layer;
mod lines;
mod live;
pub(crate) mod paths;
mod plan;
pub mod screen;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;

pub use self::layer::{LayerKind, LayerReport, ReuseNote, ReuseProof, ReuseReport};
pub(crate) use self::plan::{
    LayerAction, LayerPlan, ManifestPlan, PlanReport, ResultPlan, ResultsPlan, ReusePlan,
};
use crate::{
    attached::Attached,
    image::{Digest, ImageReference},
    layer::LayerProgress,
    probe::Probed,
    progress::{self, Work},
};

/// What happens, in the order in which it happens.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A tag was given, and this is what it names.
    Resolved { tag: &'a ImageReference, digest: &'a Digest },
    /// The source has been read.
    Planned {
        /// The image to convert.
        source: &'a ImageReference,
        /// Where it goes.
        destination: &'a ImageReference,
        /// How many manifests are to be made.
        variants: usize,
        /// Length of each layer in bytes.
        sizes: Vec<u64>,
    },
    /// A layer is being converted.
    Started {
        /// Tells it from other layers at work.
        id: usize,
        /// Which layer of which image.
        label: &'a str,
        /// Length of the source blob in bytes.
        size: u64,
        /// How far it is.
        progress: Arc<LayerProgress>,
    },
    /// A layer has been converted.
    Converted {
        id: usize,
        /// Which layer of which image.
        label: &'a str,
        /// What has become of it.
        report: &'a LayerReport,
    },
    /// A layer's new blob is at the destination.
    Stored {
        id: usize,
        /// Which layer of which image.
        label: &'a str,
        /// What has become of it.
        report: &'a LayerReport,
    },
    /// The image has been published and read back.
    Published { summary: &'a Summary },
    /// The destination's registry has been asked what it does for partial pulls.
    Probed { probed: &'a Probed },
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
    pub media_type: String,
}

/// One manifest of an index.
#[derive(Debug, Clone, Serialize)]
pub struct ManifestReport {
    /// As `OS/ARCH[/VARIANT]`, where it has one.
    pub platform: Option<String>,
    /// As in `zstd:chunked`; none if it is no image.
    pub format: Option<&'static str>,
    /// Of the manifest.
    pub digest: Digest,
    /// Of the manifest, in bytes.
    pub size: u64,
    /// This run has made it; otherwise it was in the source.
    pub made: bool,
    /// The manifest that it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<Digest>,
    /// The image ID, the same before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_digest: Option<Digest>,
    /// Each layer of a manifest that was made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerReport>,
}

/// Something of a source index that is not in the new one.
#[derive(Debug, Clone, Serialize)]
pub struct LeftReport {
    pub digest: Digest,
    pub reason: String,
}

/// All about a run, as `--output json` prints it.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The reference as it was given, or with the digest that its tag was resolved to.
    pub source: String,
    /// The manifest that was converted.
    pub source_digest: Digest,
    pub image: ImageReport,
    /// The tag named it before.
    pub already_published: bool,
    /// What else the tag named before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_digest: Option<Digest>,
    /// As in `zstd:chunked`.
    pub format: &'static str,
    /// zstd level of the data.
    pub compression_level: i32,
    /// The image ID, the same before and after, of a single image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_digest: Option<Digest>,
    /// All layers of the source, in bytes; of an index, each that was converted, once.
    pub size_before: u64,
    /// What has become of them, in bytes.
    pub size_after: u64,
    /// How many layers got no TOC although one was wanted.
    pub plain_layers: usize,
    /// How many layers this run has made.
    pub converted_layers: usize,
    /// How many were taken over instead.
    pub reused_layers: usize,
    /// How many have the same blob as in the source.
    pub unchanged_layers: usize,
    /// The new length of the layers that were converted, in bytes.
    #[serde(skip)]
    pub converted_size: u64,
    /// The length of those that were reused, in bytes.
    #[serde(skip)]
    pub reused_size: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reuse_notes: Vec<ReuseNote>,
    /// Each layer of a single image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerReport>,
    /// Each entry of an index, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<ManifestReport>,
    /// What a source index had and the new one does not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<LeftReport>,
    /// Annotations and fields of the source's manifests that spoke of their old bytes, and went.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// What else a reader should know of the entries of an index.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What is attached to the source: signatures, attestations, SBOMs.
    pub attached: Vec<AttachedReport>,
    /// What of that could not be looked at, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unlisted: Vec<String>,
    /// What the destination's registry does for partial pulls, where that was asked.
    pub probe: Option<Probed>,
}

/// Something attached to a manifest of the source.
#[derive(Debug, Clone, Serialize)]
pub struct AttachedReport {
    /// The manifest of the source.
    pub to: Digest,
    /// What is attached to it, and whether it was carried over.
    #[serde(flatten)]
    pub item: Attached,
}

impl Summary {
    /// The layers of all manifests that were made.
    pub fn all_layers(&self) -> impl Iterator<Item = &LayerReport> {
        self.layers.iter().chain(self.manifests.iter().flat_map(|manifest| &manifest.layers))
    }
}

/// What a run does, on standard error, as [`screen`] has it.
#[derive(Debug, Default)]
pub struct Reporter {
    layers: Mutex<HashMap<usize, Work>>,
}

impl Reporter {
    pub fn for_stderr() -> Self {
        Self::default()
    }

    /// Prints an event.
    pub(crate) fn event(&self, event: &Event<'_>) {
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Planned { sizes, .. } => progress::expect(sizes.iter().sum()),
            Event::Started { id, label, size, progress } => {
                let progress = Arc::clone(progress);
                let work =
                    progress::begin(label, "converting", *size, move || progress.bytes_read());
                layers.insert(*id, work);
            }
            Event::Converted { id, report, .. } => match layers.get(id) {
                Some(work) => work.say("storing"),
                None => progress::skip(report.source_size),
            },
            Event::Stored { id, .. } => drop(layers.remove(id)),
            Event::Resolved { .. } | Event::Published { .. } | Event::Probed { .. } => {}
        }
        if let Some(text) = lines::line(event) {
            screen::say(&text);
        }
    }
}
