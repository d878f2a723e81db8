//! The report of `diff` as text.

use std::fmt;

use super::{
    Clients, DiffReport, FileCount, FileState, GzipOrigin, GzipUpdate, ImageDiff, LayerDiff,
    LayerState,
};
use crate::report::human::{percent, size};

/// Characters of a bar.
const BAR: u64 = 30;
/// How many of the largest files are named.
const LARGEST: usize = 15;

impl fmt::Display for DiffReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old: {} ({})", self.old.reference, self.old.digest)?;
        writeln!(f, "new: {} ({})", self.new.reference, self.new.digest)?;
        match self.images.as_slice() {
            [image] => image.fmt(f)?,
            images => table(f, images)?,
        }
        for skipped in &self.skipped {
            writeln!(f, "  not compared: {}: {}", skipped.platform, skipped.reason)?;
        }
        Ok(())
    }
}

/// A line for each platform.
fn table(f: &mut fmt::Formatter<'_>, images: &[ImageDiff]) -> fmt::Result {
    writeln!(f)?;
    writeln!(f, "  {:<16} {:>12} {:>12} {:>12}", "platform", "whole layers", "files", "chunks")?;
    for ImageDiff { platform, clients, notes, .. } in images {
        let Clients { files, chunks, layers, .. } = clients;
        let platform = platform.as_deref().unwrap_or("no platform");
        let [layers, files, chunks] = [layers, files, chunks].map(|fetched| size(fetched.total));
        writeln!(f, "  {platform:<16} {layers:>12} {files:>12} {chunks:>12}")?;
        for note in notes.iter().filter(|note| note.contains("no TOC")) {
            writeln!(f, "    {note}")?;
        }
    }
    writeln!(f, "\n  Use --platform to see the layers and files of one.")
}

/// What is fetched and what is reused, to scale.
fn bar(fetched: u64, whole: u64) -> String {
    let part = u128::from(fetched) * u128::from(BAR);
    let cells = usize::try_from(part.div_ceil(u128::from(whole.max(1)))).unwrap_or(usize::MAX);
    let all = usize::try_from(BAR).unwrap_or_default();
    let cells = cells.min(all);
    "█".repeat(cells) + &"░".repeat(all - cells)
}

impl fmt::Display for ImageDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { platform, new, clients, .. } = self;
        if let Some(platform) = platform {
            writeln!(f, "platform: {platform}")?;
        }
        writeln!(f)?;
        let documents = clients.files.documents;
        let whole = new.size.saturating_add(documents);
        let widest = clients.gzip.as_ref().map_or(whole, |gzip| gzip.total.max(whole));
        let mut row = |client: &str, fetched: u64| {
            let (bar, share) = (bar(fetched, widest), percent(fetched, whole));
            writeln!(f, "  {client:<34} {:>10} {share:>6}  {bar}", size(fetched))
        };
        row("NEW as a whole", whole)?;
        if let Some(gzip) = &clients.gzip {
            row("changed layers as gzip", gzip.total)?;
        }
        row("changed layers, no partial pulls", clients.layers.total)?;
        row("partial pull, any file system", clients.files.total)?;
        row("partial pull, XFS or btrfs", clients.chunks.total)?;
        writeln!(f, "  {:>52}  █ fetched  ░ reused", "")?;
        self.parts(f)?;
        self.files(f)?;
        self.layers(f)?;
        self.largest(f)?;
        for note in &self.notes {
            writeln!(f, "\n  note: {note}")?;
        }
        Ok(())
    }
}

impl ImageDiff {
    fn parts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Clients { files, chunks, gzip, .. } = &self.clients;
        writeln!(f, "\n  {:<34} {:>10} {:>10}", "a partial pull fetches", "any", "XFS, btrfs")?;
        for (name, any, reflinks) in [
            ("content of files", files.ranges, chunks.ranges),
            ("layers as a whole", files.whole_layers, chunks.whole_layers),
            ("TOCs and tar-splits", files.metadata, chunks.metadata),
            ("manifest, config, index", files.documents, chunks.documents),
            ("besides: multipart headers", files.overhead, chunks.overhead),
        ] {
            writeln!(f, "    {name:<32} {:>10} {:>10}", size(any), size(reflinks))?;
        }
        match gzip {
            Some(GzipUpdate { digest, origin, .. }) => {
                let origin = match origin {
                    GzipOrigin::Given => "NEW itself",
                    GzipOrigin::Index => "in the same index",
                    GzipOrigin::Source => "NEW was made from it",
                };
                writeln!(f, "  sizes as gzip: of {digest} ({origin})")
            }
            None => Ok(()),
        }
    }

    fn files(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.files;
        writeln!(
            f,
            "\n  {:<18} {:>8} {:>12} {:>10} {:>10} {:>10}",
            "in changed layers", "files", "uncompressed", "compressed", "fetched", "XFS, btrfs"
        )?;
        for (name, count) in [
            ("same content", counts.same),
            ("changed files", counts.changed),
            ("new files", counts.new),
        ] {
            let FileCount { files, size: raw, compressed, fetched, fetched_with_chunks } = count;
            let [raw, compressed, fetched, reflinks] =
                [raw, compressed, fetched, fetched_with_chunks].map(size);
            writeln!(
                f,
                "    {name:<16} {files:>8} {raw:>12} {compressed:>10} {fetched:>10} {reflinks:>10}"
            )?;
        }
        Ok(())
    }

    fn layers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n  {:<5} {:<20} {:>10} {:>10} {:>10}",
            "layer", "", "size", "fetched", "XFS, btrfs"
        )?;
        for layer in &self.layers {
            let LayerDiff { number, digest, state, reason, .. } = layer;
            let state = match state {
                LayerState::Same => "same",
                LayerState::Partial => "partial",
                LayerState::Whole => "whole",
            };
            let short = digest.hex().get(..12).unwrap_or_default();
            let [len, fetched, reflinks] =
                [layer.size, layer.fetched, layer.fetched_with_chunks].map(size);
            write!(f, "  {number:>5} {short} {state:<7} {len:>10} {fetched:>10} {reflinks:>10}")?;
            match reason {
                Some(reason) => writeln!(f, "  {}", reason.escape_debug())?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }

    fn largest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.largest.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n  {:>10} {:>10}  largest fetched files", "fetched", "XFS, btrfs")?;
        for file in self.largest.iter().take(LARGEST) {
            let state = match file.state {
                FileState::Changed => "changed",
                FileState::New => "new",
            };
            let [fetched, reflinks] = [file.fetched, file.fetched_with_chunks].map(size);
            let name = file.name.escape_debug();
            writeln!(f, "  {fetched:>10} {reflinks:>10}  {state:<7}  {name}")?;
        }
        let listed = self.largest.len().min(LARGEST) as u64;
        let all = self.files.changed.files.saturating_add(self.files.new.files);
        match all - listed.min(all) {
            0 => Ok(()),
            more => writeln!(f, "  {:>10} {:>10}  and {more} more", "", ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_to_scale() {
        for (fetched, whole, filled) in
            [(0, 100, 0), (1, 100, 1), (50, 100, 15), (100, 100, 30), (200, 100, 30), (0, 0, 0)]
        {
            let bar = bar(fetched, whole);
            assert_eq!((bar.matches('█').count(), bar.chars().count()), (filled, 30), "{fetched}");
        }
        assert_eq!(bar(u64::MAX, u64::MAX).matches('█').count(), 30);
    }
}
