//! The annotations on a layer's descriptor that make it zstd:chunked
//! (`pkg/chunked/internal/minimal/compression.go`; what to strip: `pkg/chunked/toc/toc.go`).

use super::footer::{MANIFEST_TYPE, Position};
use crate::image::{
    Digest,
    annotations::{TAR_SPLIT_POSITION, TOC_DIGEST, TOC_POSITION},
};

/// What a client needs to pull a layer partially.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkedAnnotations {
    /// Digest of the TOC's compressed bytes.
    pub toc_digest: Digest,
    pub toc: Position,
    pub tar_split: Position,
}

impl ChunkedAnnotations {
    /// Keys and values, in a fixed order.
    pub fn to_pairs(&self) -> [(&'static str, String); 3] {
        let Position { offset, len, raw_len } = self.toc;
        let split = self.tar_split;
        [
            (TOC_DIGEST, self.toc_digest.to_string()),
            (TOC_POSITION, format!("{offset}:{len}:{raw_len}:{MANIFEST_TYPE}")),
            (TAR_SPLIT_POSITION, format!("{}:{}:{}", split.offset, split.len, split.raw_len)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer() {
        let toc_digest = Digest::sha256_of(b"toc");
        let annotations = ChunkedAnnotations {
            toc_digest: toc_digest.clone(),
            toc: Position { offset: 135, len: 246, raw_len: 379 },
            tar_split: Position { offset: 389, len: 259, raw_len: 13_922 },
        };
        assert_eq!(
            annotations.to_pairs().map(|(_, value)| value),
            [toc_digest.to_string(), "135:246:379:1".into(), "389:259:13922".into()]
        );
    }
}
