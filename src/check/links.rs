//! Hard links: where they lead, and whether they say the same as the file that they are.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
};

use super::{
    finding::{Findings, Rule, shown},
    paths::{clean, key},
    toc::TocEntry,
};

/// Files that a hard link can lead to. Takes about 50 bytes an entry.
#[derive(Debug, Default)]
pub(super) struct Links {
    files: HashMap<u128, Option<Attributes>>,
    hasher: RandomState,
}

/// A file's attributes, hashed. After a full pull all names of a file have those of the last one,
/// with composefs those of the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Attributes {
    /// Mode, owner and time.
    own: u64,
    /// Extended attributes, if there are any: a link adds its own to those of the file.
    extended: Option<u64>,
}

impl Links {
    /// Notes an entry; `not_a_file` if no hard link can lead there.
    pub(super) fn note(
        &mut self,
        path: u128,
        entry: &TocEntry,
        not_a_file: bool,
        findings: &mut Findings,
    ) {
        let own = self.hasher.hash_one((entry.mode, entry.uid, entry.gid, &entry.modified));
        let xattrs = entry.xattrs.as_ref().filter(|xattrs| !xattrs.is_empty());
        let attributes = Attributes { own, extended: xattrs.map(|all| self.hasher.hash_one(all)) };
        if entry.kind == "hardlink" {
            self.link(attributes, entry, findings);
        }
        self.files.insert(path, (!not_a_file).then_some(attributes));
    }

    fn link(&self, attributes: Attributes, entry: &TocEntry, findings: &mut Findings) {
        let (name, target) = (shown(&entry.name), shown(&entry.link_name));
        let goes_up = entry.link_name.split('/').any(|part| part == "..");
        let file = self.files.get(&key(&clean(entry.link_name.as_bytes())));
        match file.filter(|_| !goes_up) {
            None => {
                let detail =
                    format!("{name} is a hard link to {target}, which does not come before");
                findings.add(Rule::LinkTarget, detail);
            }
            Some(None) => {
                let detail = format!("{name} is a hard link to {target}, which is not a file");
                findings.add(Rule::LinkTarget, detail);
            }
            Some(Some(file)) => {
                let extended =
                    attributes.extended.is_none() || attributes.extended == file.extended;
                if attributes.own != file.own || !extended {
                    let detail = format!("{name} has other attributes than {target}");
                    findings.add(Rule::LinkAttributes, detail);
                }
            }
        }
    }
}
