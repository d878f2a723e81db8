//! The report of `diff` as text.

use std::fmt;

use super::{
    Clients, DiffReport, DiffSide, FileCount, ImageDiff, LayerDiff, ONLY_NEW, ONLY_OLD, Outlook,
    SkippedPlatform, outlook::short,
};
use crate::report::human::{count, percent, size, wrapped};

/// Characters of a bar.
const BAR: u64 = 24;
/// How many of the largest files are named.
const LARGEST: usize = 15;
/// Characters of a line, unless a name is longer.
const WIDTH: usize = 80;

impl fmt::Display for DiffReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, DiffSide { reference, digest, .. }) in [("old", &self.old), ("new", &self.new)] {
            write!(f, "{name}: {reference}")?;
            if !reference.ends_with(digest.as_str()) {
                write!(f, " ({})", short(digest))?;
            }
            writeln!(f)?;
        }
        match self.images.as_slice() {
            [image] => {
                if let Some(platform) = &image.platform {
                    writeln!(f, "platform: {platform}")?;
                }
                writeln!(f)?;
                if let Some(lead) = self.lead().filter(|_| image.outlook() != Outlook::Update) {
                    paragraph(f, "  ", &lead)?;
                }
                image.fmt(f)?;
            }
            images => table(f, images)?,
        }
        for SkippedPlatform { platform, reason } in &self.skipped {
            let is_short = [ONLY_OLD, ONLY_NEW].contains(&reason.as_str());
            let not = if is_short { "" } else { "not compared: " };
            paragraph(f, "  ", &format!("{platform}: {not}{reason}"))?;
        }
        Ok(())
    }
}

/// A text in lines that are not too long.
fn paragraph(f: &mut fmt::Formatter<'_>, indent: &str, text: &str) -> fmt::Result {
    for line in wrapped(text, WIDTH - indent.len()) {
        writeln!(f, "{indent}{line}")?;
    }
    Ok(())
}

/// A line for each platform.
fn table(f: &mut fmt::Formatter<'_>, images: &[ImageDiff]) -> fmt::Result {
    writeln!(
        f,
        "\n  {:<14} {:>10} {:>10} {:>14} {:>26}",
        "", "NEW as", "changed", "changed layers", "partial pull,"
    )?;
    writeln!(
        f,
        "  {:<14} {:>10} {:>10} {:>14} {:>15} {:>10}",
        "platform", "a whole", "as gzip", "not partially", "any file system", "XFS, btrfs"
    )?;
    for image in images {
        let Clients { files, chunks, layers, gzip } = &image.clients;
        let platform = image.platform.as_deref().unwrap_or("no platform");
        let gzip = gzip.as_ref().map_or_else(|| "unknown".to_owned(), |gzip| size(gzip.total));
        let [whole, layers, files, chunks] =
            [image.whole(), layers.total, files.total, chunks.total].map(size);
        writeln!(
            f,
            "  {platform:<14} {whole:>10} {gzip:>10} {layers:>14} {files:>15} {chunks:>10}"
        )?;
        let notes = image.notes.iter().filter(|note| note.contains("no TOC")).map(String::as_str);
        for note in notes.chain(image.brief()) {
            paragraph(f, "    ", note)?;
        }
    }
    match images.first().and_then(|image| image.platform.as_ref()) {
        Some(first) => writeln!(f, "\n  Add --platform {first} to see layers and files."),
        None => Ok(()),
    }
}

/// What is fetched and what is reused of all that there is, to the scale of the `widest`.
fn bar(fetched: u64, all: u64, widest: u64) -> String {
    let cells = |bytes: u64| {
        let part = u128::from(bytes) * u128::from(BAR);
        let cells = part.div_ceil(u128::from(widest.max(1))).min(u128::from(BAR));
        usize::try_from(cells).unwrap_or_default()
    };
    // Less than half a per cent is said to be none.
    let is_some = u128::from(fetched) * 200 >= u128::from(all);
    let filled = if is_some { cells(fetched) } else { 0 };
    "█".repeat(filled) + &"░".repeat(cells(all).saturating_sub(filled))
}

impl fmt::Display for ImageDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outlook = self.outlook();
        if outlook == Outlook::Same {
            return Ok(());
        }
        if outlook == Outlook::Whole {
            self.layers(f)?;
        } else {
            if outlook == Outlook::FirstPull {
                writeln!(f)?;
            }
            self.clients(f)?;
            self.part_lines(f)?;
            self.files(f)?;
            self.layers(f)?;
            self.largest(f)?;
        }
        for note in &self.notes {
            writeln!(f)?;
            paragraph(f, "  ", &format!("note: {note}"))?;
        }
        Ok(())
    }
}

impl ImageDiff {
    fn clients(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Clients { files, chunks, layers, gzip } = &self.clients;
        let whole = self.whole();
        let of_gzip = gzip.as_ref().map_or(0, |gzip| gzip.whole().max(gzip.total));
        let widest = whole.max(of_gzip);
        let mut row = |client: &str, fetched: u64, all| {
            let (bar, share) = (bar(fetched, all, widest), percent(fetched, whole));
            writeln!(f, "  {client:<34} {:>10} {share:>6}  {bar}", size(fetched))
        };
        row("NEW as a whole", whole, whole)?;
        if let Some(gzip) = gzip {
            row("changed layers as gzip", gzip.total, of_gzip)?;
        }
        row("changed layers, no partial pulls", layers.total, whole)?;
        row("partial pull, any file system", files.total, whole)?;
        row("partial pull, XFS or btrfs", chunks.total, whole)?;
        writeln!(f, "  {:>52}  █ fetched  ░ reused", "")?;
        match gzip {
            Some(gzip) => writeln!(f, "  {}", gzip.origin()),
            None => Ok(()),
        }
    }

    fn part_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n  {:<34} {:>15} {:>12}",
            "a partial pull fetches", "any file system", "XFS, btrfs"
        )?;
        for (name, any, reflinks) in self.parts().into_iter().filter(|(name, ..)| *name != "total")
        {
            writeln!(f, "    {name:<32} {:>15} {:>12}", size(any), size(reflinks))?;
        }
        Ok(())
    }

    fn files(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = self.counted();
        if counted.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\n  {:<21} {:>9} {:>12} {:>10} {:>10} {:>10}",
            "in changed layers", "files", "uncompressed", "compressed", "fetched", "XFS, btrfs"
        )?;
        for (name, FileCount { files, size: raw, compressed, fetched, fetched_with_chunks }) in
            counted
        {
            let [raw, compressed, fetched, reflinks] =
                [raw, compressed, fetched, fetched_with_chunks].map(size);
            let files = count(files);
            writeln!(
                f,
                "    {name:<19} {files:>9} {raw:>12} {compressed:>10} {fetched:>10} {reflinks:>10}"
            )?;
        }
        Ok(())
    }

    fn layers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.layers.is_empty() {
            return Ok(());
        }
        let reflinks = |text: &str| match self.outlook() {
            Outlook::Whole => String::new(),
            _ => format!(" {text:>10}"),
        };
        let heading = reflinks("XFS, btrfs");
        writeln!(f, "\n  {:<5} {:<20} {:>10} {:>10}{heading}", "layer", "", "size", "fetched")?;
        for layer in &self.layers {
            let LayerDiff { number, digest, .. } = layer;
            let (hex, state) = (digest.hex().get(..12).unwrap_or_default(), self.state(layer));
            let (len, fetched) = (size(layer.size), size(layer.fetched));
            let reflinks = reflinks(&size(layer.fetched_with_chunks));
            writeln!(f, "  {number:>5} {hex} {state:<7} {len:>10} {fetched:>10}{reflinks}")?;
            if let Some(reason) = self.reason(layer) {
                paragraph(f, "        ", &reason.escape_debug().to_string())?;
            }
        }
        Ok(())
    }

    fn largest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.largest.is_empty() {
            return Ok(());
        }
        let is_first = self.outlook() == Outlook::FirstPull;
        let title = if is_first { "largest files" } else { "largest fetched files" };
        writeln!(f, "\n  {:>10} {:>10}  {title}", "fetched", "XFS, btrfs")?;
        for file in self.largest.iter().take(LARGEST) {
            let state =
                if is_first { String::new() } else { format!("{:<7}  ", file.state.as_str()) };
            let [fetched, reflinks] = [file.fetched, file.fetched_with_chunks].map(size);
            let name = file.name.escape_debug();
            writeln!(f, "  {fetched:>10} {reflinks:>10}  {state}{name}")?;
        }
        let listed = self.largest.len().min(LARGEST) as u64;
        let all = self.files.changed.files.saturating_add(self.files.new.files);
        match all.saturating_sub(listed) {
            0 => Ok(()),
            more => writeln!(f, "  {:>10} {:>10}  and {} more", "", "", count(more)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_to_scale() {
        for (fetched, all, widest, filled, reused) in [
            (0, 100, 100, 0, 24),
            (1, 100, 100, 1, 23),
            // Said to be 0 %.
            (1, 1000, 1000, 0, 24),
            (50, 100, 100, 12, 12),
            (25, 50, 100, 6, 6),
            (100, 100, 100, 24, 0),
            (200, 100, 100, 24, 0),
            (0, 0, 0, 0, 0),
            (u64::MAX, u64::MAX, u64::MAX, 24, 0),
        ] {
            let bar = bar(fetched, all, widest);
            let cells = |cell| bar.chars().filter(|other| *other == cell).count();
            assert_eq!((cells('█'), cells('░')), (filled, reused), "{fetched} of {all}");
        }
    }
}
