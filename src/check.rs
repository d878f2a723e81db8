//! An independent check of layers: written against what readers of the format do, with a reader of
//! its own. Besides the tar reader and the digests it shares nothing with [`crate::chunked`], whose
//! work it judges.
//!
//! TOC and tar-split stream are read side by side, entry by entry, and the data is decoded along
//! with them. Memory: two zstd windows of at most 8 MiB each and a third for the data, of up to 128
//! MiB for one layer at a time ([`crate::limits`]); one entry of the TOC (up to 16 MiB) and one
//! object of the tar-split stream (up to 12 MiB); and about 60 bytes for the path of each entry, up
//! to 2^21 of them, and for what hard links need to know of it.

mod claims;
mod content;
mod data;
mod documents;
mod effect;
mod files;
mod finding;
mod footer;
mod frames;
mod header;
mod keys;
mod kind;
mod left_out;
mod links;
mod paths;
mod section;
mod spread;
mod stream;
mod streamed;
mod tar_digest;
mod tar_split;
mod toc;
mod walk;

use std::{
    fs::File,
    io::{self, Read},
};

use self::claims::is_chunked;
pub use self::{
    claims::{Annotations, Claims, Span},
    documents::DocumentsCheck,
    finding::{Finding, Findings, Rule},
    kind::BlobKind,
    left_out::CheckedLeftOut,
    walk::TocTotals,
};
pub(crate) use self::{
    content::{CheckedContent, tar_stream},
    effect::Effect,
    section::Section,
    streamed::streamed,
    toc::TocEntry,
};
use self::{
    data::Data,
    walk::{Surroundings, Walked},
};
use crate::{
    image::{Digest, media_type::LayerType},
    limits::Limits,
};

/// A layer to check.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a, B = &'a File> {
    pub blob: B,
    pub len: u64,
    pub media_type: &'a str,
    pub annotations: &'a Annotations,
    /// From the config.
    pub diff_id: &'a Digest,
    pub limits: Limits,
    /// The lowest layer of its image, so nothing of another one can show through.
    pub lowest: bool,
}

impl<'a> Layer<'a, ()> {
    /// The same with its blob.
    pub(crate) fn of<B>(self, blob: B) -> Layer<'a, B> {
        let Self { blob: (), len, media_type, annotations, diff_id, limits, lowest } = self;
        Layer { blob, len, media_type, annotations, diff_id, limits, lowest }
    }
}

/// What was found out about a layer.
#[derive(Debug, Clone)]
pub struct LayerVerdict {
    pub kind: BlobKind,
    /// Length in bytes of the content that could be read.
    pub tar_len: u64,
    pub totals: Option<TocTotals>,
    pub left_out: CheckedLeftOut,
    pub findings: Findings,
}

/// Checks everything. Fails only if the blob cannot be read from disk.
pub fn layer(layer: Layer<'_>) -> io::Result<LayerVerdict> {
    let mut findings = Findings::default();
    let blob = Section::new(layer.blob, 0, layer.len);
    let start = blob.read_at(0, 4)?;
    let kind = begin(&layer, &start, &mut findings);
    let (tar_len, walked) = match kind {
        BlobKind::ZstdChunked => chunked(&layer, blob, &start, blob, &mut findings)?,
        _ => (content::check(kind, blob, layer.diff_id, layer.limits, &mut findings), None),
    };
    Ok(verdict(kind, tar_len, walked, findings))
}

/// Compares what the layer is said to be with its first bytes.
fn begin<B>(layer: &Layer<'_, B>, start: &[u8], findings: &mut Findings) -> BlobKind {
    let kind = BlobKind::of(start, layer.annotations);
    match LayerType::parse(layer.media_type) {
        Some(found) if found.suffix == kind.suffix() => {}
        _ => {
            let detail =
                format!("the media type is {:?}, but the content is {kind}", layer.media_type);
            findings.add(Rule::MediaType, detail);
        }
    }
    if kind != BlobKind::ZstdChunked && is_chunked(layer.annotations) {
        findings
            .add(Rule::NotZstd, format!("the layer has the annotations of a TOC, but is {kind}"));
    }
    kind
}

fn verdict(
    kind: BlobKind,
    tar_len: u64,
    walked: Option<Walked>,
    findings: Findings,
) -> LayerVerdict {
    let totals = walked.as_ref().map(|walked| walked.totals);
    let left_out = walked.map(|walked| walked.left_out).unwrap_or_default();
    LayerVerdict { kind, tar_len, totals, left_out, findings }
}

/// Checks only that the content matches the config.
pub(crate) fn content_of(layer: Layer<'_>) -> io::Result<LayerVerdict> {
    let mut findings = Findings::default();
    let blob = Section::new(layer.blob, 0, layer.len);
    let kind = BlobKind::of(&blob.read_at(0, 4)?, layer.annotations);
    let tar_len = content::check(kind, blob, layer.diff_id, layer.limits, &mut findings);
    Ok(LayerVerdict { kind, tar_len, totals: None, left_out: CheckedLeftOut::default(), findings })
}

/// Reads the TOC of a chunked layer, entry by entry, whatever else is wrong with the layer. False
/// if the TOC is missing, or its digest or form is wrong.
pub(crate) fn toc_entries(layer: Layer<'_>, each: impl FnMut(TocEntry)) -> io::Result<bool> {
    let mut findings = Findings::default();
    let blob = Section::new(layer.blob, 0, layer.len);
    let claims = Claims::read(layer.annotations, &mut findings);
    let Some(claims) = claims.filter(|claims| claims.toc.end().is_some_and(|end| end <= layer.len))
    else {
        return Ok(false);
    };
    let compressed = blob.part(claims.toc.offset, claims.toc.len);
    if documents::digest_of(compressed)? != claims.toc_digest {
        return Ok(false);
    }
    Ok(documents::toc_alone(compressed, claims.toc.raw_len, u64::MAX, each).is_ok())
}

/// Reads the entries of a compressed TOC, about `most` of them, whatever else is wrong with the
/// layer. Returns the digest of the tar-split stream, if the TOC has it.
pub(crate) fn read_toc(
    toc: &[u8],
    most: u64,
    each: impl FnMut(TocEntry),
) -> io::Result<Option<String>> {
    documents::toc_alone(toc, u64::MAX, most, each)
}

/// `data` is all of the blob, of which `parts` need to have only the end.
fn chunked<B>(
    layer: &Layer<'_, B>,
    parts: Section<'_>,
    start: &[u8],
    data: impl Read,
    findings: &mut Findings,
) -> io::Result<(u64, Option<Walked>)> {
    if !start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        findings.add(Rule::FirstFrame, "the blob begins with a skippable frame");
    }
    let mut data = Data::new(data, layer.diff_id, layer.limits);
    let Some(mut claims) = Claims::read(layer.annotations, findings) else {
        return Ok((data.finish(layer.diff_id, false, findings), None));
    };
    footer::check(parts, &claims, findings)?;
    let toc = document(parts, claims.toc, Rule::TocPosition, "the TOC", findings)?;
    let tar_split = match claims.tar_split {
        Some(span) => {
            document(parts, span, Rule::TarSplitPosition, "the tar-split stream", findings)?
        }
        None => None,
    };
    if tar_split.is_none() {
        claims.tar_split = None;
    }
    let Some(toc) = toc else {
        return Ok((data.finish(layer.diff_id, false, findings), None));
    };
    let documents = documents::Pair { toc, tar_split };
    let surroundings = Surroundings {
        lowest: layer.lowest,
        bound: claims.bound(),
        entries: documents::entries_of(layer.limits.size),
    };
    let walked = documents::check(&claims, surroundings, documents, &mut data, findings)?;
    Ok((data.finish(layer.diff_id, walked.complete, findings), Some(walked)))
}

/// The payload of a skippable frame, if that is what `span` is.
fn document<'a>(
    blob: Section<'a>,
    span: Span,
    rule: Rule,
    what: &str,
    findings: &mut Findings,
) -> io::Result<Option<Section<'a>>> {
    let frame = span.offset.checked_sub(8).zip(span.end().filter(|end| *end <= blob.len()));
    let header = match frame {
        Some((start, _)) => blob.read_at(start, 8)?,
        None => Vec::new(),
    };
    match header.as_slice() {
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, len @ ..]
            if len.first_chunk().map(|len| u64::from(u32::from_le_bytes(*len)))
                == Some(span.len) =>
        {
            Ok(Some(blob.part(span.offset, span.len)))
        }
        _ => {
            let detail = format!(
                "{what} is not in a skippable frame of {} bytes at {}",
                span.len, span.offset
            );
            findings.add(rule, detail);
            Ok(None)
        }
    }
}
