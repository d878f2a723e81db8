//! The data itself: decoded once from the first frame to the last, and compared with what TOC and
//! tar-split stream say is at each place.

use std::{fmt::Display, io::Read};

use crc_fast::{CrcAlgorithm, Digest as Crc};
use sha2::{Digest as _, Sha256};

use super::{
    files::{File, Name, Piece},
    finding::{Findings, Rule},
    frames::{CheckedFrames, Fault},
    tar_digest::TarDigest,
    walk::Visit,
};
use crate::{image::Digest, limits::Limits};

pub(super) struct Data<R> {
    frames: CheckedFrames<R>,
    diff_id: TarDigest,
    len: u64,
    limits: Limits,
    /// Of the current file.
    whole: (Sha256, Crc),
    /// The content differs from what was expected, so places have lost their meaning.
    adrift: bool,
    /// Decoding has failed.
    failed: bool,
}

/// What is wrong with what was read.
enum Trouble {
    Fault(Fault),
    /// The data ends early.
    End,
}

impl<R: Read> Data<R> {
    pub(super) fn new(blob: R, diff_id: &Digest, limits: Limits) -> Self {
        Self {
            frames: CheckedFrames::new(blob),
            diff_id: TarDigest::new(diff_id.hasher()),
            len: 0,
            limits,
            whole: whole(),
            adrift: false,
            failed: false,
        }
    }

    /// Hands out content: none at the end, and none after a failure.
    pub(super) fn read(&mut self, buf: &mut [u8], findings: &mut Findings) -> usize {
        let mut len = 0;
        if self.failed {
            return len;
        }
        let taken = self.take(buf.len(), |content| {
            len = content.len();
            buf.iter_mut().zip(content).for_each(|(to, from)| *to = *from);
        });
        if let Err(Trouble::Fault(fault)) = taken {
            self.fail(fault, findings);
        }
        len
    }

    /// Reads to the end; `complete` says that all of the tar was walked. Returns the length of the
    /// content.
    pub(super) fn finish(
        mut self,
        expected: &Digest,
        complete: bool,
        findings: &mut Findings,
    ) -> u64 {
        let walked = self.len;
        while !self.failed {
            match self.take(usize::MAX, |_| {}) {
                Ok(()) => {}
                Err(Trouble::End) => break,
                Err(Trouble::Fault(fault)) => self.fail(fault, findings),
            }
        }
        if complete && !self.adrift && self.len > walked {
            let detail =
                format!("the data continues for {} bytes after the tar", self.len - walked);
            findings.add(Rule::DataStream, detail);
        }
        if !self.failed {
            let actual = self.diff_id.finish();
            if actual != *expected {
                let detail =
                    format!("the content has the digest {actual}, but the config says {expected}");
                findings.add(Rule::DiffId, detail);
            }
        }
        self.len
    }

    fn fail(&mut self, fault: Fault, findings: &mut Findings) {
        findings.add(fault.rule, fault.detail);
        (self.failed, self.adrift) = (true, true);
    }

    /// Takes content, at most `most` bytes.
    fn take(&mut self, most: usize, with: impl FnOnce(&[u8])) -> Result<(), Trouble> {
        let len = self.frames.content().map_err(Trouble::Fault)?.len().min(most);
        if len == 0 {
            return Err(Trouble::End);
        }
        self.len += len as u64;
        if let Err(limit) = self.limits.allow(self.len, self.frames.position()) {
            let fault = Fault { rule: Rule::Limit, detail: limit.to_string() };
            return Err(Trouble::Fault(fault));
        }
        let content = self.frames.content().map_err(Trouble::Fault)?;
        let content = content.get(..len).unwrap_or_default();
        self.diff_id.update(content);
        with(content);
        self.frames.consume(len);
        Ok(())
    }

    fn take_exactly(&mut self, len: u64, mut with: impl FnMut(&[u8])) -> Result<(), Trouble> {
        let mut left = len;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            self.take(most, |bytes| {
                left -= bytes.len() as u64;
                with(bytes);
            })?;
        }
        Ok(())
    }

    fn read_piece(
        &mut self,
        name: Name<'_>,
        number: usize,
        piece: &Piece,
        findings: &mut Findings,
    ) -> Result<(), Trouble> {
        if !self.frames.is_at(piece.offset).map_err(Trouble::Fault)? {
            let rule = if number == 0 { Rule::FileRange } else { Rule::ChunkRange };
            let detail = format!("{name}: no frame of piece {number} begins at {}", piece.offset);
            findings.add(rule, detail);
        }
        let (mut sum, mut zeros) = (Sha256::new(), true);
        // The first one is hashed as the beginning of its file.
        let hash_chunk = piece.digest.is_some() && number > 0;
        self.take_of_file(piece.len, |bytes| {
            if hash_chunk {
                sum.update(bytes);
            }
            zeros = zeros && (!piece.hole || bytes.iter().all(|byte| *byte == 0));
        })?;
        if piece.hole && !zeros {
            findings.add(Rule::Hole, format!("{name}: piece {number} is not a hole"));
        }
        if let Some(expected) = &piece.digest {
            let sum = if number > 0 { sum } else { self.whole.0.clone() };
            let actual = Digest::from_sha256(sum.finalize().into());
            if actual != *expected {
                let detail = format!(
                    "{name}: piece {number} has the digest {actual}, but the TOC says {expected}"
                );
                findings.add(Rule::ChunkDigest, detail);
            }
        }
        if let Some(end) = piece.end
            && !self.frames.is_at(end).map_err(Trouble::Fault)?
        {
            let rule = if number == 0 { Rule::FileRange } else { Rule::ChunkRange };
            let detail = format!("{name}: no frame of piece {number} ends at {end}");
            findings.add(rule, detail);
        }
        Ok(())
    }

    /// Takes content of the file that is being read.
    fn take_of_file(&mut self, len: u64, mut with: impl FnMut(&[u8])) -> Result<(), Trouble> {
        let (mut sum, mut crc) = std::mem::replace(&mut self.whole, whole());
        let result = self.take_exactly(len, |bytes| {
            sum.update(bytes);
            crc.update(bytes);
            with(bytes);
        });
        self.whole = (sum, crc);
        result
    }

    fn end_of_file(&mut self, file: &File<'_>, findings: &mut Findings) -> Result<(), Trouble> {
        self.take_of_file(file.rest, |_| {})?;
        let whole = std::mem::replace(&mut self.whole, whole());
        let name = file.name;
        if let Some(end) = file.end
            && !self.frames.is_at(end).map_err(Trouble::Fault)?
        {
            findings.add(Rule::FileRange, format!("{name}: its content does not end at {end}"));
        }
        let actual = Digest::from_sha256(whole.0.finalize().into());
        if let Some(expected) = file.digest.as_ref().filter(|expected| **expected != actual) {
            let detail = format!("{name} has the digest {actual}, but the TOC says {expected}");
            findings.add(Rule::FileDigest, detail);
        }
        let actual = whole.1.finalize();
        if let Some(expected) = file.crc.filter(|expected| *expected != actual) {
            let detail = format!(
                "{name} has the CRC {actual:016x}, but the tar-split stream says {expected:016x}"
            );
            findings.add(Rule::TarSplitCrc, detail);
        }
        Ok(())
    }

    fn settle(&mut self, what: impl Display, result: Result<(), Trouble>, findings: &mut Findings) {
        match result {
            Ok(()) => {}
            Err(Trouble::Fault(fault)) => self.fail(fault, findings),
            Err(Trouble::End) => {
                self.adrift = true;
                findings.add(Rule::DataStream, format!("the data ends in the middle of {what}"));
            }
        }
    }
}

impl<R: Read> Visit for Data<R> {
    fn segment(&mut self, raw: &[u8], findings: &mut Findings) {
        if self.adrift {
            return;
        }
        let (at, mut left, mut same) = (self.len, raw, true);
        let result = self.take_exactly(raw.len() as u64, |bytes| {
            let (expected, rest) = left.split_at_checked(bytes.len()).unwrap_or((left, &[]));
            same = same && bytes == expected;
            left = rest;
        });
        if result.is_ok() && !same {
            self.adrift = true;
            let detail =
                format!("the data differs from the tar-split stream after byte {at} of the tar");
            findings.add(Rule::DataStream, detail);
        }
        self.settle("a header", result, findings);
    }

    fn piece(&mut self, name: Name<'_>, number: usize, piece: &Piece, findings: &mut Findings) {
        if !self.adrift {
            let result = self.read_piece(name, number, piece, findings);
            self.settle(name, result, findings);
        }
    }

    fn end(&mut self, file: &File<'_>, findings: &mut Findings) {
        if !self.adrift {
            let result = self.end_of_file(file, findings);
            self.settle(file.name, result, findings);
        }
    }
}

/// SHA-256 and CRC of nothing.
fn whole() -> (Sha256, Crc) {
    (Sha256::new(), Crc::new(CrcAlgorithm::Crc64GoIso))
}
