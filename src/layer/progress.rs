//! How much of a layer has been read, and how much content it may have.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::{Exceeded, Limits};

/// Shared with the threads that show it.
#[derive(Debug, Default)]
pub struct LayerProgress {
    read: AtomicU64,
    limits: Limits,
}

impl LayerProgress {
    pub(crate) fn within(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Whether the layer may have `total` bytes of content by now.
    pub(super) fn allow(&self, total: u64) -> Result<(), Exceeded> {
        self.limits.allow(total, self.bytes_read())
    }

    pub(super) fn read(&self, len: usize) {
        self.read.fetch_add(len as u64, Ordering::Relaxed);
    }

    /// Bytes of the source blob.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}
