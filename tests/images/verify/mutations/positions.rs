//! Positions, lengths and digests in annotations and footer, media types and the diffID.

use recompress_image::{check::Rule, image::Digest};

use super::{
    super::specimen::{Parts, TAR_SPLIT_POSITION, TOC_DIGEST, TOC_POSITION, tar},
    Case, R, other_digest,
};

pub(super) const OF_POSITIONS: &[Case] = &[
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
