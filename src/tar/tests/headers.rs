//! Single header blocks in all dialects.

use test_support::archive::{Dialect, HeaderBlock, TarBuilder};

use super::{entries, entry, refusal};
use crate::tar::Timestamp;

const DIALECTS: [Dialect; 4] = [Dialect::V7, Dialect::Ustar, Dialect::Star, Dialect::Gnu];

fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

fn single(header: HeaderBlock) -> TarBuilder {
    TarBuilder::new().header(header)
}

#[test]
fn every_dialect_has_the_basic_fields() {
    for dialect in DIALECTS {
        let header = HeaderBlock::new(dialect, b'2', b"usr/bin/vi")
            .mode(0o4755)
            .owner(1000, 100)
            .modified(1_350_244_992)
            .link_name(b"vim");
        let entry = entry(single(header));
        assert_eq!(entry.typeflag, b'2');
        assert_eq!(entry.name, b"usr/bin/vi");
        assert_eq!(entry.link_name, b"vim");
        assert_eq!((entry.mode, entry.uid, entry.gid), (0o4755, 1000, 100));
        assert_eq!(entry.modified, at(1_350_244_992));
        assert!(!entry.sparse);
    }
}

#[test]
fn names_end_with_nul_or_with_their_field() {
    for dialect in DIALECTS {
        let full = [b'n'; 100];
        assert_eq!(entry(TarBuilder::new().file(dialect, &full, b"")).name, full);
        assert_eq!(entry(TarBuilder::new().file(dialect, b"a\0b/", b"")).name, b"a");
        assert_eq!(entry(TarBuilder::new().file(dialect, b"", b"")).name, b"");
    }
}

#[test]
fn prefixes_by_dialect() {
    let full = &[b'p'; 155][..];
    let cases: [(Dialect, &[u8], Vec<u8>); 7] = [
        (Dialect::V7, b"dir", b"file".to_vec()),
        (Dialect::Ustar, b"dir", b"dir/file".to_vec()),
        (Dialect::Ustar, b"dir/", b"dir//file".to_vec()),
        (Dialect::Ustar, full, [full, b"/file"].concat()),
        (Dialect::Star, b"dir", b"dir/file".to_vec()),
        // Not octal, so a Go before 1.8 wrote it.
        (Dialect::Gnu, b"dir", b"dir/file".to_vec()),
        (Dialect::Gnu, b"d\xc3\xadr", b"file".to_vec()),
    ];
    for (dialect, prefix, name) in cases {
        let entry = entry(single(HeaderBlock::new(dialect, b'0', b"file").prefix(prefix)));
        assert_eq!(entry.name, name, "{dialect:?} {prefix:?}");
    }

    let long = [&[b'p'; 131][..], b"00000000017\x0000000000021\0"].concat();
    let entry = entry(single(HeaderBlock::new(Dialect::Star, b'0', b"file").prefix(&long)));
    assert_eq!(entry.name, [&long[..131], b"/file"].concat(), "star's prefix has 131 bytes");
    assert_eq!((entry.accessed, entry.changed), (Some(at(0o17)), Some(at(0o21))));
}

#[test]
fn access_and_change_times_by_dialect() {
    for (dialect, accessed, changed) in [
        (Dialect::V7, None, None),
        (Dialect::Ustar, None, None),
        (Dialect::Star, Some(at(0)), Some(at(0))),
        (Dialect::Gnu, None, None),
    ] {
        let entry = entry(TarBuilder::new().file(dialect, b"f", b""));
        assert_eq!((entry.accessed, entry.changed), (accessed, changed), "{dialect:?}");
    }

    let gnu = HeaderBlock::new(Dialect::Gnu, b'0', b"f");
    let both = entry(single(gnu.clone().number(345, 12, 8).number(357, 12, -9)));
    assert_eq!((both.accessed, both.changed), (Some(at(8)), Some(at(-9))));
    let one = entry(single(gnu.clone().number(357, 12, 9)));
    assert_eq!((one.accessed, one.changed), (None, Some(at(9))));
    let broken = entry(single(gnu.number(345, 12, 8).field(357, b"\xc3\xad")));
    assert_eq!((broken.accessed, broken.changed), (None, None));
    assert_eq!(broken.name, b"00000000010/f", "then they are the prefix");
}

#[test]
fn devices_are_read_in_all_dialects_but_v7() {
    for dialect in DIALECTS {
        let header = HeaderBlock::new(dialect, b'3', b"dev/null").device(1, 3);
        let entry = entry(single(header));
        let expected = if dialect == Dialect::V7 { (0, 0) } else { (1, 3) };
        assert_eq!((entry.dev_major, entry.dev_minor), expected, "{dialect:?}");
    }
}

#[test]
fn old_archives_mark_a_directory_by_its_slash() {
    let files = TarBuilder::new()
        .sized(HeaderBlock::new(Dialect::V7, 0, b"file"), b"content")
        .header(HeaderBlock::new(Dialect::V7, 0, b"dir/").size(700))
        .pax(&[(b"path", b"renamed/")])
        .header(HeaderBlock::new(Dialect::V7, 0, b"file"))
        .pax(&[(b"path", b"renamed")])
        .header(HeaderBlock::new(Dialect::V7, 0, b"dir/"))
        .file(Dialect::V7, b"explicit/", b"");
    let types: Vec<_> = entries(files).unwrap().iter().map(|entry| entry.typeflag).collect();
    assert_eq!(types, b"05500");
}

#[test]
fn types_without_payload_keep_their_size() {
    for typeflag in b'1'..=b'6' {
        for size in [700, -700] {
            let archive = single(HeaderBlock::new(Dialect::Gnu, typeflag, b"first").size(size))
                .file(Dialect::Ustar, b"second", b"content");
            let entries = entries(archive).unwrap();
            assert_eq!(entries.len(), 2, "nothing is skipped");
            assert_eq!((entries[0].size, entries[0].payload_len), (size, 0));
            assert_eq!((entries[1].size, entries[1].payload_len), (7, 7));
        }
    }
}

#[test]
fn other_types_have_a_payload() {
    for typeflag in *b"7VDMA" {
        let archive = TarBuilder::new()
            .sized(HeaderBlock::new(Dialect::Gnu, typeflag, b"first"), b"content")
            .file(Dialect::Ustar, b"second", b"");
        let entries = entries(archive).unwrap();
        assert_eq!((entries[0].typeflag, entries[0].payload_len), (typeflag, 7));
        assert_eq!(entries[1].name, b"second");
    }
}

#[test]
fn numbers_in_headers() {
    let header = HeaderBlock::new(Dialect::Gnu, b'0', b"f");
    let big = entry(single(header.clone().owner(1 << 40, -2).modified(-1)));
    assert_eq!((big.uid, big.gid, big.modified), (1 << 40, -2, at(-1)));
    let empty = entry(single(header.clone().field(124, b"            ").field(100, &[0; 8])));
    assert_eq!((empty.size, empty.mode), (0, 0));

    for (offset, field) in [
        (100, &b"rw-r--r--"[..]),
        (108, b"-1"),
        (116, b"9"),
        (124, b"1 1"),
        (136, b"\xff\xff\0"),
        (329, b"x"),
        (337, b"x"),
    ] {
        let reason = refusal(single(header.clone().field(offset, field)));
        assert_eq!(reason, "invalid number", "at {offset}");
    }
    assert_eq!(refusal(single(header.size(-1))), "negative size");
    let star = HeaderBlock::new(Dialect::Star, b'0', b"f").field(476, b"x");
    assert_eq!(refusal(single(star)), "invalid number");
}

#[test]
fn a_negative_size_is_refused_even_where_pax_has_another() {
    let header = HeaderBlock::new(Dialect::Gnu, b'0', b"f");
    let archive = TarBuilder::new().pax(&[(b"size", b"0")]).header(header.clone().size(-1));
    assert_eq!(refusal(archive), "negative size");
    let archive = TarBuilder::new().pax(&[(b"size", b"-1")]).header(header);
    assert_eq!(refusal(archive), "negative size");
}

#[test]
fn checksums_are_of_unsigned_or_of_signed_bytes() {
    let header = HeaderBlock::new(Dialect::Ustar, b'0', b"caf\xe9");
    for block in [header.clone().finish(), header.clone().finish_signed()] {
        assert_eq!(entry(TarBuilder::new().raw(&block)).name, b"caf\xe9");
    }
    assert_ne!(header.clone().finish(), header.clone().finish_signed());
    let wrong = TarBuilder::new().raw(&header.with_checksum(1234));
    assert_eq!(refusal(wrong), "wrong checksum");
    assert_eq!(refusal(TarBuilder::new().raw(&[b'7'; 512])), "wrong checksum");
}
