//! What the TOCs of both images come to, one after the other: first those of OLD, then those of NEW.

use super::{
    ENTRIES_MAX,
    judge::{Way, way_of_documents},
    known::Known,
    layer::{Lacking, LayerReading},
    tally::Tally,
};
use crate::{check, image::annotations::Annotations, source::LayerDocuments};

#[derive(Debug, Default)]
pub(super) struct Work {
    known: Known,
    pub(super) tally: Tally,
    /// Of all TOCs so far.
    entries: u64,
}

/// A layer whose TOC was read.
#[derive(Debug)]
pub(super) enum Read {
    /// Of OLD: its files are known from now on.
    Known,
    /// Of NEW.
    Lacking(Box<Lacking>),
    /// Clients do not use its TOC, and why.
    Whole(String),
}

/// Why there is nothing to say about a layer.
#[derive(Debug)]
pub(super) enum Unread {
    /// Clients refuse it, and why.
    Refused(String),
    TooManyEntries,
}

impl Work {
    pub(super) fn read(
        &mut self,
        is_old: bool,
        number: u64,
        annotations: &Annotations,
        documents: &LayerDocuments,
    ) -> Result<Read, Unread> {
        match way_of_documents(documents, annotations, number == 1) {
            Way::Partial => {}
            Way::Whole(reason) => return Ok(Read::Whole(reason)),
            Way::Refused(reason) => return Err(Unread::Refused(reason)),
        }
        let Self { known, tally, entries } = self;
        let most = ENTRIES_MAX - *entries;
        let toc = &documents.toc;
        let mut count = |_: &check::TocEntry| *entries += 1;
        let (result, read) = if is_old {
            let each = |entry| {
                count(&entry);
                known.add(&entry);
            };
            (check::read_toc(toc, most, each), Read::Known)
        } else {
            let mut reading = LayerReading::new(known, tally, number);
            let each = |entry| {
                count(&entry);
                reading.entry(&entry);
            };
            let result = check::read_toc(toc, most, each);
            let lacking = reading.finish(documents.claims.toc.offset);
            (result, Read::Lacking(Box::new(lacking)))
        };
        if *entries > ENTRIES_MAX {
            return Err(Unread::TooManyEntries);
        }
        result.map_err(|error| Unread::Refused(format!("cannot read its TOC: {error}")))?;
        Ok(read)
    }
}
