//! TOC and tar-split stream in their compressed form: digests, lengths, and everything in them.

use std::{
    cell::Cell,
    io::{self, Read},
};

use sha2::{Digest as _, Sha256};

use super::{
    claims::{Annotations, Claims, TOC_MAX},
    finding::{Findings, Rule, shown},
    left_out::CheckedLeftOut,
    toc::{TocEntry, read_toc},
    walk::{DocumentWalk, Surroundings, TocTotals, Visit, Walked},
};
use crate::image::Digest;

pub(super) struct CountedReader<'a, R> {
    pub(super) inner: R,
    pub(super) count: &'a Cell<u64>,
}

impl<R: Read> Read for CountedReader<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        self.count.set(self.count.get() + len as u64);
        Ok(len)
    }
}

/// The widest window that TOC and tar-split may have, as a power of two: 8 MiB, which is what
/// containers/storage writes at its highest level.
const WINDOW_LOG_MAX: u32 = 23;

/// More than an entry of the TOC can have, in bytes: names, link target and attributes take up to 1
/// MiB each in a tar that clients read, and JSON takes six bytes for some.
const ENTRY_MAX: u64 = 16 << 20;

/// A document may be this many times longer than its compressed form; [`DENSE_FROM`] bytes are
/// always allowed.
const RATIO: u64 = 1000;

/// In bytes.
const DENSE_FROM: u64 = 16 << 20;

/// How far a document has been read.
#[derive(Default)]
struct ReadExtent {
    compressed: Cell<u64>,
    raw: Cell<u64>,
}

/// A decompressed document, within the limits.
struct DecodedDocument<'a, R: Read> {
    decoder: zstd::stream::read::Decoder<'static, io::BufReader<CountedReader<'a, R>>>,
    extent: &'a ReadExtent,
}

impl<'a, R: Read> DecodedDocument<'a, R> {
    fn new(inner: R, extent: &'a ReadExtent) -> io::Result<Self> {
        let counted = CountedReader { inner, count: &extent.compressed };
        let mut decoder = zstd::stream::read::Decoder::new(counted)?;
        decoder.window_log_max(WINDOW_LOG_MAX)?;
        Ok(Self { decoder, extent })
    }
}

impl<R: Read> Read for DecodedDocument<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let ReadExtent { compressed, raw } = self.extent;
        let len = self.decoder.read(buf)?;
        raw.set(raw.get() + len as u64);
        if raw.get() > compressed.get().saturating_mul(RATIO).max(DENSE_FROM) {
            let reason = format!("decompressed size exceeds {RATIO} times the compressed size");
            return Err(io::Error::other(reason));
        }
        Ok(len)
    }
}

/// Fails if more than [`ENTRY_MAX`] bytes have been read without an entry.
struct Entrywise<'a, R> {
    inner: R,
    /// Bytes since the last entry.
    since: &'a Cell<u64>,
}

impl<R: Read> Read for Entrywise<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        self.since.set(self.since.get() + len as u64);
        if self.since.get() > ENTRY_MAX {
            return Err(io::Error::other(format!("an entry exceeds {} MiB", ENTRY_MAX >> 20)));
        }
        Ok(len)
    }
}

/// Reads all entries of a decompressed TOC; returns its `tarSplitDigest`.
fn entries(
    json: impl Read,
    most: u64,
    mut each: impl FnMut(TocEntry),
) -> Result<Option<String>, serde_json::Error> {
    let (since, mut count) = (Cell::new(0), 0);
    let json = Entrywise { inner: json.take(TOC_MAX + 1), since: &since };
    read_toc(io::BufReader::with_capacity(64 << 10, json), |entry| {
        count += 1;
        // After too many, nothing more is read.
        since.set(if count > most { ENTRY_MAX } else { 0 });
        each(entry);
    })
}

/// Reads only the TOC, up to `len` bytes and about `most` entries; returns its `tarSplitDigest`.
pub(super) fn toc_alone(
    toc: impl Read,
    len: u64,
    most: u64,
    each: impl FnMut(TocEntry),
) -> io::Result<Option<String>> {
    let extent = ReadExtent::default();
    Ok(entries(DecodedDocument::new(toc, &extent)?.take(len), most, each)?)
}

pub(super) fn digest_of(bytes: impl Read) -> io::Result<Digest> {
    HashedReader::new(bytes).finish()
}

/// The most entries and chunks that the TOC of a content of `len` bytes may have: an entry takes a
/// header of 512 bytes, and no writer makes shorter chunks on average.
pub(super) fn entries_of(len: u64) -> u64 {
    len / 256 + 1024
}

/// Both documents in their compressed form.
pub(super) struct Pair<R> {
    pub(super) toc: R,
    pub(super) tar_split: Option<R>,
}

/// Checks both documents, and passes what they say to `visitor`.
pub(super) fn check<R: Read + Clone>(
    claims: &Claims,
    layer: Surroundings,
    Pair { toc, tar_split }: Pair<R>,
    visitor: &mut impl Visit,
    findings: &mut Findings,
) -> io::Result<Walked> {
    if !is_toc(&digest_of(toc.clone())?, claims, findings) {
        return Ok(Walked::default());
    }
    let tar_split_digest = tar_split.clone().map(digest_of).transpose()?;
    let reading = Reading::of(layer, toc, tar_split, visitor, findings)?;
    reading.compare(claims, tar_split_digest.as_ref(), findings);
    Ok(reading.walked)
}

fn is_toc(digest: &Digest, claims: &Claims, findings: &mut Findings) -> bool {
    if *digest != claims.toc_digest {
        let detail = format!(
            "the TOC has the digest {digest}, but its annotation says {}",
            claims.toc_digest
        );
        findings.add(Rule::TocDigest, detail);
    }
    *digest == claims.toc_digest
}

/// What was read of both documents.
#[derive(Debug)]
struct Reading {
    walked: Walked,
    toc_len: u64,
    tar_split_len: u64,
    /// The whole TOC could be read.
    whole: bool,
    /// The TOC's `tarSplitDigest`.
    committed: Option<String>,
}

impl Reading {
    fn of<V: Visit>(
        layer: Surroundings,
        toc: impl Read,
        tar_split: Option<impl Read>,
        visitor: &mut V,
        findings: &mut Findings,
    ) -> io::Result<Self> {
        let [toc_extent, tar_split_extent] = [ReadExtent::default(), ReadExtent::default()];
        let json = DecodedDocument::new(toc, &toc_extent)?;
        let objects = match tar_split {
            Some(stream) => Some(DecodedDocument::new(stream, &tar_split_extent)?),
            None => None,
        };
        let mut walk = DocumentWalk::new(objects, layer, visitor, findings);
        let read = entries(json, layer.entries, |entry| walk.entry(entry));
        let whole = read.is_ok();
        let walked = walk.finish(whole);
        let committed = match read {
            Ok(digest) => digest,
            Err(_) if toc_extent.raw.get() > TOC_MAX => {
                findings.add(Rule::TocTooLong, format!("the TOC exceeds {TOC_MAX} bytes"));
                None
            }
            Err(error) => {
                let rule = if error.is_io() { Rule::TocEncoding } else { Rule::TocJson };
                findings.add(rule, format!("cannot read the TOC: {error}"));
                None
            }
        };
        let (toc_len, tar_split_len) = (toc_extent.raw.get(), tar_split_extent.raw.get());
        Ok(Self { walked, toc_len, tar_split_len, whole, committed })
    }

    /// Compares lengths and digests.
    fn compare(&self, claims: &Claims, tar_split_digest: Option<&Digest>, findings: &mut Findings) {
        if !self.whole {
            return;
        }
        length(Rule::TocLength, "TOC", self.toc_len, claims.toc.raw_len, findings);
        if let Some(span) = claims.tar_split.filter(|_| self.walked.complete) {
            let rule = Rule::TarSplitLength;
            length(rule, "tar-split stream", self.tar_split_len, span.raw_len, findings);
        }
        match (&self.committed, tar_split_digest) {
            (None, _) => findings.add(Rule::TarSplitDigestMissing, "the TOC has no tarSplitDigest"),
            (Some(committed), Some(actual)) if committed != actual.as_str() => {
                let committed = shown(committed);
                let detail = format!(
                    "the tar-split stream has the digest {actual}, the TOC says {committed}"
                );
                findings.add(Rule::TarSplitDigest, detail);
            }
            _ => {}
        }
    }
}

/// Both documents without their blob, which is not complete yet.
#[derive(Debug)]
pub struct DocumentsCheck {
    reading: Reading,
    toc: Digest,
    tar_split: Digest,
    findings: Findings,
}

impl DocumentsCheck {
    /// Reads both to their ends, in their compressed form and side by side: for each entry of the
    /// TOC, the tar-split stream is read up to its file object.
    pub fn read(toc: impl Read, tar_split: impl Read, lowest: bool) -> io::Result<Self> {
        let mut findings = Findings::default();
        let (mut toc, mut tar_split) = (HashedReader::new(toc), HashedReader::new(tar_split));
        let layer = Surroundings { lowest, bound: u64::MAX, entries: u64::MAX };
        let reading = Reading::of(layer, &mut toc, Some(&mut tar_split), &mut (), &mut findings)?;
        Ok(Self { reading, toc: toc.finish()?, tar_split: tar_split.finish()?, findings })
    }

    /// Compares them with the annotations that lead to them.
    pub fn compare(mut self, annotations: &Annotations) -> (TocTotals, CheckedLeftOut, Findings) {
        let Some(claims) = Claims::read(annotations, &mut self.findings) else {
            return (TocTotals::default(), CheckedLeftOut::default(), self.findings);
        };
        is_toc(&self.toc, &claims, &mut self.findings);
        let Walked { totals, data_end, .. } = self.reading.walked;
        if data_end > claims.bound() {
            let detail = format!("the data extends to {data_end}, into the TOC");
            self.findings.add(Rule::RangeBounds, detail);
        }
        self.reading.compare(&claims, Some(&self.tar_split), &mut self.findings);
        (totals, self.reading.walked.left_out, self.findings)
    }
}

struct HashedReader<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: Read> HashedReader<R> {
    fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new() }
    }

    /// Reads to the end; returns the digest of everything.
    fn finish(mut self) -> io::Result<Digest> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(Digest::from_sha256(self.hasher.finalize().into()))
    }
}

impl<R: Read> Read for HashedReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        self.hasher.update(buf.get(..len).unwrap_or_default());
        Ok(len)
    }
}

fn length(rule: Rule, what: &str, actual: u64, claimed: u64, findings: &mut Findings) {
    if actual != claimed {
        findings
            .add(rule, format!("the {what} has {actual} bytes, but its annotation says {claimed}"));
    }
}
