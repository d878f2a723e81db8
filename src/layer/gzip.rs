//! A layer as gzip: passed on byte for byte where it is gzip already, encoded anew where not.
//!
//! What is encoded becomes one gzip member, in pieces that are deflated side by side and end on a
//! byte boundary (as `pigz` does it): readers that stop after the first member read all of it.

use std::{
    io::{self, Cursor, Read, Write},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crossbeam_channel::{Receiver, bounded};
use flate2::{Compress, Crc, Decompress, FlushCompress, FlushDecompress, Status};
use sha2::{Digest as _, Sha256};

use super::{
    Compression, Converted, LayerError, LayerProgress, Pool,
    decompress::{self, Decompressor},
    input::{SourceBlob, classify, fill},
};
use crate::image::{Digest, Hasher, digest::Algorithm};

/// Content of a piece, in bytes. What a piece learns of the one before is nothing, which costs a
/// few hundred bytes each.
const PIECE: usize = 1 << 20;

/// gzip's highest level.
pub const LEVEL_MAX: u32 = 9;

/// RFC 1952, section 2.3: no name, no time, of no particular system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// The empty last block of a deflate stream (RFC 1951, section 3.2.6).
const LAST_BLOCK: [u8; 2] = [3, 0];

/// A failure of the sink, on its way through a reader.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct SinkError(io::Error);

/// Makes the layer that `blob` delivers gzip, and writes it to `sink`. With `expected`, the
/// content's diffID is compared with it. `level` is 0 to [`LEVEL_MAX`], and of no meaning for a
/// layer that is gzip already. Blocks until done. The new blob does not depend on the number of
/// threads.
///
/// Memory: with `t` threads in the pool, `t + 3` pieces of 1 MiB or their deflated form, and both of
/// each piece that a thread is working on.
pub fn to_gzip(
    blob: impl Read,
    sink: impl Write + Send,
    expected: Option<&Digest>,
    level: u32,
    pool: &Pool,
    progress: &LayerProgress,
) -> Result<Converted, LayerError> {
    let mut blob = SourceBlob::new(blob, progress);
    let mut start = Vec::new();
    let (source, blob) = match decompress::peek(&mut blob, &mut start) {
        Ok(kind) => (kind, Cursor::new(start).chain(blob)),
        Err(error) => return Err(classify(error, None)),
    };
    let algorithm = expected.map_or(Algorithm::Sha256, Digest::algorithm);
    let diff_id = algorithm.hasher();
    let mut content = Content { diff_id, crc: Crc::new(), len: 0, progress };
    let sink = Output { inner: sink, hasher: Sha256::new(), len: 0, progress };
    let sink = if source == Compression::Gzip {
        pass_on(blob, sink, &mut content)?
    } else {
        encode(blob, sink, &mut content, level, pool)?
    };
    let diff_id = content.diff_id.finish();
    if let Some(expected) = expected
        && *expected != diff_id
    {
        return Err(LayerError::DiffId { expected: expected.clone(), actual: diff_id });
    }
    Ok(Converted {
        digest: Digest::from_sha256(sink.hasher.finalize().into()),
        len: sink.len,
        source,
        diff_id,
        raw_len: content.len,
        outline: Err(None),
    })
}

/// What is known of the content at its end.
struct Content<'a> {
    diff_id: Hasher,
    crc: Crc,
    len: u64,
    progress: &'a LayerProgress,
}

impl Content<'_> {
    /// Fails if this is more than allowed.
    fn update(&mut self, piece: &[u8]) -> Result<(), LayerError> {
        self.diff_id.update(piece);
        self.len += piece.len() as u64;
        self.progress.allow(self.len)
    }
}

/// Counts and hashes the new blob.
struct Output<'a, W> {
    inner: W,
    hasher: Sha256,
    len: u64,
    progress: &'a LayerProgress,
}

impl<W: Write> Output<'_, W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        self.progress.wrote(bytes.len());
        Ok(())
    }
}

/// Writes down what is read.
struct Tee<'a, R, W> {
    from: R,
    to: Output<'a, W>,
}

impl<R: Read, W: Write> Read for Tee<'_, R, W> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.from.read(buf)?;
        self.to.put(&buf[..len]).map_err(|error| io::Error::other(SinkError(error)))?;
        Ok(len)
    }
}

fn pass_on<'a, W: Write>(
    blob: impl Read,
    sink: Output<'a, W>,
    content: &mut Content,
) -> Result<Output<'a, W>, LayerError> {
    let mut tee = Tee { from: blob, to: sink };
    let failed = |error: io::Error| match error.downcast::<SinkError>() {
        Ok(SinkError(error)) => LayerError::Spool(error),
        Err(error) => classify(error, Some(Compression::Gzip)),
    };
    let mut tar = Decompressor::new(&mut tee).map_err(failed)?;
    let mut piece = vec![0; PIECE];
    loop {
        let error = match fill(&mut tar, &mut piece) {
            Ok(0) => break,
            Ok(len) => match content.update(&piece[..len]) {
                Ok(()) => continue,
                Err(error) => error,
            },
            Err(error) => failed(error),
        };
        if !matches!(error, LayerError::Blob(_) | LayerError::Spool(_)) {
            // If the blob is another than its digest says, that has to be told.
            tar.drain().map_err(failed)?;
        }
        return Err(error);
    }
    drop(tar);
    tee.to.inner.flush().map_err(LayerError::Spool)?;
    Ok(tee.to)
}

pub(super) type Deflated = Result<Vec<u8>, LayerError>;

fn encode<'a, W: Write + Send>(
    blob: impl Read,
    mut sink: Output<'a, W>,
    content: &mut Content,
    level: u32,
    pool: &Pool,
) -> Result<Output<'a, W>, LayerError> {
    // Bounds the pieces under way: the pool takes as many as it is given.
    let (order, answers) = bounded::<Receiver<Deflated>>(pool.threads());
    // The writer may fail while the blob is still being read, for hours perhaps.
    let broken = AtomicBool::new(false);
    thread::scope(|scope| {
        let broken = &broken;
        let writer = scope.spawn(move || {
            let written = write(&mut sink, &answers);
            broken.store(written.is_err(), Ordering::Relaxed);
            written.map(|()| sink)
        });
        let deflate = |piece| order.send(pool.deflate(piece, level)).is_ok();
        let read = read(blob, content, deflate, broken);
        drop(order);
        let written = writer.join().unwrap_or(Err(LayerError::WorkerLost));
        match (read, written) {
            (Ok(()) | Err(LayerError::Interrupted), written) => {
                let mut sink = written?;
                let mut end = LAST_BLOCK.to_vec();
                end.extend(content.crc.sum().to_le_bytes());
                // Modulo 2^32, as RFC 1952 has it.
                end.extend(content.crc.amount().to_le_bytes());
                sink.put(&end).and_then(|()| sink.inner.flush()).map_err(LayerError::Spool)?;
                Ok(sink)
            }
            (Err(error), _) => Err(error),
        }
    })
}

fn read(
    blob: impl Read,
    content: &mut Content,
    mut hand_on: impl FnMut(Vec<u8>) -> bool,
    broken: &AtomicBool,
) -> Result<(), LayerError> {
    let mut tar = Decompressor::new(blob).map_err(|error| classify(error, None))?;
    let kind = tar.kind();
    loop {
        let mut piece = vec![0; PIECE];
        let filled = fill(&mut tar, &mut piece).map_err(|error| classify(error, Some(kind)));
        let taken = filled.and_then(|len| {
            piece.truncate(len);
            content.update(&piece)
        });
        if let Err(error) = taken {
            if !matches!(error, LayerError::Blob(_)) {
                tar.drain().map_err(|error| classify(error, Some(kind)))?;
            }
            return Err(error);
        }
        if piece.is_empty() {
            return Ok(());
        }
        content.crc.update(&piece);
        if !hand_on(piece) || broken.load(Ordering::Relaxed) {
            return Err(LayerError::Interrupted);
        }
    }
}

fn write(
    sink: &mut Output<'_, impl Write>,
    answers: &Receiver<Receiver<Deflated>>,
) -> Result<(), LayerError> {
    sink.put(&HEADER).map_err(LayerError::Spool)?;
    for answer in answers {
        let deflated = answer.recv().map_err(|_| LayerError::WorkerLost)??;
        sink.put(&deflated).map_err(LayerError::Spool)?;
    }
    Ok(())
}

/// Blocks of a deflate stream that is not at its end, inflated again and compared.
pub(super) fn deflate(piece: &[u8], level: u32) -> Deflated {
    let broken = || LayerError::Metadata(io::Error::other("a piece of gzip cannot be encoded"));
    let mut encoder = Compress::new(flate2::Compression::new(level.min(LEVEL_MAX)), false);
    let mut out = Vec::with_capacity(piece.len() / 2 + 1024);
    loop {
        let at = usize::try_from(encoder.total_in()).unwrap_or(usize::MAX).min(piece.len());
        let status = encoder.compress_vec(&piece[at..], &mut out, FlushCompress::Sync);
        if status.map_err(|_| broken())? == Status::StreamEnd {
            return Err(broken());
        }
        // Room that is left over is how zlib says that everything has come out.
        if encoder.total_in() == piece.len() as u64 && out.len() < out.capacity() {
            break;
        }
        out.reserve(64 << 10);
    }
    // One more byte than there should be, to notice it.
    let mut inflated = Vec::with_capacity(piece.len() + 1);
    Decompress::new(false)
        .decompress_vec(&out, &mut inflated, FlushDecompress::Sync)
        .map_err(|_| broken())?;
    if inflated == piece { Ok(out) } else { Err(broken()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flate2::read::{GzDecoder, MultiGzDecoder};

    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 60) as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    fn made(blob: &[u8], threads: usize) -> Result<(Converted, Vec<u8>), LayerError> {
        let (mut out, pool) = (Vec::new(), Pool::new(threads).unwrap());
        let converted = to_gzip(blob, &mut out, None, 6, &pool, &LayerProgress::default())?;
        Ok((converted, out))
    }

    #[test]
    fn what_is_no_gzip_becomes_one_member() {
        for len in [0, 1, PIECE - 1, PIECE, 3 * PIECE + 5] {
            let tar = noise(len);
            for blob in [tar.clone(), zstd::encode_all(&tar[..], 1).unwrap()] {
                let (converted, out) = made(&blob, 1).unwrap();
                assert_eq!(made(&blob, 3).unwrap().1, out);
                let mut first_member = Vec::new();
                GzDecoder::new(&out[..]).read_to_end(&mut first_member).unwrap();
                assert!(first_member == tar, "{len}");
                let mut rest = Vec::new();
                MultiGzDecoder::new(&out[..]).read_to_end(&mut rest).unwrap();
                assert_eq!(rest.len(), len);
                assert_eq!(converted.digest, Digest::sha256_of(&out));
                assert_eq!(converted.len, out.len() as u64);
                assert_eq!(converted.diff_id, Digest::sha256_of(&tar));
                assert_eq!(converted.raw_len, len as u64);
            }
        }
    }

    #[test]
    fn gzip_is_passed_on_and_checked() {
        let tar = noise(3 * PIECE);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&tar).unwrap();
        let gzip = encoder.finish().unwrap();
        let twice = [&gzip[..], &gzip].concat();
        for blob in [&gzip, &twice] {
            let (converted, out) = made(blob, 1).unwrap();
            assert_eq!(out, *blob);
            assert_eq!(converted.source, Compression::Gzip);
            assert_eq!(converted.digest, Digest::sha256_of(blob));
        }
        let wrong = Some(Digest::sha256_of(b"another"));
        let (progress, pool) = (LayerProgress::default(), Pool::new(1).unwrap());
        let error =
            to_gzip(&gzip[..], io::sink(), wrong.as_ref(), 6, &pool, &progress).unwrap_err();
        assert!(matches!(error, LayerError::DiffId { .. }), "{error:?}");
        for bad in [&gzip[..gzip.len() - 1], &[&gzip[..], b"garbage"].concat()] {
            let error = made(bad, 1).unwrap_err();
            assert!(matches!(error, LayerError::Decompress { .. }), "{error:?}");
        }
    }

    #[test]
    fn a_full_disk_is_told_and_ends_the_work() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let tar = noise(30 * PIECE);
        let gzip = made(&tar, 2).unwrap().1;
        for blob in [&tar, &gzip] {
            let (progress, pool) = (LayerProgress::default(), Pool::new(2).unwrap());
            let error = to_gzip(&blob[..], Full(100_000), None, 6, &pool, &progress).unwrap_err();
            assert!(matches!(error, LayerError::Spool(_)), "{error:?}");
            assert!(progress.bytes_read() < blob.len() as u64);
        }
    }
}
