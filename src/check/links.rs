//! Hard links: their targets, and whether their attributes are those of the target.

use std::hash::{BuildHasher as _, RandomState};

use super::{
    finding::{Findings, Rule, shown},
    toc::TocEntry,
};

/// A file's attributes, hashed. After a full pull, all names of a file have those of the last one;
/// with composefs, those of the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TocAttributes {
    /// Of mode, owner and time.
    own: u32,
    /// Of the extended attributes, 0 if there are none: a link adds its own to those of the file.
    extended: u32,
}

impl TocAttributes {
    pub(super) fn of(entry: &TocEntry, hasher: &RandomState) -> Self {
        // Half is enough, and there may be millions.
        let half = |hash: u64| u32::try_from(hash >> 32).unwrap_or_default();
        let own = hasher.hash_one((entry.mode, entry.uid, entry.gid, &entry.modified));
        let xattrs = entry.xattrs.as_ref().filter(|xattrs| !xattrs.is_empty());
        let extended = xattrs.map_or(0, |xattrs| half(hasher.hash_one(xattrs)).max(1));
        Self { own: half(own), extended }
    }
}

/// What is at the path that a hard link points to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    Nothing,
    /// A directory, device, FIFO or whiteout.
    NotAFile,
    File(TocAttributes),
}

/// Checks a hard link against its target.
pub(super) fn check(
    entry: &TocEntry,
    link: TocAttributes,
    target: Target,
    findings: &mut Findings,
) {
    let (name, target_name) = (shown(&entry.name), shown(&entry.link_name));
    let goes_up = entry.link_name.split('/').any(|part| part == "..");
    match if goes_up { Target::Nothing } else { target } {
        Target::Nothing => {
            let detail =
                format!("{name} is a hard link to {target_name}, which does not come before it");
            findings.add(Rule::LinkTarget, detail);
        }
        Target::NotAFile => {
            let detail = format!("{name} is a hard link to {target_name}, which is not a file");
            findings.add(Rule::LinkTarget, detail);
        }
        Target::File(file) => {
            let extended = link.extended == 0 || link.extended == file.extended;
            if link.own != file.own || !extended {
                let detail = format!("{name} has different attributes than {target_name}");
                findings.add(Rule::LinkAttributes, detail);
            }
        }
    }
}
