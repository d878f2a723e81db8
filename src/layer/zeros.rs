//! Digests of holes. A disk image may have more holes than data, and they all begin alike.

use sha2::{Digest as _, Sha256};

/// Zeros are hashed in pieces of this many bytes.
const PIECE: usize = 64 << 10;

/// At most this many states are kept, which take about a hundred kilobytes.
const STATES_MAX: usize = 1024;

/// SHA-256 of runs of zeros; each continues from the state of an earlier one.
#[derive(Debug)]
pub(super) struct ZeroDigests {
    /// The state after one stride, two strides and so on.
    states: Vec<Sha256>,
    /// In bytes. Grows with the longest run.
    stride: u64,
}

impl Default for ZeroDigests {
    fn default() -> Self {
        Self { states: Vec::new(), stride: PIECE as u64 }
    }
}

impl ZeroDigests {
    /// The digest of `len` zero bytes.
    pub(super) fn of(&mut self, len: u64) -> [u8; 32] {
        while self.states.len() as u64 * self.stride + self.stride <= len {
            if self.states.len() == STATES_MAX {
                let mut number = 0;
                self.states.retain(|_| {
                    number += 1;
                    number % 2 == 0
                });
                self.stride *= 2;
                continue;
            }
            let state = self.states.last().cloned().unwrap_or_default();
            self.states.push(with_zeros(state, self.stride));
        }
        let strides = usize::try_from(len / self.stride).unwrap_or(usize::MAX);
        let begun = strides.checked_sub(1).and_then(|last| self.states.get(last).cloned());
        with_zeros(begun.unwrap_or_default(), len % self.stride).finalize().into()
    }
}

fn with_zeros(mut hasher: Sha256, len: u64) -> Sha256 {
    static ZEROS: [u8; PIECE] = [0; PIECE];
    let mut left = len;
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        hasher.update(&ZEROS[..piece]);
        left -= piece as u64;
    }
    hasher
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_as_hashing_them() {
        let mut digests = ZeroDigests::default();
        let lens = [3 * PIECE + 7, 1, 1024, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 9 * PIECE + 3];
        let more_than_all_states =
            [STATES_MAX * PIECE + PIECE - 1, (STATES_MAX * 2 + 5) * PIECE + 1];
        for len in lens.into_iter().chain(more_than_all_states).chain(lens) {
            let plain: [u8; 32] = Sha256::digest(vec![0; len]).into();
            assert_eq!(digests.of(len as u64), plain, "{len} zeros");
            assert!(digests.states.len() <= STATES_MAX);
        }
        assert_eq!(digests.stride, 4 * PIECE as u64);
    }
}
