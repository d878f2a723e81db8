//! An independent check of layers: written against what readers of the format do, with a reader
//! of its own. It shares nothing with [`crate::chunked`], whose work it judges, but the tar reader
//! and the digests; that is why it is a room of its own, on the same level.
//!
//! TOC and tar-split stream are read side by side, entry by entry, and the data is decoded along
//! with them. Memory: two zstd windows of at most 8 MiB each and a third for the data, of up to
//! 128 MiB for one layer at a time ([`crate::limits`]); one entry of the TOC (up to 16 MiB) and one
//! object of the tar-split stream (up to 12 MiB); and about 60 bytes for the path of each entry, up
//! to 2^21 of them, and for what hard links need to know of it.

mod claims;
mod data;
mod documents;
mod effect;
mod files;
mod finding;
mod footer;
mod frames;
mod header;
mod keys;
mod links;
mod paths;
mod section;
mod spread;
mod stream;
mod tar_split;
mod toc;
mod walk;

use std::{
    cell::Cell,
    fmt,
    fs::File,
    io::{self, Read},
};

use flate2::bufread::MultiGzDecoder;

pub use self::{
    claims::{Annotations, Claims, Span, is_chunked, is_estargz},
    documents::DocumentsCheck,
    effect::Effect,
    finding::{Finding, Findings, Rule, Severity},
    section::Section,
    toc::TocEntry,
    walk::TocTotals,
};
use self::{
    data::Data,
    documents::CountedReader,
    frames::CheckedFrames,
    walk::{Surroundings, Walked},
};
use crate::{
    image::{
        Digest, Hasher,
        media_type::{LayerType, Suffix},
    },
    limits::{Exceeded, Limits},
};

/// What a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum LayerKind {
    /// A plain tar.
    #[serde(rename = "uncompressed")]
    Uncompressed,
    /// gzip.
    #[serde(rename = "gzip")]
    Gzip,
    /// gzip with a TOC of the stargz snapshotter.
    #[serde(rename = "eStargz")]
    Estargz,
    /// zstd, for full pulls only.
    #[serde(rename = "zstd")]
    Zstd,
    /// zstd with a TOC.
    #[serde(rename = "zstd:chunked")]
    ZstdChunked,
}

impl fmt::Display for LayerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uncompressed => "uncompressed",
            Self::Gzip => "gzip",
            Self::Estargz => "eStargz",
            Self::Zstd => "zstd",
            Self::ZstdChunked => "zstd:chunked",
        })
    }
}

impl LayerKind {
    /// By the first bytes, and for what lies on top by the annotations.
    pub fn of(start: &[u8], annotations: &Annotations) -> Self {
        match start {
            [0x1f, 0x8b, ..] if is_estargz(annotations) => Self::Estargz,
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                if is_chunked(annotations) { Self::ZstdChunked } else { Self::Zstd }
            }
            _ => Self::Uncompressed,
        }
    }

    /// Whether it is zstd, with or without a TOC.
    pub fn is_zstd(self) -> bool {
        self.suffix() == Suffix::Zstd
    }

    fn suffix(self) -> Suffix {
        match self {
            Self::Uncompressed => Suffix::None,
            Self::Gzip | Self::Estargz => Suffix::Gzip,
            Self::Zstd | Self::ZstdChunked => Suffix::Zstd,
        }
    }
}

/// A layer to be checked.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// The blob.
    pub blob: &'a File,
    /// Its length in bytes.
    pub len: u64,
    /// The descriptor's.
    pub media_type: &'a str,
    /// The descriptor's.
    pub annotations: &'a Annotations,
    /// What the config says of the content.
    pub diff_id: &'a Digest,
    /// What its content may come to.
    pub limits: Limits,
    /// It is the lowest layer of its image, so nothing of another one can show through.
    pub lowest: bool,
}

/// What a partial pull of the lowest layer does not create: devices and FIFOs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckedLeftOut {
    /// How many.
    pub count: u64,
    /// The names of the first of them, up to [`CheckedLeftOut::NAMES_MAX`], shortened.
    pub names: Vec<String>,
}

impl CheckedLeftOut {
    /// So many names are kept.
    pub const NAMES_MAX: usize = 20;

    fn note(&mut self, name: &str) {
        const MOST: usize = 200;
        self.count += 1;
        if self.names.len() < Self::NAMES_MAX {
            let short = String::from_utf8_lossy(name.as_bytes().get(..MOST).unwrap_or_default());
            self.names.push(if name.len() > MOST {
                short.into_owned() + "…"
            } else {
                name.into()
            });
        }
    }
}

/// What a layer was found to be.
#[derive(Debug, Clone)]
pub struct LayerVerdict {
    /// How it is compressed.
    pub kind: LayerKind,
    /// Length of its content in bytes, as far as it could be read.
    pub tar_len: u64,
    /// What its TOC has come to.
    pub totals: Option<TocTotals>,
    /// What a partial pull does not create, although there is a TOC.
    pub left_out: CheckedLeftOut,
    /// What is wrong with it.
    pub findings: Findings,
}

/// Checks everything. Fails only where the blob cannot be read from disk.
pub fn layer(layer: Layer<'_>) -> io::Result<LayerVerdict> {
    let mut findings = Findings::default();
    let blob = Section::new(layer.blob, 0, layer.len);
    let kind = LayerKind::of(&blob.read_at(0, 4)?, layer.annotations);
    match LayerType::parse(layer.media_type) {
        Some(found) if found.suffix == kind.suffix() => {}
        _ => {
            let detail = format!("the media type is {:?}, the content is {kind}", layer.media_type);
            findings.add(Rule::MediaType, detail);
        }
    }
    if kind != LayerKind::ZstdChunked && is_chunked(layer.annotations) {
        findings.add(Rule::NotZstd, format!("it has the annotations of a TOC and is {kind}"));
    }
    let (tar_len, walked) = match kind {
        LayerKind::ZstdChunked => chunked(layer, blob, &mut findings)?,
        _ => (content(kind, blob, layer, &mut findings), None),
    };
    let totals = walked.as_ref().map(|walked| walked.totals);
    let left_out = walked.map(|walked| walked.left_out).unwrap_or_default();
    Ok(LayerVerdict { kind, tar_len, totals, left_out, findings })
}

/// Checks only that the content is what the config says.
pub fn content_of(layer: Layer<'_>) -> io::Result<LayerVerdict> {
    let mut findings = Findings::default();
    let blob = Section::new(layer.blob, 0, layer.len);
    let kind = LayerKind::of(&blob.read_at(0, 4)?, layer.annotations);
    let tar_len = content(kind, blob, layer, &mut findings);
    Ok(LayerVerdict { kind, tar_len, totals: None, left_out: CheckedLeftOut::default(), findings })
}

/// Reads the TOC of a chunked layer, entry by entry, whatever else is wrong with it. False if its
/// digest or form is wrong, or it has none.
pub fn toc_entries(layer: Layer<'_>, each: impl FnMut(TocEntry)) -> io::Result<bool> {
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
    documents::toc_alone(compressed, claims.toc.raw_len, each)
}

fn chunked(
    layer: Layer<'_>,
    blob: Section<'_>,
    findings: &mut Findings,
) -> io::Result<(u64, Option<Walked>)> {
    if !blob.read_at(0, 4)?.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        findings.add(Rule::FirstFrame, "the blob begins with a skippable frame");
    }
    let mut data = Data::new(blob, layer.diff_id, layer.limits);
    let Some(mut claims) = Claims::read(layer.annotations, findings) else {
        return Ok((data.finish(layer.diff_id, false, findings), None));
    };
    footer::check(blob, &claims, findings)?;
    let toc = document(blob, claims.toc, Rule::TocPosition, "the TOC", findings)?;
    let tar_split = match claims.tar_split {
        Some(span) => {
            document(blob, span, Rule::TarSplitPosition, "the tar-split stream", findings)?
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
                "{what} is not at {}, in a skippable frame of {} bytes",
                span.offset, span.len
            );
            findings.add(rule, detail);
            Ok(None)
        }
    }
}

/// Decodes a layer without a TOC; returns the length of its content.
fn content(kind: LayerKind, blob: Section<'_>, layer: Layer<'_>, findings: &mut Findings) -> u64 {
    let expected = layer.diff_id;
    if kind.is_zstd() {
        return Data::new(blob, expected, layer.limits).finish(expected, false, findings);
    }
    let read = Cell::new(0);
    let tar = tar_stream(kind, CountedReader { inner: blob, count: &read });
    let allow = |total| layer.limits.allow(total, read.get());
    hash(tar, allow, expected.hasher(), expected, findings)
}

/// The tar in a layer's blob.
pub fn tar_stream<'a>(kind: LayerKind, blob: impl Read + 'a) -> Box<dyn Read + 'a> {
    match kind {
        LayerKind::Zstd | LayerKind::ZstdChunked => {
            Box::new(frames::FrameContent(CheckedFrames::new(blob)))
        }
        LayerKind::Gzip | LayerKind::Estargz => {
            Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(256 << 10, blob)))
        }
        LayerKind::Uncompressed => Box::new(blob),
    }
}

fn hash(
    mut tar: impl Read,
    allow: impl Fn(u64) -> Result<(), Exceeded>,
    mut hasher: Hasher,
    expected: &Digest,
    findings: &mut Findings,
) -> u64 {
    let (mut buffer, mut len) = (vec![0; 256 << 10], 0);
    loop {
        match tar.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(buffer.get(..read).unwrap_or_default());
                len += read as u64;
                if let Err(limit) = allow(len) {
                    findings.add(Rule::Limit, limit.to_string());
                    return len;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                findings.add(Rule::Frame, format!("after {len} bytes of content: {error}"));
                return len;
            }
        }
    }
    let actual = hasher.finish();
    if actual != *expected {
        let detail = format!("the content has the digest {actual}, the config says {expected}");
        findings.add(Rule::DiffId, detail);
    }
    len
}
