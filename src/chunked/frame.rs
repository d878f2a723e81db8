//! zstd frames: ordinary ones, encoded and proved on the spot, and skippable ones.

use std::io::{self, Write};

use zstd::zstd_safe::{self, CCtx, DCtx, ErrorCode};

use super::effort::{Attempt, Effort};

/// Payload lengths in a skippable frame are 32 bits wide (RFC 8878, section 3.1.2).
pub(crate) const SKIPPABLE_MAX: u64 = u32::MAX as u64;

/// Bytes in front of a skippable frame's payload: magic number and length.
pub(crate) const SKIPPABLE_HEADER: usize = 8;

const SKIPPABLE_MAGIC: u32 = 0x184D_2A50;

#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("zstd failed to {doing}: {reason}")]
    Zstd { doing: &'static str, reason: &'static str },
    /// The frame decodes to something else, because of faulty memory or a bug in the encoder.
    #[error(
        "a frame of {len} bytes does not decode to what was encoded; \
         this points to faulty memory or a bug in zstd; nothing was published"
    )]
    NotReversible { len: usize },
    #[error("{len} bytes exceed the maximum of a skippable frame, {SKIPPABLE_MAX}")]
    TooLong { len: u64 },
}

fn zstd_error(doing: &'static str) -> impl Fn(ErrorCode) -> FrameError {
    move |code| FrameError::Zstd { doing, reason: zstd_safe::get_error_name(code) }
}

/// Encodes frames one after the other with one set of contexts, which makes tens of thousands of
/// small frames cheap. Each frame is decoded again and compared.
pub struct FrameEncoder {
    encoder: CCtx<'static>,
    decoder: DCtx<'static>,
    decoded: Vec<u8>,
    effort: Option<Effort>,
}

impl Default for FrameEncoder {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameEncoder {
    pub fn new() -> Self {
        Self { encoder: CCtx::create(), decoder: DCtx::create(), decoded: Vec::new(), effort: None }
    }

    /// Appends one frame that decodes to `content` to `out`. The bytes depend only on `content`,
    /// `level` and the version of libzstd, not on what the contexts did before.
    ///
    /// The frame has its content's length and no checksum: each reader has the digests.
    pub fn encode(
        &mut self,
        content: &[u8],
        level: i32,
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        self.encode_well(Effort::new(level, content.len()), level, content, out)
    }

    /// The same for what may be tar headers, whose bytes are of another kind.
    pub(crate) fn encode_headers(
        &mut self,
        headers: &[u8],
        level: i32,
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        self.encode_well(Effort::for_headers(level, headers.len()), level, headers, out)
    }

    /// With `effort`, unless an attempt with less shows that it is not worth it.
    fn encode_well(
        &mut self,
        effort: Effort,
        level: i32,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        if let Some(attempt) = Attempt::at(level, content) {
            let start = out.len();
            self.encode_with(attempt.effort, content, out)?;
            if attempt.is_enough(content, out.len() - start) {
                return Ok(());
            }
            out.truncate(start);
        }
        self.encode_with(effort, content, out)
    }

    fn encode_with(
        &mut self,
        effort: Effort,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        if self.effort != Some(effort) {
            effort.apply(&mut self.encoder).map_err(zstd_error("set the compression level"))?;
            self.effort = Some(effort);
        }
        let start = out.len();
        out.reserve(zstd_safe::compress_bound(content.len()));
        let mut room = io::Cursor::new(&mut *out);
        room.set_position(start as u64);
        self.encoder.compress2(&mut room, content).map_err(zstd_error("encode a frame"))?;
        self.prove(content, &out[start..])
    }

    fn prove(&mut self, content: &[u8], frame: &[u8]) -> Result<(), FrameError> {
        if self.decoded.len() < content.len() {
            self.decoded.resize(content.len(), 0);
        }
        let decoded = &mut self.decoded[..content.len()];
        match self.decoder.decompress(decoded, frame) {
            Ok(len) if len == content.len() && decoded == content => Ok(()),
            _ => Err(FrameError::NotReversible { len: content.len() }),
        }
    }
}

/// The header of a skippable frame with a payload of `len` bytes. It has the first of the sixteen
/// magic numbers, as in the reference (`appendZstdSkippableFrame` in
/// `pkg/chunked/internal/minimal/compression.go`).
pub(crate) fn skippable_header(len: u64) -> io::Result<[u8; SKIPPABLE_HEADER]> {
    let short = u32::try_from(len).map_err(|_| io::Error::other(FrameError::TooLong { len }))?;
    let both = u64::from(short) << 32 | u64::from(SKIPPABLE_MAGIC);
    Ok(both.to_le_bytes())
}

pub(crate) fn write_skippable(out: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    out.write_all(&skippable_header(payload.len() as u64)?)?;
    out.write_all(payload)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn frames_stand_one_behind_the_other() {
        let mut encoder = FrameEncoder::new();
        let mut blob = Vec::new();
        let parts = [b"".to_vec(), b"a".repeat(1 << 20), b"chunk".to_vec()];
        for (part, level) in parts.iter().zip([3, 9, 3]) {
            encoder.encode(part, level, &mut blob).unwrap();
        }
        write_skippable(&mut blob, b"not content").unwrap();
        assert_eq!(zstd::decode_all(&blob[..]).unwrap(), parts.concat());
    }

    #[test]
    fn the_past_of_the_contexts_leaves_no_trace() {
        let text: Vec<u8> =
            (0..200_000u32).flat_map(|i| (i.wrapping_mul(i) / 7).to_le_bytes()).collect();
        let fresh = |content: &[u8], level| {
            let mut out = Vec::new();
            FrameEncoder::new().encode(content, level, &mut out).unwrap();
            out
        };
        let mut used = FrameEncoder::new();
        let lens = [800_000, 10, 5000, 70_000, 40_000, 5000, 0, 300_000, 2000, 70_000, 40_000];
        for level in [6, 9, 5] {
            for (number, len) in lens.into_iter().enumerate() {
                let content = &text[number * 100..][..len.min(text.len() - number * 100)];
                let mut out = Vec::new();
                used.encode(content, level, &mut out).unwrap();
                assert_eq!(out, fresh(content, level), "{len} bytes at level {level}");
            }
        }
    }

    #[test]
    fn what_a_cheap_attempt_settles() {
        let mut random = fastrand::Rng::with_seed(1);
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(300_000).collect();
        let len = |content: &[u8]| {
            let mut frame = Vec::new();
            FrameEncoder::new().encode(content, 6, &mut frame).unwrap();
            frame.len()
        };
        assert!(len(&noise) < 300_100);
        let letters: Vec<u8> = noise.iter().map(|byte| byte & 15).collect();
        assert!(len(&letters) < letters.len() / 2 + 2000);
        // Looks unrepetitive, and is not.
        assert!(len(&noise[..30_000].repeat(4)) < 30_200);
        assert!(len(&noise.repeat(2)) < 300_200);
        // Too long not to be monotonous, and is not.
        let numbers: String = (0..100_000_u32).map(|n| n.wrapping_mul(n).to_string()).collect();
        let frame = len(numbers.as_bytes());
        assert!(frame < numbers.len() / 2 && frame > numbers.len() / 20);
        assert!(len(&b"the same again. ".repeat(40_000)) < 200);
    }

    #[test]
    fn a_wrong_frame_is_found_out() {
        let mut encoder = FrameEncoder::new();
        let mut frame = Vec::new();
        encoder.encode(b"content", 3, &mut frame).unwrap();
        for other in [&b"kontent"[..], b"conten", b"content!"] {
            assert!(encoder.prove(other, &frame).is_err());
        }
    }
}
