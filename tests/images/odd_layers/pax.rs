//! Extension headers of PAX and GNU.

use test_support::archive::{Dialect, HeaderBlock, TarBuilder, pax_record};

use super::case::{Case, header, tar};

pub(crate) fn cases() -> Vec<Case> {
    [fields(), times(), attributes(), sparse(), gnu(), too_much()].concat()
}

fn with(name: &str, records: &[(&str, &[u8])]) -> Case {
    Case::with(name, |t| file_with(t, records))
}

fn file_with(tar: TarBuilder, records: &[(&str, &[u8])]) -> TarBuilder {
    let records: Vec<_> = records.iter().map(|(key, value)| (key.as_bytes(), *value)).collect();
    tar.pax(&records).sized(header(b'0', "file"), b"content")
}

fn fields() -> Vec<Case> {
    let long = "n".repeat(200);
    let body = pax_record(b"path", b"first");
    vec![
        with("pax-path", &[("path", long.as_bytes())]),
        with("pax-owner", &[("uid", b"3000000"), ("gid", b"70000")]),
        with("pax-owner-names", &[("uname", "größe".as_bytes()), ("gname", b"wheel")]),
        with("pax-empty-values", &[("path", b""), ("uid", b""), ("mtime", b"")]),
        with("pax-key-twice", &[("path", b"first"), ("path", b"second")]),
        with("pax-comment", &[("comment", b"a=b\nc"), ("VENDOR.key", b"\xff\0")]),
        with("pax-binary-charset", &[("hdrcharset", b"BINARY"), ("path", b"name")]),
        Case::with("pax-size", |t| {
            t.pax(&[(b"size", b"7")]).header(header(b'0', "file")).payload(b"content")
        }),
        Case::with("pax-linkpath", |t| {
            t.pax(&[(b"linkpath", b"case")]).header(header(b'1', "link"))
        }),
        Case::with("pax-two-headers", |t| {
            file_with(t.pax(&[(b"path", b"lost"), (b"uid", b"7")]), &[("path", b"kept")])
        }),
        Case::with("pax-header-for-nobody", |t| t.pax(&[(b"path", b"nobody")])),
        Case::with("pax-before-dir-link-and-fifo", |t| {
            let t = t.pax(&[(b"path", b"long-dir/")]).header(header(b'5', "d").mode(0o755));
            let t = t.pax(&[(b"path", b"long-link")]);
            let t = t.header(header(b'2', "l").link_name(b"case"));
            t.pax(&[(b"uid", b"1000")]).header(header(b'6', "fifo"))
        }),
        Case::with("pax-bad-record", |t| {
            t.sized(header(b'x', "PaxHeaders/x"), &body[1..]).header(header(b'0', "file"))
        })
        .fails("PAX record")
        .refused("invalid tar header"),
        Case::with("pax-bad-number", |t| file_with(t, &[("uid", b"ten")]))
            .fails("invalid number in a PAX record")
            .refused("invalid tar header"),
        Case::with("pax-global", |t| t.pax_global(&[(b"comment", b"0123abcd")]))
            .plain("a global PAX header")
            // podman makes the directory that the name of the header has.
            .without("PaxHeaders", "mtime_ns"),
        Case::of(
            "pax-global-first",
            &TarBuilder::new()
                .pax_global(&[(b"comment", b"0123abcd")])
                .file(Dialect::Ustar, b"case", b"pax-global-first")
                .end()
                .finish(),
        )
        .plain("a global PAX header")
        // podman makes the directory that the name of the header has.
        .without("PaxHeaders", "mtime_ns"),
    ]
}

fn times() -> Vec<Case> {
    vec![
        with("time-fraction", &[("mtime", b"1700000000.123456789")]),
        with("time-fraction-short", &[("mtime", b"1700000000.5")]),
        with("time-fraction-long", &[("mtime", b"1700000000.1234567899999")]),
        // A classic pull takes times before 1970 and past 2262 for 1970, a partial one does as it can.
        with("time-fraction-negative", &[("mtime", b"-1.25")]).without("file", "mtime_ns"),
        with("time-epoch", &[("mtime", b"0"), ("atime", b"0"), ("ctime", b"0")]),
        with("time-access-and-change", &[("atime", b"1700000000.1"), ("ctime", b"1700000000.2")]),
        with("time-past-9999", &[("mtime", b"253402300800")]).plain("outside the years"),
        with("time-last-of-9999", &[("mtime", b"253402300799.999999999")])
            .without("file", "mtime_ns"),
        with("time-access-past-9999", &[("atime", b"253402300800")]).plain("outside the years"),
        with("time-of-year-1", &[("mtime", b"-62135596800")]).without("file", "mtime_ns"),
        with("time-before-year-0", &[("mtime", b"-62167219201")]).plain("outside the years"),
        with("time-past-64-bits", &[("mtime", b"99999999999999999999")])
            .fails("invalid time in a PAX record")
            .refused("invalid tar header"),
    ]
}

fn attributes() -> Vec<Case> {
    let mut capability = [0; 20];
    capability[..8].copy_from_slice(&[1, 0, 0, 2, 0, 0x20, 0, 0]);
    let large = vec![b'x'; 3000];
    vec![
        with("xattr-text", &[("SCHILY.xattr.user.text", b"value")]),
        with("xattr-binary", &[("SCHILY.xattr.user.bytes", b"\0\xff=\n\x80\0")]),
        with("xattr-newline", &[("SCHILY.xattr.user.lines", b"one\ntwo\n")]),
        with("xattr-empty", &[("SCHILY.xattr.user.empty", b"")]),
        with("xattr-large", &[("SCHILY.xattr.user.large", &large)]),
        with("xattr-capability", &[("SCHILY.xattr.security.capability", &capability)]),
        with(
            "xattr-many",
            &[
                ("SCHILY.xattr.user.b", b"2"),
                ("SCHILY.xattr.user.a", b"1"),
                ("SCHILY.xattr.user.\u{fc}<&>", b"3"),
            ],
        ),
        with(
            "xattr-libarchive",
            &[("LIBARCHIVE.xattr.user.a", b"MQ"), ("SCHILY.xattr.user.a", b"1")],
        ),
        with("xattr-selinux", &[("SCHILY.xattr.security.selinux", b"system_u:object_r:bin_t:s0")]),
        Case::with("xattr-key-latin-1", |t| {
            t.pax(&[(b"SCHILY.xattr.user.\xfc", b"1")]).sized(header(b'0', "file"), b"content")
        })
        .plain("not UTF-8"),
        Case::with("xattr-overlay", |t| {
            let t = t.pax(&[(b"SCHILY.xattr.trusted.overlay.opaque", b"y")]);
            t.header(header(b'5', "dir/").mode(0o755))
        })
        .plain("overlay file systems reserve"),
        Case::with("xattr-on-dir", |t| {
            t.pax(&[(b"SCHILY.xattr.user.a", b"1")]).header(header(b'5', "dir/").mode(0o755))
        }),
        Case::with("xattr-acl", |t| {
            t.pax(&[(b"SCHILY.acl.access", b"user::rw-,group::r--,other::r--")])
                .sized(header(b'0', "file"), b"content")
        }),
    ]
}

/// The same file in the three versions of PAX sparse files.
fn sparse() -> Vec<Case> {
    let in_payload = [b"1\n512\n7\n".to_vec(), vec![0; 504], b"content".to_vec()].concat();
    vec![
        with(
            "sparse-0.0",
            &[
                ("GNU.sparse.size", b"1024"),
                ("GNU.sparse.numblocks", b"1"),
                ("GNU.sparse.offset", b"512"),
                ("GNU.sparse.numbytes", b"7"),
            ],
        )
        .plain("sparse"),
        with(
            "sparse-0.1",
            &[
                ("GNU.sparse.name", b"named"),
                ("GNU.sparse.size", b"1024"),
                ("GNU.sparse.numblocks", b"1"),
                ("GNU.sparse.map", b"512,7"),
            ],
        )
        .plain("sparse"),
        Case::with("sparse-1.0", |t| {
            let records: [(&[u8], &[u8]); 4] = [
                (b"GNU.sparse.major", b"1"),
                (b"GNU.sparse.minor", b"0"),
                (b"GNU.sparse.name", b"named"),
                (b"GNU.sparse.realsize", b"1024"),
            ];
            t.pax(&records).sized(header(b'0', "GNUSparseFile.0/named"), &in_payload)
        })
        .plain("sparse"),
    ]
}

fn gnu() -> Vec<Case> {
    let long = [b"dir/".to_vec(), vec![b'n'; 250]].concat();
    let dir = header(b'5', "dir/").mode(0o755);
    vec![
        Case::with("gnu-long-name", |t| {
            t.header(dir.clone()).long_name(&long).file(Dialect::Gnu, b"short", b"content")
        }),
        Case::with("gnu-long-link", |t| {
            let link = HeaderBlock::new(Dialect::Gnu, b'2', b"link");
            t.long_link(&long.repeat(4)).header(link)
        }),
        Case::with("gnu-long-name-and-link", |t| {
            let t = t.header(dir.clone()).long_name(&long).file(Dialect::Gnu, b"s", b"content");
            t.long_link(&long).long_name(b"dir/other").header(HeaderBlock::new(
                Dialect::Gnu,
                b'1',
                b"short",
            ))
        }),
        Case::with("gnu-long-name-over-pax-path", |t| {
            let t = t.pax(&[(b"path", b"by-pax")]).long_name(b"by-gnu");
            t.file(Dialect::Gnu, b"short", b"content")
        }),
        Case::with("gnu-long-name-empty", |t| {
            t.long_name(b"").file(Dialect::Gnu, b"short", b"content")
        }),
        Case::with("gnu-volume-label", |t| {
            t.header(HeaderBlock::new(Dialect::Gnu, b'V', b"label"))
        })
        .plain("type flag 'V'")
        .refused("unhandled tar header type"),
    ]
}

fn too_much() -> Vec<Case> {
    // The TOC keeps a label, which a full pull ignores.
    let label = "t".repeat(1_000_000);
    let mut long_toc = tar("toc-past-the-limit");
    for number in 0..160 {
        let label = [(&b"SCHILY.xattr.security.selinux"[..], label.as_bytes())];
        long_toc = long_toc.pax(&label).file(
            Dialect::Ustar,
            format!("file-{number}").as_bytes(),
            b"content",
        );
    }
    let body = vec![b'x'; (1 << 20) + 1];
    vec![
        Case::of("toc-past-the-limit", &long_toc.end().finish()).plain("150 MiB"),
        Case::with("pax-body-past-1-mib", |t| {
            let t = t.sized(header(b'x', "PaxHeaders/x"), &pax_record(b"comment", &body));
            t.header(header(b'0', "file"))
        })
        .fails("the body of an extension header exceeds 1048576 bytes")
        .refused("header field too long"),
    ]
}
