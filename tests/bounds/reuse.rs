//! What the destination's tag names may have been put there by anybody.

use std::{fs, path::Path};

use recompress_image::image::{Digest, media_type};
use serde_json::Value;
use test_support::{
    layout::{Layout, gzip, manifest, tar},
    work_dir,
};

use crate::{
    hostile::{Blob, blobs},
    measured::run,
};

fn put(dir: &Path, bytes: &[u8]) -> Digest {
    let digest = Digest::sha256_of(bytes);
    fs::write(dir.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
    digest
}

/// Puts a blob in the place of all layers that a tag names.
fn exchange(dir: &Path, tag: &str, blob: &Blob) {
    let (mut image, old) = manifest(dir, tag).unwrap();
    let digest = put(dir, &blob.bytes);
    for layer in image["layers"].as_array_mut().unwrap() {
        layer["digest"] = digest.to_string().into();
        layer["size"] = blob.bytes.len().into();
        layer["annotations"] = blob.annotations.clone();
    }
    let bytes = image.to_string();
    let new = put(dir, bytes.as_bytes());
    let index = fs::read_to_string(dir.join("index.json")).unwrap();
    let mut index: Value = serde_json::from_str(&index).unwrap();
    for entry in index["manifests"].as_array_mut().unwrap() {
        if entry["digest"] == old.as_str() {
            entry["digest"] = new.to_string().into();
            entry["size"] = bytes.len().into();
        }
    }
    fs::write(dir.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn what_an_earlier_run_is_said_to_have_left() {
    let dir = work_dir();
    let tars: Vec<_> = (1..=2).map(tar).collect();
    let layers: Vec<_> = tars.iter().map(|tar| (media_type::OCI_LAYER_GZIP, gzip(tar))).collect();
    let mut source = Layout::new(&dir.path().join("in"), &layers, &tars);
    source.finish();
    let out = dir.path().join("out");
    let to = format!("oci:{}:t", out.display());
    let convert = ["convert", &source.reference(), &to, "--jobs=4"];
    run(&convert).ends("an honest image", 0);
    let right = manifest(&out, "t").unwrap().1;
    for blob in blobs() {
        exchange(&out, "t", &blob);
        let name = format!("verify, {}", blob.name);
        let verified = run(&["verify", &to]);
        let report = verified.ends(&name, 8).report();
        for layer in report["images"][0]["layers"].as_array().unwrap() {
            let read = layer["uncompressed_size"].as_u64().unwrap_or(0);
            assert!(read < (1 << 30) + (1 << 20), "{name}: {read} bytes were decoded");
        }
        let name = format!("convert, {}", blob.name);
        let report = run(&convert).ends(&name, 0).report();
        for layer in report["layers"].as_array().unwrap() {
            assert_eq!(layer["reused"], false, "{name}");
        }
        assert_eq!(manifest(&out, "t").unwrap().1, right, "{name}");
    }
    let report = run(&convert).ends("what is right", 0).report();
    let layers = report["layers"].as_array().unwrap();
    assert!(layers.iter().all(|layer| layer["reused"] == true), "{layers:?}");
}
