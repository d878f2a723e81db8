//! What a client can find in the layers that it has.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
};

use crate::{check::TocEntry, report::paths::components};

/// SHA-256 of a file or chunk.
pub(super) type Sha256 = [u8; 32];

/// Files and chunks in the layers of OLD that have a TOC. Takes up to 90 bytes for each entry.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Clients look up files and chunks in one table.
    digests: HashSet<Sha256>,
    /// Hashes of the paths.
    paths: HashSet<u64>,
    hasher: RandomState,
}

impl Known {
    pub(super) fn add(&mut self, entry: &TocEntry) {
        self.digests.extend(sha256(&entry.digest));
        self.digests.extend(sha256(&entry.chunk_digest));
        if entry.kind == "reg" {
            self.paths.insert(self.path(&entry.name));
        }
    }

    pub(super) fn has_content(&self, digest: &str) -> bool {
        sha256(digest).is_some_and(|digest| self.digests.contains(&digest))
    }

    pub(super) fn has_path(&self, name: &str) -> bool {
        self.paths.contains(&self.path(name))
    }

    fn path(&self, name: &str) -> u64 {
        let parts: Vec<_> = components(name).collect();
        self.hasher.hash_one(parts)
    }
}

fn sha256(text: &str) -> Option<Sha256> {
    let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64)?;
    let mut digest = Sha256::default();
    for (byte, digits) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;

    #[test]
    fn contents_and_paths_are_found() {
        let mut known = Known::default();
        let (file, chunk) = (Digest::sha256_of(b"file"), Digest::sha256_of(b"chunk"));
        known.add(&TocEntry {
            kind: "reg".into(),
            name: "./etc//passwd".into(),
            digest: file.to_string(),
            chunk_digest: chunk.to_string(),
            ..TocEntry::default()
        });
        assert!(known.has_content(file.as_str()) && known.has_content(chunk.as_str()));
        assert!(!known.has_content(Digest::sha256_of(b"").as_str()));
        assert!(known.has_path("/etc/passwd") && !known.has_path("etc/pass/wd"));
        for bad in ["", "sha256:", "sha512:00", &"sha256:é".repeat(8), &format!("{file}0")] {
            assert!(!known.has_content(bad), "{bad}");
        }
    }
}
