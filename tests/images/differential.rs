//! Our TOC and tar-split against those of the reference: the same tars through skopeo's compressor,
//! compared field by field.
//!
//! What is ours on purpose, and therefore left out of the comparison:
//!
//! * Where things lie in the blob (`offset`, `endOffset`), since zstd encoders differ; and that the
//!   last chunk of a file has an `endOffset`, so that a client fetches no header with it.
//! * Times stand in UTC, theirs in the zone of the process, which is UTC here.
//! * What follows the last entry is one segment of the tar-split, theirs are several: the bytes are
//!   compared.
//! * `entries` of an empty layer is an empty list, theirs is `null`.
//! * The file object of a header-only entry with a size has none, theirs has (and cannot be pulled).
//! * Files up to a limit have no chunks by default, and short chunks are joined; here neither.

use std::{collections::BTreeMap, fs};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use recompress_image::{
    chunked::footer::Position,
    image::Digest,
    layer::{Cuts, LayerProgress, Pool, Recipe, convert},
};
use serde_json::Value;
use test_support::{
    archive::{Dialect, HeaderBlock, TarBuilder},
    image::{Image, Layer, Style},
    need,
    peers::Peers,
    trees,
};

/// TOC and tar-split of a layer, without what may differ.
#[derive(Debug, PartialEq)]
struct Outline {
    entries: Vec<BTreeMap<String, Value>>,
    /// Raw bytes, and files with size and CRC, in turns.
    tar_split: Vec<Result<Vec<u8>, Value>>,
}

impl Outline {
    fn read(blob: &[u8], toc: Position, tar_split: Position) -> Self {
        let decoded = |Position { offset, len, .. }| {
            let (start, len): (usize, usize) = (at(offset), at(len));
            zstd::decode_all(&blob[start..start + len]).unwrap()
        };
        let toc: Value = serde_json::from_slice(&decoded(toc)).unwrap();
        let entries = toc["entries"].as_array().cloned().unwrap_or_default();
        let entries = entries.into_iter().map(|entry| {
            let mut fields: BTreeMap<String, Value> = serde_json::from_value(entry).unwrap();
            fields.retain(|key, _| key != "offset" && key != "endOffset");
            fields
        });
        let tar_split = decoded(tar_split);
        let mut parts = Vec::new();
        for object in serde_json::Deserializer::from_slice(&tar_split).into_iter::<Value>() {
            let mut object = object.unwrap();
            if object["type"] == 2 {
                let raw = STANDARD.decode(object["payload"].as_str().unwrap()).unwrap();
                match parts.last_mut() {
                    Some(Ok(bytes)) => Vec::extend(bytes, raw),
                    _ => parts.push(Ok(raw)),
                }
            } else {
                object["position"].take();
                parts.push(Err(object));
            }
        }
        Self { entries: entries.collect(), tar_split: parts }
    }
}

fn at(offset: u64) -> usize {
    offset.try_into().unwrap()
}

/// Reads the two positions off the annotations that skopeo wrote.
fn positions(annotations: &Value) -> (Position, Position) {
    let position = |key: &str| {
        let key = format!("io.github.containers.zstd-chunked.{key}-position");
        let numbers: Vec<u64> =
            annotations[key].as_str().unwrap().split(':').map(|n| n.parse().unwrap()).collect();
        Position { offset: numbers[0], len: numbers[1], raw_len: numbers[2] }
    };
    (position("manifest"), position("tarsplit"))
}

fn tars(peers: &Peers) -> Vec<(&'static str, Vec<u8>)> {
    let written = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut tar = Vec::new();
        write(&mut tar);
        tar
    };
    let root = peers.root();
    vec![
        ("every kind of entry", written(&|tar| trees::every_kind(tar))),
        ("small files", written(&|tar| trees::many_small(tar, 500))),
        ("large files with holes", written(&|tar| trees::large_with_holes(tar, 6_000_000))),
        ("real files", written(&|tar| trees::real(tar, root, &["etc", "usr/bin"]))),
        ("dialects", dialects()),
        ("extensions", extensions()),
        ("holes", holes()),
        ("no entry", vec![0; 10_240]),
        ("no end", TarBuilder::new().file(Dialect::Ustar, b"file", b"content").finish()),
        ("many zeros", TarBuilder::new().file(Dialect::Gnu, b"f", b"c").zeros(3 << 20).finish()),
    ]
}

fn dialects() -> Vec<u8> {
    let block =
        |dialect, typeflag, name: &str| HeaderBlock::new(dialect, typeflag, name.as_bytes());
    TarBuilder::new()
        .header(block(Dialect::V7, 0, "old-dir/").modified(77))
        .sized(block(Dialect::V7, 0, "old").owner(7, 8), b"content")
        .header(block(Dialect::Ustar, b'5', "prefix/"))
        .sized(block(Dialect::Ustar, b'0', "name").prefix(b"prefix"), b"content")
        .sized(block(Dialect::Star, b'0', "star").number(476, 12, 5).number(488, 12, 6), b"content")
        .sized(block(Dialect::Gnu, b'0', "gnu").number(345, 12, 5).modified(-86_400), b"content")
        .sized(block(Dialect::Gnu, b'0', "go-1.7").prefix(b"prefix"), b"content")
        .header(block(Dialect::Ustar, b'3', "char").device(1, 3).owner(3_000_000, 1))
        .header(block(Dialect::Ustar, b'4', "block").device(259, 70_000))
        .header(block(Dialect::Ustar, b'6', "fifo").mode(0o010_600))
        .sized(block(Dialect::Ustar, b'0', "device").device(3, 4), b"content")
        .end()
        .finish()
}

fn extensions() -> Vec<u8> {
    let block = |typeflag, name: &str| HeaderBlock::new(Dialect::Ustar, typeflag, name.as_bytes());
    TarBuilder::new()
        .pax(&[(b"path", "<größe>&\u{2028}".as_bytes()), (b"mtime", b"1700000000.123456789999")])
        .sized(block(b'0', "short"), b"content")
        .pax(&[(b"mtime", b"-1.25"), (b"atime", b"0"), (b"ctime", b"1700000000.5")])
        .sized(block(b'0', "times"), b"content")
        .pax(&[
            (b"SCHILY.xattr.user.b", b"\0\xff=\n"),
            (b"SCHILY.xattr.user.a", b""),
            (b"LIBARCHIVE.xattr.user.c", b"MQ"),
        ])
        .sized(block(b'0', "xattrs"), b"content")
        .pax(&[(b"path", b"lost")])
        .pax(&[(b"uid", b"3000000"), (b"uid", b"70000"), (b"gid", b"")])
        .sized(block(b'0', "twice"), b"content")
        .long_name(&b"n".repeat(300))
        .long_link(&b"l".repeat(300))
        .header(HeaderBlock::new(Dialect::Gnu, b'2', b"short"))
        .pax(&[(b"path", b"by-pax")])
        .long_name(b"by-gnu")
        .file(Dialect::Gnu, b"short", b"content")
        .end()
        .finish()
}

fn holes() -> Vec<u8> {
    let mut tar = TarBuilder::new();
    for zeros in [1, 511, 1023, 1024, 1025, 65_536, 3 << 20] {
        for (place, content) in [
            ("only", vec![0; zeros]),
            ("first", [vec![0; zeros], vec![7; 3000]].concat()),
            ("last", [vec![7; 3000], vec![0; zeros]].concat()),
            ("between", [vec![7; 3000], vec![0; zeros], vec![7; 1 << 20]].concat()),
        ] {
            tar = tar.file(Dialect::Ustar, format!("{place}-{zeros}").as_bytes(), &content);
        }
    }
    tar.end().finish()
}

#[test]
fn toc_and_tar_split_are_those_of_the_reference() {
    let test = "toc_and_tar_split_are_those_of_the_reference";
    let Some(peers) = need(test, Peers::find()) else { return };
    let tars = tars(&peers);
    let layers =
        tars.iter().map(|(_, tar)| Layer::gzip(peers.work(), |out| out.write_all(tar).unwrap()));
    let source = peers.work().join("source");
    Image::new(Style::Oci, layers.collect()).write_layout(&source, "in");
    let theirs = peers.work().join("theirs");
    let [from, to] = [(&source, "in"), (&theirs, "out")]
        .map(|(layout, tag)| format!("oci:{}:{tag}", layout.display()));
    let format = ["--dest-compress-format=zstd:chunked", "--dest-compress-level=1"];
    let force = "--dest-force-compress-format";
    let utc = ["env", "TZ=UTC"];
    peers.run(&[&utc[..], &["skopeo", "copy", format[0], format[1], force, &from, &to]].concat());

    let blob = |digest: &Value| {
        let digest: Digest = digest.as_str().unwrap().parse().unwrap();
        fs::read(theirs.join("blobs/sha256").join(digest.hex())).unwrap()
    };
    let index: Value =
        serde_json::from_slice(&fs::read(theirs.join("index.json")).unwrap()).unwrap();
    let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0]["digest"])).unwrap();

    let pool = Pool::new(2).unwrap();
    let recipe = Recipe { chunked: true, level: 1, cuts: Cuts::REFERENCE, lowest: true };
    for (number, (name, tar)) in tars.iter().enumerate() {
        let layer = &manifest["layers"][number];
        let (toc, tar_split) = positions(&layer["annotations"]);
        let theirs = Outline::read(&blob(&layer["digest"]), toc, tar_split);

        let mut made = Vec::new();
        let converted =
            convert(&tar[..], &mut made, None, recipe, &pool, &LayerProgress::default()).unwrap();
        let annotations = converted.outline.unwrap().annotations;
        let ours = Outline::read(&made, annotations.toc, annotations.tar_split);

        assert_eq!(ours.entries.len(), theirs.entries.len(), "{name}: entries of the TOC");
        for (ours, theirs) in ours.entries.iter().zip(&theirs.entries) {
            assert_eq!(ours, theirs, "{name}: an entry of the TOC");
        }
        assert_eq!(ours.tar_split.len(), theirs.tar_split.len(), "{name}: tar-split objects");
        for (ours, theirs) in ours.tar_split.iter().zip(&theirs.tar_split) {
            assert!(ours == theirs, "{name}: a tar-split object: {ours:?}, theirs {theirs:?}");
        }
    }
}
