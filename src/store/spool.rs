//! A blob on disk that can be uploaded while it is still being written.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use tempfile::{NamedTempFile, TempPath};
use tokio::sync::watch;

use crate::image::Digest;

/// Reads a spool, for an upload. The file is deleted with the last of its readers and its writer.
#[derive(Clone, Debug)]
pub struct BlobSpool {
    file: Arc<TempFile>,
    growth: watch::Receiver<Growth>,
}

/// Writes a spool, on a blocking thread.
#[derive(Debug)]
pub struct SpoolWriter {
    file: Arc<TempFile>,
    growth: watch::Sender<Growth>,
}

/// A file that is deleted when it is closed; by the system itself if possible, so that nothing is
/// left behind even by a process that is killed.
#[derive(Debug)]
struct TempFile {
    file: File,
    path: PathBuf,
    /// Deletes the file, unless it has no name.
    name: Option<TempPath>,
}

/// Others may read what is in a layout, as far as the umask allows.
const LAYOUT_MODE: u32 = 0o644;
/// How the names of files begin that are not finished.
pub(super) const UNFINISHED: &str = ".tmp-";

impl TempFile {
    fn new() -> io::Result<Self> {
        let (file, name) = NamedTempFile::new()?.into_parts();
        let handle = handle(&file);
        match File::open(&handle) {
            Ok(_) => Ok(Self { file, path: handle, name: None }),
            Err(_) => Ok(Self { file, path: name.to_path_buf(), name: Some(name) }),
        }
    }

    /// One that can be given a name in the same file system later.
    fn to_be_kept(dir: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        if let Ok(file) = rustix::fs::open(dir, flags, Mode::from_raw_mode(LAYOUT_MODE)) {
            let file = File::from(file);
            let path = handle(&file);
            if File::open(&path).is_ok() {
                return Ok(Self { file, path, name: None });
            }
        }
        // Some file systems know only files with names.
        let (file, name) = new_file(dir)?.into_parts();
        Ok(Self { file, path: name.to_path_buf(), name: Some(name) })
    }

    /// Gives the file a name under which it is complete or, until then, absent.
    fn persist(&self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        if let Some(name) = &self.name {
            return fs::rename(name, target);
        }
        // A file without a name cannot replace another one.
        let link = |new: &Path| {
            Ok(rustix::fs::linkat(CWD, &self.path, CWD, new, AtFlags::SYMLINK_FOLLOW)?)
        };
        let dir = target.parent().unwrap_or(Path::new("."));
        let named = tempfile::Builder::new().prefix(UNFINISHED).make_in(dir, link)?;
        named.persist(target).map_err(|error| error.error)
    }
}

/// A path by which a file without a name can be opened again.
fn handle(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// A file of a layout that is not finished.
pub(super) fn new_file(dir: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(UNFINISHED)
        // Temporary files are private by default.
        .permissions(Permissions::from_mode(LAYOUT_MODE))
        .tempfile_in(dir)
}

#[derive(Clone, Debug, Default)]
struct Growth {
    written: u64,
    /// Known when nothing more comes.
    digest: Option<Digest>,
}

/// How much there is of a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SpoolExtent {
    /// At least the bytes that were asked for.
    Enough,
    /// Everything: so many bytes, with this digest.
    Finished(Digest, u64),
    /// There is no writer any more, and the blob is not finished.
    Abandoned,
}

impl BlobSpool {
    /// In the directory for temporary files.
    pub fn new() -> io::Result<(SpoolWriter, Self)> {
        Ok(Self::of(TempFile::new()?))
    }

    /// One in the directory `dir` that can be kept, as part of a layout.
    pub(super) fn to_be_kept(dir: &Path) -> io::Result<(SpoolWriter, Self)> {
        Ok(Self::of(TempFile::to_be_kept(dir)?))
    }

    fn of(file: TempFile) -> (SpoolWriter, Self) {
        let file = Arc::new(file);
        let (sender, growth) = watch::channel(Growth::default());
        (SpoolWriter { file: Arc::clone(&file), growth: sender }, Self { file, growth })
    }

    /// Makes a finished spool the file `target`, on disk and complete. Returns false if that is
    /// impossible, because it is not one [to be kept](Self::to_be_kept) there or the file system has
    /// no hard links.
    pub(super) fn persist(&self, target: &Path) -> io::Result<bool> {
        use io::ErrorKind::{CrossesDevices, NotFound, PermissionDenied, Unsupported};

        match self.file.persist(target) {
            Ok(()) => Ok(true),
            Err(error) => match error.kind() {
                CrossesDevices | NotFound | PermissionDenied | Unsupported => Ok(false),
                _ => Err(error),
            },
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }

    /// Waits until the spool has `length` bytes or is finished.
    pub(super) async fn wait_for(&mut self, length: u64) -> SpoolExtent {
        let enough = |growth: &Growth| growth.written >= length || growth.digest.is_some();
        match self.growth.wait_for(enough).await.map(|growth| growth.clone()) {
            Ok(Growth { written, digest: Some(digest) }) => SpoolExtent::Finished(digest, written),
            Ok(_) => SpoolExtent::Enough,
            Err(_) => SpoolExtent::Abandoned,
        }
    }
}

impl SpoolWriter {
    /// Ends the spool. Only then is it a blob: whatever is wrong with it has to be known before.
    pub fn finish(self, digest: Digest) {
        self.growth.send_modify(|growth| growth.digest = Some(digest));
    }
}

impl Write for SpoolWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.growth.is_closed() {
            // The upload has failed, or the whole run is being given up.
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the upload was given up"));
        }
        let written = (&self.file.file).write(bytes)?;
        self.growth.send_modify(|growth| growth.written += written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn readers_follow_the_writer() {
        let (mut writer, mut spool) = BlobSpool::new().unwrap();
        writer.write_all(b"abc").unwrap();
        assert_eq!(spool.wait_for(3).await, SpoolExtent::Enough);
        let mut waiting = spool.clone();
        let waiting = tokio::spawn(async move { waiting.wait_for(100).await });
        writer.write_all(b"def").unwrap();
        let digest = Digest::sha256_of(b"abcdef");
        writer.finish(digest.clone());
        assert_eq!(waiting.await.unwrap(), SpoolExtent::Finished(digest.clone(), 6));
        assert_eq!(spool.wait_for(1).await, SpoolExtent::Finished(digest, 6));
        assert_eq!(std::fs::read(spool.path()).unwrap(), b"abcdef");
    }

    #[test]
    fn a_writer_is_told_that_nobody_reads() {
        let (mut writer, spool) = BlobSpool::new().unwrap();
        writer.write_all(b"abc").unwrap();
        drop(spool);
        assert_eq!(writer.write_all(b"d").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_writer_that_gives_up_leaves_no_blob_and_no_file() {
        let (mut writer, mut spool) = BlobSpool::new().unwrap();
        writer.write_all(b"abc").unwrap();
        drop(writer);
        assert_eq!(spool.wait_for(4).await, SpoolExtent::Abandoned);
        let name = std::fs::read_link(spool.path()).unwrap();
        assert!(name.to_string_lossy().ends_with(" (deleted)"), "{}", name.display());
    }
}
