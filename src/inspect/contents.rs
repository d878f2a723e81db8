//! What is in a layer, by directory. However many files and directories there are, few are kept.

use std::collections::BTreeMap;

use super::report::Largest;
use crate::report::paths::components;

/// Directories that are told apart, at the end and meanwhile; each takes up to 600 bytes.
const DIRECTORIES_MAX: usize = 500;
const DIRECTORIES_MEANWHILE: usize = 8 * DIRECTORIES_MAX;
/// Longer paths count for a directory above.
const PATH_MAX: usize = 512;
const LARGEST: usize = 200;
/// An image with more layers keeps less of each, so that it takes no more memory.
const LAYERS: usize = 64;
/// Characters of a file's name.
const NAME_MAX: usize = 1000;

#[derive(Debug, Clone, Default)]
pub(crate) struct Contents {
    /// By path, without slashes at either end. The files of directories that are not listed count
    /// for the one above.
    pub(crate) directories: BTreeMap<String, Files>,
    /// The largest first.
    pub(crate) largest: Vec<Largest>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

impl Contents {
    pub(super) fn add(&mut self, name: &str, bytes: u64) {
        self.count(directory(name), Files { count: 1, bytes });
        if self.directories.len() > DIRECTORIES_MEANWHILE {
            self.shrink(DIRECTORIES_MEANWHILE / 2);
        }
        if self.largest.len() < LARGEST || self.largest.last().is_some_and(|last| last.size < bytes)
        {
            let name = name.chars().take(NAME_MAX).collect();
            let at = self.largest.partition_point(|other| other.size >= bytes);
            self.largest.insert(at, Largest { name, size: bytes });
            self.largest.truncate(LARGEST);
        }
    }

    pub(super) fn finish(&mut self) {
        self.shrink(DIRECTORIES_MAX);
    }

    /// Keeps what there is room for if the image has so many `layers`.
    pub(super) fn share(&mut self, layers: usize) {
        let part = |of: usize| (of * LAYERS / layers.max(1)).min(of);
        self.shrink(part(DIRECTORIES_MAX).max(1));
        self.largest.truncate(part(LARGEST));
        self.largest.shrink_to_fit();
    }

    fn count(&mut self, directory: String, more: Files) {
        let files = self.directories.entry(directory).or_default();
        files.count = files.count.saturating_add(more.count);
        // A TOC may claim anything.
        files.bytes = files.bytes.saturating_add(more.bytes);
    }

    /// Counts the smallest directories for those above them until only `max` are left.
    fn shrink(&mut self, max: usize) {
        while self.directories.len() > max {
            let mut paths: Vec<_> =
                self.directories.iter().map(|(path, files)| (files.bytes, path)).collect();
            paths.retain(|(_, path)| !path.is_empty());
            paths.sort_unstable();
            paths.truncate(self.directories.len() - max);
            let paths: Vec<_> = paths.into_iter().map(|(_, path)| path.clone()).collect();
            for path in paths {
                let files = self.directories.remove(&path).unwrap_or_default();
                let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                self.count(parent.to_owned(), files);
            }
        }
    }
}

/// Of a file.
fn directory(name: &str) -> String {
    let mut components = components(name);
    components.next_back();
    let mut path = String::new();
    for component in components {
        if path.len() + component.len() >= PATH_MAX {
            break;
        }
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(component);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_for_their_directory() {
        let mut contents = Contents::default();
        for (name, bytes) in [("./usr/lib/a", 5), ("/usr/lib/b", 7), ("usr//bin/./c", 1), ("d", 2)]
        {
            contents.add(name, bytes);
        }
        contents.finish();
        let sums: Vec<_> =
            contents.directories.iter().map(|(path, files)| (path.as_str(), files.bytes)).collect();
        assert_eq!(sums, [("", 2), ("usr/bin", 1), ("usr/lib", 12)]);
        let names: Vec<_> = contents.largest.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["/usr/lib/b", "./usr/lib/a", "d", "usr//bin/./c"]);
    }

    #[test]
    fn few_are_kept_and_all_are_counted() {
        let mut contents = Contents::default();
        for n in 0..20_000_u64 {
            contents.add(&format!("{}/{}/{n}/{}", n % 10, n % 300, "x".repeat(600)), n);
            contents.add(&format!("large/{}", n % 3), u64::from(n < 3) << 40);
            assert!(contents.directories.len() <= DIRECTORIES_MEANWHILE);
        }
        contents.finish();
        assert!(contents.directories.len() <= DIRECTORIES_MAX);
        assert_eq!(contents.directories["large"].bytes, 3 << 40);
        let (count, bytes) = contents
            .directories
            .values()
            .fold((0, 0), |(count, bytes), files| (count + files.count, bytes + files.bytes));
        assert_eq!((count, bytes), (40_000, (3 << 40) + 19_999 * 20_000 / 2));
        assert_eq!(contents.largest.len(), LARGEST);
        contents.add("huge/x", u64::MAX);
        contents.add("huge/x", u64::MAX);
        assert_eq!(contents.directories["huge"].bytes, u64::MAX);
    }

    #[test]
    fn of_many_layers_less_is_kept() {
        let mut contents = Contents::default();
        for n in 0..1000 {
            contents.add(&format!("d{n}/f"), n);
        }
        contents.finish();
        for (layers, directories, largest) in
            [(1, 500, 200), (64, 500, 200), (640, 50, 20), (100_000, 1, 0)]
        {
            let mut contents = contents.clone();
            contents.share(layers);
            assert_eq!(
                (contents.directories.len(), contents.largest.len()),
                (directories, largest)
            );
            let counted = contents.directories.values().fold(0, |sum, files| sum + files.count);
            assert_eq!(counted, 1000, "{layers}");
        }
    }

    #[test]
    fn long_and_deep_paths_are_cut() {
        let mut contents = Contents::default();
        contents.add(&"a/".repeat(1 << 20), 1);
        contents.add(&"b".repeat(1 << 20), 1);
        assert!(contents.directories.keys().all(|path| path.len() <= PATH_MAX));
        assert!(contents.largest.iter().all(|file| file.name.len() <= NAME_MAX));
    }
}
