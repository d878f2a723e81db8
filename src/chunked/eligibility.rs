//! Which layers can have an honest TOC. A client that pulls in parts fails hard on a layer whose
//! TOC it finds wrong, so a layer in doubt gets none and is pulled whole.

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};

use crate::tar::Entry;

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
    /// Clients skip the whole padding of the last content before they look for the archive's end.
    #[error("the archive ends within the padding of its last file")]
    PaddingCutShort,
    /// Clients ignore a TOC that is longer.
    #[error("the TOC would be longer than the {} MiB that clients read", super::toc::TOC_MAX >> 20)]
    TocTooLong,
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

/// The paths of a layer, to find two entries on one path. Takes about 30 bytes an entry.
#[derive(Debug, Default)]
pub struct Paths {
    // Half a SHA-256 each: should two paths ever share one, the layer is pulled whole, no worse.
    seen: HashSet<u128>,
}

impl Paths {
    /// Notes an entry's path as a client lays it on disk: `a`, `/a`, `./a`, `a/` and `x/../a` are
    /// one.
    pub fn insert(&mut self, name: &[u8]) -> Result<(), Unchunkable> {
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in name.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop().ok_or_else(|| Unchunkable::LeavesRoot { name: lossy(name) })?;
                }
                part => parts.push(part),
            }
        }
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
            hasher.update(b"/");
        }
        let mut half = [0; 16];
        half.copy_from_slice(&hasher.finalize()[..16]);
        if self.seen.insert(u128::from_ne_bytes(half)) {
            Ok(())
        } else {
            Err(Unchunkable::SamePath { name: lossy(name) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_in_many_spellings() {
        for other in ["a/b", "./a/b", "/a/b", "a//b", "a/b/", "a/./b", "x/../a/b", "a/b/c/.."] {
            let mut paths = Paths::default();
            assert_eq!(paths.insert(b"a/b"), Ok(()));
            assert_eq!(paths.insert(b"a"), Ok(()));
            assert_eq!(paths.insert(b"ab"), Ok(()));
            let expected = Unchunkable::SamePath { name: other.to_owned() };
            assert_eq!(paths.insert(other.as_bytes()), Err(expected));
        }
    }

    #[test]
    fn the_root_is_a_path_like_others_and_nothing_is_above_it() {
        let mut paths = Paths::default();
        assert_eq!(paths.insert(b"./"), Ok(()));
        assert!(matches!(paths.insert(b"/"), Err(Unchunkable::SamePath { .. })));
        for out in ["..", "../a", "a/../../b", "/.."] {
            assert!(matches!(paths.insert(out.as_bytes()), Err(Unchunkable::LeavesRoot { .. })));
        }
    }
}
