//! What the answers mean, as text and as JSON.

use std::{fmt, ops::Range};

use bytesize::ByteSize;
use serde::Serialize;

use super::Sample;
use crate::{
    image::Digest,
    store::{RangeAnswer, RangeContent, RangePart},
};

/// What clients that pull partially get out of a registry, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeVerdict {
    /// Only what they do not have.
    Partial,
    /// Whole layers, twice.
    Whole,
    /// Whole layers, once.
    Fallback,
    /// Nothing.
    Broken,
    /// The probe could not be made.
    Unknown,
}

impl ProbeVerdict {
    /// As the JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Partial => "partial",
            Self::Whole => "whole",
            Self::Fallback => "fallback",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
        }
    }

    /// What it means for users, and what to do about it.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Partial => "the registry serves partial pulls",
            Self::Whole => {
                "partial pulls work, but save nothing: the registry sends whole blobs instead of \
                 the requested ranges, so clients download each layer twice; consider \
                 --compression-format zstd for this registry"
            }
            Self::Fallback => {
                "the registry does not serve partial pulls: it rejects requests for two ranges, \
                 and clients pull whole layers instead"
            }
            Self::Broken => {
                "with partial pulls enabled, podman 5.3 and later, and other tools with the same \
                 libraries, cannot pull zstd:chunked images from this registry at all; use \
                 --compression-format zstd for it, or leave partial pulls disabled"
            }
            Self::Unknown => {
                "it is unknown whether the registry serves partial pulls; run \
                 `recompress-image probe` to test it again"
            }
        }
    }

    /// After a rejected request for two ranges, clients do not request one. A rejected single range is no reason to fall
    /// back, since by then the pull has begun.
    fn of(single: RangeOutcome, two: RangeOutcome) -> Self {
        match (two, single) {
            (RangeOutcome::Rejected, _) => Self::Fallback,
            (RangeOutcome::Wrong | RangeOutcome::Refused, _)
            | (_, RangeOutcome::Rejected | RangeOutcome::Wrong | RangeOutcome::Refused) => {
                Self::Broken
            }
            (RangeOutcome::Whole, _) | (_, RangeOutcome::Whole) => Self::Whole,
            (RangeOutcome::Partial, RangeOutcome::Partial) => Self::Partial,
        }
    }
}

/// How a request for parts of a blob was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeOutcome {
    /// With these parts (206).
    Partial,
    /// With the whole blob (200).
    Whole,
    /// As a bad request (400).
    Rejected,
    /// With something else than these parts (206).
    Wrong,
    /// With any other status.
    Refused,
}

/// A request for parts of a blob, and its answer.
#[derive(Debug, Clone, Serialize)]
pub struct RangeReport {
    pub status: u16,
    /// What came.
    pub outcome: RangeOutcome,
    /// What is wrong with it, or what the registry said.
    pub detail: Option<String>,
}

/// Whether the registry can list what refers to an image, such as signatures.
#[derive(Debug, Clone, Serialize)]
pub struct ReferrersReport {
    pub status: u16,
    /// The registry has the referrers API.
    pub supported: bool,
}

/// What a registry does for partial pulls.
#[derive(Debug, Clone, Serialize)]
pub struct ProbeReport {
    /// All in one word.
    pub verdict: ProbeVerdict,
    /// The same in a sentence.
    pub meaning: &'static str,
    /// The blob that was asked for.
    pub blob: Digest,
    /// Its length in bytes.
    pub blob_size: u64,
    /// It is a layer of zstd:chunked, and the ranges were those of TOC and tar-split.
    pub chunked: bool,
    /// The host that the registry redirects to for blobs.
    pub redirected_to: Option<String>,
    /// One range, from the first one's start to the second one's end.
    pub single_range: RangeReport,
    /// Both ranges in one request.
    pub two_ranges: RangeReport,
    /// Not asked for after a push.
    pub referrers: Option<ReferrersReport>,
}

/// What came out of a probe after a push.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Probed {
    Done(Box<ProbeReport>),
    Failed {
        /// [`ProbeVerdict::Unknown`].
        verdict: ProbeVerdict,
        error: String,
    },
}

impl Probed {
    pub(super) fn failed(error: &str) -> Self {
        Self::Failed { verdict: ProbeVerdict::Unknown, error: error.to_owned() }
    }
}

impl ProbeReport {
    pub(super) fn new(sample: &Sample, single: &RangeAnswer, two: &RangeAnswer) -> Self {
        let [first, second] = &sample.ranges;
        let toc = |bytes: &[u8]| match &sample.toc_digest {
            Some(expected) if !is_of(expected, bytes) => Err(OTHER_TOC),
            _ => Ok(()),
        };
        let single_range = RangeReport::new(single, || {
            let part = match &single.content {
                RangeContent::Single(part) => Some(part),
                RangeContent::Multipart(parts) => parts.first().filter(|_| parts.len() == 1),
                _ => None,
            };
            let part = part.ok_or("it sent several parts; expected one")?;
            fits(part, &sample.span())?;
            toc(part.bytes.get(..length(first)).unwrap_or_default()).map_err(str::to_owned)
        });
        let known = match &single.content {
            RangeContent::Single(part) if single_range.outcome == RangeOutcome::Partial => {
                Some(&part.bytes)
            }
            _ => None,
        };
        let two_ranges = RangeReport::new(two, || {
            let parts = match &two.content {
                RangeContent::Multipart(parts) => parts.as_slice(),
                _ => return Err("it sent a single part; expected two".to_owned()),
            };
            let [one, other] = parts else {
                return Err(format!("it sent {} parts; expected two", parts.len()));
            };
            fits(one, first)?;
            fits(other, second)?;
            toc(&one.bytes)?;
            let differs = known
                .is_some_and(|all| !all.starts_with(&one.bytes) || !all.ends_with(&other.bytes));
            if differs { Err(OTHER_BYTES.to_owned()) } else { Ok(()) }
        });
        let verdict = ProbeVerdict::of(single_range.outcome, two_ranges.outcome);
        let redirected_to = two.redirected_to.as_ref().or(single.redirected_to.as_ref());
        Self {
            verdict,
            meaning: verdict.meaning(),
            blob: sample.digest.clone(),
            blob_size: sample.size,
            chunked: sample.toc_digest.is_some(),
            redirected_to: redirected_to.cloned(),
            single_range,
            two_ranges,
            referrers: None,
        }
    }
}

const OTHER_TOC: &str = "the bytes do not match the TOC digest in the manifest; run \
                         `recompress-image verify` to check the image";
const OTHER_BYTES: &str = "the bytes differ from those of the same range requested alone";

impl RangeReport {
    /// `judge` looks at the content of a 206, and says what is wrong with it.
    fn new(answer: &RangeAnswer, judge: impl FnOnce() -> Result<(), String>) -> Self {
        let (outcome, detail) = match &answer.content {
            RangeContent::Whole => (RangeOutcome::Whole, None),
            RangeContent::Refused(message) => {
                let detail = (!message.is_empty()).then(|| message.clone());
                let is_bad_request = answer.status == 400;
                (
                    if is_bad_request { RangeOutcome::Rejected } else { RangeOutcome::Refused },
                    detail,
                )
            }
            RangeContent::Malformed(reason) => (RangeOutcome::Wrong, Some((*reason).to_owned())),
            RangeContent::Single(_) | RangeContent::Multipart(_) => match judge() {
                Ok(()) => (RangeOutcome::Partial, None),
                Err(reason) => (RangeOutcome::Wrong, Some(reason)),
            },
        };
        Self { status: answer.status, outcome, detail }
    }
}

fn fits(part: &RangePart, wanted: &Range<u64>) -> Result<(), String> {
    match &part.range {
        None => Err("it does not say which range it sent".to_owned()),
        Some(range) if range != wanted => Err(format!(
            "it sent bytes {}-{} instead of {}-{}",
            range.start,
            range.end - 1,
            wanted.start,
            wanted.end - 1
        )),
        Some(_) if part.bytes.len() != length(wanted) => {
            Err(format!("it sent {} bytes instead of {}", part.bytes.len(), length(wanted)))
        }
        Some(_) => Ok(()),
    }
}

fn length(range: &Range<u64>) -> usize {
    // What is asked for is a few megabytes at most.
    usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
}

fn is_of(expected: &Digest, bytes: &[u8]) -> bool {
    let mut hasher = expected.hasher();
    hasher.update(bytes);
    hasher.finish() == *expected
}

impl fmt::Display for RangeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.outcome {
            RangeOutcome::Partial => ", as requested",
            RangeOutcome::Whole => ", the whole blob",
            RangeOutcome::Wrong => ", but wrong",
            RangeOutcome::Rejected | RangeOutcome::Refused => "",
        };
        write!(f, "{}{text}", self.status)?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

impl fmt::Display for ProbeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.verdict.as_str(), self.meaning)?;
        let size = ByteSize(self.blob_size).display().iec();
        let kind = if self.chunked { "its TOC and tar-split" } else { "no zstd:chunked layer" };
        writeln!(f, "  blob        {} ({size}), {kind}", self.blob)?;
        writeln!(f, "  one range   {}", self.single_range)?;
        writeln!(f, "  two ranges  {}", self.two_ranges)?;
        match &self.redirected_to {
            Some(host) => writeln!(f, "  blobs       redirected to {host}")?,
            None => writeln!(f, "  blobs       from the registry itself")?,
        }
        if let Some(ReferrersReport { status, supported }) = &self.referrers {
            let has = if *supported { "yes" } else { "no" };
            writeln!(f, "  referrers   {has} ({status})")?;
        }
        Ok(())
    }
}

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(report) if report.verdict == ProbeVerdict::Partial => {
                write!(f, "{}", report.meaning)
            }
            Self::Done(report) => {
                let ProbeReport { meaning, single_range, two_ranges, .. } = &**report;
                write!(f, "warning: {meaning} (one range: {single_range}; two: {two_ranges})")
            }
            Self::Failed { verdict, error } => write!(f, "warning: {}: {error}", verdict.meaning()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        RangeOutcome::{Partial, Refused, Rejected, Whole, Wrong},
        *,
    };

    #[test]
    fn the_worse_answer_counts() {
        for (two, single, verdict) in [
            (Partial, Partial, ProbeVerdict::Partial),
            (Partial, Whole, ProbeVerdict::Whole),
            (Whole, Partial, ProbeVerdict::Whole),
            (Whole, Whole, ProbeVerdict::Whole),
            (Rejected, Partial, ProbeVerdict::Fallback),
            (Rejected, Refused, ProbeVerdict::Fallback),
            (Partial, Rejected, ProbeVerdict::Broken),
            (Whole, Rejected, ProbeVerdict::Broken),
            (Refused, Partial, ProbeVerdict::Broken),
            (Wrong, Partial, ProbeVerdict::Broken),
            (Partial, Wrong, ProbeVerdict::Broken),
        ] {
            assert_eq!(ProbeVerdict::of(single, two), verdict, "{two:?} {single:?}");
        }
    }
}
