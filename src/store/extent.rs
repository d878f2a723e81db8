//! A part of a file, or bytes in memory, read by offset: any number of readers share one handle.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use bytes::Bytes;

/// Where a blob is, and what of it is unread.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    content: Content,
    range: Range<u64>,
}

#[derive(Clone, Debug)]
enum Content {
    File(Arc<File>),
    Bytes(Bytes),
}

impl Extent {
    pub(super) fn of_file(file: Arc<File>, range: Range<u64>) -> Self {
        Self { content: Content::File(file), range }
    }

    pub(super) fn of_bytes(bytes: Bytes) -> Self {
        let range = 0..bytes.len() as u64;
        Self { content: Content::Bytes(bytes), range }
    }

    /// Where it is in its file.
    pub(super) fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Bytes that are left.
    pub(super) fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// A part of it; less if it ends before.
    pub(super) fn part(&self, part: Range<u64>) -> Self {
        let at = |offset: u64| self.range.start.saturating_add(offset).min(self.range.end);
        let range = at(part.start)..at(part.end.max(part.start));
        Self { range, ..self.clone() }
    }
}

impl Read for Extent {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.len()).unwrap_or(usize::MAX).min(buf.len());
        let buf = buf.get_mut(..len).unwrap_or_default();
        let read = match &self.content {
            Content::File(file) => file.read_at(buf, self.range.start)?,
            Content::Bytes(bytes) => {
                let start = usize::try_from(self.range.start).unwrap_or(usize::MAX);
                bytes.get(start..).unwrap_or_default().read(buf)?
            }
        };
        self.range.start += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(mut extent: Extent) -> Vec<u8> {
        let mut content = Vec::new();
        extent.read_to_end(&mut content).unwrap();
        content
    }

    #[test]
    fn parts_of_files_and_of_bytes() {
        let (path, text) = (tempfile::NamedTempFile::new().unwrap(), b"0123456789");
        std::fs::write(path.path(), text).unwrap();
        let file = Extent::of_file(Arc::new(File::open(path.path()).unwrap()), 2..8);
        let bytes = Extent::of_bytes(Bytes::from_static(b"234567"));
        for extent in [file, bytes] {
            assert_eq!(extent.len(), 6);
            assert_eq!(read(extent.clone()), b"234567");
            assert_eq!(read(extent.part(1..3)), b"34");
            assert_eq!(read(extent.part(4..u64::MAX)), b"67");
            assert_eq!(read(extent.part(7..9)), b"");
            assert_eq!(read(extent.part(3..5).part(1..9)), b"6");
        }
    }
}
