//! The tar-split stream as a sequence of headers, each with its file object.

use std::io::Read;

use super::{
    finding::{Findings, Rule, shown},
    tar_split::{Broken, Objects, SplitObject},
};
use crate::tar;

/// The most bytes after the last entry, which clients hold in memory.
const TAIL_MAX: u64 = 8 << 20;

/// A header of the tar-split stream with the file object that follows it.
pub(super) struct Header {
    pub(super) entry: tar::TarEntry,
    /// Of its content, from the file object.
    pub(super) crc: Option<u64>,
}

pub(super) struct Headers<R> {
    pub(super) objects: Objects<R>,
    /// Of the last content, to skip before the next header.
    padding: u64,
    /// Bytes since the last entry.
    tail: u64,
}

impl<R: Read> Headers<R> {
    pub(super) fn new(json: R) -> Self {
        Self { objects: Objects::new(json), padding: 0, tail: 0 }
    }

    /// Reads the next header, past segments that have none (as clients do in `tar/asm/iterate.go`
    /// of vbatts/tar-split).
    pub(super) fn next(
        &mut self,
        findings: &mut Findings,
        mut segment: impl FnMut(&[u8], &mut Findings),
    ) -> Result<Option<Header>, StreamStop> {
        let entry = loop {
            match self.objects.next_object()? {
                None => {
                    if self.tail > TAIL_MAX {
                        let detail = format!("{} bytes follow the last entry", self.tail);
                        findings.add(Rule::TailTooLong, detail);
                    }
                    return Ok(None);
                }
                Some(SplitObject::File { name, .. }) => {
                    let detail =
                        format!("the file object of {} does not follow a header", shown(&name));
                    return Err((Rule::TarSplitFile, detail));
                }
                Some(SplitObject::Segment(raw)) => {
                    let header = header_in(raw, std::mem::take(&mut self.padding))?;
                    segment(raw, findings);
                    if let Some(entry) = header {
                        self.tail = 0;
                        break entry;
                    }
                    self.tail += raw.len() as u64;
                }
            }
        };
        self.padding = entry.payload_len.wrapping_neg() % 512;
        let Some(SplitObject::File { name, size, crc }) = self.objects.next_object()? else {
            let detail = format!("{} has no file object", shown(&entry.name));
            return Err((Rule::TarSplitFile, detail));
        };
        let crc = file_object(&entry, &name, size, crc, findings);
        Ok(Some(Header { entry, crc }))
    }
}

/// Why the tar-split stream cannot be read further.
pub(super) type StreamStop = (Rule, String);

impl From<Broken> for StreamStop {
    fn from(broken: Broken) -> Self {
        let rule = match broken {
            Broken::Encoding(_) => Rule::TarSplitEncoding,
            Broken::Form { .. } => Rule::TarSplitJson,
        };
        (rule, broken.to_string())
    }
}

/// The header in a segment, if it has one.
fn header_in(raw: &[u8], padding: u64) -> Result<Option<tar::TarEntry>, StreamStop> {
    let stop = |detail| Err((Rule::TarSplitSegment, detail));
    let skip = usize::try_from(padding).unwrap_or(usize::MAX);
    let Some(raw) = raw.get(skip..) else {
        let len = raw.len();
        return stop(format!("a segment of {len} bytes, but the padding takes {padding}"));
    };
    let mut reader = tar::Reader::new(raw);
    match reader.next_step() {
        Ok(tar::TarStep::End) => Ok(None),
        Ok(tar::TarStep::Entry(entry)) if reader.position() < raw.len() as u64 => {
            stop(format!("more than one header in the segment of {}", shown(&entry.name)))
        }
        Ok(tar::TarStep::Entry(entry)) => Ok(Some(*entry)),
        Err(error) => stop(format!("a segment without a valid header: {error}")),
    }
}

/// Returns the content's CRC.
fn file_object(
    entry: &tar::TarEntry,
    name: &[u8],
    size: i64,
    crc: &[u8],
    findings: &mut Findings,
) -> Option<u64> {
    let shown_name = shown(&entry.name);
    if name != entry.name {
        let detail = format!("the file object of {shown_name} has the name {}", shown(name));
        findings.add(Rule::TarSplitFile, detail);
    }
    if u64::try_from(size) != Ok(entry.payload_len) {
        let detail = format!(
            "the file object of {shown_name} has size {size}, but the tar has {} bytes",
            entry.payload_len
        );
        findings.add(Rule::TarSplitFile, detail);
    }
    if entry.payload_len == 0 {
        return None;
    }
    let crc = <[u8; 8]>::try_from(crc).ok().map(u64::from_be_bytes);
    if crc.is_none() {
        findings.add(Rule::TarSplitCrc, format!("{shown_name} has no CRC"));
    }
    crc
}
