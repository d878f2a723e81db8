//! The frames of a zstd blob as one stream. Each frame's header is read before it is decoded,
//! because its window decides how much memory that takes.

use std::io::{self, BufRead, Read};

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use crate::limits::{self, WIDE, Wide};

/// The largest window a frame may ask for, as a power of two: 128 MiB, the most that the `zstd`
/// command accepts by default.
const WINDOW_LOG_MAX: u32 = 27;

/// Magic number, descriptor, window and the longest dictionary ID.
const HEADER_MAX: usize = 18;

pub(crate) const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

pub(super) struct ZstdFrames<R> {
    blob: R,
    /// Bytes that were read for a header and are still to be decoded.
    start: Vec<u8>,
    decoder: DCtx<'static>,
    in_frame: bool,
    /// Held to the end of the blob, as long as the decoder keeps its window.
    wide: Option<Wide>,
}

impl<R: BufRead> ZstdFrames<R> {
    pub(super) fn new(blob: R) -> io::Result<Self> {
        let mut decoder = DCtx::create();
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(failed)?;
        Ok(Self { blob, start: Vec::new(), decoder, in_frame: false, wide: None })
    }

    pub(super) fn into_inner(self) -> R {
        self.blob
    }

    /// Looks at the next frame's header. False at the end of the blob.
    fn begin_frame(&mut self) -> io::Result<bool> {
        let missing = HEADER_MAX.saturating_sub(self.start.len()) as u64;
        self.blob.by_ref().take(missing).read_to_end(&mut self.start)?;
        let window = self.start.strip_prefix(&ZSTD_MAGIC).map_or(0, limits::of_frame);
        if window > WIDE && self.wide.is_none() {
            self.wide = Some(limits::wide());
        }
        self.in_frame = !self.start.is_empty();
        Ok(self.in_frame)
    }

    /// Decodes a little further. Returns how many bytes came out, which may be none.
    fn step(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let looked_at = !self.start.is_empty();
        let input = if looked_at { &self.start[..] } else { self.blob.fill_buf()? };
        if input.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete frame"));
        }
        let (mut input, mut output) = (InBuffer::around(input), OutBuffer::around(buf));
        let hint = self.decoder.decompress_stream(&mut output, &mut input).map_err(failed)?;
        let (read, written) = (input.pos(), output.pos());
        if looked_at {
            self.start.drain(..read);
        } else {
            self.blob.consume(read);
        }
        self.in_frame = hint != 0;
        Ok(written)
    }
}

fn failed(code: usize) -> io::Error {
    io::Error::other(get_error_name(code))
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while !buf.is_empty() && (self.in_frame || self.begin_frame()?) {
            let len = self.step(buf)?;
            if len > 0 {
                return Ok(len);
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write as _;

    use super::*;

    fn frame(content: &[u8], window_log: u32) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn frames_of_all_lengths_in_small_reads() {
        let long: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], &[9; 3]].concat();
        let mut blob = Vec::new();
        let mut content = Vec::<u8>::new();
        for len in [0, 1, 0, 5, 300, 0, 70_000, long.len()] {
            blob.extend(zstd::bulk::compress(&long[..len], 1).unwrap());
            blob.extend(&skippable);
            content.extend(&long[..len]);
        }
        for capacity in [1, 7, 17, 19, 4096] {
            let reader = io::BufReader::with_capacity(capacity, &blob[..]);
            let mut out = Vec::new();
            ZstdFrames::new(reader).unwrap().read_to_end(&mut out).unwrap();
            assert!(out == content, "{capacity}");
        }
    }

    #[test]
    fn a_wide_window_is_used_by_one_blob_at_a_time() {
        let (usual, wide) = (frame(b"usual", 23), frame(b"wide", 24));
        let mut frames = ZstdFrames::new(&usual[..]).unwrap();
        frames.read_to_end(&mut Vec::new()).unwrap();
        assert!(frames.wide.is_none());
        let blob = [usual, wide].concat();
        let mut frames = ZstdFrames::new(&blob[..]).unwrap();
        let mut out = Vec::new();
        frames.read_to_end(&mut out).unwrap();
        assert_eq!(out, b"usualwide");
        assert!(frames.wide.is_some());
        drop(frames);
        assert!(ZstdFrames::new(&frame(b"too wide", 28)[..]).unwrap().read(&mut [0; 9]).is_err());
    }

    #[test]
    fn a_frame_that_is_cut_short_is_an_error() {
        let blob = frame(&[7; 5000], 20);
        for len in 1..blob.len() {
            let mut frames = ZstdFrames::new(&blob[..len]).unwrap();
            assert!(frames.read_to_end(&mut Vec::new()).is_err(), "{len}");
        }
    }
}
