//! How a layer is to be made: which files are cut into chunks, and how hard zstd works.

/// What the new blob depends on besides the tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// zstd:chunked, or plain zstd.
    pub chunked: bool,
    /// zstd level of the data frames, 1 to 22.
    pub level: i32,
    /// zstd level of TOC and tar-split.
    pub metadata_level: i32,
    pub cuts: Cuts,
    /// The lowest layer of its image. In others, devices and FIFOs rule out a TOC.
    pub lowest: bool,
}

/// How files become chunks.
///
/// Longer frames compress better and take fewer entries in the TOC; with shorter chunks a client
/// fetches less of a file that has changed in a few places (`docs/performance.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cuts {
    /// Longer files are cut; in bytes, at most 1 MiB.
    pub whole_max: usize,
    /// The same for texts, which are files without a zero byte. Bundles and tables change in a few
    /// places; a program that was rebuilt has changed everywhere, so cutting it gains nothing.
    pub whole_text_max: usize,
    /// Minimum length of a chunk in bytes, except for the last one and those before a hole.
    pub chunk_min: u64,
}

impl Default for Cuts {
    fn default() -> Self {
        Self { whole_max: 1 << 20, whole_text_max: 256 << 10, chunk_min: 64 << 10 }
    }
}

impl Cuts {
    /// All files are cut, at the places where containers/storage cuts them.
    pub const REFERENCE: Self = Self { whole_max: 0, whole_text_max: 0, chunk_min: 0 };

    /// Whether a file with this content becomes one frame.
    pub fn leave_whole(self, content: &[u8]) -> bool {
        content.len() <= self.whole_max
            && (content.len() <= self.whole_text_max || content.contains(&0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_whole() {
        let cuts = Cuts { whole_max: 1000, whole_text_max: 100, chunk_min: 0 };
        let (text, mut binary) = ([b'a'; 1001], [b'a'; 1001]);
        binary[99] = 0;
        for (len, as_text, as_binary) in [
            (1, true, true),
            (100, true, true),
            (101, false, true),
            (1000, false, true),
            (1001, false, false),
        ] {
            assert_eq!(cuts.leave_whole(&text[..len]), as_text, "a text of {len} bytes");
            assert_eq!(cuts.leave_whole(&binary[..len]), as_binary, "{len} bytes with a zero");
        }
        assert!(!Cuts::REFERENCE.leave_whole(b"a"));
    }
}
