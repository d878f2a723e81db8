//! Which layers may have a TOC, as far as their entries decide that.

use std::io::{self, BufRead};

use crate::{
    chunked::{
        eligibility::{AdmittedPaths, ENTRIES_MAX, TAIL_MAX, Unchunkable},
        toc::Metadata,
    },
    tar::{Reader, TarEntry, TarError, TarStep},
};

/// A block of the tar, in bytes.
const BLOCK: u64 = 512;

/// The entries of a layer so far.
#[derive(Debug, Default)]
pub(super) struct Admission {
    paths: AdmittedPaths,
    entries: u64,
    /// Of the content of the last entry.
    padding: u64,
}

impl Admission {
    pub(super) fn new(lowest: bool) -> Self {
        Self { paths: AdmittedPaths::new(lowest), ..Self::default() }
    }

    /// Adds an entry whose content has `len` bytes.
    pub(super) fn admit(&mut self, entry: &TarEntry, len: u64) -> Result<Metadata, Unchunkable> {
        self.entries += 1;
        self.padding = len.wrapping_neg() % BLOCK;
        let metadata = Metadata::of(entry)?;
        self.paths.admit(entry)?;
        if self.entries > ENTRIES_MAX {
            return Err(Unchunkable::TooManyEntries);
        }
        Ok(metadata)
    }

    /// Checks what depends on all entries; `raw` is what the reader found at their end.
    pub(super) fn end(&self, raw: &[u8]) -> Result<(), Unchunkable> {
        if !raw.is_empty() && (raw.len() as u64) < self.padding {
            return Err(Unchunkable::PaddingCutShort);
        }
        Ok(())
    }
}

/// Why a new layer with this content would have no TOC. `None` if it may have one: that can still
/// depend on the sizes of its TOC and tar-split, which only a conversion finds out.
pub(crate) fn obstacle(tar: impl BufRead, lowest: bool) -> Result<Option<Unchunkable>, TarError> {
    let (mut reader, mut entries) = (Reader::new(tar), Admission::new(lowest));
    while let TarStep::Entry(entry) = reader.next_step()? {
        if let Err(reason) = entries.admit(&entry, reader.payload_left()) {
            return Ok(Some(reason));
        }
        while reader.payload_left() > 0 {
            let len = reader.payload()?.len();
            reader.consume(len);
        }
    }
    if let Err(reason) = entries.end(reader.raw()) {
        return Ok(Some(reason));
    }
    let (raw, position) = (reader.raw().len() as u64, reader.position());
    let rest = io::copy(&mut reader.into_inner(), &mut io::sink());
    let rest = rest.map_err(|source| TarError::Io { position, source })?;
    Ok((raw + rest > TAIL_MAX).then_some(Unchunkable::TailTooLong))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use test_support::archive::{Dialect, HeaderBlock, TarBuilder};

    use super::*;
    use crate::{
        image::Digest,
        layer::{Cuts, LayerProgress, Pool, Recipe, convert},
    };

    fn with(typeflag: u8, name: &str) -> TarBuilder {
        let block = HeaderBlock::new(Dialect::Ustar, typeflag, name.as_bytes()).mode(0o644);
        TarBuilder::new().file(Dialect::Ustar, b"a", b"content").header(block)
    }

    /// Whatever a conversion says of a layer by its entries, the walk says of it.
    #[test]
    fn it_is_what_a_conversion_says() {
        let pool = Pool::new(2).unwrap();
        let good = || TarBuilder::new().file(Dialect::Ustar, b"a", &[7; 700]);
        let cut_short = |len: usize| {
            let tar = good().finish();
            tar[..tar.len() - len].to_vec()
        };
        let tail = |len: usize| [good().end().finish(), vec![1; len]].concat();
        let long = usize::try_from(TAIL_MAX).unwrap();
        for (what, tar, expected) in [
            ("a file", good().end().finish(), [false, false]),
            ("the same path twice", with(b'0', "a").end().finish(), [true, true]),
            ("no parent", with(b'0', "d/b").end().finish(), [true, true]),
            ("a FIFO", with(b'6', "fifo").end().finish(), [true, false]),
            ("padding cut short", cut_short(1), [true, true]),
            ("no padding", cut_short(324), [false, false]),
            ("a tail", tail(long / 2), [false, false]),
            ("a tail too long", tail(long + 1), [true, true]),
        ] {
            for (lowest, expected) in [false, true].into_iter().zip(expected) {
                let found = obstacle(&tar[..], lowest).unwrap();
                assert_eq!(found.is_some(), expected, "{what}, {lowest}: {found:?}");
                let recipe = Recipe { chunked: true, level: 1, cuts: Cuts::default(), lowest };
                let (diff_id, progress) = (Digest::sha256_of(&tar), LayerProgress::default());
                let blob = &zstd::encode_all(&tar[..], 1).unwrap()[..];
                let made =
                    convert(blob, io::sink(), Some(&diff_id), recipe, &pool, &progress).unwrap();
                assert_eq!(made.outline.err().flatten(), found, "{what}, {lowest}");
            }
        }
    }
}
