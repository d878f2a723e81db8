//! What is where in an archive.

use std::{
    collections::{HashMap, hash_map::Entry},
    io::{BufRead, Seek},
    ops::Range,
};

use crate::{
    store::error::ArchiveError,
    tar::{Reader, TarEntry, TarError, TarStep},
};

/// The most entries of an archive. An image that `docker save` writes in its old form has four for a
/// layer, and at most 127 layers.
const ENTRIES_MAX: usize = 1 << 16;

/// The most bytes of all names together, with the targets of links. With the entries, that makes
/// about 20 MiB of memory.
const NAMES_MAX: usize = 8 << 20;

/// Links are followed this far; those of `docker save` lead to files.
const HOPS_MAX: usize = 8;

/// Where each file of a tar archive is. Names are compared as paths: `./a//b/../c` is `a/c`.
#[derive(Debug, Default)]
pub struct ArchiveIndex {
    members: HashMap<Vec<u8>, Member>,
}

#[derive(Debug)]
enum Member {
    File(Range<u64>),
    /// The path of another member.
    Link(Vec<u8>),
    /// What it is instead.
    Odd(&'static str),
}

impl ArchiveIndex {
    /// Reads the headers of an archive of `len` bytes, and skips what is between them.
    pub fn read(archive: impl BufRead + Seek, len: u64) -> Result<Self, ArchiveError> {
        let (mut index, mut names) = (Self::default(), 0);
        let mut tar = Reader::new(archive);
        for count in 0.. {
            let TarStep::Entry(entry) = tar.next_step()? else { break };
            names += entry.name.len() + entry.link_name.len();
            if count == ENTRIES_MAX {
                return Err(ArchiveError::TooLarge { what: "entries", limit: ENTRIES_MAX as u64 });
            }
            if names > NAMES_MAX {
                let what = "bytes of names";
                return Err(ArchiveError::TooLarge { what, limit: NAMES_MAX as u64 });
            }
            let start = tar.position();
            let end = start.checked_add(entry.payload_len).filter(|end| *end <= len);
            index.add(&entry, start..end.ok_or(ArchiveError::Truncated(len))?);
            tar.skip_payload()?;
        }
        Ok(index)
    }

    /// Where the file is that `name` leads to.
    pub fn find(&self, name: &[u8]) -> Result<Option<Range<u64>>, ArchiveError> {
        let bad = |reason| {
            let name = String::from_utf8_lossy(name.get(..NAME_SHOWN).unwrap_or(name));
            ArchiveError::Entry { name: name.escape_debug().to_string(), reason }
        };
        let mut path = clean(name);
        for hop in 0..=HOPS_MAX {
            match self.members.get(&path) {
                Some(Member::File(range)) => return Ok(Some(range.clone())),
                Some(Member::Link(target)) => path.clone_from(target),
                Some(Member::Odd(reason)) => return Err(bad(reason)),
                None if hop == 0 => return Ok(None),
                None => return Err(bad("is a link to something that is not in the archive")),
            }
        }
        Err(bad("is a link in a chain or circle of links"))
    }

    fn add(&mut self, entry: &TarEntry, range: Range<u64>) {
        let path = clean(&entry.name);
        if path.starts_with(b"..") && path.get(2).is_none_or(|byte| *byte == b'/') {
            return;
        }
        let member = match entry.typeflag {
            _ if entry.sparse => Member::Odd("is a sparse file; create the archive without those"),
            b'0' | b'7' => Member::File(range),
            b'1' => Member::Link(clean(&entry.link_name)),
            b'2' => Member::Link(pointed_at(&path, &entry.link_name)),
            // Global headers and directories are not looked up.
            b'g' | b'5' => return,
            _ => Member::Odd("is not a regular file"),
        };
        match self.members.entry(path) {
            Entry::Vacant(free) => drop(free.insert(member)),
            // Some readers take the first one, others the last one.
            Entry::Occupied(mut taken) => {
                taken.insert(Member::Odd("is there more than once; create the archive again"));
            }
        }
    }
}

/// Bytes of a name in a message.
const NAME_SHOWN: usize = 200;

/// A path without the parts that lead nowhere (`path.Clean` of Go, of a path below the root). One
/// that leads out of the archive keeps its `..`; no file in it is looked up by that.
fn clean(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

/// What a symbolic link at `path` points at. An absolute one leads out of the archive.
fn pointed_at(path: &[u8], target: &[u8]) -> Vec<u8> {
    if target.starts_with(b"/") {
        return b"..".to_vec();
    }
    let folder = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    clean(&[path.get(..folder).unwrap_or_default(), target].concat())
}

impl From<TarError> for ArchiveError {
    fn from(error: TarError) -> Self {
        match error {
            TarError::Io { source, .. } => Self::Io(source),
            TarError::Truncated { position, .. } => Self::Truncated(position),
            TarError::Header { position, reason, .. }
            | TarError::OutOfTurn { position, reason } => Self::Header { position, reason },
            TarError::Limit { position, .. } => {
                Self::Header { position, reason: "extension headers are too large" }
            }
        }
    }
}

#[cfg(test)]
mod tests;
