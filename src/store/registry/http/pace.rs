//! Whether a body comes fast enough to be waited for.

use std::time::Duration;

/// Bytes a second below which a connection is as good as dead.
pub(crate) const SLOWEST: u64 = 1024;

/// Bytes a second at which a registry hashes and copies a blob at the end of its upload, at the
/// least.
const COMMIT_PACE: u64 = 10 << 20;

/// How long to wait for the answer to a write of `size` bytes that was sent completely.
pub(super) fn commit_time(at_least: Duration, size: u64) -> Duration {
    at_least.saturating_add(Duration::from_secs(size / COMMIT_PACE))
}

/// The pace of one body. Only the time that was spent waiting for the sender counts.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    waited: Duration,
    bytes: u64,
    is_slow: bool,
}

impl Pace {
    /// `bytes` have come after a wait. Each span of `window` spent waiting is judged on its own.
    pub(crate) fn note(&mut self, waited: Duration, bytes: usize, window: Duration) {
        self.waited += waited;
        self.bytes += bytes as u64;
        if self.waited >= window {
            self.is_slow |=
                u128::from(self.bytes) * 1000 < self.waited.as_millis() * u128::from(SLOWEST);
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
    }

    /// Whether it was too slow for the length of any window.
    pub(crate) fn is_slow(&self) -> bool {
        self.is_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn is_slow(pieces: impl IntoIterator<Item = (u64, usize)>) -> bool {
        let mut pace = Pace::default();
        for (millis, bytes) in pieces {
            pace.note(Duration::from_millis(millis), bytes, WINDOW);
        }
        pace.is_slow()
    }

    #[test]
    fn each_window_is_judged_on_its_own() {
        assert!(!is_slow([(9_999, 1)]));
        assert!(is_slow([(10_000, 1)]));
        assert!(!is_slow([(10_000, 10_240)]));
        assert!(!is_slow([(5_000, 1), (5_000, 10_239)]));
        assert!(is_slow([(10_000, 1 << 30), (5_000, 5_000), (5_000, 5_000)]));
        // What comes without waiting is never slow.
        assert!(!is_slow(std::iter::repeat_n((0, 1), 100_000)));
    }
}
