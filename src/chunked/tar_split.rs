//! The tar-split stream: everything in the tar that is not file content, so that a client that has
//! only the files can reassemble the tar. One JSON object a line, as in
//! `tar/storage/{entry,packer}.go` of vbatts/tar-split.

use std::io::{self, Write};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    document::{CompressedDocument, DocumentWriter},
    eligibility::TAIL_MAX,
};

pub struct TarSplitWriter<W: Write = Vec<u8>> {
    document: DocumentWriter<W>,
    position: u64,
    scratch: String,
    tail: Tail,
}

/// The last segment, which comes in pieces.
#[derive(Default)]
struct Tail {
    len: u64,
    /// What is left until three bytes make four characters.
    carry: Vec<u8>,
}

impl TarSplitWriter {
    /// An empty stream in memory.
    pub fn new() -> io::Result<Self> {
        Self::to(Vec::new())
    }
}

impl<W: Write> TarSplitWriter<W> {
    /// An empty stream whose compressed form goes to `sink`.
    pub(crate) fn to(sink: W) -> io::Result<Self> {
        Ok(Self {
            document: DocumentWriter::new(sink)?,
            position: 0,
            scratch: String::new(),
            tail: Tail::default(),
        })
    }

    /// Adds what precedes an entry's content: the padding of the previous content, and the entry's
    /// headers.
    pub fn segment(&mut self, raw: &[u8]) -> io::Result<()> {
        self.scratch.clear();
        STANDARD.encode_string(raw, &mut self.scratch);
        let at = self.next_position();
        writeln!(self.document, "{{\"type\":2,\"payload\":\"{}\",\"position\":{at}}}", self.scratch)
    }

    /// Adds the entry itself, of any type; `payload` is the length in bytes and the CRC-64
    /// (`GO-ISO`) of its content, if it has any.
    pub fn file(&mut self, name: &str, payload: Option<(u64, u64)>) -> io::Result<()> {
        self.document.write_all(b"{\"type\":1,\"name\":")?;
        serde_json::to_writer(&mut self.document, name)?;
        let at = self.next_position();
        match payload {
            Some((size, crc)) => {
                let crc = STANDARD.encode(crc.to_be_bytes());
                writeln!(
                    self.document,
                    ",\"size\":{size},\"payload\":\"{crc}\",\"position\":{at}}}"
                )
            }
            None => writeln!(self.document, ",\"payload\":null,\"position\":{at}}}"),
        }
    }

    /// Adds a piece of what follows the last entry. All of it becomes one segment: a client parses
    /// each segment for headers, and fails on a short one.
    pub(crate) fn tail(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.tail.len == 0 {
            self.document.write_all(b"{\"type\":2,\"payload\":\"")?;
        }
        self.tail.len += bytes.len() as u64;
        self.tail.carry.extend_from_slice(bytes);
        let whole = self.tail.carry.len() / 3 * 3;
        self.scratch.clear();
        STANDARD.encode_string(&self.tail.carry[..whole], &mut self.scratch);
        self.tail.carry.drain(..whole);
        self.document.write_all(self.scratch.as_bytes())
    }

    /// Whether the last segment is more than clients should hold in memory.
    pub(crate) fn is_too_long(&self) -> bool {
        self.tail.len > TAIL_MAX
    }

    /// Length in bytes of the compressed form so far.
    pub(crate) fn compressed_len(&self) -> u64 {
        self.document.len()
    }

    pub fn finish(mut self) -> io::Result<CompressedDocument<W>> {
        if self.tail.len > 0 {
            let rest = STANDARD.encode(&self.tail.carry);
            let at = self.next_position();
            writeln!(self.document, "{rest}\",\"position\":{at}}}")?;
        }
        self.document.finish()
    }

    fn next_position(&mut self) -> u64 {
        let at = self.position;
        self.position += 1;
        at
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(writer: TarSplitWriter) -> String {
        let document = writer.finish().unwrap();
        let raw = zstd::decode_all(&document.compressed[..]).unwrap();
        assert_eq!(raw.len() as u64, document.raw_len);
        String::from_utf8(raw).unwrap()
    }

    #[test]
    fn known_answer() {
        let mut writer = TarSplitWriter::new().unwrap();
        writer.segment(b"header of d").unwrap();
        writer.file("d/", None).unwrap();
        writer.segment(b"header of a").unwrap();
        writer.file("d/\"a\"", Some((10, 0xb2ac_6730_a8fb_8a94))).unwrap();
        for piece in [&b"pa"[..], b"dd", b"", b"i", b"ng"] {
            writer.tail(piece).unwrap();
        }
        assert_eq!(
            text(writer),
            r#"{"type":2,"payload":"aGVhZGVyIG9mIGQ=","position":0}
{"type":1,"name":"d/","payload":null,"position":1}
{"type":2,"payload":"aGVhZGVyIG9mIGE=","position":2}
{"type":1,"name":"d/\"a\"","size":10,"payload":"sqxnMKj7ipQ=","position":3}
{"type":2,"payload":"cGFkZGluZw==","position":4}
"#
        );
    }

    #[test]
    fn an_empty_tar_still_gives_a_document_that_can_be_fetched() {
        let document = TarSplitWriter::new().unwrap().finish().unwrap();
        assert_eq!(document.raw_len, 0);
        assert!(!document.compressed.is_empty());
    }
}
