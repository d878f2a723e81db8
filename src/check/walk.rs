//! TOC and tar-split stream, read side by side: each entry against its header, each content
//! against its place. Both are streams, so the work takes no more memory for a longer layer but
//! for the set of its paths.

use std::{collections::BTreeSet, io::Read};

use super::{
    LeftOut,
    files::{File, Ranges},
    finding::{Findings, Rule, shown},
    header,
    paths::{Paths, clean},
    stream::{Header, Headers},
    toc::TocEntry,
};
use crate::tar;

/// More chunks than a file can have in a TOC that clients take: each takes some 200 bytes there,
/// of 150 MiB. All of a file's are held, however short a hostile TOC makes them.
const CHUNKS_MAX: usize = 1 << 20;

/// What the walk comes across, in the order of the tar.
pub(super) trait Visit {
    /// Bytes of the tar that are no content.
    fn segment(&mut self, raw: &[u8], findings: &mut Findings);
    /// A content that the TOC tells the place of.
    fn file(&mut self, file: &File<'_>, findings: &mut Findings);
    /// A content of which only the length is known.
    fn lost_file(&mut self, name: &str, len: u64, findings: &mut Findings);
}

/// For who wants to know of the documents alone.
impl Visit for () {
    fn segment(&mut self, _: &[u8], _: &mut Findings) {}
    fn file(&mut self, _: &File<'_>, _: &mut Findings) {}
    fn lost_file(&mut self, _: &str, _: u64, _: &mut Findings) {}
}

/// What the documents have come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Entries of the tar.
    pub entries: u64,
    /// Regular files that are not empty.
    pub files: u64,
    /// Pieces that can be fetched on their own.
    pub chunks: u64,
    /// Length of the tar in bytes: all segments and all contents.
    pub tar_len: u64,
}

/// What is known of a layer beforehand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings {
    /// It is the lowest layer of its image.
    pub(super) lowest: bool,
    /// Where data has to end in the blob.
    pub(super) bound: u64,
}

/// How far the walk has come.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) totals: Totals,
    /// What a partial pull does not create.
    pub(super) left_out: LeftOut,
    /// All of the tar was walked.
    pub(super) complete: bool,
    /// Where the data ends in the blob, as far as the TOC says that.
    pub(super) data_end: u64,
}

/// The entry whose chunks may be yet to come.
struct Open {
    toc: TocEntry,
    header: Option<Header>,
    chunks: Vec<TocEntry>,
}

pub(super) struct Walk<'a, R, V> {
    headers: Option<Headers<R>>,
    visitor: &'a mut V,
    findings: &'a mut Findings,
    paths: Paths,
    ranges: Ranges,
    open: Option<Open>,
    totals: Totals,
    /// Names in the TOC since it went another way than the tar.
    astray: Option<BTreeSet<Vec<u8>>>,
    /// The name in the tar where that happened.
    fork: Option<Vec<u8>>,
}

impl<'a, R: Read, V: Visit> Walk<'a, R, V> {
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
            paths: Paths::new(layer.lowest),
            ranges: Ranges::new(layer.bound),
            open: None,
            totals: Totals::default(),
            astray: None,
            fork: None,
        }
    }

    /// Takes in an entry of the TOC.
    pub(super) fn entry(&mut self, toc: TocEntry) {
        header::times(&toc, self.findings);
        if toc.kind == "chunk" {
            match &mut self.open {
                _ if self.astray.is_some() => {}
                Some(open) if open.toc.kind == "reg" && open.toc.name == toc.name => {
                    if open.chunks.len() < CHUNKS_MAX {
                        open.chunks.push(TocEntry {
                            kind: String::new(),
                            name: String::new(),
                            xattrs: None,
                            ..toc
                        });
                    } else {
                        let detail = format!("{} has too many chunks", shown(&toc.name));
                        self.findings.add(Rule::ChunkEntry, detail);
                    }
                }
                _ => {
                    let detail = format!("a chunk of {} does not follow it", shown(&toc.name));
                    self.findings.add(Rule::ChunkEntry, detail);
                }
            }
            return;
        }
        self.close();
        self.totals.entries += 1;
        self.paths.insert(&toc, self.findings);
        if let Some(astray) = &mut self.astray {
            astray.insert(toc.name.into_bytes());
            return;
        }
        let header = self.next_header();
        if self.headers.is_some() {
            match &header {
                Some(found) if self.same_name(&toc, &found.entry) => {
                    header::compare(&toc, &found.entry, self.findings);
                }
                _ => return self.go_astray(toc, header),
            }
        }
        self.open = Some(Open { toc, header, chunks: Vec::new() });
    }

    /// Whether it is the same entry, if perhaps under a changed name.
    fn same_name(&mut self, toc: &TocEntry, tar: &tar::Entry) -> bool {
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

    /// From here on only names are compared, to tell what is missing.
    fn go_astray(&mut self, toc: TocEntry, header: Option<Header>) {
        if self.headers.is_none() {
            return;
        }
        self.astray = Some(BTreeSet::from([toc.name.into_bytes()]));
        self.fork = header.map(|header| header.entry.name);
    }

    /// Tells of a name in the tar that the TOC, which has been read, does not have.
    fn is_missing(&mut self, name: &[u8]) -> bool {
        let known = self.astray.get_or_insert_default().remove(name);
        if !known {
            self.findings.add(Rule::EntryMissing, format!("{} is not in the TOC", shown(name)));
        }
        !known
    }

    /// Comes to an end with the entry at hand.
    fn close(&mut self) {
        let Some(Open { toc, header, chunks }) = self.open.take() else { return };
        let len = match &header {
            Some(header) => header.entry.payload_len,
            None if toc.kind == "reg" => u64::try_from(toc.size).unwrap_or_default(),
            None => 0,
        };
        if len == 0 {
            if !chunks.is_empty() {
                let detail = format!("{} has chunks and no content", shown(&toc.name));
                self.findings.add(Rule::ChunkEntry, detail);
            }
            return;
        }
        self.totals.files += 1;
        self.totals.chunks += 1 + chunks.len() as u64;
        // A TOC may claim more than any file can have.
        self.totals.tar_len = self.totals.tar_len.saturating_add(len);
        let crc = header.as_ref().and_then(|header| header.crc);
        match self.ranges.file(&toc, &chunks, len, crc, self.findings) {
            // Without the headers in front of it, a content cannot be found in the data.
            _ if header.is_none() => {}
            Some(file) => self.visitor.file(&file, self.findings),
            None => self.visitor.lost_file(&toc.name, len, self.findings),
        }
    }

    /// Comes to the end of the TOC, which was read `whole` or in part.
    pub(super) fn finish(mut self, whole: bool) -> Walked {
        self.close();
        let left_out = if whole { self.paths.finish(self.findings) } else { LeftOut::default() };
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
            let detail = format!("object {at} of the tar-split stream has another number");
            self.findings.add(Rule::TarSplitOrder, detail);
        }
        let Some(extra) = self.astray.take() else { return true };
        for name in &extra {
            let detail = format!("{} is in the TOC and not in the tar", shown(name));
            self.findings.add(Rule::EntryExtra, detail);
        }
        if !missing && extra.is_empty() {
            self.findings.add(Rule::EntryOrder, "the TOC is in another order than the tar");
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(entries: impl IntoIterator<Item = TocEntry>) -> (Totals, Findings) {
        let mut findings = Findings::default();
        let (mut visitor, none) = ((), None::<&[u8]>);
        let layer = Surroundings { lowest: true, bound: u64::MAX };
        let mut walk = Walk::new(none, layer, &mut visitor, &mut findings);
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
    fn chunks_beyond_all_measure() {
        let chunk = TocEntry { kind: "chunk".to_owned(), ..TocEntry::default() };
        let chunks = std::iter::repeat_n(chunk, CHUNKS_MAX + 5);
        let (totals, findings) = walk(std::iter::once(file("", 7)).chain(chunks));
        assert_eq!(totals.chunks, CHUNKS_MAX as u64 + 1);
        assert_eq!(findings.counts().get(&Rule::ChunkEntry), Some(&5));
    }
}
