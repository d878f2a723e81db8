//! Extension headers: PAX, GNU long names, sparse files, and their bounds.

use std::io::{BufReader, Read, repeat};

use test_support::archive::{Dialect, HeaderBlock, TarBuilder, pax_record};

use super::{entries, entry, refusal, walk};
use crate::tar::{MAX_EXTENSION_BODY, MAX_METADATA, Reader, TarError, Timestamp};

fn file(builder: TarBuilder) -> TarBuilder {
    builder.file(Dialect::Ustar, b"file", b"content")
}

#[test]
fn pax_records_override_the_header() {
    let entry = entry(
        TarBuilder::new()
            .pax(&[
                (b"SCHILY.xattr.security.capability", b"\x01\n\0\n30 size=1\n"),
                (b"SCHILY.xattr.user.empty", b""),
                (b"LIBARCHIVE.xattr.user.other", b"x"),
                (b"path", b"p\xc3\xa9"),
                (b"linkpath", b"target"),
                (b"size", b"9"),
                (b"uid", b"4294967296"),
                (b"gid", b"+5"),
                (b"mtime", b"1350244992.0239601089"),
                (b"atime", b"-1.5"),
                (b"ctime", b"7"),
                (b"uname", b"nobody"),
            ])
            .header(HeaderBlock::new(Dialect::Ustar, b'0', b"file"))
            .payload(b"123456789"),
    );
    assert_eq!(entry.name, "pé".as_bytes());
    assert_eq!(entry.link_name, b"target");
    assert_eq!((entry.size, entry.payload_len), (9, 9));
    assert_eq!((entry.uid, entry.gid), (4_294_967_296, 5));
    assert_eq!(entry.modified, Timestamp { seconds: 1_350_244_992, nanos: 23_960_108 });
    assert_eq!(entry.accessed, Some(Timestamp { seconds: -2, nanos: 500_000_000 }));
    assert_eq!(entry.changed, Some(Timestamp { seconds: 7, nanos: 0 }));
    let xattrs: Vec<_> = entry.xattrs.iter().map(|(k, v)| (&k[..], &v[..])).collect();
    let capability = (&b"security.capability"[..], &b"\x01\n\0\n30 size=1\n"[..]);
    assert_eq!(xattrs, [capability, (b"user.empty", b"")]);
}

#[test]
fn an_empty_or_repeated_record() {
    let kept = entry(file(TarBuilder::new().pax(&[(b"path", b""), (b"size", b""), (b"uid", b"")])));
    assert_eq!((&kept.name[..], kept.size, kept.uid), (&b"file"[..], 7, 0));
    let last = entry(file(TarBuilder::new().pax(&[(b"uid", b"no number"), (b"uid", b"2")])));
    assert_eq!(last.uid, 2);
    let emptied = entry(file(TarBuilder::new().pax(&[(b"path", b"a"), (b"path", b"")])));
    assert_eq!(emptied.name, b"file");
}

#[test]
fn the_last_extended_header_replaces_those_before() {
    let archive = TarBuilder::new().pax(&[(b"path", b"a"), (b"uid", b"1")]).pax(&[(b"gid", b"2")]);
    let entry = entry(file(archive));
    assert_eq!((&entry.name[..], entry.uid, entry.gid), (&b"file"[..], 0, 2));
}

#[test]
fn extensions_end_with_their_entry() {
    let archive = TarBuilder::new().pax(&[(b"path", b"a"), (b"uid", b"1")]).long_link(b"b");
    let entries = entries(file(file(archive))).unwrap();
    let seen: Vec<_> = entries.iter().map(|e| (&e.name[..], &e.link_name[..], e.uid)).collect();
    assert_eq!(seen, [(&b"a"[..], &b"b"[..], 1), (b"file", b"", 0)]);
}

#[test]
fn gnu_long_names_override_pax() {
    let long = [b'n'; 300];
    let archive = TarBuilder::new().pax(&[(b"path", b"p"), (b"linkpath", b"q"), (b"uid", b"1")]);
    let entry = entry(file(archive.clone().long_name(&long).long_link(&long)));
    assert_eq!((&entry.name[..], &entry.link_name[..], entry.uid), (&long[..], &long[..], 1));

    let cases: [(&[&[u8]], &[u8]); 4] = [
        (&[b""], b"p"),
        (&[b"first", b"last"], b"last"),
        (&[b"first", b""], b"p"),
        (&[b"a\0b"], b"a"),
    ];
    for (names, expected) in cases {
        let builder = names.iter().fold(archive.clone(), |builder, name| builder.long_name(name));
        assert_eq!(super::entry(file(builder)).name, expected);
    }
}

#[test]
fn extensions_go_by_their_type_in_any_dialect() {
    for dialect in [Dialect::V7, Dialect::Ustar, Dialect::Star, Dialect::Gnu] {
        let archive = TarBuilder::new()
            .sized(HeaderBlock::new(dialect, b'x', b""), &pax_record(b"uid", b"7"))
            .sized(HeaderBlock::new(dialect, b'L', b""), b"long")
            .sized(HeaderBlock::new(dialect, b'K', b""), b"link\0");
        let entry = entry(file(archive));
        let seen = (&entry.name[..], &entry.link_name[..], entry.uid);
        assert_eq!(seen, (&b"long"[..], &b"link"[..], 7));
    }
}

#[test]
fn broken_records_are_refused() {
    for (key, value, reason) in [
        (&b"uid"[..], &b"0x7"[..], "invalid number in a PAX record"),
        (b"gid", b"9223372036854775808", "invalid number in a PAX record"),
        (b"size", b"1.5", "invalid number in a PAX record"),
        (b"mtime", b"1e9", "invalid time in a PAX record"),
        (b"atime", b".5", "invalid time in a PAX record"),
        (b"path", b"a\0", "NUL byte in a PAX record"),
    ] {
        assert_eq!(refusal(file(TarBuilder::new().pax(&[(key, value)]))), reason);
        assert_eq!(refusal(file(TarBuilder::new().pax_global(&[(key, value)]))), reason);
    }
}

#[test]
fn a_global_header_is_an_entry_and_changes_no_other() {
    let archive = TarBuilder::new().pax(&[(b"gid", b"9")]).pax_global(&[
        (b"uid", b"1"),
        (b"path", b"renamed"),
        (b"SCHILY.xattr.a", b"b"),
    ]);
    let bytes = file(archive).end().finish();
    let walk = walk(&bytes[..]).unwrap();
    assert_eq!(walk.bytes(), bytes);
    assert_eq!(walk.names(), [&b"renamed"[..], b"file"]);
    let global = &walk.members[0].entry;
    assert_eq!((global.typeflag, global.size, global.payload_len), (b'g', 0, 0));
    assert_eq!((global.uid, global.mode), (0, 0));
    assert_eq!(global.xattrs.get(&b"a"[..]).unwrap(), b"b");
    let file = &walk.members[1].entry;
    assert_eq!((file.uid, file.gid, file.xattrs.len()), (0, 0, 0));
    // The padding after the body belongs to the next entry, as with a payload.
    assert!(walk.members[0].raw.ends_with(b"=b\n"));
}

#[test]
fn old_gnu_sparse_files_are_walked_over() {
    let map = |fragments: &[(usize, usize)]| -> Vec<u8> {
        fragments
            .iter()
            .flat_map(|(at, len)| format!("{at:011o}\0{len:011o}\0").into_bytes())
            .collect()
    };
    let header = HeaderBlock::new(Dialect::Gnu, b'S', b"sparse")
        .size(7)
        .number(483, 12, 4096)
        .field(386, &map(&[(0, 1), (10, 1), (20, 1), (30, 1)]));
    let mut blocks = [[0; 512], [0; 512]];
    blocks[0][504] = 1;
    blocks[0][..24].copy_from_slice(&map(&[(40, 3)]));
    let archive = |header: HeaderBlock| {
        file(TarBuilder::new().header(header).raw(&blocks.concat()).payload(b"stored!"))
    };
    let extended = header.clone().field(482, b"\x01");
    let entries = entries(archive(extended.clone())).unwrap();
    let sparse = &entries[0];
    assert_eq!((sparse.sparse, sparse.size, sparse.payload_len), (true, 4096, 7));
    assert_eq!((&entries[1].name[..], entries[1].sparse), (&b"file"[..], false));

    let walk = walk(&archive(extended.clone()).finish()[..]).unwrap();
    assert_eq!(walk.members[0].raw.len(), 3 * 512, "the map belongs to the raw bytes");
    assert_eq!(walk.members[0].payload, b"stored!");

    let invalid = "invalid map of a sparse file";
    for header in [
        header.clone().number(483, 12, 30),
        header.clone().number(483, 12, -1),
        header.clone().field(386, &map(&[(0, 11)])),
        header.clone().number(398, 12, -1),
        extended.clone().number(483, 12, 42),
        header.field(386, b"x"),
    ] {
        assert_eq!(refusal(archive(header)), invalid);
    }
    let star = HeaderBlock::new(Dialect::Star, b'S', b"sparse");
    assert_eq!(
        refusal(TarBuilder::new().header(star)),
        "only GNU headers can have this sparse type"
    );
    let cut = TarBuilder::new().header(extended).raw(&blocks[0]).raw(&[0; 100]).finish();
    assert!(matches!(super::walk(&cut[..]), Err(TarError::Truncated { position: 1124, .. })));
}

#[test]
fn pax_sparse_files_are_marked() {
    const NAME: (&[u8], &[u8]) = (b"GNU.sparse.name", b"real name");
    let v00: &[(&[u8], &[u8])] = &[
        (b"GNU.sparse.size", b"4096"),
        (b"GNU.sparse.numblocks", b"2"),
        (b"GNU.sparse.offset", b"0"),
        (b"GNU.sparse.numbytes", b"3"),
        (b"GNU.sparse.offset", b"4092"),
        (b"GNU.sparse.numbytes", b"4"),
        NAME,
    ];
    let v01: &[(&[u8], &[u8])] = &[
        (b"GNU.sparse.major", b"0"),
        (b"GNU.sparse.minor", b"1"),
        (b"GNU.sparse.realsize", b"4096"),
        (b"GNU.sparse.numblocks", b"2"),
        (b"GNU.sparse.map", b"0,3,4092,4"),
        NAME,
    ];
    let v10: &[(&[u8], &[u8])] = &[
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.realsize", b"4096"),
        NAME,
    ];
    for records in [v00, v01, v10] {
        let entry = entry(file(TarBuilder::new().pax(records).long_name(b"overridden")));
        assert_eq!((entry.sparse, entry.size, entry.payload_len), (true, 4096, 7));
        assert_eq!(entry.name, b"real name");
        let link = HeaderBlock::new(Dialect::Ustar, b'1', b"link");
        refusal(TarBuilder::new().pax(records).header(link));
    }

    let unknown = entry(file(TarBuilder::new().pax(&[
        (b"GNU.sparse.major", b"2"),
        (b"GNU.sparse.map", b"0,3"),
        (b"GNU.sparse.realsize", b"4096"),
        NAME,
    ])));
    assert_eq!((unknown.sparse, unknown.size, &unknown.name[..]), (false, 7, &b"file"[..]));

    for (key, value) in [
        (&b"GNU.sparse.numblocks"[..], &b"1"[..]),
        (b"GNU.sparse.numblocks", b""),
        (b"GNU.sparse.map", b"0,3,4092"),
        (b"GNU.sparse.map", b"0,3,4093,4"),
        (b"GNU.sparse.map", b"0,3,2,4"),
        (b"GNU.sparse.map", b"0,3,,4"),
        (b"GNU.sparse.realsize", b"-1"),
        (b"GNU.sparse.realsize", b"x"),
    ] {
        refusal(file(TarBuilder::new().pax(&[v01, &[(key, value)]].concat())));
    }
}

#[test]
fn a_body_of_more_than_a_mebibyte_is_refused() {
    let max = usize::try_from(MAX_EXTENSION_BODY).unwrap();
    let archive = |name: &[u8]| {
        file(TarBuilder::new().sized(HeaderBlock::new(Dialect::Gnu, b'L', b""), name))
    };
    assert_eq!(entry(archive(&vec![b'n'; max])).name.len(), max);
    let error = entries(archive(&vec![b'n'; max + 1])).unwrap_err();
    assert!(matches!(error, TarError::Limit { position: 0, limit: MAX_EXTENSION_BODY, .. }));
    // The size alone decides, however little there is.
    let claimed = HeaderBlock::new(Dialect::Gnu, b'x', b"").size(i64::MAX);
    let error = entries(TarBuilder::new().header(claimed)).unwrap_err();
    assert!(matches!(error, TarError::Limit { position: 0, limit: MAX_EXTENSION_BODY, .. }));
}

#[test]
fn endless_metadata_is_refused() {
    let empty = HeaderBlock::new(Dialect::Ustar, b'x', b"").finish();
    let headers = empty.repeat(usize::try_from(MAX_METADATA).unwrap() / 512 - 1);
    assert_eq!(entry(file(TarBuilder::new().raw(&headers))).name, b"file");
    let error = entries(file(TarBuilder::new().raw(&headers).raw(&empty))).unwrap_err();
    assert!(matches!(error, TarError::Limit { position: MAX_METADATA, limit: MAX_METADATA, .. }));

    let sparse = HeaderBlock::new(Dialect::Gnu, b'S', b"").field(482, b"\x01").finish();
    // A block of map without fragments which says that there is another one, again and again.
    let mut block = [0; 512];
    block[504] = 1;
    let stream = sparse.chain(EndlessBlocks { block, at: 0 });
    let error = Reader::new(BufReader::new(stream)).next_step().unwrap_err();
    assert!(matches!(error, TarError::Limit { limit: MAX_METADATA, .. }));

    let error = Reader::new(BufReader::new(repeat(b'x'))).next_step().unwrap_err();
    assert!(matches!(error, TarError::Header { position: 0, .. }));
}

struct EndlessBlocks {
    block: [u8; 512],
    at: usize,
}

impl Read for EndlessBlocks {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let count = (&self.block[self.at..]).read(buf)?;
        self.at = (self.at + count) % self.block.len();
        Ok(count)
    }
}
