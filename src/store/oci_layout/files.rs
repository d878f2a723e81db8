//! The files of a layout: each is complete or absent, whenever the process ends.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    sync::{Arc, MutexGuard, PoisonError},
};

use super::{OciLayout, index::LayoutIndex};
use crate::{
    image::{Digest, DocumentError},
    store::{
        access::Intent,
        blob::{BlobContent, blob_name},
        error::{LayoutError, StoreError},
        extent::Extent,
        manifest::MANIFEST_SIZE_MAX,
        spool::{self, BlobSpool},
    },
};

/// image-layout.md, "oci-layout file".
pub(super) const OCI_LAYOUT: &str = "oci-layout";
/// The only version there is.
const LAYOUT_VERSION: &str = "1.0.0";
/// image-layout.md, "index.json file".
pub(super) const INDEX: &str = "index.json";
/// Bytes per step when a blob is copied.
const PIECE: usize = 1 << 20;

impl OciLayout {
    /// Locks the layout for as long as the returned handle is open. The lock is on the directory, so
    /// that no file stays behind. Some network file systems have no locks; renames keep each file
    /// complete even there.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        let directory = File::open(&self.root).map_err(StoreError::io(&self.root))?;
        if let Err(error) = directory.lock() {
            tracing::debug!("cannot lock the layout {}: {error}", self.root.display());
        }
        Ok(directory)
    }

    /// Whether the directory is empty, or contains only what an interrupted
    /// [`create`](Self::create) leaves.
    pub(super) fn is_unfinished(&self) -> io::Result<bool> {
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let path = entry.path();
            let ours = match entry.file_name().as_encoded_bytes() {
                b"blobs" => path.is_dir() && fs::read_dir(path)?.next().is_none(),
                b"index.json" => read_small(&path)? == LayoutIndex::empty().to_bytes(),
                name => name.starts_with(spool::UNFINISHED.as_bytes()),
            };
            if !ours {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes the directory a layout without images. Call it with the lock held.
    pub(super) fn create(&self) -> Result<(), StoreError> {
        fs::create_dir_all(self.root.join("blobs")).map_err(StoreError::io(&self.root))?;
        let index = self.root.join(INDEX);
        if !index.exists() {
            write_whole(&index, &LayoutIndex::empty().to_bytes())?;
        }
        // Written last: a directory with this file is a complete layout.
        let marker = format!("{{\"imageLayoutVersion\":\"{LAYOUT_VERSION}\"}}");
        write_whole(&self.root.join(OCI_LAYOUT), marker.as_bytes())
    }

    pub(super) fn read_index(&self) -> Result<LayoutIndex, StoreError> {
        let path = self.root.join(INDEX);
        let read = match self.archived() {
            Some(archived) => Ok(archived.index().to_vec()),
            None => read_small(&path),
        };
        let bytes = match read {
            Err(error) if self.intent == Intent::PlanPush && is_absent(&error) => {
                return Ok(LayoutIndex::empty());
            }
            read => read.map_err(StoreError::io(&path))?,
        };
        LayoutIndex::parse(&bytes)
            .map_err(|reason| LayoutError::Damaged { path, reason: reason.to_string() }.into())
    }

    /// Lets `change` edit `index.json`, one process after the other.
    pub(super) fn change_index(
        &self,
        change: impl FnOnce(&mut LayoutIndex) -> Result<(), DocumentError>,
    ) -> Result<(), StoreError> {
        let _lock = self.lock()?;
        let mut index = self.read_index()?;
        let path = self.root.join(INDEX);
        change(&mut index).map_err(|reason| LayoutError::Damaged {
            path: path.clone(),
            reason: reason.to_string(),
        })?;
        write_whole(&path, &index.to_bytes())
    }

    pub(super) fn open_blob(&self, digest: &Digest) -> Result<Option<Extent>, StoreError> {
        if let Some(archived) = self.archived() {
            return archived.blob(digest);
        }
        let path = self.blob_path(digest);
        // Checked before it is opened: opening a pipe would wait for a writer.
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                let file = File::open(&path).map_err(StoreError::io(&path))?;
                Ok(Some(Extent::of_file(Arc::new(file), 0..metadata.len())))
            }
            Ok(_) => {
                Err(LayoutError::Damaged { path, reason: "not a regular file".to_owned() }.into())
            }
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(StoreError::io(path)(error)),
        }
    }

    /// Whether a blob has the right digest. Each is read only once.
    pub(super) fn is_proven(
        &self,
        digest: &Digest,
        mut blob: impl Read,
        stop: &dyn Fn() -> bool,
    ) -> Result<bool, StoreError> {
        if self.proven().contains(digest) {
            return Ok(true);
        }
        let path = self.blob_path(digest);
        let mut hasher = digest.hasher();
        pieces(&mut blob, &path, &path, stop, |piece| {
            hasher.update(piece);
            Ok(())
        })?;
        let is_right = hasher.finish() == *digest;
        if is_right {
            self.proven().insert(digest.clone());
        } else {
            tracing::warn!("blob {digest} in {} is damaged; replacing it", self.path().display());
        }
        Ok(is_right)
    }

    fn proven(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies a blob into the layout if its size and digest are right. `stop` is polled meanwhile.
    pub(super) fn write_blob(
        &self,
        digest: &Digest,
        size: u64,
        content: &BlobContent,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), StoreError> {
        let target = self.blob_path(digest);
        let (mut source, source_path): (Box<dyn Read>, &Path) = match content {
            BlobContent::File(path) => {
                (Box::new(File::open(path).map_err(StoreError::io(path))?), path)
            }
            BlobContent::Bytes(bytes) => (Box::new(io::Cursor::new(bytes)), &target),
        };
        let mut new = NewFile::beside(&target)?;
        let mut hasher = digest.hasher();
        let mut copied = 0;
        pieces(&mut source, source_path, &target, stop, |piece| {
            hasher.update(piece);
            new.write(piece)?;
            copied += piece.len() as u64;
            Ok(())
        })?;
        let actual = hasher.finish();
        let (what, place) = (blob_name(digest), source_path.display().to_string());
        if copied != size {
            let actual = format!("{copied} bytes");
            return Err(StoreError::SizeMismatch { what, place, expected: size, actual });
        }
        if actual != *digest {
            let expected = digest.clone();
            return Err(StoreError::DigestMismatch { what, place, expected, actual });
        }
        new.finish()?;
        self.proven().insert(digest.clone());
        Ok(())
    }

    /// Where blobs can be made that are only renamed at the end.
    pub(crate) fn spool_dir(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// Makes a finished spool a blob. One that was made in [`Self::spool_dir`] is not copied.
    pub(super) fn take_in(
        &self,
        spool: &BlobSpool,
        digest: &Digest,
        size: u64,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), StoreError> {
        let target = self.blob_path(digest);
        let directory = target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory).map_err(StoreError::io(directory))?;
        if spool.persist(&target).map_err(StoreError::io(&target))? {
            sync_directory(&target)?;
            self.proven().insert(digest.clone());
            return Ok(());
        }
        let content = BlobContent::File(spool.path().to_owned());
        self.write_blob(digest, size, &content, stop)
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join(blob_file(digest))
    }
}

/// The name of a blob's file (image-layout.md, "Blobs").
pub(super) fn blob_file(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

/// Fails unless the content of an oci-layout file names the version that is known.
pub(super) fn check_version(marker: &[u8], path: PathBuf) -> Result<(), StoreError> {
    let version = serde_json::from_slice::<serde_json::Value>(marker)
        .ok()
        .and_then(|marker| Some(marker.get("imageLayoutVersion")?.as_str()?.to_owned()))
        .unwrap_or_default();
    if version == LAYOUT_VERSION {
        Ok(())
    } else {
        let version = version.chars().take(40).collect();
        Err(LayoutError::Version { path, version }.into())
    }
}

/// Reads a file to its end. `stop` is polled meanwhile.
fn pieces(
    source: &mut impl Read,
    source_path: &Path,
    target: &Path,
    stop: &dyn Fn() -> bool,
    mut each: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut buffer = vec![0; PIECE];
    loop {
        if stop() {
            return Err(StoreError::io(target)(ErrorKind::Interrupted.into()));
        }
        match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => each(buffer.get(..read).unwrap_or_default())?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(StoreError::io(source_path)(error)),
        }
    }
}

/// Whether a path does not exist, or its parent is not a directory.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Reads a document of the layout, at most as large as a manifest may be.
pub(super) fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(MANIFEST_SIZE_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MANIFEST_SIZE_MAX {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "larger than 4 MiB"));
    }
    Ok(content)
}

fn write_whole(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let mut new = NewFile::beside(path)?;
    new.write(content)?;
    new.finish()
}

/// A file that appears under its name only when it is complete and on disk.
struct NewFile {
    file: tempfile::NamedTempFile,
    target: PathBuf,
}

impl NewFile {
    fn beside(target: &Path) -> Result<Self, StoreError> {
        let directory = target.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory).map_err(StoreError::io(directory))?;
        let file = spool::new_file(directory).map_err(StoreError::io(directory))?;
        Ok(Self { file, target: target.to_owned() })
    }

    fn write(&mut self, content: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(content).map_err(StoreError::io(&self.target))
    }

    fn finish(self) -> Result<(), StoreError> {
        let Self { file, target } = self;
        file.as_file().sync_all().map_err(StoreError::io(&target))?;
        file.persist(&target).map_err(|error| StoreError::io(&target)(error.error))?;
        sync_directory(&target)
    }
}

/// The directory of a file, whose path may be a name alone.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A rename itself is durable only once the directory is on disk too.
pub(super) fn sync_directory(target: &Path) -> Result<(), StoreError> {
    let directory = parent(target);
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(StoreError::io(directory))
}
