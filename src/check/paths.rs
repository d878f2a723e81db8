//! The paths of a layer as clients lay them on disk.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::{
    finding::{Findings, Rule, shown},
    seen::Seen,
};

/// The directories that are waited for are remembered by name up to this many.
const MISSING_MAX: usize = 1000;

/// What Linux takes in one call, in bytes (`PATH_MAX`).
const PATH_MAX: usize = 4096;

/// What has come so far. Takes about 40 bytes an entry.
#[derive(Debug, Default)]
pub(super) struct Paths {
    seen: Seen,
    /// Parents that have had no entry yet.
    missing: HashMap<u128, String>,
}

/// The path below the layer's root: `a`, `/a`, `./a`, `a/` and `x/../a` are one. What is too long
/// for any client is left as it is: it may have millions of parents.
pub(super) fn clean(name: &[u8]) -> Vec<&[u8]> {
    if name.len() > PATH_MAX {
        return vec![name];
    }
    let mut parts = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}

pub(super) fn key(parts: &[&[u8]]) -> u128 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hasher.finalize()[..16]);
    u128::from_le_bytes(key)
}

impl Paths {
    /// How many paths have come.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Notes an entry.
    pub(super) fn insert(&mut self, name: &[u8], findings: &mut Findings) {
        let parts = clean(name);
        let path = key(&parts);
        if !self.seen.insert(path) {
            let detail = format!("{} lies on the path of an earlier entry", shown(name));
            findings.add(Rule::DuplicatePath, detail);
        }
        if self.missing.remove(&path).is_some() {
            let detail = format!("{} comes after an entry that is in it", shown(name));
            findings.add(Rule::LateParent, detail);
        }
        // One look is enough where the directory itself is there.
        let Some((_, parents)) = parts.split_last() else { return };
        for len in (1..=parents.len()).rev() {
            let parent = parents.get(..len).unwrap_or_default();
            let path = key(parent);
            let known = self.seen.contains(path) || self.missing.contains_key(&path);
            if known || self.missing.len() >= MISSING_MAX {
                break;
            }
            self.missing.insert(path, shown(parent.join(&b'/')).to_string());
        }
    }

    /// Tells of directories that never had an entry.
    pub(super) fn finish(&mut self, findings: &mut Findings) {
        let mut names: Vec<_> = self.missing.drain().map(|(_, name)| name).collect();
        names.sort_unstable();
        for name in names {
            findings.add(Rule::MissingParent, format!("{name} has no entry of its own"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_under_many_names() {
        for name in ["a/b", "/a/b", "./a//b/", "x/../a/./b", "../a/b"] {
            assert_eq!(clean(name.as_bytes()), [b"a", b"b"], "{name}");
        }
    }

    #[test]
    fn a_path_of_millions_of_directories() {
        let (mut paths, mut findings) = (Paths::default(), Findings::default());
        for _ in 0..2 {
            paths.insert(&b"a/".repeat(4 << 20), &mut findings);
        }
        assert_eq!(findings.counts().get(&Rule::DuplicatePath), Some(&1));
        paths.finish(&mut findings);
        assert_eq!(findings.counts().len(), 1);
    }
}
