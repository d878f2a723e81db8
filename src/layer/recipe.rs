//! How a layer is to be made: which files are cut into chunks, and how hard zstd works.

/// What the new blob depends on besides the tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// zstd:chunked, or plain zstd.
    pub chunked: bool,
    /// zstd level of the data frames, 1 to 22.
    pub level: i32,
    pub cuts: Cuts,
    /// The lowest layer of its image. In others, devices and FIFOs rule out a TOC.
    pub lowest: bool,
}

/// How files become chunks.
///
/// Longer frames compress better and take fewer entries in the TOC; with shorter chunks a client
/// fetches less of a file that has changed in a few places, and finds more of what other tools made
/// (`docs/performance.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cuts {
    /// Longer files are cut; in bytes, at most 1 MiB.
    pub whole_max: u64,
    /// Minimum length of a chunk in bytes, except for the last one and those before a hole.
    pub chunk_min: u64,
}

impl Default for Cuts {
    fn default() -> Self {
        Self { whole_max: 32 << 10, chunk_min: 12 << 10 }
    }
}

impl Cuts {
    /// All files are cut, at the places where containers/storage cuts them.
    pub const REFERENCE: Self = Self { whole_max: 0, chunk_min: 0 };
}
