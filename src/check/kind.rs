//! How a layer is compressed.

use std::fmt;

use super::claims::{Annotations, is_chunked, is_estargz};
use crate::image::media_type::Suffix;

/// By the content, and for a TOC by the annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum BlobKind {
    #[serde(rename = "uncompressed")]
    Uncompressed,
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

impl fmt::Display for BlobKind {
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

impl BlobKind {
    /// By the first bytes; the annotations say whether there is a TOC.
    pub(crate) fn of(start: &[u8], annotations: &Annotations) -> Self {
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
    pub(crate) fn is_zstd(self) -> bool {
        self.suffix() == Suffix::Zstd
    }

    pub(super) fn suffix(self) -> Suffix {
        match self {
            Self::Uncompressed => Suffix::None,
            Self::Gzip | Self::Estargz => Suffix::Gzip,
            Self::Zstd | Self::ZstdChunked => Suffix::Zstd,
        }
    }
}
