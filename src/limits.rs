//! How much content a layer may have, wherever it comes from.

mod window;

pub(crate) use window::{WIDE, Wide, of_frame, wide};

/// Up to this many bytes of content the ratio does not count: holes are common.
const DENSE_FROM: u64 = 1 << 30;

/// The minimum size limit of a blob that replaces another one to save time.
const REPLACEMENT_FROM: u64 = 64 << 20;

/// How much content a layer may have: a few bytes can decompress to any length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Decompressed size in bytes.
    pub size: u64,
    /// How many times longer than what was read of the blob; counts only above 1 GiB.
    pub ratio: u64,
}

/// A layer has more content than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// More bytes than this.
    #[error(
        "decompressed size exceeds {}; raise --max-layer-size if that is intended",
        bytesize::ByteSize::b(*.0)
    )]
    Size(u64),
    /// More than this many times the length of the blob.
    #[error(
        "decompressed size exceeds {0} times the blob (possible decompression bomb); raise \
         --max-compression-ratio if that is intended"
    )]
    Ratio(u64),
}

impl Default for Limits {
    /// Several times the largest layers there are, and a little less than the ratio of 1032 that
    /// gzip reaches with nothing but zeros.
    fn default() -> Self {
        Self { size: 256 << 30, ratio: 1000 }
    }
}

impl Limits {
    /// Whether a blob may have `total` bytes of content when `read` bytes of it were read.
    pub(crate) fn allow(self, total: u64, read: u64) -> Result<(), Exceeded> {
        if total > self.size {
            Err(Exceeded::Size(self.size))
        } else if total > DENSE_FROM && total > read.saturating_mul(self.ratio) {
            Err(Exceeded::Ratio(self.ratio))
        } else {
            Ok(())
        }
    }

    /// The limits for a blob that claims to have the same content as another one of `len` bytes.
    /// Checking it must not take longer than converting the other one.
    #[must_use]
    pub(crate) fn for_replacement_of(self, len: u64) -> Self {
        let size = len.saturating_mul(self.ratio).max(REPLACEMENT_FROM).min(self.size);
        Self { size, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_blob_may_come_to() {
        let limits = Limits { size: 3 << 30, ratio: 100 };
        let allowed = |total, read| limits.allow(total, read).is_ok();
        assert!(allowed(DENSE_FROM, 1));
        assert!(!allowed(DENSE_FROM + 1, 1));
        assert!(allowed(DENSE_FROM + 100, DENSE_FROM / 100 + 2));
        assert!(allowed(limits.size, limits.size / 100 + 1));
        assert!(!allowed(limits.size + 1, limits.size));
        let unlimited = Limits { size: u64::MAX, ratio: u64::MAX };
        assert!(unlimited.allow(u64::MAX, 2).is_ok());
    }

    #[test]
    fn what_a_replacement_may_come_to() {
        let size = |len| Limits { size: 3 << 30, ratio: 100 }.for_replacement_of(len).size;
        assert_eq!(size(1), REPLACEMENT_FROM);
        assert_eq!(size(1 << 20), 100 << 20);
        assert_eq!(size(1 << 40), 3 << 30);
        assert_eq!(size(u64::MAX), 3 << 30);
    }
}
