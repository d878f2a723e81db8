//! TOC and tar-split stream, read side by side: each entry is compared with its header, each
//! content with its place. Both are streams, so only the set of paths takes more memory for a
//! longer layer.

use std::{collections::BTreeMap, io::Read};

use super::{
    files::{File, FilePieces, Name, Piece, Ranges, file_digest},
    finding::{Findings, Rule, shown},
    header,
    left_out::CheckedLeftOut,
    paths::{CheckedPaths, clean, key},
    spread::PathKey,
    stream::{Header, Headers},
    toc::TocEntry,
};
use crate::{image::Digest, tar};

/// More entries than fit into a TOC that clients accept: each takes at least 80 bytes, of 150 MiB.
const ENTRIES_MAX: u64 = 1 << 21;

/// How many paths of a TOC are checked if there are no headers to compare it with.
const ALONE_MAX: u64 = 1 << 16;

/// How many names are compared after TOC and tar diverge.
const ASTRAY_MAX: usize = 1000;

/// Receives what the walk finds, in the order of the tar.
pub(super) trait Visit {
    /// Bytes of the tar that are not content.
    fn segment(&mut self, raw: &[u8], findings: &mut Findings);
    /// A piece of a content, numbered from 0.
    fn piece(&mut self, name: Name<'_>, number: usize, piece: &Piece, findings: &mut Findings);
    /// The end of a content.
    fn end(&mut self, file: &File<'_>, findings: &mut Findings);
}

/// Checks only the documents.
impl Visit for () {
    fn segment(&mut self, _: &[u8], _: &mut Findings) {}
    fn piece(&mut self, _: Name<'_>, _: usize, _: &Piece, _: &mut Findings) {}
    fn end(&mut self, _: &File<'_>, _: &mut Findings) {}
}

/// The totals of both documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct TocTotals {
    /// Entries of the tar.
    pub entries: u64,
    /// Regular files that are not empty.
    pub files: u64,
    /// Pieces that can be fetched separately.
    pub chunks: u64,
    /// Length of the tar in bytes: all segments and all contents.
    #[serde(skip)]
    pub tar_len: u64,
}

/// What is known about a layer beforehand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings {
    pub(super) lowest: bool,
    /// Where data has to end in the blob.
    pub(super) bound: u64,
    /// The most entries and chunks that its TOC can have.
    pub(super) entries: u64,
}

/// The result of a walk.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) totals: TocTotals,
    /// What a partial pull does not create.
    pub(super) left_out: CheckedLeftOut,
    /// The whole tar was walked.
    pub(super) complete: bool,
    /// Where the data ends in the blob, by the TOC.
    pub(super) data_end: u64,
}

/// The current entry, whose chunks may follow.
struct Open {
    toc: TocEntry,
    header: Option<Header>,
    /// Length of its content in bytes.
    len: u64,
    digest: Option<Digest>,
    pieces: FilePieces,
    /// Chunk entries after its own.
    chunks: u64,
}

/// Names in the TOC since it diverged from the tar.
#[derive(Default)]
struct Astray {
    /// By their hashes, formatted for messages.
    names: BTreeMap<PathKey, String>,
    full: bool,
}

impl Astray {
    fn insert(&mut self, name: &[u8]) {
        self.full |= self.names.len() >= ASTRAY_MAX;
        if !self.full {
            self.names.insert(key(&[name]), shown(name).to_string());
        }
    }
}

pub(super) struct DocumentWalk<'a, R, V> {
    headers: Option<Headers<R>>,
    visitor: &'a mut V,
    findings: &'a mut Findings,
    paths: CheckedPaths,
    ranges: Ranges,
    open: Option<Open>,
    totals: TocTotals,
    astray: Option<Astray>,
    /// The name in the tar where it diverged.
    fork: Option<Vec<u8>>,
}

impl<'a, R: Read, V: Visit> DocumentWalk<'a, R, V> {
    /// Without a tar-split stream the TOC is checked alone.
    pub(super) fn new(
        tar_split: Option<R>,
        layer: Surroundings,
        visitor: &'a mut V,
        findings: &'a mut Findings,
    ) -> Self {
        Self {
            headers: tar_split.map(Headers::new),
            visitor,
            findings,
            paths: CheckedPaths::new(layer.lowest),
            ranges: Ranges::new(layer.bound),
            open: None,
            totals: TocTotals::default(),
            astray: None,
            fork: None,
        }
    }

    pub(super) fn entry(&mut self, toc: TocEntry) {
        header::times(&toc, self.findings);
        if toc.kind == "chunk" {
            return self.chunk(&toc);
        }
        self.close();
        self.totals.entries += 1;
        if self.totals.entries > ENTRIES_MAX {
            let detail = format!("the TOC has more than {ENTRIES_MAX} entries");
            self.findings.add(Rule::TocTooLong, detail);
            return;
        }
        if self.astray.as_ref().is_some_and(|astray| astray.full) {
            return;
        }
        if self.headers.is_some() || self.totals.entries <= ALONE_MAX {
            self.paths.insert(&toc, self.findings);
        }
        if let Some(astray) = &mut self.astray {
            astray.insert(toc.name.as_bytes());
            return;
        }
        let header = self.next_header();
        if self.headers.is_some() {
            match &header {
                Some(found) if self.same_name(&toc, &found.entry) => {
                    header::compare(&toc, &found.entry, self.findings);
                }
                _ => return self.go_astray(&toc, header),
            }
        }
        self.begin(toc, header);
    }

    fn begin(&mut self, toc: TocEntry, header: Option<Header>) {
        let len = match &header {
            Some(header) => header.entry.payload_len,
            None if toc.kind == "reg" => u64::try_from(toc.size).unwrap_or_default(),
            None => 0,
        };
        let (mut pieces, mut digest) = (FilePieces::new(len), None);
        if len > 0 {
            let name = shown(toc.name.as_str());
            digest = file_digest(&toc, name, self.findings);
            pieces.next(&toc, name, self.findings);
        }
        self.open = Some(Open { toc, header, len, digest, pieces, chunks: 0 });
    }

    fn chunk(&mut self, toc: &TocEntry) {
        let open = match &mut self.open {
            _ if self.astray.is_some() => return,
            Some(open) if open.toc.kind == "reg" && open.toc.name == toc.name => open,
            _ => {
                let detail = format!("a chunk of {} does not follow it", shown(&toc.name));
                return self.findings.add(Rule::ChunkEntry, detail);
            }
        };
        open.chunks += 1;
        if open.len > 0 {
            let name = shown(open.toc.name.as_str());
            let number = open.pieces.number();
            if let Some(piece) = open.pieces.next(toc, name, self.findings) {
                self.ranges.check(&piece, number, piece.end, name, self.findings);
                // Without the headers before it, a content cannot be found in the data.
                if open.header.is_some() {
                    self.visitor.piece(name, number, &piece, self.findings);
                }
            }
        }
    }

    /// Whether it is the same entry, perhaps with a changed name.
    fn same_name(&mut self, toc: &TocEntry, tar: &tar::TarEntry) -> bool {
        if toc.name.as_bytes() == tar.name {
            return true;
        }
        let lossy = String::from_utf8_lossy(&tar.name);
        let same = clean(toc.name.as_bytes()) == clean(lossy.as_bytes());
        if same {
            let (toc, tar) = (shown(&toc.name), shown(&tar.name));
            self.findings.add(Rule::EntryName, format!("{toc} in the TOC, {tar} in the tar"));
        }
        same
    }

    fn next_header(&mut self) -> Option<Header> {
        let headers = self.headers.as_mut()?;
        let mut visitor = self.astray.is_none().then_some(&mut *self.visitor);
        let totals = &mut self.totals;
        let result = headers.next(self.findings, |raw, findings| {
            totals.tar_len = totals.tar_len.saturating_add(raw.len() as u64);
            if let Some(visitor) = &mut visitor {
                visitor.segment(raw, findings);
            }
        });
        match result {
            Ok(header) => header,
            Err((rule, detail)) => {
                self.findings.add(rule, detail);
                self.headers = None;
                None
            }
        }
    }

    /// From here on only names are compared, to report what is missing.
    fn go_astray(&mut self, toc: &TocEntry, header: Option<Header>) {
        if self.headers.is_none() {
            return;
        }
        self.astray.get_or_insert_default().insert(toc.name.as_bytes());
        self.fork = header.map(|header| header.entry.name);
    }

    /// Reports a name in the tar that is not in the TOC, which has been read.
    fn is_missing(&mut self, name: &[u8]) -> bool {
        let astray = self.astray.get_or_insert_default();
        let known = astray.names.remove(&key(&[name])).is_some() || astray.full;
        if !known {
            self.findings.add(Rule::EntryMissing, format!("{} is not in the TOC", shown(name)));
        }
        !known
    }

    /// Ends the current entry.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let Open { toc, header, len, digest, mut pieces, chunks } = open;
        let name = shown(toc.name.as_str());
        if len == 0 {
            if chunks > 0 {
                let detail = format!("{name} has chunks, but no content");
                self.findings.add(Rule::ChunkEntry, detail);
            }
            return;
        }
        self.totals.files += 1;
        self.totals.chunks += 1 + chunks;
        // A TOC may claim more than any file can have.
        self.totals.tar_len = self.totals.tar_len.saturating_add(len);
        let number = pieces.number();
        if let Some(piece) = pieces.last(toc.end_offset, name, self.findings) {
            let end = piece.end.or(toc.end_offset);
            self.ranges.check(&piece, number, end, name, self.findings);
            if header.is_some() {
                self.visitor.piece(name, number, &piece, self.findings);
            }
        }
        if let Some(header) = header {
            let end = toc.end_offset.filter(|_| number > 0 && pieces.complete());
            let file = File { name, rest: pieces.rest(), end, digest, crc: header.crc };
            self.visitor.end(&file, self.findings);
        }
    }

    /// Ends the walk, after the TOC was read `whole` or in part.
    pub(super) fn finish(mut self, whole: bool) -> Walked {
        self.close();
        let left_out =
            if whole { self.paths.finish(self.findings) } else { CheckedLeftOut::default() };
        let complete = whole && self.finish_tar();
        Walked { totals: self.totals, left_out, complete, data_end: self.ranges.end() }
    }

    /// Whether the tar ends where the TOC does.
    fn finish_tar(&mut self) -> bool {
        let fork = self.fork.take();
        let mut missing = fork.is_some_and(|name| self.is_missing(&name));
        while let Some(header) = self.next_header() {
            missing |= self.is_missing(&header.entry.name);
        }
        let Some(headers) = &self.headers else { return false };
        if let Some(at) = headers.objects.misnumbered {
            let detail = format!("object {at} of the tar-split stream has a wrong position");
            self.findings.add(Rule::TarSplitOrder, detail);
        }
        let Some(Astray { names, full }) = self.astray.take() else { return true };
        if full {
            let detail = format!(
                "more than {ASTRAY_MAX} entries of the TOC are in a different order than in the tar"
            );
            self.findings.add(Rule::EntryOrder, detail);
            return false;
        }
        let mut extra: Vec<_> = names.into_values().collect();
        extra.sort_unstable();
        for name in &extra {
            let detail = format!("{name} is in the TOC, but not in the tar");
            self.findings.add(Rule::EntryExtra, detail);
        }
        if !missing && extra.is_empty() {
            self.findings.add(Rule::EntryOrder, "the TOC is in a different order than the tar");
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Surroundings = Surroundings { lowest: true, bound: u64::MAX, entries: u64::MAX };

    fn walk(entries: impl IntoIterator<Item = TocEntry>) -> (TocTotals, Findings) {
        let mut findings = Findings::default();
        let (mut visitor, none) = ((), None::<&[u8]>);
        let mut walk = DocumentWalk::new(none, ANY, &mut visitor, &mut findings);
        entries.into_iter().for_each(|entry| walk.entry(entry));
        (walk.finish(true).totals, findings)
    }

    fn file(name: &str, size: i64) -> TocEntry {
        let (kind, name) = ("reg".to_owned(), name.to_owned());
        TocEntry { kind, name, size, offset: Some(9), ..TocEntry::default() }
    }

    #[test]
    fn sizes_beyond_all_measure() {
        let (totals, _) = walk(["a", "b", "c"].map(|name| file(name, i64::MAX)));
        assert_eq!((totals.files, totals.tar_len), (3, u64::MAX));
    }

    #[test]
    fn entries_beyond_all_measure() {
        let mut findings = Findings::default();
        let (mut visitor, none) = ((), None::<&[u8]>);
        let mut walk = DocumentWalk::new(none, ANY, &mut visitor, &mut findings);
        (0..ALONE_MAX + 10).for_each(|n| walk.entry(file(&n.to_string(), 0)));
        assert_eq!(walk.paths.len() as u64, ALONE_MAX);
        walk.totals.entries = ENTRIES_MAX - 5;
        (0..10).for_each(|n| walk.entry(file(&n.to_string(), 0)));
        assert_eq!(walk.finish(true).totals.entries, ENTRIES_MAX + 5);
        assert_eq!(findings.counts().get(&Rule::TocTooLong), Some(&5));
    }

    #[test]
    fn very_many_names_that_differ_are_not_kept() {
        let mut findings = Findings::default();
        let mut visitor = ();
        let mut walk = DocumentWalk::new(Some(&b""[..]), ANY, &mut visitor, &mut findings);
        (0..5 * ASTRAY_MAX).for_each(|n| walk.entry(file(&n.to_string(), 0)));
        assert_eq!(walk.astray.as_ref().map(|astray| astray.names.len()), Some(ASTRAY_MAX));
        assert!(walk.paths.len() <= ASTRAY_MAX + 1);
        assert!(!walk.finish(true).complete);
        assert_eq!(findings.counts().get(&Rule::EntryOrder), Some(&1));
    }
}
