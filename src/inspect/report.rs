//! The report of `inspect`, as text and as JSON.

use std::fmt;

use serde::Serialize;

use super::contents::Contents;
use crate::{
    check::{BlobKind, TocEntry},
    image::{Descriptor, Digest, Platform},
    report::{
        human::{percent, size},
        paths::shortened,
    },
    store::RawManifest,
};

/// An image or an index.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct InspectReport {
    /// The reference as it was given.
    pub(crate) reference: String,
    /// Of the manifest; of an index where that is what is listed.
    pub(crate) digest: Digest,
    /// Of what the reference leads to.
    pub(crate) media_type: String,
    /// The image ID.
    pub(crate) config_digest: Option<Digest>,
    /// What is in an index.
    pub(crate) images: Vec<ListedImage>,
    /// What is in an image, the lowest layer first.
    pub(crate) layers: Vec<InspectedLayer>,
}

/// One manifest of an index.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ListedImage {
    /// `OS/ARCH[/VARIANT]`; nothing for attestations and the like.
    pub(crate) platform: Option<String>,
    /// Of the manifest.
    pub(crate) digest: Digest,
    /// Of the manifest.
    pub(crate) media_type: String,
    /// Marked as having zstd layers (`io.github.containers.compression.zstd`).
    pub(crate) marked_zstd: bool,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct InspectedLayer {
    /// Counted from 1, the lowest layer first.
    pub(crate) number: usize,
    /// Of the blob.
    pub(crate) digest: Digest,
    /// As the manifest has it.
    pub(crate) media_type: String,
    /// Length of the blob in bytes.
    pub(crate) size: u64,
    /// How it is compressed; nothing for a layer of which nothing was read.
    pub(crate) kind: Option<BlobKind>,
    /// Length of the tar in bytes.
    pub(crate) uncompressed_size: Option<u64>,
    /// Entries of the tar; nothing for a layer that was not read.
    pub(crate) entries: Option<u64>,
    /// Files that are not empty.
    pub(crate) files: Option<u64>,
    /// Length of all files in bytes.
    pub(crate) content_bytes: Option<u64>,
    /// Pieces that can be fetched on their own.
    pub(crate) chunks: Option<u64>,
    /// Bytes that need not be fetched because they are zeros.
    pub(crate) hole_bytes: Option<u64>,
    /// Compressed length in bytes.
    pub(crate) toc_size: Option<u64>,
    /// Compressed length in bytes.
    pub(crate) tar_split_size: Option<u64>,
    /// The largest first.
    pub(crate) largest: Vec<Largest>,
    /// Why something is not known.
    pub(crate) problem: Option<String>,
    /// What is in it is shown only if it is downloaded.
    #[serde(skip)]
    pub(crate) needs_download: bool,
    /// For its page.
    #[serde(skip)]
    pub(crate) contents: Contents,
    /// What the TOC has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) toc: Option<Vec<TocLine>>,
}

/// What a TOC says besides the files that it lists.
#[derive(Debug)]
pub(super) struct TocShape {
    chunks: u64,
    hole_bytes: u64,
    lines: Option<Vec<TocLine>>,
}

impl TocShape {
    pub(super) fn new(with_lines: bool) -> Self {
        Self { chunks: 0, hole_bytes: 0, lines: with_lines.then(Vec::new) }
    }

    pub(super) fn add(&mut self, entry: TocEntry) {
        if entry.offset.is_some() {
            self.chunks += 1;
        }
        if entry.chunk_type == "zeros" {
            // A TOC may claim anything.
            self.hole_bytes = self.hole_bytes.saturating_add(entry.chunk_size);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(TocLine::from(entry));
        }
    }
}

/// How many of the largest files are named.
const LARGEST: usize = 5;

/// What is counted in a layer, entry by entry.
#[derive(Debug, Default)]
pub(super) struct Counts {
    entries: u64,
    files: u64,
    content_bytes: u64,
    largest: Vec<Largest>,
    contents: Contents,
}

impl Counts {
    /// `size` is that of the entry's content.
    pub(super) fn add(&mut self, name: &[u8], size: u64) {
        self.entries += 1;
        if size == 0 {
            return;
        }
        self.files += 1;
        self.content_bytes = self.content_bytes.saturating_add(size);
        let name = String::from_utf8_lossy(name);
        self.contents.add(&name, size);
        let full = self.largest.len() == LARGEST;
        if full && self.largest.last().is_some_and(|least| size < least.size) {
            return;
        }
        self.largest.push(Largest { name: shortened(&name), size });
        self.largest.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.name.cmp(&b.name)));
        self.largest.truncate(LARGEST);
    }
}

/// A large file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Largest {
    /// As the tar has it; a very long one is cut.
    pub(crate) name: String,
    /// In bytes.
    pub(crate) size: u64,
}

/// A line of the TOC.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TocLine {
    /// `reg`, `dir`, `chunk` and so on.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) link_name: String,
    pub(crate) mode: i64,
    pub(crate) uid: i64,
    pub(crate) gid: i64,
    /// Of the file, or of the chunk, in bytes.
    pub(crate) size: i64,
    /// RFC 3339.
    pub(crate) modified: Option<String>,
    /// Where it begins in the blob.
    pub(crate) offset: Option<u64>,
    /// Where it ends in the blob, if the TOC says so.
    pub(crate) end_offset: Option<u64>,
    /// A chunk of zeros.
    pub(crate) hole: bool,
}

impl From<TocEntry> for TocLine {
    fn from(entry: TocEntry) -> Self {
        let chunk = i64::try_from(entry.chunk_size).unwrap_or(i64::MAX);
        Self {
            size: if entry.kind == "chunk" { chunk } else { entry.size },
            kind: entry.kind,
            name: entry.name,
            link_name: entry.link_name,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            modified: entry.modified,
            offset: entry.offset,
            end_offset: entry.end_offset,
            hole: entry.chunk_type == "zeros",
        }
    }
}

impl ListedImage {
    pub(super) fn new(member: &Descriptor) -> Self {
        Self {
            platform: member.platform().map(Platform::to_string),
            digest: member.blob.digest.clone(),
            media_type: member.media_type.clone(),
            marked_zstd: member.is_marked(),
        }
    }
}

impl InspectedLayer {
    pub(super) fn new(number: usize, layer: &Descriptor) -> Self {
        Self {
            number,
            digest: layer.blob.digest.clone(),
            media_type: layer.media_type.clone(),
            size: layer.blob.size,
            kind: None,
            uncompressed_size: None,
            entries: None,
            files: None,
            content_bytes: None,
            chunks: None,
            hole_bytes: None,
            toc_size: None,
            tar_split_size: None,
            largest: Vec::new(),
            needs_download: false,
            problem: None,
            contents: Contents::default(),
            toc: None,
        }
    }

    pub(super) fn shape(&mut self, TocShape { chunks, hole_bytes, lines }: TocShape) {
        (self.chunks, self.hole_bytes, self.toc) = (Some(chunks), Some(hole_bytes), lines);
    }

    pub(super) fn count(&mut self, counts: Counts) {
        self.entries = Some(counts.entries);
        self.files = Some(counts.files);
        self.content_bytes = Some(counts.content_bytes);
        self.largest = counts.largest;
        self.contents = counts.contents;
        self.contents.finish();
    }
}

impl InspectReport {
    pub(super) fn new(reference: String, raw: &RawManifest) -> Self {
        Self {
            reference,
            digest: raw.digest.clone(),
            media_type: raw.media_type.clone(),
            config_digest: None,
            images: Vec::new(),
            layers: Vec::new(),
        }
    }
}

impl fmt::Display for InspectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.reference, self.digest)?;
        for ListedImage { platform, digest, marked_zstd, .. } in &self.images {
            let platform = platform.as_deref().unwrap_or("no platform");
            writeln!(f, "  {platform} {digest}{}", if *marked_zstd { " (zstd)" } else { "" })?;
        }
        for layer in &self.layers {
            layer.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for InspectedLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let media_type = || self.media_type.escape_debug().to_string();
        let kind = self.kind.map_or_else(media_type, |kind| kind.to_string());
        writeln!(f, "  layer {} {}: {kind}", self.number, self.digest)?;
        write!(f, "    {}", size(self.size))?;
        if let Some(len) = self.uncompressed_size {
            write!(f, ", {} uncompressed", size(len))?;
        }
        match (self.entries, self.files) {
            (Some(entries), Some(files)) => write!(f, ", {entries} entries, {files} files")?,
            _ if self.needs_download => write!(f, "; use --download to show its content")?,
            _ if self.problem.is_none() => write!(f, ", not downloaded")?,
            _ => {}
        }
        if let Some(chunks) = self.chunks {
            write!(f, ", {chunks} chunks")?;
        }
        writeln!(f)?;
        if let (Some(toc), Some(tar_split)) = (self.toc_size, self.tar_split_size) {
            write!(f, "    TOC {}, tar-split {}", size(toc), size(tar_split))?;
            let holes = self.hole_bytes.unwrap_or_default();
            let content = self.content_bytes.unwrap_or_default();
            writeln!(f, ", holes {} ({})", size(holes), percent(holes, content))?;
        }
        for Largest { name, size: len } in &self.largest {
            writeln!(f, "    {:>10}  {}", size(*len), name.escape_debug())?;
        }
        if let Some(problem) = &self.problem {
            writeln!(f, "    {problem}")?;
        }
        for entry in self.toc.iter().flatten() {
            entry.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for TocLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = match (self.offset, self.end_offset) {
            (None, _) => String::new(),
            (Some(offset), None) => format!("{offset}-"),
            (Some(offset), Some(end)) => format!("{offset}-{end}"),
        };
        write!(f, "    {} ", permissions(&self.kind, self.mode))?;
        write!(f, "{:>11} {:>10} {range:>21} ", format!("{}/{}", self.uid, self.gid), self.size)?;
        let modified = self.modified.as_deref().unwrap_or_default().escape_debug().to_string();
        write!(f, "{modified:<20} ")?;
        write!(f, "{}", self.name.escape_debug())?;
        match self.kind.as_str() {
            "hardlink" => write!(f, " link to {}", self.link_name.escape_debug())?,
            "symlink" => write!(f, " -> {}", self.link_name.escape_debug())?,
            _ if self.hole => write!(f, " (hole)")?,
            _ => {}
        }
        writeln!(f)
    }
}

/// As `ls -l` has them; a chunk has none of its own.
fn permissions(kind: &str, mode: i64) -> String {
    let letter = match kind {
        "dir" => 'd',
        "symlink" => 'l',
        "hardlink" => 'h',
        "char" => 'c',
        "block" => 'b',
        "fifo" => 'p',
        "chunk" => return "  chunk   ".to_owned(),
        _ => '-',
    };
    let mut text = String::from(letter);
    for (shift, special, set, unset) in
        [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => unset,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_as_ls_has_them() {
        for (kind, mode, text) in [
            ("dir", 0o755, "drwxr-xr-x"),
            ("reg", 0o4755, "-rwsr-xr-x"),
            ("reg", 0o2644, "-rw-r-Sr--"),
            ("dir", 0o1777, "drwxrwxrwt"),
            ("symlink", 0o777, "lrwxrwxrwx"),
        ] {
            assert_eq!(permissions(kind, mode), text);
        }
    }

    /// A TOC may have any text, and a terminal obeys some.
    #[test]
    fn a_line_of_a_toc_is_one_line_of_text() {
        let hostile = "a\u{1b}[2J\n\u{202e}b".to_owned();
        let [name, link_name, time] = [(); 3].map(|()| hostile.clone());
        let (kind, modified) = ("symlink".to_owned(), Some(time));
        let entry = TocEntry { kind, name, link_name, modified, ..TocEntry::default() };
        let line = TocLine::from(entry).to_string();
        assert_eq!(line.matches("a\\u{1b}[2J\\n\\u{202e}b").count(), 3, "{line}");
        assert_eq!(line.chars().filter(|c| c.is_control()).collect::<String>(), "\n");
    }
}
