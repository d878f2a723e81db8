//! Which layers can have an honest TOC. A client that pulls in parts fails hard on a layer whose
//! TOC it finds wrong, so a layer in doubt gets none and is pulled whole.

use std::collections::{HashMap, HashSet};

use sha2::{Digest as _, Sha256};

use crate::tar::Entry;

/// The most entries of a layer with a TOC.
pub const ENTRIES_MAX: u64 = 1 << 20;

/// Why a layer gets no TOC.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unchunkable {
    /// The reference's writer and reader know the types 0 to 6 only.
    #[error("{name:?} is of a type that a TOC cannot hold ({what})")]
    Typeflag {
        /// The entry.
        name: String,
        /// The type flag and its meaning.
        what: String,
    },
    /// The tar holds parts of the file only, a TOC would describe the whole.
    #[error("{name:?} is stored as a sparse file")]
    Sparse {
        /// The entry.
        name: String,
    },
    /// JSON cannot hold it.
    #[error("{name:?} has a name, link target or attribute name that is not UTF-8")]
    NotUtf8 {
        /// The entry.
        name: String,
    },
    /// A time before the year 0 or after the year 9999.
    #[error("{name:?} has a time outside the years 0 to 9999")]
    Time {
        /// The entry.
        name: String,
    },
    /// Clients refuse a TOC in which two entries come to lie on one path.
    #[error("{name:?} comes to lie on the same path as an earlier entry")]
    SamePath {
        /// The later entry.
        name: String,
    },
    /// The path has more `..` than parents.
    #[error("{name:?} leads out of the layer's root")]
    LeavesRoot {
        /// The entry.
        name: String,
    },
    /// Clients look such a name up as it stands, which fails where a part of it is no directory.
    #[error("{name:?} has \"..\" in its name")]
    Detour {
        /// The entry.
        name: String,
    },
    /// Clients find the name of a directory, or of the root itself, where a file should be.
    #[error("{name:?} is the name of a directory, but the entry is none")]
    DirectoryName {
        /// The entry.
        name: String,
    },
    /// A client that pulls in parts would make the directory with mode 0000, in this layer and so
    /// over the one of a layer below.
    #[error("the layer has no entry for the directory of {name:?}")]
    NoParent {
        /// The first such entry.
        name: String,
    },
    /// Clients turn it into something else and then miss its content.
    #[error("{name:?} is a whiteout with content")]
    WhiteoutContent {
        /// The whiteout.
        name: String,
    },
    /// Clients that pull in parts do not make devices and FIFOs, and then miss them here.
    #[error("{name:?} is a hard link to a device or FIFO")]
    LinkToSpecial {
        /// The link.
        name: String,
    },
    /// Clients want the padding whole or not at all.
    #[error("the archive ends within the padding of its last file")]
    PaddingCutShort,
    /// Clients ignore a TOC that is longer.
    #[error("the TOC would be longer than the {} MiB that clients read", super::toc::TOC_MAX >> 20)]
    TocTooLong,
    /// Walking them takes memory, both here and at clients.
    #[error("it has more than {ENTRIES_MAX} entries")]
    TooManyEntries,
    /// The headers hold more that cannot be compressed than the layer is worth.
    #[error("TOC and tar-split would take more than half as many bytes as the layer has")]
    MetadataTooLong,
    /// Clients hold what follows the last entry in memory as one piece of text.
    #[error("more than {} MiB follow the end of the archive", super::tar_split::TAIL_MAX >> 20)]
    TailTooLong,
}

impl Unchunkable {
    pub(super) fn typeflag(entry: &Entry, typeflag: u8) -> Self {
        let what = match typeflag {
            b'g' => "a global PAX header".to_owned(),
            b'S' => "an old GNU sparse file".to_owned(),
            b'7' => "a contiguous file".to_owned(),
            other => format!("type flag {:?}", char::from(other)),
        };
        Self::Typeflag { name: lossy(&entry.name), what }
    }

    pub(super) fn sparse(entry: &Entry) -> Self {
        Self::Sparse { name: lossy(&entry.name) }
    }

    pub(super) fn time(entry: &Entry) -> Self {
        Self::Time { name: lossy(&entry.name) }
    }
}

pub(super) fn utf8(bytes: &[u8], entry: &Entry) -> Result<String, Unchunkable> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Unchunkable::NotUtf8 { name: lossy(&entry.name) }),
    }
}

fn lossy(name: &[u8]) -> String {
    const MOST: usize = 200;
    let mut text = String::from_utf8_lossy(&name[..name.len().min(MOST)]).into_owned();
    if name.len() > MOST {
        text.push('…');
    }
    text
}

/// So many directories may have their entries after that of something in them; a few bytes of a
/// hostile name are a directory each.
const AWAITED_MAX: usize = 1 << 16;

/// The paths of a layer, and what they are to each other. Takes about 30 bytes an entry.
#[derive(Debug, Default)]
pub struct Paths {
    seen: HashSet<PathHash>,
    /// Directories that had no entry when something in them had one, with that entry's name. Most
    /// layers have none.
    awaited: HashMap<PathHash, String>,
    /// Devices and FIFOs.
    special: HashSet<PathHash>,
}

/// Half a SHA-256: should two paths ever share one, the layer is pulled whole, no worse.
type PathHash = u128;

impl Paths {
    /// Notes an entry, unless a client that pulls in parts (`pkg/chunked/storage_linux.go` and
    /// `filesystem_linux.go` of containers/storage) would stumble over it.
    pub fn admit(&mut self, entry: &Entry) -> Result<(), Unchunkable> {
        let name = || lossy(&entry.name);
        let path = self.insert(&entry.name)?;
        let is_dir = entry.typeflag == b'5';
        if !is_dir && (path.is_empty() || entry.name.ends_with(b"/")) {
            return Err(Unchunkable::DirectoryName { name: name() });
        }
        let is_whiteout = path.last().is_some_and(|last| last.starts_with(b".wh."));
        if is_whiteout && entry.payload_len > 0 {
            return Err(Unchunkable::WhiteoutContent { name: name() });
        }
        if matches!(entry.typeflag, b'3' | b'4' | b'6') {
            self.special.insert(hash(&path));
        }
        if entry.typeflag == b'1' {
            let target = split(&entry.link_name);
            if self.special.contains(&hash(&target)) {
                return Err(Unchunkable::LinkToSpecial { name: name() });
            }
        }
        Ok(())
    }

    /// To be asked after the last entry: whether all entries had the directories that they are in.
    pub fn finish(mut self) -> Result<(), Unchunkable> {
        self.awaited.retain(|path, _| !self.seen.contains(path));
        match self.awaited.into_values().min() {
            None => Ok(()),
            Some(name) => Err(Unchunkable::NoParent { name }),
        }
    }

    /// Notes a path as a client lays it on disk: `a`, `/a`, `./a` and `a/` are one.
    fn insert<'a>(&mut self, name: &'a [u8]) -> Result<Vec<&'a [u8]>, Unchunkable> {
        let mut depth = 0_usize;
        for part in split(name) {
            depth = match part {
                b".." => depth.checked_sub(1),
                _ => Some(depth + 1),
            }
            .ok_or_else(|| Unchunkable::LeavesRoot { name: lossy(name) })?;
        }
        let path = split(name);
        if path.contains(&&b".."[..]) {
            return Err(Unchunkable::Detour { name: lossy(name) });
        }
        if !self.seen.insert(hash(&path)) {
            return Err(Unchunkable::SamePath { name: lossy(name) });
        }
        self.await_parents(&path, name)?;
        Ok(path)
    }

    /// The root needs no entry. Above a directory that has one, all has been asked for already.
    fn await_parents(&mut self, path: &[&[u8]], name: &[u8]) -> Result<(), Unchunkable> {
        let Some((_, parents)) = path.split_last() else { return Ok(()) };
        if parents.is_empty() || self.seen.contains(&hash(parents)) {
            return Ok(());
        }
        let name = lossy(name);
        let mut hasher = Sha256::new();
        for part in parents {
            add_part(&mut hasher, part);
            let parent = half(hasher.clone());
            if !self.seen.contains(&parent) {
                self.awaited.entry(parent).or_insert_with(|| name.clone());
            }
            if self.awaited.len() > AWAITED_MAX {
                return Err(Unchunkable::NoParent { name });
            }
        }
        Ok(())
    }
}

fn split(name: &[u8]) -> Vec<&[u8]> {
    let parts = name.split(|byte| *byte == b'/');
    parts.filter(|part| !matches!(*part, b"" | b".")).collect()
}

fn hash(path: &[&[u8]]) -> PathHash {
    let mut hasher = Sha256::new();
    for part in path {
        add_part(&mut hasher, part);
    }
    half(hasher)
}

fn add_part(hasher: &mut Sha256, part: &[u8]) {
    hasher.update(part);
    hasher.update(b"/");
}

fn half(hasher: Sha256) -> PathHash {
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize()[..16]);
    PathHash::from_ne_bytes(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(typeflag: u8, name: &str) -> Entry {
        Entry { typeflag, name: name.into(), ..Entry::default() }
    }

    #[test]
    fn one_path_in_many_spellings() {
        for other in ["a/b", "./a/b", "/a/b", "a//b", "a/b/", "a/./b"] {
            let mut paths = Paths::default();
            assert_eq!(paths.admit(&entry(b'0', "a/b")), Ok(()));
            assert_eq!(paths.admit(&entry(b'5', "a")), Ok(()));
            assert_eq!(paths.admit(&entry(b'0', "ab")), Ok(()));
            let expected = Unchunkable::SamePath { name: other.to_owned() };
            assert_eq!(paths.admit(&entry(b'0', other)), Err(expected));
        }
    }

    #[test]
    fn the_root_is_a_path_like_others_and_nothing_is_above_it() {
        let mut paths = Paths::default();
        assert_eq!(paths.admit(&entry(b'5', "./")), Ok(()));
        let again = paths.admit(&entry(b'5', "/"));
        assert!(matches!(again, Err(Unchunkable::SamePath { .. })));
        for out in ["..", "../a", "a/../../b", "/.."] {
            let result = paths.admit(&entry(b'0', out));
            assert!(matches!(result, Err(Unchunkable::LeavesRoot { .. })));
        }
        for detour in ["x/../a", "a/..", "a/b/../c"] {
            let result = paths.admit(&entry(b'5', detour));
            assert!(matches!(result, Err(Unchunkable::Detour { .. })));
        }
    }

    #[test]
    fn what_is_no_directory_has_no_name_of_one() {
        for name in ["", "/", ".", "a/"] {
            for typeflag in [b'0', b'1', b'2'] {
                let result = Paths::default().admit(&entry(typeflag, name));
                assert!(matches!(result, Err(Unchunkable::DirectoryName { .. })), "{name}");
            }
        }
    }

    #[test]
    fn parents_may_come_late_but_have_to_come() {
        let mut paths = Paths::default();
        for (typeflag, name) in [(b'0', "a/b/c"), (b'0', "a/b/d"), (b'5', "a/"), (b'0', "e")] {
            assert_eq!(paths.admit(&entry(typeflag, name)), Ok(()));
        }
        let late = paths.admit(&entry(b'5', "./a/b"));
        assert_eq!((late, paths.finish()), (Ok(()), Ok(())));

        let mut paths = Paths::default();
        for (typeflag, name) in [(b'0', "a/b/c"), (b'5', "a/b/")] {
            assert_eq!(paths.admit(&entry(typeflag, name)), Ok(()));
        }
        assert_eq!(paths.finish(), Err(Unchunkable::NoParent { name: "a/b/c".into() }));
    }

    #[test]
    fn a_name_of_very_many_directories_takes_little() {
        let result = Paths::default().admit(&entry(b'0', &("d/".repeat(500_000) + "f")));
        assert!(matches!(result, Err(Unchunkable::NoParent { .. })));
    }

    #[test]
    fn what_clients_do_not_make_cannot_be_needed() {
        let mut paths = Paths::default();
        assert_eq!(paths.admit(&entry(b'6', "fifo")), Ok(()));
        let link = Entry { link_name: b"./fifo".to_vec(), ..entry(b'1', "link") };
        assert_eq!(paths.admit(&link), Err(Unchunkable::LinkToSpecial { name: "link".into() }));
        assert_eq!(paths.admit(&entry(b'0', ".wh.a")), Ok(()));
        let full = Entry { payload_len: 1, ..entry(b'0', ".wh.b") };
        assert_eq!(paths.admit(&full), Err(Unchunkable::WhiteoutContent { name: ".wh.b".into() }));
    }
}
