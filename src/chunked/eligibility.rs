//! Which layers can have an honest TOC. A client that pulls in parts fails hard on a layer whose
//! TOC it finds wrong, so a layer in doubt gets none and is pulled whole.

mod paths;

pub use self::paths::AdmittedPaths;
use crate::tar::TarEntry;

/// The most entries of a layer with a TOC.
pub(crate) const ENTRIES_MAX: u64 = 1 << 20;

/// The longest TOC in bytes, compressed or not, with which clients pull partially (`maxTocSize` in
/// `pkg/chunked/storage_linux.go`).
pub(super) const TOC_MAX: u64 = 150 << 20;

/// The most that may follow the last entry, in bytes.
pub(super) const TAIL_MAX: u64 = 8 << 20;

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
    /// Clients refuse a TOC in which two entries have one path.
    #[error("{name:?} has the same path as an earlier entry")]
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
    /// No client can make it (`PATH_MAX`).
    #[error("{name:?} has a path or a hard link's target that is too long for Linux")]
    PathTooLong {
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
    /// Clients that pull in parts make a directory without an entry with mode 0000, and composefs
    /// wants a directory before what is in it.
    #[error("no entry for the directory of {name:?} comes before it")]
    NoParent {
        /// The first such entry.
        name: String,
    },
    /// Composefs refuses a root that comes late, and others give it another mode than a full pull.
    #[error("{name:?} is the layer's root, but other entries come before it")]
    LateRoot {
        /// The entry, as it spells the root.
        name: String,
    },
    /// Composefs knows no path that leads through a symlink, and nothing is below a file.
    #[error("{name:?} is below an entry that is not a directory")]
    BelowNonDirectory {
        /// The entry.
        name: String,
    },
    /// Clients go by its name and turn it into something else, and then miss what it was.
    #[error("{name:?} has the name of a whiteout, but is not an empty file or removes no name")]
    WhiteoutForm {
        /// The whiteout.
        name: String,
    },
    /// Clients that pull in parts make the whiteout and the entry on the same path, and fail.
    #[error("{name:?} has the same path as what a whiteout in this layer removes")]
    RemovedHere {
        /// The later of the two.
        name: String,
    },
    /// To overlay file systems such a device is a whiteout, to composefs it is none.
    #[error("{name:?} is a character device 0:0, which overlay file systems take for a whiteout")]
    WhiteoutDevice {
        /// The device.
        name: String,
    },
    /// Clients that pull in parts do not make devices and FIFOs, so what a lower layer has on the
    /// same path shows through.
    #[error("{name:?} is a device or FIFO, and the layer is not the lowest one of its image")]
    Special {
        /// The entry.
        name: String,
    },
    /// Clients that pull in parts do not find it, or not at this moment.
    #[error("{name:?} is a hard link to a device, a FIFO or no earlier file of this layer")]
    LinkTarget {
        /// The link.
        name: String,
    },
    /// mkcomposefs refuses it.
    #[error("{name:?} has bits that do not belong to a mode")]
    Mode {
        /// The entry.
        name: String,
    },
    /// With composefs it is taken for where the content is.
    #[error("{name:?} has a link target, but is not a link")]
    LinkName {
        /// The entry.
        name: String,
    },
    /// With composefs these attributes mean nothing, to other overlays they mean much.
    #[error("{name:?} has an attribute that overlay file systems take for their own")]
    OverlayXattr {
        /// The entry.
        name: String,
    },
    /// Clients that pull in parts leave the attributes out.
    #[error("{name:?} is a symlink with extended attributes")]
    SymlinkXattr {
        /// The symlink.
        name: String,
    },
    /// After a full pull all names of a file have the attributes of the last one, with composefs
    /// those of the first.
    #[error("{name:?} is a hard link with other attributes than its target")]
    LinkAttributes {
        /// The link.
        name: String,
    },
    /// A full pull ignores what the layer says of the root, a partial one does not, and where
    /// another user than root owns it, composefs cannot be mounted.
    #[error("{name:?} is the layer's root and has attributes that a full pull ignores")]
    RootAttributes {
        /// The entry, as it spells the root.
        name: String,
    },
    /// Clients want the padding whole or not at all.
    #[error("the archive ends within the padding of its last file")]
    PaddingCutShort,
    /// Clients ignore a TOC that is longer.
    #[error("the TOC would be longer than the {} MiB that clients read", TOC_MAX >> 20)]
    TocTooLong,
    /// Walking them takes memory, both here and at clients.
    #[error("it has more than {ENTRIES_MAX} entries")]
    TooManyEntries,
    /// The headers hold more that cannot be compressed than the layer is worth.
    #[error("TOC and tar-split would take more than half as many bytes as the layer has")]
    MetadataTooLong,
    /// Clients hold what follows the last entry in memory as one piece of text.
    #[error("more than {} MiB follow the end of the archive", TAIL_MAX >> 20)]
    TailTooLong,
}

impl Unchunkable {
    pub(super) fn typeflag(entry: &TarEntry, typeflag: u8) -> Self {
        let what = match typeflag {
            b'g' => "a global PAX header".to_owned(),
            b'S' => "an old GNU sparse file".to_owned(),
            b'7' => "a contiguous file".to_owned(),
            other => format!("type flag {:?}", char::from(other)),
        };
        Self::Typeflag { name: lossy(&entry.name), what }
    }

    pub(super) fn sparse(entry: &TarEntry) -> Self {
        Self::Sparse { name: lossy(&entry.name) }
    }

    pub(super) fn time(entry: &TarEntry) -> Self {
        Self::Time { name: lossy(&entry.name) }
    }
}

pub(super) fn utf8(bytes: &[u8], entry: &TarEntry) -> Result<String, Unchunkable> {
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

/// What a partial pull of a layer does not create, although the layer keeps its TOC: devices and
/// FIFOs of an image's lowest layer, below which there is nothing that could show through.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct LeftOut {
    /// How many entries that is.
    pub count: u64,
    /// Their names, up to `NAMES_MAX`, as messages show them.
    pub names: Vec<String>,
}

impl LeftOut {
    /// So many names are kept. A distribution's base has eight devices.
    pub(crate) const NAMES_MAX: usize = 20;

    /// A partial pull creates everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds the entry if a partial pull leaves it out.
    pub(crate) fn note(&mut self, entry: &TarEntry) {
        if is_special(entry) {
            self.count += 1;
            if self.names.len() < Self::NAMES_MAX {
                self.names.push(lossy(&entry.name));
            }
        }
    }
}

/// Character device, block device, FIFO.
fn is_special(entry: &TarEntry) -> bool {
    matches!(entry.typeflag, b'3' | b'4' | b'6')
}
