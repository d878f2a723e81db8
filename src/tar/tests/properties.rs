//! What holds for every archive, and agreement with the `tar` crate on plain ones.

use std::io::{self, BufReader, Read};

use proptest::{collection::vec, prelude::*, sample::Index};
use test_support::archive::{Dialect, HeaderBlock, TarBuilder};

use super::walk;

/// What an archive is put together from.
#[derive(Debug, Clone)]
enum TarPart {
    Member { dialect: Dialect, typeflag: u8, name: String, owner: i64, time: i64, payload: Vec<u8> },
    LongName(Vec<u8>),
    LongLink(Vec<u8>),
    Pax { typeflag: u8, records: Vec<(String, String)> },
    SparseHeader { extra_blocks: usize, payload: Vec<u8> },
}

impl TarPart {
    fn add(&self, builder: TarBuilder) -> TarBuilder {
        match self {
            Self::Member { dialect, typeflag, name, owner, time, payload } => {
                let header = HeaderBlock::new(*dialect, *typeflag, name.as_bytes())
                    .owner(*owner, *owner)
                    .modified(*time);
                match typeflag {
                    b'1'..=b'6' => builder.header(header.size(payload.len().try_into().unwrap())),
                    // A name with a slash at its end would make it a directory.
                    0 => builder.header(header),
                    _ => builder.sized(header, payload),
                }
            }
            Self::LongName(name) => builder.long_name(name),
            Self::LongLink(name) => builder.long_link(name),
            Self::Pax { typeflag, records } => {
                let records: Vec<_> =
                    records.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes())).collect();
                match typeflag {
                    b'g' => builder.pax_global(&records),
                    _ => builder.pax(&records),
                }
            }
            Self::SparseHeader { extra_blocks, payload } => {
                let header = HeaderBlock::new(Dialect::Gnu, b'S', b"sparse")
                    .size(i64::try_from(payload.len()).unwrap())
                    .field(482, &[u8::from(*extra_blocks > 0)]);
                let map = (1..=*extra_blocks).fold(builder.header(header), |builder, number| {
                    let mut block = [0; 512];
                    block[504] = u8::from(number < *extra_blocks);
                    builder.raw(&block)
                });
                map.payload(payload)
            }
        }
    }
}

fn dialect() -> impl Strategy<Value = Dialect> {
    prop::sample::select(vec![Dialect::V7, Dialect::Ustar, Dialect::Star, Dialect::Gnu])
}

fn part() -> impl Strategy<Value = TarPart> {
    let member = (
        dialect(),
        prop::sample::select(b"\x0001234567V".to_vec()),
        "[a-z./]{0,120}",
        any::<i32>(),
        any::<i32>(),
        vec(any::<u8>(), 0..1600),
    )
        .prop_map(|(dialect, typeflag, name, owner, time, payload)| TarPart::Member {
            dialect,
            typeflag,
            name,
            owner: owner.into(),
            time: time.into(),
            payload,
        });
    let records = vec(
        prop_oneof![
            (r"path|linkpath|uname|comment|SCHILY\.xattr\.user\.a", "\\PC{0,600}"),
            ("uid|gid|mtime|atime", "[0-9]{0,9}"),
        ],
        0..4,
    );
    prop_oneof![
        6 => member,
        1 => vec(any::<u8>(), 0..700).prop_map(TarPart::LongName),
        1 => vec(any::<u8>(), 0..700).prop_map(TarPart::LongLink),
        2 => (prop::sample::select(b"xxxg".to_vec()), records)
            .prop_map(|(typeflag, records)| TarPart::Pax { typeflag, records }),
        1 => (0..3_usize, vec(any::<u8>(), 0..700))
            .prop_map(|(extra_blocks, payload)| TarPart::SparseHeader { extra_blocks, payload }),
    ]
}

fn archive() -> impl Strategy<Value = Vec<u8>> {
    let tail = prop_oneof![Just(0_usize), Just(512), Just(1024), 1024..12_000_usize];
    (vec(part(), 0..6), tail, vec(any::<u8>(), 0..20)).prop_map(|(parts, zeros, garbage)| {
        let builder = parts.iter().fold(TarBuilder::new(), |builder, part| part.add(builder));
        let garbage = if zeros < 1024 { &[] } else { &garbage[..] };
        builder.zeros(zeros).raw(garbage).finish()
    })
}

/// A stream that gives as few bytes as it likes and is interrupted now and then.
struct ShortReads<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl Read for ShortReads<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let size = *self.sizes.next().unwrap();
        if size == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = size.min(buf.len());
        self.bytes.read(&mut buf[..count])
    }
}

proptest! {
    #[test]
    fn no_byte_is_lost(bytes in archive()) {
        prop_assert_eq!(walk(&bytes[..]).unwrap().bytes(), bytes);
    }

    #[test]
    fn the_pieces_a_stream_comes_in_do_not_matter(
        bytes in archive(),
        mut sizes in vec(0..1000_usize, 0..9),
    ) {
        sizes.push(1 + sizes.len());
        let pieces = BufReader::new(ShortReads { bytes: &bytes, sizes: sizes.iter().cycle() });

        prop_assert_eq!(walk(pieces).unwrap(), walk(&bytes[..]).unwrap());
    }

    #[test]
    fn any_damage_is_read_or_refused(
        mut bytes in archive(),
        edits in vec((any::<Index>(), any::<u8>(), any::<bool>()), 1..6),
        keep in any::<Index>(),
        cut: bool,
    ) {
        prop_assume!(!bytes.is_empty());
        for (at, byte, with_checksum) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let (blocks, _) = bytes.as_chunks_mut::<512>();
            if let (true, Some(block)) = (with_checksum, blocks.get_mut(at / 512)) {
                *block = HeaderBlock::from_bytes(*block).finish();
            }
        }
        if cut {
            bytes.truncate(keep.index(bytes.len()));
        }
        if let Ok(walk) = walk(&bytes[..]) {
            prop_assert_eq!(walk.bytes(), bytes);
        }
    }

    #[test]
    fn plain_archives_are_what_the_tar_crate_says(
        files in vec(
            (
                "[a-z]{1,9}(/[a-z\u{e9}]{1,30}){0,9}",
                any::<u32>(),
                0..0o10000_u32,
                prop_oneof![
                    vec(any::<u8>(), 0..1600).prop_map(Ok),
                    "[a-z/]{1,200}".prop_map(Err),
                ],
            ),
            0..6,
        ),
        gnu: bool,
    ) {
        let mut builder = ::tar::Builder::new(Vec::new());
        for (name, id, mode, content) in &files {
            let mut header = if gnu { ::tar::Header::new_gnu() } else { ::tar::Header::new_ustar() };
            header.set_mode(*mode);
            header.set_uid((*id).into());
            header.set_gid((*id / 2).into());
            header.set_mtime((*id).into());
            let result = match content {
                Ok(payload) => {
                    header.set_size(payload.len() as u64);
                    builder.append_data(&mut header, name, &payload[..])
                }
                Err(target) => {
                    header.set_size(0);
                    header.set_entry_type(::tar::EntryType::Symlink);
                    builder.append_link(&mut header, name, target)
                }
            };
            // Names that are too long for ustar are left out.
            prop_assert!(result.is_ok() || !gnu);
        }
        let bytes = builder.into_inner().unwrap();

        let walk = walk(&bytes[..]).unwrap();
        let mut members = walk.members.iter();
        for theirs in ::tar::Archive::new(&bytes[..]).entries().unwrap() {
            let mut theirs = theirs.unwrap();
            let ours = members.next().unwrap();
            prop_assert_eq!(&ours.entry.name[..], &*theirs.path_bytes());
            let link_name = theirs.link_name_bytes().unwrap_or_default().into_owned();
            prop_assert_eq!(&ours.entry.link_name, &link_name);
            let header = theirs.header();
            prop_assert_eq!(ours.entry.typeflag, header.entry_type().as_byte());
            prop_assert_eq!(ours.entry.mode, i64::from(header.mode().unwrap()));
            prop_assert_eq!(ours.entry.uid, i64::try_from(header.uid().unwrap()).unwrap());
            prop_assert_eq!(ours.entry.gid, i64::try_from(header.gid().unwrap()).unwrap());
            let modified = i64::try_from(header.mtime().unwrap()).unwrap();
            prop_assert_eq!(ours.entry.modified.seconds, modified);
            let mut payload = Vec::new();
            theirs.read_to_end(&mut payload).unwrap();
            prop_assert_eq!(&ours.payload, &payload);
        }
        prop_assert!(members.next().is_none());
    }
}
