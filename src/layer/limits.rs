//! What a layer may come to.

use super::LayerError;

/// Below this many bytes of content a blob may be as dense as it likes: holes are common.
const DENSE_FROM: u64 = 1 << 30;

/// What a layer may come to. A few bytes can be made to decompress to any length; nothing but time
/// and the upload's length depends on that here, and these bound both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a layer when decompressed.
    pub size: u64,
    /// How many times longer than the blob read so far; counts only from 1 GiB on.
    pub ratio: u64,
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
    pub(super) fn allow(self, total: u64, read: u64) -> Result<(), LayerError> {
        if total > self.size {
            Err(LayerError::TooLong(self.size))
        } else if total > DENSE_FROM && total > read.saturating_mul(self.ratio) {
            Err(LayerError::TooDense(self.ratio))
        } else {
            Ok(())
        }
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
}
