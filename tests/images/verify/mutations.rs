//! One thing wrong at a time, each of which has to be found as what it is.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use recompress_image::{check::Rule, image::Digest};
use serde_json::{Value, json};

use super::specimen::{
    Parts, Specimen, TAR_SPLIT_POSITION, TOC_DIGEST, TOC_POSITION, noise, skippable, tar,
};

/// What is changed: the parts, before digests and positions are made to fit, or the result.
enum Change {
    Parts(fn(&mut Parts)),
    /// As before, and the TOC keeps whatever it says of the tar-split stream.
    Uncommitted(fn(&mut Parts)),
    Result(fn(&mut Specimen)),
}

use Change::{Parts as P, Result as R, Uncommitted as U};

type Case = (&'static str, Rule, Change);

fn set(parts: &mut Parts, name: &str, key: &str, value: impl Into<Value>) {
    parts.entry(name)[key] = value.into();
}

fn remove(value: &mut Value, key: &str) {
    value.as_object_mut().unwrap().remove(key).unwrap();
}

fn add(value: &mut Value, delta: i64) {
    *value = (value.as_i64().unwrap() + delta).into();
}

fn other_digest() -> String {
    Digest::sha256_of(b"other").to_string()
}

/// The chunk entries of `d/big`.
fn chunk(parts: &mut Parts, number: usize) -> &mut Value {
    let mut chunks = parts.entries().iter_mut().filter(|entry| entry["type"] == "chunk");
    chunks.nth(number).unwrap()
}

fn zeros(parts: &mut Parts) -> &mut Value {
    parts.entries().iter_mut().find(|entry| entry["chunkType"] == "zeros").unwrap()
}

fn frame(content: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(content, 3).unwrap()
}

fn content(frame: &[u8]) -> Vec<u8> {
    zstd::decode_all(frame).unwrap()
}

/// Changes the bytes of the segment in front of a file object.
fn segment(parts: &mut Parts, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
    let objects = &mut parts.tar_split;
    let file = objects.iter().position(|o| o["type"] == 1 && o["name"] == name).unwrap();
    let segment = &mut objects[file - 1]["payload"];
    let mut bytes = STANDARD.decode(segment.as_str().unwrap()).unwrap();
    edit(&mut bytes);
    *segment = STANDARD.encode(bytes).into();
}

const OF_POSITIONS: &[Case] = &[
    (
        "TOC position at the frame's magic number",
        Rule::TocPosition,
        R(|s| {
            s.annotate(TOC_POSITION, |n| n[0] -= 8);
        }),
    ),
    (
        "TOC position beyond the blob",
        Rule::TocPosition,
        R(|s| {
            s.annotate(TOC_POSITION, |n| n[0] += 1 << 40);
        }),
    ),
    ("TOC length one short", Rule::TocPosition, R(|s| s.annotate(TOC_POSITION, |n| n[1] -= 1))),
    (
        "no TOC position",
        Rule::TocPosition,
        R(|s| {
            s.annotations.remove(TOC_POSITION).unwrap();
        }),
    ),
    (
        "TOC position with a word in it",
        Rule::TocPosition,
        R(|s| {
            s.annotations.insert(TOC_POSITION.into(), "1:x:3:1".into());
        }),
    ),
    ("another format of TOC", Rule::TocFormat, R(|s| s.annotate(TOC_POSITION, |n| n[3] = 2))),
    (
        "TOC of more than 150 MiB",
        Rule::TocTooLong,
        R(|s| {
            s.annotate(TOC_POSITION, |n| n[2] = (150 << 20) + 1);
        }),
    ),
    (
        "wrong uncompressed length of the TOC",
        Rule::TocLength,
        R(|s| {
            s.annotate(TOC_POSITION, |n| n[2] += 1);
        }),
    ),
    (
        "digest over the uncompressed TOC",
        Rule::TocDigest,
        R(|s| {
            let parts = Parts::of(s);
            let digest = Digest::sha256_of(parts.toc.to_string().as_bytes());
            s.annotations.insert(TOC_DIGEST.into(), digest.to_string());
        }),
    ),
    (
        "TOC digest that is none",
        Rule::TocDigest,
        R(|s| {
            s.annotations.insert(TOC_DIGEST.into(), "sha256:abc".into());
        }),
    ),
    (
        "no tar-split position",
        Rule::TarSplitPosition,
        R(|s| {
            s.annotations.remove(TAR_SPLIT_POSITION).unwrap();
        }),
    ),
    (
        "tar-split position at the frame's magic number",
        Rule::TarSplitPosition,
        R(|s| {
            s.annotate(TAR_SPLIT_POSITION, |n| n[0] -= 8);
        }),
    ),
    (
        "tar-split of length zero",
        Rule::TarSplitPosition,
        R(|s| {
            s.annotate(TAR_SPLIT_POSITION, |n| n[1] = 0);
        }),
    ),
    (
        "wrong uncompressed length of the tar-split",
        Rule::TarSplitLength,
        R(|s| {
            s.annotate(TAR_SPLIT_POSITION, |n| n[2] += 1);
        }),
    ),
    (
        "an eStargz TOC as well",
        Rule::TwoTocs,
        R(|s| {
            s.annotations.insert("containerd.io/snapshot/stargz/toc.digest".into(), other_digest());
        }),
    ),
    (
        "an annotation of 2022",
        Rule::StaleAnnotation,
        R(|s| {
            let key = "io.containers.zstd-chunked.manifest-checksum";
            s.annotations.insert(key.into(), other_digest());
        }),
    ),
    (
        "annotations left on a gzip layer",
        Rule::NotZstd,
        R(|s| {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut gzip, &tar()).unwrap();
            s.blob = gzip.finish().unwrap();
            s.media_type = recompress_image::image::media_type::OCI_LAYER_GZIP.into();
        }),
    ),
    (
        "media type of gzip",
        Rule::MediaType,
        R(|s| {
            s.media_type = recompress_image::image::media_type::OCI_LAYER_GZIP.into();
        }),
    ),
    ("stale diffID", Rule::DiffId, R(|s| s.diff_id = Digest::sha256_of(b"other"))),
    ("no footer", Rule::Footer, R(|s| s.blob.truncate(s.blob.len() - 72))),
    (
        "footer of 2021",
        Rule::Footer,
        R(|s| {
            let at = s.blob.len() - 7;
            s.blob[at] = b'n';
        }),
    ),
    (
        "footer that leads elsewhere",
        Rule::Footer,
        R(|s| {
            let at = s.blob.len() - 64;
            s.blob[at] ^= 1;
        }),
    ),
];

const OF_DOCUMENTS: &[Case] = &[
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

const OF_TAR_SPLIT: &[Case] = &[
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

const OF_FILES: &[Case] = &[
    ("no digest of a file", Rule::FileDigestMissing, P(|p| remove(p.entry("d/a"), "digest"))),
    (
        "digest of another algorithm",
        Rule::FileDigestMissing,
        P(|p| {
            set(p, "d/a", "digest", format!("md5:{}", "0".repeat(32)));
        }),
    ),
    ("wrong digest of a file", Rule::FileDigest, P(|p| set(p, "d/a", "digest", other_digest()))),
    (
        "digest of a chunk for that of the file",
        Rule::FileDigest,
        P(|p| {
            let digest = p.entry("d/big")["chunkDigest"].clone();
            set(p, "d/big", "digest", digest);
        }),
    ),
    ("no offset", Rule::FileRange, P(|p| remove(p.entry("d/a"), "offset"))),
    ("offset off by one", Rule::FileRange, P(|p| add(&mut p.entry("d/a")["offset"], 1))),
    ("end off by one", Rule::FileRange, P(|p| add(&mut p.entry("d/a")["endOffset"], 1))),
    (
        "range over the next file's",
        Rule::RangeOrder,
        P(|p| {
            let end = p.entry("d/pax")["endOffset"].clone();
            set(p, "d/a", "endOffset", end);
        }),
    ),
    (
        "range that ends where it begins",
        Rule::RangeOrder,
        P(|p| {
            let offset = p.entry("d/a")["offset"].clone();
            set(p, "d/a", "endOffset", offset);
        }),
    ),
    ("range into the TOC", Rule::RangeBounds, P(|p| add(&mut p.entry("d/z")["endOffset"], 4000))),
    (
        "header and content in one frame",
        Rule::FileRange,
        P(|p| {
            let number = p.frame_of("d/a");
            let file = p.frames.remove(number);
            let both = [content(&p.frames[number - 1]), content(&file)].concat();
            p.replace_frame(number - 1, &[frame(&both)]);
            let removed = i64::try_from(file.len()).unwrap();
            for entry in p.entries() {
                for key in ["offset", "endOffset"] {
                    if entry[key].is_u64() {
                        add(&mut entry[key], -removed);
                    }
                }
            }
        }),
    ),
    ("chunk of a wrong size", Rule::ChunkSize, P(|p| add(&mut chunk(p, 0)["chunkSize"], 1))),
    (
        "chunk in a wrong place of the file",
        Rule::ChunkSize,
        P(|p| add(&mut chunk(p, 0)["chunkOffset"], 1)),
    ),
    (
        "chunk missing",
        Rule::ChunkSize,
        P(|p| {
            let at = p.entries().iter().position(|entry| entry["type"] == "chunk").unwrap();
            p.entries().remove(at);
        }),
    ),
    (
        "chunk in a wrong place of the blob",
        Rule::ChunkRange,
        P(|p| add(&mut chunk(p, 0)["offset"], 1)),
    ),
    ("chunk before its file", Rule::RangeOrder, P(|p| chunk(p, 0)["offset"] = 9.into())),
    ("chunk of another file", Rule::ChunkEntry, P(|p| chunk(p, 0)["name"] = "d/a".into())),
    ("chunk of no known type", Rule::ChunkEntry, P(|p| chunk(p, 0)["chunkType"] = "ones".into())),
    (
        "chunks of an empty file",
        Rule::ChunkEntry,
        P(|p| {
            let mut stray = chunk(p, 0).clone();
            stray["name"] = "d/empty".into();
            let at = p.entries().iter().position(|entry| entry["name"] == "d/empty").unwrap();
            p.entries().insert(at + 1, stray);
        }),
    ),
    (
        "wrong digest of a chunk",
        Rule::ChunkDigest,
        P(|p| chunk(p, 0)["chunkDigest"] = other_digest().into()),
    ),
    (
        "wrong digest of an only chunk",
        Rule::ChunkDigest,
        P(|p| p.entry("d/a")["chunkDigest"] = other_digest().into()),
    ),
    ("data said to be a hole", Rule::Hole, P(|p| chunk(p, 0)["chunkType"] = "zeros".into())),
    (
        "zeros with the digest of others",
        Rule::ChunkDigest,
        P(|p| zeros(p)["chunkDigest"] = other_digest().into()),
    ),
];

const OF_FRAMES: &[Case] = &[
    (
        "another content",
        Rule::FileDigest,
        P(|p| {
            let number = p.frame_of("d/a");
            p.replace_frame(number, &[frame(b"12346")]);
        }),
    ),
    (
        "a file that is cut short",
        Rule::DataStream,
        P(|p| {
            let number = p.frame_of("d/z");
            p.replace_frame(number, &[frame(&noise(2999, 3))]);
        }),
    ),
    ("data after the tar", Rule::DataStream, P(|p| p.frames.push(frame(b"more")))),
    (
        "the last data frame missing",
        Rule::DataStream,
        P(|p| {
            p.frames.pop();
        }),
    ),
    (
        "a frame that is damaged",
        Rule::Frame,
        P(|p| {
            let number = p.frame_of("d/a") - 1;
            let middle = p.frames[number].len() / 2;
            p.frames[number][middle..].fill(0xff);
        }),
    ),
    ("a frame with a dictionary", Rule::Dictionary, P(|p| p.frames[0][4] |= 1)),
    (
        "a frame with a huge window",
        Rule::Window,
        P(|p| {
            let mut wide = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            wide.window_log(28).unwrap();
            std::io::Write::write_all(&mut wide, &content(&p.frames[0])).unwrap();
            p.replace_frame(0, &[wide.finish().unwrap()]);
        }),
    ),
    (
        "a skippable frame first",
        Rule::FirstFrame,
        P(|p| {
            let mut first = Vec::new();
            skippable(&mut first, b"first");
            let frames = [first, p.frames[0].clone()];
            p.replace_frame(0, &frames);
        }),
    ),
    ("something after the last frame", Rule::Frame, R(|s| s.blob.extend(b"more"))),
];

#[test]
fn each_mutation_is_found() {
    let good = Specimen::converted(&tar(), true);
    let (mut found, mut all, mut missed) = (0, 0, Vec::new());
    for (name, rule, change) in
        [OF_POSITIONS, OF_DOCUMENTS, OF_TAR_SPLIT, OF_FILES, OF_FRAMES].concat_all()
    {
        let mut parts = Parts::of(&good);
        let mutant = match change {
            P(edit) => {
                edit(&mut parts);
                parts.build(true)
            }
            U(edit) => {
                // The tar-split stream as it is packed here is what the TOC has to speak of.
                parts = Parts::of(&parts.build(true));
                edit(&mut parts);
                parts.build(false)
            }
            R(edit) => {
                let mut mutant = parts.build(true);
                edit(&mut mutant);
                mutant
            }
        };
        let findings = mutant.verdict().findings;
        all += 1;
        if findings.counts().contains_key(rule) {
            found += 1;
        } else {
            missed.push(format!("{name}: no {rule} in {:?}", findings.kept()));
        }
    }
    println!("mutations found: {found} of {all}");
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(all >= 40);
}

trait ConcatAll<'a> {
    fn concat_all(self) -> Vec<&'a Case>;
}

impl<'a, const N: usize> ConcatAll<'a> for [&'a [Case]; N] {
    fn concat_all(self) -> Vec<&'a Case> {
        self.into_iter().flatten().collect()
    }
}

#[test]
fn a_blob_that_is_taken_apart_and_put_together_is_still_good() {
    let good = Specimen::converted(&tar(), true);
    let again = Parts::of(&good).build(true);
    let mut split = Parts::of(&good);
    let number = split.frame_of("d/a");
    let empty = frame(b"");
    split.replace_frame(number, &[frame(b"123"), empty.clone(), frame(b"45"), empty]);
    for specimen in [good, again, split.build(true)] {
        let findings = specimen.verdict().findings;
        let told = findings.counts().keys().collect::<Vec<_>>();
        assert_eq!(told, [&Rule::SpecialLeftOut], "{:#?}", findings.kept());
    }
}

#[test]
fn no_more_content_is_read_than_is_allowed() {
    let tar = tar();
    let len = tar.len() as u64;
    for chunked in [true, false] {
        let specimen = Specimen::converted(&tar, chunked);
        assert_eq!(specimen.verdict_within(len).findings.errors(), 0);
        let verdict = specimen.verdict_within(len - 1);
        assert!(verdict.findings.counts().contains_key(&Rule::Limit), "{:?}", verdict.findings);
        assert!(verdict.tar_len <= len);
    }
}
