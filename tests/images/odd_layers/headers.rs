//! Dialects, numbers and types.

use test_support::archive::{Dialect, HeaderBlock, TarBuilder};

use super::case::{Case, header};

pub(crate) fn cases() -> Vec<Case> {
    [dialects(), numbers(), types(), sizes_where_none_belong()].concat()
}

fn dialects() -> Vec<Case> {
    let old_dir = HeaderBlock::new(Dialect::V7, 0, b"dir/").mode(0o755);
    let star = HeaderBlock::new(Dialect::Star, b'0', b"name")
        .prefix(b"case-dir")
        .number(476, 12, 1_700_000_001)
        .number(488, 12, 1_700_000_002);
    let gnu_times = HeaderBlock::new(Dialect::Gnu, b'0', b"times")
        .number(345, 12, 1_700_000_001)
        .number(357, 12, 1_700_000_002);
    let gnu_prefix = HeaderBlock::new(Dialect::Gnu, b'0', b"name").prefix(b"case-dir");
    let dir = header(b'5', "case-dir/").mode(0o755);
    vec![
        Case::with("v7", |t| t.file(Dialect::V7, b"old", b"content").header(old_dir)),
        Case::with("ustar-prefix", |t| {
            t.header(dir.clone()).sized(header(b'0', "name").prefix(b"case-dir"), b"content")
        }),
        Case::with("star-prefix-and-times", |t| t.header(dir.clone()).sized(star, b"content")),
        Case::with("gnu-times", |t| t.sized(gnu_times, b"content")),
        Case::with("gnu-prefix-of-go-1.7", |t| t.header(dir.clone()).sized(gnu_prefix, b"content")),
        Case::with("gnu", |t| t.file(Dialect::Gnu, b"gnu", b"content")),
        Case::with("signed-checksum", |t| t.raw(&header(b'0', "größe").finish_signed())),
        Case::with("junk-in-unused-bytes", |t| {
            t.sized(header(b'0', "junk").field(500, b"\xff\x01unused"), b"content")
        }),
        Case::with("owner-names", |t| {
            t.sized(header(b'0', "owned").field(265, b"r\xfct").field(297, b"wheel"), b"content")
        }),
        Case::with("wrong-header-checksum", |t| t.raw(&header(b'0', "bad").with_checksum(1)))
            .fails("wrong checksum")
            .refused("invalid tar header"),
    ]
}

fn numbers() -> Vec<Case> {
    let with = |name: &'static str, change: fn(HeaderBlock) -> HeaderBlock| {
        Case::with(name, |t| t.sized(change(header(b'0', name)), b"content"))
    };
    vec![
        with("number-spaces", |h| h.field(100, b"  644 \0\0")),
        with("number-no-terminator", |h| h.field(100, b"00000644")),
        with("number-empty", |h| h.field(108, &[0; 8]).field(116, b"        ")),
        with("number-base-256-owner", |h| h.owner(3_000_000, 4_000_000)),
        with("number-owner-past-31-bits", |h| h.owner(4_000_000_000, 5)),
        with("number-owner-past-32-bits", |h| h.owner(1 << 40, 5)),
        with("number-negative-owner", |h| h.owner(-2, -2)),
        // A classic pull takes times before 1970 for 1970.
        with("number-negative-time", |h| h.modified(-86_400))
            .without("number-negative-time", "mtime_ns"),
        with("number-time-past-2038", |h| h.modified(5_000_000_000)),
        with("number-time-past-9999", |h| h.modified(1 << 40)).plain("outside the years"),
        with("number-time-huge", |h| h.modified(1 << 62)).plain("outside the years"),
        with("number-time-before-0", |h| h.modified(-(1 << 40))).plain("outside the years"),
        with("number-mode-0", |h| h.mode(0)),
        with("number-mode-with-type", |h| h.mode(0o100_644)),
        with("number-mode-setuid", |h| h.mode(0o4755)),
        with("number-mode-all-bits", |h| h.mode(0o7777)),
        with("number-mode-too-many-bits", |h| h.mode(0o7_777_777)).plain("has invalid mode bits"),
        with("number-mode-with-another-type", |h| h.mode(0o40_755)).plain("has invalid mode bits"),
        with("number-device-on-a-file", |h| h.device(3, 4)),
        with("number-link-on-a-file", |h| h.link_name(b"nowhere")).plain("but is not a link"),
        with("number-bad-digits", |h| h.field(108, b"0000089\0"))
            .fails("invalid number")
            .refused("invalid tar header"),
        Case::with("number-base-256-size", |t| {
            let size = header(b'0', "sized").field(124, b"\x80\0\0\0\0\0\0\0\0\0\0\x07");
            t.header(size).payload(b"content")
        }),
        Case::with("number-size-past-the-end", |t| t.header(header(b'0', "long").size(1 << 40)))
            .fails("in the middle of the payload")
            .refused("unexpected EOF"),
        Case::with("number-negative-size", |t| t.header(header(b'0', "short").size(-1)))
            .fails("negative size")
            .refused("invalid tar header"),
    ]
}

fn types() -> Vec<Case> {
    let with = |name: &'static str, typeflag: u8| {
        Case::with(name, |t| t.sized(header(typeflag, name), b"content"))
    };
    let device = |typeflag: u8, major, minor| header(typeflag, "device").device(major, minor);
    let below = || TarBuilder::new().file(Dialect::Ustar, b"device", b"of the layer below");
    vec![
        with("type-nul", 0),
        with("type-contiguous", b'7')
            .plain("a contiguous file")
            .refused("unhandled tar header type"),
        with("type-vendor", b'V').plain("type flag 'V'").refused("unhandled tar header type"),
        with("type-unknown", b'z').plain("type flag 'z'").refused("unhandled tar header type"),
        Case::with("type-char", |t| t.header(device(b'3', 1, 3))),
        Case::with("type-block", |t| t.header(device(b'4', 259, 70_000))),
        Case::with("type-fifo", |t| t.header(header(b'6', "fifo"))),
        Case::with("type-char-0-0", |t| t.header(device(b'3', 0, 0))).plain("device 0:0"),
        Case::with("type-char-over-a-base", |t| t.header(device(b'3', 1, 3)))
            .base(below())
            .plain("is not the lowest"),
        Case::with("type-block-over-a-base", |t| t.header(device(b'4', 7, 0)))
            .base(below())
            .plain("is not the lowest"),
        Case::with("type-fifo-over-a-base", |t| t.header(header(b'6', "device")))
            .base(below())
            .plain("is not the lowest"),
        Case::with("type-char-0-0-over-a-base", |t| t.header(device(b'3', 0, 0)))
            .base(below())
            .plain("device 0:0"),
        Case::with("type-old-gnu-sparse", |t| {
            let map = HeaderBlock::new(Dialect::Gnu, b'S', b"sparse")
                .number(386, 12, 512)
                .number(398, 12, 7)
                .number(483, 12, 1024);
            t.sized(map, b"content")
        })
        .plain("old GNU sparse")
        .refused("unhandled tar header type"),
    ]
}

fn sizes_where_none_belong() -> Vec<Case> {
    vec![
        Case::with("sized-dir", |t| t.header(header(b'5', "dir/").mode(0o755).size(4096))),
        Case::with("sized-hardlink", |t| {
            t.header(header(b'1', "link").link_name(b"case").size(13))
        }),
        Case::with("sized-symlink", |t| t.header(header(b'2', "link").link_name(b"case").size(13))),
        Case::with("sized-char", |t| t.header(header(b'3', "null").device(1, 3).size(13))),
        Case::with("sized-fifo", |t| t.header(header(b'6', "fifo").size(13))),
        Case::with("sized-hardlink-negative", |t| {
            t.header(header(b'1', "link").link_name(b"case").size(-1))
        }),
    ]
}
