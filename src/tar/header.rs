//! One header block, and the entry that comes out of it.

use std::{collections::BTreeMap, mem::offset_of};

use ::tar::{GnuHeader, UstarHeader};

use super::{
    number::{InvalidNumber, decimal, numeric, octal},
    pax::{Reason, Records},
    timestamp::Timestamp,
};

/// The size of a tar block in bytes.
pub(super) const BLOCK: usize = 512;

/// A header or any other block.
pub(super) type Block = [u8; BLOCK];

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// The bytes of a field, by its place in a header struct of the `tar` crate. That crate's own view
/// of a block as ustar is of no use here: it requires a version, which Go does not look at.
macro_rules! field {
    ($block:expr, $header:ident.$name:ident) => {{
        const fn len<const LEN: usize>(_: fn(&$header) -> &[u8; LEN]) -> usize {
            LEN
        }
        const START: usize = offset_of!($header, $name);
        const END: usize = START + len(|header| &header.$name);
        &$block[START..END]
    }};
}

/// A member of the archive as podman's tar reader returns it, with all extension headers applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TarEntry {
    /// The type: `b'0'` to `b'7'`, `b'S'`, `b'g'` or a vendor's letter, never `x`, `L` or `K`. The
    /// NUL of old archives becomes `b'5'` if the name ends in a slash, otherwise `b'0'`.
    pub typeflag: u8,
    /// The name, verbatim: not cleaned, perhaps not UTF-8, never with a NUL byte.
    pub name: Vec<u8>,
    /// The target of a link, verbatim; other types may have one too.
    pub link_name: Vec<u8>,
    /// The mode field: permissions, and file type bits if the header has them.
    pub mode: i64,
    pub uid: i64,
    pub gid: i64,
    /// The logical size in bytes: what the header says, even for a type without a payload (where it
    /// may be negative), and for a sparse file its size with all holes.
    pub size: i64,
    /// Length in bytes of the payload, without padding. Always 0 for the types `b'1'` to `b'6'`.
    pub payload_len: u64,
    pub modified: Timestamp,
    pub accessed: Option<Timestamp>,
    /// The time of the last status change.
    pub changed: Option<Timestamp>,
    /// Types other than devices may have a device number too.
    pub dev_major: i64,
    pub dev_minor: i64,
    /// The values of the PAX records `SCHILY.xattr.*`, by the rest of the key. Values may be empty.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Whether the payload is not the file's content but has to be expanded: type `b'S'`, or PAX
    /// records `GNU.sparse.*` of version 0.0, 0.1 or 1.0.
    pub sparse: bool,
}

/// The format of a header block, by its magic numbers (`GetFormat` in tar-split
/// `archive/tar/format.go`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    V7,
    /// ustar and PAX.
    Ustar,
    Star,
    Gnu,
}

impl Dialect {
    fn of(block: &Block) -> Self {
        match (field!(block, UstarHeader.magic), field!(block, UstarHeader.version)) {
            (b"ustar\0", _) if field!(block, UstarHeader.pad).ends_with(b"tar\0") => Self::Star,
            (b"ustar\0", _) => Self::Ustar,
            (b"ustar ", b" \0") => Self::Gnu,
            _ => Self::V7,
        }
    }
}

/// Whether the checksum is right: the sum of all bytes, with spaces in its own field. Sun's tar
/// summed signed bytes, so that is accepted too.
fn checksum_matches(block: &Block) -> bool {
    let field = field!(block, UstarHeader.cksum);
    let Ok(checksum) = octal(field) else { return false };
    let sum = |value: fn(u8) -> i32| {
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| value(*byte)).sum::<i32>();
        i64::from(sum(block) - sum(field) + sum(&[b' '; 8]))
    };
    checksum == sum(i32::from) || checksum == sum(|byte| i32::from(byte.cast_signed()))
}

/// The text of a field: everything before the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Whether entries of this type have no payload, whatever their size is.
pub(super) fn is_header_only(typeflag: u8) -> bool {
    matches!(typeflag, b'1'..=b'6')
}

impl TarEntry {
    /// Reads a header block other than one of zeros (`readHeader` in tar-split
    /// `archive/tar/reader.go`). The payload's length is not set yet.
    pub(super) fn from_block(block: &Block) -> Result<Self, Reason> {
        if !checksum_matches(block) {
            return Err("wrong checksum");
        }
        let number = |field: &[u8]| numeric(field).map_err(|InvalidNumber| "invalid number");
        let time = |field: &[u8]| number(field).map(Timestamp::from_seconds);
        let mut entry = Self {
            typeflag: block[offset_of!(UstarHeader, typeflag)],
            name: text(field!(block, UstarHeader.name)).to_vec(),
            mode: number(field!(block, UstarHeader.mode))?,
            uid: number(field!(block, UstarHeader.uid))?,
            gid: number(field!(block, UstarHeader.gid))?,
            size: number(field!(block, UstarHeader.size))?,
            modified: time(field!(block, UstarHeader.mtime))?,
            link_name: text(field!(block, UstarHeader.linkname)).to_vec(),
            ..Self::default()
        };
        let dialect = Dialect::of(block);
        if dialect == Dialect::V7 {
            return Ok(entry);
        }
        entry.dev_major = number(field!(block, UstarHeader.dev_major))?;
        entry.dev_minor = number(field!(block, UstarHeader.dev_minor))?;
        let prefix = field!(block, UstarHeader.prefix);
        let prefix = match dialect {
            Dialect::V7 => b"",
            Dialect::Ustar => text(prefix),
            Dialect::Star => {
                // A shorter prefix, and two times behind it.
                let (prefix, times) = prefix.split_at(131);
                let (accessed, changed) = times.split_at(12);
                entry.accessed = Some(time(accessed)?);
                entry.changed = Some(time(changed)?);
                text(prefix)
            }
            Dialect::Gnu => entry.set_gnu_times(block),
        };
        if !prefix.is_empty() {
            entry.name = [prefix, b"/", &entry.name].concat();
        }
        Ok(entry)
    }

    /// Reads the times of a GNU header, each of which is present only if the first byte of its
    /// field is set, and returns the prefix of the name. GNU headers have none, but Go before 1.8
    /// wrote one over the times: ASCII that does not parse as times is taken for it.
    fn set_gnu_times<'a>(&mut self, block: &'a Block) -> &'a [u8] {
        let time = |field: &[u8]| match field.first() {
            Some(0) => Ok(None),
            _ => numeric(field).map(|seconds| Some(Timestamp::from_seconds(seconds))),
        };
        let (accessed, changed) = (field!(block, GnuHeader.atime), field!(block, GnuHeader.ctime));
        if let (Ok(accessed), Ok(changed)) = (time(accessed), time(changed)) {
            (self.accessed, self.changed) = (accessed, changed);
            return b"";
        }
        let prefix = text(field!(block, UstarHeader.prefix));
        if prefix.is_ascii() { prefix } else { b"" }
    }

    /// Applies the records of an extended header; an empty value leaves the field as it is
    /// (`mergePAX` in tar-split `archive/tar/reader.go`).
    pub(super) fn apply(&mut self, records: &mut Records) -> Result<(), Reason> {
        let time = |value: &[u8]| {
            Timestamp::from_pax(value).map_err(|InvalidNumber| "invalid time in a PAX record")
        };
        let number =
            |value: &[u8]| decimal(value).map_err(|InvalidNumber| "invalid number in a PAX record");
        for (key, value) in records.iter().filter(|(_, value)| !value.is_empty()) {
            match key.as_slice() {
                b"path" => self.name.clone_from(value),
                b"linkpath" => self.link_name.clone_from(value),
                b"uid" => self.uid = number(value)?,
                b"gid" => self.gid = number(value)?,
                b"size" => self.size = number(value)?,
                b"mtime" => self.modified = time(value)?,
                b"atime" => self.accessed = Some(time(value)?),
                b"ctime" => self.changed = Some(time(value)?),
                _ => {}
            }
        }
        // Unlike the fields above, attributes may have an empty value: containers/storage reads
        // them from the records themselves.
        self.xattrs = records
            .iter_mut()
            .filter_map(|(key, value)| {
                key.strip_prefix(XATTR_PREFIX).map(|name| (name.to_vec(), std::mem::take(value)))
            })
            .collect();
        Ok(())
    }
}
