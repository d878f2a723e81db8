//! Parts of a file that are read independently of each other.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
};

/// A part of a file, with a position of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl<'a> Section<'a> {
    /// `len` bytes from `start` on.
    pub(crate) fn new(file: &'a File, start: u64, len: u64) -> Self {
        Self { file, at: start, end: start.saturating_add(len) }
    }

    /// How many bytes are left.
    pub(crate) fn len(self) -> u64 {
        self.end - self.at
    }

    /// `len` bytes from `start` on of what is left.
    #[must_use]
    pub(crate) fn part(self, start: u64, len: u64) -> Self {
        let at = self.at.saturating_add(start).min(self.end);
        Self { at, end: at.saturating_add(len).min(self.end), ..self }
    }

    /// Up to `len` bytes from `start` on, without moving.
    pub(crate) fn read_at(self, start: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.part(start, len as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.len()).unwrap_or(usize::MAX).min(buf.len());
        let len = self.file.read_at(buf.get_mut(..most).unwrap_or_default(), self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}
