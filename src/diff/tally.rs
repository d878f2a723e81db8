//! The largest files and the directories of an image, in bounded memory.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use super::report::{
    DIRECTORIES_MAX, DirectoryDiff, FILES_MAX, FileCount, FileCounts, FileDiff, FileState,
};
use crate::report::paths::{components, shortened};

/// Directories with a longer path count for the one above. In bytes.
const PATH_MAX: usize = 4096;
/// Deeper directories count for the one at this depth.
const DEPTH_MAX: usize = 6;

/// A file of a layer that is not in OLD. In bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileFacts {
    /// `None` if a layer of OLD has the same content.
    pub(super) state: Option<FileState>,
    pub(super) size: u64,
    pub(super) compressed: u64,
    pub(super) fetched: u64,
    pub(super) fetched_with_chunks: u64,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The smallest of the largest on top.
    largest: BinaryHeap<Reverse<Ranked>>,
    rest: FileCount,
    directories: BTreeMap<String, FileCounts>,
}

impl FileCount {
    fn add(&mut self, facts: &FileFacts) {
        let FileFacts { size, compressed, fetched, fetched_with_chunks, .. } = *facts;
        self.append(Self { files: 1, size, compressed, fetched, fetched_with_chunks });
    }
}

impl FileCounts {
    pub(super) fn add(&mut self, facts: &FileFacts) {
        match facts.state {
            None => self.same.add(facts),
            Some(FileState::Changed) => self.changed.add(facts),
            Some(FileState::New) => self.new.add(facts),
        }
    }
}

impl Tally {
    pub(super) fn add(&mut self, layer: u64, name: &str, facts: &FileFacts) {
        let directory = self.directory(name);
        self.directories.entry(directory).or_default().add(facts);
        let Some(state) = facts.state else { return };
        let FileFacts { size, fetched, fetched_with_chunks, .. } = *facts;
        let full = self.largest.len() >= FILES_MAX;
        let least = self.largest.peek().map_or(0, |Reverse(Ranked(file, _))| file.fetched);
        if full && fetched <= least {
            return self.rest.add(facts);
        }
        let name = shortened(name);
        let file = FileDiff { name, state, layer, size, fetched, fetched_with_chunks };
        self.largest.push(Reverse(Ranked(file, facts.compressed)));
        if let Some(Reverse(Ranked(file, compressed))) = full.then(|| self.largest.pop()).flatten()
        {
            let FileDiff { size, fetched, fetched_with_chunks, .. } = file;
            let state = Some(file.state);
            let facts = FileFacts { state, size, compressed, fetched, fetched_with_chunks };
            self.rest.add(&facts);
        }
    }

    /// The largest files, those that are not among them, and the directories.
    pub(super) fn finish(self) -> (Vec<FileDiff>, FileCount, Vec<DirectoryDiff>) {
        let largest = self.largest.into_sorted_vec().into_iter();
        let directories = self.directories.into_iter();
        (
            largest.map(|Reverse(Ranked(file, _))| file).collect(),
            self.rest,
            directories.map(|(path, files)| DirectoryDiff { path, files }).collect(),
        )
    }

    /// The directory that a file counts for: its own one, if that is listed or still can be.
    fn directory(&self, name: &str) -> String {
        let mut parts: Vec<_> = components(name).collect();
        parts.pop();
        parts.truncate(DEPTH_MAX);
        loop {
            let path = parts.join("/");
            let fits = self.directories.len() + 1 < DIRECTORIES_MAX && path.len() <= PATH_MAX;
            if parts.is_empty() || fits || self.directories.contains_key(&path) {
                return path;
            }
            parts.pop();
        }
    }
}

/// A file, and its compressed length; the one of which more is fetched is greater.
#[derive(Debug, PartialEq, Eq)]
struct Ranked(FileDiff, u64);

impl Ranked {
    fn rank(&self) -> (u64, u64, Reverse<&str>, Reverse<u64>) {
        let Self(file, _) = self;
        (file.fetched, file.size, Reverse(&file.name), Reverse(file.layer))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(fetched: u64) -> FileFacts {
        let state = Some(FileState::New);
        FileFacts { state, size: fetched, compressed: fetched, fetched, fetched_with_chunks: 1 }
    }

    #[test]
    fn the_largest_are_kept_and_the_others_summed() {
        let mut tally = Tally::default();
        let count = FILES_MAX as u64 + 500;
        for n in 0..count {
            tally.add(1, &format!("d{n}/f"), &facts(n * 7 % count));
        }
        let (largest, rest, directories) = tally.finish();
        let sizes: Vec<_> = largest.iter().map(|file| file.fetched).collect();
        assert_eq!(sizes, (500..count).rev().collect::<Vec<_>>());
        assert_eq!((rest.files, rest.fetched), (500, (0..500).sum()));
        assert_eq!(directories.len(), DIRECTORIES_MAX);
        let root = &directories[0];
        assert_eq!((root.path.as_str(), root.files.new.files), ("", 501));
    }

    #[test]
    fn names_of_any_length() {
        let mut tally = Tally::default();
        let long = format!("{}/f", "é".repeat(1 << 20));
        tally.add(1, &long, &facts(u64::MAX));
        tally.add(1, "/./a/b/c/d/e/f/g/h", &facts(u64::MAX));
        let (largest, _, directories) = tally.finish();
        assert!(largest.iter().all(|file| file.name.len() <= PATH_MAX + 3));
        let paths: Vec<_> = directories.iter().map(|directory| &directory.path[..]).collect();
        assert_eq!(paths, ["", "a/b/c/d/e/f"]);
    }
}
