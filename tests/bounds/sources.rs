//! Sources that were made to take much.

use std::{fs, io::Write as _, path::Path};

use recompress_image::image::{Digest, media_type};
use serde_json::{Value, json};
use test_support::{
    archive::{Dialect, HeaderBlock, TarBuilder},
    layout::Layout,
    work_dir,
};

use crate::{hostile::packed_wide, measured::run};

/// A layer as it is stored, with the digest of its tar.
pub(crate) struct Layer {
    blob: Vec<u8>,
    diff_id: Digest,
}

fn uncompressed(tar: Vec<u8>) -> Layer {
    Layer { diff_id: Digest::sha256_of(&tar), blob: tar }
}

fn zstd(tar: &[u8]) -> Layer {
    Layer { diff_id: Digest::sha256_of(tar), blob: zstd::encode_all(tar, 1).unwrap() }
}

pub(crate) fn image(dir: &Path, layers: &[Layer]) -> String {
    let mut image = Layout::new(dir, &[], &[]);
    let diff_ids: Vec<_> = layers.iter().map(|layer| &layer.diff_id).collect();
    image.config["rootfs"]["diff_ids"] = json!(diff_ids);
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| {
            let mut descriptor = image.add(&layer.blob);
            descriptor["mediaType"] = media_type::OCI_LAYER_ZSTD.into();
            descriptor
        })
        .collect();
    image.manifest["layers"] = Value::Array(layers);
    image.finish();
    image.reference()
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let (mut bytes, mut random) = (vec![0; len], fastrand::Rng::with_seed(seed));
    random.fill(&mut bytes);
    bytes
}

/// A file of `len` bytes that cannot be compressed.
pub(crate) fn layer_of_noise(len: usize, seed: u64) -> Layer {
    uncompressed(TarBuilder::new().file(Dialect::Ustar, b"a", &noise(len, seed)).finish())
}

/// A header and its file of `len` bytes, that of zeros.
fn file_of_zeros(name: &str, len: usize) -> Vec<u8> {
    TarBuilder::new().file(Dialect::Ustar, name.as_bytes(), &vec![0; len]).end().finish()
}

struct Case {
    name: &'static str,
    layers: fn() -> Vec<Layer>,
    format: &'static str,
    /// Why the layers get no TOC, where they get none.
    reason: Option<&'static str>,
}

const CASES: &[Case] = &[
    Case {
        name: "comments that cannot be compressed",
        layers: || {
            let tar = (0..128).fold(TarBuilder::new(), |tar, n| {
                let comment = noise((1 << 20) - 100, n).into_iter().map(|byte| byte.max(1));
                let name = format!("{n}");
                tar.pax(&[(b"comment", &comment.collect::<Vec<_>>())]).file(
                    Dialect::Ustar,
                    name.as_bytes(),
                    b"",
                )
            });
            vec![uncompressed(tar.end().finish())]
        },
        format: "zstd:chunked",
        reason: Some("more than half the size of the layer"),
    },
    Case {
        name: "headers of 7 MiB",
        layers: || {
            let tar = (0..20).fold(TarBuilder::new(), |tar, n| {
                let tar = (0..7).fold(tar, |tar, m| {
                    let comment = noise((1 << 20) - 100, n * 7 + m).into_iter();
                    let comment: Vec<_> = comment.map(|byte| byte.max(1)).collect();
                    tar.pax(&[(b"comment", &comment)])
                });
                tar.file(Dialect::Ustar, format!("{n}").as_bytes(), b"")
            });
            vec![uncompressed(tar.end().finish())]
        },
        format: "zstd:chunked",
        reason: Some("more than half the size of the layer"),
    },
    Case {
        name: "windows of 128 MiB",
        layers: || {
            let layer = |n: usize| {
                let tar = file_of_zeros(&format!("{n}"), 160 << 20);
                Layer { diff_id: Digest::sha256_of(&tar), blob: packed_wide([tar]) }
            };
            (0..6).map(layer).collect()
        },
        format: "zstd:chunked",
        reason: None,
    },
    Case {
        name: "a file of very many holes",
        layers: || {
            let hole = [&[1][..], &[0; 1024]].concat();
            let content = hole.repeat(600_000);
            vec![zstd(&TarBuilder::new().file(Dialect::Ustar, b"a", &content).finish())]
        },
        format: "zstd:chunked",
        reason: Some("150 MiB"),
    },
    Case {
        name: "very many entries",
        layers: || {
            let mut tar = Vec::new();
            for n in 0..(1 << 20) + 5 {
                let name = format!("{n:x}");
                tar.extend(HeaderBlock::new(Dialect::Ustar, b'5', name.as_bytes()).finish());
            }
            vec![zstd(&tar)]
        },
        format: "zstd:chunked",
        reason: Some("1048576 entries"),
    },
    Case {
        name: "16 layers that become gzip",
        layers: || (0..16).map(|n| layer_of_noise(8 << 20, n)).collect(),
        format: "gzip",
        reason: None,
    },
    Case {
        name: "16 layers that become plain zstd",
        layers: || (0..16).map(|n| layer_of_noise(16 << 20, n)).collect(),
        format: "zstd",
        reason: None,
    },
];

#[test]
fn layers_that_take_much() {
    for case in CASES {
        let dir = work_dir();
        let from = image(&dir.path().join("in"), &(case.layers)());
        let to = format!("oci:{}:t", dir.path().join("out").display());
        let format = format!("--compression-format={}", case.format);
        let done = run(&["convert", &from, &to, "--jobs=4", &format]);
        let report = done.ends(case.name, 0).report();
        for layer in report["layers"].as_array().unwrap() {
            let reason = layer["reason"].as_str();
            let expected =
                case.reason.is_none_or(|words| reason.is_some_and(|reason| reason.contains(words)));
            assert!(
                expected && reason.is_some() == case.reason.is_some(),
                "{}: {reason:?}",
                case.name
            );
            let [size, tar] = ["size", "uncompressed_size"].map(|key| layer[key].as_u64().unwrap());
            assert!(size < tar + tar / 2 + (5 << 20), "{}: {size} of {tar}", case.name);
        }
        let verified = run(&["verify", &to]);
        verified.ends(&format!("verify, {}", case.name), 0);
    }
}

/// A layer that decompresses to more than is allowed is given up on in `verify`, too, in any form.
#[test]
fn limits_are_those_of_a_source() {
    let dir = work_dir();
    let tar = file_of_zeros("a", 64 << 20);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&tar).unwrap();
    let gzip = Layer { diff_id: Digest::sha256_of(&tar), blob: gzip.finish().unwrap() };
    for (name, layer) in [("zstd", zstd(&tar)), ("gzip", gzip), ("tar", uncompressed(tar))] {
        let dir = dir.path().join(name);
        let mut reference = image(&dir, &[layer]);
        if name == "gzip" || name == "tar" {
            // The media type is not what this is about.
            let media_type = ["", "+gzip"][usize::from(name == "gzip")];
            let text = fs::read_to_string(dir.join("index.json")).unwrap();
            let index: Value = serde_json::from_str(&text).unwrap();
            let digest: Digest = index["manifests"][0]["digest"].as_str().unwrap().parse().unwrap();
            let manifest = fs::read_to_string(dir.join("blobs/sha256").join(digest.hex())).unwrap();
            let manifest = manifest.replace("tar+zstd", &format!("tar{media_type}"));
            let new = Digest::sha256_of(manifest.as_bytes());
            fs::write(dir.join("blobs/sha256").join(new.hex()), &manifest).unwrap();
            let text = text.replace(digest.as_str(), new.as_str());
            fs::write(dir.join("index.json"), text).unwrap();
            reference = format!("oci:{}", dir.display());
        }
        run(&["verify", &reference]).ends(name, 0);
        let limited = run(&["verify", &reference, "--max-layer-size=32MiB"]);
        let report = limited.ends(name, 8).report();
        let layer = &report["images"][0]["layers"][0];
        assert_eq!(layer["findings"][0]["id"], "limit", "{layer}");
        let read = layer["uncompressed_size"].as_u64().unwrap();
        assert!(read <= (33 << 20), "{name}: {read} bytes were decoded");
        let out = format!("oci:{}:t", dir.join("out").display());
        let converted = run(&["convert", &reference, &out, "--max-layer-size=32MiB"]);
        assert_eq!(converted.code, 4, "{name}: {}", converted.stderr);
    }
}
