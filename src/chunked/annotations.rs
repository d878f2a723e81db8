//! The annotations on a layer's descriptor that make it zstd:chunked
//! (`pkg/chunked/internal/minimal/compression.go`; what to strip: `pkg/chunked/toc/toc.go`).

use super::footer::{MANIFEST_TYPE, Position};
use crate::image::Digest;

/// Digest of the compressed TOC. Its presence makes the layer chunked.
pub const MANIFEST_CHECKSUM: &str = "io.github.containers.zstd-chunked.manifest-checksum";
/// Where the TOC is: `offset:length:uncompressed length:type`.
pub const MANIFEST_POSITION: &str = "io.github.containers.zstd-chunked.manifest-position";
/// Where the tar-split stream is: `offset:length:uncompressed length`.
pub const TAR_SPLIT_POSITION: &str = "io.github.containers.zstd-chunked.tarsplit-position";

/// What speaks of the bytes of a blob and is wrong as soon as the blob is another: zstd:chunked's
/// own (the fourth was in use in 2023, the two after it until 2022 and by the stargz snapshotter),
/// and eStargz's. A layer with both a zstd:chunked and a stargz TOC cannot be pulled at all.
pub const BOUND_TO_THE_BLOB: [&str; 8] = [
    MANIFEST_CHECKSUM,
    MANIFEST_POSITION,
    TAR_SPLIT_POSITION,
    "io.github.containers.zstd-chunked.tarsplit-checksum",
    "io.containers.zstd-chunked.manifest-checksum",
    "io.containers.zstd-chunked.manifest-position",
    "containerd.io/snapshot/stargz/toc.digest",
    "io.containers.estargz.uncompressed-size",
];

/// What a client needs to pull a layer in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkedAnnotations {
    /// Digest of the TOC's compressed bytes.
    pub toc_digest: Digest,
    /// Where the TOC is.
    pub toc: Position,
    /// Where the tar-split stream is.
    pub tar_split: Position,
}

impl ChunkedAnnotations {
    /// Keys and values, in a fixed order.
    pub fn to_pairs(&self) -> [(&'static str, String); 3] {
        let Position { offset, len, raw_len } = self.toc;
        let split = self.tar_split;
        [
            (MANIFEST_CHECKSUM, self.toc_digest.to_string()),
            (MANIFEST_POSITION, format!("{offset}:{len}:{raw_len}:{MANIFEST_TYPE}")),
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
