//! A set of hashes that grows a little at a time. A plain one takes half as much again whenever it
//! doubles, all at once.

use std::collections::HashSet;

/// Parts of which each is a set of its own.
const PARTS: usize = 64;

/// A set of hashes, which have to be spread evenly.
#[derive(Debug)]
pub(super) struct Seen {
    parts: Vec<HashSet<u128>>,
    len: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self { parts: vec![HashSet::new(); PARTS], len: 0 }
    }
}

impl Seen {
    /// False if it is there already.
    pub(super) fn insert(&mut self, hash: u128) -> bool {
        let part = self.parts.get_mut(part(hash));
        let is_new = part.is_some_and(|part| part.insert(hash));
        self.len += usize::from(is_new);
        is_new
    }

    pub(super) fn contains(&self, hash: u128) -> bool {
        self.parts.get(part(hash)).is_some_and(|part| part.contains(&hash))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

fn part(hash: u128) -> usize {
    usize::from(hash.to_le_bytes()[0]) % PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_once() {
        let mut seen = Seen::default();
        let hashes = || (0..1000_u128).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) << 3 | n);
        assert!(hashes().all(|hash| !seen.contains(hash) && seen.insert(hash)));
        assert!(hashes().all(|hash| seen.contains(hash) && !seen.insert(hash)));
        assert_eq!(seen.len(), 1000);
    }
}
