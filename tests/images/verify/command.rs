//! `verify` and `inspect` as a user runs them, on layouts.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use recompress_image::image::{Digest, media_type};
use serde_json::{Value, json};
use test_support::{
    archive::{Dialect, TarBuilder},
    need,
    peers::Peers,
    work_dir,
};

use super::specimen::{Specimen, tar};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_recompress-image")).args(args).output().unwrap()
}

/// Exit code and standard output.
pub(super) fn outcome(args: &[&str]) -> (i32, String) {
    let output = run(args);
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

pub(super) fn json_of(args: &[&str]) -> Value {
    let output = run(&[args, &["--output=json"]].concat());
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

pub(super) fn put(dir: &Path, bytes: &[u8]) -> Digest {
    let digest = Digest::sha256_of(bytes);
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(digest.hex()), bytes).unwrap();
    digest
}

/// Stores an image and returns its descriptor.
pub(super) fn image(dir: &Path, layers: &[&Specimen], architecture: &str) -> Value {
    let diff_ids: Vec<_> = layers.iter().map(|layer| &layer.diff_id).collect();
    let config = json!({"os": "linux", "architecture": architecture,
        "rootfs": {"type": "layers", "diff_ids": diff_ids}})
    .to_string();
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| {
            json!({"mediaType": layer.media_type, "digest": put(dir, &layer.blob),
                "size": layer.blob.len(), "annotations": layer.annotations})
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": {"mediaType": media_type::OCI_CONFIG,
            "digest": put(dir, config.as_bytes()), "size": config.len()},
        "layers": layers
    })
    .to_string();
    json!({"mediaType": media_type::OCI_MANIFEST, "digest": put(dir, manifest.as_bytes()),
        "size": manifest.len()})
}

/// Writes a layout with one image or index.
pub(super) fn layout(dir: &Path, tag: &str, mut descriptor: Value) -> String {
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    let index = json!({"schemaVersion": 2, "manifests": [descriptor]});
    fs::write(dir.join("index.json"), index.to_string()).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    format!("oci:{}:{tag}", dir.display())
}

pub(super) fn gzip(tar: &[u8]) -> Specimen {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, tar).unwrap();
    Specimen {
        blob: encoder.finish().unwrap(),
        annotations: std::collections::BTreeMap::new(),
        media_type: media_type::OCI_LAYER_GZIP.to_owned(),
        diff_id: Digest::sha256_of(tar),
        lowest: true,
    }
}

#[test]
fn the_same_root_file_system_in_other_layers() {
    let dirs = [work_dir(), work_dir(), work_dir()];
    let [a, b, c] = [0, 1, 2].map(|n| dirs[n].path());
    let other = TarBuilder::new().file(Dialect::Gnu, b"x", b"y").end().finish();
    let chunked = layout(a, "t", image(a, &[&Specimen::converted(&tar(), true)], "arm64"));
    let plain = layout(b, "t", image(b, &[&gzip(&tar())], "arm64"));
    let unlike = layout(c, "t", image(c, &[&gzip(&other)], "arm64"));

    let (code, text) = outcome(&["verify", &chunked, "--against", &plain]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("same root filesystem") && text.contains("gzip"), "{text}");
    let report = json_of(&["verify", &plain]);
    assert_eq!(report["images"][0]["layers"][0]["format"], "gzip");

    let (code, text) = outcome(&["verify", &chunked, "--against", &unlike]);
    assert_eq!(code, 8, "{text}");
    assert!(text.contains("other-diff-ids") && text.contains("other-config"), "{text}");
    for (platform, code) in [("linux/arm64", 0), ("linux/aarch64/v8", 0), ("linux/amd64", 5)] {
        assert_eq!(outcome(&["verify", &chunked, "--platform", platform]).0, code, "{platform}");
    }
}

#[test]
fn what_is_wrong_is_told_with_who_minds() {
    let dir = work_dir();
    let mut bad = Specimen::converted(&tar(), true);
    bad.annotations.remove(super::specimen::TAR_SPLIT_POSITION).unwrap();
    let reference = layout(dir.path(), "t", image(dir.path(), &[&bad], "arm64"));
    let (code, text) = outcome(&["verify", &reference]);
    assert_eq!(code, 8, "{text}");
    assert!(text.contains("error tar-split-position: "), "{text}");
    let effect = "with partial pulls enabled fail to pull this layer; full pulls are not affected";
    assert!(text.contains(effect), "{text}");
    let report = json_of(&["verify", &reference]);
    let finding = &report["images"][0]["layers"][0]["findings"][0];
    assert_eq!(
        (&finding["id"], &finding["severity"]),
        (&json!("tar-split-position"), &json!("error"))
    );
    assert_eq!(report["errors"], 1);

    let blob = dir.path().join("blobs/sha256").join(Digest::sha256_of(&bad.blob).hex());
    bad.blob[100] ^= 1;
    fs::write(blob, &bad.blob).unwrap();
    let report = json_of(&["verify", &reference]);
    assert_eq!(report["images"][0]["layers"][0]["findings"][0]["id"], "blob");
}

#[test]
fn an_index_is_verified_whole_or_in_part() {
    let dir = work_dir();
    let good = image(dir.path(), &[&Specimen::converted(&tar(), true)], "amd64");
    let mut bad = Specimen::converted(&tar(), false);
    bad.diff_id = Digest::sha256_of(b"other");
    let bad = image(dir.path(), &[&bad], "arm64");
    let with = |mut descriptor: Value, architecture: &str, os: &str| {
        descriptor["platform"] = json!({"os": os, "architecture": architecture});
        descriptor
    };
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [
        with(good.clone(), "amd64", "linux"),
        with(bad, "arm64", "linux"),
        with(good, "unknown", "unknown"),
    ]})
    .to_string();
    let descriptor = json!({"mediaType": media_type::OCI_INDEX, "size": index.len(),
        "digest": put(dir.path(), index.as_bytes())});
    let reference = layout(dir.path(), "t", descriptor);
    assert_eq!(outcome(&["verify", &reference, "--platform=linux/amd64"]).0, 0);
    let (code, text) = outcome(&["verify", &reference]);
    assert_eq!(code, 8);
    assert!(text.contains("skipped: 1") && text.contains("diff-id: "), "{text}");
    assert_eq!(outcome(&["verify", &reference, "--platform=linux/s390x"]).0, 5);
    let report = json_of(&["inspect", &reference]);
    assert_eq!(report["images"].as_array().unwrap().len(), 3);
    assert_eq!(report["images"][1]["platform"], "linux/arm64");
}

#[test]
fn inspect_counts_what_is_there() {
    let dir = work_dir();
    let layers = [&Specimen::converted(&tar(), true), &gzip(&tar())];
    let reference = layout(dir.path(), "t", image(dir.path(), &layers, "amd64"));
    let report = json_of(&["inspect", &reference]);
    let by_toc = report["layers"][0].clone();
    for (key, value) in report["layers"][1].as_object().unwrap() {
        let of_manifest =
            ["number", "digest", "media_type", "size", "format"].contains(&key.as_str());
        assert!(of_manifest || value.is_null() || *value == json!([]), "{key}: {value}");
    }
    let report = json_of(&["inspect", &reference, "--download"]);
    let [chunked, plain] = [0, 1].map(|n| report["layers"][n].clone());
    assert_eq!(by_toc, chunked);
    assert_eq!((&chunked["format"], &plain["format"]), (&json!("zstd:chunked"), &json!("gzip")));
    for key in ["entries", "files", "uncompressed_size", "content_size", "largest"] {
        assert_eq!(chunked[key], plain[key], "{key}");
    }
    assert_eq!(chunked["entries"], 10);
    assert_eq!(chunked["files"], 4);
    assert_eq!(chunked["hole_size"], 5000);
    assert_eq!(chunked["largest"][0], json!({"name": "d/big", "size": 405_000}));
    assert!(chunked["chunks"].as_u64().unwrap() > 5);
    let (code, text) = outcome(&["inspect", &reference, "--toc"]);
    assert_eq!(code, 0);
    for part in [
        "drwxr-xr-x",
        "d/soft -> a",
        "d/hard link to d/a",
        "(hole)",
        "2024-01-02T03:04:05.123456789Z",
        "1 layer has no TOC; add --download to show its content.",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

/// What the reference's own writer makes passes, and is the same image.
#[test]
fn what_skopeo_makes_is_right() {
    let name = "what_skopeo_makes_is_right";
    let Some(peers) = need(name, Peers::find()) else { return };
    let from = peers.work().join("from");
    fs::create_dir_all(&from).unwrap();
    let small = TarBuilder::new().file(Dialect::Ustar, b"small", b"file").end().finish();
    let empty = vec![0; 1024];
    // The device and the FIFO of the lowest layer are told of.
    let layers = [&gzip(&tar()), &gzip(&small), &gzip(&empty)];
    let source = layout(&from, "t", image(&from, &layers, "amd64"));
    let result = format!("oci:{}:t", peers.work().join("to").display());
    let format = "--dest-compress-format=zstd:chunked";
    peers.run(&["skopeo", "copy", format, &source, &result]);
    let (code, text) = outcome(&["verify", &result, "--against", &source]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.matches(": zstd:chunked, ").count(), 3, "{text}");
    assert!(text.contains("OK: 0 errors, 2 warnings"), "{text}");
}
