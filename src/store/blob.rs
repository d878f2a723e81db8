//! Blobs: read with every byte checked, written from a file or from memory.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use super::{error::StoreError, extent::Extent};
use crate::image::{Digest, Hasher};

/// What a blob is uploaded from.
#[derive(Clone, Debug)]
pub enum BlobContent {
    /// A file, read in pieces.
    File(PathBuf),
    /// Bytes in memory, for small blobs such as a config.
    Bytes(Bytes),
}

/// A blob's bytes are not what its descriptor says. It arrives inside an [`io::Error`]; extract it
/// with [`BlobMismatch::of`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobMismatch {
    /// The stream ended early. With a registry this may well be a broken connection.
    #[error("blob {digest} ended after {actual} of {expected} bytes")]
    TooShort { digest: Digest, expected: u64, actual: u64 },
    /// The stream went on after the last byte.
    #[error("blob {digest} is longer than the {expected} bytes in its descriptor")]
    TooLong { digest: Digest, expected: u64 },
    #[error("blob {expected} has the wrong content: its digest is {actual}")]
    Digest { expected: Digest, actual: Digest },
}

impl BlobMismatch {
    /// The mismatch that `error` carries, if that is what it is.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// Reads a blob and checks its size and digest on the way, for use on a blocking thread: a read
/// waits for the network.
///
/// The digest can be known only at the end. Whoever uses the bytes has to read until `Ok(0)` and
/// must not publish anything made from them before; a decoder that stops at its own end marker
/// has not read to the end. After an error every further read fails too.
#[derive(Debug)]
pub struct BlobReader {
    source: BlobSource,
    state: ReadState,
    digest: Digest,
    size: u64,
    seen: u64,
}

#[derive(Debug)]
enum BlobSource {
    Extent(Extent),
    Channel { pieces: mpsc::Receiver<io::Result<Bytes>>, piece: Bytes },
}

#[derive(Debug)]
enum ReadState {
    Reading(Hasher),
    Done,
    Failed,
}

impl BlobReader {
    pub(super) fn from_extent(extent: Extent, digest: &Digest, size: u64) -> Self {
        Self::new(BlobSource::Extent(extent), digest, size)
    }

    pub(super) fn from_channel(
        pieces: mpsc::Receiver<io::Result<Bytes>>,
        digest: &Digest,
        size: u64,
    ) -> Self {
        Self::new(BlobSource::Channel { pieces, piece: Bytes::new() }, digest, size)
    }

    fn new(source: BlobSource, digest: &Digest, size: u64) -> Self {
        let state = ReadState::Reading(digest.hasher());
        Self { source, state, digest: digest.clone(), size, seen: 0 }
    }

    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// At the end of the stream: is it complete, and is it the right content?
    fn check(&self, hasher: Hasher) -> Result<(), BlobMismatch> {
        let (digest, expected) = (self.digest.clone(), self.size);
        if self.seen < self.size {
            return Err(BlobMismatch::TooShort { digest, expected, actual: self.seen });
        }
        let actual = hasher.finish();
        if actual == digest {
            Ok(())
        } else {
            Err(BlobMismatch::Digest { expected: digest, actual })
        }
    }
}

/// Which end of a copy failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// Includes a blob that is not what its digest says.
    #[error("cannot read the blob")]
    Read(#[source] io::Error),
    #[error("cannot write the blob")]
    Write(#[source] io::Error),
}

impl BlobReader {
    /// Bytes that are handed on at once.
    const PIECE: usize = 256 << 10;

    /// Copies the whole blob. Its digest has been checked when this is done.
    pub(crate) fn copy_to(mut self, to: &mut impl Write) -> Result<(), CopyError> {
        let mut piece = vec![0; Self::PIECE];
        loop {
            match self.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(len) => to.write_all(&piece[..len]).map_err(CopyError::Write)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CopyError::Read(error)),
            }
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let mut hasher = match std::mem::replace(&mut self.state, ReadState::Failed) {
            ReadState::Reading(hasher) => hasher,
            ReadState::Done => {
                self.state = ReadState::Done;
                return Ok(0);
            }
            ReadState::Failed => {
                return Err(io::Error::other("an earlier read of this blob failed"));
            }
        };
        let read = loop {
            match self.source.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if read == 0 {
            self.check(hasher).map_err(|mismatch| {
                let short = matches!(mismatch, BlobMismatch::TooShort { .. });
                let kind =
                    if short { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::InvalidData };
                io::Error::new(kind, mismatch)
            })?;
            self.state = ReadState::Done;
            return Ok(0);
        }
        self.seen += read as u64;
        if self.seen > self.size {
            let mismatch =
                BlobMismatch::TooLong { digest: self.digest.clone(), expected: self.size };
            return Err(io::Error::new(io::ErrorKind::InvalidData, mismatch));
        }
        hasher.update(&buf[..read]);
        self.state = ReadState::Reading(hasher);
        Ok(read)
    }
}

impl Read for BlobSource {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Extent(extent) => extent.read(buf),
            Self::Channel { pieces, piece } => {
                while piece.is_empty() {
                    match pieces.blocking_recv() {
                        Some(next) => *piece = next?,
                        None => return Ok(0),
                    }
                }
                let length = piece.len().min(buf.len());
                piece.copy_to_slice(&mut buf[..length]);
                Ok(length)
            }
        }
    }
}

/// The error for a blob that could not be read.
pub(super) fn blob_error(error: std::io::Error, digest: &Digest, place: &str) -> StoreError {
    let (what, place) = (blob_name(digest), place.to_owned());
    match BlobMismatch::of(&error).cloned() {
        Some(BlobMismatch::Digest { expected, actual }) => {
            StoreError::DigestMismatch { what, place, expected, actual }
        }
        Some(BlobMismatch::TooShort { expected, actual, .. }) => {
            StoreError::SizeMismatch { what, place, expected, actual: format!("{actual} bytes") }
        }
        Some(BlobMismatch::TooLong { expected, .. }) => {
            StoreError::SizeMismatch { what, place, expected, actual: "more".to_owned() }
        }
        None => StoreError::Read { what, place, source: error },
    }
}

/// A blob's name for messages.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blob {digest}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn reader(pieces: &[&'static [u8]], digest: &Digest, size: u64) -> BlobReader {
        let (sender, receiver) = mpsc::channel(8);
        for piece in pieces {
            sender.try_send(Ok(Bytes::from_static(piece))).unwrap();
        }
        BlobReader::from_channel(receiver, digest, size)
    }

    fn outcome(mut reader: BlobReader) -> Result<Vec<u8>, BlobMismatch> {
        let mut content = Vec::new();
        match reader.read_to_end(&mut content) {
            Ok(_) => Ok(content),
            Err(error) => {
                assert!(reader.read(&mut [0]).is_err(), "an error is final");
                Err(BlobMismatch::of(&error).unwrap().clone())
            }
        }
    }

    #[test]
    fn right_content_passes_and_wrong_content_does_not() {
        let digest = Digest::sha256_of(b"abcdef");
        assert_eq!(outcome(reader(&[b"abc", b"", b"def"], &digest, 6)).unwrap(), b"abcdef");
        assert_eq!(
            outcome(reader(&[b"abc"], &digest, 6)),
            Err(BlobMismatch::TooShort { digest: digest.clone(), expected: 6, actual: 3 })
        );
        assert_eq!(
            outcome(reader(&[b"abcdef", b"g"], &digest, 6)),
            Err(BlobMismatch::TooLong { digest: digest.clone(), expected: 6 })
        );
        assert_eq!(
            outcome(reader(&[b"abcdeX"], &digest, 6)),
            Err(BlobMismatch::Digest { expected: digest, actual: Digest::sha256_of(b"abcdeX") })
        );
        assert_eq!(outcome(reader(&[], &Digest::sha256_of(b""), 0)).unwrap(), b"");
    }

    #[test]
    fn a_broken_transport_is_told_as_it_is() {
        let (sender, receiver) = mpsc::channel(2);
        sender.try_send(Ok(Bytes::from_static(b"ab"))).unwrap();
        sender.try_send(Err(io::Error::from(io::ErrorKind::ConnectionReset))).unwrap();
        let mut reader = BlobReader::from_channel(receiver, &Digest::sha256_of(b"abc"), 3);
        let error = io::copy(&mut reader, &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(reader.read(&mut [0]).is_err());
    }
}
