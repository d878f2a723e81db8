//! What a map shows: a tree of directories and files with their bytes.

use std::collections::BTreeMap;

use super::Tone;
use crate::report::paths::components;

/// The directories in a path that are told apart; deeper ones are one.
const DEPTH_MAX: usize = 48;

#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Of all below, too.
    pub(crate) bytes: u64,
    pub(crate) tone: Tone,
    /// The largest first.
    pub(crate) children: Vec<Node>,
}

/// A path with the bytes that count for it: those of a file, or those in a directory outside of
/// the other directories that are given.
#[derive(Debug, Clone)]
pub(crate) struct Weight {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) tone: Tone,
}

impl Node {
    /// A tree of directories, and of some of the files in them.
    pub(crate) fn tree(
        name: impl Into<String>,
        directories: impl IntoIterator<Item = Weight>,
        files: impl IntoIterator<Item = Weight>,
    ) -> Self {
        let mut root = Growing::default();
        for Weight { path, bytes, tone } in directories {
            root.at(&path, usize::MAX).add(bytes, tone);
        }
        for Weight { path, bytes, tone } in files {
            root.file(&path, bytes, tone);
        }
        let tree = root.finish(String::new());
        // Unless it is empty, it is the chain of directories to what is listed.
        let mut name = name.into();
        if !tree.name.is_empty() {
            name = format!("{name}: {}", tree.name);
        }
        Self { name, ..tree }
    }

    /// A node with these below it, of the tone that most bytes have.
    pub(crate) fn of(name: impl Into<String>, mut children: Vec<Self>) -> Self {
        children.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        let bytes = children.iter().fold(0, |sum: u64, child| sum.saturating_add(child.bytes));
        let mut by_tone = BTreeMap::<Tone, u64>::new();
        for child in &children {
            child.count(&mut by_tone);
        }
        let tone = by_tone.into_iter().max_by_key(|(_, bytes)| *bytes);
        let tone = tone.map(|(tone, _)| tone).unwrap_or_default();
        Self { name: name.into(), bytes, tone, children }
    }

    fn count(&self, by_tone: &mut BTreeMap<Tone, u64>) {
        if self.children.is_empty() {
            let sum = by_tone.entry(self.tone).or_default();
            *sum = sum.saturating_add(self.bytes);
        }
        for child in &self.children {
            child.count(by_tone);
        }
    }
}

#[derive(Debug, Default)]
struct Growing {
    /// By tone, without what is in `below` and `files`.
    own: BTreeMap<Tone, u64>,
    below: BTreeMap<String, Growing>,
    files: Vec<Node>,
}

impl Growing {
    fn add(&mut self, bytes: u64, tone: Tone) {
        let own = self.own.entry(tone).or_default();
        *own = own.saturating_add(bytes);
    }

    /// The directory at a path, made if it is missing; only the first `known` are.
    fn at(&mut self, path: &str, known: usize) -> &mut Self {
        components(path).take(known.min(DEPTH_MAX)).fold(self, |directory, component| {
            directory.below.entry(component.to_owned()).or_default()
        })
    }

    /// A file, whose bytes count for the nearest directory already.
    fn file(&mut self, path: &str, bytes: u64, tone: Tone) {
        let mut known = 0;
        let mut directory = &*self;
        let parents = components(path).count().saturating_sub(1);
        for component in components(path).take(parents.min(DEPTH_MAX)) {
            let Some(next) = directory.below.get(component) else { break };
            (directory, known) = (next, known + 1);
        }
        let directory = self.at(path, known);
        let Some(own) = directory.own.get_mut(&tone) else { return };
        // No more than counts for the directory: all that is below a node is in its sum once.
        let bytes = bytes.min(*own);
        *own -= bytes;
        let name = components(path).skip(known).collect::<Vec<_>>().join("/");
        directory.files.push(Node { name, bytes, tone, children: Vec::new() });
    }

    fn finish(self, name: String) -> Node {
        let Self { own, below, mut files } = self;
        let single = below.len() == 1 && files.is_empty() && own.values().all(|bytes| *bytes == 0);
        let mut children: Vec<_> = below
            .into_iter()
            .map(|(component, directory)| directory.finish(component))
            .filter(|child| child.bytes > 0)
            .collect();
        if single && let Some(child) = children.pop() {
            // A chain of directories is one node.
            let joined =
                if name.is_empty() { child.name } else { format!("{name}/{}", child.name) };
            return Node { name: joined, ..child };
        }
        children.append(&mut files);
        let leaf = children.is_empty();
        let rest = own.into_iter().map(|(tone, bytes)| Node {
            name: "other files".to_owned(),
            bytes,
            tone,
            children: Vec::new(),
        });
        children.extend(rest);
        children.retain(|child| child.bytes > 0);
        let mut node = Node::of(name, children);
        if leaf && node.children.len() == 1 {
            node.children.clear();
        }
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(path: &str, bytes: u64) -> Weight {
        Weight { path: path.to_owned(), bytes, tone: Tone::Plain }
    }

    fn lines(node: &Node, depth: usize) -> Vec<String> {
        let mut all = vec![format!("{}{} {}", " ".repeat(depth), node.name, node.bytes)];
        all.extend(node.children.iter().flat_map(|child| lines(child, depth + 1)));
        all
    }

    #[test]
    fn files_count_once() {
        let directories =
            [weight("usr/lib", 100), weight("usr/lib/python", 50), weight("etc", 7), weight("", 1)];
        let files = [
            weight("./usr/lib/libc.so", 80),
            weight("/usr/lib/deep/er/x", 15),
            weight("usr/lib/python/y", 60),
            weight("nowhere/z", 9),
        ];
        let tree = Node::tree("layer 1", directories, files);
        let expected = [
            "layer 1 158",
            " usr/lib 150",
            "  libc.so 80",
            "  python 50",
            "   y 50",
            "  deep/er/x 15",
            "  other files 5",
            " etc 7",
            " nowhere/z 1",
        ];
        assert_eq!(lines(&tree, 0), expected);
        let chain =
            Node::tree("layer 2", [weight("usr/share/doc", 1), weight("usr/share/man", 2)], []);
        assert_eq!(lines(&chain, 0), ["layer 2: usr/share 3", " man 2", " doc 1"]);
    }

    #[test]
    fn depth_is_bounded() {
        let mut node =
            &Node::tree("", [weight("a/b/".repeat(1 << 16).as_str(), 1), weight("c", 1)], []);
        let mut depth = 0;
        while let Some(child) = node.children.first() {
            (node, depth) = (child, depth + 1);
        }
        assert!(depth <= DEPTH_MAX);
        assert!(node.name.len() < 4 * DEPTH_MAX);
    }

    #[test]
    fn the_tone_of_most_bytes() {
        let of = |tone, bytes| Node { bytes, tone, ..Node::default() };
        let node = Node::of("", vec![of(Tone::Strong, 3), of(Tone::Plain, 2), of(Tone::Plain, 2)]);
        assert_eq!((node.tone, node.bytes), (Tone::Plain, 7));
        let mixed = Node::of("", vec![of(Tone::Strong, 3), of(Tone::Plain, 2)]);
        let node = Node::of("", vec![mixed, of(Tone::Plain, 2)]);
        assert_eq!((node.tone, node.bytes), (Tone::Plain, 7));
    }
}
