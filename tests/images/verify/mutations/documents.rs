//! The TOC and the tar-split stream as documents.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use recompress_image::{check::Rule, image::Digest};
use serde_json::{Value, json};

use super::{Case, P, U, other_digest, remove, segment, set};

pub(super) const OF_DOCUMENTS: &[Case] = &[
    (
        "no digest of the tar-split in the TOC",
        Rule::TarSplitDigestMissing,
        U(|p| {
            remove(&mut p.toc, "tarSplitDigest");
        }),
    ),
    (
        "another tar-split than the TOC says",
        Rule::TarSplitDigest,
        U(|p| {
            p.toc["tarSplitDigest"] = other_digest().into();
        }),
    ),
    (
        "digest over the uncompressed tar-split",
        Rule::TarSplitDigest,
        U(|p| {
            let lines: Vec<_> = p.tar_split.iter().map(|object| format!("{object}\n")).collect();
            p.toc["tarSplitDigest"] =
                Digest::sha256_of(lines.concat().as_bytes()).to_string().into();
        }),
    ),
    ("something after the TOC", Rule::TocJson, P(|p| p.toc_suffix = " x")),
    ("TOC with a text for a number", Rule::TocJson, P(|p| set(p, "d/a", "mode", "420"))),
    ("tar-split of another form", Rule::TarSplitJson, P(|p| p.tar_split[0] = json!([]))),
    (
        "tar-split with a wrong number",
        Rule::TarSplitOrder,
        P(|p| p.tar_split[3]["position"] = 9.into()),
    ),
    ("TOC not in the order of the stream", Rule::EntryOrder, P(|p| p.entries().reverse())),
    (
        "TOC sorted by name",
        Rule::EntryOrder,
        P(|p| {
            p.entries().sort_by_key(|entry| entry["name"].as_str().unwrap().to_owned());
        }),
    ),
    (
        "an entry too few",
        Rule::EntryMissing,
        P(|p| {
            p.entries().retain(|entry| entry["name"] != "d/soft");
        }),
    ),
    (
        "the last entry missing",
        Rule::EntryMissing,
        P(|p| {
            p.entries().pop();
        }),
    ),
    (
        "an entry too many",
        Rule::EntryExtra,
        P(|p| {
            p.entries().insert(2, json!({"type": "fifo", "name": "d/more", "modtime": null}));
        }),
    ),
    (
        "an entry too many at the end",
        Rule::EntryExtra,
        P(|p| {
            p.entries().push(json!({"type": "fifo", "name": "d/more"}));
        }),
    ),
    (
        "an entry twice",
        Rule::DuplicatePath,
        P(|p| {
            let entry = p.entry("d/fifo").clone();
            p.entries().push(entry);
        }),
    ),
    ("a cleaned name", Rule::EntryName, P(|p| set(p, "d/", "name", "d"))),
    ("another type", Rule::EntryType, P(|p| set(p, "d/fifo", "type", "reg"))),
    ("type bits in the mode", Rule::EntryMode, P(|p| set(p, "d/a", "mode", 0o100_644))),
    ("another user", Rule::EntryOwner, P(|p| set(p, "d/a", "uid", 0))),
    ("another group", Rule::EntryOwner, P(|p| set(p, "d/a", "gid", 0))),
    ("a link to elsewhere", Rule::EntryLink, P(|p| set(p, "d/soft", "linkName", "/a"))),
    (
        "mtime without its fraction",
        Rule::EntryTime,
        P(|p| {
            set(p, "d/pax", "modtime", "2024-01-02T03:04:05Z");
        }),
    ),
    (
        "mtime rounded",
        Rule::EntryTime,
        P(|p| {
            set(p, "d/pax", "modtime", "2024-01-02T03:04:05.12345679Z");
        }),
    ),
    ("mtime that is none", Rule::EntryTime, P(|p| set(p, "d/pax", "modtime", "yesterday"))),
    ("no atime", Rule::EntryTime, P(|p| remove(p.entry("d/pax"), "accesstime"))),
    ("no ctime", Rule::EntryTime, P(|p| remove(p.entry("d/pax"), "changetime"))),
    (
        "an atime of its own",
        Rule::EntryTime,
        P(|p| {
            set(p, "d/a", "accesstime", "2024-01-02T03:04:05Z");
        }),
    ),
    ("no device number", Rule::EntryDevice, P(|p| remove(p.entry("d/char"), "devMinor"))),
    ("another size", Rule::EntrySize, P(|p| set(p, "d/hard", "size", 5))),
    (
        "attributes in plain text",
        Rule::EntryXattrs,
        P(|p| {
            p.entry("d/pax")["xattrs"]["user.text"] = "value!".into();
        }),
    ),
    (
        "an attribute of another kind",
        Rule::EntryXattrs,
        P(|p| {
            p.entry("d/pax")["xattrs"]["LIBARCHIVE.xattr.user.text"] = "dmFsdWU=".into();
        }),
    ),
];

pub(super) const OF_TAR_SPLIT: &[Case] = &[
    (
        "size on a type that has none",
        Rule::TarSplitFile,
        P(|p| p.file("d/hard")["size"] = 5.into()),
    ),
    ("wrong size of a content", Rule::TarSplitFile, P(|p| p.file("d/a")["size"] = 6.into())),
    ("wrong name of a file object", Rule::TarSplitFile, P(|p| p.file("d/a")["name"] = "a".into())),
    (
        "no file object",
        Rule::TarSplitFile,
        P(|p| {
            p.tar_split.retain(|object| object["name"] != "d/a");
            p.renumber();
        }),
    ),
    ("no CRC", Rule::TarSplitCrc, P(|p| p.file("d/a")["payload"] = Value::Null)),
    ("wrong CRC", Rule::TarSplitCrc, P(|p| p.file("d/a")["payload"] = "AAAAAAAAAAA=".into())),
    (
        "segment without a valid header",
        Rule::TarSplitSegment,
        P(|p| {
            segment(p, "d/a", |bytes| bytes[0] ^= 1);
        }),
    ),
    (
        "segment without its padding",
        Rule::TarSplitSegment,
        P(|p| {
            segment(p, "d/pax", |bytes| drop(bytes.drain(..507)));
        }),
    ),
    (
        "padding that is not that of the tar",
        Rule::DataStream,
        P(|p| {
            segment(p, "d/pax", |bytes| bytes[0] = 1);
        }),
    ),
    (
        "the end of the archive missing",
        Rule::DataStream,
        P(|p| {
            p.tar_split.pop();
        }),
    ),
    (
        "an end of odd length",
        Rule::TarSplitSegment,
        P(|p| {
            let more = json!({"type": 2, "payload": "AAAA", "position": p.tar_split.len()});
            p.tar_split.push(more);
        }),
    ),
    (
        "more in the tar-split than in the data",
        Rule::DataStream,
        P(|p| {
            let zeros = STANDARD.encode([0; 1024]);
            let more = json!({"type": 2, "payload": zeros, "position": p.tar_split.len()});
            p.tar_split.push(more);
        }),
    ),
];
