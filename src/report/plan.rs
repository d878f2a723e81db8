//! What a run would do: the report of a dry run, as text and as JSON.

use std::fmt;

use serde::Serialize;

use super::{AttachedReport, LeftReport, ReuseNote, ReuseProof, human::size};
use crate::image::Digest;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct PlanReport {
    /// Always true: it tells this report from that of a run.
    pub(crate) dry_run: bool,
    /// The reference as it was given.
    pub(crate) source: String,
    /// The manifest that would be converted.
    pub(crate) source_digest: Digest,
    /// With its tag.
    pub(crate) destination: String,
    /// What that tag names now.
    pub(crate) destination_digest: Option<Digest>,
    /// Why that is not known. The run replaces it all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) destination_problem: Option<String>,
    /// As in `zstd:chunked`.
    pub(crate) format: &'static str,
    /// The image, or the entries of the index, in order.
    pub(crate) manifests: Vec<ManifestPlan>,
    /// The distinct ones.
    pub(crate) layers: Vec<LayerPlan>,
    /// Bytes of layers to convert or to reuse that have to be downloaded, if what is to be reused
    /// passes its checks, and can be mounted where it is in the same registry.
    pub(crate) download_size: u64,
    /// What a source index has and the new one will not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) left: Vec<LeftReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
    /// What is attached to the source.
    pub(crate) attached: Vec<AttachedReport>,
    /// What of that could not be looked at, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unlisted: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) reuse_notes: Vec<ReuseNote>,
    pub(crate) results: ResultsPlan,
    /// They would be written.
    #[serde(skip)]
    pub(crate) writes_results: bool,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ManifestPlan {
    /// As `OS/ARCH[/VARIANT]`.
    pub(crate) platform: Option<String>,
    /// As in `zstd:chunked`; none if it is no image.
    pub(crate) format: Option<&'static str>,
    /// Whether it would be made; otherwise it is the source's.
    pub(crate) made: bool,
    /// The manifest that it is made from, or that stays.
    pub(crate) source_digest: Digest,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct LayerPlan {
    /// Which layer of which image.
    pub(crate) layer: String,
    /// Counted from 1, the lowest layer first.
    pub(crate) number: usize,
    /// The source's blob.
    pub(crate) source_digest: Digest,
    /// Its length in bytes.
    pub(crate) source_size: u64,
    /// How it is compressed, as its image says.
    pub(crate) source_format: &'static str,
    /// Digest of the content.
    pub(crate) diff_id: Digest,
    /// What it is to become, as in `zstd:chunked`.
    pub(crate) format: &'static str,
    #[serde(flatten)]
    pub(crate) action: LayerAction,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub(crate) enum LayerAction {
    Convert {
        /// The source's blob is what comes of it, if the source says the truth.
        unchanged: bool,
    },
    /// Take over a finished layer. If it fails its check, the layer is converted.
    Reuse(ReusePlan),
    /// It is foreign: clients fetch it from elsewhere.
    Keep,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ReusePlan {
    /// The image that has the layer.
    pub(crate) from: String,
    /// Its blob there.
    pub(crate) digest: Digest,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// How it would be checked.
    pub(crate) proof: ReuseProof,
    /// The destination has it already.
    pub(crate) already_there: bool,
    /// All of it has to be downloaded: to check it, or to upload it.
    #[serde(skip)]
    pub(crate) is_downloaded: bool,
}

impl ReusePlan {
    /// Bytes to download.
    pub(crate) fn download(&self) -> u64 {
        // TOC and tar-split alone do not matter here.
        if self.is_downloaded { self.size } else { 0 }
    }
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ResultsPlan {
    /// In a termination message, at most, in bytes.
    pub(crate) size: usize,
    /// As in `--results-limit`.
    pub(crate) limit: usize,
    pub(crate) results: Vec<ResultPlan>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ResultPlan {
    pub(crate) name: &'static str,
    /// Of its value, at most, in bytes.
    pub(crate) size: usize,
}

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n  to {}", self.source, self.destination)?;
        match (&self.destination_digest, &self.destination_problem) {
            (Some(digest), _) => writeln!(f, "  whose tag names {digest} now")?,
            (None, Some(problem)) => writeln!(f, "  whose tag will be replaced: {problem}")?,
            (None, None) => writeln!(f, "  a new tag")?,
        }
        for manifest in &self.manifests {
            if let Some(platform) = &manifest.platform {
                write!(f, "{platform}: ")?;
            }
            let digest = &manifest.source_digest;
            let short = digest.as_str().get(.."sha256:".len() + 12).unwrap_or(digest.as_str());
            match (manifest.format, manifest.made) {
                (Some(format), true) => writeln!(f, "new {format} manifest from {short}")?,
                (Some(format), false) => writeln!(f, "{format} manifest {short} is kept")?,
                (None, _) => writeln!(f, "{short}, no image, is kept")?,
            }
        }
        for layer in &self.layers {
            layer.fmt(f)?;
        }
        for AttachedReport { item, .. } in &self.attached {
            writeln!(f, "attached to the source: {} {}", item.kind.as_str(), item.digest)?;
        }
        for what in &self.unlisted {
            writeln!(f, "warning: incomplete list of attachments of the source: {what}")?;
        }
        for LeftReport { digest, reason } in &self.left {
            writeln!(f, "leave out {digest}: {reason}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for ReuseNote { image, note, .. } in self.reuse_notes.iter().filter(|note| !note.logged) {
            writeln!(f, "--reuse-from {image}: {note}")?;
        }
        self.transfer(f)?;
        if self.writes_results {
            let ResultsPlan { size, limit, results } = &self.results;
            let names: Vec<_> = results.iter().map(|result| result.name).collect();
            writeln!(f, "results: {}; {size} of {limit} bytes", names.join(", "))?;
        }
        writeln!(f, "dry run: nothing was written")
    }
}

impl PlanReport {
    /// What has to be read of layers, and why.
    fn transfer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut convert, mut reuse) = (0_u64, 0_u64);
        for layer in &self.layers {
            match &layer.action {
                LayerAction::Convert { .. } => convert = convert.saturating_add(layer.source_size),
                LayerAction::Reuse(plan) => reuse = reuse.saturating_add(plan.download()),
                LayerAction::Keep => {}
            }
        }
        let on_disk = ["oci:", "oci-archive:", "docker-archive:"];
        let is_on_disk = on_disk.iter().any(|prefix| self.source.starts_with(prefix));
        let how = if is_on_disk { "read" } else { "download" };
        let parts = [(convert, "to convert"), (reuse, "to verify or copy")];
        let parts = parts.into_iter().filter(|(bytes, _)| *bytes > 0);
        let parts: Vec<_> = parts.map(|(bytes, why)| format!("{} {why}", size(bytes))).collect();
        let parts = if parts.is_empty() { "none".to_owned() } else { parts.join(", ") };
        writeln!(f, "layers to {how}: {parts}")
    }
}

impl fmt::Display for LayerPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layer, source_size, source_format, format, action, .. } = self;
        match action {
            LayerAction::Convert { unchanged: true } if *format == "gzip" => {
                writeln!(f, "{layer}: {format} {}, unchanged", size(*source_size))
            }
            LayerAction::Convert { unchanged: true } => writeln!(
                f,
                "{layer}: {source_format} {}, kept if its annotations are right",
                size(*source_size)
            ),
            LayerAction::Convert { unchanged: false } => {
                writeln!(f, "{layer}: convert {source_format} {} to {format}", size(*source_size))
            }
            LayerAction::Keep => writeln!(f, "{layer}: keep by reference, because it is foreign"),
            LayerAction::Reuse(ReusePlan { from, size: len, proof, already_there, .. }) => {
                let there = if *already_there { "already at the destination; " } else { "" };
                let check = match proof {
                    ReuseProof::Digest => "if its TOC is right; trusted by digest",
                    ReuseProof::Verified | ReuseProof::Converted => "if it verifies",
                };
                writeln!(f, "{layer}: {there}reused from {from} ({}) {check}", size(*len))
            }
        }
    }
}
