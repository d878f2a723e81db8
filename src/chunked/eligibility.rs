//! Which layers can have a correct TOC. A client that pulls partially fails on a layer whose TOC is
//! wrong, so a layer in doubt gets none and is pulled in full.

mod paths;

pub use self::paths::AdmittedPaths;
use crate::tar::TarEntry;

/// The most entries of a layer with a TOC.
pub(crate) const ENTRIES_MAX: u64 = 1 << 20;

/// TOC and tar-split may take half as many bytes as the tar, plus this many.
pub(crate) const METADATA_FLOOR: u64 = 4 << 20;

/// Whether TOC and tar-split of together `metadata` bytes are too long for a tar of `tar_len` bytes.
pub(crate) fn is_metadata_too_long(metadata: u64, tar_len: u64) -> bool {
    metadata > METADATA_FLOOR.saturating_add(tar_len / 2)
}

/// The longest TOC in bytes, compressed or not, with which clients pull partially (`maxTocSize` in
/// `pkg/chunked/storage_linux.go`).
pub(super) const TOC_MAX: u64 = 150 << 20;

/// The most that may follow the last entry, in bytes.
pub(crate) const TAIL_MAX: u64 = 8 << 20;

/// Why a layer gets no TOC.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unchunkable {
    /// The reference's writer and reader know only the types 0 to 6.
    #[error("{name:?} has a type that a TOC cannot represent ({what})")]
    Typeflag { name: String, what: String },
    /// The tar holds only parts of the file; a TOC would describe the whole.
    #[error("{name:?} is stored as a sparse file")]
    Sparse { name: String },
    /// JSON cannot represent it.
    #[error("{name:?} has a name, link target or attribute name that is not UTF-8")]
    NotUtf8 { name: String },
    /// A time before the year 0 or after the year 9999.
    #[error("{name:?} has a time outside the years 0 to 9999")]
    Time { name: String },
    /// Clients refuse a TOC in which two entries have the same path.
    #[error("{name:?} has the same path as an earlier entry")]
    SamePath { name: String },
    /// The path has more `..` than parents.
    #[error("{name:?} leads out of the layer's root directory")]
    LeavesRoot { name: String },
    /// No client can create it (`PATH_MAX`).
    #[error("{name:?} has a path or hard link target that is too long for Linux")]
    PathTooLong { name: String },
    /// Clients look such a name up literally, which fails if a part of it is not a directory.
    #[error("{name:?} contains \"..\"")]
    Detour { name: String },
    /// Clients find the name of a directory, or of the root itself, where a file should be.
    #[error("{name:?} has the name of a directory, but is not one")]
    DirectoryName { name: String },
    /// Clients that pull partially create a directory without an entry with mode 0000, and
    /// composefs requires a directory before what is in it.
    #[error("no entry for the parent directory of {name:?} comes before it")]
    NoParent { name: String },
    /// Composefs refuses a root that comes late, and others give it a different mode than a full
    /// pull.
    #[error("{name:?} is the layer's root directory, but other entries come before it")]
    LateRoot { name: String },
    /// Composefs does not resolve paths through symlinks, and nothing is below a file.
    #[error("{name:?} is below an entry that is not a directory")]
    BelowNonDirectory { name: String },
    /// Clients convert it because of its name, and later do not find what it was.
    #[error(
        "{name:?} has the name of a whiteout, but is not an empty file or names nothing to remove"
    )]
    WhiteoutForm { name: String },
    /// Clients that pull partially create the whiteout and the entry at the same path, and fail.
    #[error("{name:?} is at a path that a whiteout in this layer removes")]
    RemovedHere { name: String },
    /// It is a whiteout to overlay file systems, but not to composefs.
    #[error("{name:?} is a character device 0:0, which overlay file systems treat as a whiteout")]
    WhiteoutDevice { name: String },
    /// Clients that pull partially do not create devices and FIFOs, so what a lower layer has at
    /// the same path shows through.
    #[error("{name:?} is a device or FIFO, but the layer is not the lowest of its image")]
    Special { name: String },
    /// Clients that pull partially do not find it, or not yet.
    #[error(
        "{name:?} is a hard link to a device, a FIFO or a path without an earlier file in this \
         layer"
    )]
    LinkTarget { name: String },
    /// mkcomposefs refuses it.
    #[error("{name:?} has invalid mode bits")]
    Mode { name: String },
    /// Composefs takes it for the place of the content.
    #[error("{name:?} has a link target, but is not a link")]
    LinkName { name: String },
    /// These attributes mean nothing with composefs, but a lot to other overlays.
    #[error("{name:?} has an extended attribute that overlay file systems reserve")]
    OverlayXattr { name: String },
    /// Clients that pull partially omit the attributes.
    #[error("{name:?} is a symlink with extended attributes")]
    SymlinkXattr { name: String },
    /// After a full pull, all names of a file have the attributes of the last one; with composefs,
    /// those of the first.
    #[error("{name:?} is a hard link with different attributes than its target")]
    LinkAttributes { name: String },
    /// A full pull ignores what the layer says about the root, a partial one does not, and if
    /// another user than root owns it, composefs cannot be mounted.
    #[error("{name:?} is the layer's root directory and has attributes that a full pull ignores")]
    RootAttributes { name: String },
    /// Clients require all of the padding or none.
    #[error("the archive ends in the padding of its last file")]
    PaddingCutShort,
    /// Clients ignore a TOC that is longer.
    #[error("the TOC would exceed the {} MiB that clients read", TOC_MAX >> 20)]
    TocTooLong,
    /// Each takes memory, here and in clients.
    #[error("the layer has more than {ENTRIES_MAX} entries")]
    TooManyEntries,
    /// The headers do not compress well enough to be worth it.
    #[error("TOC and tar-split would take more than half the size of the layer")]
    MetadataTooLong,
    /// Clients hold what follows the last entry in memory, as one piece of text.
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
    pub count: u64,
    /// Their names, up to `NAMES_MAX`, as messages show them.
    pub names: Vec<String>,
}

impl LeftOut {
    /// A distribution's base image has eight devices.
    pub(crate) const NAMES_MAX: usize = 20;

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
