//! A layer as gzip: passed on byte for byte if it is gzip already, otherwise encoded.
//!
//! What is encoded becomes one gzip member, in pieces that are deflated side by side and end on a
//! byte boundary (as `pigz` does it): readers that stop after the first member read all of it.

use std::{
    collections::VecDeque,
    io::{self, Cursor, Read, Write},
};

use crossbeam_channel::Receiver;
use flate2::Crc;

pub(crate) use super::deflate::LEVEL_MAX;
use super::{
    blob_writer::BlobWriter,
    converted::Converted,
    decompress::{self, Compression, Decompressor},
    deflate::Deflated,
    error::LayerError,
    input::{SourceBlob, classify, fill},
    pool::Pool,
    progress::LayerProgress,
};
use crate::image::{Digest, Hasher, digest::Algorithm};

/// Content of a piece, in bytes. No piece refers to the one before, which costs a few hundred bytes
/// each.
const PIECE: usize = 1 << 20;

/// RFC 1952, section 2.3: no name, no time, of no particular system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// The empty last block of a deflate stream (RFC 1951, section 3.2.6).
const LAST_BLOCK: [u8; 2] = [3, 0];

/// A failure of the sink, on its way through a reader.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct SinkError(io::Error);

/// Makes the layer that `blob` delivers gzip, and writes it to `sink`. With `expected`, the
/// content's diffID is compared with it. `level` is 0 to [`LEVEL_MAX`], and has no effect on a
/// layer that is gzip already. Blocks until done. The new blob does not depend on the number of
/// threads.
///
/// Memory: with `t` threads in the pool, `t + 2` pieces of 1 MiB or their deflated form, and both
/// of each piece that a thread is working on.
pub(crate) fn to_gzip(
    blob: impl Read,
    sink: impl Write,
    expected: Option<&Digest>,
    level: u32,
    pool: &Pool,
    progress: &LayerProgress,
) -> Result<Converted, LayerError> {
    let mut blob = SourceBlob::new(blob, progress);
    let mut start = Vec::new();
    let source = decompress::peek(&mut blob, &mut start).map_err(|error| classify(error, None))?;
    let blob = Cursor::new(start).chain(blob);
    let diff_id = expected.map_or(Algorithm::Sha256, Digest::algorithm).hasher();
    let mut content = ContentSums { diff_id, len: 0, progress };
    let mut out = BlobWriter::new(sink);
    if source == Compression::Gzip {
        let tee = Tee { from: blob, to: &mut out };
        read(tee, &mut content, |_| Ok(()))?;
    } else {
        encode(blob, &mut out, &mut content, level, pool)?;
    }
    let (digest, len) = out.finish().map_err(LayerError::Spool)?;
    let diff_id = content.diff_id.finish();
    if let Some(expected) = expected
        && *expected != diff_id
    {
        return Err(LayerError::DiffId { expected: expected.clone(), actual: diff_id });
    }
    Ok(Converted { digest, len, source, diff_id, raw_len: content.len, outline: Err(None) })
}

/// What is known of the content at its end.
struct ContentSums<'a> {
    diff_id: Hasher,
    len: u64,
    progress: &'a LayerProgress,
}

impl ContentSums<'_> {
    /// Fails if this is more than allowed.
    fn update(&mut self, piece: &[u8]) -> Result<(), LayerError> {
        self.diff_id.update(piece);
        self.len += piece.len() as u64;
        Ok(self.progress.allow(self.len)?)
    }
}

/// Writes what is read to the new blob.
struct Tee<'a, R, W> {
    from: R,
    to: &'a mut BlobWriter<W>,
}

impl<R: Read, W: Write> Read for Tee<'_, R, W> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.from.read(buf)?;
        self.to.put(&buf[..len]).map_err(|error| io::Error::other(SinkError(error)))?;
        Ok(len)
    }
}

/// Reads the tar out of `blob` piece by piece.
fn read(
    blob: impl Read,
    content: &mut ContentSums,
    mut each: impl FnMut(&mut Vec<u8>) -> Result<(), LayerError>,
) -> Result<(), LayerError> {
    let failed = |error: io::Error, kind| match error.downcast::<SinkError>() {
        Ok(SinkError(error)) => LayerError::Spool(error),
        Err(error) => classify(error, kind),
    };
    let mut tar = Decompressor::new(blob).map_err(|error| failed(error, None))?;
    let kind = Some(tar.kind());
    let mut piece = vec![0; PIECE];
    loop {
        let taken = fill(&mut tar, &mut piece).map_err(|error| failed(error, kind));
        let taken = taken.and_then(|len| {
            piece.truncate(len);
            content.update(&piece)
        });
        if let Err(error) = taken {
            if !matches!(error, LayerError::Blob(_) | LayerError::Spool(_)) {
                // If the blob does not match its digest, that is the error to report.
                tar.drain().map_err(|error| failed(error, kind))?;
            }
            return Err(error);
        }
        if piece.is_empty() {
            return Ok(());
        }
        each(&mut piece)?;
        piece.resize(PIECE, 0);
    }
}

fn encode(
    blob: impl Read,
    out: &mut BlobWriter<impl Write>,
    content: &mut ContentSums,
    level: u32,
    pool: &Pool,
) -> Result<(), LayerError> {
    let write = |out: &mut BlobWriter<_>, answer: &Receiver<Deflated>| {
        let deflated = answer.recv().map_err(|_| LayerError::WorkerLost)??;
        out.put(&deflated).map_err(LayerError::Spool)
    };
    out.put(&HEADER).map_err(LayerError::Spool)?;
    let mut crc = Crc::new();
    // Bounded here: the pool takes as many pieces as it is given.
    let mut answers = VecDeque::new();
    read(blob, content, |piece| {
        crc.update(piece);
        if answers.len() > pool.threads()
            && let Some(answer) = answers.pop_front()
        {
            write(out, &answer)?;
        }
        answers.push_back(pool.deflate(std::mem::take(piece), level));
        Ok(())
    })?;
    for answer in answers {
        write(out, &answer)?;
    }
    let mut end = LAST_BLOCK.to_vec();
    end.extend(crc.sum().to_le_bytes());
    // Modulo 2^32, as RFC 1952 has it.
    end.extend(crc.amount().to_le_bytes());
    out.put(&end).map_err(LayerError::Spool)
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
