//! The report of `inspect`.

mod text;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::Serialize;

use super::contents::Contents;
use crate::{
    check::TocEntry,
    image::{Descriptor, Digest, media_type::LayerType},
    report::{
        human::{counted, size},
        paths::shortened,
    },
    resolve::ListedImage,
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
    /// `OS/ARCH[/VARIANT]` of an image.
    pub(crate) platform: Option<String>,
    /// What is in an index.
    pub(crate) images: Vec<ListedImage>,
    /// What is in an image, the lowest layer first.
    pub(crate) layers: Vec<InspectedLayer>,
    /// The entries of each TOC were asked for.
    #[serde(skip)]
    pub(crate) lists_entries: bool,
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
    /// How it is compressed, as far as that was read; otherwise what the manifest says.
    pub(crate) format: String,
    /// Length of the tar in bytes.
    pub(crate) uncompressed_size: Option<u64>,
    /// Entries of the tar; nothing for a layer that was not read.
    pub(crate) entries: Option<u64>,
    /// Files that are not empty.
    pub(crate) files: Option<u64>,
    /// Length of all files in bytes.
    pub(crate) content_size: Option<u64>,
    /// Pieces that can be fetched on their own.
    pub(crate) chunks: Option<u64>,
    /// Bytes that need not be fetched because they are zeros.
    pub(crate) hole_size: Option<u64>,
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
    hole_size: u64,
    lines: Option<(Vec<TocLine>, Room)>,
}

/// What the lines of all TOCs of an image take in memory, in bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Room(Arc<AtomicU64>);

impl Room {
    /// Enough for over a million entries.
    pub(super) const MAX: u64 = 512 << 20;

    pub(super) fn is_exceeded(&self) -> bool {
        self.0.load(Relaxed) > Self::MAX
    }

    /// Whether there is room for one more line.
    fn take(&self, line: &TocLine) -> bool {
        let TocLine { kind, name, link_name, modified, .. } = line;
        let texts = [Some(kind), Some(name), Some(link_name), modified.as_ref()];
        let texts: usize = texts.into_iter().flatten().map(String::capacity).sum();
        self.0.fetch_add((size_of::<TocLine>() + texts) as u64, Relaxed);
        !self.is_exceeded()
    }
}

impl TocShape {
    /// Keeps the lines if there is something to count them with.
    pub(super) fn new(room: Option<&Room>) -> Self {
        Self { chunks: 0, hole_size: 0, lines: room.map(|room| (Vec::new(), room.clone())) }
    }

    pub(super) fn add(&mut self, entry: TocEntry) {
        if entry.offset.is_some() {
            self.chunks += 1;
        }
        if entry.chunk_type == "zeros" {
            // A TOC may claim anything.
            self.hole_size = self.hole_size.saturating_add(entry.chunk_size);
        }
        if let Some((lines, room)) = &mut self.lines {
            let line = TocLine::from(entry);
            if room.take(&line) {
                lines.push(line);
            }
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
    content_size: u64,
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
        self.content_size = self.content_size.saturating_add(size);
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

impl InspectedLayer {
    pub(super) fn new(number: usize, layer: &Descriptor) -> Self {
        Self {
            number,
            digest: layer.blob.digest.clone(),
            media_type: layer.media_type.clone(),
            size: layer.blob.size,
            format: declared(&layer.media_type),
            uncompressed_size: None,
            entries: None,
            files: None,
            content_size: None,
            chunks: None,
            hole_size: None,
            toc_size: None,
            tar_split_size: None,
            largest: Vec::new(),
            needs_download: false,
            problem: None,
            contents: Contents::default(),
            toc: None,
        }
    }

    pub(super) fn shape(&mut self, TocShape { chunks, hole_size, lines }: TocShape) {
        (self.chunks, self.hole_size, self.toc) =
            (Some(chunks), Some(hole_size), lines.map(|(lines, _)| lines));
    }

    pub(super) fn count(&mut self, counts: Counts) {
        self.entries = Some(counts.entries);
        self.files = Some(counts.files);
        self.content_size = Some(counts.content_size);
        self.largest = counts.largest;
        self.contents = counts.contents;
        self.contents.finish();
    }
}

/// How a media type says that a layer is compressed.
fn declared(media_type: &str) -> String {
    match LayerType::parse(media_type) {
        Some(LayerType { distributable: false, .. }) => "foreign".to_owned(),
        Some(LayerType { suffix, .. }) => suffix.as_str().to_owned(),
        None => media_type.to_owned(),
    }
}

impl InspectReport {
    pub(super) fn new(reference: String, raw: &RawManifest) -> Self {
        Self {
            reference,
            digest: raw.digest.clone(),
            media_type: raw.media_type.clone(),
            config_digest: None,
            platform: None,
            images: Vec::new(),
            layers: Vec::new(),
            lists_entries: false,
        }
    }

    /// How to see what is not shown.
    pub(super) fn hint(&self) -> Option<String> {
        if let Some(platform) = self.images.iter().find_map(|image| image.platform.as_ref()) {
            let what = if self.lists_entries { "list entries" } else { "see its layers" };
            return Some(format!("Add --platform {platform} to {what}."));
        }
        let unread = self.layers.iter().filter(|layer| layer.needs_download).count();
        let has = if unread == 1 { "has" } else { "have" };
        let layers = counted(unread as u64, "layer");
        (unread > 0)
            .then(|| format!("{layers} {has} no TOC; add --download to show their content."))
            .map(|hint| if unread == 1 { hint.replace("their", "its") } else { hint })
    }

    /// The platform, how many layers there are, and how long they are.
    fn facts(&self) -> String {
        let layers = &self.layers;
        let sum = layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.size));
        let raw = layers.iter().try_fold(0, |sum: u64, layer| {
            layer.uncompressed_size.map(|len| sum.saturating_add(len))
        });
        let mut facts: Vec<_> = self.platform.iter().cloned().collect();
        facts.push(counted(layers.len() as u64, "layer"));
        facts.push(format!("{} compressed", size(sum)));
        facts.extend(raw.map(|raw| format!("{} uncompressed", size(raw))));
        facts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_lines_are_kept_than_there_is_room_for() {
        let room = Room(Arc::new((Room::MAX - 2000).into()));
        let mut shapes = [TocShape::new(Some(&room)), TocShape::new(Some(&room))];
        for number in 0..20 {
            assert_eq!(room.is_exceeded(), number > 10, "{number}");
            let name = "n".repeat(200 - size_of::<TocLine>().min(200));
            shapes[number % 2].add(TocEntry { name, offset: Some(1), ..TocEntry::default() });
        }
        let kept = |shape: &TocShape| shape.lines.as_ref().map(|(lines, _)| lines.len());
        assert_eq!(shapes.each_ref().map(kept), [Some(5), Some(5)]);
        assert_eq!(shapes[0].chunks, 10, "all are counted");
    }
}
