//! The content of a layer without a TOC.

use std::{
    cell::Cell,
    io::{self, Read},
};

use flate2::bufread::MultiGzDecoder;

use super::{
    data::Data,
    documents::CountedReader,
    finding::{Findings, Rule},
    frames::{CheckedFrames, FrameContent},
    kind::BlobKind,
    section::Section,
};
use crate::{
    image::{Digest, Hasher},
    limits::{Exceeded, Limits},
};

/// Decodes it and compares its digest with `expected`; returns its length.
pub(super) fn check(
    kind: BlobKind,
    blob: Section<'_>,
    expected: &Digest,
    limits: Limits,
    findings: &mut Findings,
) -> u64 {
    if kind.is_zstd() {
        return Data::new(blob, expected, limits).finish(expected, false, findings);
    }
    let read = Cell::new(0);
    let tar = tar_stream(kind, CountedReader { inner: blob, count: &read });
    let allow = |total| limits.allow(total, read.get());
    hash(tar, allow, expected.hasher(), expected, findings)
}

/// The content of a zstd blob without a TOC, checked while it is read for another purpose.
pub(crate) struct CheckedContent<R> {
    data: Data<R>,
    findings: Findings,
}

impl<R: Read> CheckedContent<R> {
    pub(crate) fn new(blob: R, expected: &Digest, limits: Limits) -> Self {
        Self { data: Data::new(blob, expected, limits), findings: Findings::default() }
    }

    /// What is wrong with what was read so far.
    pub(crate) fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Reads the rest, and compares the digest of everything with `expected`. Returns the length of
    /// the content.
    pub(crate) fn finish(mut self, expected: &Digest) -> (u64, Findings) {
        (self.data.finish(expected, false, &mut self.findings), self.findings)
    }
}

impl<R: Read> Read for CheckedContent<R> {
    /// A failure looks like the end of the content; the findings tell.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.data.read(buf, &mut self.findings))
    }
}

/// The tar in a layer's blob.
pub(crate) fn tar_stream<'a>(kind: BlobKind, blob: impl Read + 'a) -> Box<dyn Read + 'a> {
    match kind {
        BlobKind::Zstd | BlobKind::ZstdChunked => Box::new(FrameContent(CheckedFrames::new(blob))),
        BlobKind::Gzip | BlobKind::Estargz => {
            Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(256 << 10, blob)))
        }
        BlobKind::Uncompressed => Box::new(blob),
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
        let detail = format!("the content has the digest {actual}, but the config says {expected}");
        findings.add(Rule::DiffId, detail);
    }
    len
}
