//! Parts of a blob that are read independently of each other.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
};

/// Where a blob's bytes are.
#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    File(&'a File),
    /// Only those from here on are known.
    End {
        from: u64,
        bytes: &'a [u8],
    },
}

/// A part of a blob, with a position of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section<'a> {
    place: Place<'a>,
    at: u64,
    end: u64,
}

impl<'a> Section<'a> {
    /// `len` bytes from `start` on.
    pub(crate) fn new(file: &'a File, start: u64, len: u64) -> Self {
        Self { place: Place::File(file), at: start, end: start.saturating_add(len) }
    }

    /// All of a blob of `len` bytes that ends with `bytes`. What is before them cannot be read.
    pub(super) fn known_at_end(len: u64, bytes: &'a [u8]) -> Self {
        let from = len.saturating_sub(bytes.len() as u64);
        Self { place: Place::End { from, bytes }, at: 0, end: len }
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
        let buf = buf.get_mut(..most).unwrap_or_default();
        let len = match self.place {
            Place::File(file) => file.read_at(buf, self.at)?,
            Place::End { from, bytes } => {
                let at = self.at.checked_sub(from).and_then(|at| usize::try_from(at).ok());
                let known = at.and_then(|at| bytes.get(at..));
                known.ok_or(io::ErrorKind::UnexpectedEof)?.read(buf)?
            }
        };
        self.at += len as u64;
        Ok(len)
    }
}
