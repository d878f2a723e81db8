//! The report of `verify`, as text and as JSON.

use std::fmt;

use bytesize::ByteSize;
use serde::Serialize;

use crate::{
    check::{BlobKind, Findings, LayerVerdict, TocTotals},
    image::{Descriptor, Digest},
    report::human::counted,
};

/// A verification.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct VerifyReport {
    /// The reference as it was given.
    pub(crate) reference: String,
    /// What it led to: a manifest or an index.
    pub(crate) digest: Digest,
    /// With 0 the image is verified.
    pub(crate) errors: u64,
    pub(crate) warnings: u64,
    /// Entries of the index that are not images, and were not looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) skipped: Vec<SkippedEntry>,
    pub(crate) images: Vec<VerifiedImage>,
}

/// An entry of an index that was not looked at.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SkippedEntry {
    pub(crate) digest: Digest,
    pub(crate) reason: String,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct VerifiedImage {
    /// Of its manifest.
    pub(crate) digest: Digest,
    /// By the index.
    pub(crate) platform: Option<String>,
    /// The image ID.
    pub(crate) config_digest: Digest,
    /// What is wrong with the manifest or the config.
    pub(crate) findings: Findings,
    /// Each layer, the lowest first.
    pub(crate) layers: Vec<VerifiedLayer>,
    /// The image it was compared with.
    pub(crate) against: Option<AgainstReport>,
}

/// The image that another one is to be the same as.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AgainstReport {
    /// The reference as it was given.
    pub(crate) reference: String,
    /// Of its manifest.
    pub(crate) digest: Digest,
    /// What is wrong with the manifest or the config.
    pub(crate) findings: Findings,
    /// Each layer, of which the content alone was checked.
    pub(crate) layers: Vec<VerifiedLayer>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct VerifiedLayer {
    /// Counted from 1, the lowest layer first.
    pub(crate) number: usize,
    /// Of the blob.
    pub(crate) digest: Digest,
    /// Length of the blob in bytes.
    pub(crate) size: u64,
    /// How it is compressed; nothing for a layer that was not read.
    #[serde(rename = "format")]
    pub(crate) kind: Option<BlobKind>,
    /// Length of the content in bytes.
    pub(crate) uncompressed_size: Option<u64>,
    /// What the TOC has.
    #[serde(flatten)]
    pub(crate) totals: Option<TocTotals>,
    pub(crate) findings: Findings,
}

impl VerifiedLayer {
    pub(super) fn new(number: usize, layer: &Descriptor, verdict: LayerVerdict) -> Self {
        Self {
            kind: Some(verdict.kind),
            uncompressed_size: Some(verdict.tar_len),
            totals: verdict.totals,
            ..Self::unread(number, layer, verdict.findings)
        }
    }

    pub(super) fn unread(number: usize, layer: &Descriptor, findings: Findings) -> Self {
        Self {
            number,
            digest: layer.blob.digest.clone(),
            size: layer.blob.size,
            kind: None,
            uncompressed_size: None,
            totals: None,
            findings,
        }
    }
}

impl VerifyReport {
    pub(super) fn new(
        reference: String,
        digest: Digest,
        skipped: Vec<SkippedEntry>,
        images: Vec<VerifiedImage>,
    ) -> Self {
        let of_layers = |layers: &[VerifiedLayer]| -> Vec<(u64, u64)> {
            layers.iter().map(|layer| layer.findings.weigh()).collect()
        };
        let all = images.iter().flat_map(|image| {
            let mut all = of_layers(&image.layers);
            all.push(image.findings.weigh());
            if let Some(against) = &image.against {
                all.push(against.findings.weigh());
                all.extend(of_layers(&against.layers));
            }
            all
        });
        let (errors, warnings) = all.fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
        Self { reference, digest, errors, warnings, skipped, images }
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.reference, self.digest)?;
        for image in &self.images {
            image.fmt(f)?;
        }
        if !self.skipped.is_empty() {
            writeln!(f, "skipped: {}", self.skipped.len())?;
        }
        for SkippedEntry { digest, reason } in &self.skipped {
            writeln!(f, "  {digest}: {reason}")?;
        }
        let (errors, warnings) = (self.errors, self.warnings);
        let verdict = if errors == 0 { "OK" } else { "FAILED" };
        let (errors, warnings) = (counted(errors, "error"), counted(warnings, "warning"));
        writeln!(f, "{verdict}: {errors}, {warnings}")
    }
}

impl fmt::Display for VerifiedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(platform) = &self.platform {
            writeln!(f, "{platform} {}", self.digest)?;
        }
        for layer in &self.layers {
            layer.fmt(f)?;
        }
        let Some(against) = &self.against else { return list(f, &self.findings) };
        writeln!(f, "against {} ({})", against.reference, against.digest)?;
        for layer in &against.layers {
            layer.fmt(f)?;
        }
        list(f, &against.findings)?;
        list(f, &self.findings)?;
        let layers = self.layers.iter().chain(&against.layers).map(|layer| &layer.findings);
        let mut all = layers.chain([&against.findings, &self.findings]);
        if all.all(|findings| findings.errors() == 0) {
            writeln!(f, "  same root filesystem: config, diffIDs and content are equal")?;
        }
        Ok(())
    }
}

impl fmt::Display for VerifiedLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |bytes| ByteSize(bytes).display().iec();
        write!(f, "  layer {} {}: ", self.number, self.digest)?;
        match self.kind {
            Some(kind) => write!(f, "{kind}, {}", size(self.size))?,
            None => write!(f, "not readable")?,
        }
        if let Some(len) = self.uncompressed_size {
            write!(f, " of {}", size(len))?;
        }
        if let Some(TocTotals { files, chunks, .. }) = self.totals {
            write!(f, ", {} in {}", counted(files, "file"), counted(chunks, "chunk"))?;
        }
        writeln!(f)?;
        list(f, &self.findings)
    }
}

fn list(f: &mut fmt::Formatter<'_>, findings: &Findings) -> fmt::Result {
    for finding in findings.kept() {
        let severity = finding.rule.severity();
        writeln!(f, "    {severity} {}: {}", finding.rule, finding.detail)?;
    }
    for (rule, count) in findings.counts() {
        let more = match findings.kept().iter().filter(|found| found.rule == *rule).count() as u64 {
            kept if kept < *count => format!(" ({count} in total)"),
            _ => String::new(),
        };
        writeln!(f, "    {rule}{more}: {}", rule.effect().text())?;
    }
    Ok(())
}
