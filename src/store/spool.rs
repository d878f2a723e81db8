//! A blob on disk that can be uploaded while it is still being written.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::{NamedTempFile, TempPath};
use tokio::sync::watch;

use crate::image::Digest;

/// Reads a spool, for an upload. The file is deleted with the last of its readers and its writer.
#[derive(Clone, Debug)]
pub struct Spool {
    file: Arc<TempFile>,
    growth: watch::Receiver<Growth>,
}

/// Writes a spool, on a blocking thread.
#[derive(Debug)]
pub struct SpoolWriter {
    file: Arc<TempFile>,
    growth: watch::Sender<Growth>,
}

/// A file that is deleted when it is closed; by the system itself where that is possible, so that
/// nothing is left behind even by a process that is killed.
#[derive(Debug)]
struct TempFile {
    file: File,
    path: PathBuf,
    /// Deletes the file, unless it has no name.
    _name: Option<TempPath>,
}

impl TempFile {
    fn new() -> io::Result<Self> {
        let (file, name) = NamedTempFile::new()?.into_parts();
        let handle = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        match File::open(&handle) {
            Ok(_) => Ok(Self { file, path: handle, _name: None }),
            Err(_) => Ok(Self { file, path: name.to_path_buf(), _name: Some(name) }),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Growth {
    written: u64,
    /// Known when nothing more comes.
    digest: Option<Digest>,
}

/// What there is of a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// At least the bytes that were asked for.
    Enough,
    /// Everything: so many bytes, with this digest.
    Finished(Digest, u64),
    /// Nobody writes any more, and the blob is not finished.
    Abandoned,
}

impl Spool {
    /// A new spool in the folder for temporary files.
    pub fn new() -> io::Result<(SpoolWriter, Self)> {
        let file = Arc::new(TempFile::new()?);
        let (sender, growth) = watch::channel(Growth::default());
        Ok((SpoolWriter { file: Arc::clone(&file), growth: sender }, Self { file, growth }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }

    /// Waits until the spool has `length` bytes or is finished.
    pub(super) async fn wait_for(&mut self, length: u64) -> Extent {
        let enough = |growth: &Growth| growth.written >= length || growth.digest.is_some();
        match self.growth.wait_for(enough).await.map(|growth| growth.clone()) {
            Ok(Growth { written, digest: Some(digest) }) => Extent::Finished(digest, written),
            Ok(_) => Extent::Enough,
            Err(_) => Extent::Abandoned,
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
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "nobody wants it any more"));
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
        let (mut writer, mut spool) = Spool::new().unwrap();
        writer.write_all(b"abc").unwrap();
        assert_eq!(spool.wait_for(3).await, Extent::Enough);
        let mut waiting = spool.clone();
        let waiting = tokio::spawn(async move { waiting.wait_for(100).await });
        writer.write_all(b"def").unwrap();
        let digest = Digest::sha256_of(b"abcdef");
        writer.finish(digest.clone());
        assert_eq!(waiting.await.unwrap(), Extent::Finished(digest.clone(), 6));
        assert_eq!(spool.wait_for(1).await, Extent::Finished(digest, 6));
        assert_eq!(std::fs::read(spool.path()).unwrap(), b"abcdef");
    }

    #[test]
    fn a_writer_is_told_that_nobody_reads() {
        let (mut writer, spool) = Spool::new().unwrap();
        writer.write_all(b"abc").unwrap();
        drop(spool);
        assert_eq!(writer.write_all(b"d").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_writer_that_gives_up_leaves_no_blob_and_no_file() {
        let (mut writer, mut spool) = Spool::new().unwrap();
        writer.write_all(b"abc").unwrap();
        drop(writer);
        assert_eq!(spool.wait_for(4).await, Extent::Abandoned);
        let name = std::fs::read_link(spool.path()).unwrap();
        assert!(name.to_string_lossy().ends_with(" (deleted)"), "{}", name.display());
    }
}
