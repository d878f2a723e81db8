//! A map by hashes that grows a little at a time. A plain one needs half as much memory again
//! whenever it doubles, all at once.

use std::collections::HashMap;

/// Half a SHA-256.
pub(super) type PathKey = [u32; 4];

/// How many maps there are.
const PARTS: usize = 64;

/// A map by hashes, which have to be evenly distributed.
#[derive(Debug)]
pub(super) struct Spread<V> {
    parts: Vec<HashMap<PathKey, V>>,
}

impl<V> Default for Spread<V> {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| HashMap::new()).collect() }
    }
}

impl<V> Spread<V> {
    pub(super) fn insert(&mut self, key: PathKey, value: V) {
        if let Some(part) = self.parts.get_mut(part(key)) {
            part.insert(key, value);
        }
    }

    pub(super) fn get(&self, key: PathKey) -> Option<&V> {
        self.parts.get(part(key))?.get(&key)
    }

    pub(super) fn contains(&self, key: PathKey) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.iter().all(HashMap::is_empty)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(HashMap::len).sum()
    }
}

fn part(key: PathKey) -> usize {
    usize::from(key[0].to_le_bytes()[0]) % PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_once() {
        let mut map = Spread::default();
        assert!(map.is_empty());
        let keys = || (0..1000_u32).map(|n| [n.wrapping_mul(0x9e37_79b9), n, 0, 0]);
        for key in keys() {
            assert!(!map.contains(key));
            map.insert(key, 1);
            map.insert(key, 2);
        }
        assert!(keys().all(|key| map.get(key) == Some(&2)));
        assert_eq!(map.len(), 1000);
    }
}
