//! The paths of a layer as clients create them, and what goes wrong: in a partial pull without
//! composefs (`pkg/chunked/storage_linux.go` and `filesystem_linux.go` of containers/storage), with
//! composefs (`pkg/chunked/dump/dump.go` and mkcomposefs), and in a full pull, which all others
//! have to match.

use std::{collections::HashMap, hash::RandomState};

use sha2::{Digest as _, Sha256};

use super::{
    finding::{Findings, Rule, Shown, shown},
    left_out::CheckedLeftOut,
    links::{self, Target, TocAttributes},
    spread::{PathKey, Spread},
    toc::TocEntry,
};

/// How many directories without an entry are remembered by name.
const MISSING_MAX: usize = 1000;

/// The longest path that Linux accepts in one call, in bytes (`PATH_MAX`).
const PATH_MAX: usize = 4096;

const WHITEOUT: &[u8] = b".wh.";

const OPAQUE: &[u8] = b".wh..wh..opq";

/// The paths so far. Takes about 60 bytes an entry.
#[derive(Debug, Default)]
pub(super) struct CheckedPaths {
    lowest: bool,
    seen: Spread<Seen>,
    /// Parents without an entry so far.
    missing: HashMap<PathKey, String>,
    /// Paths that whiteouts remove.
    removed: Spread<()>,
    hasher: RandomState,
    whiteouts: Whole,
    symlink_owners: Whole,
    left_out: CheckedLeftOut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Directory,
    /// What a hard link can point to.
    File(TocAttributes),
    /// A device, FIFO or whiteout.
    Other,
}

/// Something reported once a layer, with its count and the first case.
#[derive(Debug, Default)]
struct Whole {
    count: u64,
    first: Option<String>,
}

impl Whole {
    fn note(&mut self, name: Shown<&str>) {
        self.count += 1;
        self.first.get_or_insert_with(|| name.to_string());
    }

    fn tell(&self, rule: Rule, what: &str, findings: &mut Findings) {
        if let Some(first) = &self.first {
            findings.add(rule, format!("{what}: {}; the first is {first}", self.count));
        }
    }
}

/// The path below the layer's root: `a`, `/a`, `./a`, `a/` and `x/../a` are the same. A path that
/// is too long for any client is left as it is: it may have millions of parents.
pub(super) fn clean(name: &[u8]) -> Vec<&[u8]> {
    if name.len() > PATH_MAX {
        return vec![name];
    }
    let mut parts = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}

/// Whether the path goes up at all, and whether above the root.
fn goes_up(name: &[u8]) -> (bool, bool) {
    let (mut depth, mut up, mut out) = (0_i64, false, false);
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                (up, depth) = (true, depth - 1);
                out |= depth < 0;
            }
            _ => depth += 1,
        }
    }
    (up, out)
}

pub(super) fn key(parts: &[&[u8]]) -> PathKey {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let hash = hasher.finalize();
    let mut words = hash.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
    [(); 4].map(|()| words.next().unwrap_or_default())
}

impl CheckedPaths {
    pub(super) fn new(lowest: bool) -> Self {
        Self { lowest, ..Self::default() }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    pub(super) fn insert(&mut self, entry: &TocEntry, findings: &mut Findings) {
        let name = shown(entry.name.as_str());
        let raw = entry.name.as_bytes();
        let target = if entry.kind == "hardlink" { entry.link_name.len() } else { 0 };
        if raw.len().max(target) > PATH_MAX {
            findings
                .add(Rule::PathTooLong, format!("the path of {name} or of its target is too long"));
        }
        if !entry.link_name.is_empty() && !matches!(entry.kind.as_str(), "hardlink" | "symlink") {
            findings.add(Rule::LinkName, format!("{name} has a link target, but is not a link"));
        }
        let parts = clean(raw);
        let path = key(&parts);
        let is_dir = entry.kind == "dir";
        match goes_up(raw) {
            (_, true) => {
                findings
                    .add(Rule::PathLeavesRoot, format!("{name} leads out of the root directory"));
            }
            (true, false) => findings.add(Rule::PathDots, format!("{name} contains \"..\"")),
            (false, false) => {}
        }
        if !is_dir && (parts.is_empty() || raw.ends_with(b"/")) {
            let detail = format!("{name} is not a directory, but has the name of one");
            findings.add(Rule::DirectoryName, detail);
        }
        if self.seen.contains(path) {
            let detail = format!("{name} has the same path as an earlier entry");
            findings.add(Rule::DuplicatePath, detail);
        }
        if self.removed.contains(path) {
            let detail = format!("{name} has the path that a whiteout in this layer removes");
            findings.add(Rule::WhiteoutAndEntry, detail);
        }
        attributes(parts.is_empty(), entry, findings);
        self.comes_late(&parts, path, is_dir, name, findings);
        self.parents(&parts, name, findings);
        let is_whiteout = self.whiteout(&parts, entry, findings);
        let is_special = matches!(entry.kind.as_str(), "char" | "block" | "fifo");
        if is_special {
            self.special(entry, findings);
        }
        let attributes = TocAttributes::of(entry, &self.hasher);
        if entry.kind == "hardlink" {
            let target = self.seen.get(key(&clean(entry.link_name.as_bytes())));
            let target = match target {
                None => Target::Nothing,
                Some(Seen::File(attributes)) => Target::File(*attributes),
                Some(_) => Target::NotAFile,
            };
            links::check(entry, attributes, target, findings);
        }
        if entry.kind == "symlink" && (entry.uid, entry.gid) != (0, 0) {
            self.symlink_owners.note(name);
        }
        let seen = match (is_dir, is_whiteout || is_special) {
            (true, _) => Seen::Directory,
            (false, true) => Seen::Other,
            (false, false) => Seen::File(attributes),
        };
        self.seen.insert(path, seen);
    }

    /// Whether something in the directory has come before it.
    fn comes_late(
        &mut self,
        parts: &[&[u8]],
        path: PathKey,
        is_dir: bool,
        name: Shown<&str>,
        findings: &mut Findings,
    ) {
        let awaited = self.missing.remove(&path).is_some();
        if is_dir && (awaited || parts.is_empty() && !self.seen.is_empty()) {
            findings.add(Rule::LateParent, format!("{name} comes after an entry inside it"));
        } else if awaited {
            let detail = format!("{name} is not a directory, but an earlier entry is inside it");
            findings.add(Rule::BelowNonDirectory, detail);
        }
    }

    fn parents(&mut self, parts: &[&[u8]], name: Shown<&str>, findings: &mut Findings) {
        let Some((_, parents)) = parts.split_last() else { return };
        // One look is enough if the directory itself is there.
        for len in (1..=parents.len()).rev() {
            let parent = parents.get(..len).unwrap_or_default();
            let path = key(parent);
            match self.seen.get(path) {
                Some(Seen::Directory) => break,
                Some(_) => {
                    let detail = format!("{name} is below an entry that is not a directory");
                    findings.add(Rule::BelowNonDirectory, detail);
                    break;
                }
                None => {}
            }
            if self.removed.contains(path) {
                let detail =
                    format!("{name} is inside a path that a whiteout in this layer removes");
                findings.add(Rule::WhiteoutAndEntry, detail);
            }
            if self.missing.contains_key(&path) || self.missing.len() >= MISSING_MAX {
                break;
            }
            self.missing.insert(path, shown(parent.join(&b'/')).to_string());
        }
    }

    /// Whether it has the name of a whiteout.
    fn whiteout(&mut self, parts: &[&[u8]], entry: &TocEntry, findings: &mut Findings) -> bool {
        let name = shown(entry.name.as_str());
        let Some((last, parents)) = parts.split_last() else { return false };
        let Some(target) = last.strip_prefix(WHITEOUT) else { return false };
        if entry.kind != "reg" || entry.size != 0 {
            findings
                .add(Rule::WhiteoutForm, format!("{name} is a whiteout, but not an empty file"));
        }
        self.whiteouts.note(name);
        if *last == OPAQUE {
            return true;
        }
        if matches!(target, b"" | b"." | b"..") || target.starts_with(WHITEOUT) {
            findings.add(
                Rule::WhiteoutForm,
                format!("{name} is a whiteout that does not name what it removes"),
            );
            return true;
        }
        let removed = key(&[parents, &[target]].concat());
        if self.seen.contains(removed) || self.missing.contains_key(&removed) {
            let detail = format!("{name} removes the path of an earlier entry of this layer");
            findings.add(Rule::WhiteoutAndEntry, detail);
        }
        self.removed.insert(removed, ());
        true
    }

    fn special(&mut self, entry: &TocEntry, findings: &mut Findings) {
        let (name, kind) = (shown(entry.name.as_str()), entry.kind.as_str());
        if kind == "char" && (entry.dev_major, entry.dev_minor) == (0, 0) {
            findings.add(Rule::WhiteoutDevice, format!("{name} is a character device 0:0"));
        } else if self.lowest {
            self.left_out.note(&entry.name);
            findings.add(Rule::SpecialLeftOut, format!("{name} is a {kind} entry"));
        } else {
            findings.add(Rule::SpecialAbove, format!("{name} is a {kind} entry"));
        }
    }

    /// Reports what concerns the whole layer; returns what a partial pull does not create.
    pub(super) fn finish(&mut self, findings: &mut Findings) -> CheckedLeftOut {
        let mut names: Vec<_> = self.missing.drain().map(|(_, name)| name).collect();
        names.sort_unstable();
        for name in names {
            findings.add(Rule::MissingParent, format!("{name} has no entry of its own"));
        }
        self.whiteouts.tell(Rule::Whiteout, "whiteouts", findings);
        let what = "symlinks with an owner other than 0:0";
        self.symlink_owners.tell(Rule::SymlinkOwner, what, findings);
        std::mem::take(&mut self.left_out)
    }
}

/// Reports attributes that are not the same after every pull.
fn attributes(is_root: bool, entry: &TocEntry, findings: &mut Findings) {
    let name = shown(entry.name.as_str());
    // A full pull ignores this one.
    let mut keys = entry.xattrs.iter().flat_map(|xattrs| xattrs.keys().map(String::as_str));
    let ours = |key: &&str| *key != "security.selinux";
    if keys.clone().any(|key| key.starts_with("trusted.overlay.")) {
        findings.add(
            Rule::OverlayXattr,
            format!("{name} has extended attributes of overlay file systems"),
        );
    }
    let any = keys.any(|key| ours(&key));
    if entry.kind == "symlink" && any {
        findings.add(Rule::SymlinkXattr, format!("{name} is a symlink with extended attributes"));
    }
    let kind = match entry.kind.as_str() {
        "fifo" => 0o01,
        "char" => 0o02,
        "dir" => 0o04,
        "block" => 0o06,
        "symlink" => 0o12,
        _ => 0o10,
    };
    if entry.mode >> 12 != 0 && entry.mode >> 12 != kind {
        findings.add(Rule::ModeBits, format!("{name} has mode {:o}", entry.mode));
    }
    let (mode, owner) = (entry.mode & 0o7777, (entry.uid, entry.gid));
    if is_root && (any || !matches!(mode, 0o755 | 0o555) || owner != (0, 0)) {
        let (user, group) = owner;
        let detail = format!("{name} has mode {mode:04o} and owner {user}:{group}");
        findings.add(Rule::RootAttributes, detail);
    }
}

#[cfg(test)]
mod tests;
