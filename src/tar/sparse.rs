//! Sparse files: recognized, their maps checked, but not expanded.

use ::tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::{
    header::{Block, TarEntry, is_header_only},
    number::{InvalidNumber, decimal, numeric},
    pax::{Reason, Records, SPARSE_MAP},
};

const MAP: Reason = "invalid map of a sparse file";

/// Checks the fragments of a map: they have to be in order, without overlap, and within the file
/// (`validateSparseEntries` in tar-split `archive/tar/common.go`).
struct Fragments {
    size: i64,
    end: i64,
}

impl Fragments {
    fn of_file(entry: &TarEntry) -> Result<Self, Reason> {
        if entry.size < 0 || is_header_only(entry.typeflag) {
            return Err(MAP);
        }
        Ok(Self { size: entry.size, end: 0 })
    }

    fn push(&mut self, offset: i64, length: i64) -> Result<(), Reason> {
        let end = offset.checked_add(length).ok_or(MAP)?;
        if length < 0 || offset < self.end || end > self.size {
            return Err(MAP);
        }
        self.end = end;
        Ok(())
    }
}

/// The map of an old GNU sparse file, which continues in further blocks when the header is full
/// (`readOldGNUSparseMap` in tar-split `archive/tar/reader.go`).
pub(super) struct OldGnuMap {
    fragments: Fragments,
    is_extended: bool,
}

impl OldGnuMap {
    /// Reads the header block's part of the map and sets the entry's logical size.
    pub(super) fn from_header(block: &Block, entry: &mut TarEntry) -> Result<Self, Reason> {
        let header = Header::from_byte_slice(block).as_gnu();
        let header = header.ok_or("only GNU headers can have this sparse type")?;
        entry.size = numeric(&header.realsize).map_err(|InvalidNumber| MAP)?;
        entry.sparse = true;
        let mut map = Self { fragments: Fragments::of_file(entry)?, is_extended: false };
        map.push_all(&header.sparse, header.isextended)?;
        Ok(map)
    }

    /// Whether another block of the map follows.
    pub(super) fn is_extended(&self) -> bool {
        self.is_extended
    }

    /// Reads a further block of the map.
    pub(super) fn extend(&mut self, block: &[u8]) -> Result<(), Reason> {
        let mut header = GnuExtSparseHeader::new();
        *header.as_mut_bytes() = block.try_into().map_err(|_| MAP)?;
        self.push_all(&header.sparse, header.isextended)
    }

    /// Fragments, which an empty offset ends early, and whether the map goes on.
    fn push_all(&mut self, map: &[GnuSparseHeader], [extended]: [u8; 1]) -> Result<(), Reason> {
        for fragment in map.iter().take_while(|fragment| fragment.offset[0] != 0) {
            let number = |field: &[u8]| numeric(field).map_err(|InvalidNumber| MAP);
            self.fragments.push(number(&fragment.offset)?, number(&fragment.numbytes)?)?;
        }
        self.is_extended = extended > 0;
        Ok(())
    }
}

/// Recognises a PAX sparse file, sets its name and logical size, and checks its map if it is in the
/// records (`readGNUSparsePAXHeaders` in tar-split `archive/tar/reader.go`). The map of version 1.0
/// is at the start of the payload.
pub(super) fn apply_pax(records: &Records, entry: &mut TarEntry) -> Result<(), Reason> {
    let value = |key: &[u8]| records.get(key).map(Vec::as_slice).unwrap_or_default();
    let map = value(SPARSE_MAP);
    let map_in_payload = match (value(b"GNU.sparse.major"), value(b"GNU.sparse.minor")) {
        (b"0", b"0" | b"1") => false,
        (b"1", b"0") => true,
        (b"", b"") if !map.is_empty() => false,
        _ => return Ok(()),
    };
    entry.sparse = true;
    if let name @ [_, ..] = value(b"GNU.sparse.name") {
        entry.name = name.to_vec();
    }
    for key in [&b"GNU.sparse.size"[..], b"GNU.sparse.realsize"] {
        if let size @ [_, ..] = value(key) {
            entry.size = decimal(size).map_err(|InvalidNumber| "invalid size of a sparse file")?;
            break;
        }
    }
    let mut fragments = Fragments::of_file(entry)?;
    if map_in_payload {
        return Ok(());
    }
    let declared = decimal(value(b"GNU.sparse.numblocks")).map_err(|InvalidNumber| MAP)?;
    let mut fields = map.split(|byte| *byte == b',').filter(|_| !map.is_empty());
    let mut count = 0_i64;
    while let Some(offset) = fields.next() {
        let number = |field| decimal(field).map_err(|InvalidNumber| MAP);
        fragments.push(number(offset)?, number(fields.next().ok_or(MAP)?)?)?;
        count += 1;
    }
    if count == declared { Ok(()) } else { Err(MAP) }
}
