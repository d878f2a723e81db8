//! The ordinary frames of a blob, decoded one after the other, keeping track of where each
//! begins (RFC 8878, section 3.1).

use std::io::{self, Read};

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::finding::Rule;
use crate::limits::{self, WIDE, Wide};

/// The `zstd` command accepts no larger window by default, nor does this program.
const WINDOW_MAX_LOG: u32 = 27;

/// Magic number, descriptor, window and the longest dictionary ID.
const HEADER_MAX: usize = 18;

const BUFFER: usize = 256 << 10;

/// Decoding cannot go on.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) rule: Rule,
    pub(super) detail: String,
}

pub(super) struct CheckedFrames<R> {
    source: R,
    input: Vec<u8>,
    input_at: usize,
    /// Where in the blob the next byte of the input is.
    position: u64,
    decoder: DCtx<'static>,
    output: Vec<u8>,
    output_at: usize,
    output_len: usize,
    in_frame: bool,
    /// Where the current frame begins.
    head: u64,
    /// No content of the current frame has been handed out.
    fresh: bool,
    /// Held to the end of the blob, as long as the decoder keeps its window.
    wide: Option<Wide>,
}

impl<R: Read> CheckedFrames<R> {
    /// Decodes from the blob's first byte on.
    pub(super) fn new(source: R) -> Self {
        let mut decoder = DCtx::create();
        // Fails only for values out of range, which this one is not.
        let _ = decoder.set_parameter(DParameter::WindowLogMax(WINDOW_MAX_LOG));
        Self {
            source,
            input: Vec::new(),
            input_at: 0,
            position: 0,
            decoder,
            output: vec![0; BUFFER],
            output_at: 0,
            output_len: 0,
            in_frame: false,
            head: 0,
            fresh: true,
            wide: None,
        }
    }

    /// How much of the blob has been decoded, in bytes.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Available content, to be taken with [`consume`](Self::consume); empty at the end of the
    /// blob.
    pub(super) fn content(&mut self) -> Result<&[u8], Fault> {
        while self.output_at == self.output_len {
            if !self.step()? {
                break;
            }
        }
        Ok(self.output.get(self.output_at..self.output_len).unwrap_or_default())
    }

    pub(super) fn consume(&mut self, len: usize) {
        self.output_at += len;
        self.fresh &= len == 0;
    }

    /// Whether a frame begins or the last one ends at `target` with no content before it. Targets
    /// have to come in ascending order.
    pub(super) fn is_at(&mut self, target: u64) -> Result<bool, Fault> {
        loop {
            if self.output_at < self.output_len {
                return Ok(self.fresh && self.head == target);
            }
            if self.in_frame {
                if self.fresh && self.head == target {
                    return Ok(true);
                }
            } else if self.position >= target {
                return Ok(self.position == target);
            }
            if !self.step()? {
                return Ok(false);
            }
        }
    }

    /// Decodes a little further, once all content has been taken. False at the end.
    fn step(&mut self) -> Result<bool, Fault> {
        if !self.in_frame {
            return self.begin_frame();
        }
        if self.rest().is_empty() && !self.fill(1)? {
            return Err(self.broken("the blob ends in the middle of it"));
        }
        let mut input = InBuffer::around(self.input.get(self.input_at..).unwrap_or_default());
        let mut output = OutBuffer::around(self.output.as_mut_slice());
        let result = self.decoder.decompress_stream(&mut output, &mut input);
        let (read, written) = (input.pos(), output.pos());
        let hint = result.map_err(|code| self.broken(get_error_name(code)))?;
        self.skip(read);
        (self.output_at, self.output_len) = (0, written);
        self.in_frame = hint != 0;
        Ok(true)
    }

    fn begin_frame(&mut self) -> Result<bool, Fault> {
        self.fill(HEADER_MAX)?;
        self.head = self.position;
        let header = self.rest();
        match header {
            [] => return Ok(false),
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, len @ ..] => {
                let Some(len) = len.first_chunk().map(|len| u32::from_le_bytes(*len)) else {
                    return Err(self.broken("the blob ends in the middle of it"));
                };
                self.skip(8);
                self.skip_payload(u64::from(len))?;
            }
            [0x28, 0xb5, 0x2f, 0xfd, header @ ..] => {
                let window = self.inspect(header)?;
                if window > WIDE && self.wide.is_none() {
                    self.wide = Some(limits::wide());
                }
                (self.in_frame, self.fresh) = (true, true);
            }
            _ => return Err(self.broken("not a zstd frame")),
        }
        Ok(true)
    }

    /// Looks at the fields behind the magic number (RFC 8878, section 3.1.1.1), and returns the
    /// window.
    fn inspect(&self, header: &[u8]) -> Result<u64, Fault> {
        let descriptor = header.first().copied().unwrap_or_default();
        if descriptor & 3 != 0 {
            return Err(self.fault(Rule::Dictionary, "requires a dictionary"));
        }
        let single_segment = descriptor & 0x20 != 0;
        let window = if single_segment {
            let field = header.get(1..).unwrap_or_default();
            let number = |len: usize| {
                field.iter().take(len).rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte))
            };
            match descriptor >> 6 {
                0 => number(1),
                1 => number(2) + 256,
                2 => number(4),
                _ => number(8),
            }
        } else {
            let field = header.get(1).copied().unwrap_or_default();
            let base = 1_u64 << (10 + (field >> 3));
            base + base / 8 * u64::from(field & 7)
        };
        if window > 1 << WINDOW_MAX_LOG {
            return Err(self.fault(Rule::Window, &format!("requires a window of {window} bytes")));
        }
        Ok(window)
    }

    fn rest(&self) -> &[u8] {
        self.input.get(self.input_at..).unwrap_or_default()
    }

    fn skip(&mut self, len: usize) {
        self.input_at += len;
        self.position += len as u64;
    }

    fn skip_payload(&mut self, len: u64) -> Result<(), Fault> {
        let mut left = len;
        while left > 0 {
            if self.rest().is_empty() && !self.fill(1)? {
                return Err(self.broken("the blob ends in the middle of it"));
            }
            let step = self.rest().len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.skip(step);
            left -= step as u64;
        }
        Ok(())
    }

    /// Reads until `least` bytes are available; false if there are none at all.
    fn fill(&mut self, least: usize) -> Result<bool, Fault> {
        if self.rest().len() < least {
            self.input.drain(..self.input_at);
            self.input_at = 0;
            let room = (BUFFER - self.input.len()) as u64;
            let read = self.source.by_ref().take(room).read_to_end(&mut self.input);
            read.map_err(|error: io::Error| self.broken(&error.to_string()))?;
        }
        Ok(!self.rest().is_empty())
    }

    fn broken(&self, reason: &str) -> Fault {
        self.fault(Rule::Frame, reason)
    }

    fn fault(&self, rule: Rule, reason: &str) -> Fault {
        Fault { rule, detail: format!("the frame at {}: {reason}", self.head) }
    }
}

/// The content as a stream.
pub(super) struct FrameContent<R>(pub(super) CheckedFrames<R>);

impl<R: Read> Read for FrameContent<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let content = self.0.content().map_err(|fault| io::Error::other(fault.detail))?;
        let len = content.len().min(buf.len());
        buf.iter_mut().zip(content).for_each(|(to, from)| *to = *from);
        self.0.consume(len);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn frame(content: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(content, 3).unwrap()
    }

    #[test]
    fn boundaries() {
        let skippable = [0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9];
        let big: Vec<u8> = (0..400_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        let parts = [frame(b"first"), frame(b""), skippable.to_vec(), frame(&big), frame(b"last")];
        let starts: Vec<u64> = parts
            .iter()
            .scan(0, |at, part| Some(std::mem::replace(at, *at + part.len() as u64)))
            .collect();
        let blob = parts.concat();
        let mut frames = CheckedFrames::new(&blob[..]);
        assert!(frames.is_at(0).unwrap());
        assert_eq!(frames.content().unwrap(), b"first");
        frames.consume(4);
        assert!(!frames.is_at(starts[1]).unwrap());
        frames.consume(1);
        for start in &starts[1..=3] {
            assert!(frames.is_at(*start).unwrap());
        }
        assert!(!frames.is_at(starts[3] + 1).unwrap());
        let mut content = Vec::new();
        while content.len() < big.len() {
            let piece = frames.content().unwrap().to_vec();
            assert!(!piece.is_empty());
            frames.consume(piece.len());
            content.extend(piece);
        }
        assert!(content == big);
        assert!(frames.is_at(starts[4]).unwrap());
        assert_eq!(frames.content().unwrap(), b"last");
        frames.consume(4);
        assert!(frames.is_at(blob.len() as u64).unwrap());
        assert_eq!(frames.content().unwrap(), b"");
    }

    #[test]
    fn faults() {
        let good = frame(&[7; 5000]);
        let mut wide = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        wide.window_log(28).unwrap();
        io::Write::write_all(&mut wide, b"content").unwrap();
        let wide = wide.finish().unwrap();
        let mut dictionary = good.clone();
        dictionary[4] |= 1;
        for (blob, rule) in [
            (good[..good.len() - 1].to_vec(), Rule::Frame),
            ([&good[..], b"garbage"].concat(), Rule::Frame),
            ([&good[..], &[0x50, 0x2a, 0x4d, 0x18, 9, 0, 0, 0, 1]].concat(), Rule::Frame),
            (wide, Rule::Window),
            (dictionary, Rule::Dictionary),
        ] {
            let mut frames = CheckedFrames::new(&blob[..]);
            let fault = loop {
                match frames.content().map(<[u8]>::len) {
                    Ok(0) => panic!("no fault"),
                    Ok(len) => frames.consume(len),
                    Err(fault) => break fault,
                }
            };
            assert_eq!(fault.rule, rule, "{}", fault.detail);
        }
    }
}
