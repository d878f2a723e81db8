//! Layers that get no TOC, because pulls would show different trees, with the TOC that they would
//! have had: each has to be found, and the program itself must not make it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use recompress_image::{
    check::Rule,
    chunked::toc::Metadata,
    image::Digest,
    tar::{Reader, TarStep},
};
use serde_json::{Value, json};
use test_support::archive::{Dialect, HeaderBlock, TarBuilder};

use super::specimen::{Parts, Specimen};

impl Parts {
    /// A tar with a TOC that says just what the tar says, whatever that is.
    pub(crate) fn forced(tar: &[u8]) -> Self {
        let mut reader = Reader::new(tar);
        let (mut frames, mut entries, mut tar_split) = (Vec::new(), Vec::new(), Vec::new());
        let (mut offset, mut rest) = (0, tar);
        let mut frame = |bytes: &[u8]| {
            frames.push(zstd::bulk::compress(bytes, 3).unwrap());
            let start = offset;
            offset += frames.last().unwrap().len();
            (start, offset)
        };
        while let TarStep::Entry(entry) = reader.next_step().unwrap() {
            let raw = reader.raw().to_vec();
            frame(&raw);
            tar_split.push(json!({"type": 2, "payload": STANDARD.encode(&raw)}));
            let mut fields = serde_json::to_value(Metadata::of(&entry).unwrap()).unwrap();
            let mut file = json!({"type": 1, "name": fields["name"], "payload": null});
            let len = usize::try_from(reader.payload_left()).unwrap();
            let mut content = vec![0; len];
            reader.read_payload(&mut content).unwrap();
            if len > 0 {
                let (start, end) = frame(&content);
                fields["digest"] = Digest::sha256_of(&content).to_string().into();
                (fields["offset"], fields["endOffset"]) = (start.into(), end.into());
                let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64GoIso, &content);
                file["payload"] = STANDARD.encode(crc.to_be_bytes()).into();
                file["size"] = len.into();
            }
            entries.push(fields);
            tar_split.push(file);
            rest = &rest[raw.len() + len..];
        }
        for tail in rest.chunks(4 << 20) {
            frame(tail);
            tar_split.push(json!({"type": 2, "payload": STANDARD.encode(tail)}));
        }
        let toc = json!({"version": 1, "entries": entries});
        let diff_id = Digest::sha256_of(tar);
        let mut parts = Self { frames, toc, toc_suffix: "", tar_split, diff_id };
        parts.renumber();
        parts
    }
}

type Build = fn(TarBuilder) -> TarBuilder;

fn block(typeflag: u8, name: &str) -> HeaderBlock {
    HeaderBlock::new(Dialect::Ustar, typeflag, name.as_bytes()).mode(0o755)
}

fn dir(tar: TarBuilder, name: &str) -> TarBuilder {
    tar.header(block(b'5', name))
}

fn file(tar: TarBuilder, name: &str) -> TarBuilder {
    tar.sized(block(b'0', name), b"content")
}

fn empty(tar: TarBuilder, name: &str) -> TarBuilder {
    tar.header(block(b'0', name))
}

fn link(tar: TarBuilder, typeflag: u8, name: &str, target: &str) -> TarBuilder {
    tar.header(block(typeflag, name).link_name(target.as_bytes()))
}

fn with_xattr(tar: TarBuilder, key: &str, block: HeaderBlock) -> TarBuilder {
    tar.pax(&[(format!("SCHILY.xattr.{key}").as_bytes(), b"y")]).header(block)
}

/// What is wrong, the rule that it breaks, and a layer above others.
const CASES: &[(&str, Rule, Build)] = &[
    ("out of the root", Rule::PathLeavesRoot, |t| file(t, "../a")),
    ("out of the root by a detour", Rule::PathLeavesRoot, |t| file(t, "a/../../b")),
    ("a detour", Rule::PathDots, |t| file(t, "a/../b")),
    ("a path that is too long", Rule::PathTooLong, |t| {
        t.pax(&[(b"path", "./".repeat(2100).as_bytes())]).header(block(b'5', "d"))
    }),
    ("a file with a slash", Rule::DirectoryName, |t| file(t, "a/")),
    ("a symlink as the root", Rule::DirectoryName, |t| link(t, b'2', ".", "x")),
    ("one path twice", Rule::DuplicatePath, |t| file(file(t, "a"), "./a")),
    ("no directory", Rule::MissingParent, |t| file(t, "d/a")),
    ("a late directory", Rule::LateParent, |t| dir(file(t, "d/a"), "d/")),
    ("a late root", Rule::LateParent, |t| dir(file(t, "a"), "./")),
    ("below a symlink", Rule::BelowNonDirectory, |t| file(link(t, b'2', "lib", "usr"), "lib/x")),
    ("below a symlink that is late", Rule::BelowNonDirectory, |t| {
        link(file(t, "lib/x"), b'2', "lib", "usr")
    }),
    ("below a file", Rule::BelowNonDirectory, |t| dir(file(t, "a"), "a/b/")),
    ("a whiteout below a symlink", Rule::BelowNonDirectory, |t| {
        empty(link(t, b'2', "lib", "usr"), "lib/.wh.x")
    }),
    ("a whiteout of an earlier file", Rule::WhiteoutAndEntry, |t| empty(file(t, "a"), ".wh.a")),
    ("a file that was whited out", Rule::WhiteoutAndEntry, |t| file(empty(t, ".wh.a"), "a")),
    ("an empty one", Rule::WhiteoutAndEntry, |t| empty(empty(t, ".wh.a"), "a")),
    ("a symlink", Rule::WhiteoutAndEntry, |t| link(empty(t, ".wh.a"), b'2', "a", "b")),
    ("a directory", Rule::WhiteoutAndEntry, |t| file(dir(empty(t, ".wh.d"), "d/"), "d/x")),
    ("an earlier directory", Rule::WhiteoutAndEntry, |t| empty(file(dir(t, "d/"), "d/x"), ".wh.d")),
    ("a whiteout with content", Rule::WhiteoutForm, |t| file(t, ".wh.a")),
    ("a whiteout that is a directory", Rule::WhiteoutForm, |t| dir(t, ".wh.a/")),
    ("a whiteout of nothing", Rule::WhiteoutForm, |t| empty(t, ".wh.")),
    ("a whiteout of the parent", Rule::WhiteoutForm, |t| empty(dir(t, "d/"), "d/.wh...")),
    ("a name of aufs", Rule::WhiteoutForm, |t| dir(t, ".wh..wh.plnk/")),
    ("a device that is a whiteout", Rule::WhiteoutDevice, |t| t.header(block(b'3', "a"))),
    ("a character device", Rule::SpecialAbove, |t| t.header(block(b'3', "null").device(1, 3))),
    ("a block device", Rule::SpecialAbove, |t| t.header(block(b'4', "loop").device(7, 0))),
    ("a FIFO", Rule::SpecialAbove, |t| t.header(block(b'6', "fifo"))),
    ("a hard link to nothing", Rule::LinkTarget, |t| link(t, b'1', "b", "a")),
    ("a hard link to a later file", Rule::LinkTarget, |t| empty(link(t, b'1', "b", "a"), "a")),
    ("a hard link to a directory", Rule::LinkTarget, |t| link(dir(t, "d"), b'1', "b", "d")),
    ("a hard link by a symlink", Rule::LinkTarget, |t| {
        link(link(empty(dir(t, "d"), "d/a"), b'2', "lib", "d"), b'1', "b", "lib/a")
    }),
    ("a hard link of another mode", Rule::LinkAttributes, |t| {
        empty(t, "a").header(block(b'1', "b").link_name(b"a").mode(0o600))
    }),
    ("a hard link with attributes", Rule::LinkAttributes, |t| {
        with_xattr(empty(t, "a"), "user.x", block(b'1', "b").link_name(b"a"))
    }),
    ("a mode of too many bits", Rule::ModeBits, |t| t.header(block(b'0', "a").mode(0o200_644))),
    ("a file with a mode of a directory", Rule::ModeBits, |t| {
        t.header(block(b'0', "a").mode(0o40_755))
    }),
    ("a file with a link target", Rule::LinkName, |t| link(t, b'0', "a", "b")),
    ("a root for root alone", Rule::RootAttributes, |t| t.header(block(b'5', "./").mode(0o700))),
    ("a root of somebody", Rule::RootAttributes, |t| t.header(block(b'5', "./").owner(5, 5))),
    ("an opaque directory", Rule::OverlayXattr, |t| {
        with_xattr(t, "trusted.overlay.opaque", block(b'5', "d"))
    }),
    ("a symlink with attributes", Rule::SymlinkXattr, |t| {
        with_xattr(t, "security.x", block(b'2', "a").link_name(b"b"))
    }),
    ("very much after the end", Rule::TailTooLong, |t| file(t, "a").zeros(17 << 19)),
];

#[test]
fn no_pull_shows_another_tree() {
    let (mut right, mut wrong) = (0, Vec::new());
    for (name, rule, build) in CASES {
        let tar = build(TarBuilder::new()).end().finish();
        let above = Specimen { lowest: false, ..Parts::forced(&tar).build(true) };
        let findings = above.verdict().findings;
        // What is one thing may be another one, too; whiteouts are told of anyway.
        let found = findings.counts().contains_key(rule) && findings.first_obstacle().is_some();
        let refused = Specimen::converted_above(&tar).annotations.is_empty();
        if found && refused {
            right += 1;
        } else {
            wrong.push(format!("{name}: refused: {refused}, {rule}: {:?}", findings.kept()));
        }
    }
    println!("layers without a TOC: {right} of {}", CASES.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What keeps its TOC, with a warning or with none.
#[test]
fn some_losses_are_told_and_no_more() {
    let cases: [(Build, &[Rule]); 5] = [
        (|t| empty(dir(t, "d"), "d/.wh.a"), &[Rule::Whiteout]),
        (|t| empty(file(dir(t, "d"), "d/a"), "d/.wh..wh..opq"), &[Rule::Whiteout]),
        (|t| t.header(block(b'2', "a").link_name(b"b").owner(5, 5)), &[Rule::SymlinkOwner]),
        (|t| file(dir(dir(t, "./"), "d/"), "d/a"), &[]),
        (|t| with_xattr(t, "security.selinux", block(b'2', "a").link_name(b"b")), &[]),
    ];
    for (build, rules) in cases {
        let tar = build(TarBuilder::new()).end().finish();
        for specimen in [Parts::forced(&tar).build(true), Specimen::converted_above(&tar)] {
            assert!(!specimen.annotations.is_empty());
            let findings = specimen.verdict().findings;
            assert_eq!(
                findings.counts().keys().collect::<Vec<_>>(),
                rules.iter().collect::<Vec<_>>()
            );
            assert!(findings.first_obstacle().is_none());
        }
    }
    let device = TarBuilder::new().header(block(b'3', "null").device(1, 3)).end().finish();
    let verdict = Specimen::converted(&device, true).verdict();
    assert_eq!((verdict.left_out.count, &verdict.left_out.names[..]), (1, &["null".into()][..]));
    assert!(verdict.findings.counts().contains_key(&Rule::SpecialLeftOut));
}

/// What no TOC can say, and is found in the tar.
#[test]
fn what_a_toc_has_no_words_for() {
    let edit_last = |edit: fn(&mut [u8])| {
        let good = TarBuilder::new().header(block(b'2', "a").link_name(b"b")).end().finish();
        let mut parts = Parts::forced(&good);
        let mut raw = STANDARD.decode(parts.tar_split[0]["payload"].as_str().unwrap()).unwrap();
        edit(&mut raw);
        raw[148..156].fill(b' ');
        let sum: u32 = raw.iter().map(|byte| u32::from(*byte)).sum();
        raw[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        parts.replace_frame(0, &[zstd::bulk::compress(&raw, 3).unwrap()]);
        parts.tar_split[0]["payload"] = STANDARD.encode(&raw).into();
        parts.build(true).verdict().findings
    };
    let findings = edit_last(|raw| raw[157] = 0xff);
    assert!(findings.counts().contains_key(&Rule::NotUtf8), "{findings:?}");
    let findings = edit_last(|raw| raw[0] = 0xff);
    assert!(findings.errors() > 0, "{findings:?}");
    let findings = edit_last(|raw| raw[136..148].copy_from_slice(b"777777777777"));
    assert!(findings.counts().contains_key(&Rule::EntryTime), "{findings:?}");
    let findings = edit_last(|raw| {
        raw[136..148].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
    });
    assert!(findings.counts().contains_key(&Rule::TimeRange), "{findings:?}");
}

/// The padding of the last file is there whole or not at all.
#[test]
fn padding_that_is_cut_short() {
    let mut tar = TarBuilder::new().sized(block(b'0', "a"), b"content").finish();
    tar.truncate(512 + 7 + 100);
    let mut parts = Parts::forced(&tar);
    let findings = parts.clone().build(true).verdict().findings;
    assert!(findings.counts().contains_key(&Rule::TarSplitSegment), "{findings:?}");
    // Nor does it help to leave it out of the stream.
    parts.tar_split.pop();
    let findings = parts.build(true).verdict().findings;
    assert!(findings.errors() > 0, "{findings:?}");
}

/// Readers read the times of chunks as well.
#[test]
fn times_as_all_readers_take_them() {
    let good = Parts::of(&Specimen::converted(&super::specimen::tar(), true));
    let chunk = good.toc["entries"].as_array().unwrap().iter().position(|e| e["type"] == "chunk");
    let broken: [(usize, Value); 4] = [
        (chunk.unwrap(), "2024-01-02 03:04:05Z".into()),
        (chunk.unwrap(), Value::Null),
        (0, Value::Null),
        (0, "2023-11-14t22:13:20Z".into()),
    ];
    for (at, time) in broken {
        let mut parts = good.clone();
        parts.entries()[at]["modtime"] = time;
        let findings = parts.build(true).verdict().findings;
        assert!(findings.counts().contains_key(&Rule::EntryTime), "{findings:?}");
    }
}
