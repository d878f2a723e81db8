//! Decompresses a blob to a tar stream. Its first bytes decide how, as in clients, because media
//! types are often wrong.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Cursor, Read},
};

use flate2::bufread::MultiGzDecoder;

use super::zstd_frames::{ZSTD_MAGIC, ZstdFrames};

/// Input is read in pieces of this many bytes.
const INPUT_BUFFER: usize = 256 << 10;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const SKIPPABLE_MAGIC: [u8; 3] = [0x2a, 0x4d, 0x18];
const XZ_MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
const BZIP2_MAGIC: [u8; 3] = *b"BZh";

/// How a blob is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), of one or many members.
    Gzip,
    /// Zstandard (RFC 8878), of one or many frames; zstd:chunked is a case of it.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// A compression that clients support, but this program does not.
#[derive(Debug, thiserror::Error)]
#[error(
    "the layer is compressed with {0}; only gzip, zstd and uncompressed layers can be converted"
)]
pub struct UnsupportedCompression(&'static str);

/// A tar stream out of a blob.
pub(super) struct Decompressor<R: Read> {
    kind: Compression,
    inner: Inner<PeekedBlob<R>>,
}

/// The whole blob, with the bytes that were looked at put back in front.
type PeekedBlob<R> = BufReader<io::Chain<Cursor<Vec<u8>>, R>>;

enum Inner<R: BufRead> {
    None(R),
    Gzip(Box<MultiGzDecoder<R>>),
    Zstd(Box<ZstdFrames<R>>),
}

impl<R: Read> Decompressor<R> {
    /// Looks at the blob's first bytes. The error has an [`UnsupportedCompression`] inside if that
    /// is the reason.
    pub(super) fn new(mut blob: R) -> io::Result<Self> {
        let mut start = Vec::new();
        let kind = peek(&mut blob, &mut start)?;
        let blob = BufReader::with_capacity(INPUT_BUFFER, Cursor::new(start).chain(blob));
        let inner = match kind {
            Compression::None => Inner::None(blob),
            Compression::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(blob))),
            Compression::Zstd => Inner::Zstd(Box::new(ZstdFrames::new(blob)?)),
        };
        Ok(Self { kind, inner })
    }

    pub(super) fn kind(&self) -> Compression {
        self.kind
    }

    /// Reads the rest of the blob. If it does not match its digest, this fails, with a better
    /// explanation of why decompressing failed.
    pub(super) fn drain(self) -> io::Result<()> {
        let mut blob = match self.inner {
            Inner::None(blob) => blob,
            Inner::Gzip(decoder) => decoder.into_inner(),
            Inner::Zstd(frames) => frames.into_inner(),
        };
        io::copy(&mut blob, &mut io::sink()).map(drop)
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::None(inner) => inner.read(buf),
            Inner::Gzip(inner) => inner.read(buf),
            Inner::Zstd(inner) => inner.read(buf),
        }
    }
}

/// Reads the first bytes of a blob into `start`, and says how it is compressed.
pub(super) fn peek(blob: &mut impl Read, start: &mut Vec<u8>) -> io::Result<Compression> {
    blob.take(XZ_MAGIC.len() as u64).read_to_end(start)?;
    detect(start).map_err(io::Error::other)
}

fn detect(start: &[u8]) -> Result<Compression, UnsupportedCompression> {
    if start.starts_with(&GZIP_MAGIC) {
        Ok(Compression::Gzip)
    } else if start.starts_with(&ZSTD_MAGIC)
        || (start.len() >= 4 && start[0] & 0xf0 == 0x50 && start[1..4] == SKIPPABLE_MAGIC)
    {
        Ok(Compression::Zstd)
    } else if start.starts_with(&XZ_MAGIC) {
        Err(UnsupportedCompression("xz"))
    } else if start.starts_with(&BZIP2_MAGIC) {
        Err(UnsupportedCompression("bzip2"))
    } else {
        Ok(Compression::None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        zstd::encode_all(content, 1).unwrap()
    }

    fn decompressed(blob: &[u8]) -> io::Result<(Compression, Vec<u8>)> {
        let mut decompressor = Decompressor::new(blob)?;
        let mut content = Vec::new();
        decompressor.read_to_end(&mut content)?;
        Ok((decompressor.kind(), content))
    }

    #[test]
    fn told_by_content() {
        let skippable = [&[0x5a, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9], &zstd(b"tar")[..]].concat();
        let cases = [
            (gzip(b"tar"), Compression::Gzip, &b"tar"[..]),
            ([gzip(b"ta"), gzip(b""), gzip(b"r")].concat(), Compression::Gzip, b"tar"),
            (zstd(b"tar"), Compression::Zstd, b"tar"),
            ([zstd(b"t"), zstd(b"ar")].concat(), Compression::Zstd, b"tar"),
            (skippable, Compression::Zstd, b"tar"),
            (b"tar".to_vec(), Compression::None, b"tar"),
            (vec![], Compression::None, b""),
        ];
        for (blob, kind, content) in cases {
            assert_eq!(decompressed(&blob).unwrap(), (kind, content.to_vec()));
        }
    }

    #[test]
    fn a_wide_window_is_read() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.write_all(b"tar").unwrap();
        let blob = encoder.finish().unwrap();
        assert_eq!(decompressed(&blob).unwrap().1, b"tar");
    }

    #[test]
    fn broken_blobs_are_errors() {
        let good = gzip(&[7; 5000]);
        let mut bad_crc = good.clone();
        let crc = bad_crc.len() - 8;
        bad_crc[crc] ^= 1;
        let cases = [
            good[..good.len() - 1].to_vec(),
            bad_crc,
            [&good[..], b"garbage"].concat(),
            [&good[..], &[0; 512]].concat(),
            zstd(&[7; 5000])[..10].to_vec(),
            [&zstd(b"tar")[..], b"garbage"].concat(),
            [&XZ_MAGIC[..], b"rest"].concat(),
            b"BZh91AY".to_vec(),
        ];
        for (number, blob) in cases.iter().enumerate() {
            assert!(decompressed(blob).is_err(), "case {number}");
        }
    }
}
