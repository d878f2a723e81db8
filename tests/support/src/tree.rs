//! A file tree as podman unpacked it, and the differences between two.

use std::collections::BTreeMap;

use serde_json::Value;

/// What a comparison may expect of podman.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Both trees were unpacked from whole layers.
    Everything,
    /// One was put together from files. containers/storage (`pkg/chunked/filesystem_linux.go`)
    /// then leaves out devices and fifos, gives symlinks no owner, and sets times of regular
    /// files only; those before 1970 it keeps, and a full pull does not. It gives the root the
    /// mode of its entry, where a full pull leaves 0555.
    PartialPull,
    /// One was put together by mkcomposefs (`pkg/chunked/dump/dump.go`). The kernel shows the mode
    /// that a symlink has in the tar; names of one file are counted by their spelling, so their
    /// number may be wrong; `SELinux` labels are kept, and a full pull leaves them out.
    Composefs,
}

/// What `list_tree.py` printed, by path.
#[derive(Debug)]
pub struct Tree(BTreeMap<String, Value>);

impl Tree {
    /// Reads the JSON lines of `list_tree.py`.
    pub fn parse(lines: &[u8]) -> Self {
        let entries = serde_json::Deserializer::from_slice(lines).into_iter::<Value>();
        let named = entries.map(|entry| {
            let entry = entry.unwrap();
            (entry["path"].as_str().unwrap().to_owned(), entry)
        });
        Self(named.collect())
    }

    /// What was listed for one path.
    pub fn get(&self, path: &str) -> &Value {
        self.0.get(path).unwrap_or_else(|| panic!("{path} is not in the tree"))
    }

    /// The kinds that occur, each with its number.
    pub fn kinds(&self) -> BTreeMap<&str, usize> {
        let mut kinds = BTreeMap::new();
        for entry in self.0.values() {
            *kinds.entry(entry["kind"].as_str().unwrap()).or_default() += 1;
        }
        kinds
    }

    /// The first differences, if `other` is not the same tree.
    pub fn differences(&self, other: &Self, compare: Compare, what: &str) -> Option<String> {
        let (mine, theirs) = (self.comparable(compare), other.comparable(compare));
        let paths = mine.keys().chain(theirs.keys().filter(|path| !mine.contains_key(*path)));
        let differences: Vec<_> = paths
            .filter(|path| mine.get(*path) != theirs.get(*path))
            .map(|path| format!("- {:?}\n+ {:?}", mine.get(path), theirs.get(path)))
            .collect();
        let shown = differences.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
        let count = differences.len();
        (count > 0).then(|| format!("{what}: {count} differences:\n{shown}"))
    }

    /// Fails with the first differences if `other` is not the same tree.
    pub fn assert_same(&self, other: &Self, compare: Compare, what: &str) {
        if let Some(differences) = self.differences(other, compare, what) {
            panic!("{differences}");
        }
    }

    fn comparable(&self, compare: Compare) -> BTreeMap<&str, Value> {
        let partial = compare == Compare::PartialPull;
        let composefs = compare == Compare::Composefs;
        let special = |entry: &Value| {
            matches!(entry["kind"].as_str().unwrap(), "char" | "block" | "fifo" | "socket")
        };
        let entries = self.0.iter().filter(|(_, entry)| !(partial && special(entry)));
        entries
            .map(|(path, entry)| {
                let mut entry = entry.clone();
                // The root itself is in no layer: it was made when it was unpacked.
                if path == "." || partial && entry["kind"] != "file" {
                    entry["mtime_ns"].take();
                }
                if partial && entry["kind"] == "symlink" {
                    entry["owner"].take();
                }
                if composefs {
                    if entry["kind"] == "symlink" {
                        entry["mode"].take();
                    }
                    entry["same_as"].take();
                    if let Some(xattrs) = entry["xattrs"].as_object_mut() {
                        xattrs.remove("security.selinux");
                    }
                }
                if partial || composefs {
                    let root =
                        path == "." && [0o755, 0o555].map(Value::from).contains(&entry["mode"]);
                    if root {
                        entry["mode"].take();
                    }
                    if entry["mtime_ns"].as_i64().is_some_and(|time| time < 0) {
                        entry["mtime_ns"] = 0.into();
                    }
                }
                (path.as_str(), entry)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(mtime: u32, content: &str, rest: &str) -> Tree {
        let lines = format!(
            r#"{{"path": ".", "kind": "dir", "mtime_ns": {mtime}}}
               {{"path": "a", "kind": "dir", "mtime_ns": {mtime}}}
               {{"path": "a/b", "kind": "file", "mtime_ns": 5, "content": "{content}"}}{rest}"#
        );
        Tree::parse(lines.as_bytes())
    }

    #[test]
    fn a_partial_pull_may_lose_devices_and_times_of_directories() {
        let device = r#"{"path": "c", "kind": "char"}"#;
        tree(1, "x", device).assert_same(&tree(2, "x", ""), Compare::PartialPull, "");
    }

    #[test]
    #[should_panic(expected = "1 differences")]
    fn a_classic_pull_keeps_times_of_directories() {
        tree(1, "x", "").assert_same(&tree(2, "x", ""), Compare::Everything, "");
    }

    #[test]
    #[should_panic(expected = "1 differences")]
    fn contents_have_to_agree() {
        tree(1, "x", "").assert_same(&tree(1, "y", ""), Compare::PartialPull, "");
    }

    #[test]
    #[should_panic(expected = "1 differences")]
    fn a_file_too_many_is_a_difference() {
        let more = r#"{"path": "d", "kind": "file"}"#;
        tree(1, "x", "").assert_same(&tree(1, "x", more), Compare::PartialPull, "");
    }
}
