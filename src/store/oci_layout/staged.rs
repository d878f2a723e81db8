//! A layout that becomes an archive: it is put together in a directory beside the archive, and moved
//! into it blob by blob at the end. That takes room for all of the image and its largest blob.

use std::{
    fs,
    io::{self, BufWriter, Read, Write as _},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::{
    OciLayout,
    archived::ArchivedLayout,
    files::{INDEX, OCI_LAYOUT, blob_file, parent, read_small, sync_directory},
};
use crate::{
    image::Digest,
    store::{
        archive::ArchiveFile,
        blob::{BlobMismatch, BlobReader, blob_error},
        error::{ArchiveFileError, StoreError},
        publishing_begins, spool,
    },
};

/// Bytes that are written at once.
const BUFFER: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct StagedArchive {
    /// Removed with everything in it.
    dir: TempDir,
    path: PathBuf,
    completed: OnceLock<ArchivedLayout>,
}

impl StagedArchive {
    pub(super) fn new(path: &Path) -> Result<Self, StoreError> {
        check_absent(path)?;
        let parent = parent(path);
        let dir = tempfile::Builder::new().prefix(spool::UNFINISHED).tempdir_in(parent);
        let (dir, path) = (dir.map_err(StoreError::io(parent))?, path.to_owned());
        Ok(Self { dir, path, completed: OnceLock::new() })
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The archive.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The archive, once it is there.
    pub(super) fn completed(&self) -> Option<&ArchivedLayout> {
        self.completed.get()
    }

    /// Writes the archive, and only then gives it its name. `stop` is polled meanwhile.
    pub(super) fn complete(
        &self,
        layout: &OciLayout,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), StoreError> {
        if self.completed.get().is_some() {
            return Ok(());
        }
        let io = || StoreError::io(&self.path);
        let new = spool::new_file(self.dir()).map_err(io())?;
        self.write(layout, new.as_file(), stop)?;
        new.as_file().sync_all().map_err(io())?;
        let len = new.as_file().metadata().map_err(io())?.len();
        let file = new.as_file().try_clone().map_err(io())?;
        let archived = ArchivedLayout::of(ArchiveFile::of(file, len, &self.path)?)?;
        publishing_begins();
        new.persist_noclobber(&self.path).map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => ArchiveFileError::Exists(self.path.clone()).into(),
            _ => io()(error.error),
        })?;
        sync_directory(&self.path)?;
        // Nobody else completes it.
        let _ = self.completed.set(archived);
        Ok(())
    }

    /// Writes the files of the layout in the order of their names, all of which say nothing of who made
    /// them and when. Blobs are removed once they are in the archive.
    fn write(
        &self,
        layout: &OciLayout,
        file: &fs::File,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), StoreError> {
        let mut tar = Builder::new(BufWriter::with_capacity(BUFFER, file));
        let failed = |error: io::Error| StoreError::io(&self.path)(error);
        add(&mut tar, "blobs/", 0, io::empty()).map_err(failed)?;
        for algorithm in names(&layout.spool_dir()).map_err(failed)? {
            let folder = layout.spool_dir().join(&algorithm);
            add(&mut tar, &format!("blobs/{algorithm}/"), 0, io::empty()).map_err(failed)?;
            for hex in names(&folder).map_err(failed)? {
                let Ok(digest) = format!("{algorithm}:{hex}").parse::<Digest>() else { continue };
                let Some(blob) = layout.open_blob(&digest)? else { continue };
                let len = blob.len();
                let blob = Wanted(BlobReader::from_extent(blob, &digest, len), stop);
                add(&mut tar, &blob_file(&digest), len, blob).map_err(|error| {
                    match BlobMismatch::of(&error) {
                        Some(_) => blob_error(error, &digest, &layout.place()),
                        None => failed(error),
                    }
                })?;
                fs::remove_file(layout.blob_path(&digest)).map_err(failed)?;
            }
        }
        for name in [INDEX, OCI_LAYOUT] {
            let content = read_small(&layout.root.join(name)).map_err(failed)?;
            add(&mut tar, name, content.len() as u64, &content[..]).map_err(failed)?;
        }
        let finished = tar.into_inner().and_then(|mut file| file.flush());
        finished.map_err(failed)
    }
}

/// Fails if there is anything at the path of an archive to be written, or no directory for it.
pub(super) fn check_absent(path: &Path) -> Result<(), StoreError> {
    match fs::symlink_metadata(path) {
        Ok(_) => return Err(ArchiveFileError::Exists(path.to_owned()).into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(StoreError::io(path)(error)),
    }
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(StoreError::io(path)(io::ErrorKind::IsADirectory.into()));
    }
    let parent = parent(path);
    fs::read_dir(parent).map(drop).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ArchiveFileError::NoDirectory(parent.to_owned()).into(),
        _ => StoreError::io(parent)(error),
    })
}

/// The names in a directory, sorted; those of unfinished files are left out.
fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with(spool::UNFINISHED) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Adds a file, or a directory if the name ends in a slash.
fn add(
    tar: &mut Builder<impl io::Write>,
    name: &str,
    len: u64,
    content: impl Read,
) -> io::Result<()> {
    let is_dir = name.ends_with('/');
    let mut header = Header::new_gnu();
    header.set_entry_type(if is_dir { EntryType::Directory } else { EntryType::Regular });
    header.set_mode(if is_dir { 0o755 } else { 0o644 });
    header.set_size(len);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, name, content)
}

/// Reads as long as that is wanted.
struct Wanted<'a, R>(R, &'a dyn Fn() -> bool);

impl<R: Read> Read for Wanted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if (self.1)() { Err(io::Error::other("interrupted")) } else { self.0.read(buf) }
    }
}
