//! The first thread of a layer: reads the blob, decompresses it, and passes the tar on.

use std::io::{self, BufRead, Read};

use crossbeam_channel::{Receiver, Sender};

use super::{
    decompress::{Compression, Decompressor, UnsupportedCompression},
    error::LayerError,
    progress::LayerProgress,
};

/// Length in bytes of the pieces in which the tar goes from thread to thread.
const PIECE: usize = 512 << 10;

/// How many pieces there are, free ones included.
pub(super) const PIECES: usize = 4;

/// A failure to read the blob, not to decompress it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct BlobError(io::Error);

/// Counts what is read and marks failures.
pub(super) struct SourceBlob<'a, R> {
    inner: R,
    progress: &'a LayerProgress,
}

impl<'a, R: Read> SourceBlob<'a, R> {
    pub(super) fn new(inner: R, progress: &'a LayerProgress) -> Self {
        Self { inner, progress }
    }
}

impl<R: Read> Read for SourceBlob<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buf) {
            Ok(len) => {
                self.progress.read(len);
                Ok(len)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(io::Error::other(BlobError(error))),
        }
    }
}

/// Sends the tar out of `blob` in pieces; `spent` brings pieces back. If decompression fails or the
/// receiver is gone, the blob is still read to its end: if it does not match its digest, that is
/// the error to report.
pub(super) fn decompress(
    blob: impl Read,
    pieces: &Sender<Vec<u8>>,
    spent: &Receiver<Vec<u8>>,
    progress: &LayerProgress,
) -> Result<Compression, LayerError> {
    let blob = SourceBlob::new(blob, progress);
    let mut tar = Decompressor::new(blob).map_err(|error| classify(error, None))?;
    let kind = tar.kind();
    let mut total = 0;
    let error = loop {
        let Ok(mut piece) = spent.recv() else { break LayerError::Interrupted };
        piece.resize(PIECE, 0);
        match fill(&mut tar, &mut piece) {
            Ok(0) => return Ok(kind),
            Ok(len) => piece.truncate(len),
            Err(error) => break classify(error, Some(kind)),
        }
        total += piece.len() as u64;
        if let Err(error) = progress.allow(total) {
            break error.into();
        }
        if pieces.send(piece).is_err() {
            break LayerError::Interrupted;
        }
    };
    if !matches!(error, LayerError::Blob(_)) {
        tar.drain().map_err(|error| classify(error, Some(kind)))?;
    }
    Err(error)
}

pub(super) fn fill(from: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < piece.len() {
        match from.read(&mut piece[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

pub(super) fn classify(error: io::Error, kind: Option<Compression>) -> LayerError {
    match error.downcast::<BlobError>() {
        Ok(BlobError(error)) => LayerError::Blob(error),
        Err(error) => match error.downcast::<UnsupportedCompression>() {
            Ok(unsupported) => LayerError::Unsupported(unsupported),
            Err(source) => LayerError::Decompress { kind, source },
        },
    }
}

/// The other end: the pieces as one stream again.
pub(super) struct PieceReader {
    incoming: Receiver<Vec<u8>>,
    spent: Sender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl PieceReader {
    pub(super) fn new(incoming: Receiver<Vec<u8>>, spent: Sender<Vec<u8>>) -> Self {
        Self { incoming, spent, piece: Vec::new(), at: 0 }
    }
}

impl Read for PieceReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(buf)?;
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for PieceReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.piece.len() {
            let spent = std::mem::take(&mut self.piece);
            if spent.capacity() > 0 {
                // The sender may be gone already.
                let _ = self.spent.send(spent);
            }
            self.at = 0;
            // Without another piece, this is the end.
            self.piece = self.incoming.recv().unwrap_or_default();
        }
        Ok(&self.piece[self.at..])
    }

    fn consume(&mut self, len: usize) {
        self.at += len;
    }
}
