//! Devices: in an image's lowest layer a partial pull leaves them out, and that is reported; in any
//! other the layer becomes plain zstd, whatever an earlier run has made of it.

use std::fs;

use recompress_image::image::media_type;
use serde_json::{Value, json};
use test_support::{
    archive::{Dialect, HeaderBlock, TarBuilder},
    layout::{Layout, gzip, manifest, tar, text},
    program, work_dir,
};

const TAG: &str = "in-zstd-chunked";

/// Twenty-five of them, which is more than are named.
fn devices() -> Vec<u8> {
    let tty = |tar: TarBuilder, number: i64| {
        let name = format!("tty{number}");
        tar.header(HeaderBlock::new(Dialect::Ustar, b'3', name.as_bytes()).device(4, number))
    };
    (1..=25).fold(TarBuilder::new(), tty).file(Dialect::Ustar, b"file", b"content").end().finish()
}

fn image(dir: &std::path::Path, tars: &[Vec<u8>]) -> Layout {
    let blobs: Vec<_> = tars.iter().map(|tar| (media_type::OCI_LAYER_GZIP, gzip(tar))).collect();
    let mut layout = Layout::new(dir, &blobs, tars);
    layout.finish();
    layout
}

/// Returns the report and what was told.
fn convert(layout: &Layout) -> (Value, String) {
    let output =
        program().args(["convert", &layout.reference(), "--output=json"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let told = String::from_utf8(output.stderr).unwrap();
    (serde_json::from_slice(&output.stdout).unwrap(), told)
}

/// Whether `verify` finds no errors, and what it prints.
fn verify(layout: &Layout) -> (bool, String) {
    let reference = format!("oci:{}:{TAG}", layout.dir.display());
    let output = program().args(["verify", &reference]).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn devices_of_the_lowest_layer_are_reported() {
    let dir = work_dir();
    let layout = image(dir.path(), &[devices(), tar(3)]);
    for reused in [false, true] {
        let (report, told) = convert(&layout);
        let layer = &report["layers"][0];
        assert_eq!((&layer["format"], &layer["reused"]), (&json!("zstd:chunked"), &json!(reused)));
        let left_out = &layer["not_in_partial_pulls"];
        assert_eq!((&left_out["count"], &left_out["names"][0]), (&json!(25), &json!("tty1")));
        assert_eq!(left_out["names"].as_array().unwrap().len(), 20);
        assert!(report["layers"][1]["not_in_partial_pulls"].is_null());
        let line = "partial pulls leave out 25 devices and FIFOs: \"tty1\" and 24 more";
        assert!(told.contains(line), "{told}");
    }
    let (right, told) = verify(&layout);
    assert!(right && told.contains("warning special-file-left-out: \"tty1\""), "{told}");
}

#[test]
fn what_is_right_in_one_place_is_not_used_in_another() {
    let (lowest, above) = (work_dir(), work_dir());
    let (lowest, above) =
        (image(lowest.path(), &[devices()]), image(above.path(), &[tar(3), devices()]));
    let (first, _) = convert(&lowest);
    let (plain, _) = convert(&above);
    let layer = &plain["layers"][1];
    assert_eq!((&layer["format"], &plain["plain_layers"]), (&json!("zstd"), &json!(1)));
    assert!(
        layer["reason"].as_str().unwrap().contains("is not the lowest of its image"),
        "{layer}"
    );

    // Somebody puts the one with the TOC in the other's place: the content is the same.
    let chunked = &first["layers"][0]["digest"].as_str().unwrap()["sha256:".len()..];
    let blob = |layout: &Layout| layout.dir.join("blobs/sha256").join(chunked);
    fs::copy(blob(&lowest), blob(&above)).unwrap();
    let (theirs, _) = manifest(&lowest.dir, TAG).unwrap();
    let (mut forged, _) = manifest(&above.dir, TAG).unwrap();
    forged["layers"][1] = theirs["layers"][0].clone();
    let forged = above.add(forged.to_string().as_bytes());
    let path = above.dir.join("index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut entries = index["manifests"].as_array_mut().unwrap().iter_mut();
    let tag = |entry: &&mut Value| entry["annotations"]["org.opencontainers.image.ref.name"] == TAG;
    let entry = entries.find(tag).unwrap();
    (entry["digest"], entry["size"]) = (forged["digest"].clone(), forged["size"].clone());
    fs::write(&path, index.to_string()).unwrap();

    let (right, told) = verify(&above);
    assert!(!right && told.contains("error special-file-above: \"tty1\""), "{told}");
    let (again, _) = convert(&above);
    assert_eq!(again["layers"][0]["reused"], true);
    assert_eq!(again["layers"][1]["reused"], false);
    assert_eq!(again["image"], plain["image"]);
}

/// One blob, in two places of two images: two pieces of work.
#[test]
fn one_blob_is_chunked_in_one_image_and_plain_in_another() {
    let dir = work_dir();
    let platforms = [("amd64", vec![devices()]), ("arm64", vec![tar(3), devices()])];
    let mut entries = Vec::new();
    for (architecture, tars) in platforms {
        let blobs: Vec<_> =
            tars.iter().map(|tar| (media_type::OCI_LAYER_GZIP, gzip(tar))).collect();
        let mut layout = Layout::new(dir.path(), &blobs, &tars);
        layout.config["architecture"] = architecture.into();
        let digest = layout.finish();
        entries.push(json!({
            "mediaType": media_type::OCI_MANIFEST, "digest": digest,
            "size": layout.manifest.to_string().len(),
            "platform": {"os": "linux", "architecture": architecture},
        }));
    }
    let mut layout = Layout::new(dir.path(), &[], &[]);
    layout.manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries,
    });
    layout.finish();
    let arguments = ["convert", &layout.reference(), "--all-platforms", "--output=json"];
    let output = program().args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kind = |image: usize, layer: usize| {
        report["manifests"][image]["layers"][layer]["format"].as_str().unwrap().to_owned()
    };
    assert_eq!([kind(0, 0), kind(1, 0), kind(1, 1)], ["zstd:chunked", "zstd:chunked", "zstd"]);
    let (right, told) = verify(&layout);
    assert!(right, "{told}");
}
