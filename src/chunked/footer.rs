//! The last skippable frame says where TOC and tar-split are, for tools that have only the blob.
//! Clients based on containers/storage read the annotations instead.

/// Length of the footer's payload in bytes.
pub const FOOTER_LEN: usize = 64;

/// Ends each footer (`ZstdChunkedFrameMagic` in `pkg/chunked/internal/minimal/compression.go`).
pub(crate) const FOOTER_MAGIC: [u8; 8] = *b"GNUlInUx";

/// The only manifest type there is (`ManifestTypeCRFS`).
pub(crate) const MANIFEST_TYPE: u64 = 1;

/// Where a compressed document is in a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Bytes from the blob's start to the document's compressed form, behind the header of the
    /// skippable frame.
    pub offset: u64,
    /// Compressed length in bytes.
    pub len: u64,
    /// Length in bytes once decompressed.
    pub raw_len: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    pub toc: Position,
    pub tar_split: Position,
}

impl Footer {
    /// The payload of the footer's frame.
    pub fn to_bytes(self) -> [u8; FOOTER_LEN] {
        let fields = [
            self.toc.offset,
            self.toc.len,
            self.toc.raw_len,
            MANIFEST_TYPE,
            self.tar_split.offset,
            self.tar_split.len,
            self.tar_split.raw_len,
            u64::from_le_bytes(FOOTER_MAGIC),
        ];
        let mut bytes = [0; FOOTER_LEN];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// Reads a payload; `None` if the magic number or the manifest type is wrong.
    pub fn from_bytes(bytes: &[u8; FOOTER_LEN]) -> Option<Self> {
        let mut fields = bytes.chunks_exact(8).map(|field| {
            let mut word = [0; 8];
            word.copy_from_slice(field);
            u64::from_le_bytes(word)
        });
        let mut next = || fields.next().unwrap_or_default();
        let toc = Position { offset: next(), len: next(), raw_len: next() };
        let manifest_type = next();
        let tar_split = Position { offset: next(), len: next(), raw_len: next() };
        let magic = next().to_le_bytes();
        (magic == FOOTER_MAGIC && manifest_type == MANIFEST_TYPE).then_some(Self { toc, tar_split })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// The footer of the smallest blob that the reference makes of one directory and one file.
    #[test]
    fn known_answer() {
        let footer = Footer {
            toc: Position { offset: 135, len: 246, raw_len: 379 },
            tar_split: Position { offset: 389, len: 259, raw_len: 13_922 },
        };
        let words: Vec<u64> = footer
            .to_bytes()
            .chunks(8)
            .map(|w| u64::from_le_bytes(w.try_into().unwrap()))
            .collect();
        assert_eq!(words[..7], [135, 246, 379, 1, 389, 259, 13_922]);
        assert_eq!(footer.to_bytes()[56..], *b"GNUlInUx");
        let mut other = footer.to_bytes();
        other[57] = b'n';
        assert_eq!(Footer::from_bytes(&other), None);
    }

    proptest! {
        #[test]
        fn there_and_back(n in any::<[u64; 6]>()) {
            let footer = Footer {
                toc: Position { offset: n[0], len: n[1], raw_len: n[2] },
                tar_split: Position { offset: n[3], len: n[4], raw_len: n[5] },
            };
            prop_assert_eq!(Footer::from_bytes(&footer.to_bytes()), Some(footer));
        }
    }
}
