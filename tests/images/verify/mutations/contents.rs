//! Files, chunks and the frames that hold them.

use recompress_image::check::Rule;

use super::{
    super::specimen::{noise, skippable},
    Case, P, R, add, chunk, content, frame, other_digest, remove, set, zeros,
};

pub(super) const OF_FILES: &[Case] = &[
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

pub(super) const OF_FRAMES: &[Case] = &[
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
