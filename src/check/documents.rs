//! TOC and tar-split stream in their compressed form: digests, lengths, and all that they say.

use std::{
    cell::Cell,
    io::{self, Read},
};

use sha2::{Digest as _, Sha256};

use super::{
    claims::{Claims, TOC_MAX},
    finding::{Findings, Rule, shown},
    toc::read_toc,
    walk::{Totals, Visit, Walk},
};
use crate::image::Digest;

/// Counts what goes through, up to a limit.
struct Counted<'a, R> {
    inner: R,
    count: &'a Cell<u64>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        self.count.set(self.count.get() + len as u64);
        Ok(len)
    }
}

pub(super) fn decoder(
    compressed: impl Read,
) -> io::Result<zstd::stream::read::Decoder<'static, io::BufReader<impl Read>>> {
    let mut decoder = zstd::stream::read::Decoder::new(compressed)?;
    decoder.window_log_max(27)?;
    Ok(decoder)
}

pub(super) fn digest_of(mut bytes: impl Read) -> io::Result<Digest> {
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match bytes.read(&mut buffer)? {
            0 => return Ok(Digest::from_sha256(hasher.finalize().into())),
            len => hasher.update(buffer.get(..len).unwrap_or_default()),
        }
    }
}

/// Checks both documents, and shows `visitor` what they say. Returns whether all of the tar was
/// walked, too. Data has to end at `bound` in the blob.
pub(super) fn check<V: Visit>(
    claims: &Claims,
    bound: u64,
    toc: impl Read + Clone,
    tar_split: Option<impl Read + Clone>,
    visitor: &mut V,
    findings: &mut Findings,
) -> io::Result<(Totals, bool)> {
    let actual = digest_of(toc.clone())?;
    if actual != claims.toc_digest {
        let detail =
            format!("the TOC has the digest {actual}, its annotation says {}", claims.toc_digest);
        findings.add(Rule::TocDigest, detail);
        return Ok((Totals::default(), false));
    }
    let tar_split_digest = tar_split.clone().map(digest_of).transpose()?;
    let (toc_len, tar_split_len) = (Cell::new(0), Cell::new(0));
    let json = Counted { inner: decoder(toc)?, count: &toc_len };
    let json = io::BufReader::with_capacity(64 << 10, json.take(TOC_MAX + 1));
    let objects = match tar_split {
        Some(stream) => Some(Counted { inner: decoder(stream)?, count: &tar_split_len }),
        None => None,
    };
    let mut walk = Walk::new(objects, bound, visitor, findings);
    let read = read_toc(json, |entry| walk.entry(entry));
    let (totals, complete) = walk.finish(read.is_ok());
    let committed = match read {
        Ok(digest) => digest,
        Err(_) if toc_len.get() > TOC_MAX => {
            findings.add(Rule::TocTooLong, format!("the TOC has more than {TOC_MAX} bytes"));
            return Ok((totals, false));
        }
        Err(error) => {
            let rule = if error.is_io() { Rule::TocEncoding } else { Rule::TocJson };
            findings.add(rule, format!("the TOC cannot be read: {error}"));
            return Ok((totals, false));
        }
    };
    length(Rule::TocLength, "TOC", toc_len.get(), claims.toc.raw_len, findings);
    if let Some(span) = claims.tar_split.filter(|_| complete) {
        length(
            Rule::TarSplitLength,
            "tar-split stream",
            tar_split_len.get(),
            span.raw_len,
            findings,
        );
    }
    match (committed, tar_split_digest) {
        (None, _) => findings.add(Rule::TarSplitDigestMissing, "the TOC has no tarSplitDigest"),
        (Some(committed), Some(actual)) if committed != actual.as_str() => {
            let committed = shown(&committed);
            let detail =
                format!("the tar-split stream has the digest {actual}, the TOC says {committed}");
            findings.add(Rule::TarSplitDigest, detail);
        }
        _ => {}
    }
    Ok((totals, complete))
}

fn length(rule: Rule, what: &str, actual: u64, claimed: u64, findings: &mut Findings) {
    if actual != claimed {
        findings.add(rule, format!("the {what} has {actual} bytes, its annotation says {claimed}"));
    }
}
