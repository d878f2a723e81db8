//! What can be asked for.

use std::fmt;

use crate::image::{Platform, media_type::Suffix};

/// How the layers of one manifest are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    ZstdChunked,
    /// Without a TOC.
    Zstd,
    /// For clients that support nothing else.
    Gzip,
}

impl Format {
    /// As users write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ZstdChunked => "zstd:chunked",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The same, as part of a tag.
    pub(crate) fn in_tags(self) -> &'static str {
        match self {
            Self::ZstdChunked => "zstd-chunked",
            other => other.as_str(),
        }
    }

    /// Whether only clients that support zstd can read it.
    pub(crate) fn is_zstd(self) -> bool {
        self.suffix() == Suffix::Zstd
    }

    /// As media types have it.
    pub(crate) fn suffix(self) -> Suffix {
        match self {
            Self::ZstdChunked | Self::Zstd => Suffix::Zstd,
            Self::Gzip => Suffix::Gzip,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// One manifest.
    Image {
        format: Format,
        /// Which image of an index it is made from.
        platform: Option<Platform>,
    },
    Index {
        mode: IndexMode,
        /// The variants that each platform has in the end, in this order.
        formats: Vec<Format>,
        /// The platforms to make them for; all, if there are none.
        platforms: Vec<Platform>,
    },
}

/// What becomes of the entries that a source index has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexMode {
    /// Each platform's image is replaced by its variant.
    AllPlatforms,
    /// What all clients can read goes first, then the variants for clients that support zstd.
    Dual,
    /// All entries stay where they are; what is missing is appended.
    Add,
}

impl Wanted {
    /// As users write it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Index { mode: IndexMode::Dual, .. } => "dual",
            Self::Image { format, .. } => format.as_str(),
            Self::Index { formats, .. } => match formats[..] {
                [format] => format.as_str(),
                _ => "dual",
            },
        }
    }

    /// Whether a manifest of this format may be made.
    pub(crate) fn makes(&self, format: Format) -> bool {
        match self {
            Self::Image { format: wanted, .. } => *wanted == format,
            Self::Index { formats, .. } => formats.contains(&format),
        }
    }
}
