//! Archives of images: tars that are read by offset. Nothing is extracted.

mod index;

use std::{
    fs::File,
    io::{self, BufReader, Read as _, Seek as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::OFlags;

pub use self::index::ArchiveIndex;
use super::{
    error::{ArchiveError, ArchiveFileError, StoreError},
    extent::Extent,
};

/// How compressed files begin, what compressed them, and the command that undoes it. They are
/// refused: reading by offset would need a copy as large as the image, and a store knows no
/// compression.
const COMPRESSED: [(&[u8], &str, &str); 4] = [
    (&[0x1f, 0x8b], "gzip", "gunzip"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", "zstd -d"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz", "unxz"),
    (b"BZh", "bzip2", "bunzip2"),
];

/// An archive that has been opened. It stays what it is if its path comes to name another file.
#[derive(Debug)]
pub(super) struct ArchiveFile {
    path: PathBuf,
    file: Arc<File>,
    index: ArchiveIndex,
}

impl ArchiveFile {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        // Otherwise opening a pipe would wait for a writer.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let opened = File::options().read(true).custom_flags(flags).open(path);
        let file = match opened {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound) => {
                return Err(ArchiveFileError::Missing(path.to_owned()).into());
            }
            opened => opened.map_err(StoreError::io(path))?,
        };
        let metadata = file.metadata().map_err(StoreError::io(path))?;
        if metadata.is_dir() {
            return Err(ArchiveFileError::Directory(path.to_owned()).into());
        }
        if !metadata.is_file() {
            return Err(ArchiveFileError::NotRegular(path.to_owned()).into());
        }
        Self::of(file, metadata.len(), path)
    }

    /// The archive of `len` bytes in a file.
    pub(super) fn of(file: File, len: u64, path: &Path) -> Result<Self, StoreError> {
        let (path, file) = (path.to_owned(), Arc::new(file));
        (&*file).rewind().map_err(StoreError::io(&path))?;
        let mut start = Vec::new();
        let whole = Extent::of_file(Arc::clone(&file), 0..len);
        whole.part(0..8).read_to_end(&mut start).map_err(StoreError::io(&path))?;
        if let Some((_, format, command)) = COMPRESSED.iter().find(|it| start.starts_with(it.0)) {
            return Err(ArchiveFileError::Compressed { path, format, command }.into());
        }
        match ArchiveIndex::read(BufReader::new(&*file), len) {
            Ok(index) => Ok(Self { path, file, index }),
            Err(error) => Err(ArchiveFileError::Unreadable { path, error }.into()),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the file `name` is.
    pub(super) fn find(&self, name: &str) -> Result<Option<Extent>, StoreError> {
        match self.index.find(name.as_bytes()) {
            Ok(range) => Ok(range.map(|range| Extent::of_file(Arc::clone(&self.file), range))),
            Err(error) => Err(self.unreadable(error)),
        }
    }

    /// Reads a file of at most `limit` bytes.
    pub(super) fn read_small(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(mut extent) = self.find(name)? else { return Ok(None) };
        let len = extent.len();
        if len > limit {
            let (what, place) = (name.escape_debug().to_string(), self.path.display().to_string());
            return Err(StoreError::TooLarge { what, place, limit });
        }
        let mut content = Vec::new();
        extent.read_to_end(&mut content).map_err(StoreError::io(&self.path))?;
        if content.len() as u64 == len { Ok(Some(content)) } else { Err(self.shrunk()) }
    }

    /// The error for a file that has become shorter since it was opened.
    pub(super) fn shrunk(&self) -> StoreError {
        self.unreadable(ArchiveError::Io(io::ErrorKind::UnexpectedEof.into()))
    }

    fn unreadable(&self, error: ArchiveError) -> StoreError {
        ArchiveFileError::Unreadable { path: self.path.clone(), error }.into()
    }
}
