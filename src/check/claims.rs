//! What the annotations of a layer claim (clients read them in `pkg/chunked/toc/toc.go` and
//! `pkg/chunked/compression_linux.go` of containers/storage).

use super::finding::{Findings, Rule, shown};
pub use crate::image::annotations::Annotations;
pub(super) use crate::image::annotations::is_chunked;
use crate::image::{
    Digest,
    annotations::{ESTARGZ_TOC_DIGEST, OBSOLETE, TAR_SPLIT_POSITION, TOC_DIGEST, TOC_POSITION},
    digest::Algorithm,
};

/// Clients ignore longer TOCs, compressed or not; in bytes.
pub(super) const TOC_MAX: u64 = 150 << 20;

/// Where a compressed document is in the blob, by the annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// From the blob's start to the compressed document, in bytes.
    pub offset: u64,
    /// Compressed length in bytes.
    pub len: u64,
    /// Decompressed length in bytes.
    pub raw_len: u64,
}

impl Span {
    /// Just past the compressed document; `None` if no file is that long.
    pub fn end(self) -> Option<u64> {
        self.offset.checked_add(self.len)
    }
}

/// The claims of a chunked layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    pub toc_digest: Digest,
    pub toc: Span,
    /// Where the tar-split stream is, if the annotation says so.
    pub tar_split: Option<Span>,
}

/// Whether the annotations make a layer eStargz.
pub(crate) fn is_estargz(annotations: &Annotations) -> bool {
    annotations.contains_key(ESTARGZ_TOC_DIGEST)
}

impl Claims {
    /// Reads the annotations of a chunked layer. `None` if they do not lead to a TOC; the findings
    /// say why not.
    pub fn read(annotations: &Annotations, findings: &mut Findings) -> Option<Self> {
        if is_estargz(annotations) {
            findings.add(
                Rule::TwoTocs,
                format!("the layer also has the annotation {ESTARGZ_TOC_DIGEST}"),
            );
        }
        for key in OBSOLETE.iter().filter(|key| annotations.contains_key(**key)) {
            findings
                .add(Rule::StaleAnnotation, format!("the layer has the obsolete annotation {key}"));
        }
        let get = |key: &str| annotations.get(key).map_or("", String::as_str);
        let toc_digest = match get(TOC_DIGEST).parse::<Digest>() {
            Ok(digest) if digest.algorithm() == Algorithm::Sha256 => Some(digest),
            _ => {
                let value = shown(get(TOC_DIGEST));
                findings.add(
                    Rule::TocDigest,
                    format!("invalid {TOC_DIGEST} {value}; expected a SHA-256 digest"),
                );
                None
            }
        };
        let toc = Self::toc(get(TOC_POSITION), findings);
        let tar_split = match numbers(get(TAR_SPLIT_POSITION)) {
            Some([offset, len, raw_len]) if offset > 0 && len > 0 => {
                Some(Span { offset, len, raw_len })
            }
            _ => {
                let value = shown(get(TAR_SPLIT_POSITION));
                let detail = format!(
                    "invalid {TAR_SPLIT_POSITION} {value}; expected \
                     OFFSET:LENGTH:UNCOMPRESSED_LENGTH"
                );
                findings.add(Rule::TarSplitPosition, detail);
                None
            }
        };
        Some(Self { toc_digest: toc_digest?, toc: toc?, tar_split })
    }

    /// Where data has to end: before the first of the frames that are not data.
    pub(super) fn bound(&self) -> u64 {
        let toc = self.toc.offset;
        self.tar_split.map_or(toc, |span| span.offset.min(toc)).saturating_sub(8)
    }

    fn toc(value: &str, findings: &mut Findings) -> Option<Span> {
        let Some([offset, len, raw_len, format]) = numbers(value) else {
            let detail = format!(
                "invalid {TOC_POSITION} {}; expected OFFSET:LENGTH:UNCOMPRESSED_LENGTH:TYPE",
                shown(value)
            );
            findings.add(Rule::TocPosition, detail);
            return None;
        };
        if format != 1 {
            findings.add(Rule::TocFormat, format!("{TOC_POSITION} has type {format}; expected 1"));
        }
        if len.max(raw_len) > TOC_MAX {
            let detail = format!(
                "the TOC has {len} bytes, {raw_len} when decompressed; the limit is {TOC_MAX}"
            );
            findings.add(Rule::TocTooLong, detail);
            return None;
        }
        Some(Span { offset, len, raw_len })
    }
}

/// Decimal numbers with colons between them.
fn numbers<const N: usize>(text: &str) -> Option<[u64; N]> {
    let parts: Vec<u64> = text
        .split(':')
        .map(|part| {
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            if digits { part.parse().ok() } else { None }
        })
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions() {
        assert_eq!(numbers("135:246:379:1"), Some([135, 246, 379, 1]));
        for bad in ["", "1:2:3", "1:2:3:4:5", "1:2:3:", "+1:2:3:4", "1:2:3:99999999999999999999"] {
            assert_eq!(numbers::<4>(bad), None, "{bad}");
        }
    }
}
