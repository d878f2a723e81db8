//! Tar archives of every dialect, including broken ones.

use std::fmt::Write as _;

/// A header format that [`HeaderBlock`] can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Before ustar: no magic, no prefix, no devices.
    V7,
    /// POSIX ustar, also the basis of PAX.
    Ustar,
    /// Schily's star.
    Star,
    /// GNU.
    Gnu,
}

/// A header block in the making. Its checksum is computed when it is taken out.
#[derive(Debug, Clone)]
pub struct HeaderBlock {
    bytes: [u8; 512],
}

impl HeaderBlock {
    /// A header with mode 0644 and zeros elsewhere. A name that is too long for its field is cut.
    pub fn new(dialect: Dialect, typeflag: u8, name: &[u8]) -> Self {
        let mut block = Self { bytes: [0; 512] };
        let magic: &[u8] = match dialect {
            Dialect::V7 => b"",
            Dialect::Ustar | Dialect::Star => b"ustar\x0000",
            Dialect::Gnu => b"ustar  \0",
        };
        block = block.field(257, magic);
        if dialect == Dialect::Star {
            block = block.field(508, b"tar\0");
        }
        block.field(156, &[typeflag]).field(0, name.get(..100).unwrap_or(name)).mode(0o644).size(0)
    }

    /// A header to be changed, its checksum included.
    pub fn from_bytes(bytes: [u8; 512]) -> Self {
        Self { bytes }
    }

    /// Overwrites bytes, as far as they are within the block.
    #[must_use]
    pub fn field(mut self, offset: usize, bytes: &[u8]) -> Self {
        for (target, byte) in self.bytes.iter_mut().skip(offset).zip(bytes) {
            *target = *byte;
        }
        self
    }

    /// Writes a number, in octal if it fits into the field and in base-256 otherwise.
    #[must_use]
    pub fn number(self, offset: usize, len: usize, value: i64) -> Self {
        let octal = format!("{value:0width$o}\0", width = len - 1);
        if value >= 0 && octal.len() == len {
            return self.field(offset, octal.as_bytes());
        }
        let fill = if value < 0 { 0xff } else { 0 };
        let mut bytes = vec![fill; len.saturating_sub(8)];
        bytes.extend_from_slice(
            value.to_be_bytes().get(8_usize.saturating_sub(len)..).unwrap_or(&[]),
        );
        if let Some(first) = bytes.first_mut() {
            *first |= 0x80;
        }
        self.field(offset, &bytes)
    }

    /// Sets the permissions.
    #[must_use]
    pub fn mode(self, mode: i64) -> Self {
        self.number(100, 8, mode)
    }

    /// Sets user and group.
    #[must_use]
    pub fn owner(self, uid: i64, gid: i64) -> Self {
        self.number(108, 8, uid).number(116, 8, gid)
    }

    /// Sets the size.
    #[must_use]
    pub fn size(self, size: i64) -> Self {
        self.number(124, 12, size)
    }

    /// Sets the modification time in seconds.
    #[must_use]
    pub fn modified(self, seconds: i64) -> Self {
        self.number(136, 12, seconds)
    }

    /// Sets the target of a link.
    #[must_use]
    pub fn link_name(self, name: &[u8]) -> Self {
        self.field(157, name.get(..100).unwrap_or(name))
    }

    /// Sets the device numbers; v7 has none.
    #[must_use]
    pub fn device(self, major: i64, minor: i64) -> Self {
        self.number(329, 8, major).number(337, 8, minor)
    }

    /// Sets the field that ustar and star put in front of the name.
    #[must_use]
    pub fn prefix(self, prefix: &[u8]) -> Self {
        self.field(345, prefix)
    }

    /// The block with the usual checksum, over unsigned bytes.
    pub fn finish(self) -> [u8; 512] {
        let sum = self.checksum(i64::from);
        self.with_checksum(sum)
    }

    /// The block with the checksum over signed bytes, as Sun's tar wrote it.
    pub fn finish_signed(self) -> [u8; 512] {
        let sum = self.checksum(|byte| i64::from(byte.cast_signed()));
        self.with_checksum(sum)
    }

    /// The block with any checksum.
    pub fn with_checksum(self, sum: i64) -> [u8; 512] {
        self.number(148, 7, sum).field(155, b" ").bytes
    }

    fn checksum(&self, value: impl Fn(u8) -> i64) -> i64 {
        self.clone().field(148, b"        ").bytes.iter().map(|byte| value(*byte)).sum()
    }
}

/// Puts an archive together, block by block.
#[derive(Debug, Clone, Default)]
pub struct TarBuilder {
    bytes: Vec<u8>,
}

impl TarBuilder {
    /// An archive with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds any bytes.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Adds a header with its checksum.
    #[must_use]
    pub fn header(self, header: HeaderBlock) -> Self {
        self.raw(&header.finish())
    }

    /// Adds payload and pads it to the next block.
    #[must_use]
    pub fn payload(self, payload: &[u8]) -> Self {
        let padding = payload.len().next_multiple_of(512) - payload.len();
        self.raw(payload).zeros(padding)
    }

    /// Adds zero bytes.
    #[must_use]
    pub fn zeros(mut self, count: usize) -> Self {
        self.bytes.resize(self.bytes.len() + count, 0);
        self
    }

    /// Adds a regular file.
    #[must_use]
    pub fn file(self, dialect: Dialect, name: &[u8], payload: &[u8]) -> Self {
        self.sized(HeaderBlock::new(dialect, b'0', name), payload)
    }

    /// Adds a header with the size of the payload, and the payload.
    #[must_use]
    pub fn sized(self, header: HeaderBlock, payload: &[u8]) -> Self {
        let size = i64::try_from(payload.len()).unwrap_or(i64::MAX);
        self.header(header.size(size)).payload(payload)
    }

    /// Adds an extended header for the next entry.
    #[must_use]
    pub fn pax(self, records: &[(&[u8], &[u8])]) -> Self {
        self.extended(b'x', records)
    }

    /// Adds an extended header for all entries that follow.
    #[must_use]
    pub fn pax_global(self, records: &[(&[u8], &[u8])]) -> Self {
        self.extended(b'g', records)
    }

    fn extended(self, typeflag: u8, records: &[(&[u8], &[u8])]) -> Self {
        let body: Vec<u8> =
            records.iter().flat_map(|(key, value)| pax_record(key, value)).collect();
        self.sized(HeaderBlock::new(Dialect::Ustar, typeflag, b"PaxHeaders/next"), &body)
    }

    /// Adds a GNU long name for the next entry.
    #[must_use]
    pub fn long_name(self, name: &[u8]) -> Self {
        let body = [name, b"\0"].concat();
        self.sized(HeaderBlock::new(Dialect::Gnu, b'L', b"././@LongLink"), &body)
    }

    /// Adds a GNU long link target for the next entry.
    #[must_use]
    pub fn long_link(self, name: &[u8]) -> Self {
        let body = [name, b"\0"].concat();
        self.sized(HeaderBlock::new(Dialect::Gnu, b'K', b"././@LongLink"), &body)
    }

    /// Adds the two blocks that end an archive.
    #[must_use]
    pub fn end(self) -> Self {
        self.zeros(1024)
    }

    /// The archive.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// One PAX record, with its length in front.
pub fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let content = key.len() + value.len() + 3;
    let mut length = content;
    let mut digits = String::new();
    // Adding the digits may make the number longer, so this takes up to three rounds.
    while length != content + digits.len() || digits.is_empty() {
        length = content + digits.len();
        digits.clear();
        let _ = write!(digits, "{length}");
    }
    [digits.as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}
