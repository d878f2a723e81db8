//! A piece of a gzip stream, encoded and proved on the spot.

use std::io;

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use super::error::LayerError;

/// gzip's highest level.
pub(crate) const LEVEL_MAX: u32 = 9;

pub(super) type Deflated = Result<Vec<u8>, LayerError>;

/// Blocks of a deflate stream that is not at its end, inflated again and compared.
pub(super) fn deflate(piece: &[u8], level: u32) -> Deflated {
    let broken = || LayerError::Encode(io::Error::other("zlib failed"));
    let mut encoder = Compress::new(flate2::Compression::new(level.min(LEVEL_MAX)), false);
    let mut out = Vec::with_capacity(piece.len() / 2 + 1024);
    loop {
        let at = usize::try_from(encoder.total_in()).unwrap_or(usize::MAX).min(piece.len());
        let status = encoder.compress_vec(&piece[at..], &mut out, FlushCompress::Sync);
        if status.map_err(|_| broken())? == Status::StreamEnd {
            return Err(broken());
        }
        // If there is room left, zlib has written everything.
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
