//! What a layer may come to, whoever made its blob and on whichever path it arrives.

mod window;

pub(crate) use window::{WIDE, Wide, of_frame, wide};

/// Below this many bytes of content a blob may be as dense as it likes: holes are common.
const DENSE_FROM: u64 = 1 << 30;

/// The same for a blob that stands in for another one, if it is only to save time.
const REPLACEMENT_FROM: u64 = 64 << 20;

/// What a layer may come to: a few bytes can be made to decompress to any length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a layer when decompressed.
    pub size: u64,
    /// How many times longer than the blob read so far; counts only from 1 GiB on.
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
    /// A multiple of the largest layers there are, and a little less than the 1032 that gzip makes
    /// of nothing but zeros.
    fn default() -> Self {
        Self { size: 256 << 30, ratio: 1000 }
    }
}

impl Limits {
    /// Whether a blob may have come to `total` bytes when `read` bytes of it were read.
    pub(crate) fn allow(self, total: u64, read: u64) -> Result<(), Exceeded> {
        if total > self.size {
            Err(Exceeded::Size(self.size))
        } else if total > DENSE_FROM && total > read.saturating_mul(self.ratio) {
            Err(Exceeded::Ratio(self.ratio))
        } else {
            Ok(())
        }
    }

    /// The limits for a blob that is said to have the same content as another one of `len` bytes.
    /// To check it must not take longer than it may take to convert the other one.
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
