//! The tar-split stream, read object by object (`tar/storage/entry.go` of vbatts/tar-split).

use std::{
    borrow::Cow,
    io::{self, BufRead, BufReader, Read},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::keys::AnyCase;

/// The longest object that is accepted, in bytes, with the blanks in and before it: 8 MiB, the most
/// that a tar may have before one content, in base64. Writers make segments of a few kilobytes, and
/// of some megabytes at most at the end of an archive.
const OBJECT_MAX: usize = 12 << 20;

/// One object of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SplitObject<'a> {
    /// Bytes of the tar that are not content.
    Segment(&'a [u8]),
    /// The place of a content.
    File {
        name: Vec<u8>,
        /// Length of the content in bytes.
        size: i64,
        /// CRC-64 of the content in big-endian order; its length is not checked.
        crc: &'a [u8],
    },
}

/// An invalid tar-split stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("cannot decompress the tar-split stream: {0}")]
    Encoding(#[from] io::Error),
    #[error("object {at}: {reason}")]
    Form {
        /// Counted from 0.
        at: u64,
        reason: String,
    },
}

#[derive(Deserialize)]
struct RawObject<'a> {
    #[serde(rename = "type")]
    kind: u64,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "name_raw")]
    bytes: Option<Cow<'a, str>>,
    #[serde(default)]
    size: i64,
    #[serde(borrow, default)]
    payload: Option<Cow<'a, str>>,
    position: Option<u64>,
}

/// Reads objects, each on a line or on several lines of its own.
pub(super) struct Objects<R> {
    lines: BufReader<R>,
    line: Vec<u8>,
    payload: Vec<u8>,
    next: u64,
    /// The first object with a wrong position.
    pub(super) misnumbered: Option<u64>,
}

impl<R: Read> Objects<R> {
    /// `json` is decompressed.
    pub(super) fn new(json: R) -> Self {
        Self {
            lines: BufReader::with_capacity(128 << 10, json),
            line: Vec::new(),
            payload: Vec::new(),
            next: 0,
            misnumbered: None,
        }
    }

    /// Skips at most `most` blanks and line breaks. Returns how many.
    fn skip_blanks(&mut self, most: usize) -> io::Result<usize> {
        let mut skipped = 0;
        loop {
            let bytes = self.lines.fill_buf()?;
            let blanks = bytes.iter().take(most - skipped);
            let len =
                blanks.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
            let more = len > 0 && len == bytes.len();
            self.lines.consume(len);
            skipped += len;
            if !more || skipped == most {
                return Ok(skipped);
            }
        }
    }

    /// The next object, or nothing at the end.
    pub(super) fn next_object(&mut self) -> Result<Option<SplitObject<'_>>, Broken> {
        let at = self.next;
        let broken = |reason: String| Broken::Form { at, reason };
        self.line.clear();
        let mut room = OBJECT_MAX + 1;
        loop {
            room = room.saturating_sub(self.skip_blanks(room)?);
            let start = self.line.len();
            let read = self.lines.by_ref().take(room as u64).read_until(b'\n', &mut self.line)?;
            room = room.saturating_sub(read);
            if room == 0 {
                return Err(broken(format!("exceeds {} MiB", OBJECT_MAX >> 20)));
            }
            // Only the new part, or many short lines would take quadratic time.
            let line = self.line.get(start..).unwrap_or_default();
            let last = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
            if read == 0 && start == 0 {
                return Ok(None);
            }
            // Objects contain no objects, and texts no line breaks.
            if read == 0 || last.is_some_and(|last| line.get(last) == Some(&b'}')) {
                break;
            }
            if last.is_none() {
                self.line.truncate(start);
            }
        }
        let AnyCase(raw): AnyCase<RawObject<'_>> =
            serde_json::from_slice(&self.line).map_err(|error| broken(error.to_string()))?;
        self.next += 1;
        if raw.position.is_some_and(|position| position != at) {
            self.misnumbered = self.misnumbered.or(Some(at));
        }
        self.payload.clear();
        if let Some(payload) = &raw.payload {
            STANDARD
                .decode_vec(payload.as_bytes(), &mut self.payload)
                .map_err(|error| broken(format!("invalid base64 in payload: {error}")))?;
        }
        match raw.kind {
            1 => {
                let name = match (raw.name, raw.bytes) {
                    (_, Some(name)) if !name.is_empty() => STANDARD
                        .decode(name.as_bytes())
                        .map_err(|error| broken(format!("invalid base64 in name_raw: {error}")))?,
                    (name, _) => name.unwrap_or_default().into_owned().into_bytes(),
                };
                Ok(Some(SplitObject::File { name, size: raw.size, crc: &self.payload }))
            }
            2 => Ok(Some(SplitObject::Segment(&self.payload))),
            other => Err(broken(format!("unknown type {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn forms_of_other_writers() {
        let json = "{\"type\":2,\n \"payload\":\"aGk=\",\"position\":0}\n\n\
                    {\"position\":5,\"payload\":null,\"name_raw\":\"/w==\",\"type\":1}";
        let mut objects = Objects::new(json.as_bytes());
        assert_eq!(objects.next_object().unwrap(), Some(SplitObject::Segment(b"hi")));
        let file = SplitObject::File { name: b"\xff".to_vec(), size: 0, crc: b"" };
        assert_eq!(objects.next_object().unwrap(), Some(file));
        assert_eq!(objects.misnumbered, Some(1));
        assert_eq!(objects.next_object().unwrap(), None);
    }

    #[test]
    fn blank_lines_take_no_time() {
        let blank = "\n".repeat(1 << 20);
        let json = format!("{blank}{{{blank}\"type\":2{blank}}}{blank} \t");
        let mut objects = Objects::new(json.as_bytes());
        assert_eq!(objects.next_object().unwrap(), Some(SplitObject::Segment(b"")));
        assert_eq!(objects.next_object().unwrap(), None);
        let lines = format!("{}\n", " ".repeat(1 << 20)).repeat(13);
        let result = Objects::new(lines.as_bytes()).next_object().map(drop);
        assert!(matches!(result, Err(Broken::Form { at: 0, .. })));
    }

    #[test]
    fn no_more_is_read_than_an_object_may_have() {
        use std::cell::Cell;

        let blanks = || io::repeat(b'\n');
        let long = || (&b"{\"type\":2,\"payload\":\""[..]).chain(io::repeat(b'A'));
        let lines = || (&b"{"[..]).chain(io::repeat(b'\n'));
        for endless in [Box::new(blanks()) as Box<dyn Read>, Box::new(long()), Box::new(lines())] {
            let read = Cell::new(0);
            let counted = super::super::documents::CountedReader { inner: endless, count: &read };
            let mut objects = Objects::new(counted);
            assert!(matches!(objects.next_object(), Err(Broken::Form { at: 0, .. })));
            assert!(objects.line.capacity() <= 2 * OBJECT_MAX + 1);
            assert!(read.get() <= (OBJECT_MAX + (256 << 10)) as u64, "{}", read.get());
        }
    }

    #[test]
    fn broken_streams() {
        for bad in [
            "[]",
            "{}",
            "{\"type\":2",
            "{\"type\":3}",
            "[2,null,null,0,null,0]",
            "{\"type\":2,\"TYPE\":1}",
            "\x0c\n{\"type\":2}",
            "{\"type\":2,\"payload\":\"%\"}",
        ] {
            assert!(Objects::new(bad.as_bytes()).next_object().is_err(), "{bad}");
        }
    }
}
