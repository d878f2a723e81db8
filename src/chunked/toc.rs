//! The table of contents: what is in the layer, and where in the blob. Fields and their order are
//! those of `pkg/chunked/internal/minimal/compression.go` in containers/storage.

use std::io::{self, Write};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::{
    document::{CompressedDocument, DocumentWriter},
    eligibility::{TOC_MAX, Unchunkable, utf8},
    time::rfc3339,
};
use crate::{
    image::Digest,
    tar::{TarEntry, Timestamp},
};

/// What a chunk takes in the TOC at least, in bytes, without the name of its file.
const CHUNK_LEAST: u64 = 140;

/// Room for what is still written when the TOC turns out to be too long.
const ROOM_AT_THE_END: u64 = 1 << 10;

/// The fields of one entry, apart from where its content is.
#[derive(Debug, Clone, Serialize)]
pub struct Metadata {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    #[serde(rename = "linkName", skip_serializing_if = "String::is_empty")]
    link_name: String,
    #[serde(skip_serializing_if = "is_zero")]
    mode: i64,
    #[serde(skip_serializing_if = "is_zero")]
    size: i64,
    #[serde(skip_serializing_if = "is_zero")]
    uid: i64,
    #[serde(skip_serializing_if = "is_zero")]
    gid: i64,
    modtime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    accesstime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changetime: Option<String>,
    #[serde(rename = "devMajor", skip_serializing_if = "is_zero")]
    dev_major: i64,
    #[serde(rename = "devMinor", skip_serializing_if = "is_zero")]
    dev_minor: i64,
    #[serde(skip_serializing_if = "SortedXattrs::is_empty")]
    xattrs: SortedXattrs,
}

/// Extended attributes, sorted by key, values in base64.
#[derive(Debug, Clone, Default)]
struct SortedXattrs(Vec<(String, String)>);

impl SortedXattrs {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for SortedXattrs {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl Metadata {
    /// What the TOC says of a tar entry: names, numbers and times exactly as in the tar, because
    /// the client compares each of them with the header and gives up at the first difference.
    pub fn of(entry: &TarEntry) -> Result<Self, Unchunkable> {
        let kind = match entry.typeflag {
            b'0' => "reg",
            b'1' => "hardlink",
            b'2' => "symlink",
            b'3' => "char",
            b'4' => "block",
            b'5' => "dir",
            b'6' => "fifo",
            other => return Err(Unchunkable::typeflag(entry, other)),
        };
        if entry.sparse {
            return Err(Unchunkable::sparse(entry));
        }
        let time = |time: Timestamp| rfc3339(time).ok_or_else(|| Unchunkable::time(entry));
        let xattrs = entry
            .xattrs
            .iter()
            .map(|(key, value)| Ok((utf8(key, entry)?, STANDARD.encode(value))))
            .collect::<Result<_, Unchunkable>>()?;
        Ok(Self {
            kind,
            name: utf8(&entry.name, entry)?,
            link_name: utf8(&entry.link_name, entry)?,
            mode: entry.mode,
            size: entry.size,
            uid: entry.uid,
            gid: entry.gid,
            modtime: time(entry.modified)?,
            accesstime: entry.accessed.map(time).transpose()?,
            changetime: entry.changed.map(time).transpose()?,
            dev_major: entry.dev_major,
            dev_minor: entry.dev_minor,
            xattrs: SortedXattrs(xattrs),
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

/// One chunk of a file that has several.
#[derive(Debug, Clone, Copy)]
pub struct ChunkPlace {
    /// Where its first frame begins, in bytes from the blob's start.
    pub offset: u64,
    /// Uncompressed length in bytes.
    pub len: u64,
    /// All zeros: a client makes a hole and fetches nothing.
    pub hole: bool,
    /// SHA-256 of the uncompressed chunk.
    pub digest: [u8; 32],
}

/// Where a file's content is.
#[derive(Debug, Clone)]
pub struct TocContent {
    /// SHA-256 of the whole file.
    pub digest: [u8; 32],
    /// Where its first frame begins, in bytes from the blob's start.
    pub offset: u64,
    /// Just past its last frame.
    pub end: u64,
    /// Empty for a file in one piece, otherwise at least two.
    pub chunks: Vec<ChunkPlace>,
}

#[derive(Serialize)]
struct MainEntry<'a> {
    #[serde(flatten)]
    metadata: &'a Metadata,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(rename = "endOffset", skip_serializing_if = "Option::is_none")]
    end_offset: Option<u64>,
    #[serde(flatten)]
    chunk: Option<ChunkFields>,
}

#[derive(Serialize)]
struct ChunkEntry<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    offset: u64,
    #[serde(flatten)]
    chunk: ChunkFields,
    #[serde(rename = "endOffset", skip_serializing_if = "Option::is_none")]
    end_offset: Option<u64>,
}

#[derive(Serialize)]
struct ChunkFields {
    #[serde(rename = "chunkSize")]
    size: u64,
    #[serde(rename = "chunkOffset", skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(rename = "chunkDigest")]
    digest: Digest,
    #[serde(rename = "chunkType", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
}

impl ChunkFields {
    fn new(chunk: &ChunkPlace, offset_in_file: u64) -> Self {
        Self {
            size: chunk.len,
            offset: (offset_in_file > 0).then_some(offset_in_file),
            digest: Digest::from_sha256(chunk.digest),
            kind: chunk.hole.then_some("zeros"),
        }
    }
}

/// Writes the TOC, entry by entry in the order of the tar.
pub struct TocWriter<W: Write = Vec<u8>> {
    document: DocumentWriter<W>,
    is_empty: bool,
}

impl TocWriter {
    /// An empty TOC in memory.
    pub fn new() -> io::Result<Self> {
        Self::to(Vec::new())
    }
}

impl<W: Write> TocWriter<W> {
    /// An empty TOC whose compressed form goes to `sink`.
    pub(crate) fn to(sink: W) -> io::Result<Self> {
        let mut document = DocumentWriter::new(sink)?;
        document.write_all(b"{\"version\":1,\"entries\":[")?;
        Ok(Self { document, is_empty: true })
    }

    /// Adds an entry; `content` for a regular file that is not empty.
    pub fn push(&mut self, metadata: &Metadata, content: Option<&TocContent>) -> io::Result<()> {
        let first = content.and_then(|content| content.chunks.first());
        self.entry(&MainEntry {
            metadata,
            digest: content.map(|content| Digest::from_sha256(content.digest)),
            offset: content.map(|content| content.offset),
            end_offset: content.map(|content| content.end),
            chunk: first.map(|chunk| ChunkFields::new(chunk, 0)),
        })?;
        let Some(content) = content else { return Ok(()) };
        let mut at = first.map_or(0, |chunk| chunk.len);
        let last = content.chunks.len().saturating_sub(1);
        for (number, chunk) in content.chunks.iter().enumerate().skip(1) {
            self.entry(&ChunkEntry {
                kind: "chunk",
                name: &metadata.name,
                offset: chunk.offset,
                chunk: ChunkFields::new(chunk, at),
                // Without it, a client also fetches the header that follows the file.
                end_offset: (number == last).then_some(content.end),
            })?;
            at += chunk.len;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &impl Serialize) -> io::Result<()> {
        if !self.is_empty {
            self.document.write_all(b",")?;
        }
        self.is_empty = false;
        Ok(serde_json::to_writer(&mut self.document, entry)?)
    }

    /// Whether no client would pull a layer with this TOC partially.
    pub(crate) fn is_too_long(&self) -> bool {
        self.document.raw_len() > TOC_MAX - ROOM_AT_THE_END
    }

    /// Whether a file with this name and this many chunks would make the TOC too long.
    pub(crate) fn has_no_room_for(&self, name: &str, chunks: usize) -> bool {
        let least = (CHUNK_LEAST + name.len() as u64).saturating_mul(chunks as u64);
        self.document.raw_len().saturating_add(least) > TOC_MAX
    }

    /// Length in bytes of the compressed form so far.
    pub(crate) fn compressed_len(&self) -> u64 {
        self.document.len()
    }

    /// Closes the TOC; it commits to the tar-split stream with `tar_split`, the digest of the
    /// stream's compressed form.
    pub fn finish(mut self, tar_split: &Digest) -> io::Result<CompressedDocument<W>> {
        write!(self.document, "],\"tarSplitDigest\":\"{tar_split}\"}}")?;
        self.document.finish()
    }
}
