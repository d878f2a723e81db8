//! The report of `inspect` as text.

use std::fmt;

use super::{InspectReport, InspectedLayer, Largest, TocLine};
use crate::{
    report::human::{counted, percent, size},
    resolve::ListedImage,
};

impl fmt::Display for InspectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.reference, self.digest)?;
        for ListedImage { platform, digest, marked_zstd, .. } in &self.images {
            let platform = platform.as_deref().unwrap_or("no platform");
            let marked = if *marked_zstd { ", marked as zstd" } else { "" };
            writeln!(f, "  {platform} {digest}{marked}")?;
        }
        if self.images.is_empty() && self.config_digest.is_some() {
            writeln!(f, "  {}", self.facts())?;
        }
        for layer in &self.layers {
            layer.fmt(f)?;
        }
        self.hint().map_or(Ok(()), |hint| writeln!(f, "  {hint}"))
    }
}

impl fmt::Display for InspectedLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  layer {} {}: {}", self.number, self.digest, self.format.escape_debug())?;
        write!(f, "    {}", size(self.size))?;
        if let Some(len) = self.uncompressed_size {
            write!(f, ", {} uncompressed", size(len))?;
        }
        match (self.entries, self.files) {
            (Some(entries), Some(files)) => {
                write!(f, ", {}, {}", counted(entries, "entry"), counted(files, "file"))?;
            }
            _ if self.problem.is_none() && !self.needs_download => write!(f, ", not downloaded")?,
            _ => {}
        }
        if let Some(chunks) = self.chunks {
            write!(f, ", {}", counted(chunks, "chunk"))?;
        }
        writeln!(f)?;
        if let (Some(toc), Some(tar_split)) = (self.toc_size, self.tar_split_size) {
            write!(f, "    TOC {}, tar-split {}", size(toc), size(tar_split))?;
            let holes = self.hole_size.unwrap_or_default();
            if holes > 0 {
                let share = percent(holes, self.content_size.unwrap_or_default());
                write!(f, ", holes {} ({share})", size(holes))?;
            }
            writeln!(f)?;
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
    use crate::check::TocEntry;

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
