//! The paths of a layer: which of them a TOC can have side by side.

use std::collections::{HashMap, HashSet};

use sha2::{Digest as _, Sha256};

use super::{Unchunkable, is_special, lossy};
use crate::tar::TarEntry;

/// The paths of a layer so far. Takes about 40 bytes an entry.
#[derive(Debug, Default)]
pub struct AdmittedPaths {
    /// There is no layer below.
    lowest: bool,
    directories: HashSet<PathHash>,
    /// All other entries, whiteouts among them.
    others: HashMap<PathHash, FileAttributes>,
    /// What whiteouts remove.
    removed: HashSet<PathHash>,
    /// What hard links cannot point to: devices, FIFOs and whiteouts.
    no_targets: HashSet<PathHash>,
}

/// Half a SHA-256. If two paths ever share one, the layer is pulled in full, nothing worse.
type PathHash = [u32; 4];

/// What all names of a file share, hashed.
#[derive(Debug, Clone, Copy)]
struct FileAttributes {
    /// Of mode, owner and time.
    own: u32,
    /// Of the extended attributes, 0 if there are none: a link adds its own to the file's.
    extended: u32,
}

impl FileAttributes {
    fn of(entry: &TarEntry) -> Self {
        let mut own = Sha256::new();
        for number in [entry.mode, entry.uid, entry.gid, entry.modified.seconds] {
            own.update(number.to_le_bytes());
        }
        own.update(entry.modified.nanos.to_le_bytes());
        let mut extended = None;
        for (key, value) in &entry.xattrs {
            let hasher = extended.get_or_insert_with(Sha256::new);
            for text in [key, value] {
                hasher.update((text.len() as u64).to_le_bytes());
                hasher.update(text);
            }
        }
        Self { own: word(own), extended: extended.map_or(0, |hasher| word(hasher).max(1)) }
    }

    fn are_those_of(self, file: Self) -> bool {
        self.own == file.own && (self.extended == 0 || self.extended == file.extended)
    }
}

fn word(hasher: Sha256) -> u32 {
    hasher.finalize().first_chunk().map_or(0, |word| u32::from_le_bytes(*word))
}

impl AdmittedPaths {
    pub(crate) fn new(lowest: bool) -> Self {
        Self { lowest, ..Self::default() }
    }

    /// Adds an entry, unless a client that pulls partially (`pkg/chunked/storage_linux.go` and
    /// `filesystem_linux.go` of containers/storage, or with composefs `dump/dump.go`) would fail on
    /// it or show a different tree than after a full pull.
    pub fn admit(&mut self, entry: &TarEntry) -> Result<(), Unchunkable> {
        let name = || lossy(&entry.name);
        let target = if entry.typeflag == b'1' { &entry.link_name[..] } else { b"" };
        if entry.name.len().max(target.len()) > PATH_MAX {
            return Err(Unchunkable::PathTooLong { name: name() });
        }
        if !entry.link_name.is_empty() && !matches!(entry.typeflag, b'1' | b'2') {
            return Err(Unchunkable::LinkName { name: name() });
        }
        let path = proper(&entry.name)?;
        let is_dir = entry.typeflag == b'5';
        if !is_dir && (path.is_empty() || entry.name.ends_with(b"/")) {
            return Err(Unchunkable::DirectoryName { name: name() });
        }
        let own = hash(&path);
        if self.directories.contains(&own) || self.others.contains_key(&own) {
            return Err(Unchunkable::SamePath { name: name() });
        }
        self.parent(&path, entry)?;
        if self.removed.contains(&own) {
            return Err(Unchunkable::RemovedHere { name: name() });
        }
        let attributes = attributes(path.is_empty(), entry)?;
        self.whiteout(&path, own, entry)?;
        if is_special(entry) {
            self.special(own, entry)?;
        }
        if entry.typeflag == b'1' {
            // A spelling with `..` is never found.
            let target = hash(&split(target));
            let file = self.others.get(&target).filter(|_| !self.no_targets.contains(&target));
            let file = file.ok_or_else(|| Unchunkable::LinkTarget { name: name() })?;
            if !attributes.are_those_of(*file) {
                return Err(Unchunkable::LinkAttributes { name: name() });
            }
        }
        if is_dir {
            self.directories.insert(own);
        } else {
            self.others.insert(own, attributes);
        }
        Ok(())
    }

    /// The directory of an entry has to come before it; so had that directory's own, and so on.
    fn parent(&self, path: &[&[u8]], entry: &TarEntry) -> Result<(), Unchunkable> {
        let name = || lossy(&entry.name);
        let Some((_, parent)) = path.split_last() else {
            let first = self.directories.is_empty() && self.others.is_empty();
            return if first { Ok(()) } else { Err(Unchunkable::LateRoot { name: name() }) };
        };
        // The root needs no entry.
        let known = parent.is_empty() || self.directories.contains(&hash(parent));
        if known {
            return Ok(());
        }
        let is_other = (1..=parent.len())
            .any(|len| parent.get(..len).is_some_and(|part| self.others.contains_key(&hash(part))));
        Err(if is_other {
            Unchunkable::BelowNonDirectory { name: name() }
        } else {
            Unchunkable::NoParent { name: name() }
        })
    }

    /// Adds what a whiteout removes. Clients treat a whiteout for a whole directory
    /// (`.wh..wh..opq`) as an attribute of it, so it may come before or after what the layer has
    /// there.
    fn whiteout(
        &mut self,
        path: &[&[u8]],
        own: PathHash,
        entry: &TarEntry,
    ) -> Result<(), Unchunkable> {
        let name = || lossy(&entry.name);
        let Some((last, parent)) = path.split_last() else { return Ok(()) };
        let Some(removed) = last.strip_prefix(b".wh.") else { return Ok(()) };
        let is_opaque = removed == b".wh..opq";
        let names_one = !matches!(removed, b"" | b"." | b"..") && !removed.starts_with(b".wh.");
        let is_empty_file = entry.typeflag == b'0' && entry.payload_len == 0;
        if !is_empty_file || !(is_opaque || names_one) {
            return Err(Unchunkable::WhiteoutForm { name: name() });
        }
        self.no_targets.insert(own);
        if is_opaque {
            return Ok(());
        }
        let removed = hash(&[parent, &[removed]].concat());
        if self.directories.contains(&removed) || self.others.contains_key(&removed) {
            return Err(Unchunkable::RemovedHere { name: name() });
        }
        self.removed.insert(removed);
        Ok(())
    }

    fn special(&mut self, path: PathHash, entry: &TarEntry) -> Result<(), Unchunkable> {
        let name = || lossy(&entry.name);
        if entry.typeflag == b'3' && (entry.dev_major, entry.dev_minor) == (0, 0) {
            return Err(Unchunkable::WhiteoutDevice { name: name() });
        }
        if !self.lowest {
            return Err(Unchunkable::Special { name: name() });
        }
        self.no_targets.insert(path);
        Ok(())
    }
}

/// The longest path that Linux accepts in one call, in bytes.
const PATH_MAX: usize = 4096;

/// The path as a client sees it: `a`, `/a`, `./a` and `a/` are the same.
fn proper(name: &[u8]) -> Result<Vec<&[u8]>, Unchunkable> {
    let path = split(name);
    let mut depth = 0_usize;
    for part in &path {
        depth = match *part {
            b".." => depth.checked_sub(1),
            _ => Some(depth + 1),
        }
        .ok_or_else(|| Unchunkable::LeavesRoot { name: lossy(name) })?;
    }
    if path.contains(&&b".."[..]) {
        return Err(Unchunkable::Detour { name: lossy(name) });
    }
    Ok(path)
}

/// Refuses attributes that are not the same after every pull.
fn attributes(is_root: bool, entry: &TarEntry) -> Result<FileAttributes, Unchunkable> {
    let name = || lossy(&entry.name);
    let type_bits = match entry.typeflag {
        b'2' => 0o120_000,
        b'3' => 0o020_000,
        b'4' => 0o060_000,
        b'5' => 0o040_000,
        b'6' => 0o010_000,
        _ => 0o100_000,
    };
    if ![0, type_bits].contains(&(entry.mode & !0o7777)) {
        return Err(Unchunkable::Mode { name: name() });
    }
    if entry.xattrs.keys().any(|key| key.starts_with(b"trusted.overlay.")) {
        return Err(Unchunkable::OverlayXattr { name: name() });
    }
    // A full pull ignores that one.
    let any = entry.xattrs.keys().any(|key| key != b"security.selinux");
    if any && entry.typeflag == b'2' {
        return Err(Unchunkable::SymlinkXattr { name: name() });
    }
    // Everyone can enter and read the root, and only root can change it, as after a full pull.
    let usual = matches!(entry.mode & 0o7777, 0o755 | 0o555) && (entry.uid, entry.gid) == (0, 0);
    if is_root && (any || !usual) {
        return Err(Unchunkable::RootAttributes { name: name() });
    }
    Ok(FileAttributes::of(entry))
}

fn split(name: &[u8]) -> Vec<&[u8]> {
    let parts = name.split(|byte| *byte == b'/');
    parts.filter(|part| !matches!(*part, b"" | b".")).collect()
}

fn hash(path: &[&[u8]]) -> PathHash {
    let mut hasher = Sha256::new();
    for part in path {
        hasher.update(part);
        hasher.update(b"/");
    }
    let hash = hasher.finalize();
    let mut words = hash.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
    [(); 4].map(|()| words.next().unwrap_or_default())
}

#[cfg(test)]
mod tests;
