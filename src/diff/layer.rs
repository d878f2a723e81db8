//! One layer of NEW: what of its TOC a client lacks (`mergeTocEntries` and `ApplyDiff` in
//! `storage/pkg/chunked/storage_linux.go`).

use std::ops::Range;

use super::{
    client::Missing,
    known::Known,
    report::{FileCounts, FileState},
    tally::{FileFacts, Tally},
};
use crate::check::TocEntry;

/// What clients lack of a layer.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    pub(super) files: FileCounts,
    /// Zeros in files that clients lack.
    pub(super) holes: u64,
    /// Of clients that find whole files.
    pub(super) by_files: Missing,
    /// Of clients that find chunks, too.
    pub(super) by_chunks: Missing,
}

/// Reads the entries of a TOC as they come. The end of a file may be known only from the next one.
pub(super) struct LayerReading<'a> {
    known: &'a Known,
    tally: &'a mut Tally,
    /// Number of the layer.
    layer: u64,
    open: Option<OpenFile>,
    /// Files that were read.
    files: u64,
    lacking: Lacking,
}

struct OpenFile {
    name: String,
    size: u64,
    is_known: bool,
    chunks: Vec<Chunk>,
    /// Just past its last chunk, if the TOC says so.
    end: Option<u64>,
}

struct Chunk {
    offset: u64,
    size: u64,
    is_hole: bool,
    is_known: bool,
}

impl<'a> LayerReading<'a> {
    pub(super) fn new(known: &'a Known, tally: &'a mut Tally, layer: u64) -> Self {
        Self { known, tally, layer, open: None, files: 0, lacking: Lacking::default() }
    }

    pub(super) fn entry(&mut self, entry: &TocEntry) {
        if entry.kind == "chunk" {
            let chunk = self.chunk(entry);
            if let Some(open) = &mut self.open {
                open.chunks.push(chunk);
                open.end = entry.end_offset;
            }
            return;
        }
        if let Some(offset) = entry.offset.filter(|offset| *offset > 0) {
            self.close(offset);
        }
        let size = u64::try_from(entry.size).unwrap_or_default();
        if entry.kind != "reg" || size == 0 {
            return;
        }
        self.close(0);
        let chunk = self.chunk(entry);
        self.open = Some(OpenFile {
            name: entry.name.clone(),
            size,
            is_known: self.known.has_content(&entry.digest),
            chunks: vec![chunk],
            end: entry.end_offset,
        });
    }

    /// `end` is where the data of the layer ends.
    pub(super) fn finish(mut self, end: u64) -> Lacking {
        self.close(end);
        self.lacking
    }

    fn chunk(&self, entry: &TocEntry) -> Chunk {
        Chunk {
            offset: entry.offset.unwrap_or_default(),
            size: entry.chunk_size,
            is_hole: entry.chunk_type == "zeros",
            is_known: self.known.has_content(&entry.chunk_digest),
        }
    }

    /// Ends the open file, at `end` if it does not say where it ends.
    fn close(&mut self, end: u64) {
        let Some(open) = self.open.take() else { return };
        self.files += 1;
        let start = open.chunks.first().map_or(0, |chunk| chunk.offset);
        let end = open.end.filter(|end| *end > 0).unwrap_or(end);
        let mut facts = FileFacts {
            state: None,
            size: open.size,
            compressed: end.saturating_sub(start),
            fetched: 0,
            fetched_with_chunks: 0,
        };
        if !open.is_known {
            let has_path = self.known.has_path(&open.name);
            facts.state = Some(if has_path { FileState::Changed } else { FileState::New });
            self.fetch(&open.chunks, end, &mut facts);
        }
        self.lacking.files.add(&facts);
        self.tally.add(self.layer, &open.name, &facts);
    }

    fn fetch(&mut self, chunks: &[Chunk], end: u64, facts: &mut FileFacts) {
        let Lacking { holes, by_files, by_chunks, .. } = &mut self.lacking;
        let ends = chunks.iter().skip(1).map(|next| next.offset).chain([end]);
        for (chunk, end) in chunks.iter().zip(ends) {
            let piece = Range { start: chunk.offset, end: end.max(chunk.offset) };
            let len = piece.end - piece.start;
            if chunk.is_hole {
                *holes = holes.saturating_add(chunk.size);
                by_files.skip();
                by_chunks.skip();
                continue;
            }
            by_files.fetch(self.files, piece.clone());
            facts.fetched = facts.fetched.saturating_add(len);
            if chunk.is_known {
                by_chunks.skip();
            } else {
                by_chunks.fetch(self.files, piece);
                facts.fetched_with_chunks = facts.fetched_with_chunks.saturating_add(len);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)]
mod tests {
    use super::*;
    use crate::{diff::report::FileCount, image::Digest};

    fn digest(content: &str) -> String {
        Digest::sha256_of(content.as_bytes()).to_string()
    }

    fn file(name: &str, content: &str, offset: u64, end: Option<u64>) -> TocEntry {
        TocEntry {
            kind: "reg".into(),
            name: name.into(),
            size: 100,
            digest: digest(content),
            offset: Some(offset),
            end_offset: end,
            ..TocEntry::default()
        }
    }

    fn chunk(kind: &str, content: &str, offset: u64) -> TocEntry {
        TocEntry {
            kind: kind.into(),
            name: "big".into(),
            size: 100,
            offset: Some(offset),
            chunk_size: 50,
            chunk_digest: digest(content),
            ..TocEntry::default()
        }
    }

    fn read(known: &Known, entries: &[TocEntry], end: u64) -> (Lacking, Tally) {
        let mut tally = Tally::default();
        let mut reading = LayerReading::new(known, &mut tally, 1);
        for entry in entries {
            reading.entry(entry);
        }
        (reading.finish(end), tally)
    }

    #[test]
    fn files_that_old_has_are_not_fetched() {
        let mut known = Known::default();
        known.add(&file("moved-from", "same", 1, Some(2)));
        known.add(&file("a", "before", 1, Some(2)));
        let entries = [
            file("moved-to", "same", 10, Some(20)),
            file("./a", "after", 2000, Some(2040)),
            TocEntry { kind: "dir".into(), name: "d/".into(), ..TocEntry::default() },
            file("d/new", "new", 5000, None),
            file("empty", "", 6000, None),
            TocEntry { kind: "reg".into(), name: "empty".into(), ..TocEntry::default() },
        ];
        let (lacking, _) = read(&known, &entries, 7000);
        let FileCounts { same, changed, new } = lacking.files;
        let count = |files, size, compressed| FileCount {
            files,
            size,
            compressed,
            fetched: compressed,
            fetched_with_chunks: compressed,
        };
        assert_eq!((same.files, same.compressed, same.fetched), (1, 10, 0));
        assert_eq!(changed, count(1, 100, 40));
        assert_eq!(new, count(2, 200, 2000));
        assert_eq!(lacking.by_files.requested(), [2000..2040, 5000..7000]);
        assert_eq!(lacking.by_chunks.requested(), [2000..2040, 5000..7000]);
    }

    #[test]
    fn holes_and_known_chunks() {
        let mut known = Known::default();
        known.add(&chunk("chunk", "known", 0));
        let hole = TocEntry { chunk_type: "zeros".into(), ..chunk("chunk", "", 30_000) };
        let entries = [
            TocEntry { digest: digest("big"), ..chunk("reg", "first", 10_000) },
            chunk("chunk", "known", 20_000),
            hole,
            chunk("chunk", "last", 40_000),
            file("next", "next", 50_000, Some(50_001)),
        ];
        let (lacking, tally) = read(&known, &entries, 60_000);
        assert_eq!(lacking.holes, 50);
        let by_files = lacking.by_files.requested();
        assert_eq!(by_files, [10_000..30_000, 40_000..50_001]);
        let by_chunks = lacking.by_chunks.requested();
        assert_eq!(by_chunks, [10_000..20_000, 40_000..50_001]);
        let (largest, _, _) = tally.finish();
        assert_eq!((largest[0].fetched, largest[0].fetched_with_chunks), (30_000, 20_000));
    }

    #[test]
    fn absurd_claims() {
        let max = u64::MAX;
        let entries = [
            file("a", "a", max, Some(1)),
            TocEntry { size: i64::MAX, ..file("b", "b", 1, Some(max)) },
            TocEntry { size: i64::MAX, ..file("c", "c", 1, Some(max)) },
            chunk("chunk", "x", max),
            TocEntry { offset: None, chunk_size: max, ..chunk("chunk", "y", 0) },
            TocEntry { size: -1, ..file("d", "d", 5, None) },
        ];
        let (lacking, _) = read(&Known::default(), &entries, max);
        assert_eq!(lacking.files.new.files, 3);
        super::super::client::sum(&lacking.by_files.requested());
    }
}
